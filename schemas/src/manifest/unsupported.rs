//! The one list of fields that are part of the format, but that this version does not act on yet.
//!
//! A field that would be ignored is refused instead. When its behaviour comes, its line here goes.

use serde_json::Value as Json;

use crate::code;
use crate::problem::Fault;
use crate::tree::{Node, Step, path_to_string};

/// A field that is not acted on yet, or only on some of its values.
struct Later {
    /// Where it is; `[]` stands for every item.
    path: &'static str,
    /// The values that are acted on.
    only: &'static [&'static str],
    /// What leaving it out stands for, if that is not acted on either.
    absent: Option<&'static str>,
    /// What to write instead.
    hint: &'static str,
}

const fn later(path: &'static str) -> Later {
    Later { path, only: &[], absent: None, hint: "" }
}

const fn only(path: &'static str, only: &'static [&'static str], hint: &'static str) -> Later {
    Later { path, only, absent: None, hint }
}

const SERVICE: &[Later] = &[
    only("spec.endpointMode", &["vip"], ""),
    later("spec.ports[].name"),
    Later {
        path: "spec.ports[].mode",
        only: &["host"],
        absent: Some("ingress"),
        hint: "the routing mesh comes later: use `mode: host`",
    },
    later("spec.task.secrets"),
    later("spec.task.configs"),
    later("spec.task.networks"),
    later("spec.task.isolation"),
    later("spec.task.privileges.credentialSpec"),
    only("spec.task.mounts[].type", &["volume", "bind", "tmpfs"], "use volume, bind or tmpfs"),
];

/// What `root`, whose cleaned form is `value`, wants of a later version.
pub(super) fn in_service(root: &Node, value: &Json) -> Vec<Fault> {
    let mut faults = Vec::new();
    for later in SERVICE {
        let (parent, name) = later.path.rsplit_once('.').unwrap_or(("", later.path));
        for holder in expand(root, parent) {
            let path = [holder.as_slice(), &[Step::Key(name)]].concat();
            faults.extend(later.judge(root, &path, lookup(value, &path)));
        }
    }
    faults
}

impl Later {
    fn judge(&self, root: &Node, path: &[Step<'_>], value: Option<&Json>) -> Option<Fault> {
        let written = match value {
            Some(Json::String(text)) => Some(text.clone()),
            Some(value) => Some(value.to_string()),
            None if root.find(path).is_some() => return None,
            None => self.absent.map(str::to_owned),
        }?;
        if self.only.contains(&written.as_str()) {
            return None;
        }
        let mut what = path_to_string(path);
        if !self.only.is_empty() {
            what = format!("{what}: {written}");
        }
        let message = format!("`{what}` is not supported yet");
        Some(Fault::new(code::NOT_SUPPORTED, root.locate(path), message).hint(self.hint))
    }
}

/// The paths of the mappings that `pattern` stands for.
fn expand(root: &Node, pattern: &'static str) -> Vec<Vec<Step<'static>>> {
    let mut paths = vec![Vec::new()];
    for segment in pattern.split('.') {
        let (name, is_list) = segment.strip_suffix("[]").map_or((segment, false), |name| (name, true));
        for path in &mut paths {
            path.push(Step::Key(name));
        }
        if is_list {
            paths = paths.into_iter().flat_map(|path| items(root, &path)).collect();
        }
    }
    paths.retain(|path| root.find(path).is_some());
    paths
}

fn items(root: &Node, path: &[Step<'static>]) -> Vec<Vec<Step<'static>>> {
    let count = root.find(path).map_or(0, |list| list.items().len());
    (0..count).map(|index| [path, &[Step::Item(index)]].concat()).collect()
}

fn lookup<'a>(value: &'a Json, path: &[Step<'_>]) -> Option<&'a Json> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item(item) => value.get(item),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::shape::{self, Shape};

    #[test]
    fn every_line_names_a_field_that_there_is() {
        for later in SERVICE {
            let mut shape: &Shape = &shape::SERVICE;
            for name in later.path.split('.').map(|segment| segment.trim_end_matches("[]")) {
                let fields = shape.fields().unwrap_or_else(|| panic!("{} leads nowhere", later.path));
                shape = &fields.get(name).unwrap_or_else(|| panic!("{}: no {name}", later.path)).shape;
            }
            if let Shape::Choice(values) = shape {
                assert!(
                    later.only.iter().all(|only| values.iter().any(|value| value == only)),
                    "{}",
                    later.path
                );
            }
        }
    }
}
