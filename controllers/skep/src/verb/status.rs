//! `skep status`: how the cluster is, in a few lines; with `--system`, how each process of this machine is.

use clap::Args;
use serde_json::{Value, json};
use skep_api::condition;
use skep_api::key::{Key, prefix};
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_api::task::{DesiredState, TaskState};
use skep_store::{Range, Store, Update, Version};

use crate::cli::Context;
use crate::cut::{Cut, Entry};
use crate::failure::Failure;
use crate::output;
use crate::verb::system;

/// Show how the cluster is
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Show each process of this machine instead: pid, leader or standby, restarts, log
    #[arg(long)]
    system: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

impl Status {
    /// Shows it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let (text, json) = if self.system {
            let processes = system::processes(context).await?;
            (system::table(&processes, context).to_string(), system::json(&processes))
        } else {
            let access = context.cluster.access()?;
            let summary = Summary::read(&context.cluster.connect(&context.env).await?).await?;
            (summary.lines(&access.endpoints.join(",")), summary.json())
        };
        Ok(output::print(&match self.output {
            Format::Table => text,
            Format::Json => format!("{json:#}\n"),
        })?)
    }
}

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
    async fn read(store: &Store) -> Result<Self, Failure> {
        let cluster = store.identity()?.cluster;
        let groups = [
            prefix::NODES,
            prefix::NODE_STATUSES,
            prefix::SERVICES,
            prefix::SERVICE_STATUSES,
            prefix::TASKS,
            prefix::TASK_STATUSES,
        ];
        let mut cut = Cut::new(cluster.clone());
        cut.take(Update::Resync(store.list_all(&groups.map(Range::prefix)).await?));
        let version = store.server_version();
        let mut summary = Self {
            cluster,
            etcd: version.map_or(String::new(), |version| version.to_string()),
            has_watch_fixes: version.is_none_or(Version::has_watch_fixes),
            nodes: Share::default(),
            services: Share::default(),
            tasks: Share::default(),
        };
        cut.iter().for_each(|(key, entry)| summary.count(&cut, key, entry));
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
