//! `skep status`: how the cluster is, in a few lines and as a tree of its services and tasks; with `--system`, how each
//! process of this machine is.

use clap::Args;
use serde_json::{Value, json};
use skep_api::condition;
use skep_api::ident::Stack;
use skep_api::key::{Key, prefix};
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_api::task::{DesiredState, TaskState};
use skep_store::{Range, Store, Update, Version};

use crate::cli::Context;
use crate::cut::{Cut, Entry};
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::verb::system;
use crate::view::{Style, tree::tree};

/// Show how the cluster is: its services and tasks, why something does not run, and what comes next
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this stack
    #[arg(value_name = "STACK")]
    stack: Option<Stack>,
    /// Go on and show it again whenever it changes, until Ctrl-C
    #[arg(short, long, conflicts_with_all = ["system", "output"])]
    watch: bool,
    /// Show each process of this machine instead: pid, leader or standby, restarts, log
    #[arg(long, conflicts_with = "stack")]
    system: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Answer,
}

impl Status {
    /// Shows it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let (text, json) = if self.system {
            let processes = system::processes(context).await?;
            (system::table(&processes, context).to_string(), system::json(&processes))
        } else {
            let access = context.cluster.access()?;
            let store = context.cluster.connect(&context.env).await?;
            if self.watch {
                return self.watch(context, &store).await;
            }
            let mut cut = Cut::new(store.identity()?.cluster);
            cut.take(Update::Resync(store.list_all(&READ.map(Range::prefix)).await?));
            let summary = Summary::of(&cut, &store)?;
            (self.page(&summary, &cut, &access.endpoints.join(","), context), summary.json())
        };
        Ok(self.output.print(&text, &json)?)
    }

    /// The summary of the cluster, unless one stack is asked for, and the tree.
    fn page(&self, summary: &Summary, cut: &Cut, endpoints: &str, context: &Context) -> String {
        let tree = self.tree(cut, context);
        match &self.stack {
            Some(stack) if tree.is_empty() => format!("no services in stack {stack}\n"),
            Some(_) => tree,
            None if tree.is_empty() => summary.lines(endpoints),
            None => format!("{}\n{tree}", summary.lines(endpoints)),
        }
    }

    fn tree(&self, cut: &Cut, context: &Context) -> String {
        tree(cut, self.stack.as_ref(), Style { now: context.env.now(), ..Style::default() })
    }

    /// On a terminal the tree is drawn again in its place; elsewhere it is printed whenever it differs.
    async fn watch(&self, context: &Context, store: &Store) -> Result<(), Failure> {
        let is_terminal = output::terminal_width(std::io::stdout()).is_some();
        let mut cut = Cut::new(store.identity()?.cluster);
        let mut follow = store.follow(READ.map(Range::prefix).into());
        let mut shown = String::new();
        loop {
            cut.take(follow.next().await?);
            let tree = self.tree(&cut, context);
            if tree != shown {
                output::print(&if is_terminal { format!("{CLEAR}{tree}") } else { format!("{tree}\n") })?;
                shown = tree;
            }
        }
    }
}

/// What the summary and the tree are made of.
const READ: [&str; 6] = [
    prefix::SERVICES,
    prefix::NODES,
    prefix::TASKS,
    prefix::SERVICE_STATUSES,
    prefix::NODE_STATUSES,
    prefix::TASK_STATUSES,
];
/// Goes to the top of the terminal, and clears it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// The cluster in numbers.
struct Summary {
    cluster: String,
    etcd: String,
    /// Whether etcd has the fixes for watch events that get lost.
    has_watch_fixes: bool,
    nodes: Share,
    services: Share,
    tasks: Share,
}

/// So many of so many.
#[derive(Default)]
struct Share {
    good: usize,
    all: usize,
}

impl Summary {
    fn of(cut: &Cut, store: &Store) -> Result<Self, Failure> {
        let cluster = store.identity()?.cluster;
        let version = store.server_version();
        let mut summary = Self {
            cluster,
            etcd: version.map_or(String::new(), |version| version.to_string()),
            has_watch_fixes: version.is_none_or(Version::has_watch_fixes),
            nodes: Share::default(),
            services: Share::default(),
            tasks: Share::default(),
        };
        cut.iter().for_each(|(key, entry)| summary.count(cut, key, entry));
        Ok(summary)
    }

    fn count(&mut self, cut: &Cut, key: &Key, entry: &Entry) {
        if let Key::Node(node) = key {
            let status = cut.object(&Key::NodeStatus(node.clone()));
            self.nodes
                .add(matches!(status, Some(Object::NodeStatus(status)) if status.state == NodeState::Ready));
        } else if let Key::Service(service) = key {
            let status = cut.object(&Key::ServiceStatus(service.clone()));
            self.services.add(matches!(status, Some(Object::ServiceStatus(status))
                if status.observed_version >= entry.modified && condition::is_true(&status.conditions, "Ready")));
        } else if let (Key::Task(task), Ok(Object::Task(spec))) = (key, &entry.value)
            && spec.desired < DesiredState::Shutdown
        {
            let status = cut.object(&Key::TaskStatus(task.clone()));
            self.tasks.add(
                matches!(status, Some(Object::TaskStatus(status)) if status.state == TaskState::Running),
            );
        }
    }

    fn lines(&self, endpoints: &str) -> String {
        let note =
            if self.has_watch_fixes { "" } else { "; 3.5.22 has fixes for watch events that get lost" };
        output::lines([
            format!("cluster    {}", self.cluster),
            format!("etcd       {} at {endpoints}{note}", self.etcd),
            format!("nodes      {} of {} ready", self.nodes.good, self.nodes.all),
            format!("services   {} of {} ready", self.services.good, self.services.all),
            format!("tasks      {} of {} running", self.tasks.good, self.tasks.all),
        ])
    }

    fn json(&self) -> Value {
        json!({
            "cluster": self.cluster,
            "etcd": {"version": self.etcd, "hasWatchFixes": self.has_watch_fixes},
            "nodes": {"all": self.nodes.all, "ready": self.nodes.good},
            "services": {"all": self.services.all, "ready": self.services.good},
            "tasks": {"all": self.tasks.all, "running": self.tasks.good},
        })
    }
}

impl Share {
    fn add(&mut self, is_good: bool) {
        self.all += 1;
        self.good += usize::from(is_good);
    }
}
