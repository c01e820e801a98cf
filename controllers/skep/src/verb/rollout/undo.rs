//! `skep rollout undo`: makes the containers what they were in an earlier revision.

use clap::Args;
use skep_api::key::Key;
use skep_api::manifest::Manifest;
use skep_api::rollout::Revision;
use skep_api::service::{PublishMode, ServiceSpec};
use skep_store::Store;

use crate::cli::Context;
use crate::failure::Failure;
use crate::output::warn;
use crate::verb::edit::{MessageArgs, WaitArgs, edit};
use crate::verb::rollout::Known;
use crate::verb::set::{named, spec_of};
use crate::verb::target::StackArgs;

/// Go back to an earlier revision, and wait until it runs
///
/// The spec gets the revision's template, placement and host ports; replicas and policies stay as they are. It is an edit
/// like any other: undoing it goes forward again.
#[derive(Debug, Args)]
pub(super) struct Undo {
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// To this revision [default: the one before]
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Undo {
    /// Goes back.
    pub(super) async fn run(&self, store: &Store, context: &Context) -> Result<(), Failure> {
        let service = named(&self.stack, &self.service)?;
        let known = Known::read(store, &service, &[]).await?;
        let Some(number) = self.to.or_else(|| known.previous()) else {
            let reason = "it has no revision to go back to".to_owned();
            return Err(Failure::Forbidden { object: format!("Service/{service}"), reason });
        };
        let revision = known.revision(number)?;
        self.warn_of_tag(&known, number, revision);
        let undo = format!("undo to revision {number}");
        let words =
            self.message.message.as_ref().map_or_else(|| undo.clone(), |why| format!("{undo}: {why}"));
        let message = MessageArgs { message: Some(words) };
        let mut writer = message.writer(store, context);
        let change = |object: &mut Manifest| {
            if let Some(spec) = spec_of(object) {
                restore(spec, revision);
            }
            Ok(())
        };
        let report = edit(store, &mut writer, &[Key::Service(service)], change).await?;
        self.wait.finish(store, &report).await
    }

    /// A tag without a digest may name another image by now.
    fn warn_of_tag(&self, known: &Known, number: u64, revision: &Revision) {
        let image = &revision.task.image;
        if let (Some(digest), false) = (known.digests.get(&number), image.contains('@')) {
            warn(&format!(
                "revision {number} ran {image} as {digest}; if the tag has moved since, the same again is: skep set image {} \
                 {image}@{digest}",
                self.service
            ));
        }
    }
}

/// Writes into `spec` what `revision` bakes into containers, and where they may run.
fn restore(spec: &mut ServiceSpec, revision: &Revision) {
    spec.task = revision.task.clone();
    spec.placement = revision.placement.clone();
    if spec.host_ports() != revision.host_ports {
        spec.ports.retain(|port| port.mode != PublishMode::Host);
        spec.ports.extend(revision.host_ports.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use skep_api::key::ServiceRef;
    use skep_api::object::Object;

    use super::*;
    use crate::testing::{Cluster, service_key};

    const ONE: &str = "task: {image: 'app:1', env: {B: '2', A: '1'}, stopGracePeriod: 90s, mounts: [{target: /x}]}, \
                       ports: [{target: 80, published: 8080, mode: host}, {target: 53, protocol: udp, mode: host}], \
                       placement: {constraints: [node.role == worker], maxReplicasPerNode: 1}";
    const TWO: &str = "task: {image: 'app:2'}, replicas: 4, ports: [{target: 81, mode: host}]";

    fn reference() -> ServiceRef {
        ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap())
    }

    async fn revise(cluster: &Cluster, key: &Key, number: u64, spec: &str) {
        let text =
            format!("{{apiVersion: skep/v1, kind: Service, metadata: {{name: web}}, spec: {{{spec}}}}}");
        let version = cluster.put(key, text).await;
        let known = Known::read(&cluster.store, &reference(), &[]).await.unwrap();
        let revision = Revision { version, ..Revision::of(&reference(), &cluster.live("web").await.spec) };
        cluster.write(&Key::Revision(known.uid.clone(), number), revision).await;
    }

    fn undo(to: Option<u64>) -> Undo {
        Undo {
            service: "web".to_owned(),
            to,
            stack: StackArgs { stack: "default".to_owned() },
            message: MessageArgs { message: Some("it was slow".to_owned()) },
            wait: WaitArgs { detach: true, timeout: skep_api::time::Span::from_secs(1) },
        }
    }

    #[tokio::test]
    async fn undo_makes_the_template_byte_for_byte_what_it_was() {
        let cluster = Cluster::new().await;
        let (key, uid) = cluster.service("web", ONE).await;
        revise(&cluster, &key, 1, ONE).await;
        revise(&cluster, &key, 2, TWO).await;
        undo(None).run(&cluster.store, &cluster.context).await.unwrap();
        let live = cluster.live("web").await;
        let Object::Revision(one) = cluster.object(&Key::Revision(uid, 1)).await else {
            panic!("no revision")
        };
        let again = Revision { version: one.version, ..Revision::of(&reference(), &live.spec) };
        assert_eq!(serde_json::to_vec(&again).unwrap(), serde_json::to_vec(&*one).unwrap());
        assert_eq!(live.spec.replicas, 4, "what is not baked into containers stays");
        let changes = cluster.changes().await;
        assert_eq!(changes[0].1.message, "undo to revision 1: it was slow");
        assert_eq!(changes[0].0, cluster.get(&service_key("web")).await.unwrap().modified);
    }

    #[tokio::test]
    async fn a_revision_that_is_not_there_is_said_with_those_that_are() {
        let cluster = Cluster::new().await;
        let (key, _) = cluster.service("web", ONE).await;
        let none = undo(None).run(&cluster.store, &cluster.context).await.unwrap_err();
        assert!(matches!(none, Failure::Forbidden { .. }), "{none}");
        revise(&cluster, &key, 1, ONE).await;
        revise(&cluster, &key, 4, TWO).await;
        let error = undo(Some(3)).run(&cluster.store, &cluster.context).await.unwrap_err();
        assert!(matches!(&error, Failure::NotFound(lines) if lines[0].contains("there are 1, 4")), "{error}");
    }

    #[tokio::test]
    async fn after_a_rollback_undo_goes_to_what_runs() {
        let cluster = Cluster::new().await;
        let (key, uid) = cluster.service("web", ONE).await;
        for number in 1..=3 {
            revise(&cluster, &key, number, &format!("task: {{image: 'app:{number}'}}")).await;
        }
        let rollout = |stable: u64| {
            format!(
                r#"{{"service":{{"stack":"default","name":"web"}},"observedVersion":1,"stable":{stable},"target":{stable},"since":1,"batch":"all","state":"rollback_completed"}}"#
            )
        };
        cluster.put(&Key::Rollout(uid.clone()), rollout(1)).await;
        let known = Known::read(&cluster.store, &reference(), &[]).await.unwrap();
        assert_eq!(known.previous(), Some(1), "the spec still says 3");
        cluster.put(&Key::Rollout(uid), rollout(3)).await;
        let known = Known::read(&cluster.store, &reference(), &[]).await.unwrap();
        assert_eq!(known.previous(), Some(2));
    }
}
