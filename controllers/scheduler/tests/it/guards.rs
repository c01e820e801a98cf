//! On what each write stands: the architecture's table of keys, phases and guards.

use skep_api::ident::NodeId;
use skep_api::key::{Key, Place};
use skep_runtime::plan::{Change as _, Expect, Guard, Write};
use skep_scheduler::{Change, Group, Subject};

use crate::cluster::*;

/// The one change of the plan for `web`.
fn change(cluster: &Cluster) -> Change {
    let mut changes = cluster.plan(&Subject::Waiting(Group::of(&task("web", 1)))).changes;
    assert_eq!(changes.len(), 1);
    changes.remove(0)
}

fn guard(key: Key, expect: Expect) -> Guard {
    Guard { key, expect }
}

#[test]
fn placing_stands_on_the_task_the_service_the_nodes_spec_and_its_session() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    let node: NodeId = node_id(1);
    cluster.put(Key::Node(node.clone()), labelled(1, "zone", "a"));
    let edited = cluster.revision();
    cluster.delete(Key::NodeSession(node.clone()));
    let session = skep_api::node::Session { holder: String::new(), since: cluster.now };
    cluster.put(Key::NodeSession(node.clone()), session.clone());
    let created = cluster.revision();
    cluster.put(Key::NodeSession(node.clone()), session);
    add_service(&mut cluster, "web", 1);
    add_tasks(&mut cluster, "web", 1);
    let (key, arrived) = (pending("web", 1, 1), cluster.revision());
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == a]");
    let placement = cluster.revision();
    let transaction = change(&cluster).transaction();
    assert_eq!(
        transaction.guards,
        [
            guard(Key::Task(key.clone()), Expect::Modified(arrived)),
            guard(Key::Node(node.clone()), Expect::Modified(edited)),
            guard(Key::NodeSession(node.clone()), Expect::Created(created)),
            guard(Key::Service(service("web")), Expect::Modified(placement)),
        ]
    );
    let placed = Key::Task(key.at(Place::Node(node)));
    assert_eq!(
        transaction.writes,
        [Write::Delete(Key::Task(key)), Write::Put(placed, task("web", 1).into())],
        "the value is moved as it is"
    );
}

#[test]
fn a_reason_stands_on_the_task_and_on_what_was_said_before() {
    let mut cluster = cluster();
    add_service(&mut cluster, "web", 1);
    add_tasks(&mut cluster, "web", 1);
    let (key, arrived) = (pending("web", 1, 1), cluster.revision());
    let task = guard(Key::Task(key.clone()), Expect::Modified(arrived));
    let status = Key::TaskStatus(key);
    assert_eq!(change(&cluster).transaction().guards, [task.clone(), guard(status.clone(), Expect::Absent)]);
    cluster.settle();
    let said = cluster.revision();
    add_node(&mut cluster, 1, 0);
    assert_eq!(change(&cluster).transaction().guards, [task, guard(status, Expect::Modified(said))]);
}

#[test]
fn asking_a_task_to_leave_stands_on_all_that_was_compared_and_taking_back_on_the_request() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    let report = cluster.revision() - 1;
    cluster.put(Key::Node(node_id(1)), node_spec(1));
    let node = cluster.revision();
    add_service(&mut cluster, "web", 1);
    let key = on_node(&mut cluster, &pending("web", 1, 1), 1, task("web", 1));
    let arrived = cluster.revision();
    set_placement(&mut cluster, "web", "constraints: [node.role == manager]");
    let spec = cluster.revision();
    let changes = cluster.plan(&Subject::Placed(node_id(1))).changes;
    let asked = Key::Eviction(key.clone());
    assert_eq!(
        changes[0].transaction().guards,
        [
            guard(Key::Task(key), Expect::Modified(arrived)),
            guard(Key::Service(service("web")), Expect::Modified(spec)),
            guard(Key::Node(node_id(1)), Expect::Modified(node)),
            guard(Key::NodeReport(node_id(1)), Expect::Modified(report)),
            guard(asked.clone(), Expect::Absent),
        ]
    );
    cluster.settle();
    let written = cluster.revision();
    set_placement(&mut cluster, "web", "");
    let changes = cluster.plan(&Subject::Placed(node_id(1))).changes;
    let transaction = changes[0].transaction();
    assert_eq!(transaction.guards, [guard(asked.clone(), Expect::Modified(written))]);
    assert_eq!(transaction.writes, [Write::Delete(asked)]);
}
