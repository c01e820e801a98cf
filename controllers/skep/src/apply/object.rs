//! The objects that can be applied, live and as documents.

use serde_json::{Value, json};
use skep_api::cluster::ClusterSpec;
use skep_api::key::Key;
use skep_api::manifest::Manifest;
use skep_api::node::NodeSpec;
use skep_api::object::{Invalid, Object, Service, Volume};

use crate::apply::snapshot::Snapshot;

/// Where the documents that were applied to it lie.
pub(crate) fn owners_key(manifest: &Manifest) -> Key {
    match manifest {
        Manifest::Service(service) => Key::ServiceOwners(service.reference()),
        Manifest::Volume(volume) => Key::VolumeOwners(volume.reference()),
        Manifest::Node { id, .. } => Key::NodeOwners(id.clone()),
        Manifest::Cluster(_) => Key::ClusterOwners,
    }
}

/// What lies under the key of `manifest`, if it decodes.
pub(crate) fn live(manifest: &Manifest, snapshot: &Snapshot) -> Option<Manifest> {
    match (manifest, snapshot.object(&manifest.key())?.ok()?) {
        (Manifest::Service(_), Object::Service(service)) => {
            Some(Manifest::Service(Box::new((*service).clone())))
        }
        (Manifest::Volume(_), Object::Volume(volume)) => Some(Manifest::Volume((*volume).clone())),
        (Manifest::Node { id, .. }, Object::Node(spec)) => {
            Some(Manifest::Node { id: id.clone(), spec: (*spec).clone() })
        }
        (Manifest::Cluster(_), Object::Cluster(spec)) => Some(Manifest::Cluster((*spec).clone())),
        _ => None,
    }
}

/// Its metadata and spec, as its types write them.
pub(crate) fn document(manifest: &Manifest) -> Result<Value, Invalid> {
    let value = match manifest {
        Manifest::Service(service) => serde_json::to_value(service),
        Manifest::Volume(volume) => serde_json::to_value(volume),
        Manifest::Node { spec, .. } => serde_json::to_value(json!({"spec": spec})),
        Manifest::Cluster(spec) => serde_json::to_value(json!({"spec": spec})),
    };
    value.map_err(|error| Invalid { reason: error.to_string() })
}

/// The typed object of a merged document, checked as every reader will check it.
pub(crate) fn typed(like: &Manifest, document: Value) -> Result<Manifest, Invalid> {
    let manifest = match like {
        Manifest::Service(_) => {
            serde_json::from_value::<Service>(document).map(|service| Manifest::Service(Box::new(service)))
        }
        Manifest::Volume(_) => serde_json::from_value::<Volume>(document).map(Manifest::Volume),
        Manifest::Node { id, .. } => {
            let spec = document.get("spec").cloned().unwrap_or_default();
            serde_json::from_value::<NodeSpec>(spec).map(|spec| Manifest::Node { id: id.clone(), spec })
        }
        Manifest::Cluster(_) => {
            let spec = document.get("spec").cloned().unwrap_or_default();
            serde_json::from_value::<ClusterSpec>(spec).map(Manifest::Cluster)
        }
    };
    let manifest = manifest.map_err(|error| Invalid { reason: error.to_string() })?;
    let key = manifest.key();
    Object::decode(&key, &manifest.object().encode(&key)?)?;
    Ok(manifest)
}
