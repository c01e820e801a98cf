//! Changes as people read them: who changed what, the newest last.

use skep_api::ident::Stack;
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::record::Change;
use skep_api::service::Labels;

use crate::cut::Cut;
use crate::view::service::word;
use crate::view::{Item, Kind, Style, item};

/// Every change, in the order of time.
pub(crate) fn items(cut: &Cut, style: Style) -> Vec<Item> {
    let found = cut.iter().filter_map(|(key, entry)| {
        let (Key::Change(id), Ok(Object::Change(change))) = (key, &entry.value) else { return None };
        let metadata = item::metadata(id.as_str(), None, entry.modified, &cut.uid(key, entry));
        let objects = change.objects.iter().filter_map(|object| object.object.rsplit('/').next());
        Some(Item {
            kind: Kind::Changes,
            stack: stack(change),
            names: vec![id.to_string()],
            part_of: objects.map(str::to_owned).collect(),
            labels: Labels::new(),
            cells: cells(id.as_str(), change, style),
            document: item::document(Kind::Changes, &metadata, change, None::<&()>),
        })
    });
    found.collect()
}

fn cells(id: &str, change: &Change, style: Style) -> Vec<String> {
    let objects = change.objects.iter().map(|object| format!("{} {}", object.object, word(&object.action)));
    vec![
        id.to_owned(),
        style.time(change.time),
        change.actor.clone(),
        objects.collect::<Vec<_>>().join(", "),
        change.message.clone(),
    ]
}

/// The stack that it is about; none if it is about several.
fn stack(change: &Change) -> Option<Stack> {
    let mut stacks = change.objects.iter().map(|object| stack_of(&object.object));
    let first = stacks.next().flatten()?;
    stacks.all(|stack| stack.as_ref() == Some(&first)).then_some(first)
}

/// The stack of an object in words, such as `Service/shop/web`.
pub(crate) fn stack_of(object: &str) -> Option<Stack> {
    let segments: Vec<&str> = object.split('/').collect();
    match segments.as_slice() {
        [_, stack, _] => stack.parse().ok(),
        _ => None,
    }
}
