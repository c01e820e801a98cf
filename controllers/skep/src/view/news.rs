//! What is new since the last look: what `skep get -w` prints.

use std::collections::BTreeMap;

use serde_json::json;
use skep_api::ident::Stack;
use skep_api::object::Invalid;

use crate::output::{self, Table};
use crate::view::render::{Format, cells, name, table, to_yaml};
use crate::view::{Item, Kind, Style};

/// What was shown so far.
#[derive(Default)]
pub(crate) struct Shown {
    items: BTreeMap<(Kind, Option<Stack>, String), Item>,
    tables: BTreeMap<Kind, Table>,
}

/// Something that is new.
struct News {
    what: &'static str,
    item: Item,
}

impl Shown {
    /// What is new in `items`, which are all that there are at `revision`, in one form.
    ///
    /// # Errors
    /// [`Invalid`] if it cannot be written; no object of Skep's cannot.
    pub(crate) fn news(
        &mut self,
        items: Vec<Item>,
        revision: i64,
        format: Format,
        style: Style,
    ) -> Result<String, Invalid> {
        let news = self.compare(items);
        Ok(match format {
            Format::Table | Format::Wide => {
                let kinds: Vec<Kind> = news.iter().map(|news| news.item.kind).collect();
                let parts = kinds.chunk_by(PartialEq::eq).filter_map(|kinds| kinds.first());
                parts.map(|kind| self.rows(*kind, &news, style)).collect()
            }
            Format::Json | Format::Jsonl => {
                output::lines(news.iter().map(
                    |news| json!({"type": news.what, "revision": revision, "object": news.item.document}),
                ))
            }
            Format::Name => output::lines(news.iter().map(|news| name(&news.item))),
            Format::Yaml => {
                let documents = news.iter().map(|news| Ok(format!("---\n{}", to_yaml(&news.item.document)?)));
                documents.collect::<Result<String, Invalid>>()?
            }
        })
    }

    /// What differs from what was there before; by kind.
    fn compare(&mut self, items: Vec<Item>) -> Vec<News> {
        let mut before = std::mem::take(&mut self.items);
        let mut news = Vec::new();
        for item in items {
            let what = match before.remove(&item.identity()) {
                Some(old) if old.document == item.document => None,
                Some(_) => Some("MODIFIED"),
                None => Some("ADDED"),
            };
            self.items.insert(item.identity(), item.clone());
            news.extend(what.map(|what| News { what, item }));
        }
        news.extend(before.into_values().map(|item| News { what: "DELETED", item }));
        news.sort_by_key(|news| news.item.kind);
        news
    }

    /// The rows of what is new of one kind; the heading stands before the first of all.
    fn rows(&mut self, kind: Kind, news: &[News], style: Style) -> String {
        let mut table = match self.tables.get(&kind) {
            Some(earlier) => Table::continuing(earlier),
            None => table(kind, &[], style),
        };
        for news in news.iter().filter(|news| news.item.kind == kind) {
            table.push(news.cells(style));
        }
        let text = table.to_string();
        self.tables.insert(kind, table);
        text
    }
}

impl News {
    fn cells(&self, style: Style) -> Vec<String> {
        let mut cells = cells(&self.item, style);
        if let (true, Some(last)) = (self.what == "DELETED", cells.last_mut()) {
            "(deleted)".clone_into(last);
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use skep_api::time::Timestamp;

    use super::*;

    fn item(name: &str, running: u32) -> Item {
        Item {
            kind: Kind::Services,
            stack: None,
            names: vec![name.to_owned()],
            part_of: Vec::new(),
            labels: skep_api::service::Labels::new(),
            cells: vec![name.to_owned(), running.to_string()],
            document: json!({"running": running}),
        }
    }

    fn names(shown: &mut Shown, items: Vec<Item>) -> String {
        let style = Style { now: Timestamp::from_millis(0), is_wide: false, has_stacks: false };
        let text = shown.news(items, 5, Format::Jsonl, style).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .map(|line| format!("{} {}", line["type"].as_str().unwrap(), line["object"]["running"]))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn only_what_changed_is_news() {
        let mut shown = Shown::default();
        assert_eq!(names(&mut shown, vec![item("a", 1), item("b", 2)]), "ADDED 1, ADDED 2");
        assert_eq!(names(&mut shown, vec![item("a", 1), item("b", 3)]), "MODIFIED 3");
        assert_eq!(names(&mut shown, vec![item("b", 3)]), "DELETED 1");
        assert_eq!(names(&mut shown, vec![item("b", 3)]), "");
    }

    #[test]
    fn a_table_has_one_heading() {
        let mut shown = Shown::default();
        let style = Style { now: Timestamp::from_millis(0), is_wide: false, has_stacks: false };
        let first = shown.news(vec![item("a", 1)], 5, Format::Table, style).unwrap();
        let second = shown.news(vec![item("a", 2)], 6, Format::Table, style).unwrap();
        assert_eq!((first.lines().count(), second.lines().count()), (2, 1), "{first}{second}");
    }
}
