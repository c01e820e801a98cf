//! `skep set image`: the one way to roll a tag that has moved in its registry.

use std::collections::BTreeMap;

use clap::Args;
use skep_api::ident::Uid;
use skep_api::image::ImageReference;
use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::Manifest;
use skep_api::object::Object;
use skep_store::Store;

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
        let digests = running_digests(&store, images.keys()).await?;
        let keys: Vec<Key> = images.keys().cloned().map(Key::Service).collect();
        let mut writer = self.message.writer(&store, context);
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
        let report = edit(&store, &mut writer, &keys, change).await?;
        self.wait.finish(&store, &report).await
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
}
