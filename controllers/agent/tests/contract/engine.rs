//! The simulated machine keeps the engine's contract.

use std::sync::Arc;

use skep_agent::engine::Owner;
use skep_api::ident::NodeId;

use crate::rig;
use crate::suite::engine::{Bench, engine_contract};

fn bench() -> (Bench, ()) {
    let owner = Owner { cluster: "c".to_owned(), node: NodeId::from_random(1) };
    (Bench { engine: Arc::new(rig::machine(1)), owner, image: rig::IMAGE }, ())
}

engine_contract!(tokio::test(start_paused = true), bench());
