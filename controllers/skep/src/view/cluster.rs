//! The cluster's settings as people read them. While nobody has applied any, the defaults are shown: they hold.

use serde_json::{Map, Value, json};
use skep_api::cluster::{ClusterName, ClusterSpec};
use skep_api::key::Key;
use skep_api::object::Object;

use crate::cut::Cut;
use crate::view::service::word;
use crate::view::{Item, Kind, Style, item};

/// The one cluster.
pub(crate) fn items(cut: &Cut, _: Style) -> Vec<Item> {
    let name = ClusterName::Default.to_string();
    let entry = cut.entry(&Key::Cluster);
    let metadata = match entry {
        Some(entry) => item::metadata(&name, None, entry.modified, &cut.uid(&Key::Cluster, entry)),
        None => Map::from_iter([("name".to_owned(), json!(name))]),
    };
    let spec = match entry.map(|entry| &entry.value) {
        None => Ok(ClusterSpec::default()),
        Some(Ok(Object::Cluster(spec))) => Ok(ClusterSpec::clone(spec)),
        Some(Ok(_)) => Err(String::new()),
        Some(Err(invalid)) => Err(invalid.reason.clone()),
    };
    let mut document = item::document(Kind::Cluster, &metadata, &spec.as_ref().ok(), None::<&()>);
    if let (Err(reason), Value::Object(fields)) = (&spec, &mut document) {
        fields.insert("invalid".to_owned(), json!(reason));
    }
    let cells = match &spec {
        Ok(spec) => [word(&spec.placement.strategy), word(&spec.placement.rebalance)],
        Err(_) => ["Invalid".to_owned(), String::new()],
    };
    vec![Item {
        kind: Kind::Cluster,
        stack: None,
        names: vec![name.clone()],
        part_of: Vec::new(),
        labels: skep_api::service::Labels::new(),
        cells: [name].into_iter().chain(cells).collect(),
        document,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_hold_are_shown_also_while_nobody_has_applied_any() {
        let found = items(&Cut::of(&[]), Style::default());
        assert_eq!(found[0].cells, ["default", "spread", "never"]);
        assert_eq!(found[0].document["spec"], json!({}));
        let text = "{apiVersion: skep/v1, kind: Cluster, spec: {placement: {strategy: binpack, rebalance: whenIdle}}}";
        let found = items(&Cut::of(&[(Key::Cluster, text)]), Style::default());
        assert_eq!(found[0].cells, ["default", "binpack", "whenIdle"]);
        assert!(found[0].document["metadata"]["version"].is_number());
        let found = items(&Cut::of(&[(Key::Cluster, "{{{")]), Style::default());
        assert_eq!(found[0].cells[1], "Invalid");
        assert!(found[0].document["invalid"].is_string());
    }
}
