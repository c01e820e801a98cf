//! A person who edits: creates, scales, changes, deletes and breaks services, and relabels nodes, as the CLI would write it.

mod cast;

use std::collections::BTreeMap;
use std::time::Duration;

use skep_api::ident::Stack;
use skep_api::key::{Key, ServiceRef, prefix};
use skep_api::node::{Availability, DrainMode, NodeSpec, NodeState};
use skep_api::object::Object;
use skep_api::rollout::Control;
use skep_store::{Guard, KeyValue, Put, Range, Store, Txn};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use cast::{CAST, Character, NOWHERE, SOMEWHERE, Wish};

pub(crate) use cast::IMAGE_VERSIONS;

/// The longest pause between two edits.
const PAUSE: Duration = Duration::from_secs(8);
/// The zones that nodes are labelled with.
const ZONES: [&str; 2] = ["a", "b"];
/// The volume that services mount.
const VOLUME: &str = "data";
/// What is written under a service's key and is no service.
const GARBAGE: [&str; 4] =
    ["{{{", "kind: Service\nspec: 3\n", "\0\u{1}", "apiVersion: skep/v1\nkind: Service\n"];

/// How many of them one person has at most.
const CAST_SIZES: std::ops::RangeInclusive<usize> = 1..=5;

/// A service of the cast, with its name.
#[derive(Clone)]
struct Part {
    character: &'static Character,
    service: ServiceRef,
}

/// Gives every service an image that exists: one that does not exist is tried again for ever. And lets rollouts go on that
/// people hold: they would be held for ever.
pub(crate) async fn mend(store: &Store) -> Result<(), skep_store::Error> {
    for kv in store.list(&Range::prefix(prefix::SERVICES)).await?.entries {
        let text = String::from_utf8_lossy(&kv.value);
        if let (true, Some(key)) = (text.contains(NOWHERE), Key::parse(&kv.key)) {
            let put = Put::new(key.clone(), text.replace(NOWHERE, SOMEWHERE));
            store.commit(&Txn::new().guard(Guard::modified(key, kv.modified)).put(put)).await?;
        }
    }
    for kv in store.list(&Range::prefix(prefix::CONTROLS)).await?.entries {
        let Some(key) = Key::parse(&kv.key) else { continue };
        let Ok(Object::Control(control)) = Object::decode(&key, &kv.value) else { continue };
        let going = Object::from(Control { paused: false, ..(*control).clone() });
        if let (true, Ok(value)) = (control.paused, going.encode(&key)) {
            store
                .commit(
                    &Txn::new().guard(Guard::modified(key.clone(), kv.modified)).put(Put::new(key, value)),
                )
                .await?;
        }
    }
    Ok(())
}

/// A person at work.
pub(crate) struct User {
    store: Store,
    random: fastrand::Rng,
    until: Instant,
    cast: Vec<Part>,
    wishes: BTreeMap<&'static str, Wish>,
}

impl User {
    /// A person who edits until `until`.
    pub(crate) fn new(store: Store, mut random: fastrand::Rng, until: Instant) -> Self {
        let parts = CAST.iter().filter_map(|character| {
            let name = character.name.parse().ok()?;
            Some(Part { character, service: ServiceRef::new(Stack::default(), name) })
        });
        let mut cast: Vec<Part> = parts.filter(|part| part.is_acted_on(&mut random)).collect();
        random.shuffle(&mut cast);
        cast.truncate(random.usize(CAST_SIZES));
        Self { store, random, until, cast, wishes: BTreeMap::new() }
    }

