//! What is read back is applied again.

use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::manifest::{self, Reading, Source};
use skep_api::node::{Availability, DrainMode, NodeSpec, NodeStatus, Role};
use skep_store::Update;

use crate::apply::commit::{Report, Writer};
use crate::cut::Cut;
use crate::testing::Cluster;
use crate::view::render::{Format, Found};
use crate::view::{Kind, Style, items};

const MANY: u32 = 1000;

async fn apply(cluster: &Cluster, reading: &Reading) -> Report {
    let problems = &reading.problems;
    assert_eq!(reading.errors(), 0, "{problems:?}");
    Writer::new(&cluster.store, &cluster.context.env).apply(&reading.documents).await.unwrap()
}

/// As `skep get KIND -o yaml` prints them.
async fn get(cluster: &Cluster, kind: Kind) -> Reading {
    let mut cut = Cut::new(cluster.store.identity().unwrap().cluster);
    cut.take(Update::Resync(cluster.store.list_all(&kind.ranges()).await.unwrap()));
    let kinds = vec![(kind, items(kind, &cut, Style::default()))];
    let found = Found { kinds, version: cut.revision(), is_single: false };
    let text = found.render(Format::Yaml, Style::default()).unwrap();
    manifest::read(&[Source::new("<stdin>", text)])
}

async fn add_node(cluster: &Cluster, number: u32) {
    let id = NodeId::from_random(number.into());
    let spec = NodeSpec {
        name: format!("n{number}"),
        role: Role::Worker,
        availability: Availability::Active,
        drain: DrainMode::default(),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
    };
    cluster.write(&Key::NodeStatus(id.clone()), NodeStatus::default()).await;
    cluster.write(&Key::Node(id), spec).await;
}

#[tokio::test]
async fn what_get_prints_of_a_thousand_nodes_is_applied_again_with_one_warning() {
    let cluster = Cluster::new().await;
    for number in 0..MANY {
        add_node(&cluster, number).await;
    }
    let reading = get(&cluster, Kind::Nodes).await;
    let told: Vec<_> = reading.problems.iter().map(|problem| problem.hint.as_str()).collect();
    assert_eq!(told, ["the same in 999 other places of this file"]);
    let report = apply(&cluster, &reading).await;
    assert_eq!(report.objects.len(), 1000);
    assert!(report.objects.iter().all(|object| object.planned.action.is_none()), "nothing changes");
}

#[tokio::test]
async fn a_thousand_services_of_one_file_are_created_and_what_get_prints_of_them_changes_nothing() {
    let cluster = Cluster::new().await;
    let service = |number: u32| {
        format!(
            "---\napiVersion: skep/v1\nkind: Service\nmetadata: {{name: s{number}}}\nspec: {{replicas: 2, task: {{image: a}}}}\n"
        )
    };
    let text: String = (0..MANY).map(service).collect();
    let report = apply(&cluster, &manifest::read(&[Source::new("fleet.yaml", text)])).await;
    assert_eq!(report.objects.len(), 1000);
    let reading = get(&cluster, Kind::Services).await;
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let report = apply(&cluster, &reading).await;
    assert_eq!(report.objects.len(), 1000);
    assert!(report.objects.iter().all(|object| object.planned.action.is_none()), "nothing changes");
}
