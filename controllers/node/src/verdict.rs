//! What a node's session, its last status and the time say of it.

use skep_api::condition::{self, Truth};
use skep_api::node::{NodeState, NodeStatus};
use skep_api::time::{Span, Timestamp};

/// How long a node is Unreachable before it is Down, beyond the time to live of its session.
///
/// Longer than the time between two renewals of a session (5 s), so that of all sessions that one failure ends, the
/// last is gone before the first node counts as Down: otherwise too many nodes at once would look like one by one.
pub const UNREACHABLE_FOR: Span = Span::from_secs(6);

/// The condition that says whether a node is ready.
pub(crate) const READY: &str = "Ready";
const HELD_BACK: &str = "HeldBack";

/// How a node is, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: NodeState,
    pub(crate) since: Timestamp,
    pub(crate) ready: Truth,
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
}

/// How a node is that was last said to be as in `old`.
///
/// All of it is derived from what is stored, so a controller that starts anew goes on where the last one stopped.
pub(crate) fn judge(old: Option<&NodeStatus>, is_alive: bool, holds_back: bool, now: Timestamp) -> Verdict {
    let state = old.map(|old| old.state).unwrap_or_default();
    let since = old.map_or(now, |old| started(old, is_alive, holds_back, now));
    if is_alive {
        return Verdict::new(NodeState::Ready, since, Truth::True, "AgentAlive", "its agent lives");
    }
    let is_over = now >= since.after(UNREACHABLE_FOR);
    match state {
        NodeState::Ready | NodeState::Unreachable if holds_back => Verdict::held_back(since),
        NodeState::Ready | NodeState::Unreachable if !is_over => Verdict::unreachable(since),
        NodeState::Unknown if !is_over => Verdict::unknown(since),
        NodeState::Ready | NodeState::Unreachable | NodeState::Unknown => Verdict::down(now),
        NodeState::Down => Verdict::down(since),
    }
}

/// Since when the node is as it is now.
///
/// An instant in the future is another machine's: it counts from now. And once the hold-back is over, those who are
/// still away have the whole time to return: the first to come back say nothing of the last.
fn started(old: &NodeStatus, is_alive: bool, holds_back: bool, now: Timestamp) -> Timestamp {
    let has_turned = is_alive != (old.state == NodeState::Ready);
    let was_held = condition::find(&old.conditions, READY).is_some_and(|ready| ready.reason == HELD_BACK);
    let is_released = was_held && !holds_back;
    if has_turned || is_released || old.since > now { now } else { old.since }
}

impl Verdict {
    fn new(
        state: NodeState,
        since: Timestamp,
        ready: Truth,
        reason: &'static str,
        message: &'static str,
    ) -> Self {
        Self { state, since, ready, reason, message }
    }

    fn unknown(since: Timestamp) -> Self {
        let message = "its agent has not connected yet";
        Self::new(NodeState::Unknown, since, Truth::Unknown, "NotConnected", message)
    }

    fn unreachable(since: Timestamp) -> Self {
        let message = "its agent has not been heard of; its tasks stay for the moment";
        Self::new(NodeState::Unreachable, since, Truth::Unknown, "SessionExpired", message)
    }

    fn held_back(since: Timestamp) -> Self {
        let message = "more than a third of the nodes vanished at once, so rather etcd or the network has failed: its \
                       tasks are not replaced until nodes return or are removed";
        Self::new(NodeState::Unreachable, since, Truth::Unknown, HELD_BACK, message)
    }

    fn down(since: Timestamp) -> Self {
        let message = "its agent has not been heard of for too long; its tasks are replaced";
        Self::new(NodeState::Down, since, Truth::False, "SessionExpired", message)
    }

    /// When the verdict changes if nothing happens.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        let waits = match self.state {
            NodeState::Unreachable => self.reason != HELD_BACK,
            NodeState::Unknown => true,
            NodeState::Ready | NodeState::Down => false,
        };
        waits.then(|| self.since.after(UNREACHABLE_FOR))
    }
}
