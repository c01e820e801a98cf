//! Answers as people read them: no more than a screen, and the fix on a line of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skep_api::condition;
use skep_api::ident::TaskName;
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::object::Object;
use skep_api::service::{ServiceStatus, Strategy};
use skep_api::task::{NearMiss, Obstacle, Remedy, TaskState};
use skep_scheduler::{Answer, Scored, Why, WhyNot};

use crate::cut::Cut;
use crate::failure::count;
use crate::output::table::wrap;
use crate::output::{Table, printable};
use crate::sandbox::picture::service_name;
use crate::tasks::Found;

/// How wide a line may be, in characters.
const WIDTH: usize = 100;
/// How many reasons of one service are told.
const REASONS_MAX: usize = 2;
/// How many filters of one reason are told when there are several reasons.
const OBSTACLES_MAX: usize = 4;
/// How many nodes are told.
const NODES_MAX: usize = 8;
/// How many tasks of a node are named.
const NAMES_MAX: usize = 6;

/// A service and what is known of its tasks.
pub(super) struct Tasks<'a> {
    pub(super) cut: &'a Cut,
    /// The service.
    pub(super) service: &'a ServiceRef,
    /// All tasks that wait.
    pub(super) waiting: &'a [TaskRef],
    /// All tasks that have a node.
    pub(super) placed: &'a [TaskRef],
    /// Why the first of those wait that do.
    pub(super) waits: &'a [Why],
    pub(super) status: Option<&'a ServiceStatus>,
}

/// What is said of a task that has ended, or is to.
pub(super) fn over(found: &Found) -> String {
    let words = if found.words.is_empty() { String::new() } else { format!(": {}", found.words) };
    let mut page = String::new();
    if found.state.is_terminal() {
        paragraph(&mut page, "", &format!("{} has ended, {}{words}", found.task.name, found.state));
    } else {
        let on = if found.node.is_empty() { String::new() } else { format!(" on {}", found.node) };
        let told = format!("{} is told to stop{on} ({}){words}", found.task.name, found.state);
        paragraph(&mut page, "", &told);
    }
    page
}

/// Why one task is where it is, or waits.
pub(super) fn task(cut: &Cut, found: &Found, why: &Why) -> String {
    let mut page = String::new();
    match &why.answer {
        Answer::Waiting { error, obstacles, remedy } => {
            paragraph(&mut page, "", &format!("{} waits for a node: {error}", why.task));
            reasons(&mut page, obstacles, remedy.as_ref(), usize::MAX);
        }
        Answer::Soon { node } => {
            paragraph(&mut page, "", &format!("{} is about to be placed on {}", why.task, node.node));
        }
        Answer::Placed { strategy, node, is_own, others } => {
            placed(
                &mut page,
                cut,
                found,
                why,
                &Choice { strategy: *strategy, node, is_own: *is_own, others },
            );
        }
    }
    page
}

struct Choice<'a> {
    strategy: Strategy,
    node: &'a Scored,
    is_own: bool,
    others: &'a [Scored],
}

fn placed(page: &mut String, cut: &Cut, found: &Found, why: &Why, choice: &Choice<'_>) {
    let words = if found.state == TaskState::Running || found.words.is_empty() {
        String::new()
    } else {
        format!(": {}", found.words)
    };
    paragraph(page, "", &format!("{} is on {}, {}{words}", why.task, choice.node.node, found.state));
    let service = why.task.service();
    if choice.is_own {
        paragraph(
            page,
            "",
            &format!("It belongs to that node: {service} has a task on every node that fits."),
        );
    } else if choice.others.is_empty() {
        paragraph(page, "", "No other node would take it.");
    } else {
        page.push('\n');
        let all = std::iter::once(choice.node).chain(choice.others);
        let names = all.clone().enumerate().map(|(index, node)| match index {
            0 => format!("{} *", node.node),
            _ => node.node.clone(),
        });
        let names: Vec<String> = names.collect();
        page.push_str(&scores(service, names.iter().map(String::as_str).zip(all)));
        let rule = match choice.strategy {
            Strategy::Spread => "spread takes the smallest, compared from left to right",
            Strategy::Binpack => "binpack takes the fullest that fits",
            Strategy::Random => "random draws one of those that fit",
        };
        let _ = writeln!(page, "* as it would be without the task; {rule}");
    }
    let key = Key::Eviction(found.task.clone());
    if let Some(Object::Eviction(eviction)) = cut.object(&key) {
        paragraph(page, "", &format!("It is asked to leave: {}", eviction.message));
    }
}

