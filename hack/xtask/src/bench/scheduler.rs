//! The scheduler, alone and on the way to etcd, at the shapes at which SwarmKit's was measured; and how long it takes from a
//! change to the plan. Each figure comes from a process of its own, so that its memory is that shape's.

mod commit;
mod field;
mod ground;
mod shape;
mod wake;

use super::child::{self, Figures};
use super::measure::{Report, per_second};
use field::Field;
use ground::Ground;
use shape::{LARGEST, SHAPES, SWARMKIT, Shape, SwarmKit, VARIANTS, VARIED, Variant};

/// How often each shape is planned, and how often it is committed as well.
const RUNS_PLANNED: usize = 5;
const RUNS_COMMITTED: usize = 5;
const RUNS_WAKE: usize = 3;
/// Clusters of which a tenth of the other is compared: work should follow the change, and not the cluster.
const WAKE_LARGE: Shape = Shape { nodes: 10_000, tasks: 100_000, services: 100 };
const WAKE_SMALL: Shape = Shape { nodes: 1_000, tasks: 10_000, services: 100 };
/// `--quick` leaves out what has more tasks than this.
const QUICK_TASKS: usize = 10_000;

/// Plans, commits, and wakes.
pub(super) fn bench(report: &mut Report) -> Result<(), String> {
    child::build()?;
    let is_quick = report.is_quick;
    let shapes = || SHAPES.into_iter().filter(move |(shape, _)| !is_quick || shape.tasks <= QUICK_TASKS);
    for (shape, swarmkit) in shapes() {
        planned(report, shape, Variant::Plain, Some(swarmkit))?;
    }
    if !is_quick {
        for variant in VARIANTS {
            planned(report, VARIED, variant, None)?;
        }
    }
    for (shape, swarmkit) in shapes().filter(|(shape, _)| *shape != LARGEST) {
        committed(report, shape, swarmkit)?;
    }
    woken(report)
}

/// Measures in this process what `scheduler` asks of its children: `planned`, `committed` or `wake`, a shape, a variant.
pub(super) fn child(args: &[&str]) -> Result<Figures, String> {
    let [part, shape, variant, speed] = args else { return Err(format!("not a part: {args:?}")) };
    let shape = Shape::parse(shape).ok_or("not a shape")?;
    let variant = Variant::parse(variant).ok_or("not a variant")?;
    let mut figures = Figures::default();
    let mut tell = |name: String, value: f64| {
        figures.insert(name, value);
    };
    match *part {
        "planned" => plan_all(shape, variant, &mut tell)?,
        "committed" => commit::measure(shape, variant, &mut tell)?,
        "wake" => wake::measure(shape, *speed == "quick", &mut tell)?,
        _ => return Err(format!("not a part: {part}")),
    }
    Ok(figures)
}

/// Builds a cluster, and places all of it.
fn plan_all(shape: Shape, variant: Variant, tell: &mut impl FnMut(String, f64)) -> Result<(), String> {
    let mut ground = Ground::new();
    let field = Field::new(shape, variant, "svc")?;
    field.nodes().for_each(|item| drop(ground.put(item)));
    let owners = ground.add_services(&field)?;
    field.tasks(&owners).for_each(|item| drop(ground.put(item)));
    tell("before".to_owned(), child::memory("VmRSS")?);
    let sums = ground::place(&mut ground);
    let expected = if variant == Variant::Full { shape.tasks * 8 / 10 } else { shape.tasks };
    if sums.placed < expected {
        return Err(format!("{} of {} tasks were placed", sums.placed, shape.tasks));
    }
    tell("planned".to_owned(), per_second(sums.placed, sums.planning));
    tell("applied".to_owned(), per_second(sums.placed, sums.planning + sums.applying));
    tell("explained".to_owned(), u32::try_from(sums.explained).unwrap_or(u32::MAX).into());
    tell("rss".to_owned(), child::memory("VmRSS")?);
    tell("peak".to_owned(), child::memory("VmHWM")?);
    Ok(())
}

fn planned(
    report: &mut Report,
    shape: Shape,
    variant: Variant,
    swarmkit: Option<SwarmKit>,
) -> Result<(), String> {
    let name = if variant == Variant::Plain {
        format!("scheduler.{shape}")
    } else {
        format!("scheduler.{shape}.{variant}")
    };
    if !report.is_wanted(&name) {
        return Ok(());
    }
    let runs = if report.is_quick { 1 } else { RUNS_PLANNED };
    let args = ["scheduler", "planned", &shape.to_string(), &variant.to_string(), "full"];
    let samples = match child::run(&args, runs) {
        Ok(samples) => samples,
        // What services ask for may not be there yet.
        Err(error) if variant != Variant::Plain => {
            report.skipped(&name, &error);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for figure in ["planned", "applied"] {
        let values = samples.of(figure);
        report.samples(&format!("{name}.{figure}"), "1/s", &values);
        if let Some(swarmkit) = swarmkit {
            let ratio = values.median() / swarmkit.planned;
            report.against(&format!("{name}.{figure}-to-swarmkit-planned"), ratio, SWARMKIT);
        }
    }
    report.samples(&format!("{name}.memory"), "MiB", &samples.of("rss"));
    report.samples(&format!("{name}.memory-peak"), "MiB", &samples.of("peak"));
    Ok(())
}

fn committed(report: &mut Report, shape: Shape, swarmkit: SwarmKit) -> Result<(), String> {
    let name = format!("scheduler.{shape}.committed");
    if !report.is_wanted(&name) {
        return Ok(());
    }
    let runs = if report.is_quick { 1 } else { RUNS_COMMITTED };
    let samples = child::run(&["scheduler", "committed", &shape.to_string(), "plain", "full"], runs)?;
    let values = samples.of("committed");
    report.samples(&name, "1/s", &values);
    report.against(&format!("{name}-to-swarmkit-placed"), values.median() / swarmkit.placed, SWARMKIT);
    report.samples(&format!("{name}.transactions"), "1", &samples.of("transactions"));
    report.samples(&format!("{name}.memory-peak"), "MiB", &samples.of("peak"));
    Ok(())
}

fn woken(report: &mut Report) -> Result<(), String> {
    if !report.is_wanted("scheduler.wake") {
        return Ok(());
    }
    let (runs, speed) = if report.is_quick { (1, "quick") } else { (RUNS_WAKE, "full") };
    let run = |shape: Shape| child::run(&["scheduler", "wake", &shape.to_string(), "plain", speed], runs);
    let small = run(WAKE_SMALL)?;
    let large = run(WAKE_LARGE)?;
    for figure in
        large.names().filter(|name| name.ends_with("p50") || name.ends_with("p99") || name.ends_with("max"))
    {
        let (ours, theirs) = (large.of(figure), small.of(figure));
        report.samples(&format!("scheduler.wake.{}.{figure}", WAKE_LARGE.nodes), "us", &ours);
        report.samples(&format!("scheduler.wake.{}.{figure}", WAKE_SMALL.nodes), "us", &theirs);
        let ratio = ours.median() / theirs.median();
        report.against(&format!("scheduler.wake.growth.{figure}"), ratio, "ten times the nodes and tasks");
    }
    Ok(())
}
