//! Leases of the fake: expiry by tokio's time, and the Lease service.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use etcd_client::proto::{
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse,
    PbLeaseLeasesRequest, PbLeaseLeasesResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse, PbLeaseService,
    PbLeaseStatus, PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse,
};
use futures::stream::{self, Stream};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::mvcc::{Span, Writes};
use super::state::FakeEtcd;
use super::status;

/// The shortest TTL that etcd grants with its default election time-out, in seconds.
const TTL_MIN_SECS: i64 = 2;
/// The longest TTL that etcd grants, in seconds.
const TTL_MAX_SECS: i64 = 9_000_000_000;

/// All leases, and which keys live with which.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    by_id: BTreeMap<i64, Lease>,
    of_key: BTreeMap<Vec<u8>, i64>,
}

#[derive(Debug, Clone)]
struct Lease {
    ttl_secs: i64,
    expires: Instant,
    keys: BTreeSet<Vec<u8>>,
}

impl Lease {
    fn renew(&mut self) {
        self.expires = Instant::now() + Duration::from_secs(u64::try_from(self.ttl_secs).unwrap_or_default());
    }
}

impl Leases {
    pub(crate) fn contains(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// When the next lease expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_id.values().map(|lease| lease.expires).min()
    }

    /// Removes a lease that has expired, the one that expired first, and returns its keys in order.
    pub(crate) fn take_expired(&mut self) -> Option<BTreeSet<Vec<u8>>> {
        if self.by_id.is_empty() {
            return None;
        }
        let now = Instant::now();
        let (_, id) =
            self.by_id.iter().map(|(id, lease)| (lease.expires, *id)).min().filter(|(at, _)| *at <= now)?;
        self.remove(id)
    }

    /// Removes a lease and returns its keys in order.
    fn remove(&mut self, id: i64) -> Option<BTreeSet<Vec<u8>>> {
        let lease = self.by_id.remove(&id)?;
        for key in &lease.keys {
            self.of_key.remove(key);
        }
        Some(lease.keys)
    }

    /// Lets `key` live with lease `id` from now on; 0 is none.
    pub(crate) fn attach(&mut self, key: &[u8], id: i64) {
        if let Some(before) = self.of_key.remove(key)
            && let Some(lease) = self.by_id.get_mut(&before)
        {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.insert(key.to_vec());
            self.of_key.insert(key.to_vec(), id);
        }
    }

    pub(crate) fn renew_all(&mut self) {
        self.by_id.values_mut().for_each(Lease::renew);
    }

    fn grant(&mut self, id: i64, ttl_secs: i64) -> Result<(i64, i64), Status> {
        if ttl_secs > TTL_MAX_SECS {
            return Err(status::lease_ttl_too_large());
        }
        let id = if id == 0 { self.by_id.last_key_value().map_or(1, |(last, _)| last + 1) } else { id };
        if self.contains(id) {
            return Err(status::lease_exists());
        }
        let ttl_secs = ttl_secs.max(TTL_MIN_SECS);
        let mut lease = Lease { ttl_secs, expires: Instant::now(), keys: BTreeSet::new() };
        lease.renew();
        self.by_id.insert(id, lease);
        Ok((id, ttl_secs))
    }

    /// Renews a lease; 0 if it is gone, else its TTL in seconds.
    fn renew(&mut self, id: i64) -> i64 {
        self.by_id.get_mut(&id).map_or(0, |lease| {
            lease.renew();
            lease.ttl_secs
        })
    }
}

#[tonic::async_trait]
impl PbLeaseService for FakeEtcd {
    async fn lease_grant(
        &self,
        request: Request<PbLeaseGrantRequest>,
    ) -> Result<Response<PbLeaseGrantResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.lock();
        state.check_space()?;
        let (id, ttl) = state.leases.grant(request.id, request.ttl)?;
        let header = Some(state.header());
        drop(state);
        // A watch that waits for the next expiry may have to wait less.
        self.announce();
        Ok(Response::new(PbLeaseGrantResponse { header, id, ttl, error: String::new() }))
    }

    async fn lease_revoke(
        &self,
        request: Request<PbLeaseRevokeRequest>,
    ) -> Result<Response<PbLeaseRevokeResponse>, Status> {
        let mut state = self.lock_for(request.extensions().get().cloned());
        let keys = state.leases.remove(request.into_inner().id).ok_or_else(status::lease_not_found)?;
        let mut writes = Writes::default();
        for key in keys {
            writes.delete(&state.mvcc, &Span::new(&key, &[]));
        }
        state.apply(writes);
        let header = Some(state.header());
        drop(state);
        self.announce();
        Ok(Response::new(PbLeaseRevokeResponse { header }))
    }

    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<PbLeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let session =
            KeepAlive { etcd: self.clone(), life: self.lock().life, requests: request.into_inner() };
        let answers = stream::try_unfold(session, |mut session| async move {
            Ok(session.answer().await?.map(|answer| (answer, session)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<PbLeaseTimeToLiveRequest>,
    ) -> Result<Response<PbLeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let state = self.lock();
        let mut answer =
            PbLeaseTimeToLiveResponse { id: request.id, ttl: -1, ..PbLeaseTimeToLiveResponse::default() };
        answer.header = Some(state.header_at(0));
        if let Some(lease) = state.leases.by_id.get(&request.id) {
            let left = lease.expires.saturating_duration_since(Instant::now()).as_secs();
            answer.header = Some(state.header());
            answer.ttl = i64::try_from(left).unwrap_or(i64::MAX);
            answer.granted_ttl = lease.ttl_secs;
            if request.keys {
                answer.keys = lease.keys.iter().cloned().collect();
            }
        }
        Ok(Response::new(answer))
    }

    async fn lease_leases(
        &self,
        _: Request<PbLeaseLeasesRequest>,
    ) -> Result<Response<PbLeaseLeasesResponse>, Status> {
        let state = self.lock();
        let leases = state.leases.by_id.keys().map(|id| PbLeaseStatus { id: *id }).collect();
        Ok(Response::new(PbLeaseLeasesResponse { header: Some(state.header()), leases }))
    }
}

/// One stream of renewals.
struct KeepAlive {
    etcd: FakeEtcd,
    life: u64,
    requests: Streaming<PbLeaseKeepAliveRequest>,
}

impl KeepAlive {
    async fn answer(&mut self) -> Result<Option<PbLeaseKeepAliveResponse>, Status> {
        let Some(request) = self.requests.message().await? else { return Ok(None) };
        let mut state = self.etcd.lock();
        if state.life != self.life {
            return Err(status::stopped());
        }
        let ttl = state.leases.renew(request.id);
        Ok(Some(PbLeaseKeepAliveResponse { header: Some(state.header()), id: request.id, ttl }))
    }
}
