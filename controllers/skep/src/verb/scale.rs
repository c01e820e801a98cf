//! `skep scale`: changes how many tasks services have.
//!
//! The number is nobody's afterwards: the document that was applied last is not touched. A file that names `replicas`
//! takes the number back when it is applied again, and says so; a file that does not name it leaves the number alone.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::Manifest;

use crate::cli::Context;
use crate::failure::Failure;
use crate::verb::edit::{MessageArgs, WaitArgs, edit};
use crate::verb::set::{named, set_replicas};
use crate::verb::target::StackArgs;

/// Change how many tasks services have, and wait until they run
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// A service and the number of its tasks; of a job, the number of its completions
    #[arg(value_name = "SERVICE=N", required = true)]
    sizes: Vec<Size>,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// A service and a number of tasks.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    /// The service, as it was typed.
    pub(crate) service: String,
    /// The number.
    pub(crate) replicas: u32,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, replicas) = text.split_once('=').ok_or("write SERVICE=N, such as web=5")?;
        let replicas = replicas.parse().map_err(|_| format!("{replicas:?} is not a number of tasks"))?;
        Ok(Self { service: service.to_owned(), replicas })
    }
}

impl Scale {
    /// Scales them, all in one transaction.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let sizes: BTreeMap<ServiceRef, u32> = self
            .sizes
            .iter()
            .map(|size| Ok((named(&self.stack, &size.service)?, size.replicas)))
            .collect::<Result<_, Failure>>()?;
        let store = context.cluster.connect(&context.env).await?;
        let keys: Vec<Key> = sizes.keys().cloned().map(Key::Service).collect();
        let mut writer = self.message.writer(&store, context);
        let change = |object: &mut Manifest| {
            let Manifest::Service(service) = &*object else { return Ok(()) };
            let size = sizes.get(&service.reference()).copied();
            size.map_or(Ok(()), |size| set_replicas(object, size))
        };
        let report = edit(&store, &mut writer, &keys, change).await?;
        self.wait.finish(&store, &report).await
    }
}
