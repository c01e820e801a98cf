//! The three-way merge: what is live, without the fields that this manager owned and names no longer, with the fields
//! that it names now. Maps merge by key, lists whose items have an identity by that, everything else is one field.

use serde_json::{Map, Value};
use skep_api::image::ImageReference;

/// Merges a document. `before` is what the manager asked for the last time.
///
/// A field that the manager named before and names no longer goes only if it still has the value that the manager gave
/// it: one that somebody changed since (`skep scale`, `etcdctl put`) is theirs.
pub(crate) fn merge(live: &Value, before: Option<&Value>, asked: &Value) -> Value {
    merge_field("", Some(live), before, Some(asked)).unwrap_or_else(|| Value::Object(Map::new()))
}

/// Keeps the digest of the live image in `merged` where that names only its tag: an image that was resolved when it was set
/// (`skep set image`, `skep create`) agrees with a file that names the same tag. What moves a tag that has moved in its registry
/// is `skep set image`, not an apply of the same file.
pub(crate) fn keep_digest(live: &Value, merged: &mut Value) {
    const IMAGE: &str = "/spec/task/image";
    let live = live.pointer(IMAGE).and_then(Value::as_str);
    if let (Some(live), Some(Value::String(image))) = (live, merged.pointer_mut(IMAGE))
        && is_same_tag(live, image)
    {
        live.clone_into(image);
    }
}

/// Whether `live` is the image `asked`, which has no digest, with one.
fn is_same_tag(live: &str, asked: &str) -> bool {
    let (Ok(live), Ok(asked)) = (live.parse::<ImageReference>(), asked.parse::<ImageReference>()) else {
        return false;
    };
    asked.digest().is_none()
        && live.digest().is_some()
        && (live.name(), live.tag()) == (asked.name(), asked.tag())
}

/// `asked` with every value in the spelling of `canonical`, which is the same document as its types write it: `60s` and
/// `1m` must not count as different. Fields that the types leave out, because they have their default, stay.
pub(crate) fn spell(asked: &Value, canonical: &Value) -> Value {
    match (asked, canonical) {
        (Value::Object(asked), Value::Object(canonical)) => {
            let fields = asked.iter().map(|(name, value)| {
                let spelled = canonical.get(name).map_or_else(|| value.clone(), |known| spell(value, known));
                (name.clone(), spelled)
            });
            Value::Object(fields.collect())
        }
        (Value::Array(asked), Value::Array(canonical)) if asked.len() == canonical.len() => Value::Array(
            asked.iter().zip(canonical).map(|(asked, canonical)| spell(asked, canonical)).collect(),
        ),
        (_, canonical) => canonical.clone(),
    }
}

fn merge_field(
    name: &str,
    live: Option<&Value>,
    before: Option<&Value>,
    asked: Option<&Value>,
) -> Option<Value> {
    if let (Some(live), Some(asked)) = (as_map(live), as_map(asked)) {
        let before = before.and_then(Value::as_object);
        let may_vanish = asked.is_empty();
        return merge_maps(&live, before, &asked, may_vanish);
    }
    if let (Some(live), Some(asked)) = (items(name, live), items(name, asked)) {
        return merge_items(&live, items(name, before).unwrap_or_default().as_slice(), &asked);
    }
    match asked {
        Some(asked) => Some(asked.clone()),
        None => live.filter(|live| before != Some(live)).cloned(),
    }
}

/// A value that is a map, or that is not there.
fn as_map(value: Option<&Value>) -> Option<Map<String, Value>> {
    match value {
        None => Some(Map::new()),
        Some(Value::Object(fields)) => Some(fields.clone()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => None,
    }
}

fn merge_maps(
    live: &Map<String, Value>,
    before: Option<&Map<String, Value>>,
    asked: &Map<String, Value>,
    may_vanish: bool,
) -> Option<Value> {
    let mut merged = Map::new();
    let new = asked.keys().filter(|name| !live.contains_key(*name));
    for name in live.keys().chain(new) {
        let before = before.and_then(|before| before.get(name));
        if let Some(value) = merge_field(name, live.get(name), before, asked.get(name)) {
            merged.insert(name.clone(), value);
        }
    }
    (!merged.is_empty() || !may_vanish).then_some(Value::Object(merged))
}

/// Items of a list with their identities.
type Items<'a> = Vec<(String, &'a Value)>;

/// In the order that the manager gives them; those of others follow.
fn merge_items(live: &Items<'_>, before: &[(String, &Value)], asked: &Items<'_>) -> Option<Value> {
    let mut merged = Vec::new();
    for (id, item) in asked {
        merged.extend(merge_field("", find(live, id), find(before, id), Some(item)));
    }
    for (id, item) in live {
        // An item is whole or not there at all: half of a port is none.
        if find(asked, id).is_none() && find(before, id) != Some(item) {
            merged.push((*item).clone());
        }
    }
    (!merged.is_empty()).then_some(Value::Array(merged))
}

fn find<'a>(items: &[(String, &'a Value)], id: &str) -> Option<&'a Value> {
    items.iter().find(|(known, _)| known == id).map(|(_, item)| *item)
}

/// The items of the list field `name` with their identities, if its items have any and no two have the same.
pub(crate) fn items<'a>(name: &str, value: Option<&'a Value>) -> Option<Items<'a>> {
    let identify = identity(name)?;
    let Some(value) = value else { return Some(Vec::new()) };
    let items: Items<'a> = value.as_array()?.iter().map(|item| (identify(item), item)).collect();
    let mut ids: Vec<&str> = items.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    (ids.len() == items.len()).then_some(items)
}

