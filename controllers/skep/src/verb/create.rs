//! `skep create service`: a service from the command line, with Docker's options. It makes a manifest, and applies that.

mod flags;
mod forms;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use skep_api::key::Key;
use skep_api::manifest::{self, Located, Manifest, Source};
use skep_api::object::API_VERSION;
use skep_api::problem::Problem;
use skep_store::Store;

use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::{self, message, say};
use crate::verb::create::flags::Flags;
use crate::verb::edit::{MessageArgs, WaitArgs};
use crate::verb::registry;
use crate::verb::set::image::checked;
use crate::verb::target::{StackArgs, service};
use crate::view::render::to_yaml;

/// Create a service from the command line, with Docker's options, and wait until it runs
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Service(Box<CreateService>),
}

/// A service
#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "\
Examples:
  skep create service web --image nginx:1.27 -p 8080:80 --replicas 3
  skep create service job --image app:1 --mode replicated-job --replicas 5 -- import --all
  skep create service web --image nginx -p 80:80 --dry-run -o yaml > web.yaml    a manifest to keep and to apply"
)]
struct CreateService {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Its image
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The arguments of the process
    #[arg(value_name = "ARG", last = true)]
    args: Vec<String>,
    #[command(flatten)]
    flags: Flags,
    /// Create nothing; print what would be
    #[arg(long)]
    dry_run: bool,
    /// Print the manifest
    #[arg(short, long, value_name = "FORMAT", requires = "dry_run")]
    output: Option<DryFormat>,
    /// Write the image as it is given, and ask no registry for its digest
    #[arg(long, alias = "no-resolve")]
    no_resolve_image: bool,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DryFormat {
    /// As `skep apply -f -` takes it
    Yaml,
    /// The same as JSON
    Json,
}

impl Create {
    /// Creates it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let What::Service(verb) = &self.what;
        verb.run(context).await
    }
}

impl CreateService {
    async fn run(&self, context: &Context) -> Result<(), Failure> {
        let document = self.document()?;
        read(&document)?.1.iter().for_each(message::problem);
        if self.dry_run {
            return self.show(&document);
        }
        let store = context.cluster.connect(&context.env).await?;
        let mut image = self.image.clone();
        if !self.no_resolve_image {
            registry::pin_all(context, std::iter::once(&mut image)).await;
        }
        self.create(&store, context, with_image(document, &image)).await
    }

    async fn create(&self, store: &Store, context: &Context, document: Value) -> Result<(), Failure> {
        let (documents, _) = read(&document)?;
        let service = service(&self.stack.stack, &self.name)?;
        let key = Key::Service(service.clone());
        if Snapshot::read(store, [key.clone()]).await?.get(&key).is_some() {
            return Err(Failure::Conflict(vec![format!(
                "Service/{service} is there already: change it with `skep set` or `skep apply`"
            )]));
        }
        let report = self.message.writer(store, context).creating().apply(&documents).await?;
        self.wait.finish(store, &report).await
    }

    fn show(&self, document: &Value) -> Result<(), Failure> {
        let text = match self.output {
            Some(DryFormat::Yaml) => to_yaml(document)?,
            Some(DryFormat::Json) => format!("{document:#}\n"),
            None => format!("Service/{}  would be created\n", service(&self.stack.stack, &self.name)?),
        };
        output::print(&text)?;
        Ok(())
    }

    /// The manifest.
    fn document(&self) -> Result<Value, Failure> {
        let service = service(&self.stack.stack, &self.name)?;
        let mut document = json!({
            "apiVersion": API_VERSION,
            "kind": "Service",
            "metadata": {"name": service.name},
            "spec": {"task": {"image": checked(&self.image)?}},
        });
        if let (false, Some(metadata)) =
            (service.stack.as_str() == "default", document.pointer_mut("/metadata"))
        {
            metadata["stack"] = json!(service.stack);
        }
        if !self.args.is_empty() {
            forms::put(&mut document, "spec.task.args", json!(self.args));
        }
        let has_published = self.flags.write(&mut document)?;
        forms::finish(&mut document);
        if has_published {
            say("the routing mesh comes later: -p opens the port on the node of each task (mode: host)");
        }
        Ok(document)
    }
}

fn with_image(mut document: Value, image: &str) -> Value {
    forms::put(&mut document, "spec.task.image", json!(image));
    document
}

