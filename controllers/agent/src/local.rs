//! What the agent itself knows of one task, beside what etcd holds: all of it is found again after a restart.

use skep_api::time::Timestamp;

use crate::engine::{Container, EngineError, Image, Phase, Progress};
use crate::jobs::Outcome;
use crate::plan::Job;

/// What the agent itself knows of one task.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Local {
    /// Its container, as last seen.
    pub(crate) sighting: Sighting,
    /// Whether its container was only said to have ended: what else there is to say of that is not known yet.
    pub(crate) is_glimpsed: bool,
    /// What is being done for it; one thing at a time.
    pub(crate) job: Option<JobKind>,
    /// Whether a write for it is on its way to etcd.
    pub(crate) is_writing: bool,
    /// The session (where it was last written) under which this process has committed a claim that it has not used yet. A
    /// claim is good for one start, and only in the same session.
    pub(crate) claim: Option<i64>,
    /// Its image, as found on this machine.
    pub(crate) image: Option<Found>,
    /// How far the pull of its image is; `None` while nothing is pulled.
    pub(crate) pulling: Option<Progress>,
    /// Which wait before its stop has lasted long enough by this process' own clock.
    pub(crate) waited: Option<Wait>,
    /// Whether the engine was asked to end its container, once the engine was asked for that.
    pub(crate) was_signalled: Option<bool>,
    /// Whether its container ended while its engine was away: then the engine ended it.
    pub(crate) ended_with_engine: bool,
    /// The last lines that it wrote, once they were asked for.
    pub(crate) tail: Option<Vec<String>>,
    /// Why it can never run: the engine's own words, to be reported.
    pub(crate) verdict: Option<String>,
    /// How far the removal of its container is, when the task is gone.
    pub(crate) removal: Removal,
    /// Whether what failed last is not to be tried yet.
    pub(crate) is_resting: bool,
    /// How often in a row it failed.
    pub(crate) failures: u32,
}

/// What is known of a task's container.
#[allow(clippy::large_enum_variant, reason = "nearly every task has one")]
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Sighting {
    /// Nobody has looked, or what was seen may be out of date.
    #[default]
    Unknown,
    /// The engine has none.
    Absent,
    /// It is like this.
    Seen(Container),
}

/// An image that was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// By which reference.
    pub(crate) reference: String,
    /// The image.
    pub(crate) image: Image,
}

/// A wait before a stop. Each ends by itself, whatever becomes of what it waits for; a later one is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    /// For the revision, which says whether there is more to wait for.
    Revision,
    /// For etcd, to tell the others that the task is about to be stopped.
    Telling,
    /// For the connections that it has: `task.preStop`.
    Drain,
}

/// What is done for one task at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobKind {
    /// Finding its image, from a registry if need be. The only job that may be given up half-way.
    Fetch,
    /// Anything else.
    Other,
}

/// How far the removal of a container without a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Nobody has asked etcd.
    #[default]
    Unasked,
    /// etcd is being asked.
    Asked,
    /// A linearizable read under the same incarnation shows no task.
    Confirmed,
}

impl Local {
    /// Takes over what was seen of the container, unless something later is known already. Whether that is new.
    pub(crate) fn see(&mut self, container: Container) -> bool {
        let is_old = |known: &Container| *known == container || !container.follows(known);
        let completes = self.is_glimpsed && matches!(container.phase, Phase::Exited { .. });
        if self.container().is_some_and(|known| is_old(known) && !(completes && container.follows(known))) {
            return false;
        }
        self.is_glimpsed = false;
        self.sighting = Sighting::Seen(container);
        true
    }

    /// Takes over that the container, which ran, ended with `code`. Whether that is news.
    pub(crate) fn glimpse(&mut self, code: i64, at: Timestamp) -> bool {
        let Sighting::Seen(container) = &mut self.sighting else { return false };
        if container.phase != Phase::Running || container.started.is_none_or(|started| at <= started) {
            return false;
        }
        container.phase = Phase::Exited { code, oom_killed: false };
        container.finished = Some(at);
        container.ports.clear();
        self.is_glimpsed = true;
        true
    }

    /// Takes over the container from a list of everything that the engine has, after it was `away`, on a machine that was last
    /// started at `booted`. What is seen to have ended only now was most likely ended by the engine, or with the machine.
    pub(crate) fn see_listed(&mut self, container: Container, away: bool, booted: Option<Timestamp>) -> bool {
        if matches!(container.phase, Phase::Exited { .. }) {
            let is_known = self.container().is_some_and(|known| matches!(known.phase, Phase::Exited { .. }));
            let is_older = container.finished.zip(booted).is_some_and(|(finished, booted)| finished < booted);
            self.ended_with_engine |= !is_known && (away || is_older);
        }
        self.see(container)
    }

