//! Which image a task runs: the one its revision is pinned to, or else the one this machine has.

use crate::local::Found;
use crate::reference::Reference;

/// What is to be done about a task's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Find the image with this reference.
    Fetch(String),
    /// Tell all agents to run this digest.
    Pin(String),
    /// The image is there: create the container from this reference.
    Create(String),
}

/// What comes next for a task whose template says `image`, whose revision is pinned to `pin`, and for which `found` is here.
///
/// An image that no registry knows has no digest there, and is run as it is.
pub(super) fn next(image: &str, pin: Option<&str>, found: Option<&Found>) -> Step {
    let reference = Reference::parse(image);
    let wanted = match pin {
        Some(digest) if !reference.is_fixed() => reference.at(digest),
        _ => image.to_owned(),
    };
    let Some(found) = found.filter(|found| found.reference == wanted) else { return Step::Fetch(wanted) };
    let digest = reference.digest_among(&found.image.repo_digests);
    match digest {
        Some(digest) if pin.is_none() && !reference.is_fixed() => Step::Pin(digest.to_owned()),
        _ => Step::Create(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Image;

    fn found(reference: &str, repo_digests: &[&str]) -> Found {
        let repo_digests = repo_digests.iter().map(|&digest| digest.to_owned()).collect();
        Found { reference: reference.to_owned(), image: Image { id: "sha256:1".to_owned(), repo_digests } }
    }

    #[test]
    fn the_first_agent_that_knows_the_registry_s_digest_pins_it_and_then_runs_it() {
        assert_eq!(next("web:1", None, None), Step::Fetch("web:1".to_owned()));
        let here = found("web:1", &["web@sha256:aa"]);
        assert_eq!(next("web:1", None, Some(&here)), Step::Pin("sha256:aa".to_owned()));
        assert_eq!(next("web:1", Some("sha256:aa"), Some(&here)), Step::Fetch("web:1@sha256:aa".to_owned()));
        let here = found("web:1@sha256:aa", &["web@sha256:aa"]);
        assert_eq!(next("web:1", Some("sha256:aa"), Some(&here)), Step::Create("web:1@sha256:aa".to_owned()));
    }

    #[test]
    fn the_others_run_what_it_pinned_whatever_they_have() {
        let here = found("web:1", &["web@sha256:bb"]);
        assert_eq!(next("web:1", Some("sha256:aa"), Some(&here)), Step::Fetch("web:1@sha256:aa".to_owned()));
    }

    #[test]
    fn an_image_that_was_built_here_runs_unpinned() {
        assert_eq!(next("web:1", None, Some(&found("web:1", &[]))), Step::Create("web:1".to_owned()));
    }

    #[test]
    fn a_digest_in_the_manifest_is_never_pinned_again() {
        let here = found("web@sha256:aa", &["web@sha256:aa"]);
        assert_eq!(next("web@sha256:aa", None, Some(&here)), Step::Create("web@sha256:aa".to_owned()));
        assert_eq!(
            next("web@sha256:aa", Some("sha256:bb"), Some(&here)),
            Step::Create("web@sha256:aa".to_owned())
        );
    }
}
