//! From the text of a file to typed objects, with all that is wrong on the way.

use serde::Deserialize;
use serde_json::Value as Json;

use super::kinds::Applicable;
use super::walk::{Walked, walk};
use super::{Manifest, NodeMetadata, unsupported};
use crate::cluster::{ClusterMetadata, ClusterSpec};
use crate::code;
use crate::node::NodeSpec;
use crate::object::{Metadata, Service, Volume};
use crate::problem::{Fault, PROBLEMS_MAX, Severity};
use crate::service::ServiceSpec;
use crate::tree::{Extent, Node, Scalar};
use crate::validate::{self, Report};
use crate::volume::VolumeSpec;
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

#[derive(Deserialize)]
struct Sole {
    #[serde(default, rename = "metadata")]
    _metadata: ClusterMetadata,
    spec: ClusterSpec,
}

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
    let manifest = match Applicable::of(root) {
        Ok(kind) => typed(root, kind, &mut faults),
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    faults.extend(status_is_ignored(root));
    // Errors first, so that none of them goes unseen behind warnings.
    faults.sort_by_key(|fault| fault.code.severity());
    faults.truncate(PROBLEMS_MAX + 1);
    let is_sound = faults.iter().all(|fault| fault.code.severity() == Severity::Warning);
    Outcome { manifest: manifest.filter(|_| is_sound), faults, extent }
}

/// Checks an object of a known kind, and makes it typed. With faults, what comes back is not to be used.
fn typed(root: &Node, kind: Applicable, faults: &mut Vec<Fault>) -> Option<(Manifest, Json)> {
    let called = root.find(&["metadata".into(), "name".into()]).and_then(Node::as_text);
    let subject = called.map_or(kind.name().to_owned(), |called| format!("{}/{called}", kind.name()));
    let Walked { mut value, faults: form } = walk(root, kind.shape(), &subject);
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
        Applicable::Volume => parse(&value).map(|Typed { metadata, spec }: Typed<Metadata, VolumeSpec>| {
            let volume = Volume { metadata, spec };
            validate::volume(&volume, &mut report);
            Manifest::Volume(volume)
        }),
        Applicable::Node => parse(&value).map(|Typed { metadata, spec }: Typed<NodeMetadata, NodeSpec>| {
            validate::node(&spec, &mut report);
            Manifest::Node { id: metadata.name, spec }
        }),
        Applicable::Cluster => parse(&value).map(|Sole { spec, .. }: Sole| Manifest::Cluster(spec)),
    };
    faults.extend(report.into_faults());
    match manifest {
        Ok(manifest) => Some((manifest, value)),
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
