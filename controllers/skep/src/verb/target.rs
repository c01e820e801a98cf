//! Objects as they are named on the command line: `KIND/NAME`, or `KIND/STACK/NAME`.

use std::str::FromStr;

use clap::Args;
use skep_api::ident::{Name, NodeId, Stack};
use skep_api::key::ServiceRef;
use skep_store::{Store, Update};

use crate::cut::Cut;
use crate::failure::Failure;
use crate::view::{Item, Kind, Selection, Style, items};

/// In which stack names are looked up.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StackArgs {
    /// The stack
    #[arg(short, long, value_name = "STACK", default_value = "default")]
    pub(crate) stack: String,
}

/// An object on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its stack, if it was named with it.
    pub(crate) stack: Option<String>,
    /// Its name.
    pub(crate) name: String,
}

impl StackArgs {
    /// The stack.
    pub(crate) fn stack(&self) -> Result<Stack, Failure> {
        Ok(self.stack.parse()?)
    }
}

impl Target {
    /// The service that is meant.
    ///
    /// # Errors
    /// [`Failure::Argument`] if it is something else.
    pub(crate) fn service(&self, stack: &StackArgs) -> Result<ServiceRef, Failure> {
        if self.kind != Kind::Services {
            let rule = format!("this takes services, not {}", self.kind);
            return Err(Failure::Argument { argument: self.name.clone(), rule });
        }
        service(self.stack.as_deref().unwrap_or(&stack.stack), &self.name)
    }
}

/// The service `name` of `stack`; `name` may be `STACK/NAME` itself.
pub(crate) fn service(stack: &str, name: &str) -> Result<ServiceRef, Failure> {
    let (stack, name) = name.split_once('/').unwrap_or((stack, name));
    Ok(ServiceRef::new(stack.parse::<Stack>()?, name.parse::<Name>()?))
}

/// The node that is called `name`, by people or by its id.
///
/// # Errors
/// [`Failure::NotFound`], with what might be meant.
pub(crate) async fn node(store: &Store, name: &str) -> Result<NodeId, Failure> {
    let all = all(store, Kind::Nodes).await?;
    let found = all.iter().find(|item| item.names.iter().any(|known| known == name));
    match found {
        Some(item) => Ok(item.name().parse()?),
        None => Err(Failure::NotFound(missing(Kind::Nodes, None, name, &all))),
    }
}

/// That services are not there, with what might be meant.
pub(crate) async fn no_services(store: &Store, services: &[ServiceRef]) -> Failure {
    let all = all(store, Kind::Services).await.unwrap_or_default();
    let lines = services
        .iter()
        .flat_map(|service| missing(Kind::Services, Some(&service.stack), service.name.as_str(), &all));
    Failure::NotFound(lines.collect())
}

async fn all(store: &Store, kind: Kind) -> Result<Vec<Item>, Failure> {
    let mut cut = Cut::new(store.identity()?.cluster);
    cut.take(Update::Resync(store.list_all(&kind.ranges()).await?));
    Ok(items(kind, &cut, Style::default()))
}

fn missing(kind: Kind, stack: Option<&Stack>, name: &str, all: &[Item]) -> Vec<String> {
    let names = vec![name.to_owned()];
    Selection { stack: stack.cloned(), names, ..Selection::default() }.missing(kind, all)
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once('/').ok_or("write KIND/NAME, such as service/web")?;
        let kind = kind.parse()?;
        let (stack, name) = match rest.split_once('/') {
            Some((stack, name)) => (Some(stack.to_owned()), name),
            None => (None, rest),
        };
        if name.is_empty() {
            return Err("write KIND/NAME, such as service/web".to_owned());
        }
        Ok(Self { kind, stack, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_with_or_without_its_stack() {
        let target: Target = "svc/web".parse().unwrap();
        assert_eq!(target, Target { kind: Kind::Services, stack: None, name: "web".into() });
        let target: Target = "Service/shop/web".parse().unwrap();
        assert_eq!(target.service(&StackArgs::default()).unwrap().to_string(), "shop/web");
        for wrong in ["web", "svc/", "servce/web"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_kind_that_is_nearly_right_is_suggested() {
        let error = "servce/web".parse::<Target>().unwrap_err();
        assert!(error.contains("did you mean service"), "{error}");
    }
}
