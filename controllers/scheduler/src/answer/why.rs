//! Why a task waits, or is where it is.

use serde::Serialize;
use skep_api::ident::{TaskName, Uid};
use skep_api::key::{Place, TaskRef};
use skep_api::service::Strategy;
use skep_api::task::{Obstacle, Remedy, Task};
use skep_api::time::Timestamp;

use crate::answer::score::{Scored, scored, thousandths};
use crate::explain::{Reason, explain, explain_one};
use crate::node::NodeNumber;
use crate::place::Placing;
use crate::plan::Ask;
use crate::record::{self, TaskId};
use crate::subject::Group;
use crate::world::SchedulerWorld;

/// How many other nodes are told.
const OTHERS_MAX: usize = 3;

/// What is to be said of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// The task.
    pub task: TaskName,
    /// Why.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Why a task waits, or is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// No node takes it.
    Waiting {
        /// In Swarm's words.
        error: String,
        /// By filter, the most frequent first.
        obstacles: Vec<Obstacle>,
        /// The smallest change that would help.
        #[serde(skip_serializing_if = "Option::is_none")]
        remedy: Option<Remedy>,
    },
    /// It waits, and a node takes it: it is about to be placed there.
    Soon {
        /// The node, as it is before.
        node: Scored,
    },
    /// It has a node.
    Placed {
        /// How nodes are compared.
        strategy: Strategy,
        /// The node, as it would be without the task.
        node: Scored,
        /// Whether it belongs to that node: the service is global.
        is_own: bool,
        /// The best of the other nodes that would take it, best first.
        others: Vec<Scored>,
    },
}

impl SchedulerWorld {
    /// Why the task `task` waits, or is where it is. An error says what is not known of it.
    pub fn why(&self, task: &TaskRef, now: Timestamp) -> Result<Why, String> {
        let answer = match &task.place {
            Place::Pending => self.why_waiting(task, now)?,
            Place::Node(node) => {
                let missing = || format!("there is no task {} on that node", task.name);
                let (number, node) = self.fleet.find(node).ok_or_else(missing)?;
                let record = node.ledger.record(&TaskId::of(task)).and_then(|record| record.task.as_ref());
                self.why_placed(number, record.ok_or_else(missing)?, now)?
            }
        };
        Ok(Why { task: task.name.clone(), answer })
    }

    /// The tasks of the service `uid` that have not ended: those that wait first, each part in the order of their names.
    pub fn tasks_to_explain(&self, uid: &Uid) -> Vec<TaskRef> {
        let groups = self.pending.groups_of(uid);
        let mut waiting: Vec<TaskRef> =
            groups.flat_map(|group| self.pending.tasks(group)).map(|waiter| waiter.key.clone()).collect();
        let nodes = self.fleet.nodes_of(uid).filter_map(|id| self.fleet.find(id));
        let mut placed: Vec<TaskRef> = nodes
            .flat_map(|(_, node)| {
                let records = node.ledger.records();
                let is_of = |task: &Task| task.uid == *uid;
                let wanted =
                    records.filter(move |(_, record)| record.wanted().is_some_and(|task| is_of(task)));
                wanted.map(|(id, _)| id.on(&node.id))
            })
            .collect();
        waiting.sort_by(|one, other| one.name.cmp(&other.name));
        placed.sort_by(|one, other| one.name.cmp(&other.name));
        waiting.into_iter().chain(placed).collect()
    }

    fn why_waiting(&self, key: &TaskRef, now: Timestamp) -> Result<Answer, String> {
        let waiter = self.pending.waiter(key).ok_or_else(|| format!("no task {} waits", key.name))?;
        let group = Group::of(&waiter.task);
        let ruling = self.rules.of(&group.service).ok_or("its service is gone")?;
        let ask = match Ask::of(self, &group, ruling) {
            Ok(ask) => ask,
            Err(error) => return Ok(Answer::Waiting { error, obstacles: Vec::new(), remedy: None }),
        };
        let terms = ask.terms(self, now);
        let mut placing = Placing::new(&self.fleet, terms);
        for other in self.pending.tasks(&group) {
            // As it is before this task, or the others, are there.
            let Some(choice) = placing.place(&other.key, &other.task) else { continue };
            if other.key == waiter.key {
                let fresh = Placing::new(&self.fleet, terms);
                let number = self.fleet.number(&choice.node.id);
                let node = number.and_then(|number| scored(&self.fleet, &fresh, number));
                return Ok(Answer::Soon { node: node.ok_or("its node is gone")? });
            }
        }
        let home = placing.home(&waiter.key, &waiter.task);
        let Reason { error, obstacles, remedy } = match record::own_node(&waiter.task) {
            Some(only) => {
                let node = self.fleet.find(only).ok_or("the node that it belongs to is gone")?;
                explain_one(&self.fleet, node, &placing, terms.share, home.as_ref())
            }
            None => explain(&self.fleet, &placing, terms.share, home.as_ref()),
        };
        Ok(Answer::Waiting { error, obstacles, remedy })
    }

    fn why_placed(&self, number: NodeNumber, task: &Task, now: Timestamp) -> Result<Answer, String> {
        let group = Group::of(task);
        let ruling = self.rules.of(&group.service).ok_or("its service is gone")?;
        let terms = Ask::of(self, &group, ruling)?.terms(self, now);
        let placing = Placing::new(&self.fleet, terms);
        let strategy = terms.rules.strategy.unwrap_or(terms.strategy);
        let mut node = scored(&self.fleet, &placing, number).ok_or("its node is gone")?;
        node.score.tasks_of_service = node.score.tasks_of_service.saturating_sub(1);
        node.score.tasks = node.score.tasks.saturating_sub(1);
        if let Some(there) = self.fleet.node(number).filter(|_| node.score.reserved > 0) {
            node.score.reserved = thousandths(there.fullness_without(terms.share));
        }
        for branch in &mut node.score.branches {
            *branch = branch.saturating_sub(1);
        }
        let is_own = record::own_node(task).is_some();
        let fit = self.fleet.known().map(|(other, _)| other).filter(|other| *other != number && !is_own);
        let fit = fit.filter(|other| placing.miss(*other, terms.share).is_none());
        let mut fit: Vec<_> = fit
            .map(|other| {
                let (standing, branches) = placing.standing(other);
                (standing.faults, branches, standing.rank(strategy))
            })
            .collect();
        fit.sort();
        let others = fit.into_iter().take(OTHERS_MAX);
        let others = others.filter_map(|(_, _, rank)| scored(&self.fleet, &placing, rank.node)).collect();
        Ok(Answer::Placed { strategy, node, is_own, others })
    }
}
