//! Which request is answered by what.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skep_api::ident::{Stack, TaskName};
use skep_api::key;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::reply::{Body, Refusal, json};
use super::{NodeApi, REQUESTS_MAX, Sequel, archive, exec, logs};
use crate::engine::{Call, Container, EngineError};
use crate::{labels, spec};

/// Where the digest of an image is asked for: `?image=REFERENCE`.
pub const RESOLVE_PATH: &str = "/v1/resolve";
/// What a connection speaks after a request for a command.
pub const EXEC_PROTOCOL: &str = "skep-exec";
/// How long the engine may take to answer what it knows.
pub(super) const ENGINE_LIMIT: Duration = Duration::from_secs(10);
/// How long a stream is silent before its sender says that it lives.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// How long a registry may take to answer.
const REGISTRY_LIMIT: Duration = Duration::from_secs(30);

/// The digest of an image, as its registry tells it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Such as `sha256:…`.
    pub digest: String,
}

/// Where the requests about one task go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `GET`: frames of its log, which [`crate::streams::LogRange`] chooses.
    Logs,
    /// `POST`: a [`crate::streams::Command`]; then frames in both directions.
    Exec,
    /// `GET` and `PUT`: a tar archive of [`PathQuery`].
    Archive,
    /// `GET`: what lies at [`PathQuery`], or `null`.
    Stat,
}

/// A path in a container.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PathQuery {
    pub(super) path: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ImageQuery {
    image: String,
}

/// A request that may be served, and counts as long as this lives.
pub(super) type Permit = OwnedSemaphorePermit;

impl Place {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Logs, "logs"), (Self::Exec, "exec"), (Self::Archive, "archive"), (Self::Stat, "stat")];

    /// The path for the task `name` of `stack`.
    pub fn path(self, stack: &Stack, name: &TaskName) -> String {
        let word = Self::ALL.iter().find(|(place, _)| *place == self).map_or("", |(_, word)| word);
        format!("/v1/tasks/{stack}/{name}/{word}")
    }

    fn parse(path: &str) -> Option<(Self, Stack, TaskName)> {
        let mut parts = path.strip_prefix("/v1/tasks/")?.split('/');
        let (stack, name, word) = (parts.next()?, parts.next()?, parts.next()?);
        let place = Self::ALL.iter().find(|(_, known)| *known == word && parts.next().is_none())?.0;
        Some((place, stack.parse().ok()?, name.parse().ok()?))
    }
}

impl NodeApi {
    pub(super) async fn answer(&self, request: Request<Incoming>, sequel: &Sequel) -> Response<Body> {
        let answer = match Arc::clone(&self.requests).try_acquire_owned() {
            Ok(permit) => self.route(request, permit, sequel).await,
            Err(_) => Err(Refusal::Busy(REQUESTS_MAX)),
        };
        answer.unwrap_or_else(|refusal| refusal.reply())
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        permit: Permit,
        sequel: &Sequel,
    ) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        if path == RESOLVE_PATH && request.method() == Method::GET {
            return self.resolve(&query::<ImageQuery>(&request)?.image).await;
        }
        let unknown = || Refusal::NotFound(format!("this node knows nothing of {} {path}", request.method()));
        let (place, stack, name) = Place::parse(&path).ok_or_else(unknown)?;
        let container = self.container(stack, name).await?;
        match (place, request.method().as_str()) {
            (Place::Logs, "GET") => Ok(logs::logs(self.engine(), container, &query(&request)?, permit)),
            (Place::Stat, "GET") => {
                let wanted: PathQuery = query(&request)?;
                let found = match within(ENGINE_LIMIT, self.engine.stat(&container.id, &wanted.path)).await {
                    Err(EngineError::NotFound(_)) => None,
                    found => Some(found?),
                };
                Ok(json(StatusCode::OK, &found))
            }
            (Place::Archive, "GET") => {
                archive::read(&*self.engine, &container, &query(&request)?, permit).await
            }
            (Place::Archive, "PUT") => archive::write(&*self.engine, &container, request).await,
            (Place::Exec, "POST") => {
                let (response, rest) = exec::exec(self.engine(), &container, request, permit).await?;
                *sequel.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
                Ok(response)
            }
            _ => Err(unknown()),
        }
    }

    pub(super) fn engine(&self) -> Arc<dyn crate::streams::Streams> {
        Arc::clone(&self.engine)
    }

    /// The container of a task of this node and cluster.
    async fn container(&self, stack: Stack, name: TaskName) -> Result<Container, Refusal> {
        let task = key::TaskRef { place: key::Place::Node(self.owner.node.clone()), stack, name };
        let missing = || Refusal::NotFound(format!("the task {} has no container on this node", task.name));
        match within(ENGINE_LIMIT, self.engine.inspect(&spec::container_name(&task))).await {
            Ok(found) if labels::task_of(&found.labels, &self.owner).as_ref() == Some(&task) => Ok(found),
            Ok(_) | Err(EngineError::NotFound(_)) => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }

    async fn resolve(&self, image: &str) -> Result<Response<Body>, Refusal> {
        let reference: skep_api::image::ImageReference =
            image.parse().map_err(|error: skep_api::image::ImageError| Refusal::Bad(error.to_string()))?;
        let asked = reference.to_string();
        let digest = within(REGISTRY_LIMIT, self.engine.registry_digest(&asked)).await?;
        Ok(json(StatusCode::OK, &Resolved { digest }))
    }
}

/// The answer to `call`, if it comes in time.
pub(super) async fn within<T>(limit: Duration, call: Call<'_, T>) -> Result<T, EngineError> {
    timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(EngineError::Unreachable(format!("no answer within {} s", limit.as_secs()))))
}

pub(super) fn query<T: DeserializeOwned>(request: &Request<Incoming>) -> Result<T, Refusal> {
    let text = request.uri().query().unwrap_or_default();
    serde_urlencoded::from_str(text).map_err(|error| Refusal::Bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_task_and_what_is_wanted_of_it() {
        let (stack, name): (Stack, TaskName) = ("shop".parse().unwrap(), "web.2.abc".parse().unwrap());
        for (place, _) in Place::ALL {
            let path = place.path(&stack, &name);
            assert_eq!(Place::parse(&path), Some((place, stack.clone(), name.clone())), "{path}");
        }
        for wrong in
            ["/v1/tasks/shop/web.2.abc", "/v1/tasks/shop/web.2.abc/logs/x", "/v1/tasks/../x/logs", "/"]
        {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
