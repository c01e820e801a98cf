//! On what each write stands: the architecture's table of keys, phases and guards.

use skep_api::key::Key;
use skep_node::Change;
use skep_runtime::plan::{Change as _, Expect, Guard, Write};

use crate::fleet::*;

/// The one change of the plan for node 1.
fn change(fleet: &Fleet) -> Change {
    let mut changes = fleet.plan(&node_id(1)).changes;
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
