//! What registries say of images, asked through a node's Docker.

use std::time::Duration;

use skep_api::image::ImageReference;

use crate::cli::Context;
use crate::client::resolve_image;
use crate::output::warn;

/// How long a registry may take to answer a person who waits for it.
const LIMIT: Duration = Duration::from_secs(20);

/// The digest that `image` has in its registry now, or why nobody can say.
pub(crate) async fn digest(context: &Context, image: &str) -> Result<String, String> {
    let state = context.cluster.state();
    match tokio::time::timeout(LIMIT, resolve_image(&state, image)).await {
        Ok(Ok(Some(digest))) => Ok(digest),
        Ok(Ok(None)) => Err("no node of this machine answers".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it does not answer within {} s", LIMIT.as_secs())),
    }
}

/// Writes beside each image the digest that its tag has now. One that no registry knows stays as it is, with a warning in
/// Swarm's words.
pub(crate) async fn pin_all<'a>(context: &Context, images: impl Iterator<Item = &'a mut String>) {
    for image in images {
        let has_digest = image.parse::<ImageReference>().is_ok_and(|image| image.digest().is_some());
        if has_digest {
            continue;
        }
        match digest(context, image).await {
            Ok(digest) => *image = pinned(image, &digest),
            Err(reason) => warn(&format!(
                "image {image} could not be accessed on a registry to record its digest. Each node will access {image} \
                 independently, possibly leading to different nodes running different versions of the image. ({reason})"
            )),
        }
    }
}

/// `name:tag@digest`, with the name as it was given: as Swarm's client writes it (cli/command/service/trust.go).
fn pinned(image: &str, digest: &str) -> String {
    let has_tag = image.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/'));
    if has_tag { format!("{image}@{digest}") } else { format!("{image}:latest@{digest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_stands_beside_the_tag_and_an_image_without_one_is_the_latest() {
        assert_eq!(pinned("nginx:1.27", "sha256:a"), "nginx:1.27@sha256:a");
        assert_eq!(pinned("localhost:5000/app", "sha256:a"), "localhost:5000/app:latest@sha256:a");
    }
}
