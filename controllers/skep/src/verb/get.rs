//! `skep get`: shows objects, once or as they change.

use clap::Args;
use skep_store::{Range, Update};

use crate::cli::Context;
use crate::cut::Cut;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::verb::target::Target;
use crate::view::news::Shown;
use crate::view::render::{Format, Found};
use crate::view::select::Selector;
use crate::view::{Item, Kind, Selection, Style, items};

/// Show objects: services, tasks, nodes, volumes, cluster, revisions, rollouts, changes, events
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
            let style = self.style(context);
            let all = self.what.kinds.iter().flat_map(|kind| items(*kind, &cut, style));
            let selected = all.filter(|item| selection.has(item)).collect();
            output::print(&shown.news(selected, cut.revision(), self.output, style)?)?;
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
        let mut found = Found { kinds: Vec::new(), version: cut.revision(), is_single: false };
        let mut missing = Vec::new();
        for kind in &self.what.kinds {
            let all = items(*kind, cut, style);
            missing.extend(selection.missing(*kind, &all));
            let selected: Vec<Item> = all.into_iter().filter(|item| selection.has(item)).collect();
            if selected.is_empty() && missing.is_empty() {
                say(&nothing(*kind, selection));
            }
            let is_one = *kind == Kind::Cluster || selection.is_single(&selected);
            found.is_single = self.what.kinds.len() == 1 && is_one;
            found.kinds.push((*kind, selected));
        }
        output::print(&found.render(self.output, style)?)?;
        if missing.is_empty() { Ok(()) } else { Err(Failure::NotFound(missing)) }
    }
}

fn nothing(kind: Kind, selection: &Selection) -> String {
    match &selection.stack {
        Some(stack) if kind != Kind::Nodes => format!("no {kind} in stack {stack} (-A shows every stack)"),
        _ => format!("no {kind}"),
    }
}
