//! Writes what was planned: in one transaction if etcd takes it, else in ordered parts; again from the start of what is
//! left when a guard has failed.

use skep_api::ident::RecordId;
use skep_api::key::Key;
use skep_api::manifest::{Located, Manifest};
use skep_api::object::Object;
use skep_api::record::{Change, ChangeAction, ObjectChange};
use skep_runtime::clock::Env;
use skep_store::{Error, Guard, Outcome, Put, Store, TXN_MAX_BYTES, TXN_MAX_OPS, Txn};

use crate::apply::MANAGER;
use crate::apply::claim::Claim;
use crate::apply::plan::{self, Planned};
use crate::apply::snapshot::Snapshot;
use crate::failure::Failure;
use crate::host;

/// How often everything is planned anew because somebody else wrote at the same time.
const TRIES_MAX: usize = 5;
/// What an operation takes besides its value, in bytes: key, framing, and a guard.
const OP_BYTES: usize = 1024;
/// What tells the ids of changes from other randomness of the process.
const PURPOSE_CHANGE: u64 = 0x43;

/// What became of one document.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// What was planned, and written.
    pub(crate) planned: Planned,
    /// The version of the object now.
    pub(crate) version: i64,
}

/// What became of all of them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// In the order of the documents.
    pub(crate) objects: Vec<Applied>,
    /// The transactions that were needed, by the ids of their changes, with their revisions.
    pub(crate) changes: Vec<(RecordId, i64)>,
    /// Who is noted as their author.
    pub(crate) actor: String,
}

/// Writes changes in the name of the person at the terminal.
pub(crate) struct Writer<'a> {
    store: &'a Store,
    env: &'a Env,
    random: fastrand::Rng,
    actor: String,
    message: Option<String>,
    must_create: bool,
}

impl Report {
    /// Nothing yet, by `writer`.
    pub(crate) fn by(writer: &Writer<'_>) -> Self {
        Self { actor: writer.actor.clone(), ..Self::default() }
    }
}

impl<'a> Writer<'a> {
    /// A writer on `store`.
    pub(crate) fn new(store: &'a Store, env: &'a Env) -> Self {
        Self {
            store,
            env,
            random: env.random(PURPOSE_CHANGE),
            actor: host::person(),
            message: None,
            must_create: false,
        }
    }

