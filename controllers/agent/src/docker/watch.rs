//! Docker's events as sights: a list, then every change after it, each read back from Docker.

use bollard::models::{EventMessage, SystemInfo};
use bollard::query_parameters::EventsOptions;
use futures::future;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use skep_api::node::{Engine as EngineVersion, Platform, Plugins, Resources};
use skep_api::quantity::{Cpus, Memory};
use skep_api::time::Timestamp;

use super::{DEFAULT_HOST, Docker, disk, error, label_filters, plugins, sorted};
use crate::engine::{Engine, EngineError, Machine, Owner, Sight, Sights};

/// The events that change what is seen of a container. A creation is seen by whoever asked for it.
const EVENTS: [&str; 4] = ["start", "die", "destroy", "health_status"];

pub(super) fn watch(docker: Docker, owner: Owner) -> Sights {
    let sights = stream::once(connect(docker.clone(), owner)).try_flatten();
    sights.inspect_err(move |_| docker.forget_client()).boxed()
}

/// Reads everything, and what comes after it. The events begin before that by the daemon's own clock, so none is missed; those
/// that the list has seen already tell nothing new.
async fn connect(
    docker: Docker,
    owner: Owner,
) -> Result<impl Stream<Item = Result<Sight, EngineError>>, EngineError> {
    let client = docker.client().await?;
    let mut info = client.info().await.map_err(error::classify)?;
    let events = client.events(Some(events_of(&owner, &info))).map_err(error::classify);
    let plugins = docker.plugins(&client, info.plugins.take()).await;
    let all = Sight::All(docker.machine(info, plugins), docker.list_owned(&owner).await?);
    let changes = events.map_ok(move |event| {
        let (docker, end) = (docker.clone(), end(&event));
        let sight = stream::once(async move { sight(&docker, event).await });
        stream::iter(end.map(Ok)).chain(sight.try_filter_map(future::ok))
    });
    Ok(stream::once(future::ready(Ok(all))).chain(changes.try_flatten()))
}

/// What an event alone tells of the end of a container.
fn end(event: &EventMessage) -> Option<Sight> {
    let actor = event.actor.as_ref().filter(|_| event.action.as_deref() == Some("die"))?;
    let code = actor.attributes.as_ref()?.get("exitCode")?.parse().ok()?;
    let at = Timestamp::from_millis(event.time_nano? / 1_000_000);
    Some(Sight::Ended { id: actor.id.clone()?, code, at })
}

/// The events of the containers of `owner`, from when `info` was read.
fn events_of(owner: &Owner, info: &SystemInfo) -> EventsOptions {
    let filters = [
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), EVENTS.map(str::to_owned).to_vec()),
        ("label".to_owned(), label_filters(owner)),
    ];
    EventsOptions {
        since: info.system_time.as_deref().and_then(|text| text.parse().ok()).map(unix_seconds),
        filters: Some(filters.into_iter().collect()),
        ..Default::default()
    }
}

/// What an event is about, as it is when Docker is asked for it.
async fn sight(docker: &Docker, event: EventMessage) -> Result<Option<Sight>, EngineError> {
    let Some(id) = event.actor.and_then(|actor| actor.id) else { return Ok(None) };
    if event.action.as_deref() == Some("destroy") {
        return Ok(Some(Sight::Gone(id)));
    }
    match docker.inspect(&id).await {
        Ok(container) => Ok(Some(Sight::Changed(container))),
        Err(EngineError::NotFound(_)) => Ok(Some(Sight::Gone(id))),
        Err(error) => Err(error),
    }
}

impl Docker {
    fn machine(&self, info: SystemInfo, plugins: Plugins) -> Machine {
        self.set_directory(info.docker_root_dir);
        let mut generic = plugins::generics(info.generic_resources);
        generic.extend(self.generic.iter().map(|(kind, has)| (kind.clone(), has.clone())));
        Machine {
            capacity: Resources {
                cpus: Cpus::from_nanos(amount(info.ncpu).saturating_mul(1_000_000_000)),
                memory: Memory::from_bytes(amount(info.mem_total)),
            },
            generic,
            plugins,
            platform: Platform {
                os: info.os_type.unwrap_or_default(),
                architecture: go_architecture(info.architecture.unwrap_or_default()),
            },
            engine: EngineVersion {
                version: info.server_version.unwrap_or_default(),
                labels: sorted(Some(info.labels.into_iter().flatten().map(split_label))),
            },
            host: if self.host == DEFAULT_HOST { String::new() } else { self.host.clone() },
            keeps_containers: info.live_restore_enabled.unwrap_or_default(),
            booted: if self.is_local() { disk::booted() } else { None },
        }
    }
}

/// An instant as Docker's API takes it: seconds with a fraction.
pub(super) fn unix_seconds(instant: Timestamp) -> String {
    let millis = instant.as_millis();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_s_clock_is_given_back_in_the_form_that_its_events_take() {
        let given_back = |text: &str| unix_seconds(text.parse().unwrap());
        assert_eq!(given_back("2026-11-21T02:16:53.367024337Z"), "1795227413.367");
        assert_eq!(given_back("2026-11-21T02:16:53.007Z"), "1795227413.007");
    }

    #[test]
    fn the_processor_is_named_as_images_name_it() {
        assert_eq!(go_architecture("x86_64".to_owned()), "amd64");
        assert_eq!(go_architecture("riscv64".to_owned()), "riscv64");
    }
}
