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

/// The services and their numbers, in the order in which they were named.
///
/// # Errors
/// [`Failure::Argument`] if a service is given two numbers: nobody can tell which is meant.
pub(crate) fn by_service(sizes: &[Size], stack: &StackArgs) -> Result<Vec<(ServiceRef, u32)>, Failure> {
    let mut found: Vec<(ServiceRef, u32)> = Vec::new();
    for size in sizes {
        let service = named(stack, &size.service)?;
        match found.iter().find(|(other, _)| *other == service) {
            None => found.push((service, size.replicas)),
            Some((_, replicas)) if *replicas == size.replicas => {}
            Some((_, replicas)) => {
                let argument = format!("{}={}", size.service, size.replicas);
                let rule = format!("it was given {replicas} already: name each service once");
                return Err(Failure::Argument { argument, rule });
            }
        }
    }
    Ok(found)
}

impl Scale {
    /// Scales them, all in one transaction.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let sizes: BTreeMap<ServiceRef, u32> = by_service(&self.sizes, &self.stack)?.into_iter().collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_with_two_numbers_is_not_guessed_at() {
        let sizes = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Size>>();
        let stack = StackArgs { stack: "default".to_owned() };
        let by_service = |texts: &[&str]| by_service(&sizes(texts), &stack);
        let found = by_service(&["web=3", "db=1", "web=3"]).unwrap();
        assert_eq!(found.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [3, 1]);
        let failure = by_service(&["web=3", "web=5"]).unwrap_err().to_string();
        assert!(failure.contains("web=5") && failure.contains("given 3 already"), "{failure}");
    }
}