    /// Works until the time is over, and leaves no garbage behind but what is meant to stay.
    pub(crate) async fn work(mut self, shutdown: &CancellationToken) {
        while Instant::now() < self.until && !shutdown.is_cancelled() {
            self.act().await;
            let pause = PAUSE.mul_f64(self.random.f64().powi(2));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
        shutdown.cancelled().await;
    }

    async fn act(&mut self) {
        let Some(part) = self.random.choice(&self.cast).cloned() else { return };
        let key = part.key();
        let Ok(found) = self.store.get(&key).await else { return };
        let found = found.entries.into_iter().next();
        match (found, self.random.u32(..20)) {
            (_, 0 | 1) => self.edit_node().await,
            (_, 2) if self.random.u32(..4) == 0 => self.edit_cluster().await,
            (Some(_), 3) if part.character.has_volume => {
                let txn = self.with_volume(Txn::new());
                self.commit(&txn).await;
            }
            (None, _) => self.create(&part).await,
            (Some(kv), 2 | 3) => self.delete(&kv, &part).await,
            (Some(kv), 4) => {
                self.delete(&kv, &part).await;
                self.create(&part).await;
            }
            (Some(kv), 5) => self.break_it(&kv, &part).await,
            (Some(kv), 6 | 7) => self.say(&part, kv.created).await,
            (Some(kv), _) => self.edit(&kv, &part).await,
        }
    }

    async fn create(&mut self, part: &Part) {
        let character = part.character;
        let wish = Wish::draw(character, &mut self.random);
        let (key, claim) = (part.key(), part.claim());
        let mut txn = Txn::new()
            .guard(Guard::absent(key.clone()))
            .guard(Guard::absent(claim.clone()))
            .put(Put::new(key, wish.manifest(character)))
            .put(Put::new(claim, part.service.to_string()));
        if character.has_volume {
            txn = self.with_volume(txn);
        }
        self.commit(&txn).await;
        self.wishes.insert(character.name, wish);
    }

    async fn edit(&mut self, found: &KeyValue, part: &Part) {
        let character = part.character;
        let Some(wish) = self.wishes.get_mut(character.name) else { return };
        wish.change(character, &mut self.random);
        let key = part.key();
        let value = wish.manifest(character);
        let txn = Txn::new().guard(Guard::modified(key.clone(), found.modified)).put(Put::new(key, value));
        self.commit(&txn).await;
    }

    async fn delete(&self, found: &KeyValue, part: &Part) {
        let key = part.key();
        let txn =
            Txn::new().guard(Guard::modified(key.clone(), found.modified)).delete(key).delete(part.claim());
        self.commit(&txn).await;
    }

    /// Says a word on the rollout of a service: hold it, go on, take it back.
    async fn say(&mut self, part: &Part, created: i64) {
        let Ok(found) = self.store.list(&Range::prefix(prefix::ROLLOUTS)).await else { return };
        let rollouts = found.entries.iter().filter_map(|kv| {
            let key = Key::parse(&kv.key)?;
            let rollout = Object::decode(&key, &kv.value).ok()?;
            match (key, rollout) {
                (Key::Rollout(uid), Object::Rollout(rollout)) => Some((uid, rollout)),
                _ => None,
            }
        });
        let Some((uid, rollout)) = rollouts.into_iter().find(|(_, rollout)| rollout.service == part.service)
        else {
            return;
        };
        let mut word =
            Control { uid, paused: false, resume: None, abort: None, actor: "somebody".to_owned() };
        match self.random.u32(..4) {
            0 => word.paused = true,
            1 => word.resume = Some(rollout.target),
            2 => word.abort = Some(rollout.target),
            _ => {}
        }
        let key = Key::Control(part.service.clone());
        if let Ok(value) = Object::from(word).encode(&key) {
            self.commit(&Txn::new().guard(Guard::created(part.key(), created)).put(Put::new(key, value)))
                .await;
        }
    }

    /// As somebody does who puts by hand what is no service.
    async fn break_it(&mut self, found: &KeyValue, part: &Part) {
        let key = part.key();
        let value = self.random.choice(GARBAGE).unwrap_or_default();
        let txn = Txn::new().guard(Guard::modified(key.clone(), found.modified)).put(Put::new(key, value));
        self.commit(&txn).await;
    }

    /// Says on which machine the volume is that services mount.
    fn with_volume(&mut self, txn: Txn) -> Txn {
        let Ok(name) = VOLUME.parse() else { return txn };
        let volume = ServiceRef::new(Stack::default(), name);
        let text = cast::volume(self.random.u32(..3));
        let claim = Key::VolumeNameClaim(volume.docker_name());
        txn.put(Put::new(claim, volume.to_string())).put(Put::new(Key::Volume(volume), text))
    }

    async fn edit_cluster(&mut self) {
        let text = cast::cluster(&mut self.random);
        self.commit(&Txn::new().put(Put::new(Key::Cluster, text))).await;
    }

    async fn edit_node(&mut self) {
        let Ok(listing) = self.store.list(&Range::prefix(prefix::NODES)).await else { return };
        let Some(kv) = self.random.choice(&listing.entries) else { return };
        let Some(key) = Key::parse(&kv.key) else { return };
        let Ok(Object::Node(old)) = Object::decode(&key, &kv.value) else { return };
        if self.random.bool() && self.is_down(&key).await {
            let txn = Txn::new().guard(Guard::modified(key.clone(), kv.modified)).delete(key);
            return self.commit(&txn).await;
        }
        let zone = self.random.choice(ZONES).unwrap_or_default();
        let availability = match self.random.u32(..5) {
            0 => Availability::Pause,
            1 => Availability::Drain,
            _ => Availability::Active,
        };
        let drain = if self.random.bool() { DrainMode::Now } else { DrainMode::Gradual };
        let mut spec = NodeSpec { availability, drain, ..(*old).clone() };
        spec.labels.insert("zone".to_owned(), zone.to_owned());
        spec.labels.insert("rack".to_owned(), self.random.u32(1..5).to_string());
        if let Ok(value) = Object::from(spec).encode(&key) {
            let txn = Txn::new().guard(Guard::modified(key.clone(), kv.modified)).put(Put::new(key, value));
            self.commit(&txn).await;
        }
    }

    /// Whether the cluster says that the node `key` is down: people give it up then.
    async fn is_down(&self, key: &Key) -> bool {
        let Key::Node(node) = key else { return false };
        let key = Key::NodeStatus(node.clone());
        let Ok(found) = self.store.get(&key).await else { return false };
        let status = found.entries.first().map(|kv| Object::decode(&key, &kv.value));
        matches!(status, Some(Ok(Object::NodeStatus(status))) if status.state == NodeState::Down)
    }

    /// Whatever comes of it, the next look at etcd tells.
    async fn commit(&self, txn: &Txn) {
        let _ = self.store.commit(txn).await;
    }
}

impl Part {
    /// Whether this version acts on all that the service asks for: it is refused otherwise.
    fn is_acted_on(&self, random: &mut fastrand::Rng) -> bool {
        let text = Wish::draw(self.character, random).manifest(self.character);
        Object::decode(&self.key(), text.as_bytes()).is_ok()
    }

    fn key(&self) -> Key {
        Key::Service(self.service.clone())
    }

    fn claim(&self) -> Key {
        Key::name_claim(&self.service)
    }
}
