//! Many independent transactions as few requests: what makes a controller fast on etcd.
//!
//! Of a refused pack it is asked which keys have failed, so only the transactions that compare them are refused and the
//! rest is packed again.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::commit::Answer;
use crate::error::Error;
use crate::member::{Keys, Member};
use crate::pack::{Pack, plan_wave};
use crate::store::Store;
use crate::txn::{Guard, Outcome, Txn};

/// Packs on their way at the same time.
const PACKS_IN_FLIGHT: usize = 4;

/// What became of one member of a pack.
enum Verdict {
    Done(usize, Result<Outcome, Error>),
    /// To be packed again.
    Again(Member),
    /// To be sent by itself.
    Apart(Member),
}

/// What became of transactions, each named by its place among those that were given.
pub type Answers = Vec<(usize, Result<Outcome, Error>)>;

/// Transactions on their way.
pub struct Commits {
    store: Store,
    keys: Arc<Keys>,
    /// Those that wait for the answers of others.
    waiting: Vec<Member>,
    /// What may be sent in any order.
    packs: VecDeque<Pack>,
    on_way: FuturesUnordered<BoxFuture<'static, Vec<Verdict>>>,
    /// What was answered and is not told yet.
    answered: Answers,
    /// Why nothing more is sent.
    broken: Option<Error>,
}

impl Store {
    /// Commits independent transactions, in their order where they share keys, in as few requests as possible.
    ///
    /// `fence` guards all of them: if it fails, all are refused. After a failure of the connection, what was not sent
    /// yet is not sent, and counts as not applied.
    pub fn commits(&self, fence: &[Guard], txns: Vec<Txn>) -> Commits {
        let mut keys = Keys::default();
        let (mut waiting, mut answered) = (Vec::with_capacity(txns.len()), Answers::new());
        for (index, txn) in txns.into_iter().enumerate() {
            match keys.enter(index, fence, txn) {
                Ok(member) => waiting.push(member),
                Err(error) => answered.push((index, Err(error))),
            }
        }
        Commits {
            store: self.clone(),
            keys: Arc::new(keys),
            waiting,
            packs: VecDeque::new(),
            on_way: FuturesUnordered::new(),
            answered,
            broken: None,
        }
    }

    /// The same, until all are answered; the answers are in the order of `txns`.
    pub async fn commit_all(&self, fence: &[Guard], txns: Vec<Txn>) -> Vec<Result<Outcome, Error>> {
        let mut results = vec![Err(Error::NotApplied { reason: "not sent".to_owned() }); txns.len()];
        let mut commits = self.commits(fence, txns);
        while let Some(answers) = commits.next().await {
            for (index, answer) in answers {
                if let Some(result) = results.get_mut(index) {
                    *result = answer;
                }
            }
        }
        results
    }

    async fn send_pack(self, keys: Arc<Keys>, pack: Pack) -> Vec<Verdict> {
        match self.send(&keys, &pack.guards, &pack.members).await {
            Ok(Answer::Committed(revision)) => all(pack, &Ok(Outcome::Committed { revision })),
            Ok(Answer::Refused(revision, found)) => {
                let refusals: Vec<_> =
                    pack.members.iter().map(|member| keys.failed(member, &found)).collect();
                if refusals.iter().all(Vec::is_empty) {
                    let reason = "refused without a reason".to_owned();
                    return all(pack, &Err(Error::NotApplied { reason }));
                }
                let judge = |(member, failed): (Member, Vec<_>)| {
                    if failed.is_empty() {
                        return Verdict::Again(member);
                    }
                    Verdict::Done(member.index, Ok(Outcome::Refused { revision, failed }))
                };
                pack.members.into_iter().zip(refusals).map(judge).collect()
            }
            Err(error) if is_of_connection(&error) || pack.members.len() == 1 => all(pack, &Err(error)),
            // etcd refused its form (a lease that is gone, a permission): find out which members it means.
            Err(_) => pack.members.into_iter().map(Verdict::Apart).collect(),
        }
    }
}

impl Commits {
    /// What was answered next; nothing once all are answered. Cancel-safe: what is on its way stays on its way.
    pub async fn next(&mut self) -> Option<Answers> {
        loop {
            if !self.answered.is_empty() {
                return Some(std::mem::take(&mut self.answered));
            }
            self.send();
            match self.on_way.next().await {
                Some(verdicts) => self.take(verdicts),
                None if self.waiting.is_empty() => return None,
                None => self.go_on(),
            }
        }
    }

    fn send(&mut self) {
        while self.on_way.len() < PACKS_IN_FLIGHT {
            let Some(pack) = self.packs.pop_front() else { break };
            self.on_way.push(Box::pin(self.store.clone().send_pack(Arc::clone(&self.keys), pack)));
        }
    }

    fn take(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            match verdict {
                Verdict::Apart(member) if self.broken.is_none() => {
                    self.packs.push_back(Pack::alone(member));
                }
                Verdict::Again(member) | Verdict::Apart(member) => self.waiting.push(member),
                Verdict::Done(index, result) => {
                    if let Err(error) = &result
                        && is_of_connection(error)
                        && self.broken.is_none()
                    {
                        self.broken = Some(error.clone());
                        self.waiting.extend(self.packs.drain(..).flat_map(|pack| pack.members));
                    }
                    self.answered.push((index, result));
                }
            }
        }
    }

    /// Everything that was sent is answered, and some wait.
    fn go_on(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|member| member.index);
        if let Some(reason) = &self.broken {
            let error = Error::NotApplied { reason: format!("not sent after a failure: {reason}") };
            self.answered.extend(waiting.into_iter().map(|member| (member.index, Err(error.clone()))));
        } else {
            let (packs, later) = plan_wave(&self.keys, waiting);
            self.packs.extend(packs);
            self.waiting = later;
        }
    }
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits").field("on_way", &self.on_way.len()).finish_non_exhaustive()
    }
}

/// Whether sending more at once would only meet the same failure.
fn is_of_connection(error: &Error) -> bool {
    error.is_retryable() || error.is_ambiguous() || *error == Error::NoSpace
}

/// The same for all of a pack.
fn all(pack: Pack, result: &Result<Outcome, Error>) -> Vec<Verdict> {
    pack.members.into_iter().map(|member| Verdict::Done(member.index, result.clone())).collect()
}
