//! The fake is an etcd: thousands of random requests, and every reply the same as from a real one.
//!
//! Compared are the replies as they come off the wire, without the ids of the server; of errors, code and text. Not
//! compared is what depends on time: when a lease expires, and how events are cut into responses.

use etcd_client::{
    Client, CompactionOptions, Compare, CompareOp, DeleteOptions, Error, GetOptions, LeaseGrantOptions,
    LeaseTimeToLiveOptions, PutOptions, Txn, TxnOp, WatchOptions,
};
use fastrand::Rng;

use crate::server::{Server, soon};

/// Requests of one run.
const REQUESTS: usize = 4000;
/// Few keys, so that requests meet.
const KEYS: usize = 8;
/// Few leases, for the same reason.
const LEASES: i64 = 4;
/// The key that ends every watch; all others sort before it.
const MARKER: &str = "k~";

/// One request, with all that is random about it.
#[derive(Debug, Clone)]
enum Request {
    Put(Vec<u8>, Vec<u8>, PutOptions),
    Get(Vec<u8>, GetOptions),
    Delete(Vec<u8>, DeleteOptions),
    Txn(Vec<Compare>, Vec<TxnOp>, Vec<TxnOp>),
    Compact(i64),
    Grant(i64, i64),
    Revoke(i64),
    KeepAlive(i64),
    TimeToLive(i64),
    Leases,
    Watch(Vec<u8>, WatchOptions),
}

/// Draws requests that are near what the server holds.
struct Source {
    random: Rng,
    revision: i64,
}

impl Source {
    fn request(&mut self) -> Request {
        match self.random.u32(0..100) {
            0..25 => {
                let options = self.put_options();
                Request::Put(self.key(), self.value(), options)
            }
            25..45 => {
                let (key, options) = self.get();
                Request::Get(key, options)
            }
            45..55 => {
                let (key, options) = self.delete();
                Request::Delete(key, options)
            }
            55..82 => self.txn(),
            82..84 => Request::Compact(self.near()),
            84..88 => Request::Grant(self.random.i64(0..100), self.lease().max(1)),
            88..90 => Request::Revoke(self.lease()),
            90..93 => Request::KeepAlive(self.lease().max(1)),
            93..95 => Request::TimeToLive(self.lease().max(1)),
            95..97 => Request::Leases,
            _ => {
                let options = WatchOptions::new().with_range("k\u{7f}").with_start_revision(self.near());
                Request::Watch(
                    b"k".to_vec(),
                    if self.random.bool() { options.with_fragment() } else { options },
                )
            }
        }
    }

    /// A revision that is past, present, or a little in the future; rarely one that means the present.
    fn near(&mut self) -> i64 {
        if self.random.u32(0..10) == 0 { 0 } else { (self.revision - self.random.i64(-2..30)).max(1) }
    }

    /// 0 is no lease.
    fn lease(&mut self) -> i64 {
        self.random.i64(0..=LEASES)
    }

