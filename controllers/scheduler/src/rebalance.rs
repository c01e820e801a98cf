//! Moves running tasks to nodes that suit them better: nodes that joined, came back, or have become emptier.
//!
//! A move is made only if it lowers the score: the sums of squares of the tasks in each branch of each level, then of the
//! service's tasks on each node, then of what is on each node. A later part counts only where the earlier ones stay the
//! same. Each part is bounded, so moves come to an end, and planning them again afterwards finds none.

use std::collections::BTreeMap;

use skep_api::eviction::EvictionReason;
use skep_api::ident::Uid;
use skep_api::key::{ServiceRef, TaskRef};
use skep_api::service::{Rebalance, Strategy};
use skep_api::task::{DesiredState, TaskState};
use skep_api::time::{Span, Timestamp};
use skep_runtime::plan::Plan;

use crate::change::Change;
use crate::evict;
use crate::load::Load;
use crate::node::NodeNumber;
use crate::place::Survey;
use crate::plan::Ask;
use crate::record::{Record, TaskId, may_move};
use crate::subject::Group;
use crate::world::SchedulerWorld;

/// How often a service that may be moved is looked at while nothing happens to it.
const LOOK: Span = Span::from_secs(60);

/// A task that would be better on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Move {
    task: TaskId,
    from: NodeNumber,
    /// Where it would go as things are; the scheduler decides when it comes to it.
    to: NodeNumber,
}

/// A move that people may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The service.
    pub service: ServiceRef,
    /// The task, where it is.
    pub task: TaskRef,
    /// The name of the node that it leaves.
    pub from: String,
    /// The name of the node that suits it best as things are.
    pub to: String,
    /// The request, as the scheduler would write it, with its guards.
    pub change: Change,
}

/// How much a move lowers the score: which part, the first first, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gain {
    part: std::cmp::Reverse<usize>,
    by: u32,
}

/// A node, as the service sees it.
#[derive(Debug)]
struct Site<'w> {
    node: NodeNumber,
    /// The values of the levels' labels.
    path: Vec<&'w str>,
    /// Tasks of the service.
    replicas: u32,
    /// What is on the node, and what a task adds: tasks, or how full it is.
    load: u32,
    step: u32,
    /// Whether a task fits.
    is_open: bool,
    /// Those of its tasks that may go, the one that goes first last.
    movable: Vec<TaskId>,
}

/// Asks that tasks of `uid` move, if it wants that and has nothing else to do.
pub(crate) fn plan(world: &SchedulerWorld, uid: &Uid, now: Timestamp) -> Plan<Change> {
    let mut plan = Plan::default();
    let Some(ruling) = world.rules.of(uid) else { return plan };
    let Ok(rules) = &ruling.rules else { return plan };
    if rules.rebalance.unwrap_or(world.settings.rebalance) != Rebalance::WhenIdle {
        return plan;
    }
    plan.look_again_at(now.after(LOOK));
    if !world.is_idle(uid, rules) {
        return plan;
    }
    let most = if rules.parallelism == 0 { usize::MAX } else { to_usize(rules.parallelism) };
    let moves = moves(world, uid, most, now);
    for change in moves.iter().filter_map(|found| ask(world, found, now)) {
        plan.write(change);
    }
    if let Some(first) = moves.first().filter(|_| !plan.changes.is_empty()) {
        let message = format!("{} of its tasks would be better elsewhere: {}", moves.len(), first.why(world));
        plan.note(format!("Service/{}", ruling.service), "Rebalancing", message);
    }
    plan
}

/// What the moves of other services have brought to nodes and taken from them.
#[derive(Debug, Default)]
struct Traffic {
    came: BTreeMap<NodeNumber, Vec<Load>>,
    /// By how many tasks there are more.
    more: BTreeMap<NodeNumber, i32>,
}

/// The moves that would be for the better now, of tasks of `services`, or of all: what `skep rebalance` asks for.
///
/// Each is found as if those before it were made. The scheduler takes a request back that no longer helps when its turn
/// comes, and chooses the node itself.
pub fn proposals(world: &SchedulerWorld, services: Option<&[ServiceRef]>, now: Timestamp) -> Vec<Proposal> {
    let mut traffic = Traffic::default();
    let mut proposals = Vec::new();
    for (uid, ruling) in world.rules.all() {
        let is_named = services.is_none_or(|services| services.contains(&ruling.service));
        let is_idle = ruling.rules.as_ref().is_ok_and(|rules| world.is_idle(uid, rules));
        if !is_named || !is_idle {
            continue;
        }
        for found in moves_in(world, uid, usize::MAX, now, &mut traffic) {
            let (Some(change), Some(to)) = (ask(world, &found, now), world.fleet.node(found.to)) else {
                continue;
            };
            let Some(from) = world.fleet.node(found.from) else { continue };
            proposals.push(Proposal {
                service: ruling.service.clone(),
                task: found.task.on(&from.id),
                from: from.name().to_owned(),
                to: to.name().to_owned(),
                change,
            });
        }
    }
    proposals
}

