//! Cases of planners in YAML: a world, and what planning makes of it.
//!
//! ```yaml
//! world:                                    # in this order: keys with objects, or with texts that may not decode
//!   /skep/spec/services/shop/web: {apiVersion: skep/v1, kind: Service, metadata: …, spec: …}
//!   /skep/spec/rollouts/UID(shop/web): {observedVersion: VERSION(shop/web), target: 1, …}
//! then:                                     # more of it, if something is written twice or deleted (null)
//!   /skep/spec/services/shop/web:
//! expect:                                   # every key that planning changes, and what is there in the end
//!   /skep/spec/tasks/-/shop/web.1.*: {desired: RUNNING}
//!   /skep/spec/rollouts/UID(shop/web):      # null: deleted
//! ```
//!
//! An expected object names the fields that matter; summaries of services may change unnamed. The instant is always
//! 2023-11-14T22:13:20Z. Planning goes on until it changes nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fmt, fs, io};

use serde::Deserialize;
use serde_json::{Map, Value};
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::yaml;

use crate::controller::Controller;
use crate::scene::Scene;

/// Keys, or patterns of keys, and what is there in the end.
type Expectation = Map<String, Value>;

/// What may change without being named.
const UNNAMED: &str = "/skep/status/services/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    world: Map<String, Value>,
    #[serde(default)]
    then: Map<String, Value>,
    #[serde(default)]
    expect: Map<String, Value>,
}

/// What `UID(stack/name)` and `VERSION(stack/name)` stand for: uid and version of the service as it was last written.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

/// Every case that does not hold. A test answers it: it is shown as people read it.
pub struct Failures(String);

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks every file in `folder`, whose name says what must hold.
///
/// # Errors
/// The cases that do not hold; also a folder without any, which proves nothing.
///
/// # Panics
/// As [`Scene::settle`].
pub fn check_all<C: Controller>(folder: impl AsRef<Path>) -> Result<(), Failures> {
    let folder = folder.as_ref();
    let texts = read_all(folder).map_err(|error| Failures(format!("{}: {error}", folder.display())))?;
    let failed = |(name, text): (&String, &String)| Some(format!("{name}:\n{}", check::<C>(text).err()?));
    let failures: Vec<String> = texts.iter().filter_map(failed).collect();
    if texts.is_empty() {
        Err(Failures(format!("{} holds no cases", folder.display())))
    } else if failures.is_empty() {
        Ok(())
    } else {
        Err(Failures(failures.join("\n\n")))
    }
}

/// What is in the files of `folder`, by their names.
fn read_all(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let read = |path: &Path| Ok((path.display().to_string(), fs::read_to_string(path)?));
    fs::read_dir(folder)?.map(|file| read(&file?.path())).collect()
}

/// Plans the world of the case `text`, and compares what becomes of it.
///
/// # Errors
/// What is wrong with the case, or what planning does instead.
///
/// # Panics
/// As [`Scene::settle`].
pub fn check<C: Controller>(text: &str) -> Result<(), String> {
    let (mut scene, names, expect) = read::<C>(text)?;
    let before = contents(&scene);
    scene.settle();
    compare(&before, &contents(&scene), &names, expect)
}

/// The world of the case `text`, before anything is planned.
///
/// # Errors
/// What is wrong with the case.
pub fn world<C: Controller>(text: &str) -> Result<Scene<C>, String> {
    read(text).map(|(scene, ..)| scene)
}

fn read<C: Controller>(text: &str) -> Result<(Scene<C>, Names, Expectation), String> {
    let case: Case = yaml::from_str(text).map_err(|error| error.to_string())?;
    let mut scene = Scene::<C>::default();
    let mut names = Names::default();
    for (key, value) in case.world.into_iter().chain(case.then) {
        put(&mut scene, &mut names, &key, &value)?;
    }
    Ok((scene, names, case.expect))
}

