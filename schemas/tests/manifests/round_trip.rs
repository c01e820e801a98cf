//! What is written reads back as itself, in one form only.

use std::collections::BTreeMap;

use proptest::prelude::*;
use skep_api::cluster::ClusterSpec;
use skep_api::container::{Limits, Mount, MountType, Reservations, ResourceRequirements, TaskTemplate};
use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::manifest::{self, Manifest, Source};
use skep_api::node::{Availability, NodeSpec, Role};
use skep_api::object::{Metadata, Object, Service};
use skep_api::quantity::{Cpus, Memory};
use skep_api::service::{Placement, Port, Protocol, PublishMode, RestartPolicy, ServiceSpec};
use skep_api::time::Span;

/// Text that YAML could take for something else.
const TRICKY: &[&str] = &[
    "",
    " ",
    "~",
    "null",
    "no",
    "on",
    "true",
    "012",
    "1.10",
    "1e3",
    "0x1f",
    "- a",
    "a: b",
    "#x",
    "'",
    "\"",
    "\\",
    "a\nb",
    "a\n",
    "\ta",
    "é",
    "🦀",
    "[",
    "{",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%",
    "@",
    "`",
    "---",
    "...",
    "2026-01-01",
    "1:30",
    "<<",
    "=",
    ".inf",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\r\n",
    "x-y",
    "a #b",
    "a:",
    ":",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(TRICKY).prop_map(str::to_owned),
        "[ -~]{0,30}",
        "\\PC{0,20}",
        "[a-z \n]{0,120}",
    ]
    .prop_filter("templates are refused", |text| !text.contains("{{"))
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?"
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-zA-Z0-9./_-]{1,20}", text(), 0..4)
}

fn mount() -> impl Strategy<Value = MountType> {
    prop::sample::select([MountType::Volume, MountType::Bind, MountType::Tmpfs].as_slice())
}

prop_compose! {
    fn mounts()(kinds in prop::collection::vec((mount(), any::<bool>(), 1_u64..1 << 40), 0..3)) -> Vec<Mount> {
        kinds.into_iter().enumerate().map(|(index, (kind, read_only, size))| Mount {
            kind,
            source: match kind {
                MountType::Tmpfs => None,
                MountType::Bind => Some(format!("/srv/{index}")),
                MountType::Volume | MountType::Npipe | MountType::Cluster => Some(format!("data-{index}")),
            },
            target: format!("/mnt/{index}"),
            read_only,
            size: (kind == MountType::Tmpfs).then_some(Memory::from_bytes(size)),
            mode: (kind == MountType::Tmpfs).then(|| "1777".to_owned()),
            options: Vec::new(),
            propagation: None,
            non_recursive: false,
            create_mountpoint: false,
            no_copy: false,
            subpath: None,
            driver: None,
            driver_options: BTreeMap::new(),
            labels: BTreeMap::new(),
            consistency: None,
        }).collect()
    }
}

prop_compose! {
    fn resources()(
        reserved in prop::option::of(1_000_000_u64..64_000_000_000),
        memory in prop::option::of(4_u64 << 20..1 << 40),
        is_limited in any::<bool>(),
    ) -> ResourceRequirements {
        let (cpus, memory) = (reserved.map(Cpus::from_nanos), memory.map(Memory::from_bytes));
        let limits = if is_limited { Limits { cpus, memory, pids: None } } else { Limits::default() };
        let reservations = Reservations { cpus, memory, ..Reservations::default() };
        ResourceRequirements { limits, reservations, ..ResourceRequirements::default() }
    }
}

prop_compose! {
    fn task()(
        command in prop::option::of(prop::collection::vec(text(), 0..3)),
        args in prop::option::of(prop::collection::vec(text(), 0..3)),
        env in prop::collection::btree_map("[A-Za-z_. -]{1,12}", text(), 0..5),
        user in prop::option::of(text()),
        labels in labels(),
        mounts in mounts(),
        resources in resources(),
        init in any::<bool>(),
        stop in prop::option::of(prop::sample::select(["SIGINT", "TERM", "15", "RTMIN+3"].as_slice())),
        grace in 0_u64..31_536_000_000,
        force_update in 0_u64..9,
    ) -> TaskTemplate {
        let plain = r#"{"image": "nginx:1.27", "workdir": "/srv", "hostname": "web-1.example.org"}"#;
        let base: TaskTemplate = serde_json::from_str(plain).unwrap();
        TaskTemplate {
            command,
            args,
            env,
            user,
            labels,
            mounts,
            resources,
            init,
            stop_signal: stop.map(str::to_owned),
            stop_grace_period: Span::from_millis(grace),
            force_update,
            ..base
        }
    }
}

