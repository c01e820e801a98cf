//! updater: turns what people change in a service into numbered revisions, and moves slot after slot to the newest.
//!
//! It never touches a task: it says in the rollout which slots may take which revision, and replica makes the tasks.
//! [`rollout`] begins and moves rollouts, [`progress`] judges the slots, [`sweep`] forgets revisions that nobody needs.

pub mod change;
mod plan;
mod progress;
mod rollout;
mod sweep;
pub mod world;

use skep_runtime::controller::{Controller, Moment};
use skep_runtime::plan::Plan;
use skep_runtime::services::Subject;

use crate::change::Change;
use crate::world::World;

/// Spec → revisions and rollout.
#[derive(Debug)]
pub struct Updater;

impl Controller for Updater {
    type World = World;
    type Change = Change;
    const NAME: &'static str = "updater";

    fn plan(world: &World, subject: &Subject, at: Moment) -> Plan<Change> {
        match subject {
            Subject::Service(service) => plan::plan(world, service, at),
            // It may be there by now: in a list, a service's rollout comes before its spec.
            Subject::Gone(uid) => match world.services.subject(uid) {
                Subject::Gone(uid) => sweep::plan(world, &uid),
                Subject::Service(service) => plan::plan(world, &service, at),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_api::key::{Key, ServiceRef};
    use skep_runtime::scene::Scene;

    use super::*;

    #[test]
    fn a_service_that_was_taken_for_gone_because_its_rollout_came_first_is_not_swept() {
        let name = ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap());
        let key = Key::Service(name.clone());
        let mut scene = Scene::<Updater>::default();
        scene.put_text(
            key.clone(),
            "{apiVersion: skep/v1, kind: Service, metadata: {name: web}, spec: {task: {image: a}}}",
        );
        let uid = scene.uid(&key).unwrap();
        assert_eq!(scene.plan(&Subject::Gone(uid)), scene.plan(&Subject::Service(name)));
    }
}