fn put<C: Controller>(
    scene: &mut Scene<C>,
    names: &mut Names,
    key: &str,
    value: &Value,
) -> Result<(), String> {
    let key = names.resolve(key);
    let key = Key::parse(&key).ok_or_else(|| format!("{key} is not a key"))?;
    if value.is_null() {
        scene.delete(key.clone());
    } else if let Value::String(text) = value {
        scene.put_text(key.clone(), &names.resolve(text));
    } else {
        scene.put_text(key.clone(), &names.resolve(&value.to_string()));
        scene.object(&key).ok_or_else(|| format!("what the world has at {key} does not decode"))?;
    }
    if let (Key::Service(service), Some(uid)) = (&key, scene.uid(&key)) {
        names.0.insert(format!("UID({service})"), uid.to_string());
        names.0.insert(format!("\"VERSION({service})\""), scene.revision().to_string());
    }
    Ok(())
}

fn compare(
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
    names: &Names,
    expect: Map<String, Value>,
) -> Result<(), String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changed: Vec<&String> =
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).collect();
    let mut differences = Vec::new();
    for (pattern, wanted) in expect {
        let pattern = names.resolve(&pattern);
        let Some(index) = changed.iter().position(|key| is_meant(&pattern, key)) else {
            differences.push(format!("{pattern} does not change"));
            continue;
        };
        let found = after.get(changed.remove(index)).unwrap_or(&Value::Null);
        if !holds(found, &wanted) {
            differences.push(format!("{pattern} becomes\n  {found}, not\n  {wanted}"));
        }
    }
    for key in changed.into_iter().filter(|key| !key.starts_with(UNNAMED)) {
        let found = after.get(key).unwrap_or(&Value::Null);
        differences.push(format!("{key} becomes\n  {found}, which is not expected"));
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// Every value, as it is written.
fn contents<C: Controller>(scene: &Scene<C>) -> BTreeMap<String, Value> {
    let value = |key: &Key| scene.object(key).and_then(|object| written(key, object));
    scene.keys().map(|key| (key.to_string(), value(key).unwrap_or(Value::Null))).collect()
}

fn written(key: &Key, object: &Object) -> Option<Value> {
    let text = String::from_utf8(object.encode(key).ok()?).ok()?;
    yaml::from_str(&text).ok()
}

/// Whether `pattern` names `key`; a `*` at its end stands for anything.
fn is_meant(pattern: &str, key: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == key, |start| key.starts_with(start))
}

/// Whether `found` has everything that `wanted` names.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(field, wanted)| holds(found.get(field).unwrap_or(&Value::Null), wanted))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            wanted.iter().all(|wanted| found.iter().any(|found| holds(found, wanted)))
        }
        (found, wanted) => found == wanted,
    }
}

impl Names {
    fn resolve(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_names_fields_that_matter_and_a_star_stands_for_any_end() {
        let found = serde_json::json!({"a": 1, "b": [{"c": 2, "d": 3}], "e": null});
        assert!(holds(&found, &serde_json::json!({"a": 1, "b": [{"d": 3}], "f": null})));
        assert!(!holds(&found, &serde_json::json!({"a": 2})));
        assert!(!holds(&found, &serde_json::json!({"b": [{"d": 2}]})));
        assert!(is_meant("/a/web.1.*", "/a/web.1.00001") && !is_meant("/a/web.1", "/a/web.1.00001"));
    }

    #[test]
    fn what_changes_unexpectedly_and_what_does_not_change_are_told() {
        let before = BTreeMap::from([("/a".to_owned(), Value::from(1))]);
        let after = BTreeMap::from([("/b".to_owned(), Value::from(1))]);
        let expect = |text: &str| serde_json::from_str(text).unwrap();
        let told = |text| compare(&before, &after, &Names::default(), expect(text));
        assert_eq!(told(r#"{"/a": null, "/b": 1}"#), Ok(()));
        assert!(told(r#"{"/b": 1}"#).is_err(), "/a vanishes unexpectedly");
        assert!(told(r#"{"/a": null, "/b": 2}"#).is_err());
        assert!(told(r#"{"/a": null, "/b": 1, "/c": 1}"#).is_err(), "/c never comes");
    }
}
