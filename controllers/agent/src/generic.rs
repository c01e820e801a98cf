//! Generic resources, as people declare them to an agent: Docker's words for them (`node-generic-resources`; SwarmKit,
//! `api/genericresource/parse.go`).

use std::collections::{BTreeMap, BTreeSet};

use skep_api::node::Generic;

/// What a machine has of each kind.
pub type Generics = BTreeMap<String, Generic>;

/// Why a declaration says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenericError {
    /// It is not of the form that it should have.
    #[error("{0:?} is not of the form KIND=VALUE, such as GPU=uuid1 or SSD=4")]
    Malformed(String),
    /// The kind could not be the end of a variable's name.
    #[error("{0:?} is no kind of resource: use letters, digits, '-', '_' and '.'")]
    Kind(String),
    /// There are so many of it, and there are names.
    #[error(
        "{0} is counted in one place and named in another: either give one number, as {0}=4, or give names only"
    )]
    Mixed(String),
    /// There are two numbers.
    #[error("{0} is counted twice: give one number")]
    CountedTwice(String),
}

/// Reads declarations of the form `KIND=VALUE`. A number alone says how many there are, anything else is the name of one; a
/// declaration may be several, with commas between them.
///
/// # Errors
/// A declaration that is none, or two of one kind that contradict each other.
pub fn parse<'a>(declared: impl IntoIterator<Item = &'a str>) -> Result<Generics, GenericError> {
    let mut generics = Generics::new();
    for term in declared.into_iter().flat_map(|text| text.split(',')) {
        let malformed = || GenericError::Malformed(term.to_owned());
        let (kind, value) = term.split_once('=').ok_or_else(malformed)?;
        let (kind, value) = (kind.trim(), value.trim());
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
        if kind.is_empty() || value.is_empty() || value.contains('=') {
            return Err(malformed());
        }
        if !kind.chars().all(is_plain) {
            return Err(GenericError::Kind(kind.to_owned()));
        }
        let new = match value.parse() {
            Ok(count) => Generic::Count(count),
            // Docker refuses a negative number too.
            Err(_) if value.parse::<i64>().is_ok() => return Err(malformed()),
            Err(_) => Generic::Named([value.to_owned()].into()),
        };
        match (generics.get_mut(kind), new) {
            (None, new) => drop(generics.insert(kind.to_owned(), new)),
            (Some(Generic::Named(names)), Generic::Named(more)) => names.extend(more),
            (Some(Generic::Count(_)), Generic::Count(_)) => {
                return Err(GenericError::CountedTwice(kind.to_owned()));
            }
            (Some(_), _) => return Err(GenericError::Mixed(kind.to_owned())),
        }
    }
    Ok(generics)
}

/// What a task's process is told of the generic resources that it has: `DOCKER_RESOURCE_<KIND>`, in capitals, with the names that
/// it was given, or with their number where they have none (SwarmKit, `EnvFormat`).
pub(crate) fn env(
    claimed: &BTreeMap<String, BTreeSet<String>>,
    reserved: &BTreeMap<String, u32>,
) -> BTreeMap<String, String> {
    let variable = |kind: &str| format!("DOCKER_RESOURCE_{}", kind.to_uppercase());
    let counts = reserved.iter().filter(|(_, count)| **count > 0);
    let mut env: BTreeMap<String, String> =
        counts.map(|(kind, count)| (variable(kind), count.to_string())).collect();
    env.extend(claimed.iter().map(|(kind, names)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        (variable(kind), names.join(","))
    }));
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    /// Swarm 4.6
    #[test]
    fn a_number_alone_is_a_count_and_several_names_of_one_kind_are_a_set() {
        let found = parse(["GPU=uuid1", "SSD=4", "GPU=uuid2,FPGA=a 1", "GPU=uuid1"]).unwrap();
        let expected = [
            ("FPGA".to_owned(), Generic::Named(names(["a 1"]))),
            ("GPU".to_owned(), Generic::Named(names(["uuid1", "uuid2"]))),
            ("SSD".to_owned(), Generic::Count(4)),
        ];
        assert_eq!(found, expected.into());
        assert_eq!(parse([]), Ok(Generics::new()));
    }

    #[test]
    fn what_contradicts_itself_or_says_nothing_is_refused_in_words() {
        let refused = |declared: &[&str]| parse(declared.iter().copied()).unwrap_err().to_string();
        assert!(
            refused(&["GPU=uuid1", "GPU=2"]).starts_with("GPU is counted in one place and named in another")
        );
        assert!(
            refused(&["GPU=2", "GPU=uuid1"]).starts_with("GPU is counted in one place and named in another")
        );
        assert_eq!(refused(&["SSD=1,SSD=2"]), "SSD is counted twice: give one number");
        for term in ["GPU", "GPU=", "=4", "SSD=-1", "A=b=c", ""] {
            let words = refused(&[term]);
            assert_eq!(words, format!("{term:?} is not of the form KIND=VALUE, such as GPU=uuid1 or SSD=4"));
        }
        assert!(refused(&["a b=1"]).starts_with("\"a b\" is no kind of resource"));
    }

    /// Swarm 4.6
    #[test]
    fn a_process_is_told_what_it_was_given_and_of_the_rest_how_many() {
        let reserved = [("gpu".to_owned(), 2), ("SSD".to_owned(), 3), ("none".to_owned(), 0)].into();
        let found = env(&[("gpu".to_owned(), names(["uuid2", "uuid1"]))].into(), &reserved);
        let expected = [("DOCKER_RESOURCE_GPU", "uuid1,uuid2"), ("DOCKER_RESOURCE_SSD", "3")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
