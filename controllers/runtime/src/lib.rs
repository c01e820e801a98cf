//! The controller engine: what every controller shares, so that a controller is a world, a plan and a list of changes.
//!
//! A controller's author writes three things (see [`controller::Controller`]): a [`controller::World`] that keeps typed
//! tables, a pure `plan` that says what to change, and a closed `Change` type that says what may be written and on what
//! each write stands. Everything else is here: [`core`] decides when to plan and never does I/O, [`driver`] connects it
//! to the store, [`process`] is the `main()` of every process.
//!
//! # A whole controller
//!
//! It keeps a status for every node: `Ready` while the node's session lives.
//!
//! ```
//! use skep_api::{ident::NodeId, key::Key, node::{NodeSpec, NodeState, NodeStatus, Session}, time::Timestamp};
//! use skep_runtime::controller::{Controller, Moment, World};
//! use skep_runtime::plan::{Change, Expect, Plan, Transaction};
//! use skep_runtime::scene::Scene;
//! use skep_runtime::table::{Entry, Table};
//!
//! /// The state that it decides from: typed tables, kept up to date one key at a time.
//! struct Nodes { specs: Table<NodeId, NodeSpec>, sessions: Table<NodeId, Session>, statuses: Table<NodeId, NodeStatus> }
//!
//! impl World for Nodes {
//!     type Key = NodeId;
//!     fn new(_cluster: &str) -> Self {
//!         Self { specs: Table::default(), sessions: Table::default(), statuses: Table::default() }
//!     }
//!     fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<NodeId> {
//!         let node = match key {
//!             Key::Node(node) => { self.specs.set(node, entry); node }
//!             Key::NodeSession(node) => { self.sessions.set(node, entry); node }
//!             Key::NodeStatus(node) => { self.statuses.set(node, entry); node }
//!             _ => return Vec::new(),
//!         };
//!         vec![node.clone()] // what must be planned again
//!     }
//!     fn all(&self) -> Vec<NodeId> {
//!         self.specs.iter().map(|(node, _)| node.clone()).collect()
//!     }
//! }
//!
//! /// All that it may write, and on what that stands. The fence of its leadership is added by the driver.
//! #[derive(Debug, Clone, PartialEq)]
//! struct SetStatus { node: NodeId, created: i64, own: Expect, status: NodeStatus }
//!
//! impl Change for SetStatus {
//!     fn transaction(&self) -> Transaction {
//!         let key = Key::NodeStatus(self.node.clone());
//!         Transaction::new()
//!             .created(Key::Node(self.node.clone()), self.created)
//!             .guard(key.clone(), self.own)
//!             .put(key, self.status.clone())
//!     }
//! }
//!
//! struct RollCall;
//!
//! impl Controller for RollCall {
//!     type World = Nodes;
//!     type Change = SetStatus;
//!     const NAME: &'static str = "roll-call";
//!     /// The decision: pure, and done when planning again changes nothing.
//!     fn plan(world: &Nodes, node: &NodeId, at: Moment) -> Plan<SetStatus> {
//!         let mut plan = Plan::default();
//!         let Some(spec) = world.specs.get(node) else { return plan };
//!         let state = if world.sessions.has(node) { NodeState::Ready } else { NodeState::Unreachable };
//!         let old = world.statuses.get(node);
//!         if old.is_none_or(|old| old.state != state) {
//!             let status = NodeStatus { observed_version: spec.stamp.modified, state, since: at.now, ..NodeStatus::default() };
//!             let own = old.map_or(Expect::Absent, |old| old.modified());
//!             plan.write(SetStatus { node: node.clone(), created: spec.stamp.created, own, status });
//!         }
//!         plan
//!     }
//! }
//!
//! // A scene is a small etcd in memory: put, plan and commit until nothing changes any more.
//! let node = NodeId::from_random(7);
//! let mut scene = Scene::<RollCall>::default();
//! let spec = "apiVersion: skep/v1\nkind: Node\nmetadata: {name: 000000000007}\nspec: {name: n1}";
//! scene.put_text(Key::Node(node.clone()), spec);
//! scene.put(Key::NodeSession(node), Session { holder: "n1:1".into(), since: Timestamp::default() });
//! assert_eq!(scene.settle().len(), 1);
//! ```

pub mod case;
pub mod clock;
pub mod controller;
pub mod core;
pub mod driver;
pub mod keyspace;
pub mod metrics;
mod office;
pub mod plan;
pub mod planner;
pub mod process;
pub mod retry;
pub mod scene;
pub mod services;
pub mod table;
pub mod tasks;
mod telling;
