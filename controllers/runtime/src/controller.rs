//! What a controller's author writes.

use std::fmt::Debug;

use skep_api::key::Key;
use skep_api::time::Timestamp;

use crate::plan::{Change, Plan};
use crate::table::Entry;

/// When a plan is made: the only two things beside the world that it may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The instant by this controller's clock.
    pub now: Timestamp,
    /// The etcd revision of the cut. A task that is planned on it carries it in its name.
    pub cut: i64,
}

/// The state that a controller decides from: the cut of etcd, with the controller's own writes laid over it.
pub trait World: Sized {
    /// What is planned one at a time: a service, a group of tasks, a node.
    type Key: Clone + Ord + Debug;

    /// A world in which nothing exists yet, of the cluster with this id (which uids are derived from).
    fn new(cluster: &str) -> Self;

    /// Makes `entry` the state of `key` (`None`: it is not there), and names what must be planned again for it.
    ///
    /// It is called with the same state twice at times, and must then change nothing.
    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Self::Key>;

    /// Everything there is to plan: for a new leader, and after a resync.
    fn all(&self) -> Vec<Self::Key>;
}

/// A controller: a world and a pure decision about it.
pub trait Controller: 'static {
    /// The state that it decides from.
    type World: World;
    /// The closed list of what it may write.
    type Change: Change;
    /// Its name: in keys, logs, metrics and on the command line.
    const NAME: &'static str;

    /// What to change for `key`. No clock, no randomness, no I/O. Planning again on the world that the plan leads to
    /// changes nothing.
    fn plan(world: &Self::World, key: &<Self::World as World>::Key, at: Moment) -> Plan<Self::Change>;
}
