//! Counts who lives and who has vanished, and says when too many vanished at once.
//!
//! "At once" means: while none of them has been declared Down yet. A node that was lost and replaced before counts no
//! more, so a cluster may lose one node after another, but not half of them within one grace period.

use std::collections::BTreeSet;

use skep_api::ident::NodeId;
use skep_api::node::NodeState;

/// Who lives, and who was seen alive and has vanished since.
#[derive(Debug, Default)]
pub(crate) struct Census {
    alive: BTreeSet<NodeId>,
    vanished: BTreeSet<NodeId>,
}

impl Census {
    /// Counts `node` anew. A node that was never seen alive, or was given up, is neither alive nor vanished.
    pub(crate) fn count(&mut self, node: &NodeId, is_known: bool, is_alive: bool, state: NodeState) {
        self.alive.remove(node);
        self.vanished.remove(node);
        let was_seen = matches!(state, NodeState::Ready | NodeState::Unreachable);
        if is_known && is_alive {
            self.alive.insert(node.clone());
        } else if is_known && was_seen {
            self.vanished.insert(node.clone());
        }
    }

    /// Whether none of the nodes that vanished may be given up.
    ///
    /// More than a third at once is rather etcd or the network than the machines. Two exceptions make the rule fit
    /// small clusters. One lost node is always believed while another one lives: machines die one by one, and the one
    /// that lives proves that sessions are kept. And if nobody lives, nobody is given up: there is no place left for
    /// the tasks, and stopping them when their node returns would only do harm.
    pub(crate) fn holds_back(&self) -> bool {
        let gone = self.vanished.len();
        let third = self.alive.len().saturating_add(gone) / 3;
        gone > 0 && (self.alive.is_empty() || gone > third.max(1))
    }

    /// The nodes that have vanished and were not given up.
    pub(crate) fn vanished(&self) -> impl Iterator<Item = &NodeId> {
        self.vanished.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds_back(alive: u64, vanished: u64) -> bool {
        let mut census = Census::default();
        for number in 0..alive + vanished {
            census.count(&NodeId::from_random(number), true, number < alive, NodeState::Ready);
        }
        census.holds_back()
    }

    #[test]
    fn more_than_a_third_at_once_is_too_much_but_one_never_is_while_another_lives() {
        for (alive, vanished) in [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (67, 33)] {
            assert!(!holds_back(alive, vanished), "{vanished} of {}", alive + vanished);
        }
        for (alive, vanished) in [(0, 1), (0, 2), (1, 2), (2, 2), (3, 2), (5, 3), (66, 34)] {
            assert!(holds_back(alive, vanished), "{vanished} of {}", alive + vanished);
        }
        assert!(!holds_back(0, 0) && !holds_back(3, 0));
    }

    #[test]
    fn who_was_never_seen_or_was_given_up_or_removed_is_not_counted() {
        let mut census = Census::default();
        census.count(&NodeId::from_random(1), true, true, NodeState::Ready);
        for (number, is_known, state) in
            [(2, true, NodeState::Unknown), (3, true, NodeState::Down), (4, false, NodeState::Ready)]
        {
            census.count(&NodeId::from_random(number), is_known, false, state);
        }
        assert_eq!(census.vanished().count(), 0);
    }

    #[test]
    fn the_agent_of_a_removed_node_proves_nothing() {
        let mut census = Census::default();
        census.count(&NodeId::from_random(1), true, false, NodeState::Ready);
        census.count(&NodeId::from_random(2), false, true, NodeState::Ready);
        assert!(census.holds_back(), "no node lives");
    }
}