fn scores<'a>(service: &str, nodes: impl Iterator<Item = (&'a str, &'a Scored)>) -> String {
    let nodes: Vec<(&str, &Scored)> = nodes.collect();
    let levels = nodes.iter().map(|(_, node)| node.score.branches.len()).max().unwrap_or(0);
    let branches = (1..=levels)
        .map(|level| if levels == 1 { "IN BRANCH".to_owned() } else { format!("IN BRANCH {level}") });
    let heading = ["  NODE".to_owned(), "FAILURES".to_owned()].into_iter().chain(branches);
    let tail =
        [format!("TASKS OF {}", service.to_uppercase()), "RESERVED".to_owned(), "ALL TASKS".to_owned()];
    let mut table = Table::new(heading.chain(tail));
    for (name, Scored { score, .. }) in nodes {
        let branch = |level| score.branches.get(level).map_or(String::new(), ToString::to_string);
        let head = [format!("  {name}"), score.failures.to_string()].into_iter();
        let tail = [
            score.tasks_of_service.to_string(),
            format!("{}.{}%", score.reserved / 10, score.reserved % 10),
            score.tasks.to_string(),
        ];
        table.push(head.chain((0..levels).map(branch)).chain(tail));
    }
    table.to_string()
}

/// An answer of one sentence.
pub(super) fn sentence(words: &str) -> String {
    let mut page = String::new();
    paragraph(&mut page, "", words);
    page
}

/// Why another task of a service would not go to a node, or would; `idle` says why it wants none whatever the filters say.
pub(super) fn why_not(service: &ServiceRef, answered: &WhyNot, idle: Option<&str>) -> String {
    let (mut page, name, node) = (String::new(), service_name(service), &answered.node.node);
    let verdict = if answered.fits { "fits on" } else { "does not fit on" };
    paragraph(
        &mut page,
        "",
        &format!("Another task of {name} (revision {}) {verdict} {node}.", answered.revision),
    );
    page.push('\n');
    for verdict in &answered.filters {
        let words = if verdict.passed { "ok".to_owned() } else { format!("NO: {node} {}", verdict.missing) };
        row(&mut page, verdict.filter, &words);
    }
    page.push('\n');
    match idle {
        Some(words) => paragraph(&mut page, "", words),
        None => next(&mut page, service, answered),
    }
    if let Some(remedy) = &answered.remedy {
        fix(&mut page, remedy);
    }
    page
}

/// Where the next task would go.
fn next(page: &mut String, service: &ServiceRef, answered: &WhyNot) {
    match &answered.best {
        Some(best) if best.id != answered.node.id => {
            let both = [(answered.node.node.as_str(), &answered.node), (best.node.as_str(), best)];
            page.push_str(&scores(service.name.as_str(), both.into_iter()));
            paragraph(page, "", &format!("The next task would go to {}.", best.node));
        }
        Some(_) => paragraph(page, "", "The next task would go there."),
        None => paragraph(page, "", "No node would take another task of it now."),
    }
}

