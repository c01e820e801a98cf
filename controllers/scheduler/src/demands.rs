//! What the tasks of each revision take of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::ident::Uid;
use skep_api::rollout::Revision;
use skep_api::task::Task;
use skep_runtime::table::Entry;

use crate::filter::{Fittings, NONE};
use crate::load::Load;
use crate::subject::Group;
use crate::typed::typed;

/// What a task of a revision asks of its node.
#[derive(Debug, PartialEq, Eq)]
struct Demand {
    load: Arc<Load>,
    fittings: Fittings,
}

/// What a task of each group takes, or why that is not known.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    by_service: BTreeMap<Uid, BTreeMap<u64, Result<Demand, String>>>,
}

impl Demands {
    /// What `task` takes, if that is known.
    pub(crate) fn of(&self, task: &Task) -> Option<&Arc<Load>> {
        self.by_service.get(&task.uid)?.get(&task.revision)?.as_ref().ok().map(|demand| &demand.load)
    }

    /// What a task of `group` takes, or why that is not known.
    pub(crate) fn of_group(&self, group: &Group) -> Result<&Load, String> {
        let number = group.revision;
        match self.by_service.get(&group.service).and_then(|revisions| revisions.get(&number)) {
            Some(Ok(demand)) => Ok(&demand.load),
            Some(Err(reason)) => Err(format!("revision {number}: {reason}")),
            None => Err(format!("revision {number} is missing")),
        }
    }

    /// What else a task of `group` needs of its node.
    pub(crate) fn fittings(&self, group: &Group) -> &Fittings {
        let demand = self.by_service.get(&group.service).and_then(|revisions| revisions.get(&group.revision));
        demand.and_then(|demand| demand.as_ref().ok()).map_or(&NONE, |demand| &demand.fittings)
    }

    /// The number of the newest revision of the service `uid`.
    pub(crate) fn newest(&self, uid: &Uid) -> Option<u64> {
        self.by_service.get(uid)?.keys().next_back().copied()
    }

    /// Sets the revision of `group`; returns whether this changed anything.
    pub(crate) fn set(&mut self, group: &Group, entry: Option<&Entry>) -> bool {
        let revisions = self.by_service.entry(group.service.clone()).or_default();
        let new = entry.map(|entry| match &entry.value {
            Ok(_) => match typed::<Revision>(Some(entry)) {
                Some(revision) => {
                    Ok(Demand { load: Arc::new(Load::of(&revision)), fittings: Fittings::of(&revision) })
                }
                None => Err("not a revision".to_owned()),
            },
            Err(invalid) => Err(invalid.to_string()),
        });
        let is_changed = revisions.get(&group.revision) != new.as_ref();
        match new {
            Some(new) => revisions.insert(group.revision, new),
            None => revisions.remove(&group.revision),
        };
        if revisions.is_empty() {
            self.by_service.remove(&group.service);
        }
        is_changed
    }
}
