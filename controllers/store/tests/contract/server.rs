//! The etcd under test: fake or real.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, CompactionOptions};
use skep_api::ident::Uid;
use skep_api::key::Key;
use skep_store::fake::FakeEtcd;
use skep_store::rig::Etcd;
use skep_store::{Config, Error, Outcome, Put, Store, Txn};

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The etcd under test.
pub(crate) enum Server {
    Fake(FakeEtcd),
    Real(Etcd),
}

/// What an earlier moment is restored from.
pub(crate) enum Backup {
    Fake(skep_store::fake::Snapshot),
    Real(std::path::PathBuf),
}

impl Server {
    pub(crate) fn fake() -> Self {
        Self::Fake(FakeEtcd::new())
    }

    pub(crate) async fn real() -> Self {
        Self::Real(Etcd::start().await.unwrap_or_else(|error| panic!("{error}")))
    }

    pub(crate) async fn try_store(&self) -> Result<Store, Error> {
        static SEED: AtomicU64 = AtomicU64::new(1);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        match self {
            Self::Fake(etcd) => Store::over(etcd.perfect_channel(), Config::new(Vec::new(), seed)).await,
            Self::Real(etcd) => etcd.store(seed).await,
        }
    }

    pub(crate) async fn store(&self) -> Store {
        self.try_store().await.unwrap()
    }

    /// The bare client, for what a stranger does to etcd.
    pub(crate) async fn client(&self) -> Client {
        match self {
            Self::Fake(etcd) => Client::from_channel(etcd.perfect_channel(), None).await.unwrap(),
            Self::Real(etcd) => Client::connect([etcd.endpoint()], None).await.unwrap(),
        }
    }

    pub(crate) async fn compact(&self, revision: i64) {
        let options = CompactionOptions::new().with_physical();
        self.client().await.compact(revision, Some(options)).await.unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        match self {
            Self::Fake(etcd) => etcd.restart(),
            Self::Real(etcd) => etcd.run().await.unwrap(),
        }
    }

    pub(crate) async fn backup(&mut self) -> Backup {
        match self {
            Self::Fake(etcd) => Backup::Fake(etcd.snapshot()),
            Self::Real(etcd) => {
                let backup = etcd.backup("backup").unwrap();
                etcd.run().await.unwrap();
                Backup::Real(backup)
            }
        }
    }

    pub(crate) async fn restore(&mut self, backup: Backup) {
        match (self, backup) {
            (Self::Fake(etcd), Backup::Fake(snapshot)) => etcd.restore(&snapshot),
            (Self::Real(etcd), Backup::Real(directory)) => {
                etcd.restore(&directory).unwrap();
                etcd.run().await.unwrap();
            }
            _ => unreachable!("a backup of another server"),
        }
    }
}

/// One of many keys: inside the controllers' range, in the order of `number` up to 9.
pub(crate) fn key(number: u64) -> Key {
    Key::Revision(Uid::derive("test", "key", 1), number)
}

/// The range of all [`key`]s.
pub(crate) fn keys() -> skep_store::Range {
    skep_store::Range::prefix(skep_api::key::prefix::revisions_of(&Uid::derive("test", "key", 1)))
}

/// Writes without a guard; returns the revision.
pub(crate) async fn put(store: &Store, key: Key, value: &str) -> i64 {
    committed(store.commit(&Txn::new().put(Put::new(key, value.to_owned()))).await)
}

/// Deletes without a guard; returns the revision.
pub(crate) async fn delete(store: &Store, key: Key) -> i64 {
    committed(store.commit(&Txn::new().delete(key)).await)
}

pub(crate) fn committed(outcome: Result<Outcome, Error>) -> i64 {
    match outcome {
        Ok(Outcome::Committed { revision }) => revision,
        other => panic!("not committed: {other:?}"),
    }
}

/// The keys of a refusal whose guards failed.
pub(crate) fn refused(outcome: Result<Outcome, Error>) -> Vec<Key> {
    match outcome {
        Ok(Outcome::Refused { failed, .. }) => failed.into_iter().map(|(key, _)| key).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits for `future`, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it takes too long")
}
