//! The last specs, given to a fresh cluster on which nothing goes wrong: it must become the same as the one that they came to
//! through a storm. A controller that forgets an edit, or remembers what was taken back, is found by nothing else.

use std::collections::BTreeMap;

use skep_api::key::{Key, prefix};
use skep_store::fake::FakeEtcd;
use skep_store::{KeyValue, Put, Range, Store, Txn};
use tokio::time::Instant;

use super::director::Director;
use super::fault::{Menu, Tally};
use super::ground::Ground;
use super::machine::Machine;
use super::oracle::Oracle;
use super::oracle::ending::Ending;
use super::wire::Weather;
use super::{calm, cast, found_cluster, founder};

/// What people wanted last, and what has become of it.
pub(crate) struct Last {
    specs: Vec<Put>,
    /// The numbers of the machines that are nodes still.
    machines: Vec<usize>,
    ending: Ending,
    /// How many lines of a history are kept.
    lines: usize,
}

impl Last {
    /// What the cluster of `ground` is now.
    ///
    /// # Errors
    /// None: nothing goes wrong on the way to etcd.
    pub(crate) async fn of(ground: &Ground, director: &Director) -> Result<Self, skep_store::Error> {
        let present = director.processes.iter().filter(|process| !director.is_lost(process));
        let machines = present.filter_map(|process| Some((process.machine.as_ref()?, process.index)));
        let machines: BTreeMap<_, _> =
            machines.map(|(machine, index)| (Key::Node(machine.node.clone()), index)).collect();
        let store = founder(ground).await?;
        let mut specs = Vec::new();
        let mut nodes = Vec::new();
        for (key, kv) in list(&store).await? {
            // A node that nobody hears of is as good as none.
            match machines.get(&key) {
                Some(index) => nodes.push(*index),
                None if matches!(key, Key::Node(_)) => continue,
                None => {}
            }
            specs.push(Put::new(key, kv.value));
        }
        ground.oracle.dismiss("");
        let ending = ground.oracle.ending(&calm::machines(director));
        Ok(Self { specs, machines: nodes, ending, lines: ground.oracle.lines() })
    }

    /// Another etcd with all that is around it, and no fault.
    fn ground(&self, ground: &Ground) -> Ground {
        let etcd = FakeEtcd::new();
        let oracle = Oracle::of(&etcd, self.lines);
        oracle.set_fresh();
        let weather = Weather {
            menu: Menu::calm(),
            tally: Tally::default(),
            calm_from: Instant::now(),
            ..ground.weather.clone()
        };
        Ground { etcd, weather, oracle, seed: ground.seed }
    }

    /// Lets a fresh cluster become what the specs want, and compares. `fresh` is given what watches over it.
    ///
    /// # Errors
    /// None: nothing goes wrong on the way to etcd.
    pub(crate) async fn compare(
        self,
        ground: &Ground,
        fresh: &mut Option<Oracle>,
    ) -> Result<(), skep_store::Error> {
        let own = self.ground(ground);
        *fresh = Some(own.oracle.clone());
        found_cluster(&own).await?;
        let (nodes, others): (Vec<Put>, Vec<Put>) =
            self.specs.into_iter().partition(|put| matches!(put.key, Key::Node(_)));
        apply(&own, nodes).await?;
        let processes = cast(&own, 1, self.machines);
        processes.iter().filter_map(|process| process.machine.as_ref()).for_each(Machine::set_joined);
        let mut director = Director::new(own.clone(), processes);
        calm::wait_for_nodes(&own, &mut director).await;
        apply(&own, others).await?;
        let oracle = own.oracle.clone();
        if calm::settle(&own, &mut director).await {
            let ending = oracle.ending(&calm::machines(&director));
            if let Err(violation) = self.ending.check(&ending) {
                ground.oracle.accuse(violation.invariant, violation.detail);
            }
        }
        if let Some(violation) = oracle.violation() {
            let detail = format!("in a fresh cluster with the last specs: {}", violation.detail);
            ground.oracle.accuse(violation.invariant, detail);
        }
        director.end().await;
        Ok(())
    }
}

/// Applies `specs` all at once.
async fn apply(ground: &Ground, specs: Vec<Put>) -> Result<(), skep_store::Error> {
    let store = founder(ground).await?;
    store.commit(&specs.into_iter().fold(Txn::new(), Txn::put)).await?;
    ground.oracle.dismiss("");
    Ok(())
}

/// Everything that people want.
async fn list(store: &Store) -> Result<Vec<(Key, KeyValue)>, skep_store::Error> {
    let mut found = Vec::new();
    for prefix in [prefix::NODES, prefix::VOLUMES, prefix::SERVICES] {
        found.extend(store.list(&Range::prefix(prefix)).await?.entries);
    }
    found.extend(store.get(&Key::Cluster).await?.entries);
    Ok(found.into_iter().filter_map(|kv| Some((Key::parse(&kv.key)?, kv))).collect())
}
