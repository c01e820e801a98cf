//! P6: how fast a container that was killed is replaced, also when the controller is killed at the same moment.

use std::process::Command;

use super::cluster::Cluster;
use super::measure::{Report, Times, run};
use super::observe::Observer;
use super::start::docker;

const RUNS: usize = 7;
/// Killing the controller takes a lease's time each.
const RUNS_KILLED: usize = 3;
const SERVICE: &str = "recover";
const MANIFEST: &str = "\
apiVersion: skep/v1
kind: Service
metadata: {name: recover}
spec:
  task: {image: \"skep-demo:v1\", stopGracePeriod: 1s}
  restart: {delay: 0s, maxDelay: 0s}
";

/// The container alone, then with `kill -9` of the replica controller.
pub(super) fn bench(report: &mut Report) -> Result<(), String> {
    let cluster = Cluster::start()?;
    let observer = Observer::connect(&cluster.state())?;
    cluster.apply(&cluster.write("recover.yaml", MANIFEST)?)?;
    let alone = Times::of(RUNS, |_| replaced(&observer, || Ok(())), |_| Ok(()))?;
    let base = docker(1, 1, RUNS)?;
    report.times("recover.container", &alone);
    report.times("recover.docker-run", &base);
    report.ratio("recover.container-to-docker-run", &alone, &base);
    let kill =
        || cluster.pid("replica").and_then(|pid| run(Command::new("kill").args(["-9", &pid]))).map(drop);
    let led = || cluster.skep(&["up", "--detach"]).map(drop);
    let killed = Times::of(RUNS_KILLED, |_| replaced(&observer, kill), |_| led())?;
    report.times("recover.container-and-controller", &killed);
    Ok(())
}

/// Kills the service's container, lets `also` happen, and waits for another task that runs.
fn replaced(observer: &Observer, also: impl Fn() -> Result<(), String>) -> Result<(), String> {
    let old = observer.tasks(SERVICE)?.into_iter().find(super::observe::Seen::is_serving);
    let old = old.ok_or("nothing runs that could be killed")?.name;
    run(Command::new("docker").args(["kill", "--signal", "KILL", &old]))?;
    also()?;
    observer.until(SERVICE, |tasks| tasks.iter().any(|task| task.is_serving() && task.name != old))
}
