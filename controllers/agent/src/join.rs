//! A machine joins once.

use std::time::Duration;

use skep_api::key::Key;
use skep_api::node::{Availability, NodeSpec, Role};
use skep_api::object::Object;
use skep_store::{Error as StoreError, Guard, Outcome, Put, Store, Txn};

use crate::AgentConfig;
use crate::error::AgentError;

/// How long to wait before asking again: a machine joins once, so none marches in step with others.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Makes this machine a node of the cluster, named after its host; one that is a node already is left as it is.
///
/// The caller remembers in its state directory that this was done and never does it again: a node that people removed must not come
/// back by itself, and [`run`](crate::run()) says so instead.
pub async fn join(store: &Store, config: &AgentConfig, role: Role) -> Result<(), AgentError> {
    let key = Key::Node(config.node.clone());
    let spec = NodeSpec {
        drain: skep_api::node::DrainMode::default(),
        name: config.hostname.clone(),
        role,
        availability: Availability::default(),
        labels: std::collections::BTreeMap::new(),
    };
    let value =
        Object::from(spec).encode(&key).map_err(|error| StoreError::Invalid { reason: error.reason })?;
    let txn = Txn::new().guard(Guard::absent(key.clone())).put(Put::new(key, value));
    loop {
        let error = match store.commit(&txn).await {
            Ok(Outcome::Committed { .. } | Outcome::Refused { .. }) => return Ok(()),
            Err(error) => AgentError::from(error),
        };
        if !error.is_passing() {
            return Err(error);
        }
        // Sent again after an unknown end, it finds the node there if it came true.
        tracing::warn!(%error, "not joined yet");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
