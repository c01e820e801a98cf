//! The KV service of the fake.

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbKeyValue, PbKvService,
    PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse, PbTxnRequest,
    PbTxnResponse,
};
use futures::stream;
use tonic::{Request, Response, Status};

use super::mvcc::{Span, Writes};
use super::net::Client;
use super::state::{FakeEtcd, State};
use super::{status, txn};

/// etcd's default limit for one request, in bytes.
const REQUEST_MAX_BYTES: usize = crate::txn::REQUEST_MAX_BYTES;
/// What gRPC takes, in bytes: etcd's limit and 512 KiB.
const MESSAGE_MAX_BYTES: usize = REQUEST_MAX_BYTES + 512 * 1024;

#[tonic::async_trait]
impl PbKvService for FakeEtcd {
    async fn range(&self, request: Request<PbRangeRequest>) -> Result<Response<PbRangeResponse>, Status> {
        let request = request.into_inner();
        check_range(&request)?;
        self.lock().range(&request, &Writes::default()).map(Response::new)
    }

    type RangeStreamStream = stream::Empty<Result<PbRangeStreamResponse, Status>>;

    async fn range_stream(
        &self,
        _: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(Status::unimplemented("unknown method RangeStream for service etcdserverpb.KV"))
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        let client = request.extensions().get().cloned();
        let request = request.into_inner();
        check_put(&request)?;
        check_size(request.key.len() + request.value.len())?;
        let mut state = self.lock_for(client);
        state.check_space()?;
        let mut writes = Writes::default();
        let mut response = state.put(request, &mut writes)?;
        state.apply(writes);
        response.header = Some(state.header());
        drop(state);
        self.announce();
        Ok(Response::new(response))
    }

    async fn delete_range(
        &self,
        request: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        let client = request.extensions().get().cloned();
        let request = request.into_inner();
        check_delete(&request)?;
        let mut state = self.lock_for(client);
        let mut writes = Writes::default();
        let mut response = state.delete(&request, &mut writes);
        state.apply(writes);
        response.header = Some(state.header());
        drop(state);
        self.announce();
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        let client: Option<Client> = request.extensions().get().cloned();
        let mut request = request.into_inner();
        txn::check(&request)?;
        check_size(txn::size(&request))?;
        if let Some(client) = &client {
            request.compare.retain(|compare| txn::guard(compare).is_none_or(|guard| client.0.heeds(&guard)));
        }
        let mut state = self.lock_for(client);
        if txn::needs_space(&request) {
            state.check_space()?;
        }
        let response = txn::run(&mut state, request)?;
        drop(state);
        self.announce();
        Ok(Response::new(response))
    }

    async fn compact(
        &self,
        request: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        let mut state = self.lock();
        state.mvcc.compact(request.into_inner().revision).map_err(status::of_revision)?;
        let header = Some(state.header());
        drop(state);
        self.announce();
        Ok(Response::new(PbCompactionResponse { header }))
    }
}

impl State {
    /// A range of the present as `writes` of the same transaction have made it, or of the past.
    pub(crate) fn range(&self, request: &PbRangeRequest, writes: &Writes) -> Result<PbRangeResponse, Status> {
        let revision = self.mvcc.readable(request.revision).map_err(status::of_revision)?;
        let span = Span::new(&request.key, &request.range_end);
        let mut kvs: Vec<PbKeyValue> = if request.revision > 0 || writes.is_empty() {
            self.mvcc.range(&span, revision).cloned().collect()
        } else {
            writes.range(&self.mvcc, &span)
        };
        let count = kvs.len();
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        kvs.truncate(if request.count_only { 0 } else { limit });
        if request.keys_only {
            for kv in &mut kvs {
                kv.value.clear();
            }
        }
        Ok(PbRangeResponse {
            header: Some(self.header()),
            more: !request.count_only && count > limit,
            count: i64::try_from(count).unwrap_or(i64::MAX),
            kvs,
        })
    }

    /// Refuses a lease that does not exist; 0 is none.
    pub(crate) fn check_lease(&self, lease: i64) -> Result<(), Status> {
        if lease == 0 || self.leases.contains(lease) { Ok(()) } else { Err(status::lease_not_found()) }
    }

    /// Adds a put to `writes`.
    pub(crate) fn put(&self, request: PbPutRequest, writes: &mut Writes) -> Result<PbPutResponse, Status> {
        self.check_lease(request.lease)?;
        let (mut value, mut lease) = (request.value, request.lease);
        if request.ignore_value || request.ignore_lease {
            let before = writes.get(&self.mvcc, &request.key).ok_or_else(status::key_not_found)?;
            if request.ignore_value {
                value.clone_from(&before.value);
            }
            if request.ignore_lease {
                lease = before.lease;
            }
        }
        let before = writes.put(&self.mvcc, &request.key, value, lease);
        Ok(PbPutResponse { header: None, prev_kv: before.filter(|_| request.prev_kv) })
    }

    /// Adds deletions to `writes`.
    pub(crate) fn delete(&self, request: &PbDeleteRequest, writes: &mut Writes) -> PbDeleteResponse {
        let gone = writes.delete(&self.mvcc, &Span::new(&request.key, &request.range_end));
        PbDeleteResponse {
            header: None,
            deleted: i64::try_from(gone.len()).unwrap_or(i64::MAX),
            prev_kvs: if request.prev_kv { gone } else { Vec::new() },
        }
    }
}

pub(crate) fn check_range(request: &PbRangeRequest) -> Result<(), Status> {
    let is_filtered = request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0;
    if request.key.is_empty() {
        return Err(status::empty_key());
    }
    if request.sort_order != 0 || request.sort_target != 0 || is_filtered {
        return Err(status::left_out("sorting or filtering of ranges"));
    }
    Ok(())
}

pub(crate) fn check_put(request: &PbPutRequest) -> Result<(), Status> {
    if request.key.is_empty() {
        return Err(status::empty_key());
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(status::value_provided());
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(status::lease_provided());
    }
    Ok(())
}

pub(crate) fn check_delete(request: &PbDeleteRequest) -> Result<(), Status> {
    if request.key.is_empty() { Err(status::empty_key()) } else { Ok(()) }
}

/// Compares what a request carries, without its framing, with etcd's two limits.
fn check_size(bytes: usize) -> Result<(), Status> {
    if bytes > MESSAGE_MAX_BYTES {
        return Err(status::longer_than_grpc_takes(bytes, MESSAGE_MAX_BYTES));
    }
    if bytes > REQUEST_MAX_BYTES { Err(status::too_large()) } else { Ok(()) }
}