    /// Rarely no key at all.
    fn key(&mut self) -> Vec<u8> {
        match self.random.usize(0..KEYS * 6) {
            0 => Vec::new(),
            number => format!("k{}", number % KEYS).into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.u32(0..60) {
            0 => vec![b'x'; 1_600_000],
            1..5 => Vec::new(),
            size => vec![b'v'; size as usize],
        }
    }

    fn end(&mut self) -> Option<Vec<u8>> {
        match self.random.u32(0..4) {
            0 => Some(self.key()),
            1 => Some(vec![0]),
            _ => None,
        }
    }

    fn put_options(&mut self) -> PutOptions {
        let mut options = PutOptions::new();
        if self.random.bool() {
            options = options.with_prev_key();
        }
        match self.random.u32(0..10) {
            0..3 => options.with_lease(self.lease()),
            3 => options.with_ignore_value(),
            4 => options.with_ignore_lease(),
            _ => options,
        }
    }

    fn get(&mut self) -> (Vec<u8>, GetOptions) {
        let mut options = GetOptions::new();
        if let Some(end) = self.end() {
            options = options.with_range(end);
        }
        if self.random.bool() {
            options = options.with_revision(self.near());
        }
        if self.random.bool() {
            options = options.with_limit(self.random.i64(0..5));
        }
        match self.random.u32(0..6) {
            0 => options = options.with_keys_only(),
            1 => options = options.with_count_only(),
            2 => options = options.with_serializable(),
            _ => {}
        }
        (self.key(), options)
    }

    fn delete(&mut self) -> (Vec<u8>, DeleteOptions) {
        let mut options = DeleteOptions::new();
        if let Some(end) = self.end() {
            options = options.with_range(end);
        }
        (self.key(), if self.random.bool() { options.with_prev_key() } else { options })
    }

    fn txn(&mut self) -> Request {
        if self.random.u32(0..50) == 0 {
            let count = self.random.usize(126..131);
            let puts = (0..count).map(|number| TxnOp::put(format!("k1{number}"), "x", None));
            return Request::Txn(Vec::new(), puts.collect(), Vec::new());
        }
        let compares = (0..self.random.usize(0..3)).map(|_| self.compare()).collect();
        let then = (0..self.random.usize(0..5)).map(|_| self.op()).collect();
        let otherwise = (0..self.random.usize(0..3)).map(|_| self.op()).collect();
        Request::Txn(compares, then, otherwise)
    }

    fn compare(&mut self) -> Compare {
        let (key, near, lease) = (self.key(), self.near(), self.lease());
        let op = match self.random.u32(0..4) {
            0 => CompareOp::Equal,
            1 => CompareOp::Greater,
            2 => CompareOp::Less,
            _ => CompareOp::NotEqual,
        };
        let compare = match self.random.u32(0..5) {
            0 => Compare::version(key, op, self.random.i64(0..5)),
            1 => Compare::create_revision(key, op, near),
            2 => Compare::mod_revision(key, op, near),
            3 => Compare::value(key, op, vec![b'v'; self.random.usize(0..20)]),
            _ => Compare::lease(key, op, lease),
        };
        if self.random.u32(0..8) == 0 { compare.with_range("k5") } else { compare }
    }

    fn op(&mut self) -> TxnOp {
        match self.random.u32(0..4) {
            0 | 1 => {
                let options = self.put_options();
                TxnOp::put(self.key(), self.value(), Some(options))
            }
            2 => {
                let (key, options) = self.get();
                TxnOp::get(key, Some(options))
            }
            // Never without an end: etcd panics if a put in the same transaction then misses the value to keep.
            _ => TxnOp::delete(self.key(), self.random.bool().then(|| DeleteOptions::new().with_range("k6"))),
        }
    }
}

/// Sends a request and returns what came back, as text.
async fn reply(client: &mut Client, request: Request) -> String {
    let reply = match request {
        Request::Put(key, value, options) => {
            client.put(key, value, Some(options)).await.map(|r| format!("{r:?}"))
        }
        Request::Get(key, options) => client.get(key, Some(options)).await.map(|r| format!("{r:?}")),
        Request::Delete(key, options) => client.delete(key, Some(options)).await.map(|r| format!("{r:?}")),
        Request::Txn(compares, then, otherwise) => {
            let txn = Txn::new().when(compares).and_then(then).or_else(otherwise);
            client.txn(txn).await.map(|r| format!("{r:?}"))
        }
        Request::Compact(revision) => {
            let options = CompactionOptions::new().with_physical();
            client.compact(revision, Some(options)).await.map(|r| format!("{r:?}"))
        }
        Request::Grant(ttl, id) => {
            let options = LeaseGrantOptions::new().with_id(id);
            client.lease_grant(1000 * ttl, Some(options)).await.map(|r| format!("{r:?}"))
        }
        Request::Revoke(id) => client.lease_revoke(id).await.map(|r| format!("{r:?}")),
        Request::KeepAlive(id) => {
            client.lease_keep_alive(id).await.map(|(keeper, _)| format!("{}", keeper.id()))
        }
        Request::TimeToLive(id) => {
            let options = LeaseTimeToLiveOptions::new().with_keys();
            let lease = client.lease_time_to_live(id, Some(options)).await;
            lease.map(|r| {
                // The real one answers in the order of a hash table.
                let mut keys = r.keys().to_vec();
                keys.sort();
                format!("{} {} {keys:?}", r.id(), r.granted_ttl())
            })
        }
        Request::Leases => client.leases().await.map(|r| {
            let mut ids: Vec<i64> = r.leases().iter().map(etcd_client::LeaseStatus::id).collect();
            ids.sort_unstable();
            format!("{ids:?}")
        }),
        Request::Watch(key, options) => return watch(client, key, options).await,
    };
    match reply {
        Ok(text) => without_ids(&text),
        Err(Error::GRpcStatus(status)) => {
            without_sizes(&format!("{:?}: {}", status.code(), status.message()))
        }
        Err(error) => error.to_string(),
    }
}

/// All that a watch tells until a marker that is put after it was made.
async fn watch(client: &mut Client, key: Vec<u8>, options: WatchOptions) -> String {
    let mut stream = client.watch(key, Some(options)).await.unwrap();
    let created = soon(stream.message()).await.unwrap().unwrap();
    let mut marker = 0;
    // More often than a watch may start in the future.
    for _ in 0..3 {
        marker = client.put(MARKER, "", None).await.unwrap().header().unwrap().revision();
    }
    let mut told = vec![format!("created {} canceled {}", created.created(), created.canceled())];
    let mut last = 0;
    while last < marker {
        let response = soon(stream.message()).await.unwrap().unwrap();
        if response.canceled() {
            told.push(format!("compacted at {}", response.compact_revision()));
            break;
        }
        for event in response.events() {
            last = event.kv().unwrap().mod_revision();
            told.push(format!("{event:?}"));
        }
    }
    told.join(", ")
}

/// Watches that cannot be, and several on one stream.
async fn odd_watches(client: &mut Client) -> Vec<String> {
    let mut stream = client.watch("b", Some(WatchOptions::new().with_range("a"))).await.unwrap();
    for (key, id) in [("a", 0), ("a", 7), ("a", 7), ("b", 0), ("b", 1)] {
        stream.watch(key, Some(WatchOptions::new().with_watch_id(id))).await.unwrap();
    }
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(soon(stream.message()).await.unwrap().unwrap());
    }
    stream.cancel(7).await.unwrap();
    stream.request_progress().await.unwrap();
    for _ in 0..2 {
        told.push(soon(stream.message()).await.unwrap().unwrap());
    }
    told.iter().map(|response| without_ids(&format!("{response:?}"))).collect()
}

