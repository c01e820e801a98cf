//! What constraints mean.

use std::collections::BTreeMap;

use super::*;
use crate::ident::NodeId;
use crate::node::{Engine, NodeReport, NodeSpec, Platform, Role};
use crate::service::PlatformRequirement;

/// What `look` sees of a node that has everything.
fn with_node<T>(look: impl FnOnce(&NodeFacts<'_>) -> T) -> T {
    let labels = [("zone", "A b"), ("empty", ""), ("slots", "16"), ("size", "16Gi"), ("star", "a*b")];
    with_labels(&labels, look)
}

/// What `look` sees of such a node with these labels.
pub(super) fn with_labels<T>(labels: &[(&str, &str)], look: impl FnOnce(&NodeFacts<'_>) -> T) -> T {
    let of = |labels: &[(&str, &str)]| {
        labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let spec = NodeSpec {
        drain: crate::node::DrainMode::default(),
        name: "n1".to_owned(),
        role: Role::Manager,
        availability: crate::node::Availability::Active,
        labels: of(labels),
    };
    let report = NodeReport {
        hostname: "host-1".to_owned(),
        address: "10.0.0.7".to_owned(),
        platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() },
        engine: Engine { version: String::new(), labels: of(&[("disk", "ssd")]) },
        ..NodeReport::default()
    };
    let id = NodeId::from_random(1);
    look(&NodeFacts { id: &id, spec: &spec, report: Some(&report) })
}

fn matches(constraint: &str) -> bool {
    with_node(|node| constraint.parse::<Constraint>().unwrap().matches(node))
}

#[test]
fn a_placement_names_what_a_node_does_not_meet() {
    let platform =
        |architecture: &str| PlatformRequirement { os: String::new(), architecture: architecture.to_owned() };
    let misfit = |constraints: &[&str], architectures: &[&str]| {
        let constraints = constraints.iter().map(|&text| text.to_owned()).collect();
        let platforms = architectures.iter().map(|name| platform(name)).collect();
        let placement = Placement { constraints, platforms, ..Placement::default() };
        with_node(|node| placement.misfit(node))
    };
    assert_eq!(misfit(&[], &[]), None);
    assert_eq!(misfit(&["node.role == manager"], &["arm64", "x86_64"]), None);
    assert!(misfit(&["node.role == worker"], &[]).unwrap().contains("node.role == worker"));
    assert!(misfit(&["nonsense"], &[]).is_some());
    assert!(misfit(&[], &["arm64"]).unwrap().contains("platform"));
}

#[test]
fn values_are_compared_without_case_and_keys_of_labels_with_it() {
    for yes in [
        "node.labels.zone == a B",
        "node.labels.zone!=b",
        "NODE.Role==MANAGER",
        "node.name == N1",
        "node.hostname == HOST-1",
        "node.platform.os == linux",
        "node.platform.arch != arm64",
        "engine.labels.disk == SSD",
        "node.id == 000000000001",
    ] {
        assert!(matches(yes), "{yes}");
    }
    for no in ["node.labels.zone == b", "node.labels.Zone == a b", "node.role != manager"] {
        assert!(!matches(no), "{no}");
    }
}

/// Swarm 4.5.
#[test]
fn a_label_of_the_node_and_one_of_its_engine_with_the_same_key_are_two() {
    with_labels(&[("disk", "hdd"), ("zone", "a")], |node| {
        let holds = |text: &str| text.parse::<Constraint>().unwrap().matches(node);
        assert!(holds("node.labels.disk == hdd") && !holds("node.labels.disk == ssd"));
        assert!(holds("engine.labels.disk == ssd") && !holds("engine.labels.disk == hdd"));
        assert!(!holds("engine.labels.zone exists"), "only the node has it");
    });
    with_labels(&[], |node| {
        let holds = |text: &str| text.parse::<Constraint>().unwrap().matches(node);
        assert!(holds("engine.labels.disk exists") && !holds("node.labels.disk exists"));
    });
}

#[test]
fn a_missing_label_is_unequal_and_an_unknown_key_never_matches() {
    assert!(!matches("node.labels.rack == 1"));
    assert!(matches("node.labels.rack != 1"));
    assert!(!matches("node.colour == red"));
    assert!(!matches("node.colour != red"));
}

#[test]
fn an_address_is_compared_with_an_address_or_a_network() {
    for yes in
        ["node.ip == 10.0.0.7", "node.ip == 10.0.0.0/24", "node.ip != 10.1.0.0/16", "node.ip == 0.0.0.0/0"]
    {
        assert!(matches(yes), "{yes}");
    }
    for no in
        ["node.ip == 10.0.0.8", "node.ip == 10.0.0.0/33", "node.ip != 10.0.0.0/33", "node.ip != nonsense"]
    {
        assert!(!matches(no), "{no}");
    }
}

#[test]
fn without_a_report_what_the_agent_says_is_unequal() {
    let id = NodeId::from_random(1);
    let spec = NodeSpec {
        drain: crate::node::DrainMode::default(),
        name: "n".to_owned(),
        role: Role::Worker,
        availability: crate::node::Availability::Active,
        labels: BTreeMap::new(),
    };
    let facts = NodeFacts { id: &id, spec: &spec, report: None };
    for (text, outcome) in
        [("node.hostname == x", false), ("node.hostname != x", true), ("node.ip != 10.0.0.1", true)]
    {
        assert_eq!(text.parse::<Constraint>().unwrap().matches(&facts), outcome, "{text}");
    }
}

#[test]
fn a_list_is_met_by_each_of_its_values_and_not_in_also_by_none() {
    for yes in [
        "node.labels.zone in (a b, c)",
        "node.labels.zone in(c,A B)",
        "node.labels.zone not in (c)",
        "node.labels.rack not in (a, b)",
        "node.ip in (10.1.0.0/16, 10.0.0.7)",
        "node.ip not in (fd00::/8, 10.1.0.0/16)",
        "node.role in (worker, manager)",
    ] {
        assert!(matches(yes), "{yes}");
    }
    for no in [
        "node.labels.zone in (a, b)",
        "node.labels.rack in (a)",
        "node.labels.zone not in (c, a b)",
        "node.ip in (10.1.0.0/16)",
        "node.colour not in (red)",
    ] {
        assert!(!matches(no), "{no}");
    }
}

#[test]
fn a_label_exists_with_whatever_value() {
    for yes in
        ["node.labels.zone exists", "node.labels.empty exists", "node.labels.rack !exists", "node.ip exists"]
    {
        assert!(matches(yes), "{yes}");
    }
    for no in
        ["node.labels.rack exists", "node.labels.empty !exists", "node.colour exists", "node.colour !exists"]
    {
        assert!(!matches(no), "{no}");
    }
    assert!(!matches("node.labels.empty == a") && matches("node.labels.empty != a"));
}

#[test]
fn numbers_are_compared_as_numbers_and_what_is_none_never_matches() {
    for yes in [
        "node.labels.slots > 9",
        "node.labels.slots>=16.0",
        "node.labels.slots <= 16",
        "node.labels.slots < 16.5",
        "node.labels.slots > -17",
    ] {
        assert!(matches(yes), "{yes}");
    }
    for no in [
        "node.labels.slots < 16",
        "node.labels.slots > 16",
        "node.labels.size > 1",
        "node.labels.size < 1",
        "node.labels.zone < 1",
        "node.labels.empty < 1",
        "node.labels.rack < 1",
        "node.colour < 1",
    ] {
        assert!(!matches(no), "{no}");
    }
    with_labels(&[("id", "9007199254740993"), ("low", "-0.25")], |node| {
        let holds = |text: &str| text.parse::<Constraint>().unwrap().matches(node);
        assert!(holds("node.labels.id > 9007199254740992"), "a float would round it");
        assert!(holds("node.labels.low > -0.3") && holds("node.labels.low < -0.20"));
        assert!(holds("node.labels.low<0"));
    });
}

/// SwarmKit compares `*` and `?` literally.
#[test]
fn stars_and_question_marks_stand_for_other_characters_unless_they_are_escaped() {
    for yes in [
        "node.labels.zone == a*",
        "node.labels.zone == *B",
        "node.labels.zone == a?b",
        "node.labels.zone == *",
        "node.labels.empty == *",
        "node.labels.zone in (x*, *b)",
        "node.labels.zone != b*",
        r"node.labels.star == a\*b",
        r"node.labels.star == a\**",
        "node.hostname == host-?",
    ] {
        assert!(matches(yes), "{yes}");
    }
    for no in [
        "node.labels.zone == a?",
        "node.labels.zone == *c*",
        "node.labels.rack == *",
        "node.labels.zone != *",
        r"node.labels.zone == a\*b",
        r"node.labels.star == a\?b",
        "node.ip == 10.*",
    ] {
        assert!(!matches(no), "{no}");
    }
}

#[test]
fn letters_beyond_ascii_are_lowered_as_well() {
    with_labels(&[("town", "KÖLN"), ("unit", "\u{212a}")], |node| {
        let holds = |text: &str| text.parse::<Constraint>().unwrap().matches(node);
        assert!(holds("node.labels.town == k?ln") && holds("node.labels.town == K*"));
        assert!(!holds("node.labels.town == koln"));
        assert!(holds("node.labels.unit == k"), "the sign of the kelvin is a k, as in Go");
    });
}

#[test]
fn addresses_of_version_6_are_compared_with_networks_as_well() {
    let id = NodeId::from_random(1);
    let spec = with_node(|node| node.spec.clone());
    let report = NodeReport { address: "fd00:1::7".to_owned(), ..NodeReport::default() };
    let facts = NodeFacts { id: &id, spec: &spec, report: Some(&report) };
    let holds = |text: &str| text.parse::<Constraint>().unwrap().matches(&facts);
    assert!(holds("node.ip == fd00::/8") && holds("node.ip == fd00:1::7") && holds("node.ip == ::/0"));
    assert!(holds("node.ip != fd00:2::/32") && holds("node.ip != 10.0.0.0/8"));
    assert!(!holds("node.ip == 0.0.0.0/0"));
    assert!(!holds("node.ip == fd00::/+8"), "a length is digits");
}

#[test]
fn what_would_meet_a_constraint_is_told() {
    let wanted = |text: &str| match text.parse::<Constraint>().unwrap().wanted() {
        Wanted::Value(value) => value.to_owned(),
        Wanted::Nothing => "nothing".to_owned(),
        Wanted::Impossible => "impossible".to_owned(),
    };
    for (text, expected) in [
        ("node.labels.a == B c", "B c"),
        ("node.labels.a == ssd*", "ssd"),
        ("node.labels.a in (x?, y)", "xx"),
        ("node.labels.a > 3.5", "4"),
        ("node.labels.a < 3", "2"),
        ("node.labels.a >= 3.5", "3.5"),
        ("node.labels.a exists", "true"),
        ("node.labels.a != b", "nothing"),
        ("node.labels.a not in (b)", "nothing"),
        ("node.labels.a !exists", "nothing"),
        ("node.colour == red", "impossible"),
        ("node.ip == ten", "impossible"),
    ] {
        assert_eq!(wanted(text), expected, "{text}");
    }
}

#[test]
fn constraints_that_are_written_differently_may_mean_the_same() {
    let means =
        |one: &str, two: &str| one.parse::<Constraint>().unwrap().means(&two.parse::<Constraint>().unwrap());
    assert!(means("node.role==worker", "NODE.role ==  Worker"));
    assert!(means("node.labels.a in (b,c)", "node.labels.a in ( b , c )"));
    assert!(!means("node.labels.a == b", "node.labels.A == b"));
    assert!(!means("node.colour == a", "node.color == a"));
}
