//! Transactions of the fake: comparisons, branches, and the checks that etcd makes before either.

use std::cmp::Ordering;

use etcd_client::proto::{
    PbCompare, PbKeyValue, PbResponseHeader, PbResponseOp, PbTargetUnion, PbTxnOpRequest, PbTxnOpResponse,
    PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};
use hashbrown::HashSet;
use skep_api::key::Key;
use tonic::Status;

use super::mvcc::{Span, Writes};
use super::state::State;
use super::{kv, status};
use crate::txn::{Guard, TXN_MAX_OPS};

/// Refuses what etcd refuses by its form alone.
pub(crate) fn check(request: &PbTxnRequest) -> Result<(), Status> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    if longest > TXN_MAX_OPS {
        return Err(status::too_many_ops());
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(status::empty_key());
    }
    for branch in [&request.success, &request.failure] {
        branch.iter().try_for_each(check_op)?;
    }
    check_duplicates(&request.success)?;
    check_duplicates(&request.failure)
}

fn check_op(op: &PbTxnRequestOp) -> Result<(), Status> {
    match &op.request {
        Some(PbTxnOpRequest::RequestRange(range)) => kv::check_range(range),
        Some(PbTxnOpRequest::RequestPut(put)) => kv::check_put(put),
        Some(PbTxnOpRequest::RequestDeleteRange(delete)) => kv::check_delete(delete),
        Some(PbTxnOpRequest::RequestTxn(_)) => Err(status::left_out("transactions in transactions")),
        None => Err(status::key_not_found()),
    }
}

/// A key may be put once, and not be deleted by the same branch; etcd overlooks deletions without an end here.
fn check_duplicates(branch: &[PbTxnRequestOp]) -> Result<(), Status> {
    let mut puts = HashSet::new();
    let (mut deletes, mut ranges) = (HashSet::new(), Vec::new());
    for op in branch {
        match &op.request {
            Some(PbTxnOpRequest::RequestPut(put)) if !puts.insert(put.key.as_slice()) => {
                return Err(status::duplicate_key());
            }
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) if delete.range_end.is_empty() => {
                deletes.insert(delete.key.as_slice());
            }
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => {
                ranges.push(Span::new(&delete.key, &delete.range_end));
            }
            Some(
                PbTxnOpRequest::RequestPut(_)
                | PbTxnOpRequest::RequestRange(_)
                | PbTxnOpRequest::RequestTxn(_),
            )
            | None => {}
        }
    }
    let is_deleted = |key: &&[u8]| {
        deletes.contains(key) || ranges.iter().any(|span| span.end != [0] && span.contains(key))
    };
    if puts.iter().any(is_deleted) { Err(status::duplicate_key()) } else { Ok(()) }
}

/// The keys and values that a request carries, in bytes.
pub(crate) fn size(request: &PbTxnRequest) -> usize {
    let compares: usize = request.compare.iter().map(|compare| compare.key.len()).sum();
    let ops = request.success.iter().chain(&request.failure).map(|op| match &op.request {
        Some(PbTxnOpRequest::RequestPut(put)) => put.key.len() + put.value.len(),
        Some(PbTxnOpRequest::RequestRange(range)) => range.key.len(),
        Some(PbTxnOpRequest::RequestDeleteRange(delete)) => delete.key.len(),
        Some(PbTxnOpRequest::RequestTxn(_)) | None => 0,
    });
    compares + ops.sum::<usize>()
}

/// Whether a request may write: etcd refuses it when its quota is used up, whichever branch it would take.
pub(crate) fn needs_space(request: &PbTxnRequest) -> bool {
    let is_put = |op: &PbTxnRequestOp| matches!(op.request, Some(PbTxnOpRequest::RequestPut(_)));
    request.success.iter().chain(&request.failure).any(is_put)
}

/// Compares, runs one branch, and applies its writes as one revision; an error applies nothing.
pub(crate) fn run(state: &mut State, request: PbTxnRequest) -> Result<PbTxnResponse, Status> {
    let succeeded = request.compare.iter().all(|compare| holds(state, compare));
    let mut writes = Writes::default();
    let branch = if succeeded { request.success } else { request.failure };
    check_against(state, &branch)?;
    let mut responses = Vec::with_capacity(branch.len());
    for op in branch {
        responses.push(PbResponseOp { response: run_op(state, op, &mut writes)? });
    }
    state.apply(writes);
    Ok(PbTxnResponse { header: Some(state.header()), succeeded, responses })
}

