//! Everything goes wrong at once, under many seeds: the ledger sees that nothing happens that may not, and in the
//! end all is as it is wanted.

use std::time::Duration;

use skep_agent::simulated::Faults;
use skep_api::task::{DesiredState, TaskState};

use crate::rig::Rig;
use crate::suite::hand::until;

const SEEDS: u64 = 200;
const TASKS: u32 = 6;
/// Things that happen, one after another, in one run.
const STEPS: u32 = 60;

#[test]
fn whatever_fails_nothing_starts_unclaimed_or_twice_and_in_the_end_all_is_as_wanted() {
    for seed in 0..SEEDS {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        println!("seed {seed}");
        runtime.block_on(storm(1000 + seed));
    }
}

async fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rig = Rig::with_agent(seed).await;
    let mut wanted = vec![DesiredState::Ready; usize::try_from(TASKS).unwrap()];
    for slot in 1..=TASKS {
        rig.hand.want(slot, DesiredState::Ready).await;
    }
    for _ in 0..STEPS {
        tokio::time::sleep(Duration::from_millis(random.u64(0..3000))).await;
        step(&mut rig, &mut random, &mut wanted).await;
        assert!(!rig.has_ended(), "seed {seed}: {:?}", rig.agent_ends().await);
    }
    rig.network.set_rate(0.0);
    rig.network.cut(false);
    rig.machine.set_faults(Faults::default());
    rig.machine.come_back();
    for (slot, desired) in (1..=TASKS).zip(&wanted) {
        let task = rig.hand.task(slot);
        until(&format!("{task} is settled"), async || {
            rig.hand.status(&task).await.is_some_and(|status| is_settled(*desired, status.state))
        })
        .await;
    }
    assert_eq!(rig.ledger.violations(), [""; 0], "seed {seed}");
    for slot in 1..=TASKS {
        rig.hand.forget(&rig.hand.task(slot)).await;
    }
    until("nothing is left", async || rig.machine.containers().is_empty()).await;
}

/// Whether a task that is wanted so is where it is to be, or has ended on the way.
fn is_settled(desired: DesiredState, state: TaskState) -> bool {
    let reached = match desired {
        DesiredState::Ready => state == TaskState::Ready,
        DesiredState::Running | DesiredState::Complete => state == TaskState::Running,
        DesiredState::Shutdown | DesiredState::Remove => false,
    };
    reached || state.is_terminal()
}

/// One thing that happens.
async fn step(rig: &mut Rig, random: &mut fastrand::Rng, wanted: &mut [DesiredState]) {
    match random.u32(0..12) {
        0 => {
            rig.kill_agent().await;
            tokio::time::sleep(Duration::from_millis(random.u64(0..20_000))).await;
            rig.network.cut(false);
            rig.start_agent().await;
        }
        1 => rig.network.cut(true),
        2..=3 => rig.network.cut(false),
        4 => rig.network.set_rate(random.f64() * 0.2),
        5 => rig.machine.set_faults(Faults { lose_answer: random.f64() * 0.3, ..Faults::default() }),
        6 => {
            rig.machine.crash();
            tokio::time::sleep(Duration::from_millis(random.u64(0..10_000))).await;
            rig.machine.come_back();
        }
        7 => {
            if let Some(container) = random.choice(rig.machine.containers()) {
                rig.machine.exit(&container.id, random.i64(0..3));
            }
        }
        8 => {
            if let Some(container) = random.choice(rig.machine.containers()) {
                rig.machine.remove_by_force(&container.id);
            }
        }
        _ => {
            let index = random.usize(0..wanted.len());
            if wanted[index] == DesiredState::Ready {
                wanted[index] = DesiredState::Running;
            } else if random.bool() {
                wanted[index] = DesiredState::Shutdown;
            }
            rig.hand.want(u32::try_from(index).unwrap() + 1, wanted[index]).await;
        }
    }
}
