//! Bugs that are planted on purpose: a harness that does not find them is broken.
//!
//! Production code is not touched. Its requests are: the etcd of the simulator does not heed some of the guards that
//! they carry, as if they had been forgotten. Or what it sees is: a world is told something old.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use skep_api::key::{Key, ServiceRef};
use skep_api::object::Object;
use skep_api::service::Labels;
use skep_runtime::controller::{Controller, Moment, World};
use skep_runtime::plan::Plan;
use skep_runtime::table::Entry;
use skep_store::{Expect, Guard};

use super::role::Role;

/// A bug that is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Controllers do not compare what their decisions stand on.
    NoGuard,
    /// Controllers do not compare their leader key.
    NoFence,
    /// Agents do not claim a task before they start its container.
    NoClaim,
    /// The updater forgets that a service's labels were edited.
    OldLabels,
}

impl Plant {
    /// Every bug.
    pub const ALL: [Self; 4] = [Self::NoGuard, Self::NoFence, Self::NoClaim, Self::OldLabels];

    /// Whether etcd does not heed `guard` of a process with this role.
    pub(crate) fn is_deaf_to(self, role: Role, guard: &Guard) -> bool {
        let is_fence = matches!(guard.key, Key::Leader(_));
        let is_modified = matches!(guard.expect, Expect::Modified(_));
        match self {
            Self::NoGuard => role.is_controller() && !is_fence,
            Self::NoFence => role.is_controller() && is_fence && is_modified,
            Self::NoClaim => {
                matches!(role, Role::Agent)
                    && is_modified
                    && matches!(guard.key, Key::Task(_) | Key::NodeSession(_))
            }
            Self::OldLabels => false,
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoGuard => "guard",
            Self::NoFence => "fence",
            Self::NoClaim => "claim",
            Self::OldLabels => "labels",
        })
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(|plant| plant.to_string());
        let found = Self::ALL.into_iter().find(|plant| plant.to_string() == text);
        found.ok_or_else(|| format!("there is no bug {text:?} to plant: {}", names.join(", ")))
    }
}

/// A controller that forgets edits of labels: as long as it runs, it sees those that a service had when it saw it first.
#[derive(Debug)]
pub(crate) struct Forgetful<C>(PhantomData<C>);

/// What a forgetful controller decides from.
#[derive(Debug)]
pub(crate) struct Dim<W> {
    world: W,
    /// The labels that each service had at first, with the revision where it was created.
    first: BTreeMap<ServiceRef, (i64, Labels)>,
}

impl<W: World> World for Dim<W> {
    type Key = W::Key;

    fn new(cluster: &str) -> Self {
        Self { world: W::new(cluster), first: BTreeMap::new() }
    }

    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<W::Key> {
        let (Key::Service(name), Some(Entry { value: Ok(Object::Service(service)), stamp })) = (key, entry)
        else {
            return self.world.apply(key, entry);
        };
        let labels = &service.metadata.labels;
        let first = self.first.entry(name.clone()).or_insert_with(|| (stamp.created, labels.clone()));
        if first.0 != stamp.created {
            *first = (stamp.created, labels.clone());
        }
        let mut old = (**service).clone();
        old.metadata.labels.clone_from(&first.1);
        let value = Ok(Object::Service(Arc::new(old)));
        self.world.apply(key, Some(&Entry { value, stamp: *stamp }))
    }

    fn all(&self) -> Vec<W::Key> {
        self.world.all()
    }
}

impl<C: Controller> Controller for Forgetful<C> {
    type World = Dim<C::World>;
    type Change = C::Change;
    const NAME: &'static str = C::NAME;

    fn plan(world: &Self::World, key: &<Self::World as World>::Key, at: Moment) -> Plan<C::Change> {
        C::plan(&world.world, key, at)
    }
}
