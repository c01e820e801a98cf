//! Placement constraints: what a node must be, so that a task may be placed on it.
//!
//! SwarmKit's grammar and rules (`manager/constraint`), and more:
//!
//! | written | met by a node |
//! |---|---|
//! | `node.labels.zone == a` | whose value is this one, in upper or lower case |
//! | `node.labels.zone != a` | whose value is another one, or that has none |
//! | `node.labels.zone in (a, b)` | whose value is one of these |
//! | `node.labels.zone not in (a, b)` | whose value is none of these, or that has none |
//! | `node.labels.gpu exists` | that has it, with whatever value, also an empty one |
//! | `node.labels.gpu !exists` | that does not have it |
//! | `node.labels.slots >= 16` | whose value is a decimal number, and so large; `<`, `<=`, `>` likewise |
//!
//! In values of `==`, `!=` and lists `*` stands for any text and `?` for any one character; `\*` and `\?` for themselves.
//! SwarmKit compares them literally. `node.ip` is compared with addresses and networks, of IPv4 or IPv6. All constraints of
//! a service must be met.
//!
//! Properties: `node.id` (upper and lower case count), `node.name`, `node.hostname`, `node.ip`, `node.role`,
//! `node.platform.os`, `node.platform.arch`, `node.labels.KEY`, `engine.labels.KEY` (in KEY, upper and lower case count).

mod doubt;
#[cfg(test)]
mod grammar_tests;
mod network;
mod number;
mod parse;
mod pattern;
mod platform;
mod property;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::ops::Not as _;
use std::str::FromStr;

use crate::constraint::network::Network;
use crate::constraint::number::Number;
use crate::constraint::pattern::Pattern;
use crate::service::Placement;

pub use parse::ConstraintError;
pub use property::{NodeFacts, Property};

/// A condition that a node must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    text: Box<str>,
    property: Property,
    test: Test,
    /// A value that meets it, if there is one.
    example: Option<Box<str>>,
}

/// What the value of the property must be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// `==` and `in`.
    Among(Values),
    /// `!=` and `not in`: none of these, or missing.
    Beside(Values),
    /// `exists`
    There,
    /// `!exists`
    Missing,
    /// `<` and the like: a number that is ordered so with regard to this one.
    Ordered(Comparison, Number),
    /// It looks at what no node has, or compares addresses with what is none: no node meets it, with `!=` neither.
    Never,
}

/// What the value of a property is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Patterns(Box<[Pattern]>),
    Networks(Box<[Network]>),
}

/// How a number compares with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What a node must have for a constraint to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// This value of the property, or a similar one.
    Value(&'a str),
    /// The property must not be there.
    Nothing,
    /// No value helps.
    Impossible,
}

impl Constraint {
    /// What it looks at.
    pub fn property(&self) -> &Property {
        &self.property
    }

    /// Whether `node` meets it. It allocates nothing: the scheduler asks it millions of times a second.
    pub fn matches(&self, node: &NodeFacts<'_>) -> bool {
        let found = self.property.value(node);
        match &self.test {
            Test::Among(values) => found.is_some_and(|found| values.have(found)),
            Test::Beside(values) => !found.is_some_and(|found| values.have(found)),
            Test::There => found.is_some(),
            Test::Missing => found.is_none(),
            Test::Ordered(comparison, number) => {
                found.and_then(|found| number.against(found)).is_some_and(|order| comparison.holds(order))
            }
            Test::Never => false,
        }
    }

    /// Whether it says the same as `other`, however it is written.
    pub fn means(&self, other: &Self) -> bool {
        self.property == other.property && self.test == other.test && self.test != Test::Never
    }

    /// What a node that does not meet it must have to do so: for advice.
    pub fn wanted(&self) -> Wanted<'_> {
        match (&self.test, &self.example) {
            (Test::Beside(_) | Test::Missing, _) => Wanted::Nothing,
            (Test::Among(_) | Test::There | Test::Ordered(..), Some(example)) => Wanted::Value(example),
            (Test::Among(_) | Test::There | Test::Ordered(..) | Test::Never, _) => Wanted::Impossible,
        }
    }
}

impl Values {
    fn have(&self, found: &str) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(found)),
            Self::Networks(networks) => {
                found.parse().is_ok_and(|address| networks.iter().any(|network| network.contains(address)))
            }
        }
    }
}

impl Comparison {
    /// Whether a value that is so ordered with regard to the constraint's meets it.
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        parse::constraint(text)
    }
}

/// The text as it was written.
impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Placement {
    /// Why `node` is none of the nodes that this asks for, in a few words; nothing if it is one. A constraint that does
    /// not parse is met by no node.
    pub fn misfit(&self, node: &NodeFacts<'_>) -> Option<String> {
        let unmet = self.constraints.iter().find(|text| {
            let constraint: Result<Constraint, _> = text.parse();
            constraint.is_ok_and(|constraint| constraint.matches(node)).not()
        });
        if let Some(text) = unmet {
            return Some(format!("it does not meet {text:?}"));
        }
        let platform = node.report.map(|report| &report.platform);
        let runs = self.platforms.is_empty() || self.platforms.iter().any(|wanted| wanted.is_met(platform));
        (!runs).then(|| "the image does not run on its platform".to_owned())
    }
}
