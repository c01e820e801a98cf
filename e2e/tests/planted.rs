//! The simulator finds the bugs that are planted, and nothing where none is; a seed always runs alike.

use e2e::sim::{Campaign, Options, Plant, Totals};

/// So many seeds are enough to find each planted bug: one seed in about 25 does.
const SEEDS: u64 = 200;
/// So many run before it is looked whether one has found it.
const CHUNK: usize = 20;

#[allow(clippy::unwrap_used)] // A test's helper fails as the test does.
fn campaign(first: u64, seeds: u64, twice: u64, plant: Option<Plant>) -> Totals {
    let campaign = Campaign { first, seeds, twice, options: Options { plant, lines: 0 } };
    campaign.run(|_| ()).unwrap()
}

/// The numbers of the invariants that the first seeds with `plant` break which break any.
fn broken_by(plant: Plant) -> Vec<u8> {
    let chunks =
        (1..=SEEDS).step_by(CHUNK).map(|first| campaign(first, CHUNK as u64, 0, Some(plant)).failures);
    let found = chunks.into_iter().find(|failures| !failures.is_empty()).unwrap_or_default();
    let violations = found.iter().filter_map(|outcome| outcome.violation.as_ref());
    violations.map(|violation| violation.invariant.number).collect()
}

#[test]
fn controllers_without_guards_are_found() {
    assert_ne!(broken_by(Plant::NoGuard), [0; 0]);
}

#[test]
fn controllers_without_a_fence_are_found_as_such() {
    assert_eq!(broken_by(Plant::NoFence).first(), Some(&32));
}

#[test]
fn agents_that_start_without_a_claim_are_found_as_such() {
    assert_eq!(broken_by(Plant::NoClaim).first(), Some(&26));
}

/// Nothing else looks at what an edit should have led to: the comparison with a fresh cluster that is given the last specs.
#[test]
fn an_updater_that_forgets_edits_of_labels_is_found_as_such() {
    assert_eq!(broken_by(Plant::OldLabels).first(), Some(&39));
}

#[test]
fn a_seed_runs_alike_twice_and_breaks_nothing() {
    let totals = campaign(1, 12, 12, None);
    assert_eq!(totals.unlike, [0; 0]);
    let first = totals.failures.first().map(|outcome| (outcome.seed, &outcome.violation));
    assert!(first.is_none(), "{first:?}");
}
