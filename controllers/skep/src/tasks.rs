//! Tasks as they are named on the command line – by service, by slot, or by their own name – and where they are.

use std::fmt;

use skep_api::ident::{NodeId, Stack};
use skep_api::key::{Key, ServiceRef, TaskRef, prefix};
use skep_api::object::Object;
use skep_api::task::{DesiredState, Task, TaskState};
use skep_store::{Range, Store, Update};

use crate::cut::Cut;
use crate::failure::Failure;
use crate::output::text::nearest;
use crate::view::Kind;

/// A name on the command line: of a service (`web`), of a slot (`web.2`), or of a task (`web.2.abc`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    stack: Stack,
    name: String,
}

/// A task, with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its key.
    pub(crate) task: TaskRef,
    /// What people call its node; nothing if it has none.
    pub(crate) node: String,
    /// What is wanted of it.
    pub(crate) desired: DesiredState,
    /// How far it is.
    pub(crate) state: TaskState,
    /// What is said of that: what went wrong, or what goes on.
    pub(crate) words: String,
    /// Whether it has a slot with a number.
    is_numbered: bool,
}

impl Asked {
    /// Reads `NAME`, `STACK/NAME`, `KIND/NAME` or `KIND/STACK/NAME`.
    ///
    /// # Errors
    /// [`Failure::Name`] if the stack cannot be one; [`Failure::Argument`] if there are more parts.
    pub(crate) fn parse(text: &str, stack: &Stack) -> Result<Self, Failure> {
        let mut parts: Vec<&str> = text.split('/').collect();
        let has_kind = |part: &&str| matches!(part.parse(), Ok(Kind::Services | Kind::Tasks));
        if parts.len() > 1 && parts.first().is_some_and(has_kind) {
            parts.remove(0);
        }
        let (stack, name) = match parts.as_slice() {
            [name] => (stack.clone(), *name),
            [stack, name] => (stack.parse()?, *name),
            _ => {
                let rule = "write SERVICE, SERVICE.SLOT or a task's name".to_owned();
                return Err(Failure::Argument { argument: text.to_owned(), rule });
            }
        };
        Ok(Self { stack, name: name.to_owned() })
    }

    /// Whether it names one task, and no other will ever be meant.
    pub(crate) fn is_task(&self) -> bool {
        self.name.matches('.').count() >= 2
    }

    /// The service, if it can be the name of one: not of a slot, nor of a task.
    pub(crate) fn service_ref(&self) -> Option<ServiceRef> {
        Some(ServiceRef::new(self.stack.clone(), self.name.parse().ok()?))
    }

    fn has(&self, task: &TaskRef) -> bool {
        let name = &task.name;
        task.stack == self.stack
            && (name.as_str() == self.name
                || name.service() == self.name
                || self.name.strip_prefix(name.service()).and_then(|rest| rest.strip_prefix('.'))
                    == Some(name.slot()))
    }

    /// Whether the service that is named, or that the task is named after, is there.
    pub(crate) fn has_service(&self, cut: &Cut) -> bool {
        let is_it =
            |service: &ServiceRef| service.stack == self.stack && service.name.as_str() == self.service();
        cut.iter().any(|(key, _)| matches!(key, Key::Service(service) if is_it(service)))
    }

    fn service(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }

