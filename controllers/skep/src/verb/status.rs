//! `skep status`: how the cluster is, and how each process of this machine is.

use clap::Args;
use serde_json::json;
use skep_api::key::{Key, prefix};
use skep_api::node::Session;
use skep_api::object::Object;
use skep_store::Range;

use crate::cli::Context;
use crate::failure::Failure;
use crate::host;
use crate::output::{self, Table, time::ago, warn};
use crate::up::state::{RunFile, StateDir};

/// Show how the cluster is
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Show each process of this machine: pid, leader or standby, restarts, log
    #[arg(long, required = true)]
    system: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// One process, and what is known of it.
struct Row {
    name: String,
    run: RunFile,
    role: &'static str,
    log: String,
}

impl Status {
    /// Shows it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let state = context.cluster.state();
        if state.cluster()?.is_none() {
            return Err(Failure::NoCluster { dir: state.path().to_owned() });
        }
        let leaders = match leaders(context).await {
            Ok(leaders) => Some(leaders),
            Err(failure) => {
                warn(&format!("who leads is not known: {failure}"));
                None
            }
        };
        let rows = rows(&state, leaders.as_deref())?;
        match self.output {
            Format::Table => output::print(&table(&rows, context).to_string())?,
            Format::Json => output::print(&format!("{:#}\n", json(&rows)))?,
        }
        Ok(())
    }
}

/// The pids of the leaders on this machine.
async fn leaders(context: &Context) -> Result<Vec<u32>, Failure> {
    let store = context.cluster.connect(&context.env).await?;
    let listing = store.list(&Range::prefix(prefix::LEADERS)).await?;
    let sessions =
        listing.entries.iter().filter_map(|kv| match Object::decode(&Key::parse(&kv.key)?, &kv.value) {
            Ok(Object::Session(session)) => own_pid(&session),
            _ => None,
        });
    Ok(sessions.collect())
}

/// The pid of a holder on this machine.
fn own_pid(session: &Session) -> Option<u32> {
    host::parse_holder(&session.holder).filter(|(host, _)| *host == host::name()).map(|(_, pid)| pid)
}

fn rows(state: &StateDir, leaders: Option<&[u32]>) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for name in state.run_names() {
        let Some(run) = state.run_file(&name)? else { continue };
        let role = role(&name, &run, leaders);
        let log = state.log(&name).display().to_string();
        rows.push(Row { name, run, role, log });
    }
    Ok(rows)
}

fn role(name: &str, run: &RunFile, leaders: Option<&[u32]>) -> &'static str {
    let Some(process) = run.process.as_ref().filter(|process| process.is_alive()) else { return "stopped" };
    if !crate::verb::controller::CONTROLLERS.contains(&name) {
        return "running";
    }
    match leaders {
        None => "running",
        Some(leaders) if leaders.contains(&process.pid) => "leader",
        Some(_) => "standby",
    }
}

fn table(rows: &[Row], context: &Context) -> Table {
    let now = context.env.now();
    let mut table = Table::new(["PROCESS", "PID", "STATE", "SINCE", "RESTARTS", "LAST END", "LOG"]);
    for row in rows {
        table.push([
            row.name.clone(),
            row.run.process.as_ref().map_or(String::new(), |process| process.pid.to_string()),
            row.role.to_owned(),
            ago(now, row.run.since),
            row.run.restarts.to_string(),
            row.run.last_end.clone().unwrap_or_default(),
            row.log.clone(),
        ]);
    }
    table
}

fn json(rows: &[Row]) -> serde_json::Value {
    let items = rows.iter().map(|row| {
        json!({
            "name": row.name,
            "pid": row.run.process.as_ref().map(|process| process.pid),
            "state": row.role,
            "since": row.run.since,
            "restarts": row.run.restarts,
            "lastEnd": row.run.last_end,
            "log": row.log,
        })
    });
    json!({ "processes": items.collect::<Vec<_>>() })
}
