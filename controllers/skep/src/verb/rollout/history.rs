//! `skep rollout history` and `diff`: which revisions there were, who made them, and what differs between two.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use skep_api::key::{Key, prefix};
use skep_api::object::Object;
use skep_api::record::Change;
use skep_api::rollout::Revision;
use skep_api::time::Timestamp;
use skep_store::{Range, Store};

use crate::apply::diff;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::{self, Table, printable};
use crate::verb::rollout::Known;
use crate::verb::set::named;
use crate::verb::target::StackArgs;
use crate::view::Style;
use crate::view::render::{Format, to_yaml};
use crate::view::service::word;

/// Show the revisions of a service: who made them, when and why
#[derive(Debug, Args)]
pub(super) struct History {
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    #[command(flatten)]
    stack: StackArgs,
    /// How to print it: table, wide, json, jsonl or yaml
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Show what differs between two revisions
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// From this revision [default: the one before]
    #[arg(value_name = "FROM")]
    from: Option<u64>,
    /// To this revision [default: the newest]
    #[arg(value_name = "TO")]
    to: Option<u64>,
    #[command(flatten)]
    stack: StackArgs,
}

/// One revision, as people read it.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Row {
    revision: u64,
    state: String,
    time: Option<Timestamp>,
    actor: String,
    message: String,
    image: String,
    digest: String,
    version: i64,
}

impl History {
    /// Shows it.
    pub(super) async fn run(&self, store: &Store, context: &Context) -> Result<(), Failure> {
        let service = named(&self.stack, &self.service)?;
        let known = Known::read(store, &service, &[Range::prefix(prefix::CHANGES)]).await?;
        let rows = rows(&known);
        if rows.is_empty() {
            output::say(&format!("Service/{service} has no revision yet"));
        }
        let text = match self.output {
            Format::Table | Format::Wide | Format::Name => {
                let is_wide = self.output == Format::Wide;
                table(&rows, Style { now: context.env.now(), is_wide, ..Style::default() })
            }
            Format::Json => format!("{:#}\n", json!(rows)),
            Format::Jsonl => output::lines(rows.iter().map(|row| json!(row))),
            Format::Yaml => to_yaml(&json!(rows))?,
        };
        output::print(&text)?;
        Ok(())
    }
}

/// The revisions, oldest first, each with the Change of the same version.
fn rows(known: &Known) -> Vec<Row> {
    let changes = known.cut.iter().filter_map(|(key, entry)| match (key, &entry.value) {
        (Key::Change(_), Ok(Object::Change(change))) => Some((entry.modified, Arc::clone(change))),
        _ => None,
    });
    let changes: BTreeMap<i64, Arc<Change>> = changes.collect();
    let row = |(number, revision): (&u64, &Arc<Revision>)| {
        let change = changes.get(&revision.version);
        Row {
            revision: *number,
            state: state(known, *number),
            time: change.map(|change| change.time),
            actor: change.map_or_else(String::new, |change| change.actor.clone()),
            message: change.map_or_else(String::new, |change| change.message.clone()),
            image: revision.task.image.clone(),
            digest: known.digests.get(number).cloned().unwrap_or_default(),
            version: revision.version,
        }
    };
    known.revisions.iter().map(row).collect()
}

/// What the rollout says of a revision.
fn state(known: &Known, number: u64) -> String {
    let Some(rollout) = &known.rollout else { return String::new() };
    let mut words = Vec::new();
    if rollout.target == number {
        words.push(word(&rollout.state).replace('_', " "));
    }
    if rollout.stable == Some(number) && rollout.target != number {
        words.push("stable".to_owned());
    }
    if let Some(failure) = rollout.failure.as_ref().filter(|failure| failure.revision == number) {
        words.push(format!("failed: {}", failure.reason));
    }
    words.join(", ")
}

fn table(rows: &[Row], style: Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let wide = if style.is_wide { &["DIGEST", "VERSION"][..] } else { &[] };
    let heading = ["REVISION", "STATE", "WHEN", "WHO", "IMAGE"].iter().chain(wide).chain(&["WHY"]);
    let mut table = Table::new(heading.copied());
    for row in rows {
        let mut cells = vec![
            row.revision.to_string(),
            row.state.clone(),
            row.time.map_or(String::new(), |time| style.time(time)),
            row.actor.clone(),
            tag_of(&row.image, style.is_wide),
        ];
        if style.is_wide {
            cells.extend([row.digest.clone(), row.version.to_string()]);
        }
        cells.push(row.message.clone());
        table.push(cells);
    }
    table.to_string()
}

/// The image as Docker lists it: without its digest.
fn tag_of(image: &str, is_wide: bool) -> String {
    let tag = image.split_once('@').map_or(image, |(tag, _)| tag);
    if is_wide { image.to_owned() } else { tag.to_owned() }
}

