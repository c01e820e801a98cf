//! Volumes that must be there before a container.

use std::collections::BTreeMap;

use bollard::models::{Volume, VolumeCreateRequest};
use skep_api::volume::VolumeSpec;

use super::{Docker, error};
use crate::engine::EngineError;

/// Docker's own driver, which is meant by none.
const LOCAL: &str = "local";

impl Docker {
    /// Creates the volume `name`, or finds it as it was created.
    ///
    /// Docker takes a volume of that name for the one that is wanted, however it was made: data on the wrong disk. So one with
    /// another driver or other options is refused.
    pub(super) async fn ensure_volume(&self, name: &str, spec: &VolumeSpec) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: spec.driver.clone(),
            driver_opts: Some(spec.driver_options.clone().into_iter().collect()),
            labels: Some(spec.labels.clone().into_iter().collect()),
            cluster_volume_spec: None,
        };
        let answer = self.client().await?.create_volume(request).await.map_err(error::classify_volume)?;
        let found = differences(&answer, spec);
        if found.is_empty() {
            return Ok(());
        }
        Err(EngineError::Refused(format!(
            "the volume {name} is on this node already, but was created in another way ({}): keep what is in it, remove \
             it with `docker volume rm {name}`, and it will be created as the Volume says",
            found.join(", ")
        )))
    }
}

/// How a volume differs from what is wanted. Labels can be what they like.
fn differences(found: &Volume, wanted: &VolumeSpec) -> Vec<String> {
    let mut differences = Vec::new();
    let driver = wanted.driver.as_deref().unwrap_or(LOCAL);
    if found.driver != driver {
        differences.push(format!("driver {}, not {driver}", found.driver));
    }
    let options: BTreeMap<&String, &String> = found.options.iter().collect();
    if !options.into_iter().eq(&wanted.driver_options) {
        differences.push("other driver options".to_owned());
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_the_wanted_one_by_driver_and_options() {
        let wanted: VolumeSpec =
            skep_api::yaml::from_str("{driverOptions: {type: tmpfs}, labels: {a: b}}").unwrap();
        let options = [("type".to_owned(), "tmpfs".to_owned())].into();
        let same = Volume { driver: LOCAL.to_owned(), options, ..Volume::default() };
        assert!(differences(&same, &wanted).is_empty());
        let other = Volume { driver: "nfs".to_owned(), ..Volume::default() };
        assert_eq!(differences(&other, &wanted), ["driver nfs, not local", "other driver options"]);
    }
}
