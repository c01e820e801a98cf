//! Docker keeps the engine's contract, and makes of a template what it says.

use std::sync::Arc;

use skep_agent::docker::{DEFAULT_HOST, Docker};
use skep_agent::engine::Owner;
use skep_api::ident::NodeId;

use crate::rig::{Cleanup, IMAGE};
use crate::suite::engine::{Bench, engine_contract};

fn bench() -> (Bench, Cleanup) {
    let owner =
        Owner { cluster: format!("e2e-{}", fastrand::u64(..)), node: NodeId::from_random(fastrand::u64(..)) };
    let guard = Cleanup { cluster: owner.cluster.clone() };
    (Bench { engine: Arc::new(Docker::new(DEFAULT_HOST)), owner, image: IMAGE }, guard)
}

engine_contract!(tokio::test(flavor = "multi_thread"), bench());
