//! What surrounds the process: names and resolvers, kernel settings, limits, where output goes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Report, entry, item, one_of, steps};
use crate::code;
use crate::container::{TaskTemplate, Ulimit};
use crate::tree::Step;

/// Stands for the node's own address (moby, `opts.HostGatewayName`).
const HOST_GATEWAY: &str = "host-gateway";
/// docker/go-units, `ulimit.go`.
const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];
/// Kernel settings that a container has for itself (docker/cli, `opts.ValidateSysctl`; runc, `validate/validator.go`).
const SYSCTLS: &[&str] = &[
    "kernel.domainname",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];
const SYSCTL_PREFIXES: [&str; 2] = ["net.", "fs.mqueue."];

pub(super) fn check(task: &TaskTemplate, report: &mut Report<'_>) {
    hosts(task, report);
    dns(task, report);
    sysctls(task, report);
    task.ulimits.iter().enumerate().for_each(|(index, limit)| ulimit(index, limit, report));
    duplicate_ulimits(task, report);
    let driver = task.logging.as_ref().map(|logging| logging.driver.as_str());
    if driver == Some("") {
        let path = steps(&["spec", "task", "logging", "driver"]);
        report.fault(code::MALFORMED, &path, "the logging driver is empty", "such as json-file");
    }
    for (index, _) in task.groups.iter().enumerate().filter(|(_, group)| group.trim().is_empty()) {
        let path = [steps(&["spec", "task", "groups"]).as_slice(), &[Step::Item(index)]].concat();
        report.fault(code::MALFORMED, &path, "a group is empty", "write its name or number");
    }
}

fn hosts(task: &TaskTemplate, report: &mut Report<'_>) {
    let map = ["spec", "task", "hosts"];
    for (name, address) in &task.hosts {
        if name.is_empty() || name.contains([' ', '\t', '\n', ':', '#']) {
            let message = format!("{name:?} cannot be the name of a host");
            report.fault_name(code::MALFORMED, &entry(&map, name), message, "");
        }
        if address != HOST_GATEWAY && address.parse::<IpAddr>().is_err() {
            let message = format!("{address:?} is not an address");
            report.fault(code::MALFORMED, &entry(&map, name), message, "such as 10.0.0.1, or host-gateway");
        }
    }
}

fn dns(task: &TaskTemplate, report: &mut Report<'_>) {
    let Some(dns) = &task.dns else { return };
    let list = ["spec", "task", "dns", "nameservers"];
    for (index, address) in dns.nameservers.iter().enumerate() {
        let path = [steps(&list).as_slice(), &[Step::Item(index)]].concat();
        if report.is_sound(&path) && address.parse::<IpAddr>().is_err() {
            let message = format!("{address:?} is not the address of a resolver");
            report.fault(code::MALFORMED, &path, message, "such as 10.0.0.53");
        }
    }
    for (name, texts) in [("search", &dns.search), ("options", &dns.options)] {
        for (index, _) in
            texts.iter().enumerate().filter(|(_, text)| text.contains(char::is_whitespace) || text.is_empty())
        {
            let path = [steps(&["spec", "task", "dns", name]).as_slice(), &[Step::Item(index)]].concat();
            report.fault(code::MALFORMED, &path, format!("an item of `{name}` is one word"), "");
        }
    }
}

fn sysctls(task: &TaskTemplate, report: &mut Report<'_>) {
    let is_own =
        |name: &str| SYSCTLS.contains(&name) || SYSCTL_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    for name in task.sysctls.keys().filter(|name| !is_own(name)) {
        let message = format!("{name:?} is a setting of the whole machine, or none");
        let hint = "a container has those below net. and fs.mqueue., and of kernel. those for messages and shared memory";
        report.fault_name(code::UNKNOWN_VALUE, &entry(&["spec", "task", "sysctls"], name), message, hint);
    }
}

fn ulimit(index: usize, limit: &Ulimit, report: &mut Report<'_>) {
    let at = |name| item(&["spec", "task", "ulimits"], index, name);
    if !report.is_sound(at("name").split_at(4).0) {
        return;
    }
    if !ULIMITS.contains(&limit.name.as_str()) {
        let message = format!("{:?} is not a limit of a process", limit.name);
        report.fault(code::UNKNOWN_VALUE, &at("name"), message, format!("there are {}", one_of(ULIMITS)));
    }
    for (name, value) in [("soft", limit.soft), ("hard", limit.hard)] {
        if value < -1 {
            let message = format!("`{name}` is {value}, less than -1, which is no limit");
            report.fault(code::OUT_OF_RANGE, &at(name), message, "");
        }
    }
    let is_above = limit.hard >= 0 && (limit.soft > limit.hard || limit.soft == -1);
    if is_above {
        let message = format!("the soft limit of {} is above the hard one", limit.name);
        report.fault(code::CONFLICT, &at("soft"), message, format!("at most {}", limit.hard));
    }
}

fn duplicate_ulimits(task: &TaskTemplate, report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (index, limit) in task.ulimits.iter().enumerate() {
        let path = item(&["spec", "task", "ulimits"], index, "name");
        if let Some(first) = seen.get(&limit.name) {
            let message = format!("`{}` is limited twice", limit.name);
            report.fault(code::DUPLICATE_ITEM, &path, message, format!("it is at line {first} already"));
        } else if report.is_sound(path.split_at(4).0) {
            seen.insert(&limit.name, report.line(&path));
        }
    }
}
