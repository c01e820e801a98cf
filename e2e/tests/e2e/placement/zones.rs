//! Three zones of three, one and one nodes: equal shares, whatever the number of nodes.

use super::{counts, fits_a_screen, json, memory, nothing_would_move, placement, service};
use crate::rig::fleet::Fleet;
use crate::rig::load::Load;
use crate::rig::wait::Stopwatch;
use crate::rig::{Cluster, eventually, within};

/// What spreads tasks over the zones.
const OVER_ZONES: &str = "spread: [node.labels.zone]";

/// Five nodes: this machine, n2 and n3 in zone a, n4 in b, n5 in c.
fn zones() -> Fleet {
    let fleet = Cluster::with_nodes(5);
    let machine = fleet.machine();
    for (node, zone) in [(&*machine, "a"), ("n2", "a"), ("n3", "a"), ("n4", "b"), ("n5", "c")] {
        fleet.ok(&["label", &format!("node/{node}"), &format!("zone={zone}")]);
    }
    fleet
}

/// How many tasks of `service` run in the zones a, b and c.
fn shares(fleet: &Fleet, service: &str) -> [usize; 3] {
    let spread = fleet.spread(service);
    let on = |node: &str| spread.get(node).copied().unwrap_or_default();
    [spread.values().sum::<usize>() - on("n4") - on("n5"), on("n4"), on("n5")]
}

fn come_to(fleet: &Fleet, service: &str, wanted: [usize; 3]) {
    within(crate::rig::fleet::LOSS_LIMIT, &format!("{service} runs as {wanted:?} in the zones"), || {
        let seen = shares(fleet, service);
        let containers: usize = fleet.containers(service).values().sum();
        (seen == wanted && containers == wanted.iter().sum::<usize>()).then_some(()).ok_or_else(|| {
            format!("{seen:?}, {containers} containers\n{}", fleet.ok(&["get", "tasks,nodes,events"]))
        })
    });
}

#[test]
fn zones_have_equal_shares_until_one_is_full_and_again_when_there_is_room() {
    let fleet = zones();
    fleet.apply(&service("even", 7, "", &placement(OVER_ZONES)), &[]);
    let seen = shares(&fleet, "even");
    assert!(seen.iter().all(|share| (2..=3).contains(share)), "{seen:?}");
    fleet.ok(&["delete", "service/even"]);

    let capacity = json(&fleet, &["whatif", "drain", "n5"])["nodes"][0]["capacity"]["memory"].clone();
    let mi = capacity.as_str().unwrap().strip_suffix("Ki").unwrap().parse::<u64>().unwrap() / 1024;
    let hog = service("hog", 1, &memory(mi * 6 / 10), &placement("constraints: [node.labels.zone == c]"));
    fleet.apply(&hog, &[]);
    let order = "  update: {parallelism: 1, order: start-first}";
    let web = |replicas| {
        service("web", replicas, &memory(mi * 3 / 10), &format!("{}\n{order}", placement(OVER_ZONES)))
    };
    // Three in each zone would be equal, but c has room for one; a node has room for three.
    fleet.apply(&web(9), &[]);
    come_to(&fleet, "web", [5, 3, 1]);
    assert!(fleet.spread("web").values().all(|count| (1..=3).contains(count)));
    nothing_would_move(&fleet);
    let page = fleet.ok(&["why-not", "web", "n5"]);
    fits_a_screen(&page);
    assert!(page.contains("NO: n5 needs") && page.contains("more memory"), "{page}");

    fleet.ok(&["delete", "service/hog"]);
    eventually("the room is known to be free", || {
        let plan = json(&fleet, &["rebalance", "--plan"]);
        let moves = plan["moved"].as_array().map(Vec::len);
        (moves == Some(2) && plan["change"] == "rebalance: 2 moves")
            .then_some(())
            .ok_or_else(|| plan.to_string())
    });
    assert_eq!(shares(&fleet, "web"), [5, 3, 1], "a plan moved something");
    fleet.ok(&["rebalance", "web"]);
    come_to(&fleet, "web", [3, 3, 3]);
    nothing_would_move(&fleet);
    let again = fleet.ok(&["rebalance"]);
    assert!(again.contains("nothing moves"), "{again}");
}

/// The zone's only node loses its power, agent and Docker at once. When it is back, tasks move back without a request failing.
#[test]
fn tasks_move_back_to_a_zone_that_is_back_and_nobody_notices() {
    let fleet = zones();
    let task = " preStop: {wait: 500ms}, healthcheck: {test: [CMD, /skep-demo, health], interval: 200ms, timeout: \
                2s, retries: 20},";
    let spec = format!(
        "{}\n  ports: [{{target: 8080, mode: host}}]\n  update: {{parallelism: 1, order: start-first}}",
        placement(&format!("{OVER_ZONES}, rebalance: whenIdle"))
    );
    fleet.apply(&service("shop", 6, task, &spec), &[]);
    come_to(&fleet, "shop", [2, 2, 2]);
    let told = counts(&json(&fleet, &["whatif", "lose", "zone=c"]), "after");
    let watch = Stopwatch::start();
    fleet.cut_off("n5");
    come_to(&fleet, "shop", [3, 3, 0]);
    assert_eq!(fleet.spread("shop"), told, "whatif said something else");
    let lost = watch.seconds();
    let load = Load::start(&fleet, "shop");
    let watch = Stopwatch::start();
    fleet.bring_back();
    come_to(&fleet, "shop", [2, 2, 2]);
    eprintln!("zone lost: replaced after {lost:.1} s; regained: even after {:.1} s", watch.seconds());
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{} of {}: {:?}", tally.failures.len(), tally.asked, tally.failures);
    nothing_would_move(&fleet);
}
