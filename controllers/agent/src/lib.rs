//! The agent: on every machine, tasks become containers, and what becomes of them is told.
//!
//! It has no cut of the cluster: it follows its own tasks only, and tolerates everything else being away. [`plan`] says
//! what to do for one task, purely; [`run`] does it, through an [`engine::Engine`] and the store.

pub mod api;
mod change;
pub mod docker;
pub mod engine;
mod error;
pub mod generic;
mod jobs;
mod join;
pub mod labels;
mod local;
mod machine;
mod observer;
mod outbox;
mod plan;
pub mod policy;
mod readiness;
mod reference;
mod retry;
mod run;
mod session;
pub mod simulated;
mod spec;
pub mod streams;
mod tail;
mod world;

pub use error::AgentError;
pub use join::join;
pub use readiness::Readiness;
pub use run::run;
pub use session::SESSION_TTL;
pub use spec::container_name;

use skep_api::ident::NodeId;

/// Who this agent is. The node's id is drawn once, kept in the state directory, and never used again.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The node that it serves.
    pub node: NodeId,
    /// The machine's host name: the node's first name, and who holds its session.
    pub hostname: String,
    /// The address under which the machine's host ports answer.
    pub address: String,
    /// The process that it runs in: what tells two agents of one machine apart.
    pub pid: u32,
    /// Where it says whether it can run tasks now.
    pub readiness: Readiness,
}
