//! What is proposed to people helps, and nothing smaller would have.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skep_api::ident::NodeId;
use skep_api::key::{Key, ServiceRef};
use skep_api::node::{Availability, Generic, NodeSpec, NodeState, Plugins};
use skep_api::object::Object;
use skep_api::quantity::{Cpus, Memory};
use skep_api::rollout::Revision;
use skep_api::service::{Affinity, Placement, PlatformRequirement};
use skep_api::task::{Remedy, RemedyStep};

use crate::cluster::*;
use crate::fitting::{named, tell};

/// A core, in its thousand-millionths.
const CORE: u64 = 1_000_000_000;
const DOUBTFUL: &str = "no node is missing";

/// A node of a random cluster.
#[derive(Debug, Clone)]
struct Machine {
    memory: u64,
    cpus: u64,
    availability: Availability,
    state: NodeState,
    zone: Option<&'static str>,
    is_arm: bool,
    has_driver: bool,
    gpus: u64,
    /// Tasks of other services that are there.
    guests: Vec<&'static str>,
}

/// What the service of a random cluster asks for.
#[derive(Debug, Clone)]
struct Wish {
    memory: u64,
    cpus: u64,
    gpus: u64,
    task: &'static str,
    rest: &'static str,
    placement: String,
}

fn machine() -> impl Strategy<Value = Machine> {
    let availability = prop::sample::select(vec![
        Availability::Active,
        Availability::Active,
        Availability::Pause,
        Availability::Drain,
    ]);
    let state = prop::sample::select(vec![NodeState::Ready, NodeState::Ready, NodeState::Down]);
    let zone = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c")]);
    let guests = prop::sample::subsequence(vec!["db", "tcp", "web"], 0..=3);
    let flags = (any::<bool>(), any::<bool>());
    let capacity = (prop::sample::select(vec![5_u64, 30, 100]), prop::sample::select(vec![1_u64, 4, 8]));
    (capacity, availability, state, zone, flags, 0..3_u64, guests).prop_map(
        |((memory, cpus), availability, state, zone, (is_arm, has_driver), gpus, guests)| Machine {
            memory,
            cpus,
            availability,
            state,
            zone,
            is_arm,
            has_driver,
            gpus,
            guests,
        },
    )
}

fn wish() -> impl Strategy<Value = Wish> {
    let by_id = format!("node.id == {}", node_id(1));
    let constraints = [
        "node.labels.zone == a",
        "node.labels.zone != c",
        "node.labels.zone in (a, b)",
        "node.labels.zone exists",
        "node.labels.zone == b",
        "node.role == manager",
        "node.name == n2",
        "node.hostname == host-2",
        &by_id,
    ];
    let constraints = prop::sample::subsequence(constraints.map(str::to_owned).to_vec(), 0..4);
    let affinity = prop::sample::subsequence(
        vec!["{with: db}", "{apart: db}", "{with: db, level: node.labels.zone}", "{apart: web}"],
        0..2,
    );
    let task = prop::sample::select(vec![
        "",
        ", mounts: [{source: v, target: /v, driver: nfs}]",
        ", mounts: [{source: v, target: /v}]",
    ]);
    let port = ", hostPorts: [{target: 80, published: 80, mode: host}]";
    let rest = prop::sample::select(vec!["", port, ", volumes: {v: {node: n2}}"]);
    let platforms = prop::sample::select(vec!["", ", platforms: [{architecture: amd64}]"]);
    let flags = (platforms, 0..2_u32);
    let reserved = (prop::sample::select(vec![0_u64, 20, 120]), prop::sample::select(vec![0_u64, 0, 2, 16]));
    (reserved, 0..3_u64, task, rest, constraints, affinity, flags).prop_map(
        |((memory, cpus), gpus, task, rest, constraints, affinity, (platforms, limit))| Wish {
            memory,
            cpus,
            gpus,
            task,
            rest,
            placement: format!(
                "constraints: [{}], affinity: [{}], maxReplicasPerNode: {limit}{platforms}",
                constraints.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", "),
                affinity.join(", ")
            ),
        },
    )
}

