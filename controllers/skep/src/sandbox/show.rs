//! A comparison as people and scripts read it.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};
use skep_api::node::{Allocated, NodeReport};
use skep_api::object::API_VERSION;
use skep_api::quantity::{Cpus, Memory};
use skep_api::task::NearMiss;

use crate::failure::{Failure, count};
use crate::output::{Answer, Table, printable};
use crate::sandbox::compare::{Comparison, Moved};
use crate::sandbox::picture::{NodeSeen, Wait, service_name, slot_name};

/// How many nodes and tasks a person is shown.
const ROWS_MAX: usize = 40;
/// A mebibyte.
const MEBI: u64 = 1 << 20;

/// How an answer is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnswerArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table", global = true)]
    output: Answer,
    /// End with exit code 7 if a task would wait for a node
    #[arg(long, global = true)]
    exit_code: bool,
}

impl AnswerArgs {
    /// Prints the answer.
    ///
    /// # Errors
    /// [`Failure::WouldWait`] if that is asked for, and [`Failure::Output`].
    pub(crate) fn give(&self, compared: &Comparison) -> Result<(), Failure> {
        self.output.print(&page(compared), &json(compared))?;
        match compared.waiting() {
            waiting if self.exit_code && waiting > 0 => Err(Failure::WouldWait(waiting)),
            _ => Ok(()),
        }
    }
}

/// The answer for people: nodes, moves, who waits and why, and the outcome in a sentence.
pub(crate) fn page(compared: &Comparison) -> String {
    let mut page = nodes(compared);
    for (title, moves) in [("Moves", &compared.moved), ("Starts", &compared.placed), ("Ends", &compared.gone)]
    {
        // Of a cluster that was made up every task starts.
        if compared.change.is_some() {
            page.push_str(&moves_table(title, compared.before, moves));
        }
    }
    let names =
        compared.nodes.iter().filter_map(|(id, old, new)| Some((id.clone(), new.clone().or(old.clone())?)));
    let names = names.collect();
    for wait in &compared.waits {
        waits(&mut page, wait, &names);
    }
    for (service, words) in &compared.unready {
        let _ = writeln!(page, "Not ready: {}: {}", service_name(service), printable(words));
    }
    for note in &compared.notes {
        let _ = writeln!(page, "Note: {}", printable(note));
    }
    let _ = writeln!(page, "{}", printable(&compared.outcome()));
    page
}

fn nodes(compared: &Comparison) -> String {
    let is_few = compared.nodes.len() <= ROWS_MAX;
    let is_made_up = compared.change.is_none();
    let shown: Vec<_> = compared
        .nodes
        .iter()
        .filter(|(_, old, new)| is_few || is_made_up || !is_same(old.as_ref(), new.as_ref()))
        .collect();
    let has_generic = shown
        .iter()
        .any(|(_, old, new)| [old, new].into_iter().flatten().any(|seen| !generic(seen).is_empty()));
    let heading = ["NODE", "STATE", "TASKS", "CPUS", "MEMORY"];
    let mut table = Table::new(heading.into_iter().chain(has_generic.then_some("GENERIC")));
    for (_, old, new) in shown.iter().take(ROWS_MAX) {
        table.push(row(old.as_ref(), new.as_ref(), is_made_up, has_generic));
    }
    let mut text = table.to_string();
    let rest = shown.len().saturating_sub(ROWS_MAX);
    if rest > 0 {
        let _ = writeln!(text, "and {} (-o json shows them)", count(rest, "more node"));
    }
    let same = compared.nodes.len() - shown.len();
    if same > 0 {
        let _ = writeln!(text, "{} stay as they are (-o json shows them)", count(same, "other node"));
    }
    text
}

fn is_same(old: Option<&NodeSeen>, new: Option<&NodeSeen>) -> bool {
    let seen = |seen: &NodeSeen| (seen.state.clone(), seen.allocated.clone());
    old.map(seen) == new.map(seen)
}

fn row(old: Option<&NodeSeen>, new: Option<&NodeSeen>, is_new: bool, has_generic: bool) -> Vec<String> {
    let either = |get: &dyn Fn(&NodeSeen) -> String| {
        let (old, new) = (old.map(get), new.map(get));
        match (old, new) {
            (Some(old), Some(new)) if old == new => new,
            (Some(old), Some(new)) => format!("{old} -> {new}"),
            (None, Some(new)) if is_new => new,
            (None, Some(new)) => format!("new -> {new}"),
            (Some(old), None) => format!("{old} -> gone"),
            (None, None) => String::new(),
        }
    };
    let whole = |text: String, capacity: Option<String>| match capacity {
        Some(capacity) if !text.is_empty() => format!("{text} of {capacity}"),
        _ => text,
    };
    let seen = new.or(old);
    let capacity = seen.and_then(report).map(|report| report.capacity);
    // What is new has nothing before that could be compared.
    let amount = |get: &dyn Fn(&NodeSeen) -> String| either(get).replace("new -> ", "");
    let cpus = amount(&|seen| seen.allocated.resources.cpus.to_string());
    let memory = amount(&|seen| size(seen.allocated.resources.memory));
    let mut cells = vec![
        seen.map_or(String::new(), |seen| seen.name.clone()),
        either(&|seen| seen.state.clone()),
        amount(&|seen| seen.allocated.tasks.to_string()),
        whole(cpus, capacity.map(|capacity| capacity.cpus.to_string())),
        whole(memory, capacity.map(|capacity| size(capacity.memory))),
    ];
    if has_generic {
        cells.push(amount(&generic));
    }
    cells
}

