//! `skep status --system`: how each process of this machine is.

use serde_json::{Value, json};
use skep_api::key::{Key, prefix};
use skep_api::node::Session;
use skep_api::object::Object;
use skep_store::Range;

use crate::cli::Context;
use crate::failure::Failure;
use crate::host;
use crate::output::{Table, time::ago, warn};
use crate::up::state::{RunFile, StateDir};
use crate::verb::controller::CONTROLLERS;

/// One process, and what is known of it.
pub(crate) struct Process {
    name: String,
    run: RunFile,
    role: &'static str,
    log: String,
}

/// Every process of this machine.
pub(crate) async fn processes(context: &Context) -> Result<Vec<Process>, Failure> {
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
    read(&state, leaders.as_deref())
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

fn read(state: &StateDir, leaders: Option<&[u32]>) -> Result<Vec<Process>, Failure> {
    let mut processes = Vec::new();
    for name in state.run_names() {
        let Some(run) = state.run_file(&name)? else { continue };
        let role = role(&name, &run, leaders);
        let log = state.log(&name).display().to_string();
        processes.push(Process { name, run, role, log });
    }
    Ok(processes)
}

fn role(name: &str, run: &RunFile, leaders: Option<&[u32]>) -> &'static str {
    let Some(process) = run.process.as_ref().filter(|process| process.is_alive()) else { return "stopped" };
    if !CONTROLLERS.contains(&name) {
        return "running";
    }
    match leaders {
        None => "running",
        Some(leaders) if leaders.contains(&process.pid) => "leader",
        Some(_) => "standby",
    }
}

/// As a table.
pub(crate) fn table(processes: &[Process], context: &Context) -> Table {
    let now = context.env.now();
    let mut table = Table::new(["PROCESS", "PID", "STATE", "SINCE", "RESTARTS", "LAST END", "LOG"]);
    for row in processes {
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

/// As JSON.
pub(crate) fn json(processes: &[Process]) -> Value {
    let items = processes.iter().map(|row| {
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