/// Checks the manifest as a file is checked; what it describes, and what is worth a warning.
///
/// # Errors
/// [`Failure::Manifests`], after its errors were printed.
fn read(document: &Value) -> Result<(Vec<Located<Manifest>>, Vec<Problem>), Failure> {
    let reading = manifest::read(&[Source::new("<command line>", to_yaml(document)?)]);
    match reading.errors() {
        0 => Ok((reading.documents, reading.problems)),
        errors => {
            reading.problems.iter().for_each(message::problem);
            Err(Failure::Manifests { errors })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::testing::Cluster;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: CreateService,
    }

    fn parse(words: &[&str]) -> CreateService {
        let words = ["create", "--detach", "--no-resolve-image"].iter().chain(words);
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).create
    }

    fn spec(words: &[&str]) -> Value {
        let verb = parse(&[&["web", "--image", "app:1"], words].concat());
        let document = verb.document().unwrap();
        let (documents, _) = read(&document).unwrap();
        documents[0].applied["spec"].clone()
    }

    const OPTIONS: &str = "-p 8080:80; -p 53/udp; --publish published=9090,target=90,protocol=tcp,mode=host; --replicas 3; \
        -e A=b=c; --env B=; -l tier=front; --container-label x=y; --constraint node.role==worker; --limit-memory 256m; \
        --limit-cpu 0.5; --reserve-memory 128m; --restart-condition on-failure; --restart-max-attempts 3; \
        --update-parallelism 2; --update-order start-first; --update-max-failure-ratio 0.25; --rollback-monitor 20s; \
        --health-cmd curl -f localhost; --health-retries 5; --stop-grace-period 1m30s; --init; \
        --mount type=bind,src=/data,dst=/d,ro; --mount type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777; \
        --ulimit nofile=1024:2048; --host db:10.0.0.1; --entrypoint /bin/sh -c 'echo hi'; --log-driver local; \
        --log-opt max-size=1m; --dns 1.1.1.1; --; serve; --fast";

    fn task() -> Value {
        json!({
            "image": "app:1", "args": ["serve", "--fast"], "command": ["/bin/sh", "-c", "echo hi"],
            "env": {"A": "b=c", "B": ""}, "labels": {"x": "y"}, "init": true, "stopGracePeriod": "1m30s",
            "resources": {"limits": {"memory": "256Mi", "cpus": "0.5"}, "reservations": {"memory": "128Mi"}},
            "healthcheck": {"test": ["CMD-SHELL", "curl -f localhost"], "retries": 5},
            "mounts": [
                {"type": "bind", "source": "/data", "target": "/d", "readOnly": true},
                {"type": "tmpfs", "target": "/t", "size": "64Mi", "mode": "1777"},
            ],
            "ulimits": [{"name": "nofile", "soft": 1024, "hard": 2048}],
            "hosts": {"db": "10.0.0.1"}, "logging": {"driver": "local", "options": {"max-size": "1m"}},
            "dns": {"nameservers": ["1.1.1.1"]},
        })
    }

    /// Swarm 2.3.
    #[test]
    fn dockers_options_become_fields_of_a_manifest() {
        let words = OPTIONS.split("; ").flat_map(|option| option.splitn(2, ' ')).collect::<Vec<_>>();
        let expected = json!({
            "task": task(),
            "replicas": 3,
            "ports": [
                {"published": 8080, "target": 80, "mode": "host"},
                {"target": 53, "protocol": "udp", "mode": "host"},
                {"published": 9090, "target": 90, "protocol": "tcp", "mode": "host"},
            ],
            "placement": {"constraints": ["node.role==worker"]},
            "restart": {"condition": "on-failure", "maxAttempts": 3},
            "update": {"parallelism": 2, "order": "start-first", "maxFailureRatio": "0.25"},
            "rollback": {"monitor": "20s"},
        });
        let spec = spec(&words);
        assert_eq!(spec, expected, "{spec:#}");
    }

    #[test]
    fn the_replicas_of_a_job_are_its_completions() {
        let spec = spec(&["--mode", "replicated-job", "--replicas", "5", "--max-concurrent", "2"]);
        assert_eq!(spec["job"], json!({"completions": 5, "maxConcurrent": 2}));
        assert!(spec.get("replicas").is_none());
    }

    #[test]
    fn what_docker_refuses_is_refused_with_a_reason() {
        for (words, reason) in [
            (["-p", "127.0.0.1:80:80"], "hostip is not supported"),
            (["-p", "80-82:80-81"], "ranges"),
            (["--mount", "type=bind,colour=red"], "colour"),
            (["--limit-memory", "lots"], "lots"),
            (["-l", "=x"], "KEY=VALUE"),
        ] {
            let verb = parse(&[&["web", "--image", "app:1"], &words[..]].concat());
            let error = verb.document().unwrap_err();
            assert!(error.to_string().contains(reason), "{words:?}: {error}");
        }
    }

    #[tokio::test]
    async fn what_is_created_is_owned_and_exists_once() {
        let cluster = Cluster::new().await;
        let verb = parse(&["web", "--image", "app:1", "--replicas", "2"]);
        let document = verb.document().unwrap();
        verb.create(&cluster.store, &cluster.context, document.clone()).await.unwrap();
        assert_eq!(cluster.live("web").await.spec.replicas, 2);
        let owners = Key::ServiceOwners(service("default", "web").unwrap());
        assert!(cluster.get(&owners).await.is_some(), "a file may take it over");
        let error = verb.create(&cluster.store, &cluster.context, document).await.unwrap_err();
        assert!(matches!(error, Failure::Conflict(_)), "{error}");
    }

    #[tokio::test]
    async fn what_a_dry_run_prints_is_what_apply_takes() {
        let verb = parse(&["web", "--image", "app:1", "--replicas", "2", "-p", "8080:80"]);
        let document = verb.document().unwrap();
        let cluster = Cluster::new().await;
        verb.create(&cluster.store, &cluster.context, document.clone()).await.unwrap();
        let text = to_yaml(&document).unwrap();
        let reading = manifest::read(&[Source::new("<command line>", text)]);
        let before = cluster.etcd.revision();
        let mut writer = MessageArgs::default().writer(&cluster.store, &cluster.context);
        writer.apply(&reading.documents).await.unwrap();
        assert_eq!(cluster.etcd.revision(), before, "nothing is left to change");
    }
}
