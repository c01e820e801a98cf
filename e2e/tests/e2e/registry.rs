//! A tag that is moved in a real registry: Debian's `docker-registry`, on a free port of this machine.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::rig::{Cluster, docker, eventually};

/// A registry of the test's own. Docker takes plain HTTP from 127.0.0.0/8.
struct Registry {
    folder: PathBuf,
    address: String,
    process: Child,
}

impl Registry {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("skep-e2e-registry-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: \"{}\"}}}}\nhttp: {{addr: \"{address}\"}}\n",
            folder.join("data").display()
        );
        std::fs::write(folder.join("config.yml"), config).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let registry = Self { folder, address, process };
        eventually("the registry answers", || {
            std::net::TcpStream::connect(&registry.address).map(drop).map_err(|error| error.to_string())
        });
        registry
    }

    /// The name of the image that moves.
    fn image(&self) -> String {
        format!("{}/till:stable", self.address)
    }

    /// Lets the tag name what `skep-demo:version` is, and returns the digest of that.
    fn push(&self, version: &str) -> String {
        let image = self.image();
        docker::docker_at(None, &["tag", &format!("skep-demo:{version}"), &image]);
        docker::docker_at(None, &["push", "--quiet", &image]);
        let digests = docker::docker_at(None, &["inspect", "--format", "{{json .RepoDigests}}", &image]);
        // What was pulled or pushed from here is no longer on this machine by its tag: Docker has to ask the registry.
        docker::docker_at(None, &["rmi", &image]);
        let all: Vec<String> = serde_json::from_str(&digests).unwrap();
        let ours = all.iter().find(|digest| digest.starts_with(&self.address)).unwrap();
        ours.split_once('@').unwrap().1.to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
        let images = images_of(&format!("{}/", self.address));
        Command::new("docker").arg("rmi").args(images).output().ok();
    }
}

/// The images on this machine whose names begin so, by digest.
fn images_of(prefix: &str) -> Vec<String> {
    let format = "{{.Repository}}@{{.Digest}}";
    let output = Command::new("docker").args(["images", "--digests", "--format", format]).output();
    let listed = output.map(|output| crate::rig::text(&output.stdout)).unwrap_or_default();
    listed.lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
}

/// The image of every running task of the service, as its container was made of it.
fn images(cluster: &Cluster) -> Vec<String> {
    let ids = docker::running(cluster, "till-roll");
    let image = |id: &String| docker::docker(cluster, &["inspect", "--format", "{{.Config.Image}}", id]);
    ids.iter().map(|id| image(id).trim().to_owned()).collect()
}

/// Waits until three tasks run, all of them of `digest`.
fn all_run(cluster: &Cluster, digest: &str) {
    cluster.comes_to("till-roll", 3);
    let images = images(cluster);
    assert!(images.len() == 3 && images.iter().all(|image| image.contains(digest)), "{digest}: {images:?}");
}

fn service(cluster: &Cluster) -> Value {
    cluster.get("services")[0].clone()
}

#[test]
fn a_tag_that_moved_rolls_by_set_image_alone_and_apply_says_that_it_moved() {
    docker::build_demo_image();
    let registry = Registry::start();
    let first = registry.push("v1");
    let cluster = Cluster::start();
    let file = cluster.write(
        "till.yaml",
        &format!(
            "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: till-roll}}\nspec:\n  replicas: 3\n  task: {{image: \
             \"{}\", stopGracePeriod: 2s}}\n  update: {{monitor: 500ms}}\n",
            registry.image()
        ),
    );
    let apply = || {
        let output = cluster.run(&["apply", "-f", file.to_str().unwrap()]);
        let said = crate::rig::text(&output.stdout) + &crate::rig::text(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    };
    apply();
    all_run(&cluster, &first);
    cluster.ok(&["set", "image", "till-roll", &registry.image()]);
    let revision = service(&cluster)["status"]["revision"].clone();
    assert_eq!(revision, 1, "the tag has the same digest, so nothing is to be replaced");

    let second = registry.push("v2");
    assert_ne!(first, second);
    let version = service(&cluster)["metadata"]["version"].clone();
    let said = apply();
    assert!(said.contains("in its registry; till-roll runs"), "{said}");
    assert_eq!(service(&cluster)["metadata"]["version"], version, "apply put something: {said}");
    // A task that is replaced now still runs what its revision ran.
    docker::docker(&cluster, &["kill", &docker::running(&cluster, "till-roll")[0]]);
    eventually("it is replaced", || {
        let ended = cluster.get("tasks").iter().any(|task| task["status"]["state"] == "FAILED");
        (ended && cluster.running("till-roll").len() == 3)
            .then_some(())
            .ok_or_else(|| cluster.ok(&["get", "tasks"]))
    });
    all_run(&cluster, &first);

    cluster.ok(&["set", "image", "till-roll", &registry.image()]);
    all_run(&cluster, &second);
    assert_eq!(service(&cluster)["status"]["revision"], 2);
    let said = apply();
    assert!(!said.contains("in its registry; till-roll runs"), "{said}");
    all_run(&cluster, &second);
}
