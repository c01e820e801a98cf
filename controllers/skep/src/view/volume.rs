//! Volumes as people read them, with the services of their stack that mount them.

use serde_json::{Map, Value, json};
use skep_api::container::MountType;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::{Object, Service};
use skep_api::volume::VolumeSpec;

use crate::cut::{Cut, Entry};
use crate::view::{Item, Kind, Style, item};

/// What stands for Docker's own driver.
const DEFAULT_DRIVER: &str = "local";

/// Every volume, by stack and name.
pub(crate) fn items(cut: &Cut, _: Style) -> Vec<Item> {
    let volumes = cut.iter().filter_map(|(key, entry)| {
        let Key::Volume(volume) = key else { return None };
        Some(item(cut, key, volume, entry))
    });
    volumes.collect()
}

/// Whether `service` mounts the volume. A source that is a template may turn out to be any name, and is not counted.
pub(crate) fn mounts(service: &Service, volume: &ServiceRef) -> bool {
    let is_it = |source: &str| source == volume.name.as_str();
    service.metadata.stack == volume.stack
        && service
            .spec
            .task
            .mounts
            .iter()
            .any(|mount| mount.kind == MountType::Volume && mount.source.as_deref().is_some_and(is_it))
}

fn item(cut: &Cut, key: &Key, volume: &ServiceRef, entry: &Entry) -> Item {
    let mut metadata =
        item::metadata(volume.name.as_str(), Some(&volume.stack), entry.modified, &cut.uid(key, entry));
    let found = match &entry.value {
        Ok(Object::Volume(found)) => Some(found),
        _ => None,
    };
    let labels = found.map(|found| found.metadata.labels.clone()).unwrap_or_default();
    if let Some(found) = found {
        note(&mut metadata, "labels", &found.metadata.labels);
        note(&mut metadata, "annotations", &found.metadata.annotations);
    }
    let spec = found.map(|found| &found.spec);
    let mut document = item::document(Kind::Volumes, &metadata, &spec, None::<&()>);
    if let (Err(invalid), Value::Object(fields)) = (&entry.value, &mut document) {
        fields.insert("invalid".to_owned(), json!(invalid.reason));
    }
    Item {
        kind: Kind::Volumes,
        stack: Some(volume.stack.clone()),
        names: vec![volume.name.to_string()],
        part_of: Vec::new(),
        labels,
        cells: vec![
            volume.name.to_string(),
            spec.map_or("Invalid", driver).to_owned(),
            spec.map_or(String::new(), options),
            volume.docker_name(),
            users(cut, volume).join(","),
        ],
        document,
    }
}

fn note(metadata: &mut Map<String, Value>, field: &str, map: &skep_api::service::Labels) {
    if !map.is_empty() {
        metadata.insert(field.to_owned(), json!(map));
    }
}

fn driver(spec: &VolumeSpec) -> &str {
    spec.driver.as_deref().unwrap_or(DEFAULT_DRIVER)
}

fn options(spec: &VolumeSpec) -> String {
    let options = spec.driver_options.iter().map(|(name, value)| format!("{name}={value}"));
    options.collect::<Vec<_>>().join(",")
}

fn users(cut: &Cut, volume: &ServiceRef) -> Vec<String> {
    let services = cut.iter().filter_map(|(_, entry)| match &entry.value {
        Ok(Object::Service(service)) if mounts(service, volume) => Some(service.metadata.name.to_string()),
        _ => None,
    });
    services.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_shown_with_the_services_that_mount_it() {
        let reference = |name: &str| ServiceRef::new("shop".parse().unwrap(), name.parse().unwrap());
        let volume = "{apiVersion: skep/v1, kind: Volume, metadata: {name: data, stack: shop, labels: {tier: back}}, \
            spec: {driverOptions: {type: nfs, device: ':/srv'}}}";
        let service = |name: &str, source: &str| {
            format!(
                "{{apiVersion: skep/v1, kind: Service, metadata: {{name: {name}, stack: shop}}, \
                 spec: {{task: {{image: x, mounts: [{{source: {source}, target: /d}}]}}}}}}"
            )
        };
        let (db, web) = (service("db", "data"), service("web", "data2"));
        let cut = Cut::of(&[
            (Key::Volume(reference("data")), volume),
            (Key::Service(reference("db")), &db),
            (Key::Service(reference("web")), &web),
            (Key::Volume(reference("bad")), "{{{"),
        ]);
        let found = items(&cut, Style::default());
        assert_eq!(found[0].cells[1], "Invalid");
        assert!(found[0].document["invalid"].is_string());
        assert_eq!(found[1].cells, ["data", "local", "device=:/srv,type=nfs", "shop_data", "db"]);
        assert_eq!(found[1].document["spec"]["driverOptions"]["type"], "nfs");
        assert_eq!(found[1].labels["tier"], "back");
    }
}
