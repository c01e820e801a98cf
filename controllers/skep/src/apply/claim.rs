//! Names in Docker: creating an object claims its name, so that no two objects of a kind ever share one.

use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::Manifest;
use skep_store::{Guard, Put};

use crate::apply::plan::Planned;
use crate::apply::snapshot::Snapshot;
use crate::failure::Failure;

/// The name that an object must have in Docker, for itself alone.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// What claims it.
    object: ServiceRef,
    /// What it is.
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Service,
    Volume,
}

impl Claim {
    /// The claim of what `manifest` describes, if its kind has names in Docker.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        match manifest {
            Manifest::Service(service) => Some(Self::of_service(service.reference())),
            Manifest::Volume(volume) => Some(Self::of_volume(volume.reference())),
            Manifest::Node { .. } | Manifest::Cluster(_) => None,
        }
    }

    /// The claim of a service.
    pub(crate) fn of_service(object: ServiceRef) -> Self {
        Self { object, kind: Kind::Service }
    }

    /// The claim of a volume.
    pub(crate) fn of_volume(object: ServiceRef) -> Self {
        Self { object, kind: Kind::Volume }
    }

    /// Where it is written.
    pub(crate) fn key(&self) -> Key {
        match self.kind {
            Kind::Service => Key::name_claim(&self.object),
            Kind::Volume => Key::VolumeNameClaim(self.object.docker_name()),
        }
    }

    /// Whether the object has the name.
    pub(crate) fn is_held(&self, snapshot: &Snapshot) -> bool {
        self.written(snapshot).as_ref() == Some(&self.object)
    }

    /// The key of the object that has the name, if it is another one: whether it still is there must be read as well.
    pub(crate) fn holder(&self, snapshot: &Snapshot) -> Option<Key> {
        self.other(snapshot).map(|other| self.kind.key(other))
    }

    fn other(&self, snapshot: &Snapshot) -> Option<ServiceRef> {
        self.written(snapshot).filter(|holder| *holder != self.object)
    }

    fn written(&self, snapshot: &Snapshot) -> Option<ServiceRef> {
        let claim = snapshot.get(&self.key())?;
        let (stack, name) = std::str::from_utf8(&claim.value).ok()?.trim().split_once('/')?;
        Some(ServiceRef::new(stack.parse().ok()?, name.parse().ok()?))
    }

    /// Takes the name for what is planned; says whether the object had it already.
    ///
    /// # Errors
    /// [`Failure::Conflict`] if another object has it that is still there.
    pub(crate) fn take(&self, planned: &mut Planned, snapshot: &Snapshot) -> Result<bool, Failure> {
        let key = self.key();
        if let Some(other) = self.other(snapshot) {
            let holder = self.kind.key(other.clone());
            if snapshot.get(&holder).is_some() {
                let (kind, name) = (self.kind.name(), self.object.docker_name());
                return Err(Failure::Conflict(vec![format!(
                    "{}: {kind}/{other} is called {name} in Docker, and so would this be: rename one of them",
                    planned.object
                )]));
            }
            planned.guards.push(Guard::absent(holder));
        } else if snapshot.get(&key).is_some() {
            return Ok(true);
        }
        planned.guards.push(snapshot.guard(&key));
        planned.puts.push(Put::new(key, self.object.to_string()));
        Ok(false)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Volume => "Volume",
        }
    }

    fn key(self, object: ServiceRef) -> Key {
        match self {
            Self::Service => Key::Service(object),
            Self::Volume => Key::Volume(object),
        }
    }
}
