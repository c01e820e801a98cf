//! Waiting until nothing of a node's tasks is left on it, and saying what still holds.

use std::collections::BTreeMap;

use skep_api::ident::{NodeId, TaskName, Uid};
use skep_api::key::{Key, Place, TaskRef, prefix};
use skep_api::node::{Availability, NodeState};
use skep_api::object::Object;
use skep_api::task::{DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_api::time::Span;
use skep_store::{Range, Store};

use crate::cut::Cut;
use crate::failure::{Failure, count};
use crate::progress::screen::{Line, Screen};
use crate::progress::until;

/// Waits until `node`, which is being drained, is empty, for at most `limit`.
///
/// # Errors
/// [`Failure::Unplaceable`] if then a task fits nowhere else, or [`Failure::Timeout`]; [`Failure::Conflict`] if the node is
/// not drained any more; [`Failure::Interrupted`].
pub(crate) async fn drained(store: &Store, node: &NodeId, limit: Span) -> Result<(), Failure> {
    let mut drain = Drain { node: node.clone(), cut: Cut::new(store.identity()?.cluster) };
    let resume = format!("skep drain {node}");
    let result = until(limit, &resume, drain.follow(store)).await;
    result.unwrap_or_else(|| Err(drain.overdue(limit)))
}

struct Drain {
    node: NodeId,
    cut: Cut,
}

/// A task that still is there.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    name: String,
    words: String,
    /// Whether no other node fits.
    is_unplaceable: bool,
}