prop_compose! {
    fn spec()(
        replicas in 0_u32..=10_000,
        task in task(),
        ports in prop::collection::btree_set(1_u16..=u16::MAX, 0..4),
        constraint in prop::sample::select(["node.role == worker", "node.labels.zone != a b"].as_slice()),
        delay in 0_u64..100_000_000,
    ) -> ServiceSpec {
        let port = |number| Port {
            name: None,
            target: number,
            published: if number % 2 == 0 { number } else { 0 },
            protocol: Protocol::Udp,
            mode: PublishMode::Host,
        };
        let base: ServiceSpec = serde_json::from_str(r#"{"task": {"image": "x"}}"#).unwrap();
        ServiceSpec {
            replicas,
            task,
            ports: ports.into_iter().map(port).collect(),
            placement: Placement { constraints: vec![constraint.to_owned()], ..Placement::default() },
            restart: RestartPolicy { delay: Span::from_millis(delay), ..RestartPolicy::default() },
            ..base
        }
    }
}

prop_compose! {
    fn service()(name in name(), stack in name(), labels in labels(), annotations in labels(), spec in spec()) -> Service {
        let metadata = Metadata {
            name: name.parse().unwrap(),
            stack: stack.parse().unwrap(),
            labels,
            annotations,
            version: None,
            uid: None,
        };
        Service { metadata, spec }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_service_reads_back_as_itself_and_has_one_form(service in service()) {
        let key = Key::Service(service.reference());
        let object = Object::from(service.clone());
        let stored = object.encode(&key).unwrap();
        let shown = String::from_utf8_lossy(&stored).into_owned();
        let decoded = Object::decode(&key, &stored);
        prop_assert_eq!(decoded.as_ref(), Ok(&object), "{}", &shown);
        prop_assert_eq!(decoded.unwrap().encode(&key).unwrap(), stored);
    }

    #[test]
    fn block_and_flow_form_mean_the_same(service in service()) {
        let key = Key::Service(service.reference());
        let flow = serde_json::json!({
            "apiVersion": "skep/v1", "kind": "Service", "metadata": service.metadata, "spec": service.spec,
        });
        prop_assert_eq!(Object::decode(&key, flow.to_string().as_bytes()), Ok(Object::from(service)));
    }

    #[test]
    fn what_was_applied_is_the_object_without_its_defaults(service in service()) {
        let text = manifest::encode_service(&service).unwrap();
        let reading = manifest::read(&[Source::new("a.yaml", text)]);
        prop_assert_eq!(&reading.problems, &[]);
        let found = &reading.documents[0];
        prop_assert_eq!(&found.value, &Manifest::Service(Box::new(service.clone())));
        prop_assert_eq!(&found.applied["spec"], &serde_json::to_value(&service.spec).unwrap());
    }

    #[test]
    fn no_text_makes_the_reader_fail(text in "\\PC{0,200}", yaml in "[a-z:\\-\\[\\]{}\"'|>&*!#%@,? \t\n]{0,200}") {
        for text in [text, yaml] {
            let reading = manifest::read(&[Source::new("a.yaml", text)]);
            for problem in reading.problems {
                let printed = problem.to_string();
                prop_assert!(printed.chars().all(|c| c == '\n' || !c.is_control()), "control characters");
            }
        }
    }
}

#[test]
fn a_node_reads_back_as_itself() {
    let id = NodeId::from_random(7);
    let key = Key::Node(id);
    let spec = NodeSpec {
        drain: skep_api::node::DrainMode::default(),
        name: "n1.example.org".to_owned(),
        role: Role::Manager,
        availability: Availability::Drain,
        labels: BTreeMap::from([("zone".to_owned(), "no".to_owned())]),
    };
    let object = Object::from(spec);
    let stored = object.encode(&key).unwrap();
    assert_eq!(Object::decode(&key, &stored), Ok(object));
}

#[test]
fn the_settings_of_the_cluster_read_back_as_themselves_without_their_defaults() {
    let text =
        "apiVersion: skep/v1\nkind: Cluster\nspec: {placement: {strategy: random, rebalance: never}}\n";
    let object = Object::decode(&Key::Cluster, text.as_bytes()).unwrap();
    let stored = object.encode(&Key::Cluster).unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains("rebalance"));
    assert_eq!(Object::decode(&Key::Cluster, &stored), Ok(object));
    let empty = Object::from(ClusterSpec::default()).encode(&Key::Cluster).unwrap();
    assert_eq!(Object::decode(&Key::Cluster, &empty), Ok(Object::from(ClusterSpec::default())));
}

#[test]
fn an_object_under_the_key_of_another_is_invalid() {
    let text = "apiVersion: skep/v1\nkind: Service\nmetadata: {name: web}\nspec: {task: {image: nginx}}\n";
    for key in [
        "/skep/spec/services/default/db",
        "/skep/spec/services/shop/web",
        "/skep/spec/nodes/000000000001",
        "/skep/spec/cluster",
    ] {
        let invalid = Object::decode(&Key::parse(key).unwrap(), text.as_bytes()).unwrap_err();
        assert!(invalid.reason.contains("Service/default/web"), "{invalid}");
    }
}

#[test]
fn garbage_under_a_key_is_explained_on_one_line() {
    let key = Key::parse("/skep/spec/services/default/web").unwrap();
    let text = "apiVersion: skep/v1\nkind: Service\nmetadata: {name: web}\nspec: {task: {imgae: x, envs: 1}, a: 1, b: 2}\n";
    for (value, expected) in [
        (text, "line 4: unknown field `spec.task.imgae` in Service/web; "),
        ("", "one document is wanted"),
        ("a: b\n---\nc: d\n", "one document is wanted"),
        ("[[", "line 1: "),
    ] {
        let invalid = Object::decode(&key, value.as_bytes()).unwrap_err();
        assert!(invalid.reason.contains(expected), "{invalid}");
        assert!(!invalid.reason.contains('\n') && invalid.reason.len() < 400, "{invalid}");
    }
}