#[tokio::test]
async fn the_fake_answers_odd_watches_as_a_real_etcd() {
    let (fake, real) = (Server::fake(), Server::real().await);
    let expected = odd_watches(&mut real.client().await).await;
    assert_eq!(odd_watches(&mut fake.client().await).await, expected);
}

/// Cluster, member and term are the server's own.
fn without_ids(text: &str) -> String {
    let mut text = text.to_owned();
    for field in ["cluster_id: ", "member_id: ", "raft_term: "] {
        let mut parts = text.split(field);
        let first = parts.next().unwrap_or_default().to_owned();
        text = parts.fold(first, |sum, part| sum + part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    text
}

/// The size of a message contains its framing.
fn without_sizes(text: &str) -> String {
    text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect()
}

#[tokio::test]
async fn the_fake_answers_as_a_real_etcd() {
    let (fake, real) = (Server::fake(), Server::real().await);
    let (mut fake, mut real) = (fake.client().await, real.client().await);
    let mut source = Source { random: Rng::with_seed(7), revision: 1 };
    for number in 0..REQUESTS {
        let request = source.request();
        let expected = reply(&mut real, request.clone()).await;
        let found = reply(&mut fake, request.clone()).await;
        assert_eq!(found, expected, "request {number}: {request:?}");
        source.revision = real.get("k", None).await.unwrap().header().unwrap().revision();
    }
    assert!(source.revision > 1000, "only {} revisions", source.revision);
}
