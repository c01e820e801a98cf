//! What a simulated process does by itself. Its environment asks for it in the words of the demo server (`hack/demo`), so that
//! one test means the same on a simulated machine and on Docker.

use std::collections::BTreeMap;
use std::time::Duration;

use skep_api::container::Healthcheck;
use skep_api::task::{Health, HealthState};
use skep_api::time::Span;
use tokio::time::Instant;

use crate::engine::ContainerSpec;

/// Docker's defaults of a healthcheck.
const INTERVAL: Span = Span::from_secs(30);
const RETRIES: u32 = 3;

/// What a process will do once it is started.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// `SAY`: what it prints at once.
    pub(super) says: Vec<String>,
    /// `EXIT_AFTER_MS` and `EXIT_CODE`.
    exits: Option<(Duration, i64)>,
    /// `HEALTHY_AFTER_MS`.
    healthy_after: Duration,
    /// `FAIL_HEALTH` and `FAIL_HEALTH_AFTER_MS`.
    fails_after: Option<Duration>,
    /// How its health is asked for, if it is.
    checks: Option<Checks>,
}

/// How health is asked for.
#[derive(Debug, Clone)]
struct Checks {
    interval: Duration,
    retries: u32,
    start_period: Duration,
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Process {
    script: Script,
    started: Instant,
    /// How often its health was asked for.
    checked: u32,
    /// What the healthcheck says.
    pub(super) health: Option<Health>,
}

/// What a process does by itself, or what is found out about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// Its health was asked for.
    Checked,
    /// It ends with this code.
    Exits(i64),
}

impl Script {
    pub(super) fn of(spec: &ContainerSpec) -> Self {
        let millis = |name: &str| number(&spec.env, name).map(Duration::from_millis);
        let code = number(&spec.env, "EXIT_CODE").unwrap_or_default();
        let always_fails = number(&spec.env, "FAIL_HEALTH") == Some(1);
        Self {
            says: spec.env.get("SAY").into_iter().flat_map(|text| text.lines()).map(str::to_owned).collect(),
            exits: millis("EXIT_AFTER_MS").map(|after| (after, i64::try_from(code).unwrap_or(i64::MAX))),
            healthy_after: millis("HEALTHY_AFTER_MS").unwrap_or_default(),
            fails_after: if always_fails { Some(Duration::ZERO) } else { millis("FAIL_HEALTH_AFTER_MS") },
            checks: spec.revision.task.healthcheck.as_ref().and_then(Checks::of),
        }
    }

    fn is_healthy(&self, up: Duration) -> bool {
        up >= self.healthy_after && self.fails_after.is_none_or(|limit| up < limit)
    }
}

impl Checks {
    fn of(check: &Healthcheck) -> Option<Self> {
        let is_asked = check.test.first().is_some_and(|kind| kind != "NONE");
        let positive = |span: Option<Span>| span.filter(|span| *span > Span::default());
        is_asked.then(|| Self {
            interval: positive(check.interval).unwrap_or(INTERVAL).to_std(),
            retries: check.retries.filter(|retries| *retries > 0).unwrap_or(RETRIES),
            start_period: check.start_period.unwrap_or_default().to_std(),
        })
    }
}

impl Process {
    pub(super) fn start(script: Script, started: Instant) -> Self {
        let starting = Health { state: HealthState::Starting, failing_streak: 0, output: String::new() };
        let health = script.checks.as_ref().map(|_| starting);
        Self { script, started, checked: 0, health }
    }

    /// When something happens next, and what.
    pub(super) fn next(&self) -> Option<(Instant, Happening)> {
        let exits = self.script.exits.map(|(after, code)| (self.started + after, Happening::Exits(code)));
        let checked = self.next_check().map(|at| (at, Happening::Checked));
        exits.into_iter().chain(checked).min_by_key(|(at, _)| *at)
    }

    /// The next check that may have another answer than the last one: nobody sees the others.
    fn next_check(&self) -> Option<Instant> {
        let (checks, health) = (self.script.checks.as_ref()?, self.health.as_ref()?);
        let may_change = match health.state {
            HealthState::Starting => true,
            HealthState::Healthy => self.script.fails_after.is_some(),
            HealthState::Unhealthy => false,
        };
        may_change.then(|| self.started + checks.interval * (self.checked + 1))
    }

    /// Its health is asked for, `at` that instant.
    pub(super) fn check(&mut self, at: Instant) {
        self.checked += 1;
        let up = at - self.started;
        let is_healthy = self.script.is_healthy(up);
        let (Some(checks), Some(health)) = (&self.script.checks, &mut self.health) else { return };
        if is_healthy {
            *health = Health { state: HealthState::Healthy, failing_streak: 0, output: String::new() };
            return;
        }
        "unhealthy".clone_into(&mut health.output);
        let is_excused = health.state == HealthState::Starting && up < checks.start_period;
        health.failing_streak += u32::from(!is_excused);
        if health.failing_streak >= checks.retries {
            health.state = HealthState::Unhealthy;
        }
    }
}

fn number(env: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    env.get(name)?.parse().ok()
}
