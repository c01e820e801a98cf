//! `skep whatif`: what a change would do to the cluster, tried on a copy of it. Nothing is changed.

mod change;
#[cfg(test)]
mod tests;

pub(crate) use change::join;

use clap::{Args, Subcommand};
use skep_api::time::Timestamp;
use skep_store::{Range, Store, Update};

use crate::cli::Context;
use crate::cut::Cut;
use crate::failure::{Failure, count};
use crate::sandbox::Sandbox;
use crate::sandbox::compare::Comparison;
use crate::sandbox::picture::Picture;
use crate::sandbox::show::AnswerArgs;
use crate::verb::scale::Size;
use crate::verb::target::StackArgs;

/// See what a change would do before making it: what moves where, what waits, and why
///
/// The planners of the real controllers run on a copy of the cluster in memory until nothing moves any more, with containers
/// that start at once and stay healthy, runs of jobs that go on, and a clock that jumps. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep whatif drain n2             where the tasks of n2 would go
  skep whatif lose zone=b          whether the cluster survives the loss of a zone
  skep whatif scale web=40         whether there is room, and what is missing
  skep whatif add-node like n1     what another machine of that kind would change")]
pub(crate) struct WhatIf {
    #[command(subcommand)]
    question: Question,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// Services have another number of tasks
    Scale {
        /// A service and the number of its tasks; of a job, the number of its completions
        #[arg(value_name = "SERVICE=N", required = true)]
        sizes: Vec<Size>,
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Nodes are drained
    Drain {
        /// A node's name, its id, or the unique beginning of either
        #[arg(value_name = "NODE", required = true)]
        nodes: Vec<String>,
    },
    /// Nodes are lost for good
    Lose {
        /// A node, or all nodes with this label
        #[arg(value_name = "NODE|LABEL=VALUE", required = true)]
        what: Vec<String>,
    },
    /// Machines like one that is there join
    AddNode {
        /// The node that they are like in size, labels and all
        #[arg(value_name = "like NODE", num_args = 1..=2, required = true)]
        like: Vec<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
    },
}

impl WhatIf {
    /// Answers the question.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let cut = read(&store).await?;
        self.answer.give(&answer(&cut, context.env.now(), &self.question)?)
    }
}

/// Everything that controllers decide from, at one revision.
pub(crate) async fn read(store: &Store) -> Result<Cut, Failure> {
    let mut cut = Cut::new(store.identity()?.cluster);
    cut.take(Update::Resync(store.list(&Range::controllers()).await?));
    Ok(cut)
}

/// Tries the change on a copy of the cluster.
pub(crate) fn answer(cut: &Cut, now: Timestamp, question: &Question) -> Result<Comparison, Failure> {
    let mut sandbox = Sandbox::of(cut, now);
    let seen = Picture::of(&sandbox);
    let rested = sandbox.run()?;
    let before = Picture::of(&sandbox);
    let (change, mut notes) = change::make(question, &mut sandbox, cut)?;
    let rest = sandbox.run()?;
    let moving = moving(&seen, &before);
    if moving > 0 {
        notes.push(format!(
            "the cluster is not at rest: {} still to come; what was before is told as it will be then",
            if moving == 1 { "1 move is".to_owned() } else { format!("{} are", count(moving, "move")) }
        ));
    } else if !rested.is_at_rest {
        notes.push("the cluster does not come to rest by itself".to_owned());
    }
    let mut compared = Comparison::of(Some(change), rest, before, Picture::of(&sandbox));
    compared.notes = notes;
    Ok(compared)
}

/// How many slots change their place.
fn moving(one: &Picture, other: &Picture) -> usize {
    let moved = one.slots.iter().filter(|(slot, place)| other.slots.get(slot) != Some(place)).count();
    moved + other.slots.keys().filter(|slot| !one.slots.contains_key(slot)).count()
}
