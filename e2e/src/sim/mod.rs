//! The simulator: all controllers twice over, agents on simulated machines and a person who edits, through the real etcd
//! client on the fake etcd, under one seed, in virtual time, while everything that can go wrong does.
//!
//! What runs is what the binaries run. Only the network, the clock, randomness and the container engine are the simulator's.

mod calm;
mod campaign;
mod director;
mod fault;
mod fresh;
mod ground;
mod machine;
mod oracle;
mod pause;
mod plant;
mod process;
mod program;
mod role;
mod trace;
mod user;
mod wire;

use std::time::Duration;

use skep_store::fake::FakeEtcd;
use skep_store::{Config, Store};
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use campaign::{Campaign, Totals};
pub use fault::{Counts, Fault};
pub use oracle::invariant::{Invariant, Violation};
pub use plant::Plant;

use director::Director;
use fault::{Menu, Tally};
use ground::Ground;
use machine::Machine;
use oracle::Oracle;
use oracle::invariant::{CONVERGES, NO_DETACHED};
use process::Process;
use role::Role;
use wire::Weather;

/// How long faults and edits go on.
const STORM: Duration = Duration::from_secs(60);
/// How long what is still on its way when a run has ended takes to arrive.
const LAST_ARRIVAL: Duration = Duration::from_secs(2);
/// How many processes of each controller there are.
const INSTANCES: usize = 2;
/// How many machines there are.
const MACHINES: [usize; 2] = [3, 4];

/// What became of one seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first invariant that was broken.
    pub violation: Option<Violation>,
    /// The end of the history.
    pub last_lines: Vec<String>,
    /// A hash of the whole history: the same seed has the same.
    pub trace: u64,
    /// How many commits there were.
    pub commits: u64,
    /// How much time passed within.
    pub elapsed: Duration,
    /// How often each fault happened.
    pub faults: Counts,
}

/// How a seed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The bug that is planted, if any.
    pub plant: Option<Plant>,
    /// How many of the last lines of the history are kept.
    pub lines: usize,
}

/// Runs one seed, on this thread.
///
/// # Errors
/// If this machine has no more room for a runtime.
pub fn run(seed: u64, options: Options) -> std::io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(LocalSet::new().block_on(&runtime, simulate(seed, options)))
}

async fn simulate(seed: u64, Options { plant, lines }: Options) -> Outcome {
    let etcd = FakeEtcd::new();
    let oracle = Oracle::of(&etcd, lines);
    let tally = Tally::default();
    let menu = Menu::draw(&mut fastrand::Rng::with_seed(seed));
    let end = CancellationToken::new();
    let weather =
        Weather { menu, tally: tally.clone(), calm_from: Instant::now() + STORM, plant, end: end.clone() };
    let ground = Ground { etcd, weather, oracle: oracle.clone(), seed };
    let mut fresh = None;
    if let Err(error) = play(&ground, &mut fresh).await {
        oracle.accuse(CONVERGES, error.to_string());
    }
    end.cancel();
    drop(ground);
    let left = tasks_left().await;
    if left > 0 {
        oracle.accuse(NO_DETACHED, format!("{left} tasks run on"));
    }
    let (mut trace, mut commits) = oracle.trace();
    let (violation, mut last_lines) = (oracle.violation(), oracle.last_lines());
    if let Some((hash, more)) = fresh.as_ref().map(Oracle::trace) {
        trace ^= hash.rotate_left(1);
        commits += more;
    }
    if violation.is_some()
        && let Some(fresh) = fresh
    {
        last_lines.push("a fresh cluster is given the last specs".to_owned());
        last_lines.extend(fresh.last_lines());
    }
    Outcome { seed, violation, last_lines, trace, commits, elapsed: oracle.elapsed(), faults: tally.counts() }
}

/// How many tasks outlive their processes and etcd, once what was on its way has arrived.
async fn tasks_left() -> usize {
    tokio::time::sleep(LAST_ARRIVAL).await;
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The storm, the calm after it, and a `fresh` cluster that is given the same specs, if it comes to that.
async fn play(ground: &Ground, fresh: &mut Option<Oracle>) -> Result<(), skep_store::Error> {
    found_cluster(ground).await?;
    let machines = 0..ground.random("machines").choice(MACHINES).unwrap_or_default();
    let mut processes = cast(ground, INSTANCES, machines);
    processes.push(Process::new(Role::User, 0, None));
    let mut director = Director::new(ground.clone(), processes);
    while !ground.weather.is_calm() && ground.oracle.violation().is_none() {
        director.storm().await;
    }
    director.calm().await;
    user::mend(&founder(ground).await?).await?;
    ground.oracle.dismiss("");
    if ground.oracle.violation().is_none() {
        calm::converge(ground, &mut director).await;
    }
    let last = fresh::Last::of(ground, &director).await?;
    director.end().await;
    if ground.oracle.violation().is_none() {
        last.compare(ground, fresh).await?;
    }
    Ok(())
}

/// Makes the etcd a cluster, as `skep up` does.
async fn found_cluster(ground: &Ground) -> Result<(), skep_store::Error> {
    let identity = founder(ground).await?.bootstrap().await?;
    ground.oracle.set_cluster(&identity.cluster);
    ground.oracle.dismiss("");
    Ok(())
}

/// Somebody on whose way to etcd nothing goes wrong.
async fn founder(ground: &Ground) -> Result<Store, skep_store::Error> {
    let seed = ground.random("cluster").u64(..);
    let founder = oracle::writers::Client { role: Role::User, node: None, holder: String::new() };
    ground.oracle.introduce("", founder);
    Store::over(ground.etcd.perfect_channel(), Config::new(Vec::new(), seed)).await
}

/// So many processes of each controller, and the agents of these machines.
fn cast(ground: &Ground, instances: usize, machines: impl IntoIterator<Item = usize>) -> Vec<Process> {
    let controllers = Role::CONTROLLERS.into_iter();
    let mut processes: Vec<Process> = controllers
        .flat_map(|role| (0..instances).map(move |index| Process::new(role, index, None)))
        .collect();
    let machines = machines.into_iter();
    processes
        .extend(machines.map(|index| Process::new(Role::Agent, index, Some(Machine::new(ground, index)))));
    processes
}