/// Refuses what cannot be done to the present state: first by the puts, then by the reads, as etcd does.
fn check_against(state: &State, branch: &[PbTxnRequestOp]) -> Result<(), Status> {
    let ops = || branch.iter().filter_map(|op| op.request.as_ref());
    for op in ops() {
        if let PbTxnOpRequest::RequestPut(put) = op {
            let ignores = put.ignore_value || put.ignore_lease;
            if ignores && state.mvcc.get(&put.key, state.mvcc.revision()).is_none() {
                return Err(status::key_not_found());
            }
            state.check_lease(put.lease)?;
        }
    }
    for op in ops() {
        if let PbTxnOpRequest::RequestRange(range) = op {
            state.mvcc.readable(range.revision).map_err(status::of_revision)?;
        }
    }
    Ok(())
}

fn run_op(state: &State, op: PbTxnRequestOp, writes: &mut Writes) -> Result<Option<PbTxnOpResponse>, Status> {
    let header = |writes: &Writes| {
        let revision = state.mvcc.revision() + i64::from(!writes.is_empty());
        Some(PbResponseHeader { revision, ..PbResponseHeader::default() })
    };
    Ok(match op.request {
        Some(PbTxnOpRequest::RequestRange(range)) => {
            let mut response = state.range(&range, writes)?;
            response.header = header(writes);
            Some(PbTxnOpResponse::ResponseRange(response))
        }
        Some(PbTxnOpRequest::RequestPut(put)) => {
            let mut response = state.put(put, writes)?;
            response.header = header(writes);
            Some(PbTxnOpResponse::ResponsePut(response))
        }
        Some(PbTxnOpRequest::RequestDeleteRange(delete)) => {
            let mut response = state.delete(&delete, writes);
            response.header = header(writes);
            Some(PbTxnOpResponse::ResponseDeleteRange(response))
        }
        Some(PbTxnOpRequest::RequestTxn(_)) | None => None,
    })
}

/// The guard that a comparison stands for, if it is one of Skep's.
pub(crate) fn guard(compare: &PbCompare) -> Option<Guard> {
    let key = Key::parse(std::str::from_utf8(&compare.key).ok()?)?;
    match &compare.target_union {
        Some(PbTargetUnion::ModRevision(revision)) => Some(Guard::modified(key, *revision)),
        Some(PbTargetUnion::CreateRevision(0)) => Some(Guard::absent(key)),
        Some(PbTargetUnion::CreateRevision(revision)) => Some(Guard::created(key, *revision)),
        Some(PbTargetUnion::Version(_) | PbTargetUnion::Lease(_) | PbTargetUnion::Value(_)) | None => None,
    }
}

/// Whether a comparison holds for every key of its range; of an empty range, for a key that does not exist.
fn holds(state: &State, compare: &PbCompare) -> bool {
    if compare.range_end.is_empty()
        && let Some(kv) = state.mvcc.get(&compare.key, state.mvcc.revision())
    {
        return holds_for(compare, kv);
    }
    let span = Span::new(&compare.key, &compare.range_end);
    let mut kvs = state.mvcc.range(&span, state.mvcc.revision()).peekable();
    if kvs.peek().is_none() {
        let is_of_value = matches!(compare.target_union, Some(PbTargetUnion::Value(_)));
        return !is_of_value && holds_for(compare, &PbKeyValue::default());
    }
    kvs.all(|kv| holds_for(compare, kv))
}

fn holds_for(compare: &PbCompare, kv: &PbKeyValue) -> bool {
    let order = match &compare.target_union {
        Some(PbTargetUnion::Version(version)) => kv.version.cmp(version),
        Some(PbTargetUnion::CreateRevision(revision)) => kv.create_revision.cmp(revision),
        Some(PbTargetUnion::ModRevision(revision)) => kv.mod_revision.cmp(revision),
        Some(PbTargetUnion::Lease(lease)) => kv.lease.cmp(lease),
        Some(PbTargetUnion::Value(value)) => kv.value.cmp(value),
        None => kv.version.cmp(&0),
    };
    match compare.result {
        0 => order == Ordering::Equal,
        1 => order == Ordering::Greater,
        2 => order == Ordering::Less,
        _ => order != Ordering::Equal,
    }
}
