//! A process that can be stopped like by SIGSTOP: nothing of it runs until it is told to go on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Stops a process and lets it go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brake {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_on: bool,
    waker: Option<Waker>,
}

impl Brake {
    /// Stops the process.
    pub(crate) fn pull(&self) {
        self.lock().is_on = true;
    }

    /// Lets it go on: with what it knew, and with timers that are long over.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        state.is_on = false;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Runs `process` while the brake is off.
    pub(crate) async fn run<F: Future>(&self, process: F) -> F::Output {
        let mut process = Box::pin(process);
        std::future::poll_fn(|cx| self.poll(process.as_mut(), cx)).await
    }

    fn poll<F: Future>(&self, process: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut state = self.lock();
        if state.is_on {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        process.poll(cx)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