impl Tasks<'_> {
    pub(super) fn page(&self) -> String {
        let (mut page, name) = (String::new(), service_name(self.service));
        let verb = if self.placed.len() == 1 { "has" } else { "have" };
        let waits = if self.waiting.len() == 1 { "waits" } else { "wait" };
        let have = format!(
            "{} {verb} a node, {} {waits} for one",
            count(self.placed.len(), "task"),
            self.waiting.len()
        );
        paragraph(&mut page, "", &format!("{name}: {have}"));
        self.reasons(&mut page);
        self.nodes(&mut page);
        if self.waiting.is_empty() {
            self.unready(&mut page);
        }
        page
    }

    /// Those that wait for the same together.
    fn reasons(&self, page: &mut String) {
        let mut groups: Vec<(&Answer, Vec<&TaskName>)> = Vec::new();
        for why in self.waits {
            match groups.iter_mut().find(|(answer, _)| **answer == why.answer) {
                Some((_, tasks)) => tasks.push(&why.task),
                None => groups.push((&why.answer, vec![&why.task])),
            }
        }
        let unseen = self.waiting.len().saturating_sub(self.waits.len());
        let obstacles_max = if groups.len() > 1 { OBSTACLES_MAX } else { usize::MAX };
        for (index, (answer, tasks)) in groups.iter().take(REASONS_MAX).enumerate() {
            let names: Vec<String> = tasks.iter().map(|task| self.short(task)).collect();
            let others = if index == 0 && groups.len() == 1 { unseen } else { 0 };
            page.push('\n');
            match answer {
                Answer::Waiting { error, obstacles, remedy } => {
                    paragraph(page, "", &format!("{}: {error}", some(&names, NAMES_MAX, others)));
                    reasons(page, obstacles, remedy.as_ref(), obstacles_max);
                }
                Answer::Soon { node } | Answer::Placed { node, .. } => {
                    paragraph(
                        page,
                        "",
                        &format!("{}: about to be placed on {}", some(&names, NAMES_MAX, others), node.node),
                    );
                }
            }
        }
        if groups.len() > REASONS_MAX {
            let more = count(groups.len() - REASONS_MAX, "more reason");
            paragraph(
                page,
                "",
                &format!("and {more}: ask for one task, such as skep why {}.1", service_name(self.service)),
            );
        }
    }

    fn nodes(&self, page: &mut String) {
        let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for task in self.placed {
            nodes.entry(self.cut.place_name(&task.place)).or_default().push(self.short(&task.name));
        }
        if nodes.is_empty() {
            return;
        }
        page.push('\n');
        let is_brief = !self.waiting.is_empty();
        let shown = if is_brief { NODES_MAX / 2 } else { NODES_MAX };
        let mut table = Table::new(["  NODE", "TASKS", "WHICH"]);
        for (node, tasks) in nodes.iter().take(shown) {
            table.push([format!("  {node}"), tasks.len().to_string(), some(tasks, NAMES_MAX, 0)]);
        }
        page.push_str(&table.to_string());
        if nodes.len() > shown {
            let _ = writeln!(page, "  and {}", count(nodes.len() - shown, "more node"));
        }
    }

    /// What keeps the service from being as it is wanted, if it is not a node.
    fn unready(&self, page: &mut String) {
        if let Some(invalid) =
            self.cut.entry(&Key::Service(self.service.clone())).and_then(|entry| entry.value.as_ref().err())
        {
            return paragraph(page, "", &format!("Its spec is not valid: {invalid}"));
        }
        let ready = self.status.and_then(|status| condition::find(&status.conditions, "Ready"));
        if let Some(ready) = ready.filter(|ready| ready.status != condition::Truth::True) {
            paragraph(page, "", &format!("Not ready: {}: {}", ready.reason, ready.message));
        }
        if let Some(next) = self.status.and_then(|status| status.next.as_ref()) {
            paragraph(page, "", &format!("Next: {}", next.message));
        }
    }

    /// `web.2`; `web@n3` if the slot is the node.
    fn short(&self, task: &TaskName) -> String {
        let node = task.slot().parse().ok().map(Place::Node);
        match node
            .filter(|node| node.node().is_some_and(|node| self.cut.entry(&Key::Node(node.clone())).is_some()))
        {
            Some(node) => format!("{}@{}", task.service(), self.cut.place_name(&node)),
            None => format!("{}.{}", task.service(), task.slot()),
        }
    }
}

/// The filters that exclude nodes, each with those that are nearest, and the fix.
fn reasons(page: &mut String, obstacles: &[Obstacle], remedy: Option<&Remedy>, obstacles_max: usize) {
    if !obstacles.is_empty() {
        page.push('\n');
    }
    // With many filters there is only room for the nearest node of each.
    let near_max = if obstacles.len() > OBSTACLES_MAX || obstacles_max < usize::MAX { 1 } else { 3 };
    for obstacle in obstacles.iter().take(obstacles_max) {
        let near: Vec<String> = obstacle
            .near
            .iter()
            .take(near_max)
            .map(|NearMiss { node, missing }| format!("{node} {missing}"))
            .collect();
        let words = if near.is_empty() { obstacle.detail.clone() } else { near.join("; ") };
        let nodes = count(usize::try_from(obstacle.nodes).unwrap_or(usize::MAX), "node");
        row(page, &obstacle.filter, &format!("{nodes}: {words}"));
    }
    if let Some(remedy) = remedy {
        page.push('\n');
        fix(page, remedy);
    }
}

fn fix(page: &mut String, remedy: &Remedy) {
    paragraph(page, "", &format!("Fix: {}", remedy.message));
}

fn row(page: &mut String, name: &str, words: &str) {
    paragraph(page, &format!("  {name:<14}"), words);
}

/// `text` in lines, the first behind `head`, the others below its end.
fn paragraph(page: &mut String, head: &str, text: &str) {
    let indent = if head.is_empty() { 0 } else { head.chars().count() };
    let lines = wrap(&printable(text), WIDTH - indent);
    let _ = writeln!(page, "{head}{}", lines.join(&format!("\n{:indent$}", "")));
}

/// Some of `names`, and how many there are beside.
fn some(names: &[String], max: usize, others: usize) -> String {
    let shown: Vec<&str> = names.iter().take(max).map(String::as_str).collect();
    let rest = names.len() - shown.len() + others;
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
