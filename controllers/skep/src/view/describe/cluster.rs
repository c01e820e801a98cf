//! The cluster: what holds for every service, and which services say otherwise.

use skep_api::cluster::ClusterSpec;
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::service::{Rebalance, Strategy};

use super::Page;
use crate::cut::Cut;
use crate::view::service::word;

/// Everything about the cluster's settings.
pub(crate) fn cluster(cut: &Cut) -> String {
    let mut page = Page::about("Cluster");
    let spec = match cut.entry(&Key::Cluster).map(|entry| &entry.value) {
        Some(Ok(Object::Cluster(spec))) => ClusterSpec::clone(spec),
        Some(Err(invalid)) => {
            page.line("Invalid", &invalid.reason);
            ClusterSpec::default()
        }
        Some(Ok(_)) | None => ClusterSpec::default(),
    };
    let strategy = match spec.placement.strategy {
        Strategy::Spread => "the node with the fewest tasks of the service first, then the least loaded",
        Strategy::Binpack => "the fullest node that fits first, so that others stay empty",
        Strategy::Random => "any node that fits",
    };
    page.line("Strategy", &format!("{}: {strategy}", word(&spec.placement.strategy)));
    let rebalance = match spec.placement.rebalance {
        Rebalance::Never => "tasks are moved only by `skep rebalance`",
        Rebalance::WhenIdle => {
            "tasks are moved to better nodes, a few at a time, while their service is idle"
        }
    };
    page.line("Rebalance", &format!("{}: {rebalance}", word(&spec.placement.rebalance)));
    let services = cut.iter().filter_map(|(_, entry)| match &entry.value {
        Ok(Object::Service(service)) => Some(service),
        _ => None,
    });
    let rows = services.filter_map(|service| {
        let placement = &service.spec.placement;
        let says = placement.strategy.is_some() || placement.rebalance.is_some();
        let told = |word: String| if word.is_empty() { "-".to_owned() } else { word };
        let words = [word(&placement.strategy), word(&placement.rebalance)].map(told);
        says.then(|| [service.reference().to_string()].into_iter().chain(words).collect::<Vec<String>>())
    });
    page.table("Services that say it themselves", &["SERVICE", "STRATEGY", "REBALANCE"], rows.collect());
    page.0
}

#[cfg(test)]
mod tests {
    use skep_api::key::ServiceRef;

    use super::*;

    #[test]
    fn a_page_of_the_cluster_tells_what_holds_and_which_services_say_otherwise() {
        let key =
            |name: &str| Key::Service(ServiceRef::new("default".parse().unwrap(), name.parse().unwrap()));
        let own = "{apiVersion: skep/v1, kind: Service, metadata: {name: own}, \
            spec: {task: {image: x}, placement: {strategy: random}}}";
        let plain = "{apiVersion: skep/v1, kind: Service, metadata: {name: plain}, spec: {task: {image: x}}}";
        let text = "{apiVersion: skep/v1, kind: Cluster, spec: {placement: {strategy: binpack}}}";
        let cut = Cut::of(&[(key("own"), own), (key("plain"), plain), (Key::Cluster, text)]);
        let page = cluster(&cut);
        assert!(
            page.contains("binpack: the fullest node") && page.contains("never: tasks are moved only"),
            "{page}"
        );
        assert!(page.contains("default/own   random     -") && !page.contains("plain"), "{page}");
        assert!(cluster(&Cut::of(&[])).contains("spread: the node with the fewest"));
    }
}
