//! Too many nodes vanish at once.

use skep_api::condition::Truth;
use skep_api::key::Key;
use skep_api::node::NodeState;
use skep_api::time::Span;
use skep_node::UNREACHABLE_FOR;
use skep_runtime::controller::World;

use crate::fleet::*;

/// How long after the first the last of all leases may expire that one failure ends: the time between two renewals.
const RENEWAL_MS: u64 = 5000;

#[test]
fn when_more_than_a_third_vanish_at_once_they_stay_unreachable_and_it_is_said_why() {
    let mut fleet = fleet(6);
    lose(&mut fleet, 1..=3);
    pass(&mut fleet, Span::from_secs(3600));
    assert_eq!(states(&fleet, 6)[..3], [NodeState::Unreachable; 3]);
    let ready = find(&fleet, 1, "Ready");
    assert_eq!((ready.status, ready.reason.as_str()), (Truth::Unknown, "HeldBack"));
    assert!(ready.message.contains("more than a third"));
}

#[test]
fn a_third_is_still_believed() {
    let mut fleet = fleet(6);
    lose(&mut fleet, 1..=2);
    pass(&mut fleet, UNREACHABLE_FOR);
    assert_eq!(states(&fleet, 6)[..2], [NodeState::Down; 2]);
}

#[test]
fn nodes_that_vanish_one_after_another_within_the_grace_period_vanish_at_once() {
    let mut fleet = fleet(3);
    lose(&mut fleet, [1]);
    pass(&mut fleet, Span::from_secs(5));
    lose(&mut fleet, [2]);
    pass(&mut fleet, Span::from_secs(60));
    assert_eq!(states(&fleet, 3), [NodeState::Unreachable, NodeState::Unreachable, NodeState::Ready]);
}

#[test]
fn a_cluster_may_lose_one_node_after_another_down_to_the_last() {
    let mut fleet = fleet(3);
    for lost in [1, 2] {
        lose(&mut fleet, [lost]);
        pass(&mut fleet, UNREACHABLE_FOR);
    }
    assert_eq!(states(&fleet, 3), [NodeState::Down, NodeState::Down, NodeState::Ready]);
    lose(&mut fleet, [3]);
    pass(&mut fleet, Span::from_secs(60));
    assert_eq!(states(&fleet, 3)[2], NodeState::Unreachable, "there is no place left for its tasks");
}

#[test]
fn if_all_leases_are_gone_for_a_while_no_node_is_ever_down() {
    for count in 1..=7 {
        let mut fleet = fleet(count);
        for number in 1..=count {
            lose(&mut fleet, [number]);
            pass(&mut fleet, Span::from_millis(RENEWAL_MS / count));
        }
        pass(&mut fleet, Span::from_secs(600));
        for number in 1..=count {
            revive(&mut fleet, number);
            pass(&mut fleet, Span::from_secs(1));
            assert!(!states(&fleet, count).contains(&NodeState::Down), "{number} of {count} are back");
        }
        assert!(states(&fleet, count).iter().all(|state| *state == NodeState::Ready));
    }
}

#[test]
fn those_who_are_still_away_when_the_others_are_back_have_the_whole_grace_period() {
    let mut fleet = fleet(4);
    lose(&mut fleet, 1..=4);
    pass(&mut fleet, Span::from_secs(600));
    (2..=4).for_each(|number| revive(&mut fleet, number));
    fleet.settle();
    assert_eq!(find(&fleet, 1, "Ready").reason, "SessionExpired");
    pass(&mut fleet, Span::from_millis(UNREACHABLE_FOR.as_millis() - 1));
    assert_eq!(states(&fleet, 4)[0], NodeState::Unreachable);
    pass(&mut fleet, Span::from_millis(1));
    assert_eq!(states(&fleet, 4)[0], NodeState::Down);
}

#[test]
fn removing_lost_nodes_ends_the_holding_back() {
    let mut fleet = fleet(3);
    lose(&mut fleet, [1, 2]);
    pass(&mut fleet, Span::from_secs(60));
    fleet.delete(Key::Node(node_id(1)));
    pass(&mut fleet, UNREACHABLE_FOR);
    assert_eq!(status(&fleet, 2).unwrap().state, NodeState::Down);
}

#[test]
fn only_a_turn_of_the_holding_back_touches_the_others_who_vanished() {
    let mut fleet = fleet(3);
    let mut touched = |number| fleet.world.apply(&Key::NodeSession(node_id(number)), None);
    assert_eq!(touched(1), [judging(1)]);
    assert_eq!(touched(2), [judging(2), judging(1)]);
    assert_eq!(touched(3), [judging(3)]);
}
