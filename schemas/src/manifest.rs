//! Manifests: objects in the envelope `apiVersion`, `kind`, `metadata`, `spec`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::{Key, Kind, ServiceRef};
use crate::node::NodeSpec;
use crate::object::{API_VERSION, Invalid, Metadata, Service};
use crate::service::ServiceSpec;
use crate::yaml;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope<M, S> {
    api_version: String,
    kind: Kind,
    metadata: M,
    spec: S,
}

#[derive(Serialize, Deserialize)]
struct NodeMetadata {
    name: crate::ident::NodeId,
}

/// Reads the service at the key of `service`.
pub fn decode_service(service: &ServiceRef, text: &str) -> Result<Service, Invalid> {
    let envelope: Envelope<Metadata, ServiceSpec> = decode(text)?;
    let metadata = envelope.metadata;
    if metadata.name != service.name || metadata.stack != service.stack {
        return Err(Invalid {
            reason: format!(
                "metadata names {}/{}, but the key is of {service}",
                metadata.stack, metadata.name
            ),
        });
    }
    Ok(Service { metadata, spec: envelope.spec })
}

/// Reads a node's spec.
pub fn decode_node(text: &str) -> Result<NodeSpec, Invalid> {
    decode::<Envelope<NodeMetadata, NodeSpec>>(text).map(|envelope| envelope.spec)
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, Invalid> {
    yaml::from_str(text).map_err(|error| Invalid { reason: error.to_string() })
}

/// Writes a service.
pub fn encode(_key: &Key, metadata: &Metadata, spec: &ServiceSpec) -> Result<Vec<u8>, Invalid> {
    write(&Envelope { api_version: API_VERSION.to_owned(), kind: Kind::Service, metadata, spec })
}

/// Writes a node.
pub fn encode_node(key: &Key, spec: &NodeSpec) -> Result<Vec<u8>, Invalid> {
    let Key::Node(node) = key else { return Err(Invalid { reason: format!("{key} is not a node's key") }) };
    write(&Envelope {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Node,
        metadata: NodeMetadata { name: node.clone() },
        spec,
    })
}

fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Invalid> {
    yaml::to_string(value).map(String::into_bytes).map_err(|error| Invalid { reason: error.to_string() })
}
