//! What the engine is asked to do for one task at a time, and what came of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skep_api::container::PullPolicy;
use skep_api::key::TaskRef;
use skep_api::task::LOG_TAIL_LINES;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{Container, ContainerSpec, Engine, EngineError, Image, Owner, Progress};
use crate::labels;
use crate::local::{Found, JobKind};
use crate::plan::{Fetch, Job};
use crate::reference::Reference;
use crate::tail;

/// Containers that are created or started at the same time; more does not make an engine faster.
const STARTS_AT_ONCE: usize = 8;
/// Images that are looked for at the same time.
const FETCHES_AT_ONCE: usize = 4;

/// The least time between two words about the progress of a pull.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// How long the last lines of a task may take to be read. Its end is told without them after that.
const TAIL_LIMIT: Duration = Duration::from_secs(1);
/// What registries and Docker say of an image that does not exist.
const UNKNOWN_IMAGE: [&str; 4] = ["not found", "manifest unknown", "does not exist", "access denied"];

/// How much the engine is asked to do at the same time. Stopping is mostly waiting, so it is not limited.
#[derive(Debug)]
pub(crate) struct Limits {
    starts: Semaphore,
    fetches: Semaphore,
}

/// A job with all that it needs.
pub(crate) struct Order {
    /// The task that it is for.
    pub(crate) key: TaskRef,
    /// Whose containers these are.
    pub(crate) owner: Owner,
    /// What to do.
    pub(crate) job: Job,
    /// Until when a claim is certainly good.
    pub(crate) deadline: Instant,
    /// Gives up fetching.
    pub(crate) given_up: CancellationToken,
    /// Who is told how far a pull is, now and then.
    pub(crate) meter: mpsc::Sender<Pulled>,
    /// How people call the node.
    pub(crate) node: String,
    /// Where its engine listens ([`Machine::host`](crate::engine::Machine::host)).
    pub(crate) host: String,
}

/// How far the pull of a task's image is.
pub(crate) type Pulled = (TaskRef, Progress);

/// What came of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The image is here.
    Found(Found),
    /// The container is like this now.
    Seen(Container),
    /// There is no container.
    Absent,
    /// Whether the engine was asked to end it.
    Signalled(bool),
    /// It wrote these lines last.
    Tail(Vec<String>),
    /// Nothing was done: it was given up, or the claim was too old.
    Nothing,
    /// Nothing more can come of this task, in the engine's own words.
    Hopeless(String),
    /// It failed, and may be tried again.
    Failed(EngineError),
}

impl Default for Limits {
    fn default() -> Self {
        Self { starts: Semaphore::new(STARTS_AT_ONCE), fetches: Semaphore::new(FETCHES_AT_ONCE) }
    }
}

