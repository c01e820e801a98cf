//! What one document would change, decided from what was read: no I/O.

use serde_json::{Value, json};
use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::{Located, Manifest};
use skep_api::object::{Object, Service};
use skep_api::record::{ChangeAction, FieldChange, Owner, Owners};
use skep_api::service::Mode;
use skep_api::time::Timestamp;
use skep_store::{Guard, Put};

use crate::apply::snapshot::Snapshot;
use crate::apply::{MANAGER, diff, merge};
use crate::failure::Failure;

/// What one document would change.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// The object's key.
    pub(crate) key: Key,
    /// The object in words, such as `Service/shop/web`.
    pub(crate) name: String,
    /// What becomes of it; `None` if it stays as it is.
    pub(crate) action: Option<ChangeAction>,
    /// The fields that move.
    pub(crate) fields: Vec<FieldChange>,
    /// The object as it will be.
    pub(crate) object: Object,
    /// The version that it has, if it stays as it is.
    pub(crate) version: i64,
    /// What must still be so.
    pub(crate) guards: Vec<Guard>,
    /// What is written. Even for an object that stays, its owner's document may be new.
    pub(crate) puts: Vec<Put>,
}

/// The keys that must be read to plan `manifest`.
pub(crate) fn keys(manifest: &Manifest) -> Vec<Key> {
    match manifest {
        Manifest::Service(service) => {
            let service = service.reference();
            vec![Key::name_claim(&service), Key::ServiceOwners(service.clone()), Key::Service(service)]
        }
        Manifest::Node { id, .. } => vec![Key::Node(id.clone())],
    }
}

/// The service that holds the name claim which `manifest` needs, if it is another one: whether it still is there must be
/// read as well.
pub(crate) fn holder(manifest: &Manifest, snapshot: &Snapshot) -> Option<ServiceRef> {
    match manifest {
        Manifest::Service(service) => holder_of_name(&service.reference(), snapshot),
        Manifest::Node { .. } => None,
    }
}

/// The other service that holds the claim of the Docker name of `service`.
fn holder_of_name(service: &ServiceRef, snapshot: &Snapshot) -> Option<ServiceRef> {
    let claim = snapshot.get(&Key::name_claim(service))?;
    let (stack, name) = std::str::from_utf8(&claim.value).ok()?.trim().split_once('/')?;
    let holder = ServiceRef::new(stack.parse().ok()?, name.parse().ok()?);
    (holder != *service).then_some(holder)
}