fn build(machines: &[Machine], wish: &Wish) -> Cluster {
    let mut cluster = cluster();
    let resources = format!(
        ", resources: {{reservations: {{memory: {}Mi, cpus: {}, generic: {{GPU: {}}}}}}}",
        wish.memory, wish.cpus, wish.gpus
    );
    add_revision(&mut cluster, "web", 1, &format!("{resources}{}", wish.task), wish.rest);
    add_revision(&mut cluster, "db", 1, "", "");
    add_revision(&mut cluster, "tcp", 1, "", ", hostPorts: [{target: 80, published: 80, mode: host}]");
    // Those of `web` that are there are of another revision, so that they take nothing.
    add_revision(&mut cluster, "web", 2, "", "");
    for (number, machine) in (1..).zip(machines) {
        let labels = machine.zone.map(|zone| ("zone".to_owned(), zone.to_owned())).into_iter().collect();
        let spec = NodeSpec { availability: machine.availability, labels, ..node_spec(number) };
        add_node_with(&mut cluster, number, machine.memory, spec);
        set_report(&mut cluster, number, machine.memory, if machine.is_arm { "arm64" } else { "amd64" });
        tell(&mut cluster, number, |report| {
            report.hostname = format!("host-{number}");
            report.capacity.cpus = Cpus::from_nanos(machine.cpus * CORE);
            report.generic = [("GPU".to_owned(), Generic::Count(machine.gpus))].into();
            let volume = if machine.has_driver { "nfs" } else { "local" };
            report.plugins = Plugins { volume: [volume.to_owned()].into(), ..Plugins::default() };
        });
        set_state(&mut cluster, number, machine.state);
        for guest in &machine.guests {
            let slot = u32::try_from(number).unwrap() + 10;
            let guest_task =
                skep_api::task::Task { revision: if *guest == "web" { 2 } else { 1 }, ..task(guest, slot) };
            on_node(&mut cluster, &pending(guest, slot, 1), number, guest_task);
        }
    }
    set_placement(&mut cluster, "web", &wish.placement);
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    cluster
}

fn is_placed(cluster: &Cluster) -> bool {
    let name = pending("web", 1, 1).name;
    tasks(cluster).iter().any(|(key, _)| key.name == name && key.place.node().is_some())
}

fn remedy_of(cluster: &Cluster) -> Option<Remedy> {
    status_of(cluster, &pending("web", 1, 1))?.remedy
}

fn edit_node(cluster: &mut Cluster, number: u64, edit: impl FnOnce(&mut NodeSpec)) {
    let key = Key::Node(node_id(number));
    let Some(Object::Node(spec)) = cluster.object(&key) else { panic!("{DOUBTFUL}") };
    let mut spec = (**spec).clone();
    edit(&mut spec);
    cluster.put(key, spec);
}

fn edit_revision(cluster: &mut Cluster, name: &str, edit: impl FnOnce(&mut Revision)) {
    let key = Key::Revision(uid(name), 1);
    let Some(Object::Revision(revision)) = cluster.object(&key) else { panic!("{DOUBTFUL}") };
    let mut revision = (**revision).clone();
    edit(&mut revision);
    cluster.put(key, revision);
}

fn edit_placement(cluster: &mut Cluster, of: &ServiceRef, edit: impl FnOnce(&mut Placement)) {
    let key = Key::Service(of.clone());
    let Some(Object::Service(service)) = cluster.object(&key) else { panic!("{DOUBTFUL}") };
    let mut service = (**service).clone();
    edit(&mut service.spec.placement);
    cluster.put(key, service);
}

