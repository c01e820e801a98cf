//! Who is inside: bounds the number of connections, and lets the server wait until the last one has left.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections above this number wait in the kernel's queue.
const CONNECTIONS_MAX: u32 = 256;

/// Counts connections; once closed it lets nobody in any more.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    inside: u32,
}

/// One connection that is inside, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.change(|state| state.inside -= 1);
    }
}

impl Gate {
    /// Waits for room. `None` once the gate is closed.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let is_full = |state: &mut State| !state.is_closed && state.inside >= CONNECTIONS_MAX;
        let mut state = self.changed.wait_while(self.lock(), is_full).unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return None;
        }
        state.inside += 1;
        Some(Pass(Arc::clone(self)))
    }

    pub(crate) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    pub(crate) fn wait_until_closed(&self) {
        drop(self.changed.wait_while(self.lock(), |state| !state.is_closed));
    }

    /// Whether the gate was closed before `limit` was over.
    pub(crate) fn is_closed_within(&self, limit: Duration) -> bool {
        self.holds_within(limit, |state| state.is_closed)
    }

    /// Whether nobody was inside before `limit` was over.
    pub(crate) fn is_empty_within(&self, limit: Duration) -> bool {
        self.holds_within(limit, |state| state.inside == 0)
    }

    fn holds_within(&self, limit: Duration, condition: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !condition(state));
        condition(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_closed_gate_lets_nobody_in_and_waits_for_those_inside() {
        let gate = Arc::new(Gate::default());
        let pass = gate.enter().unwrap();
        gate.close();
        assert!(gate.enter().is_none());
        assert!(!gate.is_empty_within(Duration::ZERO));
        drop(pass);
        assert!(gate.is_empty_within(Duration::ZERO));
    }

    #[test]
    fn whoever_finds_the_gate_full_enters_when_another_leaves() {
        let gate = Arc::new(Gate::default());
        let mut passes: Vec<_> = std::iter::from_fn(|| gate.enter()).take(CONNECTIONS_MAX as usize).collect();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter().is_some());
            passes.pop();
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn closing_wakes_whoever_waits() {
        let gate = Arc::new(Gate::default());
        assert!(!gate.is_closed_within(Duration::ZERO));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.is_closed_within(LONG));
            gate.close();
            assert!(waiting.join().unwrap());
        });
    }
}
