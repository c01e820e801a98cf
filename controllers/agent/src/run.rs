//! The agent's loop: takes in what is new, plans the tasks that it touches, and does what the plans say.
//!
//! Everything runs within one future: dropping it ends the agent at that instant, and nothing outlives it. Whatever it was
//! doing then is found again by the next one, in etcd and in the containers' labels.

mod act;
mod answer;
mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use skep_api::key::{Key, Place, TaskRef, prefix};
use skep_runtime::clock::Env;
use skep_store::{Event, Follow, KeyValue, Range, Store, Update};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::AgentConfig;
use crate::engine::{Engine, Owner, Sight};
use crate::error::AgentError;
use crate::jobs::{Limits, Outcome, Pulled};
use crate::local::{JobKind, Wait};
use crate::machine::Condition;
use crate::observer::{Observation, Observer};
use crate::outbox::Outbox;
use crate::session::{self, SessionKeeper};
use crate::world::{RevisionId, World};
use answer::Reply;

/// Tell the parts' randomness apart; the session's is 2.
const OBSERVER_RANDOM: u64 = 1;
const RETRY_RANDOM: u64 = 3;
/// Words about pulls that wait for the loop; one that finds no room is left out.
const PULLED_MAX: usize = 64;

/// Runs the agent of one node until `shutdown`.
///
/// A clean end leaves everything as it is: the containers run on, and the session is left to expire, so that an agent which is
/// back before that (an upgrade) goes unnoticed. etcd and the engine may be away for any time, now or later.
///
/// # Errors
/// [`AgentError::Removed`] once the node was removed and its containers are gone; [`AgentError::Taken`] and
/// [`AgentError::Superseded`] if the node has another agent; [`AgentError::Store`] if etcd refuses for good or was restored.
pub async fn run(
    env: Env,
    store: Store,
    engine: Arc<dyn Engine>,
    config: AgentConfig,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    let owner = Owner { cluster: store.identity()?.cluster, node: config.node.clone() };
    let (meter, pulled) = mpsc::channel(PULLED_MAX);
    let mut sources = Sources {
        follow: store.follow(ranges(&config)),
        observer: Observer::new(Arc::clone(&engine), owner.clone(), env.random(OBSERVER_RANDOM)),
        shutdown,
        pulled,
    };
    let mut world = World::new(owner);
    world.hostname.clone_from(&config.hostname);
    let mut agent = Agent {
        keeper: SessionKeeper::new(store.clone(), env.clone(), config.clone()),
        world,
        random: env.random(RETRY_RANDOM),
        env,
        store,
        engine,
        config,
        limits: Arc::default(),
        dirty: BTreeSet::new(),
        outbox: Outbox::default(),
        jobs: FuturesUnordered::new(),
        calls: FuturesUnordered::new(),
        fetches: BTreeMap::new(),
        alarms: BTreeMap::new(),
        meter,
        is_reporting: false,
        condition: Condition::default(),
        failures: 0,
    };
    agent.alarms.insert(Alarm::Clock, Instant::now());
    loop {
        agent.pass()?;
        let Some(input) = agent.next(&mut sources).await else { return Ok(()) };
        agent.take(input)?;
    }
}

/// All that an agent reads of etcd, besides the revisions that its tasks name.
fn ranges(config: &AgentConfig) -> Vec<Range> {
    let place = Place::Node(config.node.clone());
    vec![
        Range::prefix(prefix::tasks_at(&place)),
        Range::prefix(prefix::task_statuses_at(&place)),
        Range::key(&Key::Node(config.node.clone())),
        Range::key(&Key::NodeReport(config.node.clone())),
        Range::key(&Key::NodeStatus(config.node.clone())),
        Range::key(&Key::NodeSession(config.node.clone())),
    ]
}

/// Where news comes from that the agent did not ask for.
struct Sources {
    follow: Follow,
    observer: Observer,
    shutdown: CancellationToken,
    pulled: mpsc::Receiver<Pulled>,
}

/// The agent between two inputs.
struct Agent {
    env: Env,
    store: Store,
    engine: Arc<dyn Engine>,
    config: AgentConfig,
    keeper: SessionKeeper,
    world: World,
    /// The tasks to plan.
    dirty: BTreeSet<TaskRef>,
    outbox: Outbox,
    limits: Arc<Limits>,
    /// What the engine is doing; at most one job for each task.
    jobs: FuturesUnordered<BoxFuture<'static, (TaskRef, Outcome)>>,
    /// Where the pulls among them tell how far they are.
    meter: mpsc::Sender<Pulled>,
    /// What etcd was asked; at most one batch, and one reading for each task or revision.
    calls: FuturesUnordered<BoxFuture<'static, Reply>>,
    fetches: BTreeMap<TaskRef, CancellationToken>,
    alarms: BTreeMap<Alarm, Instant>,
    random: fastrand::Rng,
    is_reporting: bool,
    /// What there is to say of the machine's disk and clock.
    condition: Condition,
    /// How often in a row etcd did not take a batch.
    failures: u32,
}

