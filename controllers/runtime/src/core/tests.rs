//! The core, driven by hand and by chance. The controller here gives every node a status with the number of nodes that
//! had one before it, so that what it plans for one node depends on what it has just planned for another.

use std::collections::BTreeMap;

use proptest::prelude::*;
use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::node::{Availability, NodeSpec, NodeState, NodeStatus, Role};
use skep_api::object::Object;
use skep_api::time::Timestamp;
use skep_store::Expect;

use super::{Answer, Core, Input, Observation, Output, TxnId};
use crate::controller::{Controller, Moment, World};
use crate::plan::{Change, Plan, Transaction, Write};
use crate::table::{Entry, Stamp, Table};

struct Numbering;

/// The name of a node for which two statuses are written.
const PAIR: &str = "pair";

struct Nodes {
    nodes: Table<NodeId, NodeSpec>,
    statuses: Table<NodeId, NodeStatus>,
}

#[derive(Debug, Clone, PartialEq)]
struct Number {
    node: NodeId,
    ordinal: i64,
    spec: i64,
    own: Expect,
}

impl World for Nodes {
    type Key = NodeId;

    fn new(_: &str) -> Self {
        Self { nodes: Table::default(), statuses: Table::default() }
    }

    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<NodeId> {
        if let Key::Node(node) = key {
            self.nodes.set(node, entry);
        } else if let Key::NodeStatus(node) = key {
            self.statuses.set(node, entry);
        }
        self.all()
    }

    fn all(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|(node, _)| node.clone()).collect()
    }
}

impl Change for Number {
    fn transaction(&self) -> Transaction {
        let status =
            NodeStatus { observed_version: self.ordinal, state: NodeState::Ready, ..NodeStatus::default() };
        Transaction::new()
            .modified(Key::Node(self.node.clone()), self.spec)
            .guard(Key::NodeStatus(self.node.clone()), self.own)
            .put(Key::NodeStatus(self.node.clone()), status)
    }
}

impl Controller for Numbering {
    type World = Nodes;
    type Change = Number;
    const NAME: &'static str = "numbering";

    fn plan(world: &Nodes, node: &NodeId, _: Moment) -> Plan<Number> {
        let mut plan = Plan::default();
        let Some(spec) = world.nodes.get(node) else { return plan };
        if world.statuses.get(node).is_none() {
            let ordinal = i64::try_from(world.statuses.len()).unwrap() + 1;
            plan.write(Number {
                node: node.clone(),
                ordinal,
                spec: spec.stamp.modified,
                own: Expect::Absent,
            });
            if spec.name == PAIR {
                let twin = NodeId::from_random(u64::MAX);
                plan.write(Number { node: twin, ordinal, spec: spec.stamp.modified, own: Expect::Absent });
            }
        }
        plan
    }
}

const START: Timestamp = Timestamp::from_millis(1_000_000);

fn node(number: u64) -> NodeId {
    NodeId::from_random(number)
}

fn spec(name: &str) -> Object {
    Object::from(NodeSpec {
        drain: skep_api::node::DrainMode::default(),
        name: name.to_owned(),
        role: Role::default(),
        availability: Availability::default(),
        labels: BTreeMap::new(),
    })
}

fn seen(key: &Key, object: &Object, revision: i64) -> Observation {
    let value = object.encode(key).unwrap();
    Observation {
        key: key.to_string(),
        value: Some((value.into(), Stamp { created: revision, modified: revision })),
    }
}

fn nodes(count: u64, revision: i64) -> Vec<Observation> {
    (0..count).map(|number| seen(&Key::Node(node(number)), &spec("n"), revision)).collect()
}

fn core() -> Core<Numbering> {
    Core::new("c", fastrand::Rng::with_seed(1))
}

/// A leader that has seen `count` nodes at revision 10 and was elected at revision 5.
fn leading(count: u64) -> (Core<Numbering>, Vec<(TxnId, Transaction)>) {
    let mut core = core();
    core.handle(START, Input::Leading { fence: 5 });
    let outputs = core.handle(START, Input::Resync { revision: 10, entries: nodes(count, 9) });
    (core, commits(outputs))
}

fn commits(outputs: Vec<Output>) -> Vec<(TxnId, Transaction)> {
    let commits = outputs.into_iter().filter_map(|output| match output {
        Output::Commit(transactions) => Some(transactions),
        Output::Tell(_) => None,
    });
    commits.flatten().collect()
}

