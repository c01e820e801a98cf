//! How to reach etcd, and how patient to be with it.

use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

/// How to reach etcd, and how patient to be with it.
#[derive(Debug, Clone)]
pub struct Config {
    /// URLs of etcd's members, such as `https://127.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// Certificates, if etcd asks for them.
    pub tls: Option<Tls>,
    /// How long one request may take, its retries included.
    pub request_timeout: Duration,
    /// How long a watch may be silent, although it was asked for a sign of life, before it is opened again.
    pub silence_limit: Duration,
    /// How often a [`Follow`](crate::Follow) lists everything again, on average.
    pub relist_interval: Duration,
    /// The source of all randomness: jitter, lease ids, the ids of a new cluster. Never the same in two processes.
    pub seed: u64,
}

/// A client certificate and the authority that signs etcd's, in PEM form.
#[derive(Clone)]
pub struct Tls {
    /// The authority's certificate.
    pub ca: Vec<u8>,
    /// The client's certificate.
    pub cert: Vec<u8>,
    /// The client's key.
    pub key: Vec<u8>,
}

/// etcd cuts connections that ping more often than every 5 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(6);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Config {
    /// The defaults for `endpoints`, with randomness from `seed`.
    pub fn new(endpoints: Vec<String>, seed: u64) -> Self {
        Self {
            endpoints,
            tls: None,
            request_timeout: Duration::from_secs(5),
            silence_limit: Duration::from_secs(30),
            relist_interval: Duration::from_secs(600),
            seed,
        }
    }

    /// What the gRPC client is told. The request timeout is ours, so that it holds over every channel.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        let options = ConnectOptions::new()
            .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_require_leader(true);
        match &self.tls {
            None => options,
            Some(tls) => options.with_tls(
                TlsOptions::new()
                    .ca_certificate(Certificate::from_pem(&tls.ca))
                    .identity(Identity::from_pem(&tls.cert, &tls.key)),
            ),
        }
    }
}
