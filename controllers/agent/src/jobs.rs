//! What the engine is asked to do for one task at a time, and what came of it.

use std::sync::Arc;

use skep_api::key::TaskRef;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{Container, ContainerSpec, Engine, EngineError, Owner, Phase};
use crate::labels;
use crate::local::{Found, JobKind};
use crate::plan::Job;

/// Containers that are created or started at the same time; more does not make an engine faster.
const STARTS_AT_ONCE: usize = 8;
/// Images that are looked for at the same time.
const FETCHES_AT_ONCE: usize = 4;

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
}

/// What came of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The image is here.
    Found(Found),
    /// The container is like this now.
    Seen(Container),
    /// There is no container.
    Absent,
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
            Self::Create(_) | Self::Start(_) | Self::Stop(_) | Self::Remove { .. } | Self::Look(_) => {
                JobKind::Other
            }
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
        Job::Fetch(reference) => {
            let fetch = fetch(engine, &limits.fetches, reference);
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
    };
    (order.key, outcome)
}

/// Finds the image here, or else in its registry.
async fn fetch(engine: &dyn Engine, permits: &Semaphore, reference: &str) -> Outcome {
    let _permit = permits.acquire().await;
    let mut answer = engine.image(reference).await;
    if matches!(answer, Err(EngineError::NotFound(_))) {
        match engine.pull(reference).await {
            Ok(()) => answer = engine.image(reference).await,
            Err(EngineError::Refused(words)) => return Outcome::Hopeless(words),
            Err(error) => return Outcome::Failed(error),
        }
    }
    match answer {
        Ok(image) => Outcome::Found(Found { reference: reference.to_owned(), image }),
        Err(EngineError::NotFound(words) | EngineError::Refused(words)) => Outcome::Hopeless(words),
        Err(error) => Outcome::Failed(error),
    }
}

/// Creates the container. One of that name is this task's own, from an attempt whose answer was lost, or somebody else's.
async fn create(engine: &dyn Engine, order: &Order, spec: &ContainerSpec) -> Outcome {
    match engine.create(spec).await {
        Ok(id) => Outcome::Seen(Container {
            id,
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            phase: Phase::Created,
            started: None,
            ports: Vec::new(),
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
