//! Manifests: objects as people write them, in the envelope `apiVersion`, `kind`, `metadata`, `spec`.
//!
//! [`read`] collects every problem of every document of every file. What etcd holds goes the same way
//! ([`decode_service`], [`decode_node`]), so a hand-written `etcdctl put` is treated as an apply.

mod kinds;
mod read;
mod shape;
mod suggest;
mod unsupported;
mod walk;

pub use suggest::nearest;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterMetadata, ClusterSpec};
use crate::code;
use crate::ident::{NodeId, Uid};
use crate::key::{Key, ServiceRef};
use crate::node::NodeSpec;
use crate::object::{API_VERSION, Invalid, Metadata, OBJECT_MAX_BYTES, Object, Service, Volume};
use crate::problem::{Code, Fault, PROBLEMS_MAX, Problem, Severity};
use crate::tree::{Extent, Position};
use crate::yaml;

/// The largest file that is read, in bytes: as `skep get -o yaml` writes thousands of nodes or services.
pub const SOURCE_MAX_BYTES: usize = 8 << 20;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// An object as a file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// A service.
    Service(Box<Service>),
    /// A volume.
    Volume(Volume),
    /// What people say of a machine.
    Node {
        /// Which machine.
        id: NodeId,
        /// What they say.
        spec: NodeSpec,
    },
    /// What holds for every service.
    Cluster(ClusterSpec),
}

/// A value with the place where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The file.
    pub source: String,
    /// The line on which its document begins, from 1.
    pub line: usize,
    /// The column on which its document begins, from 1.
    pub column: usize,
    /// What was written, and nothing else: values in their usual spelling, without defaults, status and `x-` keys.
    pub applied: serde_json::Value,
}

/// What a set of files says.
#[derive(Debug, Default)]
pub struct Reading {
    /// The objects, in the order in which they are written; only those without errors.
    pub documents: Vec<Located<Manifest>>,
    /// What is wrong, in the same order.
    pub problems: Vec<Problem>,
}

/// What a node is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeMetadata {
    /// The id of the machine; what people call it is `spec.name`.
    pub name: NodeId,
    /// Only on reading: the etcd revision of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Only on reading: the object's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, M, S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: &'a M,
    spec: &'a S,
}

impl Source {
    /// The file `name` with this content.
    pub fn new(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into() }
    }
}

impl Manifest {
    /// The key under which etcd holds it.
    pub fn key(&self) -> Key {
        match self {
            Self::Service(service) => Key::Service(service.reference()),
            Self::Volume(volume) => Key::Volume(volume.reference()),
            Self::Node { id, .. } => Key::Node(id.clone()),
            Self::Cluster(_) => Key::Cluster,
        }
    }

    /// The value that etcd holds.
    pub fn object(&self) -> Object {
        match self {
            Self::Service(service) => Service::clone(service).into(),
            Self::Volume(volume) => volume.clone().into(),
            Self::Node { spec, .. } => spec.clone().into(),
            Self::Cluster(spec) => spec.clone().into(),
        }
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "Service/{}", service.reference()),
            Self::Volume(volume) => write!(f, "Volume/{}", volume.reference()),
            Self::Node { id, .. } => write!(f, "Node/{id}"),
            Self::Cluster(_) => f.write_str("Cluster"),
        }
    }
}

impl Reading {
    /// How many problems are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity() == Severity::Error).count()
    }
}

/// Reads all documents of all files. Nothing may be applied while [`Reading::errors`] is not zero.
pub fn read(sources: &[Source]) -> Reading {
    read_where(sources, |_, _| true)
}

/// The same, for a reader to whom the status of a node says what the machine has: nobody is told that it is ignored.
pub fn read_with_machines(sources: &[Source]) -> Reading {
    let is_machine = |manifest: Option<&Manifest>| matches!(manifest, Some(Manifest::Node { .. }));
    read_where(sources, |fault, manifest| fault.code != code::STATUS_IGNORED || !is_machine(manifest))
}

/// Reads all documents, and tells of the faults that `is_told` picks.
fn read_where(sources: &[Source], is_told: impl Fn(&Fault, Option<&Manifest>) -> bool) -> Reading {
    let mut reading = Reading::default();
    let mut claims = Claims::default();
    for source in sources {
        let mut faults = Vec::new();
        let text = match text(&source.content) {
            Ok(text) => text,
            Err(fault) => {
                faults.push(fault);
                ""
            }
        };
        for document in read::text(text) {
            let manifest = document.manifest.as_ref().map(|(manifest, _)| manifest);
            faults.extend(document.faults.into_iter().filter(|fault| is_told(fault, manifest)));
            let Some((value, applied)) = document.manifest else { continue };
            let checked = is_storable(&value, document.extent)
                .and_then(|()| claims.claim(&value, &source.name, document.extent));
            if let Err(fault) = checked {
                faults.push(fault);
                continue;
            }
            let Position { line, column } = document.extent.start;
            reading.documents.push(Located { value, source: source.name.clone(), line, column, applied });
        }
        reading.problems.extend(problems(faults, &source.name, text));
    }
    reading
}

