//! From the text of a file to typed objects, with all that is wrong on the way.

use serde::Deserialize;
use serde_json::Value as Json;

use super::shape::{self, Shape};
use super::walk::{Walked, walk};
use super::{Manifest, NodeMetadata, suggest, unsupported};
use crate::code;
use crate::node::NodeSpec;
use crate::object::{Metadata, OBJECT_MAX_BYTES, Service};
use crate::problem::{Code, Fault, PROBLEMS_MAX, Severity};
use crate::service::ServiceSpec;
use crate::tree::{Extent, Node, Scalar, Value};
use crate::validate::{self, Report};
use crate::yaml;

/// What became of one document.
pub(super) struct Outcome {
    /// The object and what was written of it, unless there is an error.
    pub(super) manifest: Option<(Manifest, Json)>,
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
    /// Where it stands.
    pub(super) extent: Extent,
}

/// A kind that can be applied.
#[derive(Clone, Copy)]
enum Applicable {
    Service,
    Node,
}

/// Kinds that can be applied.
const APPLICABLE: [(&str, Applicable); 2] = [("Service", Applicable::Service), ("Node", Applicable::Node)];
/// Kinds that only controllers write.
const READ_ONLY: [&str; 5] = ["Task", "Revision", "Rollout", "Change", "Event"];
/// Kinds that come later.
const LATER: [&str; 7] = ["Network", "Secret", "Config", "Volume", "Cluster", "Sync", "Stack"];

#[derive(Deserialize)]
struct Typed<M, S> {
    metadata: M,
    spec: S,
}

/// Reads every document of `text`; a `kind: List` counts as its items.
pub(super) fn text(text: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for document in yaml::documents(text) {
        let Some(root) = &document.root else {
            let extent = document.faults.first().map(|fault| fault.extent).unwrap_or_default();
            outcomes.push(Outcome { manifest: None, faults: document.faults, extent });
            continue;
        };
        let mut faults = document.faults;
        if faults.is_empty() && root.as_scalar().is_some_and(Scalar::is_null) {
            continue;
        }
        for object in objects(root) {
            let inside = faults.extract_if(.., |fault| object.extent.contains(&fault.extent)).collect();
            outcomes.push(read(object, inside));
        }
        if !faults.is_empty() {
            outcomes.push(Outcome { manifest: None, faults, extent: root.extent });
        }
    }
    outcomes
}

/// The objects of a document: itself, or the items of a list, as `skep get -o yaml` writes it.
fn objects(root: &Node) -> Vec<&Node> {
    match (root.get("kind").and_then(Node::as_text), root.get("items")) {
        (Some("List"), Some(items)) => items.items().iter().collect(),
        _ => vec![root],
    }
}

/// Reads one object; `faults` are those of its YAML.
fn read(root: &Node, mut faults: Vec<Fault>) -> Outcome {
    let extent = root.heading();
    let manifest = match kind(root) {
        Ok(kind) => typed(root, kind, &mut faults),
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    faults.extend(status_is_ignored(root));
    faults.truncate(PROBLEMS_MAX + 1);
    let is_sound = faults.iter().all(|fault| fault.code.severity() == Severity::Warning);
    Outcome { manifest: manifest.filter(|_| is_sound), faults, extent }
}

/// The kind that an object says it is.
fn kind(root: &Node) -> Result<Applicable, Fault> {
    if !matches!(root.value, Value::Mapping(_)) {
        let message = "an object with apiVersion, kind, metadata and spec is wanted";
        return Err(Fault::new(code::NOT_A_MANIFEST, root.extent, message));
    }
    let Some(kind) = root.get("kind").and_then(Node::as_text) else {
        let fault = Fault::new(code::NOT_A_MANIFEST, root.locate(&["kind".into()]), "`kind` is missing");
        let is_compose = root.get("services").is_some();
        return Err(fault.hint(if is_compose {
            "this looks like a Compose file"
        } else {
            "such as `kind: Service`"
        }));
    };
    if let Some((_, kind)) = APPLICABLE.iter().find(|(name, _)| *name == kind) {
        return Ok(*kind);
    }
    let fault = |code: Code, message: String| Fault::new(code, root.locate(&["kind".into()]), message);
    if LATER.contains(&kind) {
        return Err(fault(code::KIND_NOT_SUPPORTED, format!("kind {kind} is not supported yet")));
    }
    if READ_ONLY.contains(&kind) {
        let message = format!("kind {kind} is written by controllers and cannot be applied");
        return Err(fault(code::READ_ONLY_KIND, message));
    }
    let known = APPLICABLE.iter().map(|(name, _)| *name).chain(LATER);
    let hint = match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod" | "Job" => {
            "use `kind: Service`".to_owned()
        }
        _ => suggest::nearest(kind, known).map_or(String::new(), |near| format!("did you mean `{near}`?")),
    };
    let kind: String = kind.chars().take(40).collect();
    Err(fault(code::UNKNOWN_KIND, format!("there is no kind `{kind}`")).hint(hint))
}

