//! What the store does when the network or etcd fails: over the fake, in virtual time.

mod chaos;
mod network;
mod server;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use skep_store::fake::{FakeEtcd, Fault, Network};
use skep_store::{Config, Store};

/// What happens to one request or reply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Pass,
    Fail(Fault),
    Lose,
    Delay(Duration),
}

impl Act {
    fn happen(self) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(async move {
            match self {
                Self::Pass => Ok(()),
                Self::Fail(fault) => Err(fault),
                Self::Lose => std::future::pending().await,
                Self::Delay(time) => {
                    tokio::time::sleep(time).await;
                    Ok(())
                }
            }
        })
    }
}

/// A network that does as it is told, for one method, and passes everything else.
#[derive(Default)]
pub(crate) struct Script {
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    method: &'static str,
    requests: VecDeque<Act>,
    replies: VecDeque<Act>,
    messages: VecDeque<Act>,
    down: Option<Act>,
    sent: Vec<String>,
}

impl Script {
    /// What happens to the next requests of `method`.
    pub(crate) fn requests<const N: usize>(&self, method: &'static str, acts: [Act; N]) {
        let mut plan = self.plan.lock().unwrap();
        (plan.method, plan.requests) = (method, acts.into());
    }

    /// What happens to the next replies of `method`.
    pub(crate) fn replies<const N: usize>(&self, method: &'static str, acts: [Act; N]) {
        let mut plan = self.plan.lock().unwrap();
        (plan.method, plan.replies) = (method, acts.into());
    }

    /// What happens to the next messages of the streams of `method`.
    pub(crate) fn messages<const N: usize>(&self, method: &'static str, acts: [Act; N]) {
        let mut plan = self.plan.lock().unwrap();
        (plan.method, plan.messages) = (method, acts.into());
    }

    /// What happens to every request from now on.
    pub(crate) fn down(&self, act: Option<Act>) {
        self.plan.lock().unwrap().down = act;
    }

    /// How many requests of `method` were sent since the last call.
    pub(crate) fn take_sent(&self, method: &str) -> usize {
        let sent = std::mem::take(&mut self.plan.lock().unwrap().sent);
        sent.iter().filter(|path| path.ends_with(method)).count()
    }

    fn next(&self, path: &str, queue: impl Fn(&mut Plan) -> &mut VecDeque<Act>) -> Act {
        let mut plan = self.plan.lock().unwrap();
        let is_meant = !plan.method.is_empty() && path.ends_with(plan.method);
        if is_meant { queue(&mut plan).pop_front().unwrap_or(Act::Pass) } else { Act::Pass }
    }
}

impl Network for Script {
    fn request(&self, path: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let down = {
            let mut plan = self.plan.lock().unwrap();
            plan.sent.push(path.to_owned());
            plan.down
        };
        down.unwrap_or_else(|| self.next(path, |plan| &mut plan.requests)).happen()
    }

    fn reply(&self, path: &str) -> BoxFuture<'static, Result<(), Fault>> {
        self.next(path, |plan| &mut plan.replies).happen()
    }

    fn message(&self, path: &str) -> BoxFuture<'static, Result<(), Fault>> {
        self.next(path, |plan| &mut plan.messages).happen()
    }
}

/// A store over a scripted network.
pub(crate) async fn scripted() -> (FakeEtcd, Arc<Script>, Store) {
    let (etcd, script) = (FakeEtcd::new(), Arc::new(Script::default()));
    let store = Store::over(etcd.channel(script.clone()), Config::new(Vec::new(), 1)).await.unwrap();
    (etcd, script, store)
}