/// Does what people are told to do.
fn apply(cluster: &mut Cluster, step: &RemedyStep) {
    let number = |node: &NodeId| (1..9).find(|number| node_id(*number) == *node).unwrap();
    let web = service("web");
    match step {
        RemedyStep::Activate { node } => {
            edit_node(cluster, number(node), |spec| spec.availability = Availability::Active);
        }
        RemedyStep::Revive { node } => set_state(cluster, number(node), NodeState::Ready),
        RemedyStep::FreeCpus { node, cpus } => tell(cluster, number(node), |report| {
            let more = report.capacity.cpus.as_nanos().saturating_add(cpus.as_nanos());
            report.capacity.cpus = Cpus::from_nanos(more);
        }),
        RemedyStep::FreeMemory { node, memory } => tell(cluster, number(node), |report| {
            let more = report.capacity.memory.as_bytes().saturating_add(memory.as_bytes());
            report.capacity.memory = Memory::from_bytes(more);
        }),
        RemedyStep::FreeGeneric { node, kind, count } => tell(cluster, number(node), |report| {
            let has = report.generic.get(kind).map_or(0, Generic::count);
            report.generic.insert(kind.clone(), Generic::Count(has.saturating_add(*count)));
        }),
        RemedyStep::Install { node, name, .. } => tell(cluster, number(node), |report| {
            report.plugins.volume.insert(name.clone());
        }),
        RemedyStep::Label { node, key, value } => edit_node(cluster, number(node), |spec| {
            spec.labels.insert(key.clone(), value.clone());
        }),
        RemedyStep::Unlabel { node, key } => edit_node(cluster, number(node), |spec| {
            spec.labels.remove(key);
        }),
        RemedyStep::Relax { constraint } => edit_placement(cluster, &web, |placement| {
            placement.constraints.retain(|text| text != constraint);
        }),
        RemedyStep::Port { platform, .. } => edit_placement(cluster, &web, |placement| {
            let (os, architecture) = platform.split_once('/').unwrap();
            let (os, architecture) = (os.to_owned(), architecture.to_owned());
            placement.platforms.push(PlatformRequirement { os, architecture });
        }),
        RemedyStep::FreePort { node, .. } => {
            let holder = pending("tcp", u32::try_from(number(node)).unwrap() + 10, 1);
            let key = holder.at(skep_api::key::Place::Node(node.clone()));
            observe(cluster, &key, skep_api::task::TaskState::Shutdown);
        }
        RemedyStep::RaiseMaxReplicas { to } => {
            edit_placement(cluster, &web, |placement| placement.max_replicas_per_node = *to);
        }
        RemedyStep::MoveVolume { volume, node } => edit_revision(cluster, "web", |revision| {
            revision.volumes.get_mut(volume).unwrap().node = Some(node.to_string());
        }),
        RemedyStep::DropAffinity { service, other } => edit_placement(cluster, service, |placement| {
            let names = |term: &Affinity| term.with.as_ref().or(term.apart.as_ref()) == Some(&other.name);
            placement.affinity.retain(|term| !names(term));
        }),
    }
}

/// What could be proposed as one step, each as large as it may be, in the order in which it would be preferred.
fn single_steps(machines: &[Machine], wish: &Wish) -> Vec<RemedyStep> {
    let nodes = machines.len() as u64;
    let ids = || (1..=nodes).map(node_id);
    let big = Memory::from_bytes(1 << 50);
    let (zone, kind) = (|| "zone".to_owned(), || "GPU".to_owned());
    let install = |node| RemedyStep::Install { node, kind: "volume".to_owned(), name: "nfs".to_owned() };
    let mut steps: Vec<RemedyStep> = ids().map(|node| RemedyStep::Activate { node }).collect();
    steps.extend(ids().map(|node| RemedyStep::Revive { node }));
    let all = Cpus::from_nanos(1_000 * CORE);
    steps.extend(ids().map(|node| RemedyStep::FreeCpus { node, cpus: all }));
    steps.extend(ids().map(|node| RemedyStep::FreeMemory { node, memory: big }));
    steps.extend(ids().map(|node| RemedyStep::FreeGeneric { node, kind: kind(), count: 1 << 30 }));
    steps.extend(ids().map(install));
    // A value that nothing asks for and no node has is not made up.
    let is_known = |value: &&str| {
        let asked = [format!("== {value}\""), format!("({value},"), format!(", {value})")];
        asked.iter().any(|text| wish.placement.contains(text))
            || machines.iter().any(|it| it.zone == Some(value))
    };
    for value in ["a", "b", "c"].into_iter().filter(is_known) {
        steps.extend(ids().map(|node| RemedyStep::Label { node, key: zone(), value: value.to_owned() }));
    }
    steps.extend(ids().map(|node| RemedyStep::Unlabel { node, key: zone() }));
    let constraints: BTreeSet<&str> = wish.placement.split('"').skip(1).step_by(2).collect();
    let relax = |constraint: &str| RemedyStep::Relax { constraint: constraint.to_owned() };
    steps.extend(constraints.into_iter().map(relax));
    for platform in ["linux/arm64", "linux/amd64"] {
        steps.extend(ids().map(|node| RemedyStep::Port { node, platform: platform.to_owned() }));
    }
    steps.push(RemedyStep::RaiseMaxReplicas { to: 100 });
    if wish.rest.contains("volumes") {
        steps.extend(ids().map(|node| RemedyStep::MoveVolume { volume: "v".parse().unwrap(), node }));
    }
    for other in ["db", "web"] {
        steps.push(RemedyStep::DropAffinity { service: service("web"), other: service(other) });
    }
    steps
}

