//! `skep wait`: waits until something is true of objects.

use clap::Args;
use skep_api::key::{Key, ServiceRef};
use skep_api::time::Span;
use skep_store::Store;

use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::failure::Failure;
use crate::progress::{self, Goal};
use crate::verb::target::{StackArgs, Target, no_services};

/// Wait until services run as they should, or until nothing is left of them
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// KIND/NAME, such as service/web
    #[arg(value_name = "KIND/NAME", required = true)]
    targets: Vec<Target>,
    /// For what
    #[arg(long = "for", value_name = "WHAT", default_value = "ready")]
    what: What,
    #[command(flatten)]
    stack: StackArgs,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// They run as their specs say
    Ready,
    /// Nothing is left of them
    Deleted,
}

impl Wait {
    /// Waits.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let services: Vec<ServiceRef> =
            self.targets.iter().map(|target| target.service(&self.stack)).collect::<Result<_, _>>()?;
        let store = context.cluster.connect(&context.env).await?;
        match self.what {
            What::Ready => self.ready(&store, services).await,
            What::Deleted => progress::deleted(&store, services, self.timeout).await,
        }
    }

    async fn ready(&self, store: &Store, services: Vec<ServiceRef>) -> Result<(), Failure> {
        let keys = services.iter().map(|service| Key::Service(service.clone()));
        let snapshot = Snapshot::read(store, keys).await?;
        let version =
            |service: &ServiceRef| snapshot.get(&Key::Service(service.clone())).map(|kv| kv.modified);
        let missing: Vec<ServiceRef> =
            services.iter().filter(|service| version(service).is_none()).cloned().collect();
        if !missing.is_empty() {
            return Err(no_services(store, &missing).await);
        }
        let goals = services.into_iter().map(|service| {
            let version = version(&service).unwrap_or_default();
            Goal::new(service, version)
        });
        progress::ready(store, goals.collect(), self.timeout).await
    }
}
