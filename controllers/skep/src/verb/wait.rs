//! `skep wait`: waits until something is true of objects, and not longer than it can come true.

use std::str::FromStr;

use clap::Args;
use skep_api::condition::Truth;
use skep_api::key::ServiceRef;
use skep_api::time::Span;
use skep_store::Store;

use crate::cli::Context;
use crate::failure::Failure;
use crate::progress::{self, Aim};
use crate::verb::rollout::goals;
use crate::verb::target::{StackArgs, Target, node};
use crate::view::Kind;

/// Wait until services or nodes are as they should be, or until nothing is left of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep wait service/web                                   until it runs as its spec says; a job until it is complete
  skep wait service/web --for deleted                     until nothing is left of it
  skep wait service/web --for condition=Available         until a condition is true
  skep wait service/web --for ready --for condition=RolledBack
  skep wait node/n1 --for condition=Ready=False           until its agent is not heard of

It ends at once, with exit code 6, when what is waited for cannot come by itself: an update that a failure has paused or
that was rolled back, a job that has failed.")]
pub(crate) struct Wait {
    /// KIND/NAME, such as service/web
    #[arg(value_name = "KIND/NAME", required = true)]
    targets: Vec<Target>,
    /// For what: ready, completed, deleted, condition=NAME[=True|False|Unknown]; of several, any is enough
    #[arg(long = "for", value_name = "WHAT", default_value = "ready")]
    what: Vec<What>,
    #[command(flatten)]
    stack: StackArgs,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct What(Aim);

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let aim = match text.split_once('=') {
            None if text == "ready" || text == "completed" => Aim::Ready,
            None if text == "deleted" => Aim::Deleted,
            Some(("condition", condition)) => {
                let (name, truth) = condition.split_once('=').unwrap_or((condition, "true"));
                let truth = match truth.to_lowercase().as_str() {
                    "true" => Truth::True,
                    "false" => Truth::False,
                    "unknown" => Truth::Unknown,
                    _ => return Err("a condition is True, False or Unknown".to_owned()),
                };
                if name.is_empty() {
                    return Err("write condition=NAME, such as condition=Available".to_owned());
                }
                Aim::Condition(name.to_owned(), truth)
            }
            _ => return Err("write ready, completed, deleted or condition=NAME".to_owned()),
        };
        Ok(Self(aim))
    }
}

impl Wait {
    /// Waits.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let (nodes, services): (Vec<&Target>, Vec<&Target>) =
            self.targets.iter().partition(|target| target.kind == Kind::Nodes);
        let services: Vec<ServiceRef> =
            services.into_iter().map(|target| target.service(&self.stack)).collect::<Result<_, _>>()?;
        let store = context.cluster.connect(&context.env).await?;
        let mut ids = Vec::new();
        for target in nodes {
            ids.push(node(&store, &target.name).await?);
        }
        let (services, nodes) = tokio::join!(
            self.services(&store, services),
            progress::nodes(&store, ids, self.aims(), self.timeout)
        );
        services.and(nodes)
    }

    async fn services(&self, store: &Store, services: Vec<ServiceRef>) -> Result<(), Failure> {
        if self.aims() == [Aim::Deleted] {
            return progress::deleted(store, services, self.timeout).await;
        }
        let goals = goals(store, &services).await?;
        let goals = goals.into_iter().map(|goal| goal.aiming(self.aims()));
        progress::ready(store, goals.collect(), self.timeout).await
    }

    fn aims(&self) -> Vec<Aim> {
        self.what.iter().map(|What(aim)| aim.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_written_as_in_kubectl() {
        let parse = |text: &str| text.parse::<What>().map(|What(aim)| aim);
        assert_eq!(parse("ready"), Ok(Aim::Ready));
        assert_eq!(parse("completed"), Ok(Aim::Ready));
        assert_eq!(parse("condition=Available"), Ok(Aim::Condition("Available".into(), Truth::True)));
        assert_eq!(parse("condition=Placed=false"), Ok(Aim::Condition("Placed".into(), Truth::False)));
        for wrong in ["redy", "condition=", "condition=A=maybe", "jsonpath=x", "condition"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