/// Reads the service at the key of `service`.
///
/// # Errors
/// [`Invalid`] names everything that is wrong with it.
pub fn decode_service(service: &ServiceRef, text: &str) -> Result<Service, Invalid> {
    match decode(text)? {
        Manifest::Service(found) if found.reference() == *service => Ok(*found),
        other @ (Manifest::Service(_)
        | Manifest::Volume(_)
        | Manifest::Node { .. }
        | Manifest::Cluster(_)) => Err(misplaced(&other, service)),
    }
}

/// Reads the volume at the key of `volume`.
///
/// # Errors
/// [`Invalid`] names everything that is wrong with it.
pub fn decode_volume(volume: &ServiceRef, text: &str) -> Result<Volume, Invalid> {
    match decode(text)? {
        Manifest::Volume(found) if found.reference() == *volume => Ok(found),
        other @ (Manifest::Service(_)
        | Manifest::Volume(_)
        | Manifest::Node { .. }
        | Manifest::Cluster(_)) => Err(misplaced(&other, volume)),
    }
}

/// Reads the spec of the node `node`.
///
/// # Errors
/// [`Invalid`] names everything that is wrong with it.
pub fn decode_node(node: &NodeId, text: &str) -> Result<NodeSpec, Invalid> {
    match decode(text)? {
        Manifest::Node { id, spec } if id == *node => Ok(spec),
        other @ (Manifest::Service(_)
        | Manifest::Volume(_)
        | Manifest::Node { .. }
        | Manifest::Cluster(_)) => Err(misplaced(&other, node)),
    }
}

/// Reads the cluster's settings.
///
/// # Errors
/// [`Invalid`] names everything that is wrong with them.
pub fn decode_cluster(text: &str) -> Result<ClusterSpec, Invalid> {
    match decode(text)? {
        Manifest::Cluster(spec) => Ok(spec),
        other @ (Manifest::Service(_) | Manifest::Volume(_) | Manifest::Node { .. }) => {
            Err(misplaced(&other, &"the Cluster"))
        }
    }
}

fn misplaced(found: &Manifest, wanted: &impl fmt::Display) -> Invalid {
    Invalid { reason: format!("it describes {found}, but lies under the key of {wanted}") }
}

/// Writes a service in block form.
///
/// # Errors
/// [`Invalid`] if it is larger than an object may be.
pub fn encode_service(service: &Service) -> Result<Vec<u8>, Invalid> {
    let metadata = Metadata { version: None, uid: None, ..service.metadata.clone() };
    write("Service", &metadata, &service.spec)
}

/// Writes a volume in block form.
///
/// # Errors
/// [`Invalid`] if it is larger than an object may be.
pub fn encode_volume(volume: &Volume) -> Result<Vec<u8>, Invalid> {
    let metadata = Metadata { version: None, uid: None, ..volume.metadata.clone() };
    write("Volume", &metadata, &volume.spec)
}

/// Writes the spec of the node `node` in block form.
///
/// # Errors
/// [`Invalid`] if it is larger than an object may be.
pub fn encode_node(node: &NodeId, spec: &NodeSpec) -> Result<Vec<u8>, Invalid> {
    write("Node", &NodeMetadata { name: node.clone(), version: None, uid: None }, spec)
}

/// Writes the cluster's settings in block form.
///
/// # Errors
/// [`Invalid`] if they are larger than an object may be.
pub fn encode_cluster(spec: &ClusterSpec) -> Result<Vec<u8>, Invalid> {
    write("Cluster", &ClusterMetadata::default(), spec)
}

fn write<M: Serialize, S: Serialize>(kind: &'static str, metadata: &M, spec: &S) -> Result<Vec<u8>, Invalid> {
    let text = yaml::to_string(&Envelope { api_version: API_VERSION, kind, metadata, spec })
        .map_err(|error| Invalid { reason: error.to_string() })?;
    if text.len() > OBJECT_MAX_BYTES {
        return Err(Invalid { reason: format!("the object is larger than {} KiB", OBJECT_MAX_BYTES / 1024) });
    }
    Ok(text.into_bytes())
}

/// The one object of a text; what is wrong with it, on one line.
fn decode(text: &str) -> Result<Manifest, Invalid> {
    if text.len() > OBJECT_MAX_BYTES {
        return Err(Invalid { reason: format!("the object is larger than {} KiB", OBJECT_MAX_BYTES / 1024) });
    }
    let mut documents = read::text(text);
    let document = documents.pop().filter(|_| documents.is_empty());
    let Some(document) = document else {
        return Err(Invalid { reason: "one document is wanted".to_owned() });
    };
    let is_error = |fault: &&Fault| fault.code.severity() == Severity::Error;
    match document.manifest {
        Some((manifest, _)) => Ok(manifest),
        None => Err(Invalid { reason: one_line(document.faults.iter().filter(is_error)) }),
    }
}