/// What tells the items of the list field `name` apart.
fn identity(name: &str) -> Option<fn(&Value) -> String> {
    match name {
        "ports" => Some(|item| format!("{}/{}", text(item, "target", ""), text(item, "protocol", "tcp"))),
        "mounts" => Some(|item| text(item, "target", "")),
        "networks" | "secrets" | "configs" => Some(|item| text(item, "name", "")),
        _ => None,
    }
}

fn text(item: &Value, field: &str, default: &str) -> String {
    match item.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => default.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_no_longer_named_goes_and_one_of_others_stays() {
        let live = json!({"spec": {"replicas": 3, "task": {"image": "a", "env": {"A": "1", "B": "2"}}}});
        let before = json!({"spec": {"replicas": 3, "task": {"image": "a", "env": {"A": "1"}}}});
        let asked = json!({"spec": {"task": {"image": "b"}}});
        let merged = json!({"spec": {"task": {"image": "b", "env": {"B": "2"}}}});
        assert_eq!(merge(&live, Some(&before), &asked), merged);
    }

    #[test]
    fn a_field_that_somebody_changed_since_is_theirs_until_it_is_named_again() {
        let live = json!({"replicas": 5});
        let before = json!({"replicas": 3});
        assert_eq!(merge(&live, Some(&before), &json!({})), json!({"replicas": 5}));
        assert_eq!(merge(&live, Some(&before), &json!({"replicas": 3})), json!({"replicas": 3}));
    }

    #[test]
    fn ports_are_told_apart_by_target_and_protocol() {
        let live = json!({"ports": [{"target": 80, "published": 8080}, {"target": 53, "protocol": "udp"}]});
        let before = json!({"ports": [{"target": 80, "published": 8080}]});
        let asked = json!({"ports": [{"target": 443}, {"target": 80, "protocol": "tcp", "published": 9090}]});
        let merged = json!({"ports": [
            {"target": 443},
            {"target": 80, "published": 9090, "protocol": "tcp"},
            {"target": 53, "protocol": "udp"},
        ]});
        assert_eq!(merge(&live, Some(&before), &asked), merged);
        let dropped = merge(&live, Some(&before), &json!({}));
        assert_eq!(dropped, json!({"ports": [{"target": 53, "protocol": "udp"}]}));
    }

    #[test]
    fn a_list_with_two_items_of_one_identity_is_one_field() {
        let twice = json!({"ports": [{"target": 80, "published": 1}, {"target": 80, "published": 2}]});
        assert_eq!(merge(&json!({"ports": [{"target": 80}]}), None, &twice), twice);
    }

    #[test]
    fn spelling_follows_the_types_and_explicit_defaults_stay() {
        let asked = json!({"spec": {"replicas": 1, "update": {"delay": "60s"}}});
        let canonical = json!({"spec": {"update": {"delay": "1m"}}, "metadata": {}});
        let spelled = json!({"spec": {"replicas": 1, "update": {"delay": "1m"}}});
        assert_eq!(spell(&asked, &canonical), spelled);
    }

    #[test]
    fn an_image_with_a_digest_agrees_with_its_tag_and_with_nothing_else() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let live = format!("app:1@{digest}");
        for yes in ["app:1", "docker.io/library/app:1"] {
            assert!(is_same_tag(&live, yes), "{yes}");
        }
        let other = format!("app:1@sha256:{}", "b".repeat(64));
        for no in ["app:2", "app", "other:1", "localhost:5000/app:1", &live, &other] {
            assert!(!is_same_tag(&live, no), "{no}");
        }
        assert!(is_same_tag(&format!("app:latest@{digest}"), "app"));
        assert!(!is_same_tag("app:1", "app:1"));
    }

    /// Documents of the shapes that services have: maps in maps, lists with and without identities.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<u8>().prop_map(Value::from), "[a-c]{1,2}".prop_map(Value::from)];
        let port = (0..4u8, 0..9u8)
            .prop_map(|(target, published)| json!({"target": target, "published": published}));
        let ports = proptest::collection::vec(port, 1..4);
        let env = proptest::collection::btree_map("[A-C]", leaf.clone(), 1..4);
        let field = prop_oneof![
            leaf.clone(),
            env.prop_map(|env| json!(env)),
            proptest::collection::vec(leaf, 1..3).prop_map(Value::from)
        ];
        (proptest::collection::btree_map("[a-d]", field, 0..4), proptest::option::of(ports)).prop_map(
            |(fields, ports)| {
                let mut value = json!(fields);
                if let Some(ports) = ports {
                    value["ports"] = ports.into();
                }
                value
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn applying_the_same_document_again_changes_nothing(live in document(), asked in document()) {
            let once = merge(&live, None, &asked);
            prop_assert_eq!(merge(&once, Some(&asked), &asked), once);
        }

        #[test]
        fn one_manager_alone_gets_exactly_what_it_asks_for(one in document(), two in document()) {
            let first = merge(&json!({}), None, &one);
            prop_assert_eq!(&first, &one);
            let second = merge(&first, Some(&one), &two);
            prop_assert!(is_same(&second, &two), "{} is not {}", second, two);
            prop_assert!(is_same(&merge(&second, Some(&two), &one), &one));
        }
    }

    /// Equal but for the order of fields.
    fn is_same(one: &Value, two: &Value) -> bool {
        match (one, two) {
            (Value::Object(one), Value::Object(two)) => {
                one.len() == two.len()
                    && one
                        .iter()
                        .all(|(name, value)| two.get(name).is_some_and(|other| is_same(value, other)))
            }
            _ => one == two,
        }
    }
}
