//! On what each write stands: the architecture's table of keys, phases and guards.

use skep_api::key::Key;
use skep_api::node::{Availability, DrainMode};
use skep_node::{Change, Subject};
use skep_runtime::plan::{Change as _, Expect, Guard, Write};

use crate::fleet::*;

/// The one change of the plan for node 1.
fn change(fleet: &Fleet) -> Change {
    let mut changes = fleet.plan(&judging(1)).changes;
    assert_eq!(changes.len(), 1);
    changes.remove(0)
}

fn guard(key: Key, expect: Expect) -> Guard {
    Guard { key, expect }
}

#[test]
fn a_status_stands_on_the_nodes_identity_on_its_session_and_on_what_was_said_before() {
    let mut fleet = Fleet::default();
    fleet.put(Key::Node(node_id(1)), spec(1));
    let created = fleet.revision();
    fleet.put(Key::Node(node_id(1)), spec(1));
    let node = guard(Key::Node(node_id(1)), Expect::Created(created));
    let (session, status) = (Key::NodeSession(node_id(1)), Key::NodeStatus(node_id(1)));
    let absent = guard(session.clone(), Expect::Absent);
    assert_eq!(
        change(&fleet).transaction().guards,
        [node.clone(), absent, guard(status.clone(), Expect::Absent)]
    );
    fleet.settle();
    let said = guard(status, Expect::Modified(fleet.revision()));
    revive(&mut fleet, 1);
    let connected = guard(session, Expect::Created(fleet.revision()));
    revive(&mut fleet, 1);
    assert_eq!(change(&fleet).transaction().guards, [node, connected, said]);
}

#[test]
fn forgetting_stands_on_the_absence_of_the_spec_and_on_what_is_forgotten() {
    let mut fleet = fleet(1);
    let said = fleet.revision();
    add_node(&mut fleet, 1);
    let reported = fleet.revision() - 1;
    fleet.delete(Key::Node(node_id(1)));
    let (status, report) = (Key::NodeStatus(node_id(1)), Key::NodeReport(node_id(1)));
    let transaction = change(&fleet).transaction();
    assert_eq!(
        transaction.guards,
        [
            guard(Key::Node(node_id(1)), Expect::Absent),
            guard(status.clone(), Expect::Modified(said)),
            guard(report.clone(), Expect::Modified(reported)),
        ]
    );
    assert_eq!(transaction.writes, [Write::Delete(status), Write::Delete(report)]);
}

#[test]
fn a_drain_stands_on_the_task_the_nodes_spec_and_what_was_asked_before() {
    let mut fleet = fleet(1);
    let key = add_task(&mut fleet, 1, 1);
    let arrived = fleet.revision();
    set_availability(&mut fleet, 1, Availability::Drain, DrainMode::Gradual);
    let edited = fleet.revision();
    let (subject, asked) = (Subject::Task(key.clone()), Key::Eviction(key.clone()));
    let task = guard(Key::Task(key), Expect::Modified(arrived));
    let changes = fleet.plan(&subject).changes;
    let node = guard(Key::Node(node_id(1)), Expect::Modified(edited));
    let absent = guard(asked.clone(), Expect::Absent);
    assert_eq!(changes[0].transaction().guards, [task.clone(), node, absent]);
    fleet.commit(&fleet.plan(&subject));
    let written = fleet.revision();
    set_availability(&mut fleet, 1, Availability::Drain, DrainMode::Now);
    let node = guard(Key::Node(node_id(1)), Expect::Modified(fleet.revision()));
    let said = guard(asked.clone(), Expect::Modified(written));
    assert_eq!(fleet.plan(&subject).changes[0].transaction().guards, [task, node, said.clone()]);
    set_availability(&mut fleet, 1, Availability::Active, DrainMode::Gradual);
    let transaction = fleet.plan(&subject).changes[0].transaction();
    assert_eq!(transaction.guards, [said]);
    assert_eq!(transaction.writes, [Write::Delete(asked)]);
}
