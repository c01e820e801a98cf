//! `skep controller`: one or several controllers in one process, leading or standing by.

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use futures::future::{BoxFuture, try_join_all};
use prometheus_client::registry::Registry;
use skep_node::NodeController;
use skep_replica::Replica;
use skep_runtime::clock::Env;
use skep_runtime::controller::Controller as _;
use skep_runtime::driver::{self, DriverConfig, DriverError};
use skep_runtime::metrics::Metrics;
use skep_runtime::process::Health;
use skep_scheduler::Scheduler;
use skep_store::Store;
use skep_updater::Updater;
use tokio_util::sync::CancellationToken;

use crate::cli::Context;
use crate::failure::Failure;
use crate::host;
use crate::verb::process::{LogArgs, Process};

/// Every controller there is.
pub(crate) const CONTROLLERS: [&str; 4] =
    [Updater::NAME, Replica::NAME, Scheduler::NAME, NodeController::NAME];
/// How long a leader that died is waited for.
pub(crate) const LEADER_TTL: Duration = Duration::from_secs(6);

/// Run controllers: the first process of each leads, further ones stand by
#[derive(Debug, Args)]
pub(crate) struct Controller {
    /// Which controllers
    #[arg(value_name = "NAME", required = true, value_parser = PossibleValuesParser::new(CONTROLLERS))]
    names: Vec<String>,
    #[command(flatten)]
    log: LogArgs,
}

type Run = BoxFuture<'static, Result<(), DriverError>>;

impl Controller {
    /// Runs them until a signal comes.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let name = self.names.join("-");
        let process = Process::start(context, &name, self.log)?;
        let mut registry = Registry::default();
        let mut metrics = Vec::new();
        let mut starts = Vec::new();
        for name in &self.names {
            let Some((controller, start)) = known(name) else { continue };
            let counts = Metrics::registered(&mut registry, controller);
            metrics.push(counts.clone());
            starts.push((start, counts));
        }
        let health = Health::new(registry, move || metrics.iter().all(Metrics::is_synced));
        let env = context.env.clone();
        process
            .run(health, async |store, shutdown| {
                let runs = starts.into_iter().map(|(start, metrics)| {
                    let config = DriverConfig { holder: host::holder(), leader_ttl: LEADER_TTL, metrics };
                    start(env.clone(), store.clone(), config, shutdown.clone())
                });
                let result = try_join_all(runs).await;
                result
                    .map(drop)
                    .map_err(|error| Failure::Process { name: name.clone(), source: error.into() })
            })
            .await
    }
}

type Start = fn(Env, Store, DriverConfig, CancellationToken) -> Run;

/// The controller of this name, and how it is run.
fn known(name: &str) -> Option<(&'static str, Start)> {
    let all: [(&str, Start); 4] = [
        (Updater::NAME, |env, store, config, shutdown| {
            Box::pin(driver::run::<Updater>(env, store, config, shutdown))
        }),
        (Replica::NAME, |env, store, config, shutdown| {
            Box::pin(driver::run::<Replica>(env, store, config, shutdown))
        }),
        (Scheduler::NAME, |env, store, config, shutdown| {
            Box::pin(driver::run::<Scheduler>(env, store, config, shutdown))
        }),
        (NodeController::NAME, |env, store, config, shutdown| {
            Box::pin(driver::run::<NodeController>(env, store, config, shutdown))
        }),
    ];
    all.into_iter().find(|(known, _)| *known == name)
}
