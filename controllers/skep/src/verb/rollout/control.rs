//! People's word on a rollout: pause, resume, abort. It lies beside the spec, so it makes no revision.

use clap::Args;
use serde_json::json;
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::record::{ChangeAction, FieldChange, ObjectChange};
use skep_api::rollout::{Control, RolloutState};
use skep_store::{Guard, Put, Store, Txn};

use crate::apply::commit::{Report, Writer};
use crate::cli::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::{self, Aim, Goal};
use crate::verb::edit::{MessageArgs, WaitArgs};
use crate::verb::rollout::Known;
use crate::verb::set::named;
use crate::verb::target::StackArgs;

/// How often it is tried again because somebody else wrote at the same time.
const TRIES_MAX: usize = 5;

/// A word on the rollout of a service.
#[derive(Debug, Args)]
pub(super) struct Obey {
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// What people say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Hold.
    Pause,
    /// Go on.
    Resume,
    /// Go back.
    Abort,
}

/// What was written.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// The Control has this revision.
    Written(i64),
    /// It was so already.
    Already(&'static str),
}

impl Obey {
    /// Says it, and waits until it has come true.
    pub(super) async fn run(&self, store: &Store, context: &Context, word: Word) -> Result<(), Failure> {
        let service = named(&self.stack, &self.service)?;
        let known = Known::read(store, &service, &[]).await?;
        let (version, name) = (known.version, format!("Service/{service}"));
        let mut writer = self.message.writer(store, context);
        let control = match say(store, &mut writer, known, word).await? {
            Said::Already(words) => {
                output::print(&format!("{name}  {words}\n"))?;
                return Ok(());
            }
            Said::Written(control) => control,
        };
        output::print(&format!("{name}  {}\n", word.past()))?;
        let goal = Goal::new(service, version).after_control(control);
        match word {
            Word::Pause => Ok(()),
            Word::Resume | Word::Abort if self.wait.detach => Ok(()),
            Word::Resume => progress::ready(store, vec![goal], self.wait.timeout).await,
            Word::Abort => {
                progress::ready(store, vec![goal.aiming(vec![Aim::RolledBack])], self.wait.timeout).await
            }
        }
    }
}

impl Word {
    fn past(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Abort => "is being rolled back",
        }
    }

    /// The field of the Control that carries it.
    fn field(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resume",
            Self::Abort => "abort",
        }
    }
}

/// Writes the word with a Change, guarded by the word before and by the service.
async fn say(store: &Store, writer: &mut Writer<'_>, mut known: Known, word: Word) -> Result<Said, Failure> {
    for _ in 0..TRIES_MAX {
        let control = match decide(&known, word, writer.actor())? {
            Ok(control) => control,
            Err(words) => return Ok(Said::Already(words)),
        };
        let (service, key) = (known.service.clone(), Key::Control(known.service.clone()));
        let value = json!(control).get(word.field()).cloned();
        let field = FieldChange { path: format!("rollout.{}", word.field()), old: None, new: value };
        let change = ObjectChange {
            object: format!("Service/{service}"),
            action: ChangeAction::Changed,
            fields: vec![field],
        };
        let txn = Txn::new()
            .guard(known.control.1.clone())
            .guard(Guard::created(Key::Service(service.clone()), known.created))
            .put(Put::new(key.clone(), Object::from(control).encode(&key)?));
        if let Some(revision) = writer.commit(txn, vec![change], &mut Report::default()).await? {
            return Ok(Said::Written(revision));
        }
        known = Known::read(store, &service, &[]).await?;
    }
    Err(Failure::Conflict(vec![format!("Service/{} keeps being changed by somebody else", known.service)]))
}

