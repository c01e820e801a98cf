//! What the agent needs of a container engine. Docker and a simulated machine stand behind the same trait.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use skep_api::container::Mount;
use skep_api::ident::NodeId;
use skep_api::node::{Engine as EngineVersion, Platform, Plugins, Resources};
use skep_api::rollout::Revision;
use skep_api::task::{Health, HealthState, PortStatus};
use skep_api::time::Timestamp;
use skep_api::volume::VolumeSpec;

use crate::generic::Generics;

/// A call of the engine on its way.
pub type Call<'a, T> = BoxFuture<'a, Result<T, EngineError>>;
/// What is seen of the containers of one owner, from now on. It ends with an error when the engine goes away.
pub type Sights = BoxStream<'static, Result<Sight, EngineError>>;

/// A container engine.
pub trait Engine: Send + Sync {
    /// Follows the containers of `owner`: first a [`Sight::All`], then every change.
    fn watch(&self, owner: &Owner) -> Sights;

    /// The containers of `owner`, running or not.
    fn list<'a>(&'a self, owner: &'a Owner) -> Call<'a, Vec<Container>>;

    /// The container with this name or id. Errors: [`EngineError::NotFound`].
    fn inspect<'a>(&'a self, name: &'a str) -> Call<'a, Container>;

    /// An image of this machine; asks no registry. Errors: [`EngineError::NotFound`].
    fn image<'a>(&'a self, reference: &'a str) -> Call<'a, Image>;

    /// Fetches an image from its registry, anonymously, and tells `meter` how far it is.
    fn pull<'a>(&'a self, reference: &'a str, meter: Meter<'a>) -> Call<'a, ()>;

    /// Creates a container and answers its id. Errors: [`EngineError::NameTaken`], [`EngineError::NoSuchImage`].
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Call<'a, String>;

    /// Starts a container; one that runs is left as it is.
    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()>;

    /// Asks a container to end, with the signal it was created with, kills it after its grace period, and returns when it
    /// has ended.
    fn stop<'a>(&'a self, id: &'a str) -> Call<'a, ()>;

    /// Removes a container and its anonymous volumes, even if it runs.
    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()>;

    /// The last `lines` lines that a container has written. None if its logging driver cannot be read.
    fn tail<'a>(&'a self, id: &'a str, lines: usize) -> Call<'a, Vec<String>>;

    /// Whether the engine was asked to end a container that ended at `finished`, within a minute before that: by Skep, by people, or
    /// for its own shutdown. It need not remember: Docker does so since it started, and not everything.
    fn was_signalled<'a>(&'a self, id: &'a str, finished: Timestamp) -> Call<'a, bool>;

    /// How full the disk is that holds images and containers; `None` if that is not to be seen from here.
    fn disk(&self) -> Call<'_, Option<Disk>>;
}

/// Who is told how far a pull is. It is called often, and returns at once.
pub type Meter<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// How far a pull is, in bytes of what is known to be fetched: an engine fetches a few layers at a time, and knows the size of
/// those only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What was fetched.
    pub done: u64,
    /// What there is to fetch; 0 while nothing is known.
    pub total: u64,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The directory that was asked about.
    pub path: String,
    /// Its size in bytes, without what is kept for root.
    pub size: u64,
    /// What is free for everybody, in bytes.
    pub free: u64,
}

/// Whose containers: an engine may serve several clusters and nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The id of the cluster.
    pub cluster: String,
    /// The node.
    pub node: NodeId,
}

/// What the engine says of its machine and of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// What it has.
    pub capacity: Resources,
    /// What it has of generic resources.
    pub generic: Generics,
    /// The drivers that its engine has.
    pub plugins: Plugins,
    /// What it is.
    pub platform: Platform,
    /// What runs its containers.
    pub engine: EngineVersion,
    /// Where the engine listens, as `docker -H` takes it; empty if it is where Docker listens by default.
    pub host: String,
    /// Whether containers run on while the engine is away (Docker's live-restore).
    pub keeps_containers: bool,
    /// When the machine was started; `None` if that is not to be seen from here.
    pub booted: Option<Timestamp>,
}