impl Job {
    pub(crate) fn kind(&self) -> JobKind {
        match self {
            Self::Fetch(_) => JobKind::Fetch,
            Self::Create(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Remove { .. }
            | Self::Look(_)
            | Self::FindSignal { .. }
            | Self::Tail(_) => JobKind::Other,
        }
    }
}

/// Does what is ordered.
pub(crate) async fn perform(
    engine: Arc<dyn Engine>,
    limits: Arc<Limits>,
    order: Order,
) -> (TaskRef, Outcome) {
    let engine = engine.as_ref();
    let outcome = match &order.job {
        Job::Fetch(wanted) => {
            let fetch = fetch(engine, &limits.fetches, wanted, &order);
            order.given_up.run_until_cancelled(fetch).await.unwrap_or(Outcome::Nothing)
        }
        Job::Create(spec) => {
            let _permit = limits.starts.acquire().await;
            create(engine, &order, spec).await
        }
        Job::Start(id) => {
            let _permit = limits.starts.acquire().await;
            if Instant::now() < order.deadline { start(engine, id).await } else { Outcome::Nothing }
        }
        Job::Stop(id) => stop(engine, id).await,
        Job::Remove { id, is_running } => remove(engine, id, *is_running).await,
        Job::Look(name) => look(engine, &order, name).await,
        Job::FindSignal { id, finished } => match engine.was_signalled(id, *finished).await {
            Ok(was_signalled) => Outcome::Signalled(was_signalled),
            Err(EngineError::Unreachable(words)) => Outcome::Failed(EngineError::Unreachable(words)),
            Err(_) => Outcome::Signalled(false),
        },
        Job::Tail(id) => {
            let lines = tokio::time::timeout(TAIL_LIMIT, engine.tail(id, LOG_TAIL_LINES)).await;
            Outcome::Tail(tail::shorten(&lines.ok().and_then(Result::ok).unwrap_or_default()))
        }
    };
    (order.key, outcome)
}

/// Finds the image: here, or in its registry, as its pull policy says. What is named by its digest cannot be another
/// one in the registry, so it is never asked for there if it is here (as in Swarm).
async fn fetch(engine: &dyn Engine, permits: &Semaphore, wanted: &Fetch, order: &Order) -> Outcome {
    let _permit = permits.acquire().await;
    let reference = &wanted.reference;
    let here = match engine.image(reference).await {
        Ok(image) => Some(image),
        Err(EngineError::NotFound(_)) => None,
        Err(error) => return unfound(error),
    };
    let pulls = match wanted.policy {
        PullPolicy::Missing => here.is_none(),
        PullPolicy::Always => here.is_none() || !Reference::parse(reference).is_fixed(),
        PullPolicy::Never => {
            let missing =
                || format!("image {reference} is not on node {} and pullPolicy is never", order.node);
            return here.map_or_else(|| Outcome::Hopeless(missing()), |image| found(reference, image));
        }
    };
    if !pulls {
        return here.map_or(Outcome::Nothing, |image| found(reference, image));
    }
    match (pull(engine, reference, order).await, here) {
        (Ok(image), _) => found(reference, image),
        (Err(error), Some(image)) => {
            tracing::warn!(reference, %error, "not pulled: the image that is here will do");
            found(reference, image)
        }
        (Err(EngineError::Refused(words)), None) => Outcome::Hopeless(refusal(reference, &words, order)),
        (Err(error), None) => unfound(error),
    }
}

fn found(reference: &str, image: Image) -> Outcome {
    Outcome::Found(Found { reference: reference.to_owned(), image })
}

fn unfound(error: EngineError) -> Outcome {
    match error {
        EngineError::NotFound(words) | EngineError::Refused(words) => Outcome::Hopeless(words),
        EngineError::NameTaken(_) | EngineError::NoSuchImage(_) | EngineError::Unreachable(_) => {
            Outcome::Failed(error)
        }
    }
}

/// Pulls, and tells how far it is: at once that it has begun, and then now and then.
async fn pull(engine: &dyn Engine, reference: &str, order: &Order) -> Result<Image, EngineError> {
    let next = Mutex::new(Instant::now());
    let meter = |progress: Progress| {
        let now = Instant::now();
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        // The agent that is behind with its news hears of the next one.
        if now >= *next && order.meter.try_send((order.key.clone(), progress)).is_ok() {
            *next = now + PROGRESS_INTERVAL;
        }
    };
    meter(Progress::default());
    engine.pull(reference, &meter).await?;
    engine.image(reference).await
}

/// Why an image cannot be had. It was perhaps built on another machine: so this says how to bring it from there.
fn refusal(reference: &str, words: &str, order: &Order) -> String {
    let is_unknown = UNKNOWN_IMAGE.iter().any(|unknown| words.contains(unknown));
    let reason = if is_unknown { "no registry has it" } else { "it cannot be pulled" };
    let image = reference.split_once('@').map_or(reference, |(name, _)| name);
    let load = match order.host.as_str() {
        "" => format!("ssh {} docker load", order.node),
        host => format!("docker -H {host} load"),
    };
    format!(
        "image {image} is not on node {} and {reason} ({}); if another machine has it, bring it with: \
         docker save {image} | {load}",
        order.node,
        words.trim()
    )
}

/// Creates the container. One of that name is this task's own, from an attempt whose answer was lost, or somebody else's.
async fn create(engine: &dyn Engine, order: &Order, spec: &ContainerSpec) -> Outcome {
    match engine.create(spec).await {
        Ok(id) => Outcome::Seen(Container {
            id,
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            ..Container::default()
        }),
        Err(EngineError::NameTaken(words)) => {
            let found = look(engine, order, &spec.name).await;
            if matches!(found, Outcome::Absent) { Outcome::Hopeless(words) } else { found }
        }
        Err(EngineError::Refused(words)) => Outcome::Hopeless(words),
        Err(error) => Outcome::Failed(error),
    }
}

async fn start(engine: &dyn Engine, id: &str) -> Outcome {
    match engine.start(id).await {
        Ok(()) => seen(engine.inspect(id).await),
        Err(EngineError::Refused(words)) => Outcome::Hopeless(words),
        Err(EngineError::NotFound(_)) => Outcome::Absent,
        Err(error) => Outcome::Failed(error),
    }
}

async fn stop(engine: &dyn Engine, id: &str) -> Outcome {
    match engine.stop(id).await {
        Ok(()) => seen(engine.inspect(id).await),
        Err(error) => seen(Err(error)),
    }
}

async fn remove(engine: &dyn Engine, id: &str, is_running: bool) -> Outcome {
    if is_running {
        match engine.stop(id).await {
            Ok(()) | Err(EngineError::NotFound(_)) => {}
            Err(error) => return Outcome::Failed(error),
        }
    }
    match engine.remove(id).await {
        Ok(()) | Err(EngineError::NotFound(_)) => Outcome::Absent,
        Err(error) => Outcome::Failed(error),
    }
}

/// The container of that name, if it is this task's.
async fn look(engine: &dyn Engine, order: &Order, name: &str) -> Outcome {
    match engine.inspect(name).await {
        Ok(container) if labels::task_of(&container.labels, &order.owner).as_ref() != Some(&order.key) => {
            Outcome::Absent
        }
        answer => seen(answer),
    }
}

fn seen(answer: Result<Container, EngineError>) -> Outcome {
    match answer {
        Ok(container) => Outcome::Seen(container),
        Err(EngineError::NotFound(_)) => Outcome::Absent,
        Err(error) => Outcome::Failed(error),
    }
}
