//! What the agent sees of its engine: everything, then every change, and everything again after the engine was away.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::engine::{Engine, EngineError, Owner, Sight, Sights};
use crate::retry::Retry;

/// A sight, or why there is none for now.
pub(crate) type Observation = Result<Sight, EngineError>;

/// Follows the engine for as long as it is polled; an engine that does not answer is waited for.
pub(crate) struct Observer {
    observations: BoxStream<'static, Observation>,
}

struct Machine {
    engine: Arc<dyn Engine>,
    owner: Owner,
    retry: Retry,
    sights: Option<Sights>,
    has_failed: bool,
}

impl Observer {
    pub(crate) fn new(engine: Arc<dyn Engine>, owner: Owner, random: fastrand::Rng) -> Self {
        let machine = Machine { engine, owner, retry: Retry::new(random), sights: None, has_failed: false };
        let observations = stream::unfold(machine, |mut machine| async move {
            let observation = machine.next().await;
            Some((observation, machine))
        });
        Self { observations: observations.boxed() }
    }

    /// The next observation. Cancel-safe: all state is in a stream of its own.
    pub(crate) async fn next(&mut self) -> Observation {
        let next = self.observations.next().await;
        next.unwrap_or_else(|| Err(EngineError::Unreachable("the observer has ended".to_owned())))
    }
}

impl Machine {
    async fn next(&mut self) -> Observation {
        if self.has_failed {
            tokio::time::sleep(self.retry.after_failure()).await;
            self.has_failed = false;
        }
        let sights = self.sights.get_or_insert_with(|| self.engine.watch(&self.owner));
        match sights.next().await {
            Some(Ok(sight)) => {
                self.retry.reset();
                Ok(sight)
            }
            failed => {
                self.sights = None;
                self.has_failed = true;
                failed.unwrap_or_else(|| Err(EngineError::Unreachable("its events have ended".to_owned())))
            }
        }
    }
}
