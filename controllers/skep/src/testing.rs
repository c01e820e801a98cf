//! A cluster for tests: the fake etcd, objects in it, and what came of a verb.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests are tests themselves, which clippy does not see outside of #[test]"
)]

use std::sync::Arc;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef, prefix};
use skep_api::object::{Object, Service};
use skep_api::record::Change;
use skep_api::time::Timestamp;
use skep_runtime::clock::Env;
use skep_store::fake::{FakeEtcd, Network};
use skep_store::{Config, KeyValue, Outcome, Put, Range, Store, Txn};

use crate::cli::Context;
use crate::cluster::ClusterArgs;

/// What the clock of tests says: 2026-01-31T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

/// A cluster, and a store on it.
pub(crate) struct Cluster {
    /// etcd.
    pub(crate) etcd: FakeEtcd,
    /// The way to it.
    pub(crate) store: Store,
    /// What a verb works with.
    pub(crate) context: Context,
}

impl Cluster {
    /// An empty cluster.
    pub(crate) async fn new() -> Self {
        let etcd = FakeEtcd::new();
        let store = over(&etcd, None).await;
        store.bootstrap().await.unwrap();
        let context = Context { cluster: ClusterArgs::default(), env: Env::new(|| NOW, 1) };
        Self { etcd, store, context }
    }

    /// Another store, over `network`.
    pub(crate) async fn over(&self, network: Arc<dyn Network>) -> Store {
        over(&self.etcd, Some(network)).await
    }

    /// Writes `value` at `key`, as somebody else would; the revision.
    pub(crate) async fn put(&self, key: &Key, value: impl Into<Vec<u8>>) -> i64 {
        let txn = Txn::new().put(Put::new(key.clone(), value.into()));
        match self.store.commit(&txn).await.unwrap() {
            Outcome::Committed { revision } => revision,
            Outcome::Refused { .. } => panic!("nothing was compared"),
        }
    }

    /// Writes an object.
    pub(crate) async fn write(&self, key: &Key, object: impl Into<Object>) -> i64 {
        self.put(key, object.into().encode(key).unwrap()).await
    }

    /// Makes the service `default/<name>` with this spec, in flow form.
    pub(crate) async fn service(&self, name: &str, spec: &str) -> (Key, Uid) {
        let key = service_key(name);
        let text =
            format!("{{apiVersion: skep/v1, kind: Service, metadata: {{name: {name}}}, spec: {{{spec}}}}}");
        Object::decode(&key, text.as_bytes()).unwrap();
        let created = self.put(&key, text).await;
        let uid = Uid::derive(&self.store.identity().unwrap().cluster, &key.to_string(), created);
        (key, uid)
    }

    /// What lies at `key`.
    pub(crate) async fn get(&self, key: &Key) -> Option<KeyValue> {
        self.store.get(key).await.unwrap().entries.pop()
    }

    /// The object at `key`.
    pub(crate) async fn object(&self, key: &Key) -> Object {
        Object::decode(key, &self.get(key).await.unwrap().value).unwrap()
    }

    /// The service `default/<name>`.
    pub(crate) async fn live(&self, name: &str) -> Arc<Service> {
        let Object::Service(service) = self.object(&service_key(name)).await else {
            panic!("{name} is no service");
        };
        service
    }

    /// Every Change, oldest first, with its revision.
    pub(crate) async fn changes(&self) -> Vec<(i64, Arc<Change>)> {
        let found = self.store.list(&Range::prefix(prefix::CHANGES)).await.unwrap().entries;
        let change = |kv: &KeyValue| {
            let decoded = Object::decode(&Key::parse(&kv.key).unwrap(), &kv.value).unwrap();
            let Object::Change(change) = decoded else { panic!("{} is no change", kv.key) };
            (kv.modified, change)
        };
        let mut changes: Vec<_> = found.iter().map(change).collect();
        changes.sort_by_key(|(revision, _)| *revision);
        changes
    }
}

/// The key of the service `default/<name>`.
pub(crate) fn service_key(name: &str) -> Key {
    Key::Service(ServiceRef::new("default".parse().unwrap(), name.parse().unwrap()))
}

async fn over(etcd: &FakeEtcd, network: Option<Arc<dyn Network>>) -> Store {
    let channel = network.map_or_else(|| etcd.perfect_channel(), |network| etcd.channel(network));
    Store::over(channel, Config::new(vec!["http://fake".to_owned()], 1)).await.unwrap()
}
