//! `skep get`: shows objects, once or as they change.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};
use skep_api::object::API_VERSION;
use skep_api::yaml;
use skep_store::{Range, Update};

use crate::cli::Context;
use crate::failure::Failure;
use crate::output::{self, Table, say};
use crate::verb::target::Target;
use crate::view::select::Selector;
use crate::view::{Cut, Item, Kind, Selection, Style, heading, items};

/// Show objects: services, tasks, nodes, revisions, rollouts, changes, events
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep get services,tasks          services and tasks of the stack `default`
  skep get tasks web -o wide       the tasks of the service `web`, with all that is known of them
  skep get svc/web -o yaml         one service, as it can be applied again
  skep get services -A -w          the services of every stack, and every change to them")]
pub(crate) struct Get {
    /// KIND[,KIND…], or KIND/NAME
    #[arg(value_name = "KIND")]
    what: What,
    /// Only what has one of these names; for tasks, a service's name shows all of its tasks
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only this stack
    #[arg(short, long, value_name = "STACK", default_value = "default")]
    stack: String,
    /// Every stack
    #[arg(short = 'A', long, conflicts_with = "stack")]
    all_stacks: bool,
    /// Only what has these labels, such as `tier=front,zone!=a,critical`; tasks have those of their service
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<Selector>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Go on and print what changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Wide,
    Yaml,
    Json,
    Jsonl,
    Name,
}

/// What is asked for: kinds, or one object.
#[derive(Debug, Clone)]
struct What {
    kinds: Vec<Kind>,
    target: Option<Target>,
}

impl std::str::FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            let target: Target = text.parse()?;
            return Ok(Self { kinds: vec![target.kind], target: Some(target) });
        }
        let kinds = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { kinds, target: None })
    }
}

impl Get {
    /// Shows them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let selection = self.selection()?;
        let store = context.cluster.connect(&context.env).await?;
        let mut cut = Cut::new(store.identity()?.cluster);
        if !self.watch {
            cut.take(Update::Resync(store.list_all(&self.ranges()).await?));
            return self.print_all(&cut, &selection, context);
        }
        let mut follow = store.follow(self.ranges());
        let mut shown = Shown::default();
        loop {
            cut.take(follow.next().await?);
            self.print_changes(&cut, &selection, context, &mut shown)?;
        }
    }

    fn selection(&self) -> Result<Selection, Failure> {
        let target = self.what.target.as_ref();
        let stack = target.and_then(|target| target.stack.as_ref()).unwrap_or(&self.stack);
        let stack = if self.all_stacks { None } else { Some(stack.parse()?) };
        let names = target.map(|target| target.name.clone()).into_iter().chain(self.names.iter().cloned());
        Ok(Selection { stack, names: names.collect(), selector: self.selector.clone().unwrap_or_default() })
    }

    /// What must be read, each range once.
    fn ranges(&self) -> Vec<Range> {
        let mut ranges: Vec<Range> = self.what.kinds.iter().flat_map(|kind| kind.ranges()).collect();
        ranges.sort();
        ranges.dedup();
        ranges
    }

    fn style(&self, context: &Context) -> Style {
        Style { now: context.env.now(), is_wide: self.output == Format::Wide, has_stacks: self.all_stacks }
    }

    fn print_all(&self, cut: &Cut, selection: &Selection, context: &Context) -> Result<(), Failure> {
        let style = self.style(context);
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for kind in &self.what.kinds {
            let all = items(*kind, cut, style);
            missing.extend(selection.missing(*kind, &all));
            let selected: Vec<Item> = all.into_iter().filter(|item| selection.has(item)).collect();
            if selected.is_empty() && missing.is_empty() {
                say(&nothing(*kind, selection));
            }
            found.push((*kind, selected));
        }
        output::print(&self.render(&found, cut.revision(), selection, style)?)?;
        if missing.is_empty() { Ok(()) } else { Err(Failure::NotFound(missing)) }
    }

    fn render(
        &self,
        found: &[(Kind, Vec<Item>)],
        version: i64,
        selection: &Selection,
        style: Style,
    ) -> Result<String, Failure> {
        let all = || found.iter().flat_map(|(_, items)| items);
        Ok(match self.output {
            Format::Table | Format::Wide => {
                let filled = found.iter().filter(|(_, items)| !items.is_empty());
                let tables = filled.map(|(kind, items)| table(*kind, items, style).to_string());
                tables.collect::<Vec<_>>().join("\n")
            }
            Format::Yaml => yaml::to_string(&whole(found, version, selection))
                .map_err(|error| Failure::Value(skep_api::object::Invalid { reason: error.to_string() }))?,
            Format::Json => format!("{:#}\n", whole(found, version, selection)),
            Format::Jsonl => all().map(|item| format!("{}\n", item.document)).collect(),
            Format::Name => all().map(|item| format!("{}\n", name(item))).collect(),
        })
    }

    fn print_changes(
        &self,
        cut: &Cut,
        selection: &Selection,
        context: &Context,
        shown: &mut Shown,
    ) -> Result<(), Failure> {
        let style = self.style(context);
        let all = self.what.kinds.iter().flat_map(|kind| items(*kind, cut, style));
        let news = shown.take(all.filter(|item| selection.has(item)).collect());
        let mut text = String::new();
        for kind in &self.what.kinds {
            let news = news.iter().filter(|news| news.item.kind == *kind);
            match self.output {
                Format::Table | Format::Wide => text.push_str(&shown.rows(*kind, news, style)),
                Format::Json | Format::Jsonl => text.extend(news.map(|news| news.json(cut.revision()))),
                Format::Name => text.extend(news.map(|news| format!("{}\n", name(&news.item)))),
                Format::Yaml => {
                    for news in news {
                        let document = yaml::to_string(&news.item.document);
                        text.push_str(&format!("---\n{}", document.unwrap_or_default()));
                    }
                }
            }
        }
        Ok(output::print(&text)?)
    }
}

