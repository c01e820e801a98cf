//! `KEY=VALUE` and `KEY-` on the command line.

use std::collections::BTreeMap;
use std::str::FromStr;

use skep_api::constraint::Constraint;

/// What becomes of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assignment {
    /// It gets this value.
    Put(String, String),
    /// It goes.
    Remove(String),
}

impl Assignment {
    /// The key.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Put(key, _) | Self::Remove(key) => key,
        }
    }
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write KEY=VALUE to set it, or KEY- to remove it".to_owned();
        let assignment = match text.split_once('=') {
            Some((key, value)) => Self::Put(key.to_owned(), value.to_owned()),
            None => Self::Remove(text.strip_suffix('-').ok_or_else(wrong)?.to_owned()),
        };
        if assignment.key().is_empty() { Err(wrong()) } else { Ok(assignment) }
    }
}

/// Sets and removes keys of a map.
pub(crate) fn into_map(map: &mut BTreeMap<String, String>, pairs: &[Assignment]) {
    for pair in pairs {
        match pair {
            Assignment::Put(key, value) => map.insert(key.clone(), value.clone()),
            Assignment::Remove(key) => map.remove(key),
        };
    }
}

/// Adds constraints, and with `KEY-` removes all about a key. The list is kept sorted, as Docker does
/// (cli/command/service/update.go), so that the order in which it was built replaces no tasks.
pub(crate) fn constraints(list: &mut Vec<String>, words: &[String]) {
    for word in words {
        match word.strip_suffix('-').filter(|key| key_of(word).len() > key.len()) {
            Some(key) => list.retain(|known| key_of(known) != key),
            None if list.iter().any(|known| is_same(known, word)) => {}
            None => list.push(word.clone()),
        }
    }
    list.sort();
}

fn key_of(constraint: &str) -> &str {
    let end = |c: char| c.is_whitespace() || "=!<>".contains(c);
    constraint.trim_start().split(end).next().unwrap_or_default()
}

/// The same text, or the same meaning.
fn is_same(one: &str, two: &str) -> bool {
    let read = |text: &str| text.parse::<Constraint>().ok();
    one == two || read(one).zip(read(two)).is_some_and(|(one, two)| one.means(&two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_anything_and_a_dash_at_the_end_removes() {
        let put = |key: &str, value: &str| Ok(Assignment::Put(key.to_owned(), value.to_owned()));
        assert_eq!("A=b=c-".parse(), put("A", "b=c-"));
        assert_eq!("A=".parse(), put("A", ""));
        assert_eq!("A-".parse(), Ok(Assignment::Remove("A".to_owned())));
        for wrong in ["A", "=b", "-", ""] {
            assert!(wrong.parse::<Assignment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_of_constraints_is_sorted_and_has_each_once() {
        let mut list = vec!["node.role == worker".to_owned()];
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        constraints(
            &mut list,
            &words(&["node.role==worker", "node.labels.zone == a", "node.ip != 10.0.0.1"]),
        );
        assert_eq!(list, ["node.ip != 10.0.0.1", "node.labels.zone == a", "node.role == worker"]);
        constraints(&mut list, &words(&["node.labels.zone-", "node.labels-", "node.name == x-"]));
        assert_eq!(list, ["node.ip != 10.0.0.1", "node.name == x-", "node.role == worker"]);
        let more =
            ["node.labels.a in (b, c)", "node.labels.a in (b,c)", "node.labels.d exists", "node.labels.e>1"];
        constraints(&mut list, &words(&more));
        assert_eq!(list.len(), 6);
        constraints(&mut list, &words(&["node.labels.a-", "node.labels.d-", "node.labels.e-"]));
        assert_eq!(list.len(), 3);
    }
}
