//! The `main()` kit: what every long-running process of Skep does the same way.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// How log lines are written to standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logs to standard error. `SKEP_LOG` chooses what (`info` by default; `tracing_subscriber::EnvFilter`'s syntax).
pub fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call in one process changes nothing.
    let _already_started = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// A token that is cancelled by SIGTERM or SIGINT. The future does the waiting: poll it beside the work.
///
/// # Errors
/// If the system does not let the process listen to signals.
pub fn shutdown_on_signals() -> std::io::Result<(CancellationToken, impl Future<Output = ()> + Send)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    let wait = async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancel.cancel();
    };
    Ok((token, wait))
}

/// What a process answers about itself.
#[derive(Clone)]
pub struct Health {
    registry: Arc<Registry>,
    is_ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Health {
    /// Shows `registry` under `/metrics`; `/readyz` is 200 while `is_ready` says so, and 503 otherwise.
    pub fn new(registry: Registry, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { registry: Arc::new(registry), is_ready: Arc::new(is_ready) }
    }

    /// Answers `/healthz`, `/readyz` and `/metrics` on the Unix socket `path` for as long as it is polled. Whoever may
    /// open the socket's directory may ask.
    ///
    /// # Errors
    /// If the socket cannot be bound; one that a dead process left is replaced.
    pub async fn serve(self, path: PathBuf) -> std::io::Result<()> {
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path)?;
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, router).await
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

fn remove_stale(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if (health.is_ready)() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(health): State<Health>) -> Result<String, StatusCode> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &health.registry)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(text)
}
