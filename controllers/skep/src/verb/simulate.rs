//! `skep simulate`: plans a cluster that is only described in files, with the planners of the real controllers and without etcd.

mod machine;

use std::collections::BTreeMap;

use clap::Args;
use skep_api::ident::NodeId;
use skep_api::manifest::{self, Located, Manifest, Source};
use skep_api::problem::Severity;
use skep_api::time::Timestamp;

use crate::cli::Context;
use crate::failure::Failure;
use crate::output::message;
use crate::sandbox::Sandbox;
use crate::sandbox::compare::Comparison;
use crate::sandbox::picture::Picture;
use crate::sandbox::show::AnswerArgs;
use crate::verb::files::Files;
use crate::verb::whatif::join;
use machine::Machine;

/// The id of a cluster that is only described.
const CLUSTER: &str = "simulation";

/// Plan a cluster that only files describe: what runs where, what waits, and why
///
/// Nodes say what the machine has under `status.report.capacity`, as `skep get nodes -o yaml` prints it. Containers start at once
/// and stay healthy, and runs of jobs end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep simulate -f nodes.yaml -f services.yaml
  skep get nodes -o yaml | skep simulate -f - -f services.yaml --exit-code")]
pub(crate) struct Simulate {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// What files describe.
struct Described {
    documents: Vec<Located<Manifest>>,
    /// What each node has.
    machines: BTreeMap<NodeId, Machine>,
}

impl Simulate {
    /// Plans what the files describe.
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let compared = simulate(&self.files.sources()?, context.env.now())?;
        self.answer.give(&compared)
    }
}

fn simulate(sources: &[Source], now: Timestamp) -> Result<Comparison, Failure> {
    let Described { documents, machines } = read(sources)?;
    let mut sandbox = Sandbox::empty(CLUSTER, now);
    for Located { value, .. } in &documents {
        match value {
            Manifest::Node { id, spec } => match machines.get(id) {
                Some(machine) if machine.is_up => {
                    join(&mut sandbox, id, spec.clone(), machine.report.clone());
                }
                Some(_) | None => sandbox.put(&value.key(), value.object()),
            },
            Manifest::Service(_) | Manifest::Volume(_) | Manifest::Cluster(_) => {
                sandbox.put(&value.key(), value.object());
            }
        }
    }
    sandbox.run()?;
    sandbox.let_jobs_end();
    let rest = sandbox.run()?;
    Ok(Comparison::of(None, rest, Picture::default(), Picture::of(&sandbox)))
}

/// The objects of all files, and what each node has; everything that is wrong is printed.
fn read(sources: &[Source]) -> Result<Described, Failure> {
    let reading = manifest::read_with_machines(sources);
    let mut problems = reading.problems;
    let mut machines = BTreeMap::new();
    for machine in machine::read(sources) {
        match machine {
            Ok(machine) => drop(machines.insert(machine.node.clone(), machine)),
            Err(problem) => problems.push(problem),
        }
    }
    problems.iter().for_each(message::problem);
    let errors = problems.iter().filter(|problem| problem.severity() == Severity::Error).count();
    if errors > 0 {
        return Err(Failure::Manifests { errors });
    }
    Ok(Described { documents: reading.documents, machines })
}
