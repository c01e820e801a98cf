//! Which of all objects are meant: by stack, name and label.

use std::str::FromStr;

use skep_api::ident::Stack;
use skep_api::service::Labels;

use crate::output::text::nearest;
use crate::view::{Item, Kind};

/// Which objects are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Those of this stack, and those that have none; `None` is every stack.
    pub(crate) stack: Option<Stack>,
    /// Those with one of these names, or that are part of what has one; empty is every name.
    pub(crate) names: Vec<String>,
    /// Those with these labels.
    pub(crate) selector: Selector,
}

/// Conditions on labels, as in `tier=front,team!=x,critical`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Equal(String, String),
    Different(String, String),
    There(String),
}

impl Selection {
    /// Whether `item` is meant.
    pub(crate) fn has(&self, item: &Item) -> bool {
        let is_named = |name: &String| item.names.contains(name) || item.part_of.contains(name);
        self.has_stack(item)
            && (self.names.is_empty() || self.names.iter().any(is_named))
            && self.selector.holds(&item.labels)
    }

    fn has_stack(&self, item: &Item) -> bool {
        match (&self.stack, &item.stack) {
            (Some(wanted), Some(stack)) => wanted == stack,
            (None, _) | (_, None) => true,
        }
    }

    /// Whether exactly one object was asked for by its own name, and not what belongs to it.
    pub(crate) fn is_single(&self, found: &[Item]) -> bool {
        match (self.names.as_slice(), found) {
            ([name], [item]) => item.names.contains(name),
            _ => false,
        }
    }

    /// For each name that nothing of `kind` among `all` has: that it is not there, and what might be meant.
    pub(crate) fn missing(&self, kind: Kind, all: &[Item]) -> Vec<String> {
        let is_there = |name: &String| all.iter().any(|item| self.has_stack(item) && has_name(item, name));
        self.names.iter().filter(|name| !is_there(name)).map(|name| self.not_found(kind, name, all)).collect()
    }

    fn not_found(&self, kind: Kind, name: &str, all: &[Item]) -> String {
        let place = match &self.stack {
            Some(stack) if all.iter().any(|item| item.stack.is_some()) => format!(" in stack {stack}"),
            _ => String::new(),
        };
        let elsewhere = all.iter().find(|item| has_name(item, name)).and_then(|item| item.stack.as_ref());
        let advice = if let Some(stack) = elsewhere {
            format!("; there is one in stack {stack}: add -s {stack}")
        } else {
            let here = all.iter().filter(|item| self.has_stack(item));
            let names = here.flat_map(|item| item.names.iter().chain(&item.part_of)).map(String::as_str);
            match nearest(name, names) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if place.is_empty() => format!("; see what there is: skep get {kind}"),
                None => format!("; see what there is: skep get {kind} -A"),
            }
        };
        format!("no {} `{name}`{place}{advice}", kind.singular())
    }
}

fn has_name(item: &Item, name: &str) -> bool {
    item.names.iter().chain(&item.part_of).any(|known| known == name)
}

impl Selector {
    fn holds(&self, labels: &Labels) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Equal(name, value) => labels.get(name) == Some(value),
            Condition::Different(name, value) => labels.get(name) != Some(value),
            Condition::There(name) => labels.contains_key(name),
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let conditions = text.split(',').map(|part| {
            let part = part.trim();
            let (name, condition) = if let Some((name, value)) = part.split_once("!=") {
                (name, Condition::Different(name.trim().to_owned(), value.trim().to_owned()))
            } else if let Some((name, value)) = part.split_once('=') {
                let value = value.strip_prefix('=').unwrap_or(value);
                (name, Condition::Equal(name.trim().to_owned(), value.trim().to_owned()))
            } else {
                (part, Condition::There(part.to_owned()))
            };
            if name.trim().is_empty() {
                return Err("write LABEL=VALUE, LABEL!=VALUE or LABEL, separated by commas".to_owned());
            }
            Ok(condition)
        });
        conditions.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(stack: &str, name: &str) -> Item {
        Item {
            kind: Kind::Services,
            stack: stack.parse().ok(),
            names: vec![name.to_owned()],
            part_of: Vec::new(),
            labels: [("tier".to_owned(), "front".to_owned())].into(),
            cells: Vec::new(),
            document: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_selector_compares_labels() {
        let holds = |text: &str| text.parse::<Selector>().unwrap().holds(&item("default", "web").labels);
        assert!(holds("tier=front") && holds("tier==front,zone!=a") && holds("tier"));
        assert!(!holds("tier=back") && !holds("zone") && !holds("tier!=front"));
        assert!("=x".parse::<Selector>().is_err() && "".parse::<Selector>().is_err());
    }

    #[test]
    fn a_name_that_is_not_there_comes_with_advice() {
        let all = [item("default", "web"), item("shop", "db")];
        let selection = |name: &str| Selection {
            stack: Some("default".parse().unwrap()),
            names: vec![name.to_owned()],
            selector: Selector::default(),
        };
        let missing = selection("wbe").missing(Kind::Services, &all);
        assert_eq!(missing, ["no service `wbe` in stack default; did you mean `web`?"]);
        let missing = selection("db").missing(Kind::Services, &all);
        assert_eq!(missing, ["no service `db` in stack default; there is one in stack shop: add -s shop"]);
        assert!(selection("web").missing(Kind::Services, &all).is_empty());
    }

    #[test]
    fn one_object_is_one_only_if_its_own_name_was_asked_for() {
        let selection = Selection { names: vec!["web".to_owned()], ..Selection::default() };
        assert!(selection.is_single(&[item("default", "web")]));
        let task = Item {
            names: vec!["web.1.x".to_owned()],
            part_of: vec!["web".to_owned()],
            ..item("default", "x")
        };
        assert!(selection.has(&task) && !selection.is_single(&[task]));
    }
}
