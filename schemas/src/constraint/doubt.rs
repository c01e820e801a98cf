//! Constraints that are well formed, as SwarmKit sees it, and that no node will ever meet.

use crate::constraint::property::{SUCH_AS, meant};
use crate::constraint::{Constraint, Property, Test};
use crate::manifest::nearest;

/// Why no node will meet a constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// What is odd, to come after the constraint and a colon.
    pub(crate) reason: String,
    /// What to write instead; may be empty.
    pub(crate) hint: String,
    /// Where it is odd, in bytes from the start of the text.
    pub(crate) at: usize,
    /// How many bytes are odd.
    pub(crate) length: usize,
}

const ROLES: [&str; 2] = ["worker", "manager"];

impl Constraint {
    /// Why no node will ever meet it; nothing if one may.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        let start = self.text.len() - self.text.trim_start().len();
        let key_length = self.text.get(start..)?.find(|c: char| c.is_whitespace() || "=!<>~(".contains(c))?;
        if self.property == Property::Unknown {
            let key = self.text.get(start..start + key_length)?;
            let hint = meant(key).map_or(SUCH_AS.to_owned(), |meant| format!("did you mean `{meant}`?"));
            return Some(Doubt {
                reason: "nodes have no such property".to_owned(),
                hint,
                at: start,
                length: key_length,
            });
        }
        let (before, value) = self.text.split_once("==").or_else(|| self.text.split_once("!="))?;
        let at = before.len() + 2 + value.len() - value.trim_start().len();
        let value = value.trim();
        let odd =
            |reason: &str, hint: String| Doubt { reason: reason.to_owned(), hint, at, length: value.len() };
        if self.test == Test::Never {
            let hint = "such as 10.0.0.7, 10.0.0.0/8 or fd00::/8".to_owned();
            return Some(odd("the value is neither an address nor a network", hint));
        }
        let is_role = |role: &&str| match &self.test {
            Test::Among(values) => values.have(role),
            Test::Beside(_) | Test::There | Test::Missing | Test::Ordered(..) | Test::Never => true,
        };
        if self.property == Property::Role && !ROLES.iter().any(is_role) {
            let near = nearest(value, ROLES.into_iter());
            let hint = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
            return Some(odd("nodes are workers or managers", hint));
        }
        None
    }
}