fn written(transaction: &Transaction) -> i64 {
    match transaction.writes.first() {
        Some(Write::Put(_, Object::NodeStatus(status))) => status.observed_version,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_planned_before_the_first_list() {
    let mut core = core();
    assert!(core.handle(START, Input::Leading { fence: 5 }).is_empty());
    assert!(core.handle(START, Input::Tick).is_empty());
}

#[test]
fn a_standby_plans_nothing_and_a_new_leader_waits_for_its_own_key() {
    let mut core = core();
    assert!(core.handle(START, Input::Resync { revision: 10, entries: nodes(1, 9) }).is_empty());
    assert!(core.handle(START, Input::Leading { fence: 12 }).is_empty());
    assert!(core.handle(START, Input::Changed { revision: 11, entries: vec![] }).is_empty());
    assert_eq!(commits(core.handle(START, Input::Changed { revision: 12, entries: vec![] })).len(), 1);
}

#[test]
fn the_next_key_is_planned_with_the_writes_of_the_last_one() {
    let (_, transactions) = leading(3);
    assert_eq!(
        transactions.iter().map(|(_, transaction)| written(transaction)).collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

#[test]
fn a_key_rests_until_its_own_write_is_in_the_cut() {
    let (mut core, transactions) = leading(1);
    let answer = Answer::Committed { revision: 11 };
    assert!(core.handle(START, Input::Answered(vec![(transactions[0].0, answer)])).is_empty());
    // Somebody deletes the status right after it was written: seen together with it, it is written anew.
    let key = Key::NodeStatus(node(0));
    let gone = Observation { key: key.to_string(), value: None };
    let again = commits(core.handle(START, Input::Changed { revision: 12, entries: vec![gone] }));
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].1.guards[1].expect, Expect::Absent);
}

#[test]
fn a_refused_write_waits_for_what_refused_it_and_then_backs_off() {
    let (mut core, transactions) = leading(1);
    assert!(
        core.handle(START, Input::Answered(vec![(transactions[0].0, Answer::Refused { revision: 15 })]))
            .is_empty()
    );
    assert!(
        core.handle(START.after(skep_api::time::Span::from_secs(60)), Input::Tick).is_empty(),
        "the cut is behind"
    );
    let moved = seen(&Key::Node(node(0)), &spec("other"), 15);
    let again = commits(core.handle(START, Input::Changed { revision: 15, entries: vec![moved] }));
    assert_eq!(again.len(), 1, "a change to what it is planned from clears the back-off");
    assert_eq!(again[0].1.guards[0].expect, Expect::Modified(15));
}

#[test]
fn a_failed_write_is_tried_again_after_a_delay() {
    let (mut core, transactions) = leading(1);
    assert!(core.handle(START, Input::Answered(vec![(transactions[0].0, Answer::Failed)])).is_empty());
    let wake = core.wake_at().unwrap();
    assert!(wake > START);
    assert_eq!(commits(core.handle(wake, Input::Tick)).len(), 1);
}

#[test]
fn a_key_of_which_two_writes_failed_is_tried_again_whichever_back_off_is_longer() {
    for seed in 0..20 {
        let mut core = Core::<Numbering>::new("c", fastrand::Rng::with_seed(seed));
        core.handle(START, Input::Leading { fence: 5 });
        let pair = seen(&Key::Node(node(0)), &spec(PAIR), 9);
        let transactions = commits(core.handle(START, Input::Resync { revision: 10, entries: vec![pair] }));
        assert_eq!(transactions.len(), 2);
        let failed = transactions.into_iter().map(|(id, _)| (id, Answer::Failed)).collect();
        core.handle(START, Input::Answered(failed));
        let mut again = Vec::new();
        while again.is_empty() {
            let wake = core.wake_at().expect("it sleeps for ever");
            again = commits(core.handle(wake, Input::Tick));
        }
    }
}

#[test]
fn what_was_not_answered_before_a_new_fence_is_planned_again_from_the_cut() {
    let (mut core, transactions) = leading(2);
    assert!(core.handle(START, Input::Leading { fence: 20 }).is_empty(), "the fence is not in the cut yet");
    let applied = seen(&Key::NodeStatus(node(0)), &NodeStatus::default().into(), 18);
    let again = commits(core.handle(START, Input::Changed { revision: 20, entries: vec![applied] }));
    assert_eq!(again.len(), 1, "the one that was applied after all is not written again");
    assert!(
        core.handle(START, Input::Answered(vec![(transactions[1].0, Answer::Committed { revision: 17 })]))
            .is_empty()
    );
}

#[test]
fn a_key_that_vanished_between_two_lists_is_gone() {
    let (mut core, _) = leading(2);
    core.handle(START, Input::Standby);
    core.handle(START, Input::Resync { revision: 30, entries: nodes(1, 9) });
    assert_eq!(core.world().all(), [node(0)]);
}

/// An etcd that answers and tells in any order that a real one may.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (bytes::Bytes, Stamp)>,
    revision: i64,
    told: i64,
    history: Vec<(i64, Observation)>,
    unanswered: Vec<(TxnId, Answer)>,
}

impl Model {
    fn apply(&mut self, id: TxnId, transaction: &Transaction) {
        let stamp = |key: &Key| self.entries.get(&key.to_string()).map(|(_, stamp)| *stamp);
        let holds = transaction.guards.iter().all(|guard| match guard.expect {
            Expect::Modified(revision) => stamp(&guard.key).is_some_and(|stamp| stamp.modified == revision),
            Expect::Created(revision) => stamp(&guard.key).is_some_and(|stamp| stamp.created == revision),
            Expect::Absent => stamp(&guard.key).is_none(),
        });
        if !holds {
            self.unanswered.push((id, Answer::Refused { revision: self.revision }));
            return;
        }
        self.revision += 1;
        for write in &transaction.writes {
            match write {
                Write::Put(key, object) => self.put(key, object),
                Write::Delete(key) => self.delete(key),
            }
        }
        self.unanswered.push((id, Answer::Committed { revision: self.revision }));
    }

    fn put(&mut self, key: &Key, object: &Object) {
        let text = key.to_string();
        let created = self.entries.get(&text).map_or(self.revision, |(_, stamp)| stamp.created);
        let value = (object.encode(key).unwrap().into(), Stamp { created, modified: self.revision });
        self.entries.insert(text.clone(), value.clone());
        self.history.push((self.revision, Observation { key: text, value: Some(value) }));
    }

    fn delete(&mut self, key: &Key) {
        self.entries.remove(&key.to_string());
        self.history.push((self.revision, Observation { key: key.to_string(), value: None }));
    }

    fn news(&mut self) -> Input {
        let news = self.history.iter().filter(|(revision, _)| *revision > self.told);
        let entries = news.map(|(_, observation)| observation.clone()).collect();
        self.told = self.revision;
        Input::Changed { revision: self.revision, entries }
    }
}

proptest! {
    #[test]
    fn whatever_the_order_of_answers_and_news_every_node_ends_with_one_status(steps in prop::collection::vec((0..6_u8, 0..4_u64), 1..60)) {
        let mut core = core();
        let mut model = Model { revision: 10, told: 10, ..Model::default() };
        let mut now = START;
        core.handle(now, Input::Leading { fence: 5 });
        core.handle(now, Input::Resync { revision: 10, entries: vec![] });
        let calm = std::iter::repeat_n([(2, 0), (1, 0), (5, 0)], 12).flatten();
        for (step, number) in steps.into_iter().chain(calm) {
            let outputs = match step {
                0 => {
                    model.revision += 1;
                    model.put(&Key::Node(node(number)), &spec("n"));
                    vec![]
                }
                1 => core.handle(now, model.news()),
                2 if !model.unanswered.is_empty() => {
                    let answers = std::mem::take(&mut model.unanswered);
                    core.handle(now, Input::Answered(answers))
                }
                3 => {
                    model.revision += 1;
                    model.delete(&Key::NodeStatus(node(number)));
                    vec![]
                }
                4 => {
                    model.revision += 1;
                    model.unanswered.clear();
                    core.handle(now, Input::Leading { fence: model.revision })
                }
                5 => {
                    now = now.after(skep_api::time::Span::from_secs(20));
                    core.handle(now, Input::Tick)
                }
                _ => vec![],
            };
            for (id, transaction) in commits(outputs) {
                model.apply(id, &transaction);
            }
        }
        for number in 0..4 {
            let has = |key: Key| model.entries.contains_key(&key.to_string());
            prop_assert_eq!(has(Key::Node(node(number))), has(Key::NodeStatus(node(number))));
        }
    }
}