/// Plans one document.
///
/// # Errors
/// [`Failure::Conflict`] if another service has the name, [`Failure::Forbidden`] for what cannot change,
/// [`Failure::NotFound`] for a node that is not there.
pub(crate) fn plan(
    document: &Located<Manifest>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Planned, Failure> {
    match &document.value {
        Manifest::Service(service) => plan_service(document, service, snapshot, now),
        Manifest::Node { .. } => plan_node(document, snapshot),
    }
}

fn plan_service(
    document: &Located<Manifest>,
    service: &Service,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Planned, Failure> {
    let reference = service.reference();
    let (key, owners_key) = (Key::Service(reference.clone()), Key::ServiceOwners(reference));
    let owners = match snapshot.object(&owners_key) {
        Some(Ok(Object::Owners(owners))) => (*owners).clone(),
        _ => Owners::default(),
    };
    let asked = asked(document)?;
    let before = owners.0.get(MANAGER);
    let mut planned = merged(document, snapshot, before.map(|owner| &owner.applied), &asked)?;
    check_mode(&planned, snapshot)?;

    let source = format!("{}:{}", document.source, document.line);
    let is_same_owner = before.is_some_and(|owner| owner.applied == asked && owner.source == source);
    let has_claim = claim(&mut planned, service, snapshot)?;
    if planned.action.is_none() && is_same_owner && has_claim {
        return Ok(Planned { guards: Vec::new(), puts: Vec::new(), ..planned });
    }
    let mut owners = owners;
    owners.0.insert(MANAGER.to_owned(), Owner { applied: asked, source, time: now });
    let value = Object::from(owners).encode(&owners_key)?;
    planned.guards.push(snapshot.guard(&owners_key));
    planned.puts.push(Put::new(owners_key, value));
    planned.guards.push(snapshot.guard(&key));
    Ok(planned)
}

/// People edit the spec of a node; its agent made it.
fn plan_node(document: &Located<Manifest>, snapshot: &Snapshot) -> Result<Planned, Failure> {
    let key = document.value.key();
    if snapshot.get(&key).is_none() {
        return Err(Failure::NotFound(vec![format!(
            "no {}: an agent makes it when it joins",
            document.value
        )]));
    }
    let mut planned = merged(document, snapshot, None, &asked(document)?)?;
    planned.guards.push(snapshot.guard(&key));
    Ok(planned)
}

/// What the document asks for: its metadata and spec, spelled as the types spell them.
fn asked(document: &Located<Manifest>) -> Result<Value, Failure> {
    let written = |field: &str| document.applied.get(field).cloned().unwrap_or_else(|| json!({}));
    let written = json!({"metadata": written("metadata"), "spec": written("spec")});
    Ok(merge::spell(&written, &canonical(&document.value.object())?))
}

/// The metadata and the spec of an object as its types write them.
fn canonical(object: &Object) -> Result<Value, Failure> {
    let value = match object {
        Object::Service(service) => serde_json::to_value(service),
        Object::Node(spec) => serde_json::to_value(json!({"spec": spec})),
        _ => Ok(Value::Null),
    };
    value.map_err(|error| Failure::Value(invalid(&error)))
}

fn invalid(error: &serde_json::Error) -> skep_api::object::Invalid {
    skep_api::object::Invalid { reason: error.to_string() }
}

/// Merges the document into what is live, and puts the result if it differs.
fn merged(
    document: &Located<Manifest>,
    snapshot: &Snapshot,
    before: Option<&Value>,
    asked: &Value,
) -> Result<Planned, Failure> {
    let key = document.value.key();
    let name = document.value.to_string();
    // A value that does not decode is replaced as a whole.
    let live = snapshot.object(&key).and_then(Result::ok);
    let object = match &live {
        None => document.value.object(),
        Some(live) => {
            let value = merge::merge(&canonical(live)?, before, asked);
            decode(&key, value).map_err(|reason| Failure::Forbidden { object: name.clone(), reason })?
        }
    };
    let fields = match &live {
        None => Vec::new(),
        Some(live) => diff::fields(&canonical(live)?, &canonical(&object)?),
    };
    let action = match (snapshot.get(&key), &live) {
        (None, _) => Some(ChangeAction::Created),
        (Some(_), Some(_)) if fields.is_empty() => None,
        (Some(_), _) => Some(ChangeAction::Changed),
    };
    let puts = match action {
        None => Vec::new(),
        Some(_) => vec![Put::new(key.clone(), object.encode(&key)?)],
    };
    let version = snapshot.get(&key).map_or(0, |kv| kv.modified);
    Ok(Planned { key, name, action, fields, object, version, guards: Vec::new(), puts })
}

/// The typed object of a merged document, checked as every reader will check it.
fn decode(key: &Key, value: Value) -> Result<Object, String> {
    let object = match key {
        Key::Service(_) => serde_json::from_value::<Service>(value).map(Object::from),
        _ => serde_json::from_value(value.get("spec").cloned().unwrap_or_default())
            .map(|spec: skep_api::node::NodeSpec| Object::from(spec)),
    };
    let object = object.map_err(|error| error.to_string())?;
    let encoded = object.encode(key).map_err(|invalid| invalid.reason)?;
    Object::decode(key, &encoded).map_err(|invalid| invalid.reason)
}

fn check_mode(planned: &Planned, snapshot: &Snapshot) -> Result<(), Failure> {
    let mode = |object: &Object| match object {
        Object::Service(service) => service.spec.mode,
        _ => Mode::default(),
    };
    match snapshot.object(&planned.key) {
        Some(Ok(live)) if mode(&live) != mode(&planned.object) => Err(Failure::Forbidden {
            object: planned.name.clone(),
            reason: "spec.mode cannot change: delete the service and apply it again".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Claims the service's name in Docker; says whether it had it already.
fn claim(planned: &mut Planned, service: &Service, snapshot: &Snapshot) -> Result<bool, Failure> {
    let reference = service.reference();
    let key = Key::name_claim(&reference);
    if let Some(holder) = holder_of_name(&reference, snapshot) {
        let holder_key = Key::Service(holder.clone());
        if snapshot.get(&holder_key).is_some() {
            return Err(Failure::Conflict(vec![format!(
                "{}: the name {} belongs to Service/{holder}: in Docker, both would be called so",
                planned.name,
                reference.docker_name()
            )]));
        }
        planned.guards.push(Guard::absent(holder_key));
    } else if snapshot.get(&key).is_some() {
        return Ok(true);
    }
    planned.guards.push(snapshot.guard(&key));
    planned.puts.push(Put::new(key, reference.to_string()));
    Ok(false)
}
