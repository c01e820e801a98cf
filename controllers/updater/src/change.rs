//! The closed list of what the updater may write, and on what each write stands.

use std::sync::Arc;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Object;
use skep_api::rollout::{Revision, Rollout};
use skep_runtime::plan::{Change as RuntimeChange, Expect, Guard, Transaction};

/// A write of the updater's.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new revision, and the rollout to it.
    Begin {
        /// The service.
        uid: Uid,
        /// The service's spec, people's word and the volumes as they are.
        because: Vec<Guard>,
        /// The rollout as it is.
        previous: Expect,
        /// The rollout as it shall be; its target is the number of the revision.
        rollout: Arc<Rollout>,
        /// The revision.
        revision: Arc<Revision>,
    },
    /// The next step of a rollout.
    Advance {
        /// The service.
        uid: Uid,
        /// The service's spec and people's word as they are.
        because: Vec<Guard>,
        /// The rollout as it is.
        previous: Expect,
        /// The rollout as it shall be.
        rollout: Arc<Rollout>,
    },
    /// Forgets a revision with its pin.
    ForgetRevision {
        /// The service.
        uid: Uid,
        /// The number of the revision.
        number: u64,
        /// The revision as it is.
        revision: Expect,
        /// The pin as it is.
        pin: Expect,
        /// The rollout as it is; nothing else could make a task of the revision.
        rollout: Expect,
    },
    /// Forgets the rollout of a service that is gone.
    ForgetRollout {
        /// The service.
        uid: Uid,
        /// What is there now under the service's name.
        service: Guard,
        /// The rollout as it is.
        previous: Expect,
    },
    /// Forgets people's word on a service that is gone.
    ForgetControl {
        /// The service's name.
        service: ServiceRef,
        /// What is there now under that name.
        because: Guard,
        /// The word as it is.
        previous: Expect,
    },
}

impl RuntimeChange for Change {
    fn transaction(&self) -> Transaction {
        let writes = Transaction::new();
        match self {
            Self::Begin { uid, because, previous, rollout, revision } => {
                let key = Key::Revision(uid.clone(), rollout.target);
                standing_on(writes, because)
                    .guard(Key::Rollout(uid.clone()), *previous)
                    .absent(key.clone())
                    .put(key, Object::Revision(Arc::clone(revision)))
                    .put(Key::Rollout(uid.clone()), Object::Rollout(Arc::clone(rollout)))
            }
            Self::Advance { uid, because, previous, rollout } => standing_on(writes, because)
                .guard(Key::Rollout(uid.clone()), *previous)
                .put(Key::Rollout(uid.clone()), Object::Rollout(Arc::clone(rollout))),
            Self::ForgetRevision { uid, number, revision, pin, rollout } => {
                let writes = writes.guard(Key::Rollout(uid.clone()), *rollout);
                let writes = forget(writes, Key::Revision(uid.clone(), *number), *revision);
                forget(writes, Key::Pin(uid.clone(), *number), *pin)
            }
            Self::ForgetRollout { uid, service, previous } => standing_on(writes, [service])
                .guard(Key::Rollout(uid.clone()), *previous)
                .delete(Key::Rollout(uid.clone())),
            Self::ForgetControl { service, because, previous } => standing_on(writes, [because])
                .guard(Key::Control(service.clone()), *previous)
                .delete(Key::Control(service.clone())),
        }
    }
}

fn standing_on<'a>(writes: Transaction, because: impl IntoIterator<Item = &'a Guard>) -> Transaction {
    because.into_iter().fold(writes, |writes, guard| writes.guard(guard.key.clone(), guard.expect))
}

/// Deletes what is there, and makes sure of what is not.
fn forget(writes: Transaction, key: Key, expect: Expect) -> Transaction {
    let writes = writes.guard(key.clone(), expect);
    if expect == Expect::Absent { writes } else { writes.delete(key) }
}
