//! `skep rebalance`: moves running tasks to nodes that suit them better, once, because a person says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use skep_api::key::{Key, ServiceRef};
use skep_api::time::Timestamp;
use skep_runtime::controller::World;
use skep_runtime::plan::{Change, Write};
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::{Proposal, SchedulerWorld, proposals};
use skep_store::{Outcome, Store};

use crate::cli::Context;
use crate::cut::Cut;
use crate::failure::{Failure, count};
use crate::output;
use crate::progress;
use crate::sandbox::Sandbox;
use crate::sandbox::compare::Comparison;
use crate::sandbox::picture::Picture;
use crate::sandbox::show::AnswerArgs;
use crate::verb::edit::WaitArgs;
use crate::verb::target::{StackArgs, nothing_in, service};
use crate::verb::whatif::read;

/// Move running tasks to nodes that suit them better: nodes that joined, came back or have become empty
///
/// A task moves only if that makes the spread more even, by the rules by which tasks are placed. The new task runs before the
/// old one stops, as many at a time as the service's `update.parallelism` allows; a move that turns out to help no more is
/// not made. Services that are being updated, or of which a task does not run, are left alone. To have this done whenever a
/// service is idle, say `placement.rebalance: whenIdle` in its manifest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep rebalance --plan      which tasks would move, and what the nodes would have then
  skep rebalance web         move those of the service web, and wait until they have moved")]
pub(crate) struct Rebalance {
    /// Services; all of them if none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    stack: StackArgs,
    /// Only say what would move: nothing is changed
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    answer: AnswerArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Rebalance {
    /// Asks for the moves, and waits until they are made.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let (cut, now) = (read(&store).await?, context.env.now());
        let found = proposals(&world(&cut), self.services(&cut)?.as_deref(), now);
        if self.plan {
            return self.answer.give(&preview(&cut, now, &found)?);
        }
        let asked = ask(&store, &found).await?;
        output::print(&told(&found, asked.len()))?;
        if self.wait.detach || asked.is_empty() {
            return Ok(());
        }
        progress::moved(&store, asked, self.wait.timeout).await
    }

    fn services(&self, cut: &Cut) -> Result<Option<Vec<ServiceRef>>, Failure> {
        if self.services.is_empty() {
            return Ok(None);
        }
        let named = |name: &String| {
            let name = name.strip_prefix("service/").unwrap_or(name);
            let service = service(&self.stack.stack, name)?;
            let is_there = cut.entry(&Key::Service(service.clone())).is_some();
            if is_there { Ok(service) } else { Err(nothing_in(cut, &service)) }
        };
        self.services.iter().map(named).collect::<Result<_, _>>().map(Some)
    }
}

/// The world as the scheduler sees it.
fn world(cut: &Cut) -> SchedulerWorld {
    let mut world = SchedulerWorld::new(cut.cluster());
    for (key, found) in cut.iter() {
        let stamp = Stamp { created: found.created, modified: found.modified };
        world.apply(key, Some(&Entry { value: found.value.clone().map_err(Arc::new), stamp }));
    }
    world
}

/// What the cluster comes to if the moves are asked for.
fn preview(cut: &Cut, now: Timestamp, found: &[Proposal]) -> Result<Comparison, Failure> {
    let mut sandbox = Sandbox::of(cut, now);
    let before = Picture::of(&sandbox);
    for proposal in found {
        for write in proposal.change.transaction().writes {
            if let Write::Put(key, object) = write {
                sandbox.put(&key, object);
            }
        }
    }
    let rest = sandbox.run()?;
    let change = format!("rebalance: {}", count(found.len(), "move"));
    Ok(Comparison::of(Some(change), rest, before, Picture::of(&sandbox)))
}

/// Writes the requests; the keys of those that are there now. One that something else has overtaken is left out.
async fn ask(store: &Store, found: &[Proposal]) -> Result<BTreeSet<Key>, Failure> {
    let mut keys = Vec::new();
    let mut transactions = Vec::new();
    for proposal in found {
        transactions.push(proposal.change.transaction().encode()?);
        keys.push(Key::Eviction(proposal.task.clone()));
    }
    let mut asked = BTreeSet::new();
    for (key, answer) in keys.into_iter().zip(store.commit_all(&[], transactions).await) {
        if let Outcome::Committed { .. } = answer? {
            asked.insert(key);
        }
    }
    Ok(asked)
}

fn told(found: &[Proposal], asked: usize) -> String {
    if found.is_empty() {
        return "every task is where it is best: nothing moves\n".to_owned();
    }
    let line = |proposal: &Proposal| {
        let name = &proposal.task.name;
        format!("{}.{}  {} → {}\n", proposal.service.docker_name(), name.slot(), proposal.from, proposal.to)
    };
    let sum = format!("{} asked for\n", count(asked, "move"));
    let rest =
        if asked < found.len() { "some tasks have changed meanwhile: run it again for those\n" } else { "" };
    found.iter().map(line).chain([sum, rest.to_owned()]).collect()
}