fn nothing(kind: Kind, selection: &Selection) -> String {
    match &selection.stack {
        Some(stack) if kind != Kind::Nodes => format!("no {kind} in stack {stack} (-A shows every stack)"),
        _ => format!("no {kind}"),
    }
}

/// One object, or a list of them.
fn whole(found: &[(Kind, Vec<Item>)], version: i64, selection: &Selection) -> Value {
    if let [(_, items)] = found {
        if let (true, Some(item)) = (selection.is_single(items), items.first()) {
            return item.document.clone();
        }
    }
    let items: Vec<&Value> = found.iter().flat_map(|(_, items)| items).map(|item| &item.document).collect();
    json!({"apiVersion": API_VERSION, "kind": "List", "metadata": {"version": version}, "items": items})
}

/// As it is typed: `service/web`, `service/shop/web`.
fn name(item: &Item) -> String {
    let kind = item.kind.singular();
    match item.stack.as_ref().filter(|stack| stack.as_str() != skep_api::ident::DEFAULT_STACK) {
        Some(stack) => format!("{kind}/{stack}/{}", item.name()),
        None => format!("{kind}/{}", item.name()),
    }
}

fn table(kind: Kind, items: &[Item], style: Style) -> Table {
    let stack = style.has_stacks.then_some("STACK");
    let mut table = Table::new(stack.into_iter().chain(heading(kind, style.is_wide).iter().copied()));
    for item in items {
        table.push(cells(item, style));
    }
    table
}

fn cells(item: &Item, style: Style) -> Vec<String> {
    let stack = style.has_stacks.then(|| item.stack.as_ref().map_or(String::new(), ToString::to_string));
    stack.into_iter().chain(item.cells.iter().cloned()).collect()
}

/// What was shown so far.
#[derive(Default)]
struct Shown {
    items: BTreeMap<(Kind, Option<skep_api::ident::Stack>, String), Item>,
    tables: BTreeMap<Kind, Table>,
}

/// Something that is new.
struct News {
    what: &'static str,
    item: Item,
}

impl Shown {
    /// What is new in `items`, which are all there are now.
    fn take(&mut self, items: Vec<Item>) -> Vec<News> {
        let mut before = std::mem::take(&mut self.items);
        let mut news = Vec::new();
        for item in items {
            let what = match before.remove(&item.identity()) {
                Some(old) if old.document == item.document => None,
                Some(_) => Some("MODIFIED"),
                None => Some("ADDED"),
            };
            self.items.insert(item.identity(), item.clone());
            news.extend(what.map(|what| News { what, item }));
        }
        news.extend(before.into_values().map(|item| News { what: "DELETED", item }));
        news
    }

    /// The rows of what is new; the heading before the first of them.
    fn rows<'a>(&mut self, kind: Kind, news: impl Iterator<Item = &'a News>, style: Style) -> String {
        let rows: Vec<Vec<String>> = news.map(|news| news.cells(style)).collect();
        if rows.is_empty() {
            return String::new();
        }
        let mut table = match self.tables.get(&kind) {
            Some(earlier) => Table::continuing(earlier),
            None => self::table(kind, &[], style),
        };
        rows.into_iter().for_each(|row| table.push(row));
        let text = table.to_string();
        self.tables.insert(kind, table);
        text
    }
}

impl News {
    fn cells(&self, style: Style) -> Vec<String> {
        let mut cells = cells(&self.item, style);
        if let (true, Some(last)) = (self.what == "DELETED", cells.last_mut()) {
            *last = "(deleted)".to_owned();
        }
        cells
    }

    fn json(&self, revision: i64) -> String {
        format!("{}\n", json!({"type": self.what, "revision": revision, "object": self.item.document}))
    }
}
