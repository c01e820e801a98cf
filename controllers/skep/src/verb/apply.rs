//! `skep apply`: makes the cluster hold what files describe, and waits until it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use skep_api::image::ImageReference;
use skep_api::key::ServiceRef;
use skep_api::manifest::Manifest;
use skep_store::Store;

use crate::apply::commit::Report;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::say;
use crate::output::text::short;
use crate::verb::edit::{MessageArgs, WaitArgs};
use crate::verb::files::Files;
use crate::verb::registry;
use crate::verb::set::image::running_digests;

/// How long registries may take to tell whether tags have moved: nothing depends on it.
const REGISTRY_LIMIT: Duration = Duration::from_secs(5);
/// How much of a digest people need to tell two apart.
const DIGEST_CHARS: usize = 19;

/// Create or change what files describe, and wait until it runs
#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Apply {
    /// Applies the files.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let documents = self.files.read()?;
        let store = context.cluster.connect(&context.env).await?;
        let report = self.message.writer(&store, context).apply(&documents).await?;
        let asked = tokio::time::timeout(REGISTRY_LIMIT, moved_tags(&store, &report, context));
        let (result, moved) = tokio::join!(self.wait.finish(&store, &report), asked);
        moved.unwrap_or_default().iter().for_each(|words| say(words));
        result
    }
}

/// Says of each service whose image stays the same whether its tag has moved in its registry since.
async fn moved_tags(store: &Store, report: &Report, context: &Context) -> Vec<String> {
    let images = steady_images(report);
    let pins = running_digests(store, images.keys()).await.unwrap_or_default();
    let mut words = Vec::new();
    for (service, image) in &images {
        let runs = image.split_once('@').map(|(_, digest)| digest).or(pins.get(service).map(String::as_str));
        let Some(runs) = runs else { continue };
        let tag = image.split_once('@').map_or(image.as_str(), |(tag, _)| tag);
        if let Ok(now) = registry::digest(context, tag).await {
            words.extend(moved(service, tag, runs, &now));
        }
    }
    words
}

/// The images of the services that were there before and keep theirs, if they have a tag.
fn steady_images(report: &Report) -> BTreeMap<ServiceRef, String> {
    let image = |object: &crate::apply::commit::Applied| match &object.planned.object {
        Manifest::Service(service) => {
            let image = &service.spec.task.image;
            let has_tag = image.parse::<ImageReference>().is_ok_and(|image| image.tag().is_some());
            let is_steady = object.planned.fields.iter().all(|field| field.path != "spec.task.image");
            let is_new = object.planned.version == 0;
            (has_tag && is_steady && !is_new).then(|| (service.reference(), image.clone()))
        }
        Manifest::Volume(_) | Manifest::Node { .. } | Manifest::Cluster(_) => None,
    };
    report.objects.iter().filter_map(image).collect()
}

fn moved(service: &ServiceRef, tag: &str, runs: &str, now: &str) -> Option<String> {
    let name =
        if service.stack.as_str() == "default" { service.name.to_string() } else { service.to_string() };
    (runs != now).then(|| {
        let (runs, now) = (short(runs, DIGEST_CHARS), short(now, DIGEST_CHARS));
        format!(
            "{tag} is now {now} in its registry; {name} runs {runs}; roll with: skep set image {name} {tag}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_has_moved_is_told_with_the_command_that_rolls_it() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let service = |stack: &str| ServiceRef::new(stack.parse().unwrap(), "web".parse().unwrap());
        assert_eq!(moved(&service("default"), "app:1", &digest("a"), &digest("a")), None);
        let words = moved(&service("default"), "app:1", &digest("a"), &digest("b")).unwrap();
        assert_eq!(
            words,
            "app:1 is now sha256:bbbbbbbbbbbb in its registry; web runs sha256:aaaaaaaaaaaa; \
             roll with: skep set image web app:1"
        );
        assert!(
            moved(&service("shop"), "app:1", "a", "b").unwrap().ends_with("skep set image shop/web app:1")
        );
    }
}
