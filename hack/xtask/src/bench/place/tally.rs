//! What was written between two revisions, told by etcd's own history.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::key::{Place, ROOT, prefix};
use skep_store::{Event, Range, Store};

/// Writes by who makes them.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<&'static str, Writes>);

#[derive(Default)]
struct Writes {
    puts: u32,
    deletes: u32,
    /// Keys and values that were put.
    bytes: usize,
    revisions: BTreeSet<i64>,
}

impl Tally {
    /// Reads the history from revision `first` to revision `last`.
    pub(super) async fn of(store: &Store, first: i64, last: i64) -> Result<Self, String> {
        let mut tally = Self::default();
        let mut watch = store.watch(vec![Range::prefix(ROOT)], first);
        loop {
            let batch = watch.next().await.map_err(|error| error.to_string())?;
            for event in batch.events.iter().filter(|event| event.revision() <= last) {
                tally.add("all", event);
                tally.add(family(event.key()), event);
            }
            if batch.revision >= last {
                return Ok(tally);
            }
        }
    }

    fn add(&mut self, family: &'static str, event: &Event) {
        let writes = self.0.entry(family).or_default();
        writes.revisions.insert(event.revision());
        match event {
            Event::Put(kv) => {
                writes.puts += 1;
                writes.bytes += kv.key.len() + kv.value.len();
            }
            Event::Delete { .. } => writes.deletes += 1,
        }
    }

    /// Tells all figures by name; those of all writes also per task.
    #[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
    pub(super) fn tell(&self, tasks: usize, mut tell: impl FnMut(String, f64)) {
        for (family, writes) in &self.0 {
            tell(format!("{family}.puts"), writes.puts.into());
            tell(format!("{family}.deletes"), writes.deletes.into());
            tell(format!("{family}.bytes"), writes.bytes as f64);
            tell(format!("{family}.transactions"), writes.revisions.len() as f64);
        }
        if let Some(all) = self.0.get("all") {
            tell("per-task.puts".to_owned(), f64::from(all.puts) / tasks as f64);
            tell("per-task.bytes".to_owned(), all.bytes as f64 / tasks as f64);
        }
    }
}

/// Which part of a task's way a write belongs to.
fn family(key: &str) -> &'static str {
    let is_pending = |task: &str| task.starts_with(&format!("{}/", Place::Pending));
    if let Some(task) = key.strip_prefix(prefix::TASKS) {
        if is_pending(task) { "task-pending" } else { "task-on-node" }
    } else if key.starts_with(prefix::TASK_STATUSES) {
        "task-status"
    } else if key.starts_with(prefix::SERVICE_STATUSES) {
        "service-status"
    } else if key.starts_with(prefix::NODE_STATUSES) {
        "node-status"
    } else if key.starts_with(prefix::EVENTS) {
        "event"
    } else {
        "other"
    }
}
