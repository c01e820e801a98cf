//! P7: what a rolling update costs beyond stopping the old containers and starting the new ones.

use std::process::Command;

use skep_agent::simulated::Latency;

use super::cluster::Cluster;
use super::fleet::{CONSTRAINT, Fleet};
use super::measure::{Report, Times, run};
use super::observe::Observer;

const IMAGE: &str = "skep-demo:v1";
const RUNS: usize = 3;
/// Real containers, one at a time.
const REAL: usize = 5;
/// Simulated ones, so many at a time, on so many nodes.
const SIMULATED: usize = 50;
const SIMULATED_AT_ONCE: usize = 5;
const NODES: u64 = 5;
/// What the simulated engine takes, in milliseconds: about what Docker takes here.
const STOP: u64 = 400;
const START: u64 = 300;

/// A service that is updated.
struct Roll<'a> {
    name: &'a str,
    replicas: usize,
    at_once: usize,
    constraint: &'a str,
}

/// Five containers of Docker's, against stopping and starting them by hand and against Swarm; then fifty simulated ones.
pub(super) fn bench(report: &mut Report) -> Result<(), String> {
    let cluster = Cluster::start()?;
    let observer = Observer::connect(&cluster.state())?;
    let roll =
        Roll { name: "rolling", replicas: REAL, at_once: 1, constraint: "engine.labels.bench != simulated" };
    let real = roll.times(&cluster, &observer)?;
    let by_hand = by_hand(REAL)?;
    report.times("rolling.5.skep", &real);
    report.times("rolling.5.stop-and-start", &by_hand);
    report.ratio("rolling.5.skep-to-stop-and-start", &real, &by_hand);
    swarm(report, &real)?;
    let latency =
        Latency { read: 1..2, create: 50..51, start: START..START + 1, stop: STOP..STOP + 1, pull: 1..2 };
    let _fleet = Fleet::join(&cluster.state(), NODES, IMAGE, &latency)?;
    let roll = Roll {
        name: "rolling-simulated",
        replicas: SIMULATED,
        at_once: SIMULATED_AT_ONCE,
        constraint: CONSTRAINT,
    };
    let simulated = roll.times(&cluster, &observer)?;
    let ideal = Times::known((STOP + START) * (SIMULATED / SIMULATED_AT_ONCE) as u64);
    report.times("rolling.50.skep", &simulated);
    report.times("rolling.50.stop-and-start", &ideal);
    report.ratio("rolling.50.skep-to-stop-and-start", &simulated, &ideal);
    Ok(())
}

impl Roll<'_> {
    fn manifest(&self, version: usize) -> String {
        format!(
            "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {}}}\nspec:\n  replicas: {}\n  \
             task: {{image: \"{IMAGE}\", stopGracePeriod: 5s, env: {{ROLL: \"{version}\"}}}}\n  \
             placement: {{constraints: [\"{}\"]}}\n  update: {{parallelism: {}, monitor: 1s}}\n",
            self.name, self.replicas, self.constraint, self.at_once
        )
    }

    /// From the change until every slot serves the new revision and nothing else is wanted.
    fn times(&self, cluster: &Cluster, observer: &Observer) -> Result<Times, String> {
        let apply = |version: usize| {
            let path = cluster.write(&format!("{}.yaml", self.name), &self.manifest(version))?;
            cluster.skep(&["apply", "--detach", "-f", &path.display().to_string()]).map(drop)
        };
        let serves = |revision: u64| {
            observer.until(self.name, |tasks| {
                let serving: Vec<_> = tasks.iter().filter(|task| task.is_serving()).collect();
                serving.len() == self.replicas && serving.iter().all(|task| task.revision == revision)
            })
        };
        apply(0)?;
        serves(1)?;
        cluster.skep(&["wait", &format!("service/{}", self.name), "--for", "ready"])?;
        let times = Times::of(
            RUNS,
            |number| apply(number + 1).and_then(|()| serves(number as u64 + 2)),
            |_| cluster.skep(&["wait", &format!("service/{}", self.name), "--for", "ready"]).map(drop),
        )?;
        cluster.skep(&["delete", &format!("service/{}", self.name)])?;
        Ok(times)
    }
}

/// `docker stop` of an old container and `docker start` of a prepared one, so many times.
fn by_hand(count: usize) -> Result<Times, String> {
    let docker = |args: &[&str]| run(Command::new("docker").args(args)).map(drop);
    let name = |number: usize, age: &str| format!("skep-bench-{number}-{age}");
    let prepare = || {
        (0..count).try_for_each(|number| {
            docker(&["run", "-d", "--name", &name(number, "old"), IMAGE])?;
            docker(&["create", "--name", &name(number, "new"), IMAGE])
        })
    };
    let clear = || {
        let names: Vec<String> =
            (0..count).flat_map(|number| [name(number, "old"), name(number, "new")]).collect();
        run(Command::new("docker").args(["rm", "-f"]).args(names)).map(drop)
    };
    prepare()?;
    let times = Times::of(
        RUNS,
        |_| {
            (0..count).try_for_each(|number| {
                docker(&["stop", &name(number, "old")])?;
                docker(&["start", &name(number, "new")])
            })
        },
        |_| clear().and_then(|()| prepare()),
    );
    clear()?;
    times
}

/// The same through `docker service update --force`, if this Docker is not in a swarm already.
fn swarm(report: &mut Report, real: &Times) -> Result<(), String> {
    let state = run(Command::new("docker").args(["info", "--format", "{{.Swarm.LocalNodeState}}"]))?;
    if state.trim() != "inactive" {
        report.skipped("rolling.swarm", "this Docker is in a swarm that is not the bench's");
        return Ok(());
    }
    if let Err(error) = run(Command::new("docker").args(["swarm", "init", "--advertise-addr", "127.0.0.1"])) {
        report.skipped("rolling.swarm", &error);
        return Ok(());
    }
    let measured = service_update();
    run(Command::new("docker").args(["swarm", "leave", "--force"]))?;
    let swarm = measured?;
    report.times("rolling.5.docker-service-update", &swarm);
    report.ratio("rolling.5.skep-to-docker-service-update", real, &swarm);
    Ok(())
}

fn service_update() -> Result<Times, String> {
    let replicas = REAL.to_string();
    let create =
        ["service", "create", "--no-resolve-image", "--replicas", &replicas, "--update-monitor", "100ms"];
    run(Command::new("docker").args(create).args(["--name", "skep-bench", IMAGE]))?;
    let update = ["service", "update", "--quiet", "--no-resolve-image", "--force", "skep-bench"];
    let times = Times::of(RUNS, |_| run(Command::new("docker").args(update)).map(drop), |_| Ok(()));
    run(Command::new("docker").args(["service", "rm", "skep-bench"]))?;
    times
}
