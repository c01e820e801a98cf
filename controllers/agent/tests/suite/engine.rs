//! What the agent relies on of any engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use skep_agent::engine::{Container, ContainerSpec, Engine, EngineError, Owner, Phase, Sight, Sights};
use skep_agent::labels;
use skep_api::ident::NodeId;
use skep_api::task::HealthState;

use super::hand::{LIMIT, revision};

/// An engine, and whose containers the test makes.
pub(crate) struct Bench {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) owner: Owner,
    /// An image that the engine has, and whose process runs until it is stopped.
    pub(crate) image: &'static str,
}

impl Bench {
    /// A container called `name`, which no other test uses.
    fn spec(&self, name: &str, host_ports: &str) -> ContainerSpec {
        let labels = labels::of_owner(&self.owner).map(|(name, value)| (name.to_owned(), value));
        ContainerSpec {
            name: format!("{name}.{}", self.owner.node),
            image: self.image.to_owned(),
            labels: labels.into_iter().collect(),
            env: BTreeMap::from([("SKEP_TASK_NAME".to_owned(), name.to_owned())]),
            hostname: None,
            mounts: Vec::new(),
            volumes: BTreeMap::new(),
            revision: Arc::new(revision(&format!("image: {}, stopGracePeriod: 2s", self.image), host_ports)),
        }
    }

    async fn started(&self, name: &str, host_ports: &str) -> Container {
        self.started_from(&self.spec(name, host_ports)).await
    }

    async fn started_from(&self, spec: &ContainerSpec) -> Container {
        let id = self.engine.create(spec).await.unwrap();
        self.engine.start(&id).await.unwrap();
        self.engine.inspect(&id).await.unwrap()
    }

    /// A container whose process is asked to do something (`hack/demo`), and is checked five times a second.
    async fn started_with(&self, name: &str, env: &[(&str, &str)]) -> Container {
        let mut spec = self.spec(name, "");
        spec.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let check = "test: [CMD, /skep-demo, health], interval: 200ms, startPeriod: 30s, retries: 2";
        let template = format!("image: {}, stopGracePeriod: 2s, healthcheck: {{{check}}}", self.image);
        spec.revision = Arc::new(revision(&template, ""));
        self.started_from(&spec).await
    }
}

/// The next sight, which must come.
async fn next(sights: &mut Sights) -> Sight {
    tokio::time::timeout(LIMIT, sights.next()).await.expect("a sight").expect("no end").unwrap()
}

