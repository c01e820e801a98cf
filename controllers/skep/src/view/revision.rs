//! Revisions and rollouts as people read them.

use serde_json::json;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Object;
use skep_api::rollout::{Batch, Rollout};
use skep_api::service::Labels;

use crate::cut::Cut;
use crate::output::text::short;
use crate::view::service::word;
use crate::view::{Item, Kind, Style, item};

/// How much of a digest is shown without being asked for more.
const DIGEST_CHARS: usize = 19;

/// Every revision, by service and number.
pub(crate) fn revisions(cut: &Cut, style: Style) -> Vec<Item> {
    let mut found: Vec<(&ServiceRef, u64, Item)> = Vec::new();
    for (key, entry) in cut.iter() {
        let (Key::Revision(uid, number), Ok(Object::Revision(revision))) = (key, &entry.value) else {
            continue;
        };
        let service = &revision.service;
        let name = format!("{}.{number}", service.name);
        let digest = match cut.object(&Key::Pin(uid.clone(), *number)) {
            Some(Object::Pin(pin)) => pin.digest.clone(),
            _ => String::new(),
        };
        let rollout = match cut.object(&Key::Rollout(uid.clone())) {
            Some(Object::Rollout(rollout)) => Some(&**rollout),
            _ => None,
        };
        let uses = [
            (rollout.is_some_and(|rollout| rollout.target == *number), "target"),
            (rollout.is_some_and(|rollout| rollout.stable == Some(*number)), "stable"),
        ];
        let uses: Vec<&str> =
            uses.into_iter().filter(|(is_used, _)| *is_used).map(|(_, word)| word).collect();
        let shown = if style.is_wide { digest.clone() } else { short(&digest, DIGEST_CHARS).to_owned() };
        let metadata = item::metadata(&name, Some(&service.stack), entry.modified, &cut.uid(key, entry));
        let status = (!digest.is_empty()).then(|| json!({"digest": digest}));
        let item = Item {
            kind: Kind::Revisions,
            stack: Some(service.stack.clone()),
            names: vec![name.clone()],
            part_of: vec![service.name.to_string()],
            labels: Labels::new(),
            cells: vec![name, revision.task.image.clone(), shown, uses.join(",")],
            document: item::document(Kind::Revisions, &metadata, revision, status.as_ref()),
        };
        found.push((service, *number, item));
    }
    found.sort_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)));
    found.into_iter().map(|(_, _, item)| item).collect()
}

/// Every rollout, by service.
pub(crate) fn rollouts(cut: &Cut, style: Style) -> Vec<Item> {
    let found = cut.iter().filter_map(|(key, entry)| {
        let (Key::Rollout(_), Ok(Object::Rollout(rollout))) = (key, &entry.value) else { return None };
        let service = &rollout.service;
        let name = service.name.to_string();
        let metadata = item::metadata(&name, Some(&service.stack), entry.modified, &cut.uid(key, entry));
        Some(Item {
            kind: Kind::Rollouts,
            stack: Some(service.stack.clone()),
            names: vec![name.clone()],
            part_of: Vec::new(),
            labels: Labels::new(),
            cells: rollout_cells(name, rollout, style),
            document: item::document(Kind::Rollouts, &metadata, rollout, None::<&()>),
        })
    });
    let mut found: Vec<Item> = found.collect();
    found.sort_by_key(Item::identity);
    found
}

fn rollout_cells(name: String, rollout: &Rollout, style: Style) -> Vec<String> {
    let batch = match &rollout.batch {
        Batch::All => "all".to_owned(),
        Batch::Slots(slots) => slots.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    let waiting = rollout.waiting.as_ref().map_or(String::new(), |waiting| {
        format!("waits: {}, since {}", waiting.reason, style.time(waiting.since))
    });
    let words = [rollout.message.clone(), waiting].into_iter().filter(|words| !words.is_empty());
    vec![
        name,
        word(&rollout.state),
        rollout.target.to_string(),
        rollout.stable.map_or(String::new(), |stable| stable.to_string()),
        batch,
        format!("{}/{}", rollout.failed.len(), rollout.total),
        words.collect::<Vec<_>>().join("; "),
    ]
}
