//! Docker's events as sights: a list, then every change after it, each read back from Docker.

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures::stream::{self, BoxStream, StreamExt};
use skep_api::node::{Engine as EngineVersion, Platform, Resources};
use skep_api::quantity::{Cpus, Memory};
use skep_api::time::Timestamp;

use super::{Docker, error, label_filters, sorted};
use crate::engine::{Engine, EngineError, Machine, Owner, Sight, Sights};

/// The events that change what is seen of a container. A creation is seen by whoever asked for it.
const EVENTS: [&str; 3] = ["start", "die", "destroy"];

/// Docker's events from one moment on.
type Events = BoxStream<'static, Result<EventMessage, EngineError>>;

/// Where a watch stands.
enum State {
    Unconnected,
    Following(Events),
    Ended,
}

pub(super) fn watch(docker: Docker, owner: Owner) -> Sights {
    stream::unfold((docker, owner, State::Unconnected), |(docker, owner, state)| async move {
        let (sight, state) = match state {
            State::Ended => return None,
            State::Unconnected => match connect(&docker, &owner).await {
                Ok((sight, events)) => (Ok(sight), State::Following(events)),
                Err(error) => (Err(error), State::Ended),
            },
            State::Following(mut events) => match next(&docker, &mut events).await {
                Ok(sight) => (Ok(sight), State::Following(events)),
                Err(error) => (Err(error), State::Ended),
            },
        };
        if sight.is_err() {
            docker.forget_client();
        }
        Some((sight, (docker, owner, state)))
    })
    .boxed()
}

/// Reads everything. The events that follow begin before that by the daemon's own clock, so none is missed; those
/// that the list has seen already tell nothing new.
async fn connect(docker: &Docker, owner: &Owner) -> Result<(Sight, Events), EngineError> {
    let client = docker.client().await?;
    let info = client.info().await.map_err(error::classify)?;
    let filters = [
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), EVENTS.map(str::to_owned).to_vec()),
        ("label".to_owned(), label_filters(owner)),
    ];
    let options = EventsOptions {
        since: info.system_time.as_deref().and_then(unix_seconds),
        filters: Some(filters.into_iter().collect()),
        ..Default::default()
    };
    let events = client.events(Some(options)).map(|event| event.map_err(error::classify)).boxed();
    let machine = Machine {
        capacity: Resources {
            cpus: Cpus::from_nanos(amount(info.ncpu).saturating_mul(1_000_000_000)),
            memory: Memory::from_bytes(amount(info.mem_total)),
        },
        platform: Platform {
            os: info.os_type.unwrap_or_default(),
            architecture: go_architecture(info.architecture.unwrap_or_default()),
        },
        engine: EngineVersion {
            version: info.server_version.unwrap_or_default(),
            labels: sorted(Some(info.labels.into_iter().flatten().map(split_label))),
        },
    };
    Ok((Sight::All(machine, docker.list_owned(owner).await?), events))
}

/// The next change, as it is when Docker is asked for it.
async fn next(docker: &Docker, events: &mut Events) -> Result<Sight, EngineError> {
    loop {
        let event = events
            .next()
            .await
            .ok_or_else(|| EngineError::Unreachable("the event stream has ended".to_owned()))??;
        let Some(id) = event.actor.and_then(|actor| actor.id) else { continue };
        if event.action.as_deref() == Some("destroy") {
            return Ok(Sight::Gone(id));
        }
        return match docker.inspect(&id).await {
            Ok(container) => Ok(Sight::Changed(container)),
            Err(EngineError::NotFound(_)) => Ok(Sight::Gone(id)),
            Err(error) => Err(error),
        };
    }
}

/// An instant as Docker's API takes it: seconds with a fraction.
fn unix_seconds(rfc3339: &str) -> Option<String> {
    let millis = rfc3339.parse::<Timestamp>().ok()?.as_millis();
    Some(format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000)))
}

fn amount(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

/// A daemon's label: `name=value`.
fn split_label(label: String) -> (String, String) {
    match label.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (label, String::new()),
    }
}

/// Docker reports the kernel's word for the processor; constraints and images use Go's.
fn go_architecture(kernel: String) -> String {
    match kernel.as_str() {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        "armv7l" | "armv6l" => "arm".to_owned(),
        "i386" | "i686" => "386".to_owned(),
        _ => kernel,
    }
}