fn report(seen: &NodeSeen) -> Option<&NodeReport> {
    seen.status.as_ref().and_then(|status| status.report.as_ref())
}

/// `gpu 1 of 4`, of every kind that it has or gives away.
fn generic(seen: &NodeSeen) -> String {
    let none = std::collections::BTreeMap::new();
    let has = report(seen).map_or(&none, |report| &report.generic);
    let given = |kind: &String| seen.allocated.generic.get(kind).copied().unwrap_or(0);
    let kinds = has.iter().map(|(kind, all)| format!("{kind} {} of {}", given(kind), all.count()));
    kinds.collect::<Vec<_>>().join(", ")
}

/// Memory in few characters.
fn size(memory: Memory) -> String {
    let bytes = memory.as_bytes();
    if bytes < MEBI || bytes.is_multiple_of(MEBI) {
        return memory.to_string();
    }
    Memory::from_bytes(bytes / MEBI * MEBI).to_string()
}

fn moves_table(title: &str, before: usize, moves: &[Moved]) -> String {
    if moves.is_empty() {
        return String::new();
    }
    let of = if title == "Moves" {
        format!("{} of {}", moves.len(), count(before, "task"))
    } else {
        count(moves.len(), "task")
    };
    let mut text = format!("\n{title}: {of}\n");
    let mut table = Table::new(["  TASK", "FROM", "TO"]);
    for moved in moves.iter().take(ROWS_MAX) {
        let place = |place: &Option<String>| place.clone().unwrap_or_default();
        table.push([format!("  {}", moved.task), place(&moved.from), place(&moved.to)]);
    }
    text.push_str(&table.to_string());
    let rest = moves.len().saturating_sub(ROWS_MAX);
    if rest > 0 {
        let _ = writeln!(text, "  and {rest} more (-o json shows them)");
    }
    text
}

fn waits(
    page: &mut String,
    wait: &Wait,
    nodes: &std::collections::BTreeMap<skep_api::ident::NodeId, NodeSeen>,
) {
    let who = match wait.slots.as_slice() {
        [slot] => slot_name(&wait.service, slot, nodes),
        slots => format!("{} of {}", count(slots.len(), "task"), service_name(&wait.service)),
    };
    let _ = writeln!(page, "\nWaits: {who}: {}", printable(&wait.why));
    for near in wait.obstacles.iter().flat_map(|obstacle| &obstacle.near).take(3) {
        let NearMiss { node, missing } = near;
        let _ = writeln!(page, "  {} {}", printable(node), printable(missing));
    }
    if let Some(remedy) = &wait.remedy {
        let _ = writeln!(page, "  fix: {}", printable(&remedy.message));
    }
}

/// The answer for scripts.
pub(crate) fn json(compared: &Comparison) -> Value {
    let moves = |moves: &[Moved]| -> Vec<Value> {
        moves.iter().map(|moved| json!({"task": moved.task, "from": moved.from, "to": moved.to})).collect()
    };
    let nodes: Vec<Value> = compared
        .nodes
        .iter()
        .map(|(id, old, new)| {
            let seen = new.as_ref().or(old.as_ref());
            json!({
                "id": id,
                "name": seen.map(|seen| &seen.name),
                "capacity": seen.and_then(report).map(|report| report.capacity),
                "before": old.as_ref().map(node_json),
                "after": new.as_ref().map(node_json),
            })
        })
        .collect();
    let waits: Vec<Value> = compared
        .waits
        .iter()
        .map(|wait| {
            json!({
                "service": wait.service,
                "slots": wait.slots,
                "why": wait.why,
                "obstacles": wait.obstacles,
                "remedy": wait.remedy,
            })
        })
        .collect();
    let unready: Vec<Value> =
        compared.unready.iter().map(|(service, why)| json!({"service": service, "why": why})).collect();
    json!({
        "apiVersion": API_VERSION,
        "kind": "Simulation",
        "change": compared.change,
        "outcome": compared.outcome(),
        "isAtRest": compared.is_at_rest,
        "tookSeconds": compared.took.as_millis() / 1000,
        "nodes": nodes,
        "tasks": {"before": compared.before, "after": compared.after, "waiting": compared.waiting()},
        "moved": moves(&compared.moved),
        "started": moves(&compared.placed),
        "ended": moves(&compared.gone),
        "waits": waits,
        "notReady": unready,
        "notes": compared.notes,
    })
}

fn node_json(seen: &NodeSeen) -> Value {
    let Allocated { resources, tasks, generic } = &seen.allocated;
    let (cpus, memory): (Cpus, Memory) = (resources.cpus, resources.memory);
    json!({"state": seen.state, "tasks": tasks, "cpus": cpus, "memory": memory, "generic": generic})
}
