//! One node comes, goes and returns.

use skep_api::condition::Truth;
use skep_api::key::Key;
use skep_api::node::{NodeState, NodeStatus};
use skep_api::time::Span;
use skep_node::UNREACHABLE_FOR;

use crate::fleet::*;

#[test]
fn a_node_with_a_session_is_ready_and_its_report_is_passed_on() {
    let fleet = fleet(1);
    let status = status(&fleet, 1).unwrap();
    assert_eq!((status.state, status.since), (NodeState::Ready, fleet.now));
    assert_eq!(status.report.unwrap().hostname, "host1");
    assert_eq!(find(&fleet, 1, "Ready").reason, "AgentAlive");
    assert_eq!(find(&fleet, 1, "Accepted").status, Truth::True);
}

#[test]
fn a_node_that_is_lost_is_unreachable_first_and_then_down() {
    // Swarm 12.20, 6.2: its tasks are moved by Down, which the replica controller reads; an unreachable node moves none.
    let mut fleet = fleet(3);
    lose(&mut fleet, [2]);
    assert_eq!(states(&fleet, 3), [NodeState::Ready, NodeState::Unreachable, NodeState::Ready]);
    assert_eq!(find(&fleet, 2, "Ready").status, Truth::Unknown);
    pass(&mut fleet, Span::from_millis(UNREACHABLE_FOR.as_millis() - 1));
    assert_eq!(states(&fleet, 3)[1], NodeState::Unreachable);
    pass(&mut fleet, Span::from_millis(1));
    assert_eq!(states(&fleet, 3)[1], NodeState::Down);
    let ready = find(&fleet, 2, "Ready");
    assert_eq!((ready.status, ready.reason.as_str()), (Truth::False, "SessionExpired"));
}

#[test]
fn a_node_that_returns_is_ready_at_once() {
    let mut fleet = fleet(2);
    lose(&mut fleet, [1]);
    revive(&mut fleet, 1);
    fleet.settle();
    assert_eq!(states(&fleet, 2), [NodeState::Ready; 2]);
    lose(&mut fleet, [1]);
    pass(&mut fleet, Span::from_secs(60));
    assert_eq!(states(&fleet, 2)[0], NodeState::Down);
    revive(&mut fleet, 1);
    fleet.settle();
    let status = status(&fleet, 1).unwrap();
    assert_eq!((status.state, status.since), (NodeState::Ready, fleet.now));
}

#[test]
fn nothing_is_written_while_nothing_happens() {
    let mut fleet = fleet(3);
    lose(&mut fleet, [2]);
    pass(&mut fleet, Span::from_secs(60));
    let before = fleet.revision();
    pass(&mut fleet, Span::from_secs(3600));
    assert_eq!(fleet.revision(), before);
}

#[test]
fn a_node_whose_agent_never_connected_is_not_held_against_the_others() {
    let mut fleet = fleet(2);
    (3..=9).for_each(|number| {
        fleet.put(Key::Node(node_id(number)), spec(number));
    });
    fleet.settle();
    assert_eq!(states(&fleet, 9)[2..], [NodeState::Unknown; 7]);
    assert_eq!(find(&fleet, 3, "Ready").reason, "NotConnected");
    lose(&mut fleet, [1]);
    pass(&mut fleet, UNREACHABLE_FOR);
    assert_eq!(states(&fleet, 9)[0], NodeState::Down);
    assert_eq!(states(&fleet, 9)[1], NodeState::Ready);
    assert_eq!(states(&fleet, 9)[2..], [NodeState::Down; 7]);
}

#[test]
fn a_removed_node_is_forgotten_with_its_report() {
    let mut fleet = fleet(2);
    fleet.delete(Key::Node(node_id(1)));
    fleet.settle();
    assert_eq!(status(&fleet, 1), None);
    assert_eq!(fleet.object(&Key::NodeReport(node_id(1))), None);
    fleet.delete(Key::NodeReport(node_id(2)));
    fleet.delete(Key::Node(node_id(2)));
    fleet.settle();
    assert_eq!(status(&fleet, 2), None);
    assert_eq!(fleet.plan(&judging(2)).changes, []);
}

#[test]
fn a_spec_that_does_not_decode_is_told_and_the_node_is_judged_all_the_same() {
    let mut fleet = fleet(3);
    let version = status(&fleet, 1).unwrap().observed_version;
    fleet.put_text(Key::Node(node_id(1)), "garbage: [");
    fleet.settle();
    let accepted = find(&fleet, 1, "Accepted");
    assert_eq!((accepted.status, accepted.reason.as_str()), (Truth::False, "Invalid"));
    assert!(!accepted.message.is_empty());
    assert_eq!(status(&fleet, 1).unwrap().observed_version, version);
    assert_eq!(states(&fleet, 3)[0], NodeState::Ready);
    lose(&mut fleet, [1]);
    pass(&mut fleet, UNREACHABLE_FOR);
    assert_eq!(states(&fleet, 3)[0], NodeState::Down);
    fleet.put(Key::Node(node_id(1)), spec(1));
    fleet.settle();
    assert_eq!(find(&fleet, 1, "Accepted").status, Truth::True);
    assert_eq!(status(&fleet, 1).unwrap().observed_version, fleet.revision() - 1);
}

#[test]
fn a_session_with_garbage_in_it_is_a_heartbeat_too() {
    let mut fleet = fleet(2);
    fleet.put_text(Key::NodeSession(node_id(1)), "garbage: [");
    fleet.settle();
    lose(&mut fleet, [2]);
    pass(&mut fleet, UNREACHABLE_FOR);
    assert_eq!(states(&fleet, 2), [NodeState::Ready, NodeState::Down]);
}

#[test]
fn a_status_that_does_not_decode_is_written_over() {
    let mut fleet = fleet(1);
    fleet.put_text(Key::NodeStatus(node_id(1)), "garbage: [");
    fleet.settle();
    assert_eq!(states(&fleet, 1), [NodeState::Ready]);
}

#[test]
fn an_instant_in_the_future_is_of_another_clock_and_counts_from_now() {
    let mut fleet = fleet(3);
    let since = fleet.now.after(Span::from_secs(3600));
    let ahead = NodeStatus { state: NodeState::Unreachable, since, ..status(&fleet, 1).unwrap() };
    fleet.put(Key::NodeStatus(node_id(1)), ahead);
    lose(&mut fleet, [1]);
    assert_eq!(status(&fleet, 1).unwrap().since, fleet.now);
    pass(&mut fleet, UNREACHABLE_FOR);
    assert_eq!(states(&fleet, 3)[0], NodeState::Down);
}

#[test]
fn people_are_told_of_each_turn_and_of_nothing_else() {
    let mut fleet = fleet(2);
    fleet.delete(Key::NodeSession(node_id(1)));
    let notes = fleet.plan(&judging(1)).notes;
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].reason, "SessionExpired");
    assert!(notes[0].message.starts_with("n1: "), "{}", notes[0].message);
    fleet.put(Key::Node(node_id(2)), spec(3));
    let plan = fleet.plan(&judging(2));
    assert_eq!((plan.changes.len(), plan.notes.len()), (1, 0));
}
