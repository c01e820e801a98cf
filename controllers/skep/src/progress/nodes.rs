//! Waiting for what is said of nodes.

use skep_api::condition::{self, Truth};
use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::node::NodeStatus;
use skep_api::object::Object;
use skep_api::time::Span;
use skep_store::{Range, Store};

use crate::cut::Cut;
use crate::failure::Failure;
use crate::progress::judge::{Aim, Verdict};
use crate::progress::screen::{Line, Screen};
use crate::progress::{until, words};

/// Waits until each of `nodes` is as one of `aims` says, for at most `limit`.
///
/// # Errors
/// [`Failure::Timeout`], [`Failure::Interrupted`], [`Failure::Conflict`] if one is deleted meanwhile.
pub(crate) async fn nodes(
    store: &Store,
    nodes: Vec<NodeId>,
    aims: Vec<Aim>,
    limit: Span,
) -> Result<(), Failure> {
    if nodes.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = nodes.iter().map(|node| format!("node/{node}")).collect();
    let mut watch = Watch { nodes, aims, cut: Cut::new(store.identity()?.cluster) };
    let resume = format!("skep wait {}", names.join(" "));
    let result = until(limit, &resume, watch.follow(store)).await;
    result.unwrap_or_else(|| {
        let lines = watch.lines().into_iter().filter(|(_, verdict)| !verdict.is_ready());
        let details = lines.map(|(name, verdict)| format!("{name} {verdict}")).collect::<Vec<_>>().join("; ");
        Err(Failure::Timeout { what: "not so", details, limit })
    })
}

struct Watch {
    nodes: Vec<NodeId>,
    aims: Vec<Aim>,
    cut: Cut,
}

impl Watch {
    async fn follow(&mut self, store: &Store) -> Result<(), Failure> {
        let keys =
            self.nodes.iter().flat_map(|node| [Key::Node(node.clone()), Key::NodeStatus(node.clone())]);
        let mut follow = store.follow(keys.map(|key| Range::key(&key)).collect());
        let mut screen = Screen::new();
        loop {
            self.cut.take(follow.next().await?);
            let lines = self.lines();
            let line = |(name, verdict): &(String, Verdict)| Line {
                name: name.clone(),
                words: verdict.to_string(),
                is_last: !verdict.is_waiting(),
            };
            screen.show(lines.iter().map(line));
            if let Some((name, _)) = lines.iter().find(|(_, verdict)| *verdict == Verdict::Deleted) {
                return Err(Failure::Conflict(vec![format!("{name} was deleted meanwhile")]));
            }
            if lines.iter().all(|(_, verdict)| verdict.is_ready()) {
                return Ok(());
            }
        }
    }

    fn lines(&self) -> Vec<(String, Verdict)> {
        let line = |node: &NodeId| {
            let has_spec = self.cut.entry(&Key::Node(node.clone())).is_some();
            let status = match self.cut.object(&Key::NodeStatus(node.clone())) {
                Some(Object::NodeStatus(status)) => Some(&**status),
                _ => None,
            };
            let verdicts = self.aims.iter().map(|aim| judge(aim, has_spec, status));
            (self.cut.node_name(node), Verdict::any(verdicts).unwrap_or(Verdict::Deleted))
        };
        self.nodes.iter().map(line).collect()
    }
}

fn judge(aim: &Aim, has_spec: bool, status: Option<&NodeStatus>) -> Verdict {
    let (kind, truth) = match aim {
        Aim::Deleted if has_spec => return Verdict::Waiting("is there".to_owned()),
        Aim::Deleted => return Verdict::Ready("is gone".to_owned()),
        Aim::Ready | Aim::RolledBack => ("Ready", Truth::True),
        Aim::Condition(kind, truth) => (kind.as_str(), *truth),
    };
    if !has_spec {
        return Verdict::Deleted;
    }
    match status.and_then(|status| condition::find(&status.conditions, kind)) {
        Some(found) if found.status == truth => Verdict::Ready(words::condition(found)),
        Some(found) => Verdict::Waiting(words::condition(found)),
        None => Verdict::Waiting(format!("nobody has said whether it is {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use skep_api::time::Timestamp;

    use super::*;

    #[test]
    fn a_node_is_judged_by_its_conditions() {
        let mut status = NodeStatus::default();
        assert!(judge(&Aim::Ready, true, Some(&status)).is_waiting());
        condition::set(
            &mut status.conditions,
            "Ready",
            Truth::False,
            "SessionExpired",
            "",
            Timestamp::from_millis(0),
        );
        assert!(judge(&Aim::Ready, true, Some(&status)).is_waiting());
        let lost = Aim::Condition("Ready".to_owned(), Truth::False);
        assert_eq!(
            judge(&lost, true, Some(&status)),
            Verdict::Ready("Ready=False (SessionExpired)".to_owned())
        );
        assert_eq!(judge(&Aim::Ready, false, Some(&status)), Verdict::Deleted);
        assert!(judge(&Aim::Deleted, false, None).is_ready());
    }
}
