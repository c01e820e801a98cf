//! Objects as they are named on the command line: `KIND/NAME`, or `KIND/STACK/NAME`.

use std::str::FromStr;

use clap::Args;
use skep_api::ident::{Name, NodeId, Stack};
use skep_api::key::ServiceRef;

use crate::failure::Failure;
use crate::view::kind::Kind;

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

    /// The id of the node that is meant.
    pub(crate) fn node(&self) -> Result<NodeId, Failure> {
        Ok(self.name.parse()?)
    }
}

/// The service `name` of `stack`; `name` may be `STACK/NAME` itself.
pub(crate) fn service(stack: &str, name: &str) -> Result<ServiceRef, Failure> {
    let (stack, name) = name.split_once('/').unwrap_or((stack, name));
    Ok(ServiceRef::new(stack.parse::<Stack>()?, name.parse::<Name>()?))
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
