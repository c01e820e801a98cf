//! The simulator finds the bugs that are planted, and nothing where none is; a seed always runs alike.

use e2e::sim::{Campaign, Options, Plant, Totals};

/// So many seeds are enough to find each planted bug: one seed in about 25 does.
const SEEDS: u64 = 160;

#[allow(clippy::unwrap_used)] // A test's helper fails as the test does.
fn campaign(seeds: u64, twice: u64, plant: Option<Plant>) -> Totals {
    let campaign = Campaign { first: 1, seeds, twice, options: Options { plant, lines: 0 } };
    campaign.run(|_| ()).unwrap()
}

/// The numbers of the invariants that `plant` breaks.
fn broken_by(plant: Plant) -> Vec<u8> {
    let failures = campaign(SEEDS, 0, Some(plant)).failures;
    failures
        .iter()
        .filter_map(|outcome| outcome.violation.as_ref())
        .map(|violation| violation.invariant.number)
        .collect()
}

#[test]
fn controllers_without_guards_are_found() {
    let broken = broken_by(Plant::NoGuard);
    assert!(broken.len() >= 2, "{broken:?}");
}

#[test]
fn controllers_without_a_fence_are_found() {
    let broken = broken_by(Plant::NoFence);
    assert!(broken.contains(&32), "{broken:?}");
}

#[test]
fn agents_that_start_without_a_claim_are_found() {
    let broken = broken_by(Plant::NoClaim);
    assert!(broken.contains(&26), "{broken:?}");
}

#[test]
fn a_seed_runs_alike_twice_and_breaks_nothing() {
    let totals = campaign(12, 12, None);
    assert_eq!(totals.unlike, [0; 0]);
    assert_eq!(totals.failures.len(), 0, "{:?}", totals.failures.first().map(|outcome| &outcome.violation));
}
