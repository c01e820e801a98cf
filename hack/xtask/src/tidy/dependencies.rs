//! Which package may depend on which: the arrows of ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::path::Path;

use super::Fault;

/// Every package with those of ours that it may depend on.
const MAY_DEPEND: [(&str, &[&str]); 12] = [
    ("schemas", &[]),
    ("controllers/store", &["skep-api"]),
    ("controllers/runtime", &["skep-api", "skep-store"]),
    ("controllers/replica", &["skep-api", "skep-runtime"]),
    ("controllers/updater", &["skep-api", "skep-runtime"]),
    ("controllers/scheduler", &["skep-api", "skep-runtime"]),
    ("controllers/node", &["skep-api", "skep-runtime"]),
    ("controllers/agent", &["skep-api", "skep-store", "skep-runtime"]),
    ("controllers/skep", &["skep-"]),
    ("e2e", &["skep-"]),
    ("hack/xtask", &["skep-", "e2e"]),
    ("hack/demo", &[]),
];

/// Checks the dependencies that each package's manifest names.
pub(super) fn check(root: &Path) -> Vec<Fault> {
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND.into_iter().collect();
    let mut faults = Vec::new();
    for (package, may) in allowed {
        let place = format!("{package}/Cargo.toml");
        let Ok(manifest) = std::fs::read_to_string(root.join(&place)) else {
            faults.push(Fault::new(place, "cannot be read"));
            continue;
        };
        for name in ours(&manifest) {
            if !may
                .iter()
                .any(|allowed| name == *allowed || (allowed.ends_with('-') && name.starts_with(allowed)))
            {
                faults.push(Fault::new(
                    &place,
                    format!("depends on {name}: the arrows of ARCHITECTURE.md do not"),
                ));
            }
        }
    }
    faults
}

/// Our own packages among the dependencies, those for tests left out.
fn ours(manifest: &str) -> Vec<&str> {
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let end = dependencies.find("\n[").unwrap_or(dependencies.len());
    let (section, _) = dependencies.split_at(end);
    let names = section.lines().filter_map(|line| line.split(['.', '=', ' ']).next());
    names.filter(|name| name.starts_with("skep-") || *name == "e2e").collect()
}