/// The best moves of tasks of `uid`, at most `most`, each as if those before it were made.
fn moves(world: &SchedulerWorld, uid: &Uid, most: usize, now: Timestamp) -> Vec<Move> {
    moves_in(world, uid, most, now, &mut Traffic::default())
}

fn moves_in(
    world: &SchedulerWorld,
    uid: &Uid,
    most: usize,
    now: Timestamp,
    traffic: &mut Traffic,
) -> Vec<Move> {
    let mut moves = Vec::new();
    let Some(group) = running_group(world, uid) else { return moves };
    let Some(Ok(ask)) = world.rules.of(uid).map(|ruling| Ask::of(world, &group, ruling)) else {
        return moves;
    };
    if ask.rules().replicas.is_none() {
        return moves;
    }
    let mut survey = Survey::new(&world.fleet, ask.terms(world, now));
    traffic.count_in(&mut survey);
    let mut sites = sites(world, uid, &survey);
    for site in &mut sites {
        site.load = site.load.saturating_add_signed(traffic.tasks(site.node, &survey));
    }
    while moves.len() < most {
        let Some((from, to)) = best(&sites, survey.strategy()) else { break };
        let (Some(task), Some(target)) = (sites.get_mut(from).and_then(Site::leave), sites.get_mut(to))
        else {
            break;
        };
        target.enter();
        let to = target.node;
        survey.put(to);
        for site in &mut sites {
            site.is_open = site.is_open && survey.fits(site.node);
        }
        let Some(from) = sites.get(from).map(|site| site.node) else { break };
        traffic.add(from, to, survey.share());
        moves.push(Move { task, from, to });
    }
    moves
}

/// Whether `task`, which was asked to move, would still be better elsewhere.
pub(crate) fn is_better_elsewhere(
    world: &SchedulerWorld,
    uid: &Uid,
    node: NodeNumber,
    now: Timestamp,
) -> bool {
    let Some(group) = running_group(world, uid) else { return false };
    let Some(Ok(ask)) = world.rules.of(uid).map(|ruling| Ask::of(world, &group, ruling)) else {
        return false;
    };
    let survey = Survey::new(&world.fleet, ask.terms(world, now));
    let sites = sites(world, uid, &survey);
    let branches = branches(&sites);
    let from = sites.iter().find(|site| site.node == node);
    from.is_some_and(|from| {
        sites.iter().any(|to| to.is_open && gain(&branches, from, to, survey.strategy()).is_some())
    })
}

/// The group of all tasks of `uid` that run, if it is one.
fn running_group(world: &SchedulerWorld, uid: &Uid) -> Option<Group> {
    let nodes = world.fleet.counts(uid)?.keys().filter_map(|number| world.fleet.node(*number));
    let records = nodes.flat_map(|node| node.ledger.records()).filter_map(|(_, record)| record.wanted());
    let mut revisions = records.filter(|task| task.uid == *uid).map(|task| task.revision);
    let revision = revisions.next()?;
    revisions.all(|other| other == revision).then(|| Group { service: uid.clone(), revision })
}

fn sites<'w>(world: &'w SchedulerWorld, uid: &Uid, survey: &Survey<'w>) -> Vec<Site<'w>> {
    let site = |(number, node): (NodeNumber, &'w crate::node::Node)| {
        let replicas = survey.replicas(number);
        let movable =
            |(id, record): (&TaskId, &Record)| is_movable(world, uid, id, record).then(|| id.clone());
        let mut movable: Vec<TaskId> =
            if replicas == 0 { Vec::new() } else { node.ledger.records().filter_map(movable).collect() };
        movable.sort_by_key(|id| (id.name.planned_at(), id.clone()));
        let (load, step) = survey.load(number);
        let is_open = survey.fits(number) && !survey.is_avoided(number);
        Site { node: number, path: survey.path(number), replicas, load, step, is_open, movable }
    };
    world.fleet.known().map(site).filter(|site| site.is_open || site.replicas > 0).collect()
}

/// Whether the task may be asked to move: it runs, and it was not tried in vain a moment ago (its successor is still remembered).
fn is_movable(world: &SchedulerWorld, uid: &Uid, id: &TaskId, record: &Record) -> bool {
    let task = record.wanted().filter(|task| task.uid == *uid && may_move(task));
    let is_running = record.state == Some(TaskState::Running) && record.eviction.is_none();
    is_running
        && task.is_some_and(|task| task.desired == DesiredState::Running)
        && world.fleet.succession.of(id).next().is_none()
}

/// How many tasks each branch has, by its path from the root.
type Branches<'s, 'w> = BTreeMap<&'s [&'w str], u32>;