/// What is tried again when its time has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// What failed last for a task.
    Task(TaskRef),
    /// Reading a revision.
    Revision(RevisionId),
    /// The stop of a task's container, which waited.
    Stop(TaskRef, Wait),
    /// Measuring the disk.
    Disk,
    /// Asking for the time.
    Clock,
}

/// What the loop takes in.
enum Input {
    Session(Result<(), AgentError>),
    Engine(Observation),
    Job(TaskRef, Outcome),
    Reply(Reply),
    Pulled(Pulled),
    Store(Result<Update, skep_store::Error>),
    Tick,
}

impl Agent {
    /// Waits for the next input; `None` is the end.
    async fn next(&mut self, sources: &mut Sources) -> Option<Input> {
        let wake = self.outbox.next().into_iter().chain(self.alarms.values().copied()).min();
        let tick = async {
            match wake {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        let input = tokio::select! {
            biased;
            () = sources.shutdown.cancelled() => return None,
            session = self.keeper.next() => Input::Session(session),
            observation = sources.observer.next() => Input::Engine(observation),
            Some((key, outcome)) = self.jobs.next() => Input::Job(key, outcome),
            Some(reply) = self.calls.next() => Input::Reply(reply),
            Some(pulled) = sources.pulled.recv() => Input::Pulled(pulled),
            update = sources.follow.next() => Input::Store(update),
            () = tick => Input::Tick,
        };
        Some(input)
    }

    fn take(&mut self, input: Input) -> Result<(), AgentError> {
        match input {
            Input::Tick => Ok(()),
            Input::Session(session) => session,
            Input::Engine(observation) => {
                self.observe(observation);
                Ok(())
            }
            Input::Job(key, outcome) => {
                self.finish(&key, outcome);
                Ok(())
            }
            Input::Reply(reply) => self.answer(reply),
            Input::Pulled((key, progress)) => {
                // The pull may be over by now.
                if let Some(local) =
                    self.world.known_mut(&key).filter(|local| local.job == Some(JobKind::Fetch))
                {
                    local.pulling = Some(progress);
                    self.dirty.insert(key);
                }
                Ok(())
            }
            Input::Store(update) => self.update(update?),
        }
    }

    fn observe(&mut self, observation: Observation) {
        match observation {
            Err(error) => {
                if self.world.lose_engine() {
                    tracing::warn!(%error, "the engine is away; its containers are left as they are");
                }
            }
            Ok(Sight::All(machine, containers)) => {
                self.world.see_all(machine, containers);
                self.alarms.insert(Alarm::Disk, Instant::now());
                self.dirty = self.world.all();
            }
            Ok(Sight::Changed(container)) => self.dirty.extend(self.world.see(container)),
            Ok(Sight::Ended { id, code, at }) => self.dirty.extend(self.world.glimpse(&id, code, at)),
            Ok(Sight::Gone(id)) => self.dirty.extend(self.world.lose(&id)),
        }
    }

    fn update(&mut self, update: Update) -> Result<(), AgentError> {
        match update {
            Update::Resync(listing) => {
                self.world.resync(&listing.entries, listing.revision);
                let session = Key::NodeSession(self.config.node.clone());
                let found = listing.entries.iter().find(|kv| Key::parse(&kv.key).as_ref() == Some(&session));
                self.dirty = self.world.all();
                self.check_session(found, listing.revision)
            }
            Update::Changed(batch) => {
                for event in batch.events {
                    match event {
                        Event::Put(kv) => self.see_key(&kv.key, Some(&kv), kv.modified)?,
                        Event::Delete { key, revision } => self.see_key(&key, None, revision)?,
                    }
                }
                Ok(())
            }
        }
    }

    /// `found` lay under `key` at `revision`.
    fn see_key(&mut self, key: &str, found: Option<&KeyValue>, revision: i64) -> Result<(), AgentError> {
        match Key::parse(key) {
            Some(Key::NodeSession(node)) if node == self.config.node => self.check_session(found, revision),
            Some(key) => {
                self.dirty.extend(self.world.apply(&key, found, revision));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether the session is still this agent's own.
    fn check_session(&mut self, found: Option<&KeyValue>, revision: i64) -> Result<(), AgentError> {
        let Some(held) = self.keeper.held() else { return Ok(()) };
        match found {
            Some(kv) if kv.modified > held.modified && kv.lease != held.lease => {
                let key = Key::NodeSession(self.config.node.clone());
                let holder = session::holder_of(&key, kv).unwrap_or_default();
                Err(AgentError::Superseded { node: self.config.node.clone(), holder })
            }
            None if revision > held.modified => {
                self.keeper.start_again();
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}
