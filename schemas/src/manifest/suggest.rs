//! What somebody may have meant by a name that there is not.

use std::collections::BTreeMap;

use super::shape::{Field, Shape};

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

/// Advice to somebody who wrote the field `written`, which is none of `fields`, in an object of the shape `root`.
pub(crate) fn hint(written: &str, fields: &BTreeMap<String, Field>, root: &Shape) -> String {
    let did_you_mean = |name| format!("did you mean `{name}`?");
    let names = fields.keys().map(String::as_str);
    same(written, names.clone())
        .or_else(|| translated(written, fields))
        .map(did_you_mean)
        .or_else(|| home(written, root).map(|home| format!("it belongs to `{home}`")))
        .or_else(|| nearest(written, names).map(did_you_mean))
        .unwrap_or_default()
}

/// The one of `known` that `written` most likely stands for.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let plain = simplify(written);
    let distance = |name: &&str| strsim::damerau_levenshtein(&plain, &simplify(name));
    let limit = if plain.len() <= 3 { 1 } else { 2 };
    let is_near =
        |name: &&str| distance(name) <= limit || strsim::jaro_winkler(&plain, &simplify(name)) >= 0.85;
    same(written, known.clone()).or_else(|| known.filter(is_near).min_by_key(distance))
}

/// The one of `known` that differs from `written` only in its style, such as `snake_case`.
fn same<'a>(written: &str, mut known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = simplify(written);
    known.find(|name| simplify(name) == plain)
}

/// The field that others call `written`.
fn translated<'a>(written: &str, fields: &'a BTreeMap<String, Field>) -> Option<&'a str> {
    let plain = simplify(written);
    let (_, ours) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == plain)?;
    fields.get_key_value(*ours).map(|(name, _)| name.as_str())
}

/// The object below `shape` that has a field `written`, as a path.
fn home(written: &str, shape: &Shape) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::shape;

    #[test]
    fn what_others_call_it_leads_to_a_field_of_ours() {
        for (theirs, ours) in ELSEWHERE {
            assert_eq!(simplify(theirs), theirs, "it is looked up in this form");
            assert!(home(ours, &shape::SERVICE).is_some(), "{ours} is no field");
        }
    }

    #[test]
    fn styles_of_writing_and_slips_are_understood() {
        let known = || ["stop-first", "start-first", "replicated-job"].into_iter();
        for (written, meant) in [
            ("STOP_FIRST", Some("stop-first")),
            ("startFirst", Some("start-first")),
            ("replicatedjob", Some("replicated-job")),
            ("stop-frist", Some("stop-first")),
            ("rolling", None),
        ] {
            assert_eq!(nearest(written, known()), meant, "{written}");
        }
    }
}
