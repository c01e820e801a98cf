//! Which kinds there are, and what can be applied of them.

use super::shape::{self, Shape};
use super::suggest;
use crate::code;
use crate::problem::{Code, Fault};
use crate::tree::{Node, Value};

/// A kind that can be applied.
#[derive(Debug, Clone, Copy)]
pub(super) enum Applicable {
    Service,
    Volume,
    Node,
    Cluster,
}

/// What may be done with a kind.
enum Standing {
    Applied(Applicable),
    /// Only controllers write it.
    ReadOnly,
    /// It is part of the format, but this version does not act on it.
    Later,
}

const KINDS: [(&str, Standing); 14] = [
    ("Service", Standing::Applied(Applicable::Service)),
    ("Volume", Standing::Applied(Applicable::Volume)),
    ("Node", Standing::Applied(Applicable::Node)),
    ("Task", Standing::ReadOnly),
    ("Revision", Standing::ReadOnly),
    ("Rollout", Standing::ReadOnly),
    ("Change", Standing::ReadOnly),
    ("Event", Standing::ReadOnly),
    ("Network", Standing::Later),
    ("Secret", Standing::Later),
    ("Config", Standing::Later),
    ("Cluster", Standing::Applied(Applicable::Cluster)),
    ("Sync", Standing::Later),
    ("Stack", Standing::Later),
];

/// Kubernetes' kinds that a Service stands for.
const WORKLOADS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job"];

impl Applicable {
    /// The kind that the object `root` says it is.
    pub(super) fn of(root: &Node) -> Result<Self, Fault> {
        if !matches!(root.value, Value::Mapping(_)) {
            let message = "an object with apiVersion, kind, metadata and spec is wanted";
            return Err(Fault::new(code::NOT_A_MANIFEST, root.extent, message));
        }
        let at = root.locate(&["kind".into()]);
        let fault = |code: Code, message: String| Fault::new(code, at, message);
        let Some(kind) = root.get("kind").and_then(Node::as_text) else {
            let is_compose = root.get("services").is_some();
            let hint = if is_compose { "this looks like a Compose file" } else { "such as `kind: Service`" };
            return Err(fault(code::NOT_A_MANIFEST, "`kind` is missing".to_owned()).hint(hint));
        };
        match KINDS.iter().find(|(name, _)| *name == kind) {
            Some((_, Standing::Applied(kind))) => Ok(*kind),
            Some((_, Standing::Later)) => {
                Err(fault(code::KIND_NOT_SUPPORTED, format!("kind {kind} is not supported yet")))
            }
            Some((_, Standing::ReadOnly)) => {
                let message = format!("kind {kind} is written by controllers and cannot be applied");
                Err(fault(code::READ_ONLY_KIND, message))
            }
            None => {
                let shown: String = kind.chars().take(40).collect();
                Err(fault(code::UNKNOWN_KIND, format!("there is no kind `{shown}`")).hint(meant(kind)))
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Volume => "Volume",
            Self::Node => "Node",
            Self::Cluster => "Cluster",
        }
    }

    pub(super) fn shape(self) -> &'static Shape {
        match self {
            Self::Service => &shape::SERVICE,
            Self::Volume => &shape::VOLUME,
            Self::Node => &shape::NODE,
            Self::Cluster => &shape::CLUSTER,
        }
    }
}

fn meant(kind: &str) -> String {
    if WORKLOADS.contains(&kind) {
        return "use `kind: Service`".to_owned();
    }
    let near = suggest::nearest(kind, KINDS.iter().map(|(name, _)| *name));
    near.map_or(String::new(), |near| format!("did you mean `{near}`?"))
}
