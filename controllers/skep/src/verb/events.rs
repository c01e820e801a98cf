//! `skep events`: what happened, oldest first, once or as it happens.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;
use skep_api::key::prefix;
use skep_api::time::{Span, Timestamp};
use skep_store::{Range, Store, Update};

use crate::cli::Context;
use crate::cut::Cut;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::verb::target::{StackArgs, Target, node};
use crate::view::news::Shown;
use crate::view::render::{Format, Found};
use crate::view::{Item, Kind, Selection, Style, items};

/// Show what happened, oldest first; the same again is one line with a count
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep events --for service/web --since 1h
  skep events -A -w -o jsonl")]
pub(crate) struct Events {
    /// Only what happened to this: KIND/NAME, such as service/web or node/n1
    #[arg(long = "for", value_name = "KIND/NAME")]
    target: Option<Target>,
    /// Only what was seen in the last so long
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    #[command(flatten)]
    stack: StackArgs,
    /// Every stack
    #[arg(short = 'A', long, conflicts_with = "stack")]
    all_stacks: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Go on and print what happens, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// Which events are meant.
struct Wanted {
    selection: Selection,
    /// The object, as events name it.
    regarding: Option<String>,
    /// Not seen before this.
    since: Option<Timestamp>,
}

impl Events {
    /// Shows them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let wanted = self.wanted(&store, context.env.now()).await?;
        let style = |now| Style { now, is_wide: self.output == Format::Wide, has_stacks: false };
        let mut cut = Cut::new(store.identity()?.cluster);
        if !self.watch {
            cut.take(Update::Resync(store.list_all(&[Range::prefix(prefix::EVENTS)]).await?));
            let style = style(context.env.now());
            let found = wanted.of(&cut, style);
            if found.is_empty() {
                say("nothing happened");
            }
            let found =
                Found { kinds: vec![(Kind::Events, found)], version: cut.revision(), is_single: false };
            output::print(&found.render(self.output, style)?)?;
            return Ok(());
        }
        let mut follow = store.follow(vec![Range::prefix(prefix::EVENTS)]);
        let (mut shown, mut known) = (Shown::default(), BTreeMap::new());
        loop {
            cut.take(follow.next().await?);
            let style = style(context.env.now());
            let news = known_and(&mut known, wanted.of(&cut, style));
            output::print(&shown.news(news, cut.revision(), self.output, style)?)?;
        }
    }

    async fn wanted(&self, store: &Store, now: Timestamp) -> Result<Wanted, Failure> {
        let regarding = match &self.target {
            None => None,
            Some(target) if target.kind == Kind::Nodes => {
                Some(format!("Node/{}", node(store, &target.name).await?))
            }
            Some(target) => Some(format!("Service/{}", target.service(&self.stack)?)),
        };
        let stack = if self.all_stacks || regarding.is_some() { None } else { Some(self.stack.stack()?) };
        let since = self.since.map(|since| {
            let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(now.as_millis().saturating_sub(since))
        });
        Ok(Wanted { selection: Selection { stack, ..Selection::default() }, regarding, since })
    }
}

impl Wanted {
    fn of(&self, cut: &Cut, style: Style) -> Vec<Item> {
        items(Kind::Events, cut, style).into_iter().filter(|item| self.has(item)).collect()
    }

    fn has(&self, item: &Item) -> bool {
        let text = |path: &str| item.document.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let is_about = |object: &String| {
            let regarding = text("/spec/regarding");
            // What happens to its tasks happens to the service.
            let tasks = object.strip_prefix("Service/").map(|service| format!("Task/{service}."));
            regarding == object || tasks.is_some_and(|tasks| regarding.starts_with(&tasks))
        };
        let is_recent =
            |since: Timestamp| text("/spec/lastSeen").parse().is_ok_and(|seen: Timestamp| seen >= since);
        self.selection.has(item)
            && self.regarding.as_ref().is_none_or(is_about)
            && self.since.is_none_or(is_recent)
    }
}

/// All that was ever seen, oldest first: an event whose lease has ended is not news.
fn known_and(known: &mut BTreeMap<String, Item>, found: Vec<Item>) -> Vec<Item> {
    let order: Vec<String> = found.iter().map(|item| item.name().to_owned()).collect();
    known.extend(found.into_iter().map(|item| (item.name().to_owned(), item)));
    let (now, before): (Vec<&Item>, Vec<&Item>) =
        known.values().partition(|item| order.iter().any(|name| name == item.name()));
    let mut now: Vec<&Item> = now;
    now.sort_by_key(|item| order.iter().position(|name| name == item.name()));
    before.into_iter().chain(now).cloned().collect()
}

#[cfg(test)]
mod tests {
    use skep_api::ident::RecordId;
    use skep_api::key::Key;

    use super::*;

    fn event(regarding: &str, minute: u32) -> String {
        format!(
            "{{regarding: {regarding}, reason: R, message: m, severity: Normal, source: replica, count: 1, \
             firstSeen: '2026-01-31T12:00:00Z', lastSeen: '2026-01-31T12:{minute:02}:00Z'}}"
        )
    }

    fn cut() -> Cut {
        let events = [
            event("Service/shop/web", 30),
            event("Task/shop/web.1.abc", 10),
            event("Service/shop/web-admin", 20),
            event("Node/aaaaaaaaaaaa", 5),
        ];
        let keys = (0..).map(|number| Key::Event(RecordId::from_time(number, 1)));
        let values: Vec<(Key, &str)> = keys.zip(events.iter().map(String::as_str)).collect();
        Cut::of(&values)
    }

    fn regarding(wanted: &Wanted) -> Vec<String> {
        let found = wanted.of(&cut(), Style::default());
        found.iter().map(|item| item.document["spec"]["regarding"].as_str().unwrap().to_owned()).collect()
    }

    fn wanted(stack: Option<&str>, regarding: Option<&str>, since: Option<&str>) -> Wanted {
        let stack = stack.map(|stack| stack.parse().unwrap());
        let selection = Selection { stack, ..Selection::default() };
        Wanted {
            selection,
            regarding: regarding.map(str::to_owned),
            since: since.map(|since| since.parse().unwrap()),
        }
    }

    #[test]
    fn events_come_oldest_first_and_those_of_a_service_with_its_tasks() {
        let all = ["Node/aaaaaaaaaaaa", "Task/shop/web.1.abc", "Service/shop/web-admin", "Service/shop/web"];
        assert_eq!(regarding(&wanted(Some("shop"), None, None)), all);
        assert_eq!(regarding(&wanted(Some("default"), None, None)), ["Node/aaaaaaaaaaaa"]);
        let web = wanted(None, Some("Service/shop/web"), None);
        assert_eq!(regarding(&web), ["Task/shop/web.1.abc", "Service/shop/web"]);
        let late = wanted(None, None, Some("2026-01-31T12:20:00Z"));
        assert_eq!(regarding(&late), ["Service/shop/web-admin", "Service/shop/web"]);
    }

    #[test]
    fn an_event_that_expires_is_not_news() {
        let mut known = BTreeMap::new();
        let all = wanted(None, None, None).of(&cut(), Style::default());
        assert_eq!(known_and(&mut known, all.clone()).len(), 4);
        let later = known_and(&mut known, all[2..].to_vec());
        assert_eq!(later.len(), 4);
        assert_eq!(later[3].name(), all[3].name(), "the newest is last");
    }
}