/// The Control that says `word`, or why there is nothing to say.
fn decide(known: &Known, word: Word, actor: &str) -> Result<Result<Control, &'static str>, Failure> {
    let forbidden = |reason: &str| Failure::Forbidden {
        object: format!("Service/{}", known.service),
        reason: reason.to_owned(),
    };
    if known.is_job {
        return Err(forbidden("a job has no update that could be held: a change of it is another run"));
    }
    let is_paused = known.control.0.as_ref().is_some_and(|control| control.paused);
    let silent =
        Control { uid: known.uid.clone(), paused: false, resume: None, abort: None, actor: actor.to_owned() };
    if word == Word::Pause {
        let control = Control { paused: true, ..silent };
        return Ok(if is_paused { Err("is paused already") } else { Ok(control) });
    }
    let Some(rollout) = &known.rollout else {
        return match word {
            Word::Resume if is_paused => Ok(Ok(silent)),
            Word::Pause | Word::Resume | Word::Abort => Err(forbidden("it has no rollout yet")),
        };
    };
    if word == Word::Resume {
        let control = Control { resume: Some(rollout.target), ..silent };
        return Ok(if is_paused || rollout.is_paused() { Ok(control) } else { Err("is not paused") });
    }
    match rollout.state {
        RolloutState::Completed => Err(forbidden(
            "its update is complete: there is nothing to abort; go back with: skep rollout undo",
        )),
        RolloutState::RollbackStarted | RolloutState::RollbackCompleted => Ok(Err("is rolled back already")),
        RolloutState::RollbackPaused => {
            Err(forbidden("its rollback is paused: let it go on with: skep rollout resume"))
        }
        RolloutState::Updating | RolloutState::Paused => match rollout.stable {
            Some(stable) if stable != rollout.target => {
                Ok(Ok(Control { abort: Some(rollout.target), ..silent }))
            }
            Some(_) | None => {
                Err(forbidden("it has never run anything else: there is nothing to go back to"))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use skep_api::key::ServiceRef;

    use super::*;
    use crate::testing::Cluster;

    fn service() -> ServiceRef {
        ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap())
    }

    async fn with_rollout(state: &str, stable: Option<u64>) -> Cluster {
        let cluster = Cluster::new().await;
        let (_, uid) = cluster.service("web", "task: {image: a}").await;
        let rollout = json!({
            "service": {"stack": "default", "name": "web"}, "observedVersion": 1, "stable": stable, "target": 3, "since": 1,
            "batch": "all", "state": state,
        });
        cluster.put(&Key::Rollout(uid), rollout.to_string()).await;
        cluster
    }

    async fn word(cluster: &Cluster, word: Word) -> Result<Said, Failure> {
        let mut writer = MessageArgs::default().writer(&cluster.store, &cluster.context);
        let known = Known::read(&cluster.store, &service(), &[]).await.unwrap();
        say(&cluster.store, &mut writer, known, word).await
    }

    async fn control(cluster: &Cluster) -> Control {
        let Object::Control(control) = cluster.object(&Key::Control(service())).await else {
            panic!("no control");
        };
        (*control).clone()
    }

    #[tokio::test]
    async fn a_pause_is_said_once_and_taken_back_for_the_target() {
        let cluster = with_rollout("updating", Some(2)).await;
        assert!(matches!(word(&cluster, Word::Pause).await.unwrap(), Said::Written(_)));
        let said = control(&cluster).await;
        assert!(said.paused && said.resume.is_none() && said.abort.is_none());
        assert_eq!(said.actor, crate::host::person());
        assert_eq!(word(&cluster, Word::Pause).await.unwrap(), Said::Already("is paused already"));
        assert!(matches!(word(&cluster, Word::Resume).await.unwrap(), Said::Written(_)));
        let said = control(&cluster).await;
        assert!(!said.paused && said.resume == Some(3));
        assert_eq!(word(&cluster, Word::Resume).await.unwrap(), Said::Already("is not paused"));
        assert_eq!(cluster.changes().await.len(), 2, "who paused and who resumed is on record");
    }

    #[tokio::test]
    async fn what_a_failure_paused_can_be_resumed_and_aborted() {
        let cluster = with_rollout("paused", Some(2)).await;
        word(&cluster, Word::Resume).await.unwrap();
        assert_eq!(control(&cluster).await.resume, Some(3));
        word(&cluster, Word::Abort).await.unwrap();
        let said = control(&cluster).await;
        assert_eq!((said.resume, said.abort), (None, Some(3)));
    }

    #[tokio::test]
    async fn there_is_nothing_to_abort_without_anything_to_go_back_to() {
        for (state, stable) in [("updating", None), ("paused", Some(3)), ("completed", Some(3))] {
            let cluster = with_rollout(state, stable).await;
            let error = word(&cluster, Word::Abort).await.unwrap_err();
            assert!(matches!(error, Failure::Forbidden { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn the_word_on_an_earlier_service_of_the_name_does_not_count() {
        let cluster = with_rollout("updating", Some(2)).await;
        let old = Control {
            uid: skep_api::ident::Uid::derive("c", "k", 1),
            paused: true,
            resume: None,
            abort: None,
            actor: String::new(),
        };
        cluster.write(&Key::Control(service()), old).await;
        assert!(matches!(word(&cluster, Word::Pause).await.unwrap(), Said::Written(_)));
        assert!(control(&cluster).await.paused);
    }

    #[tokio::test]
    async fn a_job_has_no_update_to_hold() {
        let cluster = Cluster::new().await;
        cluster.service("web", "mode: replicated-job, task: {image: a}").await;
        for each in [Word::Pause, Word::Resume, Word::Abort] {
            let error = word(&cluster, each).await.unwrap_err();
            assert!(matches!(error, Failure::Forbidden { .. }), "{error}");
        }
    }
}
