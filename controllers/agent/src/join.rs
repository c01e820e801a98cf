//! A machine joins once.

use skep_api::key::Key;
use skep_api::node::{Availability, NodeSpec, Role};
use skep_api::object::Object;
use skep_store::{Error as StoreError, Guard, Outcome, Put, Store, Txn};

use crate::AgentConfig;
use crate::error::AgentError;

/// Makes this machine a node of the cluster, named after its host; one that is a node already is left as it is.
///
/// The caller remembers in its state directory that this was done and never does it again: a node that people removed must not come
/// back by itself, and [`run`](crate::run()) says so instead.
pub async fn join(store: &Store, config: &AgentConfig, role: Role) -> Result<(), AgentError> {
    let key = Key::Node(config.node.clone());
    let spec = NodeSpec {
        name: config.hostname.clone(),
        role,
        availability: Availability::default(),
        labels: std::collections::BTreeMap::new(),
    };
    let value =
        Object::from(spec).encode(&key).map_err(|error| StoreError::Invalid { reason: error.reason })?;
    let txn = Txn::new().guard(Guard::absent(key.clone())).put(Put::new(key, value));
    loop {
        match store.commit(&txn).await {
            Ok(Outcome::Committed { .. } | Outcome::Refused { .. }) => return Ok(()),
            // Sent again it finds the node there, if it came true.
            Err(StoreError::Ambiguous { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
