//! What one document would change, decided from what was read: no I/O.

use serde_json::{Value, json};
use skep_api::key::Key;
use skep_api::manifest::{Located, Manifest};
use skep_api::object::{Invalid, Object};
use skep_api::record::{ChangeAction, FieldChange, Owner, Owners};
use skep_api::time::Timestamp;
use skep_store::{Guard, Put};

use crate::apply::claim::Claim;
use crate::apply::snapshot::Snapshot;
use crate::apply::{MANAGER, diff, merge, object};
use crate::failure::Failure;

/// What one document would change.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// What becomes of the object; `None` if it stays as it is.
    pub(crate) action: Option<ChangeAction>,
    /// The fields that move.
    pub(crate) fields: Vec<FieldChange>,
    /// The object as it will be.
    pub(crate) object: Manifest,
    /// The version that it has now.
    pub(crate) version: i64,
    /// What must still be so.
    pub(crate) guards: Vec<Guard>,
    /// What is written. Even for an object that stays, the document of its owner may be new.
    pub(crate) puts: Vec<Put>,
}

/// The keys that must be read to plan `manifest`.
pub(crate) fn keys(manifest: &Manifest) -> Vec<Key> {
    let claim = Claim::of(manifest).map(|claim| claim.key());
    [manifest.key(), object::owners_key(manifest)].into_iter().chain(claim).collect()
}

