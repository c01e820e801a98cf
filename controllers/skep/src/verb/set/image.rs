//! `skep set image`: the one way to roll a tag that has moved in its registry.

use std::collections::BTreeMap;

use clap::Args;
use skep_api::ident::Uid;
use skep_api::image::ImageReference;
use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::Manifest;
use skep_api::object::Object;
use skep_store::Store;

use crate::apply::commit::Report;
use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::failure::Failure;
use crate::verb::edit::{MessageArgs, WaitArgs, edit};
use crate::verb::registry;
use crate::verb::set::{named, spec_of};
use crate::verb::target::StackArgs;

/// The image: SERVICE IMAGE, or SERVICE=IMAGE for several services in one change
///
/// The tag is resolved in its registry by a node's Docker, and the digest written beside it: all tasks run one digest,
/// and a tag that has moved since is a new revision. An image that no registry knows is written as it is given.
#[derive(Debug, Args)]
pub(crate) struct SetImage {
    /// A service and its image
    #[arg(value_name = "SERVICE IMAGE | SERVICE=IMAGE", required = true)]
    words: Vec<String>,
    /// Write the image as it is given, and ask no registry
    #[arg(long)]
    no_resolve: bool,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl SetImage {
    /// Sets them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let mut images = self.images()?;
        let store = context.cluster.connect(&context.env).await?;
        if !self.no_resolve {
            registry::pin_all(context, images.values_mut()).await;
        }
        let report = self.set(&store, context, &images).await?;
        self.wait.finish(&store, &report).await
    }

    /// Writes them, all in one transaction.
    async fn set(
        &self,
        store: &Store,
        context: &Context,
        images: &BTreeMap<ServiceRef, String>,
    ) -> Result<Report, Failure> {
        let digests = running_digests(store, images.keys()).await?;
        let keys: Vec<Key> = images.keys().cloned().map(Key::Service).collect();
        let mut writer = self.message.writer(store, context);
        let change = |object: &mut Manifest| {
            let Manifest::Service(service) = &*object else { return Ok(()) };
            let name = service.reference();
            let Some(wanted) = images.get(&name) else { return Ok(()) };
            let is_pinned_so =
                digests.get(&name).is_some_and(|digest| is_same(&service.spec.task.image, wanted, digest));
            if let (false, Some(spec)) = (is_pinned_so, spec_of(object)) {
                spec.task.image.clone_from(wanted);
            }
            Ok(())
        };
        edit(store, &mut writer, &keys, change).await
    }

    fn images(&self) -> Result<BTreeMap<ServiceRef, String>, Failure> {
        let pairs: Vec<(&str, &str)> = match self.words.as_slice() {
            [service, image] if !service.contains('=') => vec![(service, image)],
            words => words
                .iter()
                .map(|word| {
                    word.split_once('=').ok_or_else(|| Failure::Argument {
                        argument: word.clone(),
                        rule: "write SERVICE IMAGE, or SERVICE=IMAGE for several services".to_owned(),
                    })
                })
                .collect::<Result<_, _>>()?,
        };
        pairs
            .into_iter()
            .map(|(service, image)| Ok((named(&self.stack, service)?, checked(image)?)))
            .collect()
    }
}

/// An image on the command line, as it was given.
pub(crate) fn checked(image: &str) -> Result<String, Failure> {
    let wrong = |error: skep_api::image::ImageError| Failure::Argument {
        argument: image.to_owned(),
        rule: error.to_string(),
    };
    image.parse::<ImageReference>().map_err(wrong)?;
    Ok(image.to_owned())
}

/// The digests that the services' targets are pinned to by the agent that pulled them first.
pub(crate) async fn running_digests(
    store: &Store,
    services: impl Iterator<Item = &ServiceRef> + Clone,
) -> Result<BTreeMap<ServiceRef, String>, Failure> {
    let cluster = store.identity()?.cluster;
    let specs = Snapshot::read(store, services.clone().cloned().map(Key::Service)).await?;
    let uids: Vec<(ServiceRef, Uid)> = services
        .filter_map(|service| {
            let key = Key::Service(service.clone());
            let created = specs.get(&key)?.created;
            Some((service.clone(), Uid::derive(&cluster, &key.to_string(), created)))
        })
        .collect();
    let rollouts = Snapshot::read(store, uids.iter().map(|(_, uid)| Key::Rollout(uid.clone()))).await?;
    let pins =
        uids.into_iter().filter_map(|(service, uid)| match rollouts.object(&Key::Rollout(uid.clone())) {
            Some(Ok(Object::Rollout(rollout))) => Some((service, Key::Pin(uid, rollout.target))),
            _ => None,
        });
    let pins: Vec<(ServiceRef, Key)> = pins.collect();
    let values = Snapshot::read(store, pins.iter().map(|(_, key)| key.clone())).await?;
    let digests = pins.into_iter().filter_map(|(service, key)| match values.object(&key) {
        Some(Ok(Object::Pin(pin))) => Some((service, pin.digest.clone())),
        _ => None,
    });
    Ok(digests.collect())
}

