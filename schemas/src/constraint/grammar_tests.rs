//! What is said of texts that are no constraints, and what holds for all that are.

use proptest::prelude::*;

use super::tests::with_labels;
use super::*;

/// What is wrong, at which character, and what is meant.
#[track_caller]
fn assert_wrong(text: &str, character: usize, reason: &str, hint: &str) {
    let error = text.parse::<Constraint>().expect_err(text);
    assert_eq!(text.get(..error.at()).unwrap().chars().count() + 1, character, "{text:?}: {error}");
    assert!(error.reason().contains(reason) && error.hint().contains(hint), "{text:?}: {error}");
    assert!(error.at() + error.length() <= text.len(), "{text:?}: {error:?}");
    assert!(error.to_string().contains(&format!("at character {character}")), "{error}");
}

#[test]
fn what_is_not_a_constraint_is_refused_at_the_character_that_is_wrong() {
    for (text, character, reason, hint) in [
        ("", 1, "expected a property", "node.labels.KEY"),
        ("node.role", 10, "expected `==`", ""),
        ("node.role = x", 11, "not `=`", "`==`"),
        ("node.role =~ x", 11, "not `=~`", "with * and ?"),
        ("node.role => 3", 11, "not `=>`", "`>=`"),
        ("node.role === x", 13, "`=` cannot be in a value", ""),
        ("== x", 1, "expected a property", ""),
        ("n == x", 1, "two characters", ""),
        ("1a == x", 1, "expected a property", ""),
        ("node.role ==", 13, "expected a value", ""),
        ("node.role ==  ", 15, "expected a value", ""),
        ("node.role == ä", 14, "`ä` cannot", "letters"),
        ("node.rölle == a", 7, "name of a property", ""),
        ("node.role == 'worker'", 14, "cannot", "without quotes"),
        ("node.labels.a == b,c", 19, "cannot", "in (a, b)"),
        ("aa b == c", 4, "not `b`", ""),
        ("node.labels.a notin (b)", 15, "not `notin`", "`not in`"),
        ("node.labels.a !in (b)", 15, "not `!in`", "`not in`"),
        ("node.labels.a NOT IN (b)", 15, "not `NOT`", "`not in`"),
        ("node.labels.a In (b)", 15, "not `In`", "`in`"),
        ("node.labels.a not exists", 15, "not `not`", "`!exists`"),
        ("node.labels.a exist", 15, "not `exist`", "`exists`"),
        ("exists node.labels.a", 1, "expected a property", "first"),
        ("!exists node.labels.a", 1, "expected a property", "first"),
        ("node.labels.a exists true", 22, "nothing may follow", ""),
        ("node.labels.a in b", 18, "expected `(`", "in (a, b)"),
        ("node.labels.a in (b, c", 23, "expected `)`", ""),
        ("node.labels.a in (b, , c)", 22, "expected a value", ""),
        ("node.labels.a in ()", 19, "expected a value", ""),
        ("node.labels.a in (b) c", 22, "nothing may follow", ""),
        ("node.labels.a in (b(c)", 20, "cannot be in a list", ""),
        ("node.ip in (10.0.0.1, ten)", 23, "expected an address", "10.0.0.0/8"),
        ("node.ip > 10.0.0.1", 9, "neither less", "network"),
        ("node.labels.a > 16Gi", 17, "expected a decimal number", "2.5"),
        ("node.labels.a >", 16, "expected a decimal number", ""),
    ] {
        assert_wrong(text, character, reason, hint);
    }
}

#[test]
fn a_property_is_read_by_its_name_and_a_wrong_one_is_put_right() {
    for name in ["node.labels.Zone", "engine.labels.disk", "node.hostname", "node.platform.os", "node.role"] {
        assert_eq!(name.parse::<Property>().unwrap().to_string(), name);
    }
    assert_eq!("NODE.LABELS.Zone".parse(), Ok(Property::NodeLabel("Zone".to_owned())));
    for (wrong, meant) in [
        ("node.label.Zone", "node.labels.Zone"),
        ("labels.zone", "node.labels.zone"),
        ("engine.label.disk", "engine.labels.disk"),
        ("node.hostnam", "node.hostname"),
        ("node.arch", "node.platform.arch"),
        ("node.platform.architecture", "node.platform.arch"),
        ("node.lables.a.b", "node.labels.a.b"),
        ("role", "node.role"),
        ("zone", "node.labels.zone"),
    ] {
        let error = wrong.parse::<Property>().unwrap_err();
        assert!(error.hint().contains(&format!("`{meant}`")), "{error}");
    }
    for wrong in ["", "node.labels.", "node.role == x", "zone", " node.role "] {
        assert!(wrong.parse::<Property>().is_err(), "{wrong:?}");
    }
}

