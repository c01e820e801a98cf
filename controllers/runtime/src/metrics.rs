//! What a controller counts, in Prometheus' terms.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::core::Answer;

/// The counts of one controller. Cheap to clone; clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    revision: Gauge<i64, AtomicI64>,
    backlog: Gauge<i64, AtomicI64>,
    leader: Gauge<i64, AtomicI64>,
    sent: Counter<u64, AtomicU64>,
    committed: Counter<u64, AtomicU64>,
    refused: Counter<u64, AtomicU64>,
    failed: Counter<u64, AtomicU64>,
}

impl Metrics {
    /// Counts that are shown in `registry` with the label `controller`.
    pub fn registered(registry: &mut Registry, controller: &'static str) -> Self {
        let metrics = Self::default();
        let registry =
            registry.sub_registry_with_labels([("controller".into(), controller.into())].into_iter());
        registry.register("skep_cut_revision", "The etcd revision of the cut", metrics.revision.clone());
        registry.register("skep_workqueue_depth", "Keys that wait to be planned", metrics.backlog.clone());
        registry.register("skep_leader", "1 while leading, 0 while standing by", metrics.leader.clone());
        registry.register("skep_transactions_sent", "Transactions sent", metrics.sent.clone());
        registry.register("skep_transactions_committed", "Transactions applied", metrics.committed.clone());
        registry.register(
            "skep_transactions_refused",
            "Transactions refused by a guard",
            metrics.refused.clone(),
        );
        registry.register(
            "skep_transactions_failed",
            "Transactions not applied for another reason",
            metrics.failed.clone(),
        );
        metrics
    }

    /// Whether the first list has been read: the controller knows what it decides from.
    pub fn is_synced(&self) -> bool {
        self.revision.get() > 0
    }

    /// Whether it leads.
    pub fn is_leading(&self) -> bool {
        self.leader.get() == 1
    }

    /// How many transactions were applied.
    pub fn committed(&self) -> u64 {
        self.committed.get()
    }

    pub(crate) fn observe(&self, revision: i64, backlog: usize, is_leading: bool) {
        self.revision.set(revision);
        self.backlog.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.leader.set(i64::from(is_leading));
    }

    pub(crate) fn sent(&self, transactions: usize) {
        self.sent.inc_by(u64::try_from(transactions).unwrap_or(u64::MAX));
    }

    pub(crate) fn answered(&self, answer: Answer) {
        match answer {
            Answer::Committed { .. } => self.committed.inc(),
            Answer::Refused { .. } => self.refused.inc(),
            Answer::Failed => self.failed.inc(),
        };
    }
}
