//! The drivers and generic resources that a Docker daemon has.

use std::collections::BTreeSet;

use bollard::models::{GenericResources, Plugin, PluginsInfo};
use skep_api::node::{Generic, Plugins};

use super::Docker;
use crate::generic::Generics;

impl Docker {
    /// The drivers that are built in (`builtin`) and those that were installed (`docker plugin install`), which `docker info` leaves
    /// out. A daemon that will not tell of plugins has none (moby, `daemon/cluster/executor/container/executor.go`).
    pub(super) async fn plugins(&self, client: &bollard::Docker, builtin: Option<PluginsInfo>) -> Plugins {
        let installed = client.list_plugins(None::<bollard::query_parameters::ListPluginsOptions>).await;
        let installed = installed.unwrap_or_else(|error| {
            tracing::warn!(%error, "Docker does not tell which plugins were installed");
            Vec::new()
        });
        read(builtin.unwrap_or_default(), installed)
    }
}

fn read(builtin: PluginsInfo, installed: Vec<Plugin>) -> Plugins {
    let set = |names: Option<Vec<String>>| names.into_iter().flatten().collect::<BTreeSet<String>>();
    let mut plugins =
        Plugins { volume: set(builtin.volume), network: set(builtin.network), log: set(builtin.log) };
    for plugin in installed.into_iter().filter(|plugin| plugin.enabled) {
        for interface in plugin.config.interface.types {
            let kind = match interface.split('/').next() {
                Some("docker.volumedriver") => &mut plugins.volume,
                Some("docker.networkdriver") => &mut plugins.network,
                Some("docker.logdriver") => &mut plugins.log,
                Some(_) | None => continue,
            };
            kind.insert(plugin.name.clone());
        }
    }
    plugins
}

/// What the daemon was told that its machine has (`node-generic-resources`).
pub(super) fn generics(found: Option<GenericResources>) -> Generics {
    let mut generics = Generics::new();
    for resource in found.into_iter().flatten() {
        if let Some(count) = resource.discrete_resource_spec
            && let (Some(kind), Some(value)) = (count.kind, count.value)
        {
            generics.entry(kind).or_insert(Generic::Count(u64::try_from(value).unwrap_or_default()));
        }
        if let Some(named) = resource.named_resource_spec
            && let (Some(kind), Some(value)) = (named.kind, named.value)
        {
            // Docker accepts no kind that is counted and named.
            let known = generics.entry(kind).or_insert_with(|| Generic::Named(BTreeSet::new()));
            if let Generic::Named(names) = known {
                names.insert(value);
            }
        }
    }
    generics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_plugins_are_drivers_beside_those_that_are_built_in_unless_they_are_disabled() {
        let builtin: PluginsInfo = serde_json::from_str(
            r#"{"Volume":["local"],"Network":["bridge"],"Authorization":null,"Log":["json-file"]}"#,
        )
        .unwrap();
        let plugin = |name: &str, enabled: bool, kind: &str| {
            let mut plugin = Plugin { name: name.to_owned(), enabled, ..Plugin::default() };
            plugin.config.interface.types = vec![format!("docker.{kind}/1.0")];
            plugin
        };
        let installed = vec![
            plugin("vieux/sshfs:latest", true, "volumedriver"),
            plugin("grafana/loki:2", true, "logdriver"),
            plugin("weave:1", false, "networkdriver"),
            plugin("guard:1", true, "authz"),
        ];
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<String>>();
        let expected = Plugins {
            volume: set(&["local", "vieux/sshfs:latest"]),
            network: set(&["bridge"]),
            log: set(&["json-file", "grafana/loki:2"]),
        };
        assert_eq!(read(builtin, installed), expected);
    }

    #[test]
    fn what_docker_info_says_of_generic_resources_is_counted_or_named() {
        let found = serde_json::from_str(
            r#"[{"NamedResourceSpec":{"Kind":"GPU","Value":"uuid1"}},{"DiscreteResourceSpec":{"Kind":"SSD","Value":3}},
               {"NamedResourceSpec":{"Kind":"GPU","Value":"uuid2"}}]"#,
        );
        let expected = crate::generic::parse(["GPU=uuid1", "GPU=uuid2", "SSD=3"]).unwrap();
        assert_eq!(generics(found.unwrap()), expected);
        assert_eq!(generics(None), Generics::new());
    }
}