/// Checks an object of a known kind, and makes it typed. With faults, what comes back is not to be used.
fn typed(root: &Node, kind: Applicable, faults: &mut Vec<Fault>) -> Option<(Manifest, Json)> {
    let (shape, name): (&Shape, _) = match kind {
        Applicable::Service => (&shape::SERVICE, "Service"),
        Applicable::Node => (&shape::NODE, "Node"),
    };
    let called = root.find(&["metadata".into(), "name".into()]).and_then(Node::as_text);
    let subject = called.map_or(name.to_owned(), |called| format!("{name}/{called}"));
    let Walked { mut value, faults: form } = walk(root, shape, &subject);
    let is_told = |fault: &Fault| faults.iter().any(|told| told.extent == fault.extent);
    let form: Vec<Fault> = form.into_iter().filter(|fault| !is_told(fault)).collect();
    faults.extend(form);
    strip(&mut value);
    let form = faults.clone();
    let mut report = Report::new(root, &form);
    let manifest = match kind {
        Applicable::Service => parse(&value).map(|Typed { metadata, spec }: Typed<Metadata, ServiceSpec>| {
            let service = Service { metadata, spec };
            validate::service(&service, &mut report);
            faults.extend(unsupported::in_service(root, &value));
            Manifest::Service(Box::new(service))
        }),
        Applicable::Node => parse(&value).map(|Typed { metadata, spec }: Typed<NodeMetadata, NodeSpec>| {
            validate::node(&spec, &mut report);
            Manifest::Node { id: metadata.name, spec }
        }),
    };
    faults.extend(report.into_faults());
    match manifest {
        Ok(manifest) if value.to_string().len() <= OBJECT_MAX_BYTES => Some((manifest, value)),
        Ok(_) => {
            let message = format!("the object is larger than {} KiB", OBJECT_MAX_BYTES / 1024);
            faults.push(Fault::new(code::TOO_LARGE, root.heading(), message));
            None
        }
        Err(error) => {
            // The shape comes from the same types, so this is a form that the walk could not see.
            faults.push(Fault::new(code::WRONG_TYPE, root.heading(), error.to_string()));
            None
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(value: &'a Json) -> Result<T, serde_json::Error> {
    T::deserialize(value)
}

/// Takes out what is there only on reading.
fn strip(value: &mut Json) {
    let Json::Object(fields) = value else { return };
    fields.shift_remove("status");
    if let Some(Json::Object(metadata)) = fields.get_mut("metadata") {
        metadata.shift_remove("version");
        metadata.shift_remove("uid");
    }
}

/// Warns of a status, which `skep get` shows and nobody but a controller writes.
fn status_is_ignored(root: &Node) -> Option<Fault> {
    let status = root.entry("status")?;
    let message = "`status` is written by controllers and ignored here";
    Some(Fault::new(code::STATUS_IGNORED, status.extent, message))
}