fn branches<'s, 'w>(sites: &'s [Site<'w>]) -> Branches<'s, 'w> {
    let mut branches = Branches::new();
    for site in sites {
        for level in 1..=site.path.len() {
            let count = branches.entry(site.path.get(..level).unwrap_or_default()).or_default();
            *count = count.saturating_add(site.replicas);
        }
    }
    branches
}

/// The pair of sites between which a move lowers the score most, as positions.
///
/// Within a leaf it is enough to look at the worst node and the best one, so the pairs are those of leaves, not of nodes.
fn best(sites: &[Site<'_>], strategy: Strategy) -> Option<(usize, usize)> {
    let branches = branches(sites);
    let mut leaves: BTreeMap<&[&str], (Option<usize>, Option<usize>)> = BTreeMap::new();
    for (position, site) in sites.iter().enumerate() {
        let (worst, best) = leaves.entry(&site.path).or_default();
        let weight = |other: &usize| sites.get(*other).map(|other| (other.replicas, other.load));
        let own = Some((site.replicas, site.load));
        if !site.movable.is_empty() && worst.as_ref().is_none_or(|other| weight(other) < own) {
            *worst = Some(position);
        }
        if site.is_open && best.as_ref().is_none_or(|other| weight(other) > own) {
            *best = Some(position);
        }
    }
    let mut found: Option<(Gain, usize, usize)> = None;
    for (from, _) in leaves.values() {
        for (_, to) in leaves.values() {
            let (Some(from), Some(to)) = (*from, *to) else { continue };
            let (Some(source), Some(target)) = (sites.get(from), sites.get(to)) else { continue };
            let Some(gain) = gain(&branches, source, target, strategy) else { continue };
            if found.is_none_or(|(most, ..)| gain > most) {
                found = Some((gain, from, to));
            }
        }
    }
    found.map(|(_, from, to)| (from, to))
}

/// How much a move from one site to another lowers the score, if it does.
fn gain(branches: &Branches<'_, '_>, from: &Site<'_>, to: &Site<'_>, strategy: Strategy) -> Option<Gain> {
    if from.node == to.node {
        return None;
    }
    let part = |part: usize, before: u32, after: u32| match after.cmp(&before) {
        std::cmp::Ordering::Less => {
            Some(Some(Gain { part: std::cmp::Reverse(part), by: before.saturating_sub(after) }))
        }
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(None),
    };
    let mut parts = 0;
    for level in 1..=from.path.len() {
        let (there, here) = (from.path.get(..level)?, to.path.get(..level)?);
        if there != here {
            let count = |path: &[&str]| branches.get(path).copied().unwrap_or(0);
            if let Some(decided) = part(level, count(there), count(here).saturating_add(1)) {
                return decided;
            }
        }
        parts = level;
    }
    if strategy != Strategy::Spread {
        return None;
    }
    part(parts.saturating_add(1), from.replicas, to.replicas.saturating_add(1))
        .or_else(|| part(parts.saturating_add(2), from.load, to.load.saturating_add(to.step)))
        .flatten()
}

fn ask(world: &SchedulerWorld, found: &Move, now: Timestamp) -> Option<Change> {
    let because = (EvictionReason::Rebalance, found.why(world));
    evict::request(world, world.fleet.node(found.from)?, &found.task, because, now)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Traffic {
    fn add(&mut self, from: NodeNumber, to: NodeNumber, share: &Load) {
        self.came.entry(to).or_default().push(Load { active: 0, ..share.clone() });
        for (node, step) in [(from, -1), (to, 1)] {
            let more = self.more.entry(node).or_default();
            *more = more.saturating_add(step);
        }
    }

    fn count_in(&self, survey: &mut Survey<'_>) {
        for (node, load) in self.came.iter().flat_map(|(node, loads)| loads.iter().map(|load| (*node, load)))
        {
            survey.put_foreign(node, load);
        }
    }

    /// By how many tasks there are more on `node`, if it is tasks that count.
    fn tasks(&self, node: NodeNumber, survey: &Survey<'_>) -> i32 {
        if survey.counts_tasks() { self.more.get(&node).copied().unwrap_or(0) } else { 0 }
    }
}

impl Move {
    /// Why, in a sentence.
    fn why(&self, world: &SchedulerWorld) -> String {
        let name = |number| world.fleet.node(number).map_or("a node", crate::node::Node::name);
        format!("{} suits it better than {}", name(self.to), name(self.from))
    }
}

impl Site<'_> {
    fn leave(&mut self) -> Option<TaskId> {
        let task = self.movable.pop()?;
        self.replicas = self.replicas.saturating_sub(1);
        self.load = self.load.saturating_sub(self.step);
        Some(task)
    }

    fn enter(&mut self) {
        self.replicas = self.replicas.saturating_add(1);
        self.load = self.load.saturating_add(self.step);
    }
}
