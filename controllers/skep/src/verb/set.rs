//! `skep set`: changes one aspect of services that are there, in one Change, and waits until they run so.

pub(crate) mod assign;
pub(crate) mod field;
pub(crate) mod image;

use clap::{Args, Subcommand};
use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::Manifest;
use skep_api::service::{Mode, ServiceSpec};

use crate::cli::Context;
use crate::failure::Failure;
use crate::verb::edit::{MessageArgs, WaitArgs, edit};
use crate::verb::set::assign::Assignment;
use crate::verb::set::field::{Group, set_fields};
use crate::verb::set::image::SetImage;
use crate::verb::target::{StackArgs, service};

/// Change one aspect of services, and wait until they run so
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep set image web nginx:1.27             a tag that has moved in its registry is a new revision
  skep set image web=app:2 worker=app:2     several services in one change
  skep set env web LOG_LEVEL=debug OLD-     sets one variable, removes another
  skep set update web parallelism=2 delay=10s failure-action=rollback")]
pub(crate) struct Set {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Image(SetImage),
    /// Environment variables
    Env(SetPairs),
    /// The arguments of the process
    Args(SetWords),
    /// The program that runs, instead of the image's
    Command(SetWords),
    /// How many tasks there are
    Replicas(SetReplicas),
    /// Labels of the service; tasks go on as they are
    Label(SetPairs),
    /// Labels of the containers
    ContainerLabel(SetPairs),
    /// What a node must be: "node.labels.zone == a"; KEY- removes
    Constraint(SetPairs),
    /// The most that a task may use: cpus=0.5 memory=256Mi pids=100
    Limit(SetPairs),
    /// What is set aside for a task: cpus=0.5 memory=256Mi
    Reserve(SetPairs),
    /// What happens when a task ends: condition, delay, max-attempts, window, max-delay
    Restart(SetPairs),
    /// How tasks are replaced: parallelism, delay, order, monitor, failure-action, max-failure-ratio, partition, deadline
    Update(SetPairs),
    /// How they are replaced when an update is taken back; as `update`
    Rollback(SetPairs),
}

/// Options of every aspect.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Something with keys.
#[derive(Debug, Args)]
struct SetPairs {
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// What to set, or with KEY- what to remove
    #[arg(value_name = "KEY=VALUE|KEY-", required = true, allow_hyphen_values = false)]
    pairs: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// A command line.
#[derive(Debug, Args)]
struct SetWords {
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// The words; after `--` they may begin with a dash
    #[arg(value_name = "WORD", required_unless_present = "default")]
    words: Vec<String>,
    /// What the image says
    #[arg(long, conflicts_with = "words")]
    default: bool,
    #[command(flatten)]
    common: Common,
}

/// A number of tasks.
#[derive(Debug, Args)]
struct SetReplicas {
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// How many tasks
    #[arg(value_name = "N")]
    replicas: u32,
    #[command(flatten)]
    common: Common,
}

impl Set {
    /// Changes it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        match &self.what {
            What::Image(verb) => verb.run(context).await,
            What::Env(verb) => {
                let pairs = verb.pairs()?;
                verb.run(context, |spec| assign::into_map(&mut spec.task.env, &pairs)).await
            }
            What::ContainerLabel(verb) => {
                let pairs = verb.pairs()?;
                verb.run(context, |spec| assign::into_map(&mut spec.task.labels, &pairs)).await
            }
            What::Label(verb) => {
                let pairs = verb.pairs()?;
                verb.common
                    .run(context, &verb.service, |object| {
                        if let Manifest::Service(service) = object {
                            assign::into_map(&mut service.metadata.labels, &pairs);
                        }
                        Ok(())
                    })
                    .await
            }
            What::Constraint(verb) => {
                verb.run(context, |spec| {
                    assign::constraints(&mut spec.placement.constraints, &verb.pairs);
                })
                .await
            }
            What::Args(verb) => verb.run(context, |spec, words| spec.task.args = words).await,
            What::Command(verb) => verb.run(context, |spec, words| spec.task.command = words).await,
            What::Replicas(verb) => verb.run(context).await,
            What::Limit(verb) => verb.fields(context, Group::Limit).await,
            What::Reserve(verb) => verb.fields(context, Group::Reserve).await,
            What::Restart(verb) => verb.fields(context, Group::Restart).await,
            What::Update(verb) => verb.fields(context, Group::Update).await,
            What::Rollback(verb) => verb.fields(context, Group::Rollback).await,
        }
    }
}