    /// That nothing has this name, with what might be meant.
    pub(crate) fn not_found(&self, cut: &Cut) -> Failure {
        let mut names: Vec<(&Stack, &str)> = Vec::new();
        for (key, _) in cut.iter() {
            if let Key::Service(service) = key {
                names.push((&service.stack, service.name.as_str()));
            } else if let Key::Task(task) = key {
                names.push((&task.stack, task.name.as_str()));
            }
        }
        let advice = if let Some((stack, _)) = names.iter().find(|(_, name)| *name == self.name) {
            format!("; there is one in stack {stack}: add -s {stack}")
        } else {
            let here = names.iter().filter(|(stack, _)| **stack == self.stack).map(|(_, name)| *name);
            match nearest(&self.name, here) {
                _ if self.name != self.service() && self.has_service(cut) => {
                    format!("; see those that are there: skep get tasks {} -s {}", self.service(), self.stack)
                }
                Some(near) => format!("; did you mean `{near}`?"),
                None => "; see what there is: skep get services,tasks -A".to_owned(),
            }
        };
        Failure::NotFound(vec![format!(
            "no service and no task `{}` in stack {}{advice}",
            self.name, self.stack
        )])
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What must be read to find tasks.
pub(crate) fn ranges() -> Vec<Range> {
    [prefix::TASKS, prefix::TASK_STATUSES, prefix::NODES, prefix::SERVICES]
        .iter()
        .map(Range::prefix)
        .collect()
}

/// All tasks, as they are now.
pub(crate) async fn read(store: &Store) -> Result<Cut, Failure> {
    let mut cut = Cut::new(store.identity()?.cluster);
    cut.take(Update::Resync(store.list_all(&ranges()).await?));
    Ok(cut)
}

/// The tasks that are asked for, by slot, the oldest first.
pub(crate) fn find(cut: &Cut, asked: &Asked) -> Vec<Found> {
    let mut found: Vec<(u32, u64, Found)> = cut
        .iter()
        .filter_map(|(key, entry)| match (key, &entry.value) {
            (Key::Task(key), Ok(Object::Task(task))) if asked.has(key) => {
                Some((task.slot.number().unwrap_or(0), key.name.planned_at(), Found::new(cut, key, task)))
            }
            _ => None,
        })
        .collect();
    found.sort_by(|one, other| (one.0, one.1, &one.2.task).cmp(&(other.0, other.1, &other.2.task)));
    found.into_iter().map(|(_, _, found)| found).collect()
}

impl Found {
    fn new(cut: &Cut, key: &TaskRef, task: &Task) -> Self {
        let status = match cut.object(&Key::TaskStatus(key.clone())) {
            Some(Object::TaskStatus(status)) => Some(&**status),
            _ => None,
        };
        let has_node = key.place.node().is_some_and(|node| cut.entry(&Key::Node(node.clone())).is_some());
        let words = status.map(|status| status.error.as_ref().unwrap_or(&status.message).clone());
        Self {
            task: key.clone(),
            node: cut.place_name(&key.place),
            desired: task.desired,
            state: TaskState::observed(&key.place, status, has_node),
            words: words.unwrap_or_default(),
            is_numbered: task.slot.number().is_some(),
        }
    }

    /// Its node, if it has one.
    pub(crate) fn node_id(&self) -> Option<&NodeId> {
        self.task.place.node()
    }

    /// Its slot, as text.
    pub(crate) fn slot(&self) -> &str {
        self.task.name.slot()
    }

    /// Its service, its slot and its node: `web.2@n3`; `web@n3` if its slot is the node.
    pub(crate) fn short(&self) -> String {
        let service = self.task.name.service();
        if self.is_numbered {
            format!("{service}.{}@{}", self.slot(), self.node)
        } else {
            format!("{service}@{}", self.node)
        }
    }

    /// Whether its container may have been started.
    pub(crate) fn may_have_run(&self) -> bool {
        self.node_id().is_some() && self.state >= TaskState::Starting
    }

    /// Whether its container may run now.
    pub(crate) fn runs(&self) -> bool {
        self.node_id().is_some() && (TaskState::Starting..=TaskState::Running).contains(&self.state)
    }
}

/// The one task that is meant by whoever wants to reach into a container. A replacement is meant before what it replaces; one
/// that is named need not run if `may_have_ended`.
///
/// # Errors
/// [`Failure::NotFound`]; [`Failure::Idle`] if none runs; [`Failure::Argument`] if several do.
pub(crate) fn one(
    cut: &Cut,
    asked: &Asked,
    slot: Option<&str>,
    may_have_ended: bool,
) -> Result<Found, Failure> {
    let all = find(cut, asked);
    if all.is_empty() && (asked.is_task() || !asked.has_service(cut)) {
        return Err(asked.not_found(cut));
    }
    let all: Vec<Found> =
        all.into_iter().filter(|found| slot.is_none_or(|slot| found.slot() == slot)).collect();
    let mut running: Vec<&Found> = all.iter().filter(|found| found.runs()).collect();
    if running.iter().any(|found| found.desired < DesiredState::Shutdown) {
        running.retain(|found| found.desired < DesiredState::Shutdown);
    }
    match (running.as_slice(), all.as_slice()) {
        ([one], _) => Ok((*one).clone()),
        ([], [one]) if may_have_ended && one.may_have_run() => Ok(one.clone()),
        ([], _) => Err(Failure::Idle(idle(asked, slot, &all))),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|found| found.task.name.as_str()).collect();
            let how = if several.iter().all(|found| found.is_numbered) {
                "choose one with --slot, or name a task"
            } else {
                "name one"
            };
            Err(Failure::Argument {
                argument: asked.to_string(),
                rule: format!("{} tasks run, {how}: {}", several.len(), names.join(", ")),
            })
        }
    }
}

