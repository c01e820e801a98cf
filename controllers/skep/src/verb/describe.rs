//! `skep describe`: one object with all that belongs to it.

use clap::Args;
use skep_api::key::{Key, prefix};
use skep_store::{Range, Update};

use crate::cli::Context;
use crate::cut::Cut;
use crate::failure::Failure;
use crate::output;
use crate::verb::target::{self, StackArgs, Target};
use crate::view::{Kind, Selection, Style, describe, items};

/// What belongs to a service, a task or a node.
const READ: [&str; 9] = [
    prefix::REVISIONS,
    prefix::SERVICES,
    prefix::NODES,
    prefix::TASKS,
    prefix::ROLLOUTS,
    prefix::SERVICE_STATUSES,
    prefix::NODE_STATUSES,
    prefix::TASK_STATUSES,
    prefix::EVENTS,
];

/// Show a service, a task, a node or the cluster's settings with everything that belongs to it: why it is as it is, and what comes next
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep describe service/web        what is wanted, how far it is, its tasks and events
  skep describe task/web.2.0000c   one task: its exit code, its health, its last lines
  skep describe node/n1            a machine, what it gives, and what runs on it
  skep describe cluster            what holds for every service that does not say otherwise")]
pub(crate) struct Describe {
    /// KIND/NAME: a service, a task or a node; or cluster
    #[arg(value_name = "KIND/NAME")]
    target: Target,
    #[command(flatten)]
    stack: StackArgs,
    /// With more columns, and instants in full
    #[arg(long)]
    wide: bool,
}

impl Describe {
    /// Shows it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let is_node = self.target.kind == Kind::Nodes;
        let node = if is_node { Some(target::node(&store, &self.target.name).await?) } else { None };
        let ranges: Vec<Range> =
            READ.map(Range::prefix).into_iter().chain([Range::key(&Key::Cluster)]).collect();
        let mut cut = Cut::new(store.identity()?.cluster);
        cut.take(Update::Resync(store.list_all(&ranges).await?));
        let style = Style { now: context.env.now(), is_wide: self.wide, has_stacks: false };
        let stack = self.target.stack.as_deref().unwrap_or(&self.stack.stack);
        let page = match (self.target.kind, &node) {
            (Kind::Services, _) => describe::service(&cut, &self.target.service(&self.stack)?, style),
            (Kind::Tasks, _) => describe::task(&cut, stack, &self.target.name, style),
            (Kind::Nodes, Some(node)) => describe::node(&cut, node, style),
            (Kind::Cluster, _) if self.target.is_the_cluster() => Some(describe::cluster(&cut)),
            (Kind::Cluster, _) => None,
            (kind, _) => {
                let rule = format!(
                    "this describes services, tasks, nodes and the cluster, not {kind}: use skep get"
                );
                return Err(Failure::Argument { argument: self.target.name.clone(), rule });
            }
        };
        if let Some(page) = page {
            return Ok(output::print(&page)?);
        }
        let kind = self.target.kind;
        let names = vec![self.target.name.clone()];
        let selection = Selection { stack: Some(stack.parse()?), names, ..Selection::default() };
        Err(Failure::NotFound(selection.missing(kind, &items(kind, &cut, style))))
    }
}