/// What is seen of an owner's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Everything there is; what is missing here is not there.
    All(Machine, Vec<Container>),
    /// A container as it is now.
    Changed(Container),
    /// The container with this id has ended, which is all that is known so far: a [`Sight::Changed`] follows. Docker tells
    /// of an end before it has cleaned up after it, and answers no question about the container meanwhile.
    Ended {
        /// Its id.
        id: String,
        /// Its exit code.
        code: i64,
        /// When, by the engine's clock.
        at: Timestamp,
    },
    /// The container with this id is gone; ids never return.
    Gone(String),
}

/// An image of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The engine's id of it.
    pub id: String,
    /// Under which digests registries know it: `repository@sha256:…`. None, if it was built here.
    pub repo_digests: Vec<String>,
}

/// A container to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its image, by which it is found on this machine.
    pub image: String,
    /// Its labels, the template's included.
    pub labels: BTreeMap<String, String>,
    /// Its environment, the template's included.
    pub env: BTreeMap<String, String>,
    /// Its host name; by default the engine chooses one.
    pub hostname: Option<String>,
    /// Its mounts, with the names that volumes have in the engine.
    pub mounts: Vec<Mount>,
    /// The volumes that must be there before it, by their names in the engine. One that is there already is used, if it was
    /// created in the same way.
    pub volumes: BTreeMap<String, VolumeSpec>,
    /// Everything else about it.
    pub revision: Arc<Revision>,
}

/// A container as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// The engine's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The engine's id of its image; empty while that is not known.
    pub image: String,
    /// How far it is.
    pub phase: Phase,
    /// When it was last started, by the engine's clock; `None` if it never was.
    pub started: Option<Timestamp>,
    /// When it last ended, by the engine's clock; `None` if it never did, or runs again.
    pub finished: Option<Timestamp>,
    /// What its healthcheck says; `None` without one. It is unhealthy only by failed checks: what Docker calls unhealthy because nobody
    /// checks any more (the container ended, or is paused) is `starting` here, and follows nothing.
    pub health: Option<Health>,
    /// What the engine says went wrong with it; empty if nothing did.
    pub error: String,
    /// The host ports that lead to it, in order; none unless it runs.
    pub ports: Vec<PortStatus>,
}

/// How far a container is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Created, and never started.
    #[default]
    Created,
    /// It runs, perhaps paused.
    Running,
    /// It has ended.
    Exited {
        /// Its exit code; 128 + N if signal N ended it.
        code: i64,
        /// Whether the kernel killed it for want of memory.
        oom_killed: bool,
    },
}

/// Why the engine did not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is no such container, or no such image on this machine.
    #[error("not found: {0}")]
    NotFound(String),
    /// The name belongs to another container.
    #[error("{0}")]
    NameTaken(String),
    /// The image of a container to create is not on this machine.
    #[error("{0}")]
    NoSuchImage(String),
    /// The engine does not answer; whether it did what was asked is unknown.
    #[error("the container engine does not answer: {0}")]
    Unreachable(String),
    /// The engine will not do it. Its own words.
    #[error("{0}")]
    Refused(String),
}

impl Container {
    /// Whether this is what became of `earlier`, or the same: a container is created, runs, is checked and ends, and
    /// if people start it again, it does so later.
    pub fn follows(&self, earlier: &Self) -> bool {
        let place = |container: &Self| (container.started, container.phase, container.is_checked());
        self.id != earlier.id || place(self) >= place(earlier)
    }

    /// Whether its healthcheck has spoken.
    fn is_checked(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.state != HealthState::Starting)
    }

    /// Whether its checks have failed as often as makes it unhealthy.
    pub fn is_unhealthy(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.state == HealthState::Unhealthy)
    }
}
