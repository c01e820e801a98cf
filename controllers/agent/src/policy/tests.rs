use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::rollout::Revision;
use skep_api::volume::VolumeSpec;

use super::*;

/// A container with this template, written as flow YAML.
fn spec(task: &str) -> ContainerSpec {
    let text = format!("{{service: {{stack: default, name: web}}, task: {{image: x{task}}}}}");
    let revision: Revision = yaml::from_str(&text).unwrap();
    ContainerSpec {
        name: "web".to_owned(),
        image: "x".to_owned(),
        labels: BTreeMap::new(),
        env: BTreeMap::new(),
        hostname: None,
        mounts: revision.task.mounts.clone(),
        volumes: BTreeMap::new(),
        revision: Arc::new(revision),
    }
}

fn policy(text: &str) -> Policy {
    Policy::parse(text, Path::new("/p.yaml")).unwrap()
}

fn refusal(policy: &Policy, task: &str) -> String {
    policy.check(&spec(task)).unwrap_err()
}

/// Swarm 2.1: no privileged, no devices, no namespaces of the host; paths and capabilities are for everybody.
#[test]
fn without_a_file_tasks_may_do_what_swarm_s_may() {
    let none = Policy::default();
    for allowed in [
        ", mounts: [{type: bind, source: /var/run/docker.sock, target: /d}], capAdd: [ALL], ipc: private",
        ", privileges: {seccomp: unconfined, apparmor: disabled}",
        ", mounts: [{target: /d, driverOptions: {type: none, o: bind, device: /etc}}]",
    ] {
        assert_eq!(none.check(&spec(allowed)), Ok(()), "{allowed}");
    }
    assert_eq!(
        refusal(&none, ", privileged: true"),
        "`task.privileged` is not allowed on this node: there is no /etc/skep/policy.yaml that says \
         `allow: {privileged: true}`"
    );
    assert!(
        refusal(&none, ", devices: [{source: /dev/fuse}]")
            .starts_with("`task.devices: /dev/fuse` is not allowed")
    );
    for name in ["pid", "ipc", "userns"] {
        let words = refusal(&none, &format!(", {name}: host"));
        assert!(words.contains(&format!("`task.{name}: host` is not allowed")), "{words}");
    }
}

#[test]
fn a_file_allows_what_swarm_does_not_know() {
    let all = policy("allow: {privileged: true, hostNamespaces: true, devices: [/dev]}");
    let task = ", privileged: true, pid: host, ipc: host, userns: host, devices: [{source: /dev/null}]";
    assert_eq!(all.check(&spec(task)), Ok(()));
    let one = policy("allow: {devices: [/dev/null]}");
    assert_eq!(one.check(&spec(", devices: [{source: /dev/null}]")), Ok(()));
    let words = refusal(&one, ", devices: [{source: /dev/null}, {source: /dev/null/../zero}]");
    assert!(
        words.contains("`task.devices: /dev/null/../zero`") && words.contains("/p.yaml does not say"),
        "{words}"
    );
}

#[test]
fn a_path_is_forbidden_with_what_is_in_it_and_what_it_is_in() {
    let policy = policy("forbid: {hostPaths: [/etc/ssl]}");
    let bind = |source: &str| format!(", mounts: [{{type: bind, source: {source}, target: /d}}]");
    for source in ["/etc/ssl", "/etc/ssl/certs", "/etc", "/", "/etc/../etc/ssl/", "/proc/self/root/etc/ssl"] {
        let words = refusal(&policy, &bind(source));
        assert_eq!(
            words,
            format!(
                "`the mount at /d: {source}` is forbidden on this node: /p.yaml says `forbid: {{hostPaths: [/etc/ssl]}}`"
            )
        );
    }
    for source in ["/srv", "/etc/sslx", "/etc/hostname"] {
        assert_eq!(policy.check(&spec(&bind(source))), Ok(()), "{source}");
    }
}

#[test]
fn a_volume_is_no_way_around_a_forbidden_path() {
    let policy = policy("forbid: {hostPaths: [/etc]}");
    let hidden = "{type: none, o: bind, device: /etc/ssl}";
    let words = refusal(&policy, &format!(", mounts: [{{target: /d, driverOptions: {hidden}}}]"));
    assert!(words.contains("the mount at /d: /etc/ssl"), "{words}");
    let words = refusal(&policy, ", mounts: [{target: /d, driverOptions: {type: ext4, device: /dev/sda1}}]");
    assert!(words.contains("cannot be told"), "{words}");
    let volume: VolumeSpec = yaml::from_str(&format!("driverOptions: {hidden}")).unwrap();
    let mut spec = spec(", mounts: [{source: data, target: /d}]");
    assert_eq!(policy.check(&spec), Ok(()));
    spec.volumes.insert("shop_data".to_owned(), volume);
    assert!(policy.check(&spec).unwrap_err().contains("the volume shop_data: /etc/ssl"));
}

#[test]
fn a_capability_is_forbidden_by_any_of_its_names_and_within_all() {
    let policy = policy("forbid: {capabilities: [sys_admin]}");
    for names in ["SYS_ADMIN", "cap_sys_admin", "ALL"] {
        let words = refusal(&policy, &format!(", capAdd: [{names}]"));
        assert!(words.contains("task.capAdd: ") && words.contains("capabilities: [sys_admin]"), "{words}");
    }
    assert_eq!(policy.check(&spec(", capAdd: [NET_ADMIN], capDrop: [SYS_ADMIN]")), Ok(()));
}

#[test]
fn a_file_that_is_wrong_stops_the_agent_and_says_where() {
    let wrong = |text: &str| Policy::parse(text, Path::new("/p.yaml")).unwrap_err().to_string();
    let words = wrong("allow:\n  privileged: true\n  device: []\n");
    assert!(
        words.starts_with("the policy /p.yaml:") && words.contains("device") && words.contains("line 3"),
        "{words}"
    );
    assert!(wrong("forbid: {capabilities: [SYS_ADMINN]}").contains("SYS_ADMINN"));
    assert!(wrong("forbid: {hostPaths: [etc]}").contains("not an absolute path"));
    assert_eq!(policy("# nothing yet\n").rules, Rules::default());
    assert!(Policy::load(Some(Path::new("/no/such/policy.yaml"))).is_err());
}
