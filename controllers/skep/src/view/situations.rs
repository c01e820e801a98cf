//! What people see in twelve situations: a world in YAML, summed up by the real replica controller, as `skep describe` and
//! `skep status` show it. `SKEP_BLESS=1 cargo test -p skep` writes the texts anew; read them before they are committed.

use std::fs;
use std::path::Path;

use skep_api::key::Key;
use skep_replica::Replica;
use skep_runtime::case;
use skep_runtime::scene::Scene;

use crate::cut::Cut;
use crate::view::{Style, describe, tree::tree};

/// The situations, so that none gets lost.
const NAMES: [&str; 12] = [
    "crash-loop",
    "dependency-not-healthy",
    "draining",
    "everything-fine",
    "invalid-spec",
    "job-half-done",
    "node-down",
    "paused-update",
    "pull-fails",
    "rolled-back",
    "waiting-for-memory",
    "waiting-for-the-delay",
];

/// What `status` and `describe` say in the situation `world`.
fn seen(world: &str) -> String {
    let mut scene: Scene<Replica> = case::world(world).unwrap();
    let before: Vec<String> = scene.keys().map(Key::to_string).filter(|key| !is_summary(key)).collect();
    scene.settle();
    let after: Vec<String> = scene.keys().map(Key::to_string).filter(|key| !is_summary(key)).collect();
    assert_eq!(after, before, "the world is at rest, but for summaries");
    let cut = Cut::of_scene(&scene);
    let style = Style { now: scene.now, ..Style::default() };
    let mut text = format!("$ skep status\n{}", tree(&cut, None, style));
    for key in scene.keys() {
        if let Key::Service(service) = key {
            let page = describe::service(&cut, service, style).unwrap();
            text.extend(["\n$ skep describe service/", &service.to_string(), "\n", &page]);
        }
    }
    text
}

fn is_summary(key: &str) -> bool {
    key.starts_with("/skep/status/services/")
}

#[test]
fn twelve_situations_are_told_as_people_need_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/situations");
    let mut differences = Vec::new();
    for name in NAMES {
        let found = seen(&fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap());
        let golden = folder.join(format!("{name}.txt"));
        if std::env::var_os("SKEP_BLESS").is_some() {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            differences.push(format!("{name}:\n{found}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let files = fs::read_dir(folder).unwrap().count();
    assert_eq!(files, NAMES.len() * 2, "a situation is not named here");
}
