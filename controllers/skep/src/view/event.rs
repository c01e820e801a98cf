//! Events as people read them: what happened, the newest last.

use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::service::Labels;

use crate::cut::Cut;
use crate::view::change::stack_of;
use crate::view::service::word;
use crate::view::{Item, Kind, Style, item};

/// Every event, in the order in which it was last seen.
pub(crate) fn items(cut: &Cut, style: Style) -> Vec<Item> {
    let found = cut.iter().filter_map(|(key, entry)| {
        let (Key::Event(id), Ok(Object::Event(event))) = (key, &entry.value) else { return None };
        let metadata = item::metadata(id.as_str(), None, entry.modified, &cut.uid(key, entry));
        let name = event.regarding.rsplit('/').next().unwrap_or_default();
        let cells = vec![
            style.time(event.last_seen),
            event.count.to_string(),
            word(&event.severity),
            event.regarding.clone(),
            event.reason.clone(),
            event.message.clone(),
        ];
        let item = Item {
            kind: Kind::Events,
            stack: stack_of(&event.regarding),
            names: vec![id.to_string()],
            part_of: vec![name.to_owned()],
            labels: Labels::new(),
            cells,
            document: item::document(Kind::Events, &metadata, event, None::<&()>),
        };
        Some((event.last_seen, item))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(seen, _)| *seen);
    found.into_iter().map(|(_, item)| item).collect()
}
