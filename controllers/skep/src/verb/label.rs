//! `skep label`: sets and removes labels of services and nodes.

use clap::Args;
use skep_api::key::Key;
use skep_api::manifest::Manifest;

use crate::apply::show;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output;
use crate::verb::edit::{MessageArgs, edit};
use crate::verb::set::assign::{Assignment, into_map};
use crate::verb::target::{StackArgs, Target, node};
use crate::view::Kind;

/// Set or remove labels of a service, a volume or a node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep label node/n1 zone=a disk=ssd    what constraints see as node.labels.zone and node.labels.disk
  skep label service/web tier-          takes a label away; no task is replaced")]
pub(crate) struct Label {
    /// KIND/NAME, such as node/n1 or service/web
    #[arg(value_name = "KIND/NAME")]
    target: Target,
    /// What to set, or with KEY- what to remove
    #[arg(value_name = "KEY=VALUE|KEY-", required = true)]
    pairs: Vec<Assignment>,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
}

impl Label {
    /// Sets them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let key = if self.target.kind == Kind::Nodes {
            Key::Node(node(&store, &self.target.name).await?)
        } else if self.target.kind == Kind::Volumes {
            Key::Volume(self.target.reference(&self.stack)?)
        } else {
            Key::Service(self.target.service(&self.stack)?)
        };
        let mut writer = self.message.writer(&store, context);
        let change = |object: &mut Manifest| {
            let labels = match object {
                Manifest::Service(service) => &mut service.metadata.labels,
                Manifest::Volume(volume) => &mut volume.metadata.labels,
                Manifest::Node { spec, .. } => &mut spec.labels,
                Manifest::Cluster(_) => {
                    let reason = "a Cluster has no labels".to_owned();
                    return Err(Failure::Forbidden { object: "Cluster".to_owned(), reason });
                }
            };
            into_map(labels, &self.pairs);
            Ok(())
        };
        let report = edit(&store, &mut writer, &[key], change).await?;
        output::print(&show::report(&report))?;
        Ok(())
    }
}
