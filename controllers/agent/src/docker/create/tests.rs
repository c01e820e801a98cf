use std::sync::Arc;

use skep_api::rollout::Revision;
use skep_api::yaml;

use super::*;

/// The container of a template, written as flow YAML, as an engine of this API is asked for it.
fn asked(task: &str, minor: usize) -> Result<ContainerCreateBody, String> {
    let text = format!("{{service: {{stack: default, name: web}}, task: {{image: x, {task}}}}}");
    let revision: Revision = yaml::from_str(&text).unwrap();
    let spec = ContainerSpec {
        name: "web".to_owned(),
        image: "x".to_owned(),
        labels: BTreeMap::new(),
        env: BTreeMap::new(),
        hostname: None,
        mounts: revision.task.mounts.clone(),
        volumes: BTreeMap::new(),
        revision: Arc::new(revision),
    };
    body(&spec, Api::new(minor))
}

fn host_config(task: &str, minor: usize) -> HostConfig {
    asked(task, minor).unwrap().host_config.unwrap()
}

/// Swarm 2.6.
#[test]
fn a_command_is_the_entrypoint_and_args_are_the_command_and_what_is_left_out_is_the_image_s() {
    let asked_of = |task: &str| asked(task, 41).map(|body| (body.entrypoint, body.cmd)).unwrap();
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    assert_eq!(
        asked_of("command: [/bin/sh, -c], args: ['echo $0', a b]"),
        (words(&["/bin/sh", "-c"]), words(&["echo $0", "a b"]))
    );
    assert_eq!(asked_of("args: [-v]"), (None, words(&["-v"])));
    assert_eq!(asked_of("command: [/run]"), (words(&["/run"]), None));
    assert_eq!(asked_of("tty: true"), (None, None));
}

#[test]
fn a_start_interval_goes_to_engines_that_know_it() {
    let check =
        "healthcheck: {test: [CMD, a], interval: 1500ms, retries: 2, startPeriod: 1m, startInterval: 2s}";
    let asked_of = |minor| asked(check, minor).unwrap().healthcheck.unwrap();
    assert_eq!(asked_of(43).start_interval, None);
    let new = asked_of(44);
    assert_eq!(new.start_interval, Some(2_000_000_000));
    assert_eq!((new.interval, new.retries, new.timeout), (Some(1_500_000_000), Some(2), None));
    assert_eq!(new.start_period, Some(60_000_000_000));
}

#[test]
fn a_part_of_a_volume_never_becomes_all_of_it() {
    let mounts = "mounts: [{source: data, target: /d, subpath: a/b}]";
    let error = asked(mounts, 44).unwrap_err();
    assert!(
        error.contains("/d has a subpath") && error.contains("1.45") && error.contains("1.44"),
        "{error}"
    );
    let mount = host_config(mounts, 45).mounts.unwrap().remove(0);
    assert_eq!(mount.volume_options.unwrap().subpath.as_deref(), Some("a/b"));
}

#[test]
fn a_missing_path_is_created_by_engines_old_and_new() {
    let mounts = "mounts: [{type: bind, source: /a, target: /b, createMountpoint: true, readOnly: true, \
        propagation: rslave}]";
    let old = host_config(mounts, 41);
    assert_eq!(old.binds, Some(vec!["/a:/b:ro,rslave".to_owned()]));
    assert_eq!(old.mounts, Some(Vec::new()));
    let new = host_config(mounts, 42).mounts.unwrap().remove(0);
    assert_eq!(new.bind_options.unwrap().create_mountpoint, Some(true));
    for wrong in ["nonRecursive: true, source: /a", "source: '/a:b'"] {
        let mounts = format!("mounts: [{{type: bind, {wrong}, target: /b, createMountpoint: true}}]");
        assert!(asked(&mounts, 41).unwrap_err().contains("1.42"), "{wrong}");
        assert!(asked(&mounts, 42).is_ok(), "{wrong}");
    }
}

/// Swarm 2.6: swap is memory and swap together.
#[test]
fn swap_is_counted_with_memory() {
    let with = |text: &str| host_config(&format!("resources: {{{text}}}"), 41);
    assert_eq!(with("swap: 32Mi, limits: {memory: 64Mi}").memory_swap, Some(96 << 20));
    assert_eq!(with("limits: {memory: 64Mi}").memory_swap, None, "the engine's default");
    assert_eq!(with("memorySwappiness: -1").memory_swappiness, Some(-1));
}

/// Swarm 2.1.
#[test]
fn security_modules_are_told_as_swarm_tells_them() {
    let with = |text: &str| host_config(&format!("privileges: {{{text}}}"), 41).security_opt.unwrap();
    assert_eq!(with("seccomp: default, apparmor: default"), Vec::<String>::new());
    assert_eq!(
        with("noNewPrivileges: true, seccomp: '{\"defaultAction\":\"SCMP_ACT_ALLOW\"}', apparmor: disabled"),
        ["no-new-privileges=true", "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "apparmor=unconfined"]
    );
    assert_eq!(
        with("selinux: {user: u, type: t, level: 's0:c1'}"),
        ["label=user:u", "label=type:t", "label=level:s0:c1"]
    );
    assert_eq!(with("selinux: {disable: true}"), ["label=disable"]);
    assert_eq!(host_config("tty: true", 41).security_opt, None);
}
