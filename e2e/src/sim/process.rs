//! A process, through all its lives.

use skep_agent::AgentError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::machine::Machine;
use super::oracle::writers::Client;
use super::pause::Brake;
use super::program::{Failure, Program};
use super::role::Role;
use super::wire::Wire;

/// One process, through all its lives.
pub(crate) struct Process {
    /// What it does.
    pub(crate) role: Role,
    /// Which of its role.
    pub(crate) index: usize,
    /// The machine of an agent.
    pub(crate) machine: Option<Machine>,
    lives: u32,
    life: Option<Life>,
}

struct Life {
    wire: Wire,
    brake: Brake,
    shutdown: CancellationToken,
    handle: JoinHandle<Result<(), Failure>>,
}

/// How a process ended by itself.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It ended, with an error or without.
    Returned(Result<(), Failure>),
    /// It panicked.
    Panicked(String),
}

impl Ending {
    /// Why it should not have ended.
    pub(crate) fn fault(&self) -> Option<String> {
        match self {
            Self::Panicked(error) => Some(error.clone()),
            Self::Returned(Ok(()) | Err(Failure::Store(_) | Failure::Join(_))) => None,
            Self::Returned(Err(failure)) => (!self.is_for_good()).then(|| failure.to_string()),
        }
    }

    /// Whether it must not be started again: the node of this agent was removed.
    pub(crate) fn is_for_good(&self) -> bool {
        matches!(self, Self::Returned(Err(Failure::Agent(AgentError::Removed { .. }))))
    }
}

impl Process {
    /// A process that has not been started.
    pub(crate) fn new(role: Role, index: usize, machine: Option<Machine>) -> Self {
        Self { role, index, machine, lives: 0, life: None }
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// What its present or last life is called.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}:{}", self.role, self.index, self.lives)
    }

    /// Starts it.
    pub(crate) fn start(&mut self, ground: &Ground) {
        self.lives += 1;
        let name = self.name();
        let mut random = ground.random(&name);
        let wire = Wire::new(&name, self.role, ground.weather.clone(), random.fork());
        let node = self.machine.as_ref().map(|machine| machine.node.clone());
        ground.oracle.introduce(&name, Client { role: self.role, node, holder: name.clone() });
        let (brake, shutdown) = (Brake::default(), CancellationToken::new());
        let program = Program {
            role: self.role,
            name,
            machine: self.machine.clone(),
            wire: wire.clone(),
            random,
            shutdown: shutdown.clone(),
        };
        let (braked, ground) = (brake.clone(), ground.clone());
        let handle = tokio::task::spawn_local(async move { braked.run(program.run(ground)).await });
        self.life = Some(Life { wire, brake, shutdown, handle });
    }

    /// Ends it at whatever instruction it is.
    pub(crate) async fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.handle.abort();
            // It was told to end; how it ended says nothing.
            let _ = life.handle.await;
        }
    }

    /// Tells it to end.
    pub(crate) fn stop(&self) {
        if let Some(life) = &self.life {
            life.shutdown.cancel();
        }
    }

    /// Lets it stand still.
    pub(crate) fn pause(&self) {
        if let Some(life) = &self.life {
            life.brake.pull();
        }
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        if let Some(life) = &self.life {
            life.brake.release();
        }
    }

    /// The wire of its present life.
    pub(crate) fn wire(&self) -> Option<&Wire> {
        self.life.as_ref().map(|life| &life.wire)
    }

    /// How it ended, if it did so by itself since this was last asked.
    pub(crate) async fn ending(&mut self) -> Option<Ending> {
        if !self.life.as_ref().is_some_and(|life| life.handle.is_finished()) {
            return None;
        }
        let life = self.life.take()?;
        Some(match life.handle.await {
            Ok(result) => Ending::Returned(result),
            Err(error) => Ending::Panicked(error.to_string()),
        })
    }
}