impl Common {
    /// Changes the service `name`.
    async fn run(
        &self,
        context: &Context,
        name: &str,
        change: impl Fn(&mut Manifest) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let service = named(&self.stack, name)?;
        let store = context.cluster.connect(&context.env).await?;
        let mut writer = self.message.writer(&store, context);
        let report = edit(&store, &mut writer, &[Key::Service(service)], change).await?;
        self.wait.finish(&store, &report).await
    }
}

impl SetPairs {
    fn pairs(&self) -> Result<Vec<Assignment>, Failure> {
        let parse =
            |text: &String| text.parse().map_err(|rule| Failure::Argument { argument: text.clone(), rule });
        self.pairs.iter().map(parse).collect()
    }

    async fn run(&self, context: &Context, change: impl Fn(&mut ServiceSpec)) -> Result<(), Failure> {
        let change = |object: &mut Manifest| {
            if let Some(spec) = spec_of(object) {
                change(spec);
            }
            Ok(())
        };
        self.common.run(context, &self.service, change).await
    }

    async fn fields(&self, context: &Context, group: Group) -> Result<(), Failure> {
        let pairs = self.pairs()?;
        let change = |object: &mut Manifest| match spec_of(object) {
            Some(spec) => set_fields(spec, group, &pairs),
            None => Ok(()),
        };
        self.common.run(context, &self.service, change).await
    }
}

impl SetWords {
    async fn run(
        &self,
        context: &Context,
        change: impl Fn(&mut ServiceSpec, Option<Vec<String>>),
    ) -> Result<(), Failure> {
        let words = (!self.default).then(|| self.words.clone());
        let change = |object: &mut Manifest| {
            if let Some(spec) = spec_of(object) {
                change(spec, words.clone());
            }
            Ok(())
        };
        self.common.run(context, &self.service, change).await
    }
}

impl SetReplicas {
    async fn run(&self, context: &Context) -> Result<(), Failure> {
        let change = |object: &mut Manifest| set_replicas(object, self.replicas);
        self.common.run(context, &self.service, change).await
    }
}

/// Sets the number of tasks: of a job, the number of its completions (as `docker service scale` does).
pub(crate) fn set_replicas(object: &mut Manifest, replicas: u32) -> Result<(), Failure> {
    let name = object.to_string();
    let Some(spec) = spec_of(object) else { return Ok(()) };
    match spec.mode {
        Mode::Replicated => spec.replicas = replicas,
        Mode::ReplicatedJob => {
            let job = spec.job.get_or_insert(skep_api::service::Job { completions: 1, max_concurrent: None });
            job.completions = replicas;
        }
        Mode::Global | Mode::GlobalJob => {
            let reason = "a global service has one task on each node: only a replicated service, or a \
                          replicated job, has a number of tasks";
            return Err(Failure::Forbidden { object: name, reason: reason.to_owned() });
        }
    }
    Ok(())
}

/// The spec, if the object is a service.
pub(crate) fn spec_of(object: &mut Manifest) -> Option<&mut ServiceSpec> {
    match object {
        Manifest::Service(service) => Some(&mut service.spec),
        Manifest::Volume(_) | Manifest::Node { .. } | Manifest::Cluster(_) => None,
    }
}

/// The service on the command line: `web`, `shop/web` or `service/web`.
pub(crate) fn named(stack: &StackArgs, name: &str) -> Result<ServiceRef, Failure> {
    let name = name.strip_prefix("service/").or(name.strip_prefix("svc/")).unwrap_or(name);
    service(&stack.stack, name)
}