    /// The same, with words of the person's own; else the command line is noted.
    pub(crate) fn saying(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// The same; what is there already is not changed.
    pub(crate) fn creating(mut self) -> Self {
        self.must_create = true;
        self
    }

    /// Who is noted as the author.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Applies `documents`.
    ///
    /// # Errors
    /// Those of [`plan::plan`], before anything is written; [`Failure::Conflict`] if others kept writing.
    pub(crate) async fn apply(&mut self, documents: &[Located<Manifest>]) -> Result<Report, Failure> {
        let mut report = Report::by(self);
        for _ in 0..TRIES_MAX {
            let rest = documents.get(report.objects.len()..).unwrap_or_default();
            let plans = self.plan(rest).await?;
            if self.write(plans, &mut report).await? {
                return Ok(report);
            }
        }
        let rest = documents.get(report.objects.len()..).unwrap_or_default();
        let names =
            rest.iter().map(|document| format!("{} keeps being changed by somebody else", document.value));
        Err(Failure::Conflict(names.collect()))
    }

    async fn plan(&self, documents: &[Located<Manifest>]) -> Result<Vec<Planned>, Failure> {
        let mut keys: Vec<Key> = documents.iter().flat_map(|document| plan::keys(&document.value)).collect();
        let mut snapshot = Snapshot::read(self.store, keys.clone()).await?;
        let claims = documents.iter().filter_map(|document| Claim::of(&document.value));
        let holders = claims.filter_map(|claim| claim.holder(&snapshot));
        let holders: Vec<Key> = holders.filter(|key| !keys.contains(key)).collect();
        if !holders.is_empty() {
            keys.extend(holders);
            snapshot = Snapshot::read(self.store, keys).await?;
        }
        let now = self.env.now();
        let plans: Vec<Planned> = documents
            .iter()
            .map(|document| plan::plan(document, &snapshot, now))
            .collect::<Result<_, _>>()?;
        let there = plans.iter().find(|planned| planned.action != Some(ChangeAction::Created));
        match there.filter(|_| self.must_create) {
            Some(planned) => Err(Failure::Conflict(vec![format!("{} is there already", planned.object)])),
            None => Ok(plans),
        }
    }

    /// Writes plans in order; says whether all of them are written.
    async fn write(&mut self, plans: Vec<Planned>, report: &mut Report) -> Result<bool, Failure> {
        for part in parts(plans) {
            if part.iter().all(|planned| planned.puts.is_empty()) {
                report.objects.extend(part.into_iter().map(unchanged));
                continue;
            }
            let txn = part.iter().fold(Txn::new(), |mut txn, planned| {
                txn.guards.extend(planned.guards.iter().cloned());
                txn.puts.extend(planned.puts.iter().cloned());
                txn
            });
            let objects = part.iter().filter_map(object_change).collect();
            let Some(revision) = self.commit(txn, objects, report).await? else { return Ok(false) };
            report.objects.extend(part.into_iter().map(|planned| match planned.action {
                Some(_) => Applied { planned, version: revision },
                None => unchanged(planned),
            }));
        }
        Ok(true)
    }

    /// Commits one transaction with a record of what it changes; `None` if it was refused.
    pub(crate) async fn commit(
        &mut self,
        mut txn: Txn,
        objects: Vec<ObjectChange>,
        report: &mut Report,
    ) -> Result<Option<i64>, Failure> {
        let now = self.env.now();
        let id = RecordId::from_time(now.as_millis(), self.random.u32(..));
        let key = Key::Change(id.clone());
        let is_change = !objects.is_empty();
        if is_change {
            let change = Change {
                time: now,
                actor: self.actor.clone(),
                manager: MANAGER.to_owned(),
                message: self.message.clone().unwrap_or_else(host::command_line),
                objects,
            };
            txn = txn
                .guard(Guard::absent(key.clone()))
                .put(Put::new(key.clone(), Object::from(change).encode(&key)?));
        }
        let revision = match self.store.commit(&txn).await {
            Ok(Outcome::Committed { revision }) => Some(revision),
            Ok(Outcome::Refused { .. }) => None,
            // Its record tells whether it was applied. If it still is on its way, its guards see what is written meanwhile.
            Err(Error::Ambiguous { .. }) if is_change => {
                Snapshot::read(self.store, [key.clone()]).await?.get(&key).map(|kv| kv.modified)
            }
            Err(error) => return Err(error.into()),
        };
        report.changes.extend(revision.filter(|_| is_change).map(|revision| (id, revision)));
        Ok(revision)
    }
}

fn unchanged(planned: Planned) -> Applied {
    let version = planned.version;
    Applied { planned, version }
}

fn object_change(planned: &Planned) -> Option<ObjectChange> {
    let action: ChangeAction = planned.action?;
    Some(ObjectChange { object: planned.object.to_string(), action, fields: planned.fields.clone() })
}

/// Cuts plans into transactions that etcd takes, each with room for its record.
fn parts(plans: Vec<Planned>) -> Vec<Vec<Planned>> {
    let mut parts: Vec<Vec<Planned>> = Vec::new();
    let mut size = Size::default();
    for planned in plans {
        let next = size.with(&planned);
        match parts.last_mut() {
            Some(part) if next.fits() => {
                part.push(planned);
                size = next;
            }
            _ => {
                size = Size::default().with(&planned);
                parts.push(vec![planned]);
            }
        }
    }
    parts
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    ops: usize,
    guards: usize,
    bytes: usize,
}

impl Size {
    fn with(self, planned: &Planned) -> Self {
        let values: usize = planned.puts.iter().map(|put| put.value.len() + OP_BYTES).sum();
        let fields = planned.fields.iter().map(|field| field.path.len() + 2 * OP_BYTES);
        Self {
            ops: self.ops + planned.puts.len(),
            guards: self.guards + planned.guards.len(),
            bytes: self.bytes + values + fields.sum::<usize>(),
        }
    }

    fn fits(self) -> bool {
        self.ops < TXN_MAX_OPS && self.guards < TXN_MAX_OPS && self.bytes + OP_BYTES <= TXN_MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use skep_api::manifest::{self, Source};
    use skep_api::time::Timestamp;

    use super::*;

    fn plans(count: usize, size: usize) -> Vec<Planned> {
        let document = |number| {
            let label = "x".repeat(size);
            let metadata = format!("{{name: s{number}, annotations: {{a: {label}}}}}");
            let text = format!(
                "{{apiVersion: skep/v1, kind: Service, metadata: {metadata}, spec: {{task: {{image: a}}}}}}"
            );
            let reading = manifest::read(&[Source::new("x", text)]);
            plan::plan(&reading.documents[0], &Snapshot::default(), Timestamp::from_millis(0)).unwrap()
        };
        (0..count).map(document).collect()
    }

    #[test]
    fn a_small_set_is_one_transaction() {
        assert_eq!(parts(plans(42, 1)).len(), 1);
        assert!(parts(Vec::new()).is_empty());
    }

    #[test]
    fn a_large_set_is_cut_in_order_into_transactions_that_etcd_takes() {
        for (count, size) in [(200, 1), (8, 200_000)] {
            let parts = parts(plans(count, size));
            assert!(parts.len() > 1);
            for part in &parts {
                let ops: usize = part.iter().map(|planned| planned.puts.len()).sum();
                let guards: usize = part.iter().map(|planned| planned.guards.len()).sum();
                let bytes: usize =
                    part.iter().flat_map(|planned| &planned.puts).map(|put| put.value.len()).sum();
                assert!(ops < TXN_MAX_OPS && guards < TXN_MAX_OPS, "a record must fit as well");
                assert!(bytes < TXN_MAX_BYTES);
            }
            let names = parts.iter().flatten().map(|planned| planned.object.to_string());
            let expected = (0..count).map(|number| format!("Service/default/s{number}"));
            assert!(names.eq(expected), "the order of the documents is kept");
        }
    }
}
