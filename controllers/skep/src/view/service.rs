//! Services as people read them: the spec, and the summary that the replica controller writes.

use serde_json::{Value, json};
use skep_api::condition;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::{Object, Service};
use skep_api::service::{Port, PublishMode, ServiceStatus};

use crate::cut::{Cut, Entry};
use crate::view::{Item, Kind, Style, item};

/// Every service, by stack and name.
pub(crate) fn items(cut: &Cut, style: Style) -> Vec<Item> {
    let services = cut.iter().filter_map(|(key, entry)| {
        let Key::Service(service) = key else { return None };
        Some(item(cut, key, service, entry, style))
    });
    services.collect()
}

fn item(cut: &Cut, key: &Key, service: &ServiceRef, entry: &Entry, style: Style) -> Item {
    let status = match cut.object(&Key::ServiceStatus(service.clone())) {
        Some(Object::ServiceStatus(status)) => Some(&**status),
        _ => None,
    };
    let uid = cut.uid(key, entry);
    let mut metadata = item::metadata(service.name.as_str(), Some(&service.stack), entry.modified, &uid);
    let mut labels = skep_api::service::Labels::new();
    let (spec, shown) = match &entry.value {
        Ok(Object::Service(found)) => {
            labels.clone_from(&found.metadata.labels);
            for (field, map) in
                [("labels", &found.metadata.labels), ("annotations", &found.metadata.annotations)]
            {
                if !map.is_empty() {
                    metadata.insert(field.to_owned(), json!(map));
                }
            }
            (json!(found.spec), Shown::of(found))
        }
        Ok(_) => (Value::Null, Shown::default()),
        Err(invalid) => (Value::Null, Shown { invalid: Some(invalid.reason.clone()), ..Shown::default() }),
    };
    let mut document = item::document(Kind::Services, &metadata, &spec, status);
    if let (Some(reason), Value::Object(fields)) = (&shown.invalid, &mut document) {
        fields.insert("invalid".to_owned(), json!(reason));
    }
    let row = Row { shown: &shown, status, version: entry.modified, uid: uid.as_str(), style };
    Item {
        kind: Kind::Services,
        stack: Some(service.stack.clone()),
        names: vec![service.name.to_string()],
        part_of: Vec::new(),
        labels,
        cells: row.cells(service.name.as_str()),
        document,
    }
}

/// What a row shows of a spec.
#[derive(Default)]
struct Shown {
    mode: String,
    replicas: Option<u32>,
    image: String,
    ports: String,
    /// Why the spec does not decode.
    invalid: Option<String>,
}

impl Shown {
    fn of(service: &Service) -> Self {
        let spec = &service.spec;
        let ports: Vec<String> = spec.ports.iter().map(port).collect();
        Self {
            mode: word(&spec.mode),
            replicas: Some(spec.replicas),
            image: spec.task.image.clone(),
            ports: ports.join(","),
            invalid: None,
        }
    }
}

struct Row<'a> {
    shown: &'a Shown,
    status: Option<&'a ServiceStatus>,
    version: i64,
    uid: &'a str,
    style: Style,
}

impl Row<'_> {
    fn cells(&self, name: &str) -> Vec<String> {
        let (ready, message) = self.ready();
        let since = self.status.and_then(|status| condition::find(&status.conditions, "Ready"));
        let since = since.map_or(String::new(), |ready| self.style.time(ready.last_transition_time));
        let (image, ports) = (self.shown.image.clone(), self.shown.ports.clone());
        if !self.style.is_wide {
            return vec![name.to_owned(), self.replicas(), image, ports, ready, since, message];
        }
        let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        vec![
            name.to_owned(),
            self.shown.mode.clone(),
            self.replicas(),
            number(self.status.map(|status| status.updated.into())),
            number(self.status.and_then(|status| status.revision)),
            image,
            ports,
            ready,
            since,
            self.version.to_string(),
            self.uid.to_owned(),
            message,
        ]
    }

    /// How many run, of how many that are wanted.
    fn replicas(&self) -> String {
        let running = self.status.map_or(0, |status| status.running);
        let desired = self.shown.replicas.or(self.status.map(|status| status.desired));
        desired.map_or(String::new(), |desired| format!("{running}/{desired}"))
    }

    /// `yes`, or the reason why not; a `?` while the summary speaks of an older spec.
    fn ready(&self) -> (String, String) {
        if let Some(reason) = &self.shown.invalid {
            return ("Invalid".to_owned(), reason.clone());
        }
        let Some(status) = self.status.filter(|status| status.observed_version >= self.version) else {
            return ("?".to_owned(), "the controllers have not looked at it yet".to_owned());
        };
        match condition::find(&status.conditions, "Ready") {
            Some(ready) if ready.status == condition::Truth::True => ("yes".to_owned(), String::new()),
            Some(ready) => (ready.reason.clone(), ready.message.clone()),
            None => ("?".to_owned(), String::new()),
        }
    }
}

/// As Docker writes it: `8080->80/tcp`; `*` is a port that is chosen when a task starts.
fn port(port: &Port) -> String {
    let published = if port.published == 0 { "*".to_owned() } else { port.published.to_string() };
    let mode = if port.mode == PublishMode::Host { "host:" } else { "" };
    format!("{mode}{published}->{}/{}", port.target, word(&port.protocol))
}

/// A value as it is written in a document.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) | Err(_) => String::new(),
        Ok(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (Key, Key) {
        let service = ServiceRef::new("shop".parse().unwrap(), "web".parse().unwrap());
        (Key::Service(service.clone()), Key::ServiceStatus(service))
    }

    const SPEC: &str = "{apiVersion: skep/v1, kind: Service, metadata: {name: web, stack: shop}, spec: {replicas: 3, task: {image: nginx}}}";

    fn status(observed: i64, ready: &str) -> String {
        format!(
            r#"{{"observedVersion":{observed},"desired":3,"running":2,"updated":2,"conditions":[{{"type":"Ready","status":"{ready}",
                "reason":"Starting","message":"web.3 starts","lastTransitionTime":"2026-01-31T12:00:00Z"}}]}}"#
        )
    }

    fn row(spec: &str, status: &str) -> Item {
        let (spec_key, status_key) = keys();
        items(&Cut::of(&[(spec_key, spec), (status_key, status)]), Style::default()).remove(0)
    }

    #[test]
    fn a_summary_of_an_older_spec_is_not_believed() {
        assert_eq!(row(SPEC, &status(0, "True")).cells[4], "?");
        assert_eq!(row(SPEC, &status(1, "True")).cells[4], "yes");
        let cells = row(SPEC, &status(1, "False")).cells;
        assert_eq!(
            (cells[1].as_str(), cells[4].as_str(), cells[6].as_str()),
            ("2/3", "Starting", "web.3 starts")
        );
    }

    #[test]
    fn a_spec_that_does_not_decode_is_shown_with_the_reason() {
        let item = row("garbage", &status(1, "False"));
        assert_eq!(item.cells[4], "Invalid");
        assert!(item.document["spec"].is_null() && item.document["invalid"].is_string(), "{}", item.document);
    }

    #[test]
    fn a_document_has_spec_and_status_in_one_envelope() {
        let document = row(SPEC, &status(1, "True")).document;
        assert_eq!(document["metadata"]["version"], 1);
        assert_eq!(document["metadata"]["uid"].as_str().map(str::len), Some(25));
        assert_eq!((&document["spec"]["replicas"], &document["status"]["running"]), (&json!(3), &json!(2)));
    }
}
