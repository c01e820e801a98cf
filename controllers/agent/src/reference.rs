//! References to images, as far as pinning one needs to understand them.

/// A reference to an image: `[registry/]repository[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// Registry and repository, as written.
    pub(crate) repository: &'a str,
    /// The tag, if one is written.
    pub(crate) tag: Option<&'a str>,
    /// The digest, if one is written.
    pub(crate) digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Self { repository, tag: Some(tag), digest },
            _ => Self { repository: name, tag: None, digest },
        }
    }

    /// Whether it names one image for ever: by digest, or by the engine's own id of it.
    pub(crate) fn is_fixed(&self) -> bool {
        self.digest.is_some() || self.repository == "sha256"
    }

    /// The same image at `digest`. The tag stays for people to read.
    pub(crate) fn at(&self, digest: &str) -> String {
        match self.tag {
            Some(tag) => format!("{}:{tag}@{digest}", self.repository),
            None => format!("{}@{digest}", self.repository),
        }
    }

    /// The digest under which the repository is among `repo_digests`.
    pub(crate) fn digest_among<'b>(&self, repo_digests: &'b [String]) -> Option<&'b str> {
        let split = repo_digests.iter().filter_map(|known| known.split_once('@'));
        split
            .filter(|(repository, _)| familiar(repository) == familiar(self.repository))
            .map(|(_, digest)| digest)
            .next()
    }
}

/// The repository as Docker shortens it.
fn familiar(repository: &str) -> &str {
    let on_hub = ["docker.io/", "index.docker.io/"].into_iter().find_map(|hub| repository.strip_prefix(hub));
    let path = on_hub.unwrap_or(repository);
    path.strip_prefix("library/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_s_port_is_not_a_tag() {
        let reference = Reference::parse("localhost:5000/web");
        assert_eq!((reference.repository, reference.tag), ("localhost:5000/web", None));
        let reference = Reference::parse("localhost:5000/web:1@sha256:ab");
        assert_eq!(
            (reference.repository, reference.tag, reference.digest),
            ("localhost:5000/web", Some("1"), Some("sha256:ab"))
        );
    }

    #[test]
    fn a_pinned_reference_keeps_its_tag_for_people() {
        assert_eq!(Reference::parse("nginx:1.27").at("sha256:ab"), "nginx:1.27@sha256:ab");
        assert_eq!(Reference::parse("nginx").at("sha256:ab"), "nginx@sha256:ab");
    }

    #[test]
    fn the_digest_is_the_one_of_the_same_repository() {
        let known = ["mirror.example/nginx@sha256:aa".to_owned(), "nginx@sha256:bb".to_owned()];
        assert_eq!(Reference::parse("docker.io/library/nginx:1").digest_among(&known), Some("sha256:bb"));
        assert_eq!(Reference::parse("mirror.example/nginx").digest_among(&known), Some("sha256:aa"));
        assert_eq!(Reference::parse("httpd").digest_among(&known), None);
    }

    #[test]
    fn digests_and_engine_ids_are_fixed_and_tags_are_not() {
        assert!(Reference::parse("nginx@sha256:ab").is_fixed());
        assert!(Reference::parse("sha256:abcdef").is_fixed());
        assert!(!Reference::parse("nginx:1").is_fixed());
    }
}
