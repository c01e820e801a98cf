//! How fast a service starts: with a local image, from the command to running containers.

use std::process::{Child, Command, Stdio};

use super::cluster::Cluster;
use super::measure::{Report, Times, run};

const IMAGE: &str = "skep-demo:v1";
/// Runs of one container, and of many.
const RUNS_ONE: usize = 7;
const RUNS_MANY: usize = 3;
const MANY: usize = 20;
/// How many `docker run` are in flight at a time; the best counts.
const IN_FLIGHT: [usize; 3] = [1, 4, 16];

/// One replica, then many, each against `docker run` and Swarm.
pub(super) fn bench(report: &mut Report) -> Result<(), String> {
    let cluster = Cluster::start()?;
    let one = ours(&cluster, 1, RUNS_ONE)?;
    let one_docker = docker(1, 1, RUNS_ONE)?;
    report.times("start.1.skep", &one);
    report.times("start.1.docker-run", &one_docker);
    report.ratio("start.1.skep-to-docker-run", &one, &one_docker);
    let many = ours(&cluster, MANY, RUNS_MANY)?;
    let mut best: Option<Times> = None;
    for in_flight in IN_FLIGHT {
        let times = docker(MANY, in_flight, RUNS_MANY)?;
        report.times(&format!("start.20.docker-run-{in_flight}"), &times);
        best = Some(best.filter(|best| best.median() <= times.median()).unwrap_or(times));
    }
    report.times("start.20.skep", &many);
    if let Some(best) = best {
        report.ratio("start.20.skep-to-docker-run", &many, &best);
    }
    swarm(report, &one, &many)
}

/// Applies a service of so many replicas until the command says that they run.
fn ours(cluster: &Cluster, replicas: usize, runs: usize) -> Result<Times, String> {
    let manifest = |run: usize| {
        format!(
            "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: bench-{run}}}\nspec:\n  replicas: {replicas}\n  \
             task: {{image: \"{IMAGE}\", stopGracePeriod: 1s}}\n"
        )
    };
    let paths: Result<Vec<_>, _> =
        (0..=runs).map(|run| cluster.write(&format!("{run}.yaml"), &manifest(run))).collect();
    let paths = paths?;
    let path = |run: usize| paths.get(run).ok_or_else(|| format!("no run {run}"));
    Times::of(
        runs,
        |run| cluster.apply(path(run)?),
        |run| cluster.skep(&["delete", &format!("service/bench-{run}")]).map(drop),
    )
}

/// `docker run -d` so many times, so many in flight.
pub(super) fn docker(count: usize, in_flight: usize, runs: usize) -> Result<Times, String> {
    let name = |run: usize, number: usize| format!("skep-bench-{run}-{number}");
    let start = |run: usize, number: usize| {
        let mut command = Command::new("docker");
        command
            .args(["run", "-d", "--name", &name(run, number), IMAGE])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().map_err(|error| error.to_string())
    };
    let finish = |mut child: Child| match child.wait() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("docker run: {other:?}")),
    };
    Times::of(
        runs,
        |run| {
            let mut going = std::collections::VecDeque::new();
            for number in 0..count {
                if going.len() == in_flight {
                    going.pop_front().map_or(Ok(()), finish)?;
                }
                going.push_back(start(run, number)?);
            }
            going.into_iter().try_for_each(finish)
        },
        |run_number| {
            let names: Vec<String> = (0..count).map(|number| name(run_number, number)).collect();
            run(Command::new("docker").args(["rm", "-f"]).args(names)).map(drop)
        },
    )
}

/// The same through `docker service create`, if this Docker is not in a swarm already: it joins one and leaves it.
fn swarm(report: &mut Report, one: &Times, many: &Times) -> Result<(), String> {
    let state = run(Command::new("docker").args(["info", "--format", "{{.Swarm.LocalNodeState}}"]))?;
    if state.trim() != "inactive" {
        report.skipped("start.swarm", "this Docker is in a swarm that is not the bench's");
        return Ok(());
    }
    if let Err(error) = run(Command::new("docker").args(["swarm", "init", "--advertise-addr", "127.0.0.1"])) {
        report.skipped("start.swarm", &error);
        return Ok(());
    }
    let measured = service_create(1, RUNS_ONE).and_then(|one| Ok((one, service_create(MANY, RUNS_MANY)?)));
    run(Command::new("docker").args(["swarm", "leave", "--force"]))?;
    let (one_swarm, many_swarm) = measured?;
    report.times("start.1.docker-service-create", &one_swarm);
    report.ratio("start.1.skep-to-docker-service-create", one, &one_swarm);
    report.times("start.20.docker-service-create", &many_swarm);
    report.ratio("start.20.skep-to-docker-service-create", many, &many_swarm);
    Ok(())
}

/// `docker service create --detach`, until Swarm says that every task runs.
fn service_create(replicas: usize, runs: usize) -> Result<Times, String> {
    let name = |run: usize| format!("skep-bench-{run}");
    let running = |run_number: usize| {
        let args = ["service", "ps", "--format", "{{.CurrentState}}", &name(run_number)].map(str::to_owned);
        run(Command::new("docker").args(args)).map(|text| text.matches("Running").count())
    };
    Times::of(
        runs,
        |number| {
            let replicas_text = replicas.to_string();
            let args = [
                "service",
                "create",
                "--detach",
                "--no-resolve-image",
                "--replicas",
                &replicas_text,
                "--name",
                &name(number),
                IMAGE,
            ];
            run(Command::new("docker").args(args))?;
            while running(number)? < replicas {}
            Ok(())
        },
        |number| {
            run(Command::new("docker").args(["service", "rm", &name(number)]))?;
            let filter = format!("label=com.docker.swarm.service.name={}", name(number));
            while !run(Command::new("docker").args(["ps", "-aq", "--filter", &filter]))?.is_empty() {}
            Ok(())
        },
    )
}