impl Diff {
    /// Shows it.
    pub(super) async fn run(&self, store: &Store) -> Result<(), Failure> {
        let service = named(&self.stack, &self.service)?;
        let known = Known::read(store, &service, &[]).await?;
        let newest = known.revisions.keys().next_back().copied().unwrap_or_default();
        let (from, to) =
            (self.from.or_else(|| known.previous()).unwrap_or(newest), self.to.unwrap_or(newest));
        let lines = differences(&known, from, to)?;
        if lines.is_empty() {
            output::say(&format!("revisions {from} and {to} do not differ"));
        }
        output::print(&output::lines(lines))?;
        Ok(())
    }
}

/// The fields in which two revisions differ, and the digests if their images do not say why.
fn differences(known: &Known, from: u64, to: u64) -> Result<Vec<String>, Failure> {
    let document = |number| -> Result<Value, Failure> {
        let mut document = json!(known.revision(number)?);
        if let (Value::Object(fields), Some(digest)) = (&mut document, known.digests.get(&number)) {
            fields.insert("digest".to_owned(), json!(digest));
        }
        if let Value::Object(fields) = &mut document {
            fields.remove("version");
        }
        Ok(document)
    };
    let fields = diff::fields(&document(from)?, &document(to)?);
    let width = fields.iter().map(|field| field.path.chars().count()).max().unwrap_or(0);
    let line = |field: &skep_api::record::FieldChange| {
        let (old, new) = (value(field.old.as_ref()), value(field.new.as_ref()));
        format!("{:<width$}  {old} -> {new}", printable(&field.path))
    };
    Ok(fields.iter().map(line).collect())
}

fn value(value: Option<&Value>) -> String {
    match value {
        None => "(default)".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(other) => printable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use skep_api::ident::RecordId;
    use skep_api::key::ServiceRef;

    use super::*;
    use crate::testing::{Cluster, NOW};

    async fn known() -> Known {
        let cluster = Cluster::new().await;
        let (key, uid) = cluster.service("web", "task: {image: 'app:1'}").await;
        let change = Change {
            time: NOW,
            actor: "alice@laptop".to_owned(),
            manager: "cli".to_owned(),
            message: "a better cache".to_owned(),
            objects: Vec::new(),
        };
        let version = cluster.write(&Key::Change(RecordId::from_time(1, 2)), change).await;
        let revision = |image: &str, version: i64| {
            json!({"service": {"stack": "default", "name": "web"}, "task": {"image": image}, "version": version}).to_string()
        };
        cluster
            .put(&Key::Revision(uid.clone(), 1), revision("app:1", cluster.get(&key).await.unwrap().modified))
            .await;
        cluster.put(&Key::Revision(uid.clone(), 2), revision("app:2", version)).await;
        cluster.put(&Key::Pin(uid.clone(), 2), r#"{"digest": "sha256:bb"}"#).await;
        let rollout = json!({
            "service": {"stack": "default", "name": "web"}, "observedVersion": 1, "stable": 1, "target": 1, "since": 1,
            "batch": "all", "state": "rollback_completed",
            "failure": {"slot": 1, "revision": 2, "reason": "TaskFailed", "seen": NOW},
        });
        cluster.put(&Key::Rollout(uid), rollout.to_string()).await;
        let service = ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap());
        Known::read(&cluster.store, &service, &[Range::prefix(prefix::CHANGES)]).await.unwrap()
    }

    #[tokio::test]
    async fn history_shows_who_when_and_why_by_the_version_that_a_revision_was_made_of() {
        let rows = rows(&known().await);
        let told: Vec<(u64, &str, &str, &str)> = rows
            .iter()
            .map(|row| (row.revision, row.state.as_str(), row.actor.as_str(), row.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [(1, "rollback completed", "", ""), (2, "failed: TaskFailed", "alice@laptop", "a better cache")],
            "what was put by hand has no author"
        );
        assert_eq!((rows[1].time, rows[1].digest.as_str()), (Some(NOW), "sha256:bb"));
        let table = table(&rows, Style { now: NOW, ..Style::default() });
        assert!(table.lines().nth(2).unwrap().ends_with("a better cache"), "{table}");
    }

    #[tokio::test]
    async fn a_diff_names_the_fields_and_not_the_versions() {
        let known = known().await;
        let lines = differences(&known, 1, 2).unwrap();
        assert_eq!(lines, ["task.image  app:1 -> app:2", "digest      (default) -> sha256:bb"]);
        assert!(differences(&known, 2, 2).unwrap().is_empty());
        assert!(matches!(differences(&known, 1, 9), Err(Failure::NotFound(_))));
    }
}
