//! What somebody may have meant by a name that there is not.

use super::shape::{Field, Shape};
use std::collections::BTreeMap;

/// Names of Docker, Compose and Kubernetes, and ours.
const ELSEWHERE: [(&str, &str); 24] = [
    ("cmd", "args"),
    ("containerport", "target"),
    ("destination", "target"),
    ("dst", "target"),
    ("entrypoint", "command"),
    ("environment", "env"),
    ("extrahosts", "hosts"),
    ("groupadd", "groups"),
    ("hostport", "published"),
    ("limit", "limits"),
    ("mount", "mounts"),
    ("namespace", "stack"),
    ("readonlyrootfilesystem", "readOnly"),
    ("requests", "reservations"),
    ("restartpolicy", "restart"),
    ("rollbackconfig", "rollback"),
    ("scale", "replicas"),
    ("securityopt", "privileges"),
    ("src", "source"),
    ("targetport", "target"),
    ("template", "task"),
    ("updateconfig", "update"),
    ("volumes", "mounts"),
    ("workingdir", "workdir"),
];

/// The one of `known` that `written` most likely stands for.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let plain = simplify(written);
    if let Some(same) = known.clone().find(|name| simplify(name) == plain) {
        return Some(same);
    }
    let near = |name: &&str| {
        let name = simplify(name);
        let limit = if plain.chars().count() <= 3 { 1 } else { 2 };
        strsim::damerau_levenshtein(&plain, &name) <= limit || strsim::jaro_winkler(&plain, &name) >= 0.85
    };
    let distance = |name: &&str| strsim::damerau_levenshtein(&plain, &simplify(name));
    known.filter(near).min_by_key(distance)
}

/// The field of `fields` that `written` most likely stands for.
pub(crate) fn field<'a>(written: &str, fields: &'a BTreeMap<String, Field>) -> Option<&'a str> {
    let plain = simplify(written);
    let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| *theirs == plain);
    if let Some((name, _)) = elsewhere.and_then(|(_, ours)| fields.get_key_value(*ours)) {
        return Some(name);
    }
    nearest(written, fields.keys().map(String::as_str))
}

/// The object below `shape` that has a field `written`, as a path.
pub(crate) fn home(written: &str, shape: &Shape) -> Option<String> {
    let mut level = vec![(String::new(), shape)];
    while !level.is_empty() {
        let objects = level.iter().filter_map(|(path, shape)| shape.fields().map(|fields| (path, fields)));
        if let Some((path, _)) =
            objects.clone().find(|(path, fields)| !path.is_empty() && fields.contains_key(written))
        {
            return Some(path.clone());
        }
        level = objects.flat_map(|(path, fields)| below(path, fields)).collect();
    }
    None
}

fn below<'a>(path: &str, fields: &'a BTreeMap<String, Field>) -> Vec<(String, &'a Shape)> {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    fields.iter().map(|(name, field)| (join(name), &field.shape)).collect()
}

/// Without what styles of writing differ in.
fn simplify(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    kept.take(64).flat_map(char::to_lowercase).collect()
}