/// Whether a step of the kind of `step` comes before those of the kind of `other`.
fn is_easier(step: &RemedyStep, other: &RemedyStep) -> bool {
    std::mem::discriminant(step) != std::mem::discriminant(other) && step < other
}

fn check(machines: &[Machine], wish: &Wish) {
    let mut cluster = build(machines, wish);
    if is_placed(&cluster) {
        return;
    }
    let remedy = remedy_of(&cluster).expect("something is proposed");
    assert!(!remedy.steps.is_empty(), "{remedy:?}");
    for step in &remedy.steps {
        apply(&mut cluster, step);
    }
    cluster.settle();
    assert!(is_placed(&cluster), "{remedy:?} did not help");
    let has_neighbours = wish.placement.contains("level");
    for step in single_steps(machines, wish) {
        // A label tells where a machine is: nobody is told to change it for the sake of neighbours alone.
        if has_neighbours && matches!(step, RemedyStep::Label { .. } | RemedyStep::Unlabel { .. }) {
            continue;
        }
        if remedy.steps.len() > 1 || is_easier(&step, &remedy.steps[0]) {
            let mut cluster = build(machines, wish);
            apply(&mut cluster, &step);
            cluster.settle();
            assert!(!is_placed(&cluster), "{step:?} is smaller than {remedy:?}");
        }
    }
    // One byte, one of a kind, or one task less is not enough anywhere.
    let [only] = &remedy.steps[..] else { return };
    for step in (1..=machines.len() as u64).filter_map(|number| a_little_less(only, node_id(number))) {
        let mut cluster = build(machines, wish);
        apply(&mut cluster, &step);
        cluster.settle();
        assert!(!is_placed(&cluster), "{step:?} would do as well as {only:?}");
    }
}

