//! `skep drain`, `pause` and `activate`: whether a node takes tasks.

use clap::Args;
use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::manifest::Manifest;
use skep_api::node::{Availability, DrainMode};

use crate::apply::show;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress;
use crate::verb::edit::{MessageArgs, WaitArgs, edit};
use crate::verb::target::node;

/// Move a node's tasks elsewhere, and wait until it is empty
///
/// Tasks move as in an update: within the service's parallelism, and start-first where the service is, so that the
/// replacement is healthy before the old one stops. The node gets no more until it is activated.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    node: NodeArg,
    /// Stop all of them at once, as Swarm does
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Give a node no more tasks; those that it has stay, and are not replaced there
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    node: NodeArg,
    #[command(flatten)]
    message: MessageArgs,
}

/// Let a node that was paused or drained have tasks again
#[derive(Debug, Args)]
pub(crate) struct Activate {
    #[command(flatten)]
    node: NodeArg,
    #[command(flatten)]
    message: MessageArgs,
}

#[derive(Debug, Args)]
struct NodeArg {
    /// Its name, its id, or the unique beginning of either
    #[arg(value_name = "NODE")]
    name: String,
}

impl Drain {
    /// Drains it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let mode = if self.now { DrainMode::Now } else { DrainMode::Gradual };
        let store = context.cluster.connect(&context.env).await?;
        let node = self.node.set(&store, context, &self.message, (Availability::Drain, mode)).await?;
        if self.wait.detach {
            return Ok(());
        }
        progress::drained(&store, &node, self.wait.timeout).await
    }
}

impl Pause {
    /// Pauses it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let wanted = (Availability::Pause, DrainMode::default());
        self.node.set(&store, context, &self.message, wanted).await.map(drop)
    }
}

impl Activate {
    /// Activates it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let wanted = (Availability::Active, DrainMode::default());
        self.node.set(&store, context, &self.message, wanted).await.map(drop)
    }
}

impl NodeArg {
    async fn set(
        &self,
        store: &skep_store::Store,
        context: &Context,
        message: &MessageArgs,
        (availability, drain): (Availability, DrainMode),
    ) -> Result<NodeId, Failure> {
        let name = self.name.strip_prefix("node/").or(self.name.strip_prefix("no/")).unwrap_or(&self.name);
        let id = node(store, name).await?;
        let mut writer = message.writer(store, context);
        let change = |object: &mut Manifest| {
            if let Manifest::Node { spec, .. } = object {
                (spec.availability, spec.drain) = (availability, drain);
            }
            Ok(())
        };
        let report = edit(store, &mut writer, &[Key::Node(id.clone())], change).await?;
        output::print(&show::report(&report))?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use skep_api::object::Object;

    use super::*;
    use crate::testing::Cluster;

    #[tokio::test]
    async fn a_node_is_drained_and_activated_again_by_its_name_each_with_a_change() {
        let cluster = Cluster::new().await;
        let key = Key::Node("aaaaaaaaaaaa".parse::<NodeId>().unwrap());
        let text = "{apiVersion: skep/v1, kind: Node, metadata: {name: aaaaaaaaaaaa}, spec: {name: n1, labels: {a: b}}}";
        cluster.put(&key, text).await;
        let (arg, message) = (NodeArg { name: "n1".to_owned() }, MessageArgs::default());
        let wanted = [
            (Availability::Drain, DrainMode::Now),
            (Availability::Pause, DrainMode::Gradual),
            (Availability::Active, DrainMode::Gradual),
        ];
        for wanted in wanted {
            arg.set(&cluster.store, &cluster.context, &message, wanted).await.unwrap();
            let Object::Node(spec) = cluster.object(&key).await else { panic!("no node") };
            assert_eq!((spec.availability, spec.drain), wanted);
            assert_eq!(spec.labels["a"], "b");
        }
        let changes = cluster.changes().await;
        let paths = changes.iter().map(|(_, change)| change.objects[0].fields[0].path.as_str());
        assert_eq!(paths.collect::<Vec<_>>(), ["spec.availability"; 3]);
    }
}