/// Texts that are often nearly constraints.
fn nearly() -> impl Strategy<Value = String> {
    const WORDS: [&str; 27] = [
        "node.labels.a",
        "node.role",
        "node.ip",
        "node.id",
        "zone",
        "==",
        "!=",
        "=",
        "<",
        ">=",
        "in",
        "not",
        "exists",
        "!exists",
        "(",
        ")",
        ",",
        "a",
        "10.0.0.0/8",
        "7",
        "-2.5",
        "*",
        "?",
        r"\*",
        "ä",
        " ",
        "",
    ];
    let words = || prop::collection::vec(prop::sample::select(WORDS.as_slice()), 0..9);
    prop_oneof![
        words().prop_map(|words| words.concat()),
        words().prop_map(|words| words.join(" ")),
        "\\PC{0,40}"
    ]
}

fn value() -> impl Strategy<Value = String> {
    r"[A-Ca-c0-2.*?\\]{1,6}"
}

fn list() -> impl Strategy<Value = String> {
    prop::collection::vec(value(), 1..4).prop_map(|values| values.join(", "))
}

/// Whether a node with the label `k` of this value meets it.
fn holds(constraint: &str, label: Option<&str>) -> bool {
    let labels: Vec<(&str, &str)> = label.map(|label| ("k", label)).into_iter().collect();
    with_labels(&labels, |node| constraint.parse::<Constraint>().unwrap().matches(node))
}

/// Tries every way to match.
fn slowly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', after)), rest) => {
            slowly(after, text) || rest.is_some_and(|(_, rest)| slowly(pattern, rest))
        }
        (Some((b'?', after)), Some((_, rest))) => slowly(after, rest),
        (Some((wanted, after)), Some((found, rest))) => wanted == found && slowly(after, rest),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_fail_and_errors_lie_within_it(text in nearly()) {
        match text.parse::<Constraint>() {
            Ok(constraint) => {
                prop_assert_eq!(constraint.to_string(), text.as_str());
                prop_assert_eq!(constraint.to_string().parse(), Ok(constraint.clone()));
                if let Some(doubt) = constraint.doubt() {
                    prop_assert!(text.get(doubt.at..doubt.at + doubt.length).is_some(), "{:?}", doubt);
                }
            }
            Err(error) => {
                prop_assert!(text.get(error.at()..error.at() + error.length()).is_some(), "{:?}", error);
            }
        }
        if let Ok(property) = text.parse::<Property>() {
            prop_assert_eq!(property.to_string().parse(), Ok(property));
        }
    }

    #[test]
    fn not_in_is_the_opposite_of_in_and_a_list_is_any_of_its_values(
        values in list(),
        label in "[a-cA-C0-2*?]{0,6}",
    ) {
        let is_in = holds(&format!("node.labels.k in ({values})"), Some(&label));
        prop_assert_eq!(is_in, !holds(&format!("node.labels.k not in ({values})"), Some(&label)));
        let is_any = |value: &str| holds(&format!("node.labels.k == {value}"), Some(&label));
        prop_assert_eq!(is_in, values.split(", ").any(is_any));
        let (inside, outside) = (format!("node.labels.k in ({values})"), format!("node.labels.k not in ({values})"));
        prop_assert!(!holds(&inside, None));
        prop_assert!(holds(&outside, None));
    }

    #[test]
    fn what_is_wanted_meets_it(
        value in value(),
        number in "-?[0-9]{1,4}(\\.[0-9]{1,2})?",
        operator in 0..6_usize,
    ) {
        let text = match operator {
            0 => format!("node.labels.k == {value}"),
            1 => format!("node.labels.k in ({value}, x)"),
            2 => "node.labels.k exists".to_owned(),
            3 => format!("node.labels.k < {number}"),
            4 => format!("node.labels.k > {number}"),
            _ => format!("node.labels.k <= {number}"),
        };
        let constraint: Constraint = text.parse().unwrap();
        let Wanted::Value(wanted) = constraint.wanted() else { panic!("{text}") };
        prop_assert!(holds(&text, Some(wanted)), "{} with {}", text, wanted);
    }

    #[test]
    fn numbers_are_ordered_as_integers_are(one in -99_999_i64..99_999, other in -99_999_i64..99_999) {
        let label = one.to_string();
        prop_assert_eq!(holds(&format!("node.labels.k < {other}"), Some(&label)), one < other);
        let long = format!("{label}.00");
        prop_assert_eq!(holds(&format!("node.labels.k >= {other}.0"), Some(&long)), one >= other);
    }

    #[test]
    fn a_pattern_matches_what_a_search_over_all_ways_finds(pattern in "[ab*?]{1,7}", text in "[ab]{0,7}") {
        let expected = slowly(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(holds(&format!("node.labels.k == {pattern}"), Some(&text)), expected);
    }
}
