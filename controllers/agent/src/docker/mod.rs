//! The engine that is Docker. Nothing else in Skep names `bollard`.

mod container;
mod create;
mod disk;
mod error;
mod hijack;
mod logs;
mod plugins;
mod pull;
mod signal;
mod streams;
mod version;
mod volume;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, ListContainersOptions, RemoveContainerOptions,
};
use futures::{StreamExt, TryStreamExt};
use skep_api::time::Timestamp;

use crate::engine::{Call, Container, ContainerSpec, Disk, Engine, EngineError, Image, Meter, Owner, Sights};
use crate::generic::Generics;
use crate::labels;
use crate::policy::Policy;
use crate::reference::Reference;

pub use logs::LogPiece;
use version::Api;

/// Where Docker listens unless told otherwise.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// How long Docker may take to stop a container: as long as its grace period, which may be a year.
const STOP_LIMIT: Duration = Duration::from_secs(366 * 86_400);
/// Containers that are inspected at the same time.
const INSPECTS_AT_ONCE: usize = 8;

/// Docker on this machine. Cheap to clone.
///
/// Unlike Swarm, which pulls on every start, an image that is on the machine is not asked for in its registry again: a
/// start does not depend on a registry, and takes no longer than `docker run`. All tasks of a revision run the
/// same digest nevertheless, because the first agent pins it.
#[derive(Debug, Clone)]
pub struct Docker {
    host: String,
    client: Arc<Mutex<Option<bollard::Docker>>>,
    policy: Arc<Policy>,
    /// What the machine has beside what the daemon says.
    generic: Arc<Generics>,
    /// Where the daemon keeps images and containers, as it last said.
    directory: Arc<Mutex<Option<String>>>,
}

impl Docker {
    /// Docker at `host`: `unix:///path` or `tcp://address:port`. Nothing is asked of it yet.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            client: Arc::default(),
            policy: Arc::default(),
            generic: Arc::default(),
            directory: Arc::default(),
        }
    }

    /// The same, creating only what `policy` lets tasks do; without one, that is what Swarm's may do.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// The same on a machine that has `generic`, whatever the daemon says of those kinds.
    #[must_use]
    pub fn with_generic(mut self, generic: Generics) -> Self {
        self.generic = Arc::new(generic);
        self
    }

    /// A client that speaks the daemon's own version; made when it is needed, as the daemon may come later.
    async fn client(&self) -> Result<bollard::Docker, EngineError> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let client = bollard::Docker::connect_with_host(&self.host).map_err(error::classify)?;
        let client = client.negotiate_version().await.map_err(error::classify)?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// Forgets the version that the daemon speaks: another one may answer next.
    fn forget_client(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn directory(&self) -> Option<String> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_directory(&self, directory: Option<String>) {
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = directory;
    }

    async fn list_owned(&self, owner: &Owner) -> Result<Vec<Container>, EngineError> {
        let client = self.client().await?;
        let options = ListContainersOptions {
            all: true,
            filters: Some(std::iter::once(("label".to_owned(), label_filters(owner))).collect()),
            ..Default::default()
        };
        let listed = client.list_containers(Some(options)).await.map_err(error::classify)?;
        let ids = listed.into_iter().filter_map(|summary| summary.id);
        let inspected = futures::stream::iter(ids).map(|id| async move { self.inspect(&id).await });
        let inspected = inspected.buffered(INSPECTS_AT_ONCE).filter_map(|answer| async {
            match answer {
                Err(EngineError::NotFound(_)) => None, // It went away since it was listed.
                answer => Some(answer),
            }
        });
        inspected.try_collect().await
    }
}

impl Engine for Docker {
    fn watch(&self, owner: &Owner) -> Sights {
        watch::watch(self.clone(), owner.clone())
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> Call<'a, Vec<Container>> {
        Box::pin(self.list_owned(owner))
    }

    fn inspect<'a>(&'a self, name: &'a str) -> Call<'a, Container> {
        Box::pin(async move {
            let answer = self.client().await?.inspect_container(name, None).await;
            answer.map(container::read).map_err(error::classify)
        })
    }

    fn image<'a>(&'a self, reference: &'a str) -> Call<'a, Image> {
        Box::pin(async move {
            let image = self.client().await?.inspect_image(reference).await.map_err(error::classify)?;
            Ok(Image {
                id: image.id.unwrap_or_default(),
                repo_digests: image.repo_digests.unwrap_or_default(),
            })
        })
    }

    fn pull<'a>(&'a self, reference: &'a str, meter: Meter<'a>) -> Call<'a, ()> {
        Box::pin(async move {
            let options = pull_options(&Reference::parse(reference));
            let client = self.client().await?;
            let messages = client.create_image(Some(options), None, None);
            let layers = messages.try_fold(pull::Layers::default(), |mut layers, message| async move {
                layers.see(&message);
                meter(layers.progress());
                Ok(layers)
            });
            layers.await.map(drop).map_err(error::classify_pull)
        })
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Call<'a, String> {
        Box::pin(async move {
            self.policy.check(spec).map_err(EngineError::Refused)?;
            let client = self.client().await?;
            let body = create::body(spec, Api::of(&client)).map_err(EngineError::Refused)?;
            for (name, volume) in &spec.volumes {
                self.ensure_volume(name, volume).await?;
            }
            let options = CreateContainerOptions { name: Some(spec.name.clone()), ..Default::default() };
            let answer = client.create_container(Some(options), body).await;
            answer.map(|created| created.id).map_err(error::classify_create)
        })
    }

    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move { self.client().await?.start_container(id, None).await.map_err(error::classify) })
    }

    fn stop<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let client = self.client().await?.with_timeout(STOP_LIMIT);
            client.stop_container(id, None).await.map_err(error::classify)
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
            self.client().await?.remove_container(id, Some(options)).await.map_err(error::classify)
        })
    }

    fn tail<'a>(&'a self, id: &'a str, lines: usize) -> Call<'a, Vec<String>> {
        Box::pin(self.last_lines(id, lines))
    }

    fn was_signalled<'a>(&'a self, id: &'a str, finished: Timestamp) -> Call<'a, bool> {
        Box::pin(self.find_signal(id, finished))
    }

    fn disk(&self) -> Call<'_, Option<Disk>> {
        Box::pin(self.measure())
    }
}

/// `name=value` of the labels that all containers of `owner` have.
fn label_filters(owner: &Owner) -> Vec<String> {
    labels::of_owner(owner).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Docker wants the digest in the place of the tag, and pulls every tag there is if it gets neither.
fn pull_options(reference: &Reference<'_>) -> CreateImageOptions {
    let tag = reference.digest.or(reference.tag).unwrap_or("latest");
    CreateImageOptions {
        from_image: Some(reference.repository.to_owned()),
        tag: Some(tag.to_owned()),
        ..Default::default()
    }
}

/// The same map in the order of its keys.
fn sorted<V>(map: Option<impl IntoIterator<Item = (String, V)>>) -> BTreeMap<String, V> {
    map.into_iter().flatten().collect()
}
