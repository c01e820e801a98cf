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