    /// A job begins. A start uses the claim up.
    pub(crate) fn begin(&mut self, job: &Job) {
        self.job = Some(job.kind());
        if matches!(job, Job::Start(_)) {
            self.claim = None;
        }
    }

    /// Takes over what came of the job. An error is one to rest after.
    pub(crate) fn learn(&mut self, outcome: Outcome) -> Result<(), EngineError> {
        self.job = None;
        self.pulling = None;
        match outcome {
            Outcome::Found(found) => self.image = Some(found),
            Outcome::Seen(container) => {
                self.see(container);
            }
            Outcome::Absent => self.sighting = Sighting::Absent,
            Outcome::Nothing => {}
            Outcome::Signalled(was_signalled) => self.was_signalled = Some(was_signalled),
            Outcome::Tail(lines) => self.tail = Some(lines),
            Outcome::Hopeless(words) => self.verdict = Some(words),
            Outcome::Failed(error) => {
                match &error {
                    // Whether it did what was asked is to be seen.
                    EngineError::Unreachable(_) => self.sighting = Sighting::Unknown,
                    EngineError::NoSuchImage(_) => self.image = None,
                    EngineError::NotFound(_) | EngineError::NameTaken(_) | EngineError::Refused(_) => {}
                }
                return Err(error);
            }
        }
        self.failures = 0;
        Ok(())
    }

    /// The container, if it is known to be there.
    pub(crate) fn container(&self) -> Option<&Container> {
        match &self.sighting {
            Sighting::Seen(container) => Some(container),
            Sighting::Unknown | Sighting::Absent => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_api::task::{Health, HealthState};

    use super::*;

    fn container(phase: Phase, started: Option<i64>) -> Container {
        Container {
            id: "c1".to_owned(),
            name: "web.1.0000a".to_owned(),
            phase,
            started: started.map(Timestamp::from_millis),
            ..Container::default()
        }
    }

    #[test]
    fn what_was_seen_before_does_not_replace_what_is_known() {
        let mut local = Local::default();
        assert!(local.see(container(Phase::Running, Some(5))));
        assert!(!local.see(container(Phase::Created, None)), "an answer that was overtaken");
        assert!(!local.see(container(Phase::Running, Some(5))), "nothing new");
        assert!(local.see(container(Phase::Exited { code: 0, oom_killed: false }, Some(5))));
        assert!(local.see(container(Phase::Running, Some(6))), "people started it again");
    }

    #[test]
    fn a_check_that_was_overtaken_does_not_replace_what_the_next_one_said() {
        let checked = |state| Container {
            health: Some(Health { state, failing_streak: 0, output: String::new() }),
            ..container(Phase::Running, Some(5))
        };
        let mut local = Local::default();
        assert!(local.see(checked(HealthState::Starting)));
        assert!(local.see(checked(HealthState::Healthy)));
        assert!(!local.see(checked(HealthState::Starting)), "an answer that was overtaken");
        assert!(local.see(checked(HealthState::Unhealthy)));
    }

    #[test]
    fn what_ended_while_its_engine_was_away_was_ended_by_it() {
        let ended = |at: i64| Container {
            finished: Some(Timestamp::from_millis(at)),
            ..container(Phase::Exited { code: 0, oom_killed: false }, Some(5))
        };
        let booted = Some(Timestamp::from_millis(10));
        for (known, away, at, expected) in [
            (Some(Phase::Running), true, 20, true),
            (Some(Phase::Running), false, 20, false),
            (None, true, 20, true),
            (None, false, 20, false),
            (None, false, 9, true),
            (Some(Phase::Exited { code: 0, oom_killed: false }), true, 9, false),
        ] {
            let mut local = Local::default();
            if let Some(phase) = known {
                local.see(container(phase, Some(5)));
            }
            local.see_listed(ended(at), away, booted);
            assert_eq!(local.ended_with_engine, expected, "{known:?} {away} {at}");
        }
    }

    #[test]
    fn an_image_that_vanished_is_looked_for_again() {
        let image = Image { id: "sha256:1".to_owned(), repo_digests: Vec::new() };
        let mut local = Local::default();
        local.learn(Outcome::Found(Found { reference: "web:1".to_owned(), image })).unwrap();
        local.learn(Outcome::Failed(EngineError::NoSuchImage("gone".to_owned()))).unwrap_err();
        assert_eq!(local.image, None);
    }
}
