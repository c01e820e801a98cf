//! Random comings and goings, judged by a model of what may be believed.

use proptest::prelude::*;
use skep_api::key::Key;
use skep_api::node::NodeState;
use skep_api::time::Span;
use skep_node::UNREACHABLE_FOR;

use crate::fleet::*;

#[derive(Debug, Clone)]
enum Step {
    Lose(u64),
    Revive(u64),
    Pass(u64),
}

fn step(count: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..=count).prop_map(Step::Lose),
        3 => (1..=count).prop_map(Step::Revive),
        4 => (1..8_000_u64).prop_map(Step::Pass),
    ]
}

fn is_alive(fleet: &Fleet, number: u64) -> bool {
    fleet.object(&Key::NodeSession(node_id(number))).is_some()
}

fn has_state(fleet: &Fleet, number: u64, state: NodeState) -> bool {
    status(fleet, number).is_some_and(|status| status.state == state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn only_nodes_that_were_away_long_enough_are_down_and_never_too_many_at_once(
        (count, steps) in (1..8_u64).prop_flat_map(|count| (Just(count), prop::collection::vec(step(count), 1..60)))
    ) {
        let mut fleet = fleet(count);
        let mut gone_since = vec![None; usize::try_from(count).unwrap() + 1];
        for step in steps {
            let before: Vec<bool> = (1..=count).map(|number| has_state(&fleet, number, NodeState::Down)).collect();
            match step {
                Step::Lose(number) => lose(&mut fleet, [number]),
                Step::Revive(number) => {
                    revive(&mut fleet, number);
                    fleet.settle();
                }
                Step::Pass(millis) => pass(&mut fleet, Span::from_millis(millis)),
            }
            let trusted = before.iter().filter(|is_down| !**is_down).count();
            let mut given_up = 0;
            for number in 1..=count {
                let index = usize::try_from(number).unwrap();
                let is_alive = is_alive(&fleet, number);
                gone_since[index] = if is_alive { None } else { gone_since[index].or(Some(fleet.now)) };
                prop_assert_eq!(has_state(&fleet, number, NodeState::Ready), is_alive);
                if has_state(&fleet, number, NodeState::Down) && !before[index - 1] {
                    given_up += 1;
                    let away = fleet.now.since(gone_since[index].expect("it is gone"));
                    prop_assert!(away >= UNREACHABLE_FOR, "node {number} was away for {away} only");
                }
            }
            prop_assert!(given_up == 0 || (1..=count).any(|number| is_alive(&fleet, number)));
            prop_assert!(given_up <= (trusted / 3).max(1), "{given_up} of {trusted} given up at once");
        }
        for number in 1..=count { revive(&mut fleet, number); }
        fleet.settle();
        prop_assert_eq!(states(&fleet, count), vec![NodeState::Ready; usize::try_from(count).unwrap()]);
    }
}