/// Plans one document.
///
/// # Errors
/// [`Failure::Conflict`] if another object has the name in Docker, [`Failure::Forbidden`] for what cannot change,
/// [`Failure::NotFound`] for a node that is not there.
pub(crate) fn plan(
    document: &Located<Manifest>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Planned, Failure> {
    let owners_key = object::owners_key(&document.value);
    let mut owners = match snapshot.object(&owners_key) {
        Some(Ok(Object::Owners(owners))) => (*owners).clone(),
        _ => Owners::default(),
    };
    let asked = asked(document)?;
    let source = format!("{}:{}", document.source, document.line);
    let before = owners.0.get(MANAGER);
    let is_owned = before.is_some_and(|owner| owner.applied == asked && owner.source == source);
    let mut planned = merged(document, snapshot, before.map(|owner| &owner.applied), &asked)?;
    let has_claim =
        Claim::of(&document.value).map_or(Ok(true), |claim| claim.take(&mut planned, snapshot))?;
    if planned.action.is_none() && is_owned && has_claim {
        return Ok(planned);
    }
    owners.0.insert(MANAGER.to_owned(), Owner { applied: asked, source, time: now });
    let value = Object::from(owners).encode(&owners_key)?;
    planned.guards.extend([snapshot.guard(&planned.object.key()), snapshot.guard(&owners_key)]);
    planned.puts.push(Put::new(owners_key, value));
    Ok(planned)
}

/// What the document asks for: its metadata and spec, spelled as the types spell them.
fn asked(document: &Located<Manifest>) -> Result<Value, Invalid> {
    let written = |field: &str| document.applied.get(field).cloned().unwrap_or_else(|| json!({}));
    let written = json!({"metadata": written("metadata"), "spec": written("spec")});
    Ok(merge::spell(&written, &object::document(&document.value)?))
}

/// Merges the document into what is live, and puts the result if it differs.
fn merged(
    document: &Located<Manifest>,
    snapshot: &Snapshot,
    before: Option<&Value>,
    asked: &Value,
) -> Result<Planned, Failure> {
    let asking = &document.value;
    let key = asking.key();
    let is_there = snapshot.get(&key).is_some();
    if !is_there && matches!(asking, Manifest::Node { .. }) {
        return Err(Failure::NotFound(vec![format!("no {asking}: a node is made when its agent joins")]));
    }
    // A value that does not decode is replaced as a whole.
    let (object, fields, action) = match object::live(asking, snapshot) {
        None => {
            let action = if is_there { ChangeAction::Changed } else { ChangeAction::Created };
            (asking.clone(), Vec::new(), Some(action))
        }
        Some(live) => {
            let object = merge_into(&live, before, asked)?;
            let fields = diff::fields(&object::document(&live)?, &object::document(&object)?);
            let action = (!fields.is_empty()).then_some(ChangeAction::Changed);
            (object, fields, action)
        }
    };
    let value = action.map(|_| object.object().encode(&key)).transpose()?;
    let version = snapshot.get(&key).map_or(0, |kv| kv.modified);
    let puts = value.into_iter().map(|value| Put::new(key.clone(), value)).collect();
    Ok(Planned { action, fields, object, version, guards: Vec::new(), puts })
}

fn merge_into(live: &Manifest, before: Option<&Value>, asked: &Value) -> Result<Manifest, Failure> {
    let forbidden = |reason: String| Failure::Forbidden { object: live.to_string(), reason };
    let document = object::document(live)?;
    let mut merged = merge::merge(&document, before, asked);
    merge::keep_digest(&document, &mut merged);
    let object = object::typed(live, merged).map_err(|invalid| forbidden(invalid.reason))?;
    match (live, &object) {
        (Manifest::Service(live), Manifest::Service(new)) if live.spec.mode != new.spec.mode => {
            Err(forbidden("spec.mode cannot change: delete the service and apply it again".to_owned()))
        }
        _ => Ok(object),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use skep_api::key::ServiceRef;
    use skep_api::manifest::{self, Source};

    use super::*;

    /// etcd, as far as apply sees it.
    #[derive(Default)]
    struct Etcd {
        values: BTreeMap<Key, Vec<u8>>,
        puts: usize,
    }

    impl Etcd {
        fn snapshot(&self) -> Snapshot {
            Snapshot::of(7, self.values.iter().map(|(key, value)| (key, value.clone())))
        }

        fn apply(&mut self, text: &str) -> Result<Planned, Failure> {
            let reading = manifest::read(&[Source::new("test.yaml", text)]);
            assert_eq!(reading.errors(), 0, "{:?}", reading.problems);
            let planned = plan(&reading.documents[0], &self.snapshot(), Timestamp::from_millis(0))?;
            self.puts += planned.puts.len();
            for put in &planned.puts {
                self.values.insert(put.key.clone(), put.value.to_vec());
            }
            Ok(planned)
        }

        fn spec(&self, name: &str) -> Value {
            let service = ServiceRef::new("default".parse().unwrap(), name.parse().unwrap());
            let key = Key::Service(service);
            let Object::Service(service) = Object::decode(&key, &self.values[&key]).unwrap() else {
                panic!("{key} is no service");
            };
            serde_json::to_value(&service.spec).unwrap()
        }
    }

    fn service(name: &str, spec: &str) -> String {
        format!("{{apiVersion: skep/v1, kind: Service, metadata: {{name: {name}}}, spec: {{{spec}}}}}")
    }

    #[test]
    fn applying_the_same_file_twice_writes_nothing() {
        let mut etcd = Etcd::default();
        let text = service(
            "web",
            "task: {image: a, stopGracePeriod: 60s}, replicas: 1, ports: [{target: 80, mode: host}]",
        );
        assert_eq!(etcd.apply(&text).unwrap().action, Some(ChangeAction::Created));
        let puts = etcd.puts;
        let again = etcd.apply(&text).unwrap();
        assert_eq!((again.action, etcd.puts), (None, puts));
    }

    #[test]
    fn a_number_that_was_scaled_by_hand_is_left_alone_until_a_file_names_one() {
        let mut etcd = Etcd::default();
        let without = service("web", "task: {image: a}");
        etcd.apply(&without).unwrap();
        let scaled = service("web", "task: {image: a}, replicas: 5");
        let key = Key::Service(ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap()));
        let reading = manifest::read(&[Source::new("x", scaled)]);
        etcd.values.insert(key.clone(), reading.documents[0].value.object().encode(&key).unwrap());
        assert_eq!(etcd.apply(&without).unwrap().action, None);
        assert_eq!(etcd.spec("web")["replicas"], 5);
        let planned = etcd.apply(&service("web", "task: {image: a}, replicas: 1")).unwrap();
        assert_eq!(planned.fields[0].path, "spec.replicas");
        assert!(etcd.spec("web").get("replicas").is_none(), "1 is the default");
    }

    /// Swarm's `stack deploy` resolves the tag again each time; here a moved tag never rolls a service by itself.
    #[test]
    fn a_file_that_names_a_tag_agrees_with_the_digest_that_was_set() {
        let mut etcd = Etcd::default();
        let file = service("web", "task: {image: 'app:1'}");
        etcd.apply(&file).unwrap();
        let image = format!("app:1@sha256:{}", "a".repeat(64));
        let key = Key::Service(ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap()));
        let set = service("web", &format!("task: {{image: '{image}'}}"));
        let reading = manifest::read(&[Source::new("x", set)]);
        etcd.values.insert(key.clone(), reading.documents[0].value.object().encode(&key).unwrap());
        let puts = etcd.puts;
        let planned = etcd.apply(&file).unwrap();
        assert_eq!((planned.action, etcd.puts), (None, puts), "unchanged, and nothing is written");
        assert_eq!(etcd.spec("web")["task"]["image"], *image);
        let more = service("web", "task: {image: 'app:1', env: {A: b}}");
        let planned = etcd.apply(&more).unwrap();
        let paths: Vec<&str> = planned.fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["spec.task.env.A"], "another edit keeps the digest");
        etcd.apply(&service("web", "task: {image: 'app:2'}")).unwrap();
        assert_eq!(etcd.spec("web")["task"]["image"], "app:2");
    }

    #[test]
    fn two_services_never_have_one_name_in_docker() {
        let mut etcd = Etcd::default();
        etcd.apply(&service("a_b", "task: {image: x}")).unwrap();
        let other =
            "{apiVersion: skep/v1, kind: Service, metadata: {name: b, stack: a}, spec: {task: {image: x}}}";
        assert!(matches!(etcd.apply(other), Err(Failure::Conflict(_))));
        etcd.values
            .remove(&Key::Service(ServiceRef::new("default".parse().unwrap(), "a_b".parse().unwrap())));
        let planned = etcd.apply(other).unwrap();
        assert_eq!(planned.action, Some(ChangeAction::Created), "a claim of nobody is taken over");
        assert!(planned.guards.iter().any(|guard| guard.expect == skep_store::Expect::Modified(7)));
    }

    #[test]
    fn two_volumes_never_have_one_name_in_docker_but_a_volume_and_a_service_may() {
        let volume = |name: &str, stack: &str, spec: &str| {
            let metadata = format!("{{name: {name}, stack: {stack}}}");
            format!("{{apiVersion: skep/v1, kind: Volume, metadata: {metadata}, spec: {{{spec}}}}}")
        };
        let mut etcd = Etcd::default();
        etcd.apply(&service("a_bb", "task: {image: x}")).unwrap();
        let planned = etcd.apply(&volume("a_bb", "default", "driver: local")).unwrap();
        assert_eq!(planned.action, Some(ChangeAction::Created));
        let Err(Failure::Conflict(lines)) = etcd.apply(&volume("bb", "a", "")) else { panic!("no conflict") };
        assert!(lines[0].contains("Volume/a/bb: Volume/default/a_bb is called a_bb in Docker"), "{lines:?}");
        let puts = etcd.puts;
        assert_eq!(etcd.apply(&volume("a_bb", "default", "driver: local")).unwrap().action, None);
        assert_eq!(etcd.puts, puts, "the same file again writes nothing");
        let planned = etcd.apply(&volume("a_bb", "default", "driverOptions: {type: nfs}")).unwrap();
        let paths: Vec<&str> = planned.fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["spec.driver", "spec.driverOptions.type"]);
    }

    #[test]
    fn the_settings_of_the_cluster_are_created_changed_and_left_alone_like_other_objects() {
        let mut etcd = Etcd::default();
        let cluster = |placement: &str| {
            format!("{{apiVersion: skep/v1, kind: Cluster, spec: {{placement: {{{placement}}}}}}}")
        };
        let planned = etcd.apply(&cluster("strategy: binpack, rebalance: whenIdle")).unwrap();
        assert_eq!(planned.action, Some(ChangeAction::Created));
        let puts = etcd.puts;
        let again = etcd.apply(&cluster("strategy: binpack, rebalance: whenIdle")).unwrap();
        assert_eq!((again.action, etcd.puts), (None, puts), "the same again writes nothing");
        let planned = etcd.apply(&cluster("strategy: binpack")).unwrap();
        let paths: Vec<&str> = planned.fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["spec.placement.rebalance"], "what the file no longer says is a default again");
        let Object::Cluster(spec) = Object::decode(&Key::Cluster, &etcd.values[&Key::Cluster]).unwrap()
        else {
            panic!("no cluster");
        };
        assert_eq!(spec.placement.strategy, skep_api::service::Strategy::Binpack);
    }

    #[test]
    fn the_mode_of_a_service_cannot_change() {
        let reading = manifest::read(&[Source::new("x", service("web", "task: {image: a}"))]);
        let Manifest::Service(mut live) = reading.documents[0].value.clone() else { panic!("no service") };
        live.spec.mode = skep_api::service::Mode::Global;
        let asked = json!({"spec": {"mode": "replicated"}});
        let answer = merge_into(&Manifest::Service(live), None, &asked);
        assert!(matches!(answer, Err(Failure::Forbidden { .. })), "{answer:?}");
    }

    #[test]
    fn a_value_that_does_not_decode_is_replaced() {
        let mut etcd = Etcd::default();
        let key = Key::Service(ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap()));
        etcd.values.insert(key, b"garbage".to_vec());
        assert_eq!(
            etcd.apply(&service("web", "task: {image: a}")).unwrap().action,
            Some(ChangeAction::Changed)
        );
        assert_eq!(etcd.spec("web")["task"]["image"], "a");
    }

    #[test]
    fn a_node_is_edited_but_not_made() {
        let mut etcd = Etcd::default();
        let node = |labels: &str| {
            format!(
                "{{apiVersion: skep/v1, kind: Node, metadata: {{name: 0123456789ab}}, spec: {{name: n1, labels: {{{labels}}}}}}}"
            )
        };
        assert!(matches!(etcd.apply(&node("a: x")), Err(Failure::NotFound(_))));
        let key = Key::Node("0123456789ab".parse().unwrap());
        let reading = manifest::read(&[Source::new("x", node(""))]);
        etcd.values.insert(key.clone(), reading.documents[0].value.object().encode(&key).unwrap());
        assert_eq!(etcd.apply(&node("a: x, b: y")).unwrap().fields.len(), 2);
        let planned = etcd.apply(&node("b: y")).unwrap();
        assert_eq!(planned.fields[0].path, "spec.labels.a", "a label that is no longer named goes");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn one_document_then_another_then_the_first_is_the_first(
            one in spec(), two in spec()
        ) {
            let mut etcd = Etcd::default();
            let (one, two) = (service("web", &one), service("web", &two));
            etcd.apply(&one).unwrap();
            let first = etcd.spec("web");
            etcd.apply(&two).unwrap();
            etcd.apply(&one).unwrap();
            prop_assert_eq!(etcd.spec("web"), first);
            let puts = etcd.puts;
            etcd.apply(&one).unwrap();
            prop_assert_eq!(etcd.puts, puts);
        }
    }

    /// Specs of all the shapes that merging knows.
    fn spec() -> impl Strategy<Value = String> {
        let maybe = |field: &'static str| proptest::option::of(Just(field.to_owned()));
        let replicas = proptest::option::of((0..4u32).prop_map(|number| format!("replicas: {number}")));
        let image = "[a-c]".prop_map(|image| image);
        let env = proptest::collection::btree_map("[A-C]", "[x-z]", 0..3);
        let ports = proptest::collection::btree_map(80..83u16, 10..13u16, 0..3);
        let restart = prop_oneof![maybe("restart: {delay: 60s}"), maybe("restart: {delay: 90s}")];
        (replicas, image, env, ports, restart).prop_map(|(replicas, image, env, ports, restart)| {
            let env =
                env.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ");
            let ports = ports.iter().map(|(target, published)| {
                format!("{{target: {target}, published: {target}{published}, mode: host}}")
            });
            let ports = ports.collect::<Vec<_>>().join(", ");
            let mut fields =
                vec![format!("task: {{image: {image}, env: {{{env}}}}}"), format!("ports: [{ports}]")];
            fields.extend(replicas.into_iter().chain(restart));
            fields.join(", ")
        })
    }
}
