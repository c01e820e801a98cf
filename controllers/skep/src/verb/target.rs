//! Objects as they are named on the command line: `KIND/NAME`, or `KIND/STACK/NAME`.

use std::str::FromStr;

use clap::Args;
use skep_api::cluster::ClusterName;
use skep_api::ident::{Name, NodeId, Stack};
use skep_api::key::{Key, ServiceRef};
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
    /// Whether it is the cluster, by its one name.
    pub(crate) fn is_the_cluster(&self) -> bool {
        self.kind == Kind::Cluster && self.stack.is_none() && self.name == ClusterName::Default.to_string()
    }

    /// The service that is meant.
    ///
    /// # Errors
    /// [`Failure::Argument`] if it is something else.
    pub(crate) fn service(&self, stack: &StackArgs) -> Result<ServiceRef, Failure> {
        if self.kind != Kind::Services {
            let rule = format!("this takes services, not {}", self.kind);
            return Err(Failure::Argument { argument: self.name.clone(), rule });
        }
        self.reference(stack)
    }

    /// The stack and name of an object that has both, of whatever kind.
    pub(crate) fn reference(&self, stack: &StackArgs) -> Result<ServiceRef, Failure> {
        service(self.stack.as_deref().unwrap_or(&stack.stack), &self.name)
    }
}

/// The service `name` of `stack`; `name` may be `STACK/NAME` itself.
pub(crate) fn service(stack: &str, name: &str) -> Result<ServiceRef, Failure> {
    let (stack, name) = name.split_once('/').unwrap_or((stack, name));
    Ok(ServiceRef::new(stack.parse::<Stack>()?, name.parse::<Name>()?))
}

/// The node that is called `name`: by its id, by the name that people gave it, or by the unique beginning of either
/// (Docker's order).
///
/// # Errors
/// [`Failure::NotFound`] with what might be meant, [`Failure::Argument`] if several are.
pub(crate) async fn node(store: &Store, name: &str) -> Result<NodeId, Failure> {
    let all = all(store, Kind::Nodes).await?;
    pick(name, &all)
}

/// The same, among the nodes that were read already.
///
/// # Errors
/// As [`node`].
pub(crate) fn node_in(cut: &Cut, name: &str) -> Result<NodeId, Failure> {
    pick(name, &items(Kind::Nodes, cut, Style::default()))
}

/// That a service is not among what was read, with what might be meant.
pub(crate) fn nothing_in(cut: &Cut, service: &ServiceRef) -> Failure {
    let all = items(Kind::Services, cut, Style::default());
    Failure::NotFound(missing(Kind::Services, Some(&service.stack), service.name.as_str(), &all))
}

fn pick(name: &str, all: &[Item]) -> Result<NodeId, Failure> {
    let by_id = |item: &&Item| item.name() == name;
    let by_name = |item: &&Item| item.names.iter().any(|known| known == name);
    let by_prefix = |item: &&Item| item.names.iter().any(|known| known.starts_with(name));
    for is_meant in [&by_id as &dyn Fn(&&Item) -> bool, &by_name, &by_prefix] {
        let found: Vec<&Item> = all.iter().filter(|item| is_meant(item)).collect();
        match found.as_slice() {
            [] => {}
            [item] => return Ok(item.name().parse()?),
            several => {
                let names: Vec<String> = several.iter().map(|item| item.names.join(" ")).collect();
                let rule = format!("several nodes are called so ({}): use an id", names.join(", "));
                return Err(Failure::Argument { argument: name.to_owned(), rule });
            }
        }
    }
    Err(Failure::NotFound(missing(Kind::Nodes, None, name, all)))
}

/// That services are not there, with what might be meant.
pub(crate) async fn no_services(store: &Store, services: &[ServiceRef]) -> Failure {
    nothing_of(store, Kind::Services, services).await
}

/// That objects of a kind that has stacks are not there, with what might be meant.
pub(crate) async fn nothing_of(store: &Store, kind: Kind, objects: &[ServiceRef]) -> Failure {
    let all = all(store, kind).await.unwrap_or_default();
    let lines =
        objects.iter().flat_map(|object| missing(kind, Some(&object.stack), object.name.as_str(), &all));
    Failure::NotFound(lines.collect())
}

/// That objects are not there, with what might be meant.
pub(crate) async fn missing_keys(store: &Store, keys: &[&Key]) -> Failure {
    let mut services = Vec::new();
    let mut lines = Vec::new();
    for key in keys {
        if let Key::Service(service) = key {
            services.push(service.clone());
        } else if let Key::Volume(volume) = key {
            lines.push(format!("no volume `{}` in stack {}", volume.name, volume.stack));
        } else {
            lines.push(format!("{key} is not there"));
        }
    }
    if services.is_empty() { Failure::NotFound(lines) } else { no_services(store, &services).await }
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
        if text.parse() == Ok(Kind::Cluster) {
            return Ok(Self { kind: Kind::Cluster, stack: None, name: ClusterName::Default.to_string() });
        }
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
        assert!("cluster".parse::<Target>().unwrap().is_the_cluster());
        assert!("Cluster/default".parse::<Target>().unwrap().is_the_cluster());
        assert!(!"cluster/prod".parse::<Target>().unwrap().is_the_cluster());
        for wrong in ["web", "svc/", "servce/web"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    fn node(id: &str, name: &str) -> Item {
        Item {
            kind: Kind::Nodes,
            stack: None,
            names: vec![id.to_owned(), name.to_owned()],
            part_of: Vec::new(),
            labels: skep_api::service::Labels::new(),
            cells: Vec::new(),
            document: serde_json::Value::Null,
        }
    }

    /// Swarm 12.25: the order of a look-up is id, name, prefix, and two that fit are an error.
    #[test]
    fn a_node_is_found_by_id_then_name_then_the_unique_beginning_of_either() {
        let all = [node("aaaaaaaaaaaa", "n1"), node("aabbbbbbbbbb", "n10"), node("cccccccccccc", "aa")];
        let found = |name| pick(name, &all).map(|id| id.to_string());
        assert_eq!(found("aaaaaaaaaaaa").unwrap(), "aaaaaaaaaaaa");
        assert_eq!(found("n1").unwrap(), "aaaaaaaaaaaa", "a name in full is not ambiguous");
        assert_eq!(found("aa").unwrap(), "cccccccccccc", "a name goes before a prefix");
        assert_eq!(found("aab").unwrap(), "aabbbbbbbbbb");
        assert!(matches!(found("a"), Err(Failure::Argument { .. })));
        assert!(matches!(found("x"), Err(Failure::NotFound(_))));
    }

    #[test]
    fn a_kind_that_is_nearly_right_is_suggested() {
        let error = "servce/web".parse::<Target>().unwrap_err();
        assert!(error.contains("did you mean service"), "{error}");
    }
}