/// Whether `live`, which names no digest but was pinned to `pinned`, is what is wanted: to write the digest beside it
/// would replace every task by the same.
fn is_same(live: &str, wanted: &str, pinned: &str) -> bool {
    let (Ok(live), Ok(wanted)) = (live.parse::<ImageReference>(), wanted.parse::<ImageReference>()) else {
        return false;
    };
    live.digest().is_none() && live.with_digest(pinned).is_ok_and(|live| live == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::commit::Applied;
    use crate::testing::Cluster;

    fn digest(letter: &str) -> String {
        format!("sha256:{}", letter.repeat(64))
    }

    #[test]
    fn an_image_that_was_pinned_to_what_is_wanted_is_not_set_again() {
        let (a, b) = (digest("a"), digest("b"));
        assert!(is_same("app:1", &format!("docker.io/library/app:1@{a}"), &a));
        assert!(!is_same("app:1", &format!("app:1@{b}"), &a), "the tag has moved");
        assert!(!is_same("app:1", &format!("app:2@{a}"), &a), "another tag is another text for people");
        assert!(!is_same(&format!("app:1@{b}"), &format!("app:1@{a}"), &a));
    }

    fn verb(words: &[&str]) -> SetImage {
        SetImage {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            no_resolve: true,
            stack: StackArgs { stack: "default".to_owned() },
            message: MessageArgs::default(),
            wait: WaitArgs { detach: true, timeout: skep_api::time::Span::from_secs(1) },
        }
    }

    async fn set(cluster: &Cluster, words: &[&str]) -> Vec<String> {
        let verb = verb(words);
        let images = verb.images().unwrap();
        let report = verb.set(&cluster.store, &cluster.context, &images).await.unwrap();
        let is_changed = |object: &&Applied| object.planned.action.is_some();
        report.objects.iter().filter(is_changed).map(|object| object.planned.object.to_string()).collect()
    }

    #[tokio::test]
    async fn several_services_get_their_images_in_one_change() {
        let cluster = Cluster::new().await;
        cluster.service("web", "task: {image: 'app:1'}").await;
        cluster.service("worker", "task: {image: 'app:1'}").await;
        set(&cluster, &["web=app:2", "service/worker=app:3"]).await;
        let image = async |name| cluster.live(name).await.spec.task.image.clone();
        assert_eq!((image("web").await, image("worker").await), ("app:2".to_owned(), "app:3".to_owned()));
        assert_eq!(cluster.changes().await.len(), 1);
        assert!(verb(&["web", "app:2", "worker"]).images().is_err(), "two services and one image");
    }

    #[tokio::test]
    async fn a_tag_that_has_moved_is_a_new_revision_and_one_that_has_not_is_none() {
        let cluster = Cluster::new().await;
        let (_, uid) = cluster.service("web", "task: {image: 'app:1'}").await;
        let rollout = r#"{"service":{"stack":"default","name":"web"},"observedVersion":1,"stable":4,"target":4,"since":1,"batch":"all","state":"completed"}"#;
        cluster.put(&Key::Rollout(uid.clone()), rollout).await;
        cluster.put(&Key::Pin(uid, 4), format!(r#"{{"digest":"{}"}}"#, digest("a"))).await;
        let (same, other) = (format!("app:1@{}", digest("a")), format!("app:1@{}", digest("b")));
        assert!(set(&cluster, &["web", &same]).await.is_empty(), "every task runs it already");
        assert_eq!(set(&cluster, &["web", &other]).await, ["Service/default/web"]);
        assert_eq!(cluster.live("web").await.spec.task.image, other);
    }
}
