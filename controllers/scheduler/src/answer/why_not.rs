//! Why tasks of a service are not on a node, or that they could be.

use serde::Serialize;
use skep_api::ident::{NodeId, Uid};
use skep_api::task::Remedy;
use skep_api::time::Timestamp;

use crate::answer::score::{Scored, scored};
use crate::filter::Filter;
use crate::place::Placing;
use crate::plan::Ask;
use crate::remedy::Search;
use crate::subject::Group;
use crate::words;
use crate::world::SchedulerWorld;

/// What is to be said of another task of a service on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyNot {
    /// The revision of the service that was tried.
    pub revision: u64,
    /// Every filter in the order in which they are asked.
    pub filters: Vec<Verdict>,
    /// Whether the node passes all of them.
    pub fits: bool,
    /// The node and its score.
    pub node: Scored,
    /// The node that would be taken now, if any would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<Scored>,
    /// If it does not fit: the smallest change by which it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

/// What one filter says of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The filter.
    pub filter: &'static str,
    /// Whether the node passes.
    pub passed: bool,
    /// What speaks against it, as the rest of a sentence that begins with the node's name; empty if it passes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub missing: String,
}

impl SchedulerWorld {
    /// How another task of the newest revision of the service `uid` would fare on `node`. An error says what is not known.
    pub fn why_not(&self, uid: &Uid, node: &NodeId, now: Timestamp) -> Result<WhyNot, String> {
        let (number, there) =
            self.fleet.find(node).filter(|(_, node)| node.is_known).ok_or("no such node")?;
        let ruling = self.rules.of(uid).ok_or("no such service")?;
        let revision = self.demands.newest(uid).ok_or("the service has no revision yet")?;
        let group = Group { service: uid.clone(), revision };
        let terms = Ask::of(self, &group, ruling)?.terms(self, now);
        let mut placing = Placing::new(&self.fleet, terms);
        let trial = placing.trial(number, terms.share).ok_or("no such node")?;
        let verdict = |filter: Filter| {
            let miss = trial.check(filter);
            let missing = miss.as_ref().map(|miss| words::missing(there, miss)).unwrap_or_default();
            Verdict { filter: filter.name(), passed: miss.is_none(), missing }
        };
        let filters: Vec<Verdict> = Filter::ALL.into_iter().map(verdict).collect();
        let node = scored(&self.fleet, &placing, number).ok_or("no such node")?;
        let misses: Vec<_> = trial.misses().collect();
        let remedy = (!misses.is_empty()).then(|| {
            let mut search = Search::new(&self.fleet);
            search.consider(&trial, &misses);
            search.remedy(terms.share)
        });
        let best = placing.choose().and_then(|best| scored(&self.fleet, &placing, best));
        Ok(WhyNot {
            revision,
            fits: filters.iter().all(|verdict| verdict.passed),
            filters,
            node,
            best,
            remedy,
        })
    }
}