/// The same as `step` on `node`, but for the smallest amount that counts; nothing if it has no amount.
#[allow(clippy::wildcard_enum_match_arm)] // All others are done, or not.
fn a_little_less(step: &RemedyStep, node: NodeId) -> Option<RemedyStep> {
    match step {
        RemedyStep::FreeCpus { cpus, .. } => {
            Some(RemedyStep::FreeCpus { node, cpus: Cpus::from_nanos(cpus.as_nanos() - 1) })
        }
        RemedyStep::FreeMemory { memory, .. } => {
            Some(RemedyStep::FreeMemory { node, memory: Memory::from_bytes(memory.as_bytes() - 1) })
        }
        RemedyStep::FreeGeneric { kind, count, .. } => {
            Some(RemedyStep::FreeGeneric { node, kind: kind.clone(), count: count - 1 })
        }
        RemedyStep::RaiseMaxReplicas { to } => Some(RemedyStep::RaiseMaxReplicas { to: to - 1 }),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn what_is_proposed_helps_and_nothing_smaller_does(
        machines in prop::collection::vec(machine(), 1..4), wish in wish(),
    ) {
        check(&machines, &wish);
    }
}

fn message_for(edit: impl FnOnce(&mut Cluster)) -> String {
    let mut cluster = cluster();
    add_node_with(&mut cluster, 1, 100, labelled(1, "zone", "east"));
    add_node_with(&mut cluster, 2, 64, labelled(2, "zone", "west"));
    add_service(&mut cluster, "web", 10);
    edit(&mut cluster);
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    remedy_of(&cluster).unwrap().message
}

#[test]
fn a_remedy_is_one_sentence_with_the_command() {
    let drained = NodeSpec { availability: Availability::Drain, ..node_spec(1) };
    let cases = [
        (
            message_for(|cluster| add_service(cluster, "web", 128)),
            "free 28Mi of memory on n1, or add a node with 128Mi of memory",
        ),
        (
            message_for(|cluster| {
                cluster.put(Key::Node(node_id(1)), drained);
                cluster.delete(Key::Node(node_id(2)));
            }),
            "`skep activate n1`",
        ),
        (
            message_for(|cluster| set_placement(cluster, "web", "constraints: [node.labels.disk == ssd]")),
            "`skep label node/n1 disk=ssd`",
        ),
        (
            message_for(|cluster| set_placement(cluster, "web", "constraints: [node.labels.zone == easst]")),
            "`skep label node/n1 zone=easst`, if you did not mean node.labels.zone == east",
        ),
        (
            message_for(|cluster| set_placement(cluster, "web", "constraints: [node.role == manager]")),
            "drop the constraint `node.role == manager` of the service",
        ),
        (
            message_for(|cluster| {
                add_revision(cluster, "web", 1, ", resources: {reservations: {generic: {GPU: 2}}}", "");
                tell(cluster, 2, |report| drop(report.generic.insert("GPU".to_owned(), named(&["u1"]))));
            }),
            "free 1 GPU on n2, or add a node with 2 GPU",
        ),
        (
            message_for(|cluster| {
                cluster.delete(Key::Node(node_id(1)));
                cluster.delete(Key::Node(node_id(2)));
            }),
            "add a node with 10Mi of memory",
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(message, expected);
    }
}

#[test]
fn the_nearest_value_and_the_nearest_nodes_are_named() {
    let mut cluster = cluster();
    for (number, zone) in [(1, "west"), (2, "east"), (3, "north"), (4, "south")] {
        add_node_with(&mut cluster, number, 100, labelled(number, "zone", zone));
    }
    add_service(&mut cluster, "web", 10);
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == easst]");
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    let obstacle = status_of(&cluster, &pending("web", 1, 1)).unwrap().obstacles.remove(0);
    assert_eq!(
        obstacle.detail,
        "n1 does not meet node.labels.zone == easst: did you mean node.labels.zone == east?"
    );
    let near: Vec<&str> = obstacle.near.iter().map(|near| near.node.as_str()).collect();
    assert_eq!((obstacle.nodes, near), (4, vec!["n1", "n2", "n3"]));
    assert_eq!(obstacle.near[0].missing, "does not meet node.labels.zone == easst");
}

/// Three drained nodes, and what is proposed to a service with this constraint.
fn message_when_all_are_drained(constraint: &str) -> String {
    let mut cluster = cluster();
    for number in 1..4 {
        let drained = NodeSpec { availability: Availability::Drain, ..node_spec(number) };
        add_node_with(&mut cluster, number, 100, drained);
        tell(&mut cluster, number, |report| report.hostname = format!("host-{number}"));
    }
    add_service(&mut cluster, "web", 10);
    set_placement(&mut cluster, "web", &format!("constraints: [\"{constraint}\"]"));
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    remedy_of(&cluster).unwrap().message
}

#[test]
fn a_service_that_wants_one_node_by_its_name_id_or_host_is_told_to_activate_that_one() {
    let id = format!("node.id == {}", node_id(2));
    for constraint in ["node.name == n2", &id, "node.hostname == host-2", "node.name in (n2, n7)"] {
        assert_eq!(message_when_all_are_drained(constraint), "`skep activate n2`", "{constraint}");
    }
}

#[test]
fn who_mistakes_the_name_of_a_node_for_its_host_is_told_the_right_property() {
    let cases = [
        ("node.hostname == n2", "node.name == n2"),
        ("node.name == host-2", "node.hostname == host-2"),
        ("node.id == n2", "node.name == n2"),
    ];
    for (constraint, meant) in cases {
        let message = message_when_all_are_drained(constraint);
        let words = format!("drop the constraint `{constraint}` of the service (did you mean {meant}?)");
        assert!(message.ends_with(&words), "{message}");
    }
}
