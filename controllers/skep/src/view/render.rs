//! Objects in the forms that people and scripts ask for.

use serde_json::{Value, json};
use skep_api::ident::DEFAULT_STACK;
use skep_api::object::{API_VERSION, Invalid};
use skep_api::yaml;

use crate::output::{self, Table};
use crate::view::{Item, Kind, Style, heading};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For people, with more columns, and instants in full
    Wide,
    /// As it can be applied again
    Yaml,
    /// One document: a List, or the object if one is asked for by its name
    Json,
    /// One object a line
    Jsonl,
    /// KIND/NAME, one a line
    Name,
}

/// What was found of each kind, at one revision.
pub(crate) struct Found {
    /// The objects of each kind.
    pub(crate) kinds: Vec<(Kind, Vec<Item>)>,
    /// The revision.
    pub(crate) version: i64,
    /// Whether one object was asked for: then it comes alone, not as a list of one.
    pub(crate) is_single: bool,
}

impl Found {
    /// All of it in one form.
    ///
    /// # Errors
    /// [`Invalid`] if it cannot be written; no object of Skep's cannot.
    pub(crate) fn render(&self, format: Format, style: Style) -> Result<String, Invalid> {
        Ok(match format {
            Format::Table | Format::Wide => {
                let filled = self.kinds.iter().filter(|(_, items)| !items.is_empty());
                let tables = filled.map(|(kind, items)| table(*kind, items, style).to_string());
                tables.collect::<Vec<_>>().join("\n")
            }
            Format::Yaml => to_yaml(&self.whole())?,
            Format::Json => format!("{:#}\n", self.whole()),
            Format::Jsonl => output::lines(self.items().map(|item| &item.document)),
            Format::Name => output::lines(self.items().map(name)),
        })
    }

    fn items(&self) -> impl Iterator<Item = &Item> {
        self.kinds.iter().flat_map(|(_, items)| items)
    }

    /// One object, or a list of them.
    fn whole(&self) -> Value {
        if let (true, Some(item)) = (self.is_single, self.items().next()) {
            return item.document.clone();
        }
        let items: Vec<&Value> = self.items().map(|item| &item.document).collect();
        json!({"apiVersion": API_VERSION, "kind": "List", "metadata": {"version": self.version}, "items": items})
    }
}

/// A document as YAML.
pub(crate) fn to_yaml(document: &Value) -> Result<String, Invalid> {
    yaml::to_string(document).map_err(|error| Invalid { reason: error.to_string() })
}

/// As it is typed: `service/web`, `service/shop/web`.
pub(crate) fn name(item: &Item) -> String {
    let kind = item.kind.singular();
    match item.stack.as_ref().filter(|stack| stack.as_str() != DEFAULT_STACK) {
        Some(stack) => format!("{kind}/{stack}/{}", item.name()),
        None => format!("{kind}/{}", item.name()),
    }
}

/// A table of objects of one kind.
pub(crate) fn table(kind: Kind, items: &[Item], style: Style) -> Table {
    let stack = style.has_stacks.then_some("STACK");
    let mut table = Table::new(stack.into_iter().chain(heading(kind, style.is_wide).iter().copied()));
    for item in items {
        table.push(cells(item, style));
    }
    table
}

/// The cells of an object, with its stack if stacks are shown.
pub(crate) fn cells(item: &Item, style: Style) -> Vec<String> {
    let stack = style.has_stacks.then(|| item.stack.as_ref().map_or(String::new(), ToString::to_string));
    stack.into_iter().chain(item.cells.iter().cloned()).collect()
}