impl Drain {
    async fn follow(&mut self, store: &Store) -> Result<(), Failure> {
        let groups = [prefix::NODES, prefix::TASKS, prefix::TASK_STATUSES].map(Range::prefix);
        let status = Range::key(&Key::NodeStatus(self.node.clone()));
        let mut follow = store.follow(groups.into_iter().chain([status]).collect());
        let mut screen = Screen::new();
        loop {
            self.cut.take(follow.next().await?);
            self.check()?;
            let holders = self.holders();
            let words = match holders.len() {
                0 => "is empty".to_owned(),
                left => format!("{} left", count(left, "task")),
            };
            let is_last = holders.is_empty();
            let lines = holders.into_iter().map(|it| Line { name: it.name, words: it.words, is_last: false });
            let all = Line { name: self.cut.node_name(&self.node), words, is_last };
            screen.show(lines.chain([all]));
            if is_last {
                return Ok(());
            }
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let name = self.cut.node_name(&self.node);
        match self.cut.object(&Key::Node(self.node.clone())) {
            Some(Object::Node(spec)) if spec.availability == Availability::Drain => Ok(()),
            Some(_) => Err(Failure::Conflict(vec![format!("{name} is not drained any more")])),
            None => Err(Failure::Conflict(vec![format!("{name} was deleted meanwhile")])),
        }
    }

    /// The tasks that have not ended on the node. On one that is Down, those that are told to stop hold nothing.
    fn holders(&self) -> Vec<Holder> {
        let is_down = matches!(self.cut.object(&Key::NodeStatus(self.node.clone())),
            Some(Object::NodeStatus(status)) if status.state == NodeState::Down);
        let successors = self.successors();
        let holder = |(at, task): (&TaskRef, &Task)| {
            if at.place.node() != Some(&self.node) {
                return None;
            }
            let is_told_to_stop = task.desired >= DesiredState::Shutdown;
            let state = TaskState::observed(&at.place, self.status(at), true);
            if state.is_terminal() || is_down && is_told_to_stop {
                return None;
            }
            let successor = successors.get(&(&task.uid, &at.name)).copied();
            let (words, is_unplaceable) = self.words(successor, is_told_to_stop);
            Some(Holder { name: name(task), words, is_unplaceable })
        };
        self.tasks().filter_map(holder).collect()
    }

    fn tasks(&self) -> impl Iterator<Item = (&TaskRef, &Task)> {
        self.cut.iter().filter_map(|(key, entry)| match (key, &entry.value) {
            (Key::Task(at), Ok(Object::Task(task))) => Some((at, &**task)),
            _ => None,
        })
    }

    /// The tasks that take over, by what they take over from.
    fn successors(&self) -> BTreeMap<(&Uid, &TaskName), &TaskRef> {
        let all = self.tasks().filter_map(|(at, task)| Some(((&task.uid, task.replaces.as_ref()?), at)));
        all.collect()
    }

    fn status(&self, at: &TaskRef) -> Option<&TaskStatus> {
        match self.cut.object(&Key::TaskStatus(at.clone())) {
            Some(Object::TaskStatus(status)) => Some(status),
            _ => None,
        }
    }

    fn words(&self, successor: Option<&TaskRef>, is_told_to_stop: bool) -> (String, bool) {
        let status = successor.and_then(|at| self.status(at));
        match successor.map(|at| (&at.place, at)) {
            None if is_told_to_stop => ("stops".to_owned(), false),
            None => ("waits for its turn".to_owned(), false),
            Some((Place::Pending, _)) => match status.and_then(|status| status.error.as_deref()) {
                Some(error) => (format!("waits for capacity elsewhere: {error}"), true),
                None => ("waits for a node that takes over".to_owned(), false),
            },
            Some((place, at)) => {
                let node = self.cut.place_name(place);
                let state = TaskState::observed(place, self.status(at), true);
                let words = if state == TaskState::Running {
                    format!("stops: {} runs on {node}", at.name)
                } else {
                    format!("waits for {} on {node}, which is {state}", at.name)
                };
                (words, false)
            }
        }
    }

    fn overdue(&self, limit: Span) -> Failure {
        let holders = self.holders();
        let words = holders.iter().map(|holder| format!("{} {}", holder.name, holder.words));
        let details = words.collect::<Vec<_>>().join("; ");
        if holders.iter().any(|holder| holder.is_unplaceable) {
            let name = self.cut.node_name(&self.node);
            return Failure::Unplaceable(format!("{name} is not empty after {limit}: {details}"));
        }
        Failure::Timeout { what: "not empty", details, limit }
    }
}

/// As Docker shows it: the service, and the number of a replicated slot.
fn name(task: &Task) -> String {
    match &task.slot {
        Slot::Number(number) => format!("{}.{number}", task.service.docker_name()),
        Slot::Node(_) => task.service.docker_name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "aaaaaaaaaaaa";

    fn drain(tasks: &[(&str, &str, &str, &str)]) -> Drain {
        let spec = "{apiVersion: skep/v1, kind: Node, metadata: {name: aaaaaaaaaaaa}, spec: {name: n1, availability: drain}}";
        let other = "{apiVersion: skep/v1, kind: Node, metadata: {name: bbbbbbbbbbbb}, spec: {name: n2}}";
        let mut values = vec![
            (Key::Node(NODE.parse().unwrap()), spec.to_owned()),
            (Key::Node("bbbbbbbbbbbb".parse().unwrap()), other.to_owned()),
        ];
        let uid = Uid::derive("c", "k", 1);
        for (place, name, more, status) in tasks {
            let key =
                |prefix: &str| Key::parse(&format!("/skep/{prefix}/tasks/{place}/default/{name}")).unwrap();
            let slot = name.split('.').nth(1).unwrap();
            let task = format!(
                "{{uid: {uid}, service: {{stack: default, name: web}}, slot: {slot}, revision: 1, cause: evict, {more}}}"
            );
            values.push((key("spec"), task));
            if !status.is_empty() {
                values.push((key("status"), format!("{{since: '2026-01-31T12:00:00Z', {status}}}")));
            }
        }
        let values: Vec<(Key, &str)> =
            values.iter().map(|(key, value)| (key.clone(), value.as_str())).collect();
        Drain { node: NODE.parse().unwrap(), cut: Cut::of(&values) }
    }

    fn words(drain: &Drain) -> Vec<String> {
        drain.holders().iter().map(|holder| format!("{} {}", holder.name, holder.words)).collect()
    }

    #[test]
    fn each_task_that_is_left_says_what_it_waits_for() {
        let drain = drain(&[
            (NODE, "web.1.a", "desired: RUNNING", "state: RUNNING"),
            (NODE, "web.2.a", "desired: RUNNING", "state: RUNNING"),
            ("-", "web.2.b", "desired: READY, replaces: web.2.a", "state: PENDING, error: no suitable node"),
            (NODE, "web.3.a", "desired: RUNNING", "state: RUNNING"),
            ("bbbbbbbbbbbb", "web.3.b", "desired: RUNNING, replaces: web.3.a", "state: PREPARING"),
            (NODE, "web.4.a", "desired: SHUTDOWN", "state: RUNNING"),
            ("bbbbbbbbbbbb", "web.4.b", "desired: RUNNING, replaces: web.4.a", "state: RUNNING"),
            (NODE, "web.5.a", "desired: SHUTDOWN", "state: SHUTDOWN"),
        ]);
        assert_eq!(
            words(&drain),
            [
                "web.1 waits for its turn",
                "web.2 waits for capacity elsewhere: no suitable node",
                "web.3 waits for web.3.b on n2, which is PREPARING",
                "web.4 stops: web.4.b runs on n2",
            ]
        );
        assert!(matches!(drain.overdue(Span::from_secs(1)), Failure::Unplaceable(_)));
    }

    #[test]
    fn a_node_is_empty_when_all_of_its_tasks_have_ended() {
        let drain = drain(&[
            (NODE, "web.1.a", "desired: SHUTDOWN", "state: SHUTDOWN"),
            ("bbbbbbbbbbbb", "web.1.b", "desired: RUNNING, replaces: web.1.a", "state: RUNNING"),
        ]);
        assert_eq!(words(&drain), Vec::<String>::new());
        assert!(drain.check().is_ok());
    }
}
