//! References to images, by Docker's rules (distribution/reference): `nginx` is `docker.io/library/nginx:latest`.

use std::fmt;
use std::str::FromStr;

/// The registry of an image that names none.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The longest name, with its registry, in bytes.
const NAME_MAX_BYTES: usize = 255;
/// The longest tag, in bytes.
const TAG_MAX_BYTES: usize = 128;

/// A reference to an image, made complete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is not a reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing there.
    #[error("the image is empty")]
    Empty,
    /// Upper case letters in the repository.
    #[error("the image {0:?} has upper-case letters in its name: write {1:?}")]
    UpperCase(String, String),
    /// Only a digest.
    #[error("the image {0:?} is an id, not a name: write a name such as nginx:1.27")]
    Id(String),
    /// The name does not follow the rules.
    #[error("the image {0:?} has no valid name: write [registry/]name[:tag][@digest], such as nginx:1.27")]
    Name(String),
    /// The tag does not follow the rules.
    #[error("the tag {0:?} is not valid: use letters, digits, '_', '.' and '-', at most 128")]
    Tag(String),
    /// The digest does not follow the rules.
    #[error("the digest {0:?} is not valid: write sha256: and 64 hexadecimal digits")]
    Digest(String),
    /// Too long.
    #[error("the image's name is longer than 255 characters")]
    TooLong,
}

impl ImageReference {
    /// The host that serves it, such as `docker.io` or `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Its name there, such as `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Its tag; `latest` if neither tag nor digest was written, none if only a digest was.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Its digest, such as `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same image, pinned to `digest`.
    ///
    /// # Errors
    /// [`ImageError::Digest`] if that is none.
    pub fn with_digest(&self, digest: &str) -> Result<Self, ImageError> {
        check_digest(digest)?;
        Ok(Self { digest: Some(digest.to_owned()), ..self.clone() })
    }

    /// Registry and repository without tag and digest, as Docker's API wants them in a pull.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// As people write it: without `docker.io/library/`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        short.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(short).to_owned()
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for ImageReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        if is_hex(text, 64) || text.starts_with("sha256:") {
            return Err(ImageError::Id(short(text)));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        digest.map_or(Ok(()), check_digest)?;
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ImageError::Tag(short(tag)));
        }
        let (registry, repository) = split_registry(name);
        if repository.len() + registry.len() + 1 > NAME_MAX_BYTES {
            return Err(ImageError::TooLong);
        }
        if !is_registry(&registry) || !repository.to_lowercase().split('/').all(is_component) {
            return Err(ImageError::Name(short(text)));
        }
        if repository.chars().any(|c| c.is_ascii_uppercase()) {
            let lower = text.replacen(name, &name.to_lowercase(), 1);
            return Err(ImageError::UpperCase(short(text), short(&lower)));
        }
        let tag = tag.or(if digest.is_none() { Some("latest") } else { None });
        Ok(Self { registry, repository, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }
}

/// Docker's rule: the part before the first `/` is a registry if it has a `.` or `:`, or is `localhost`.
fn split_registry(name: &str) -> (String, String) {
    let looks_like_host = |part: &str| {
        part.contains(['.', ':']) || part == "localhost" || part.chars().any(|c| c.is_ascii_uppercase())
    };
    let (registry, rest) = match name.split_once('/') {
        Some((first, rest)) if looks_like_host(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    let is_official = registry == DEFAULT_REGISTRY && !rest.contains('/');
    (registry.to_owned(), if is_official { format!("library/{rest}") } else { rest.to_owned() })
}

/// A host name or an IPv6 address in brackets, with an optional port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    (is_address || host.split('.').all(is_label)) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+` groups, separated by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_alphanumeric)
        && text.ends_with(is_alphanumeric)
        && text.split(is_alphanumeric).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_MAX_BYTES
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

fn check_digest(text: &str) -> Result<(), ImageError> {
    let is_valid = match text.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha512", hex)) => is_hex(hex, 128),
        _ => false,
    };
    if is_valid { Ok(()) } else { Err(ImageError::Digest(short(text))) }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_completed_as_docker_does() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("me/web", "docker.io/me/web:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/web", "localhost/web:latest"),
            ("localhost:5000/a/b:x", "localhost:5000/a/b:x"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("ghcr.io/a/b__c.d-e", "ghcr.io/a/b__c.d-e:latest"),
            (&format!("nginx@{digest}"), &format!("docker.io/library/nginx@{digest}")),
            (&format!("nginx:1@{digest}"), &format!("docker.io/library/nginx:1@{digest}")),
        ] {
            let image: ImageReference = text.parse().unwrap();
            assert_eq!(image.to_string(), full);
            assert_eq!(full.parse(), Ok(image), "the full form means the same");
        }
    }

    #[test]
    fn the_familiar_form_leaves_out_what_docker_adds() {
        for text in ["nginx:1.27", "me/web:latest", "ghcr.io/a/b:1", "docker.io.example/library/x:1"] {
            assert_eq!(text.parse::<ImageReference>().unwrap().familiar(), text);
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let id = "0".repeat(64);
        let long = format!("a/{}", "b".repeat(255));
        for text in [
            "",
            " ",
            "Nginx",
            "nginx:",
            "nginx:a b",
            "a//b",
            "/a",
            "a/",
            "a@sha256:12",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "host:port/a",
            "nginx:1:2",
            "http://x/y",
            &id,
            "sha256:12",
            &long,
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_pin_keeps_the_tag_for_people() {
        let image: ImageReference = "nginx:1.27".parse().unwrap();
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = image.with_digest(&digest).unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/nginx:1.27@{digest}"));
        assert!(image.with_digest("sha256:x").is_err());
    }
}