fn one_line<'a>(faults: impl Iterator<Item = &'a Fault>) -> String {
    const SHOWN: usize = 3;
    let mut faults = faults.map(|fault| format!("line {}: {}", fault.extent.start.line, fault.message));
    let mut shown: Vec<String> = faults.by_ref().take(SHOWN).collect();
    let rest = faults.count();
    if rest > 0 {
        shown.push(format!("and {rest} more"));
    }
    shown.join("; ")
}

/// Whether etcd will be asked to hold it.
fn is_storable(manifest: &Manifest, extent: Extent) -> Result<(), Fault> {
    let stored = manifest.object().encode(&manifest.key());
    stored.map(drop).map_err(|Invalid { reason }| Fault::new(code::TOO_LARGE, extent, reason))
}

/// Which objects were seen where.
#[derive(Default)]
struct Claims(BTreeMap<String, (String, Position)>);

impl Claims {
    /// Claims what only one object can have: its key, and a service's name in Docker.
    fn claim(&mut self, manifest: &Manifest, file: &str, extent: Extent) -> Result<(), Fault> {
        let mut keys = vec![(manifest.key().to_string(), format!("{manifest} comes twice"))];
        if let Manifest::Service(service) = manifest {
            let name = service.reference().docker_name();
            let message = format!("two services would be called `{name}` in Docker");
            keys.push((Key::name_claim(&service.reference()).to_string(), message));
        }
        if let Manifest::Volume(volume) = manifest {
            let name = volume.reference().docker_name();
            let message = format!("two volumes would be called `{name}` in Docker");
            keys.push((Key::VolumeNameClaim(name).to_string(), message));
        }
        for (key, message) in keys {
            if let Some((file, Position { line, column })) = self.0.get(&key) {
                let hint = format!("the other one is at {file}:{line}:{column}");
                return Err(Fault::new(code::DUPLICATE_OBJECT, extent, message).hint(hint));
            }
            self.0.insert(key, (file.to_owned(), extent.start));
        }
        Ok(())
    }
}

/// The text of a file, if it is text that may be read.
fn text(content: &[u8]) -> Result<&str, Fault> {
    let nowhere = Extent::default();
    if content.len() > SOURCE_MAX_BYTES {
        let message = format!("the file is larger than {} MiB", SOURCE_MAX_BYTES >> 20);
        return Err(Fault::new(code::TOO_LARGE, nowhere, message).hint(yaml::SPLIT));
    }
    let text = std::str::from_utf8(content).map_err(|error| {
        let message = format!("the file is not UTF-8 text: byte {} is wrong", error.valid_up_to() + 1);
        Fault::new(code::NOT_TEXT, nowhere, message)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.bytes().position(|byte| byte == 0) {
        None => Ok(text),
        Some(at) => {
            let message = format!("the file is not text: byte {} is NUL", at + 1);
            Err(Fault::new(code::NOT_TEXT, nowhere, message))
        }
    }
}

/// The faults of one file as people see them, by position: a warning that comes again and again once, and if there are too
/// many even so, errors rather than warnings.
fn problems(mut faults: Vec<Fault>, file: &str, text: &str) -> Vec<Problem> {
    faults.sort_by_key(|fault| fault.extent.start);
    let mut faults = told_once(faults);
    let hidden = faults.len().saturating_sub(PROBLEMS_MAX);
    if hidden > 0 {
        faults.sort_by_key(|fault| (fault.code.severity(), fault.code != code::TOO_LARGE));
        let has_error = faults.first().is_some_and(|fault| fault.code.severity() == Severity::Error);
        faults.truncate(PROBLEMS_MAX);
        faults.sort_by_key(|fault| fault.extent.start);
        let code = if has_error { code::TOO_LARGE } else { code::MORE_WARNINGS };
        let message = format!("{hidden} more problems in this file are not shown");
        faults.push(Fault::new(code, Extent::default(), message).hint("mend those above first"));
    }
    let lines: Vec<&str> = text.lines().collect();
    faults.into_iter().map(|fault| fault.in_file(file, &lines)).collect()
}

/// Each warning at the first place that it is about, with the number of the others.
fn told_once(faults: Vec<Fault>) -> Vec<Fault> {
    let mut told: Vec<(Fault, usize)> = Vec::new();
    let mut places: BTreeMap<(Code, String), usize> = BTreeMap::new();
    for fault in faults {
        if fault.code.severity() == Severity::Warning {
            let place = *places.entry((fault.code, fault.message.clone())).or_insert(told.len());
            if let Some((_, others)) = told.get_mut(place) {
                *others += 1;
                continue;
            }
        }
        told.push((fault, 0));
    }
    told.into_iter()
        .map(|(fault, others)| if others == 0 { fault } else { fault.and_elsewhere(others) })
        .collect()
}