/// That nothing runs, and how far what there is has come.
fn idle(asked: &Asked, slot: Option<&str>, all: &[Found]) -> String {
    let slot = slot.map_or(String::new(), |slot| format!(" in slot {slot}"));
    let Some(last) = all.iter().max_by_key(|found| found.task.name.planned_at()) else {
        return format!("no task of {asked} runs{slot}: there is none");
    };
    let words = if last.words.is_empty() { String::new() } else { format!(", {}", last.words) };
    let what = format!("{} is {}{words}", last.task.name, last.state);
    if asked.is_task() {
        format!("the task does not run: {what}")
    } else {
        format!("no task of {asked} runs{slot}: {what}")
    }
}

#[cfg(test)]
impl Found {
    /// A task that runs on a node of this name.
    pub(crate) fn example(name: &str, node: &NodeId, node_name: &str) -> Self {
        let place = skep_api::key::Place::Node(node.clone());
        Self {
            task: TaskRef { place, stack: Stack::default(), name: name.parse().unwrap() },
            node: node_name.to_owned(),
            desired: DesiredState::Running,
            state: TaskState::Running,
            words: String::new(),
            is_numbered: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_api::ident::Uid;
    use skep_api::key::Place;

    use super::*;

    fn node() -> NodeId {
        "abcdefghijkl".parse().unwrap()
    }

    fn key(name: &str) -> TaskRef {
        TaskRef { place: Place::Node(node()), stack: Stack::default(), name: name.parse().unwrap() }
    }

    /// A cut of these tasks: name, what is wanted, state.
    fn cut(tasks: &[(&str, &str, &str)]) -> Cut {
        let uid = Uid::derive("c", "k", 1);
        let texts: Vec<(Key, String)> = tasks
            .iter()
            .flat_map(|(name, desired, state)| {
                let slot = name.split('.').nth(1).unwrap();
                let slot = slot.parse::<u32>().map_or(format!("{:?}", node().as_str()), |number| number.to_string());
                let task = format!(
                    r#"{{"uid":"{uid}","service":{{"stack":"default","name":"web"}},"slot":{slot},"revision":1,"desired":"{desired}","cause":"new"}}"#
                );
                let status = format!(r#"{{"state":"{state}","since":"2026-01-31T12:00:00Z","message":"so"}}"#);
                [(Key::Task(key(name)), task), (Key::TaskStatus(key(name)), status)]
            })
            .chain([(Key::Node(node()), format!("{{kind: Node, apiVersion: skep/v1, metadata: {{name: {}}}, spec: {{name: n3}}}}", node()))])
            .collect();
        let values: Vec<(Key, &str)> = texts.iter().map(|(key, text)| (key.clone(), text.as_str())).collect();
        Cut::of(&values)
    }

    fn asked(text: &str) -> Asked {
        Asked::parse(text, &Stack::default()).unwrap()
    }

    fn names(cut: &Cut, text: &str) -> Vec<String> {
        find(cut, &asked(text)).iter().map(|found| found.task.name.to_string()).collect()
    }

    #[test]
    fn a_service_a_slot_and_a_task_are_told_apart_by_their_names() {
        let cut = cut(&[
            ("web.10.00003", "RUNNING", "RUNNING"),
            ("web.2.00001", "SHUTDOWN", "FAILED"),
            ("web.2.00004", "RUNNING", "RUNNING"),
            ("web-2.1.00005", "RUNNING", "RUNNING"),
        ]);
        assert_eq!(names(&cut, "web"), ["web.2.00001", "web.2.00004", "web.10.00003"]);
        assert_eq!(names(&cut, "service/default/web").len(), 3);
        assert_eq!(names(&cut, "web.2"), ["web.2.00001", "web.2.00004"]);
        assert_eq!(names(&cut, "task/web.2.00001"), ["web.2.00001"]);
        assert_eq!(names(&cut, "shop/web"), Vec::<String>::new());
        assert!(asked("web.2.00001").is_task() && !asked("web.2").is_task());
        assert!(Asked::parse("a/b/c", &Stack::default()).is_err());
        assert_eq!(find(&cut, &asked("web.10"))[0].short(), "web.10@n3");
    }

    #[test]
    fn a_task_of_a_global_service_is_called_by_its_node() {
        let name = format!("web.{}.00001", node());
        let cut = cut(&[(&name, "RUNNING", "RUNNING")]);
        assert_eq!(find(&cut, &asked("web"))[0].short(), "web@n3");
    }

    fn chosen(cut: &Cut, text: &str, slot: Option<&str>, may_have_ended: bool) -> Result<String, String> {
        let found = one(cut, &asked(text), slot, may_have_ended);
        found.map(|found| found.task.name.to_string()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_one_task_that_runs_is_meant_and_a_replacement_before_what_it_replaces() {
        let tasks = cut(&[
            ("web.1.00001", "SHUTDOWN", "FAILED"),
            ("web.1.00002", "SHUTDOWN", "RUNNING"),
            ("web.1.00003", "RUNNING", "RUNNING"),
        ]);
        assert_eq!(chosen(&tasks, "web", None, false), Ok("web.1.00003".to_owned()));
        assert_eq!(chosen(&tasks, "web.1.00002", None, false), Ok("web.1.00002".to_owned()));
        assert_eq!(chosen(&tasks, "web.1.00001", None, true), Ok("web.1.00001".to_owned()));
        let words = chosen(&tasks, "web.1.00001", None, false).unwrap_err();
        assert_eq!(words, "the task does not run: web.1.00001 is FAILED, so");
    }

    #[test]
    fn several_that_run_are_named_and_a_slot_chooses_among_them() {
        let tasks = cut(&[("web.1.00001", "RUNNING", "RUNNING"), ("web.2.00002", "RUNNING", "STARTING")]);
        let words = chosen(&tasks, "web", None, false).unwrap_err();
        assert!(words.contains("2 tasks run") && words.contains("--slot"), "{words}");
        assert_eq!(chosen(&tasks, "web", Some("2"), false), Ok("web.2.00002".to_owned()));
        assert_eq!(chosen(&tasks, "web.2", None, false), Ok("web.2.00002".to_owned()));
        let words = chosen(&tasks, "web", Some("3"), false).unwrap_err();
        assert_eq!(words, "no task of web runs in slot 3: there is none");
    }

    #[test]
    fn a_name_that_is_nearly_right_is_suggested() {
        let tasks = cut(&[("web.1.00001", "RUNNING", "PREPARING")]);
        assert!(
            chosen(&tasks, "web.1.00002", None, false).unwrap_err().contains("did you mean `web.1.00001`?")
        );
        assert_eq!(
            chosen(&tasks, "web", None, false).unwrap_err(),
            "no task of web runs: web.1.00001 is PREPARING, so"
        );
    }
}