/// The next time the container with this id is seen in another way than `known`.
async fn next_change(sights: &mut Sights, known: &Container) -> Container {
    loop {
        match next(sights).await {
            Sight::Changed(container) if container.id == known.id && container != *known => return container,
            Sight::Changed(_) | Sight::Ended { .. } => {}
            other @ (Sight::All(..) | Sight::Gone(_)) => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn a_container_is_created_started_stopped_and_removed(bench: Bench) {
    let spec = bench.spec("life", "");
    let id = bench.engine.create(&spec).await.unwrap();
    let created = bench.engine.inspect(&id).await.unwrap();
    assert_eq!((created.phase, created.started), (Phase::Created, None));
    assert_eq!(created.name, spec.name);
    let has_label = |(name, value): (&String, &String)| created.labels.get(name) == Some(value);
    assert!(spec.labels.iter().all(has_label), "{created:?}");
    bench.engine.start(&id).await.unwrap();
    let running = bench.engine.inspect(&spec.name).await.unwrap();
    assert_eq!((running.phase, running.id.as_str()), (Phase::Running, id.as_str()));
    assert!(running.started.is_some());
    bench.engine.stop(&id).await.unwrap();
    let ended = bench.engine.inspect(&id).await.unwrap();
    assert!(matches!(ended.phase, Phase::Exited { .. }), "{ended:?}");
    assert!(ended.follows(&running) && running.follows(&created) && !created.follows(&running));
    bench.engine.remove(&id).await.unwrap();
    let gone = bench.engine.inspect(&id).await;
    assert!(matches!(gone, Err(EngineError::NotFound(_))), "{gone:?}");
}

pub(crate) async fn starting_what_runs_and_stopping_what_does_not_changes_nothing(bench: Bench) {
    let running = bench.started("twice", "").await;
    bench.engine.start(&running.id).await.unwrap();
    assert_eq!(bench.engine.inspect(&running.id).await.unwrap(), running);
    bench.engine.stop(&running.id).await.unwrap();
    let ended = bench.engine.inspect(&running.id).await.unwrap();
    bench.engine.stop(&running.id).await.unwrap();
    assert_eq!(bench.engine.inspect(&running.id).await.unwrap(), ended);
}

/// The next time that the health of the container with this id is another one than `known`.
async fn next_health(sights: &mut Sights, id: &str, known: HealthState) -> Container {
    loop {
        if let Sight::Changed(container) = next(sights).await
            && container.id == id
            && container.health.as_ref().is_some_and(|health| health.state != known)
        {
            return container;
        }
    }
}

pub(crate) async fn health_is_seen_when_it_comes_and_when_it_goes(bench: Bench) {
    let mut sights = bench.engine.watch(&bench.owner);
    next(&mut sights).await;
    let env = [("HEALTHY_AFTER_MS", "1000"), ("FAIL_HEALTH_AFTER_MS", "2500")];
    let started = bench.started_with("health", &env).await;
    let starting = started.health.clone().unwrap();
    assert_eq!((starting.state, starting.failing_streak), (HealthState::Starting, 0));
    let healthy = next_health(&mut sights, &started.id, HealthState::Starting).await;
    assert_eq!(healthy.health.as_ref().unwrap().state, HealthState::Healthy);
    assert!(healthy.follows(&started) && !started.follows(&healthy));
    let unhealthy = next_health(&mut sights, &started.id, HealthState::Healthy).await;
    assert!(unhealthy.is_unhealthy() && unhealthy.phase == Phase::Running, "{unhealthy:?}");
    let health = unhealthy.health.clone().unwrap();
    assert_eq!((health.failing_streak, health.output.contains("unhealthy")), (2, true), "{health:?}");
    bench.engine.stop(&started.id).await.unwrap();
    assert!(bench.engine.inspect(&started.id).await.unwrap().is_unhealthy(), "it is remembered why");
}

pub(crate) async fn a_container_that_ends_while_it_is_well_was_not_unhealthy(bench: Bench) {
    let mut sights = bench.engine.watch(&bench.owner);
    next(&mut sights).await;
    let started = bench.started_with("well", &[]).await;
    next_health(&mut sights, &started.id, HealthState::Starting).await;
    bench.engine.stop(&started.id).await.unwrap();
    let ended = bench.engine.inspect(&started.id).await.unwrap();
    assert!(!ended.is_unhealthy() && ended.finished >= ended.started, "{ended:?}");
}

pub(crate) async fn a_container_without_a_healthcheck_has_no_health(bench: Bench) {
    let running = bench.started("no-health", "").await;
    assert_eq!((running.health, running.finished), (None, None));
    assert!(!running.image.is_empty());
    assert_eq!(bench.engine.image(bench.image).await.unwrap().id, running.image);
}

pub(crate) async fn the_last_lines_of_what_was_written_are_read(bench: Bench) {
    let mut sights = bench.engine.watch(&bench.owner);
    next(&mut sights).await;
    let env = [("SAY", "one\ntwo\nthree"), ("EXIT_AFTER_MS", "300"), ("EXIT_CODE", "7")];
    let started = bench.started_with("tail", &env).await;
    let ended = loop {
        let ended = next_change(&mut sights, &started).await;
        if ended.phase > Phase::Running {
            break ended;
        }
    };
    assert_eq!(ended.phase, Phase::Exited { code: 7, oom_killed: false });
    let all = bench.engine.tail(&started.id, 100).await.unwrap();
    assert_eq!(all[..3], ["one", "two", "three"], "{all:?}");
    assert_eq!(bench.engine.tail(&started.id, 1).await.unwrap(), all[all.len() - 1..]);
    let unknown = bench.engine.tail("nothing", 1).await;
    assert!(matches!(unknown, Err(EngineError::NotFound(_))), "{unknown:?}");
}

pub(crate) async fn an_end_that_the_engine_asked_for_is_told_from_one_that_it_did_not(bench: Bench) {
    let mut sights = bench.engine.watch(&bench.owner);
    next(&mut sights).await;
    let by_itself = bench.started_with("itself", &[("EXIT_AFTER_MS", "300")]).await;
    let by_engine = bench.started("signal", "").await;
    bench.engine.stop(&by_engine.id).await.unwrap();
    for (id, expected) in [(by_engine.id, true), (by_itself.id, false)] {
        let finished = loop {
            match bench.engine.inspect(&id).await.unwrap().finished {
                Some(finished) => break finished,
                None => drop(next(&mut sights).await),
            }
        };
        assert_eq!(bench.engine.was_signalled(&id, finished).await, Ok(expected));
    }
}

pub(crate) async fn a_name_is_given_once(bench: Bench) {
    let spec = bench.spec("name", "");
    bench.engine.create(&spec).await.unwrap();
    let second = bench.engine.create(&spec).await;
    assert!(matches!(second, Err(EngineError::NameTaken(_))), "{second:?}");
}

pub(crate) async fn what_is_not_there_is_not_found(bench: Bench) {
    let name = format!("nothing.{}", bench.owner.node);
    for answer in [
        bench.engine.inspect(&name).await.map(drop),
        bench.engine.start(&name).await,
        bench.engine.stop(&name).await,
        bench.engine.remove(&name).await,
        bench.engine.image("skep.invalid/nothing:1").await.map(drop),
    ] {
        assert!(matches!(answer, Err(EngineError::NotFound(_))), "{answer:?}");
    }
    let spec = ContainerSpec { image: "skep.invalid/nothing:1".to_owned(), ..bench.spec("no-image", "") };
    let created = bench.engine.create(&spec).await;
    assert!(matches!(created, Err(EngineError::NoSuchImage(_))), "{created:?}");
}

pub(crate) async fn an_image_that_no_registry_gives_is_refused_in_the_engine_s_words(bench: Bench) {
    let pulled = bench.engine.pull("127.0.0.1:1/nothing:1", &|_| {}).await;
    assert!(matches!(&pulled, Err(EngineError::Refused(words)) if !words.is_empty()), "{pulled:?}");
    assert!(!bench.engine.image(bench.image).await.unwrap().id.is_empty());
}

pub(crate) async fn a_running_container_has_its_automatic_host_ports(bench: Bench) {
    let ports = "{target: 8080, mode: host}, {target: 53, protocol: udp, mode: host}";
    let first = bench.started("ports-1", ports).await;
    let second = bench.started("ports-2", ports).await;
    let targets: Vec<u16> = first.ports.iter().map(|port| port.target).collect();
    assert_eq!(targets, [53, 8080]);
    assert!(first.ports.iter().all(|port| port.published > 0));
    assert!(first.ports.iter().all(|port| !second.ports.contains(port)), "{first:?} {second:?}");
    bench.engine.stop(&first.id).await.unwrap();
    assert_eq!(bench.engine.inspect(&first.id).await.unwrap().ports, []);
}

pub(crate) async fn a_host_port_that_is_taken_refuses_the_start(bench: Bench) {
    let first = bench.started("port-1", "{target: 8080, mode: host}").await;
    let taken = format!("{{target: 8080, published: {}, mode: host}}", first.ports[0].published);
    let id = bench.engine.create(&bench.spec("port-2", &taken)).await.unwrap();
    let second = bench.engine.start(&id).await;
    assert!(matches!(&second, Err(EngineError::Refused(words)) if words.contains("allocated")), "{second:?}");
    assert_eq!(bench.engine.inspect(&id).await.unwrap().started, None);
}

pub(crate) async fn an_owner_sees_its_own_containers_only(bench: Bench) {
    let own = bench.started("own", "").await;
    let other = Owner { node: NodeId::from_random(2), ..bench.owner.clone() };
    assert_eq!(bench.engine.list(&bench.owner).await.unwrap(), [own]);
    assert_eq!(bench.engine.list(&other).await.unwrap(), []);
}

pub(crate) async fn a_watch_shows_everything_and_then_every_change(bench: Bench) {
    let before = bench.started("watch-1", "").await;
    let mut sights = bench.engine.watch(&bench.owner);
    match next(&mut sights).await {
        Sight::All(_, containers) => assert_eq!(containers, std::slice::from_ref(&before)),
        other @ (Sight::Changed(_) | Sight::Ended { .. } | Sight::Gone(_)) => panic!("{other:?}"),
    }
    let running = bench.started("watch-2", "").await;
    let seen = loop {
        match next(&mut sights).await {
            Sight::Changed(container) if container.id == running.id => break container,
            Sight::All(..) | Sight::Changed(_) | Sight::Ended { .. } | Sight::Gone(_) => {}
        }
    };
    assert_eq!(seen, running);
    bench.engine.stop(&running.id).await.unwrap();
    let ended = next_change(&mut sights, &running).await;
    assert!(matches!(ended.phase, Phase::Exited { .. }), "{ended:?}");
    bench.engine.remove(&running.id).await.unwrap();
    loop {
        match next(&mut sights).await {
            Sight::Gone(id) => break assert_eq!(id, running.id),
            Sight::Changed(_) | Sight::Ended { .. } => {}
            other @ Sight::All(..) => panic!("{other:?}"),
        }
    }
}

/// Makes a test of each case.
macro_rules! engine_contract {
    ($attribute:meta, $bench:expr) => {
        engine_contract! {
            $attribute, $bench,
            a_container_is_created_started_stopped_and_removed,
            starting_what_runs_and_stopping_what_does_not_changes_nothing,
            health_is_seen_when_it_comes_and_when_it_goes,
            a_container_that_ends_while_it_is_well_was_not_unhealthy,
            a_container_without_a_healthcheck_has_no_health,
            the_last_lines_of_what_was_written_are_read,
            an_end_that_the_engine_asked_for_is_told_from_one_that_it_did_not,
            a_name_is_given_once,
            what_is_not_there_is_not_found,
            an_image_that_no_registry_gives_is_refused_in_the_engine_s_words,
            a_running_container_has_its_automatic_host_ports,
            a_host_port_that_is_taken_refuses_the_start,
            an_owner_sees_its_own_containers_only,
            a_watch_shows_everything_and_then_every_change,
        }
    };
    ($attribute:meta, $bench:expr, $($case:ident),+ $(,)?) => {
        $(
            #[$attribute]
            async fn $case() {
                let (bench, _guard) = $bench;
                crate::suite::engine::$case(bench).await;
            }
        )+
    };
}
pub(crate) use engine_contract;
