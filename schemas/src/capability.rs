//! Linux' capabilities, by the names that people write.

use std::collections::BTreeSet;

/// Stands for every capability.
pub const ALL: &str = "ALL";
const PREFIX: &str = "CAP_";
/// Without their prefix (`include/uapi/linux/capability.h`).
const NAMES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// A name as Docker writes it: `net_admin` is `CAP_NET_ADMIN`, `all` is `ALL`.
pub fn normalize(name: &str) -> String {
    let name = name.trim().to_ascii_uppercase();
    if name == ALL || name.starts_with(PREFIX) { name } else { format!("{PREFIX}{name}") }
}

/// Whether there is such a capability, or it is `ALL`.
pub fn is_known(name: &str) -> bool {
    let name = normalize(name);
    name == ALL || name.strip_prefix(PREFIX).is_some_and(|name| NAMES.contains(&name))
}

/// Every name that there is, without `CAP_`.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    NAMES.into_iter()
}

/// What is given and taken, as Docker's command line has it (`cli/opts/capabilities.go`): in one spelling, sorted, none twice,
/// `ALL` instead of every other, and what is given is not taken as well.
pub fn effective(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let (add, mut drop) = (collapsed(add), collapsed(drop));
    drop.retain(|name| !add.contains(name));
    (add.into_iter().collect(), drop.into_iter().collect())
}

fn collapsed(names: &[String]) -> BTreeSet<String> {
    let names: BTreeSet<String> = names.iter().map(|name| normalize(name)).collect();
    if names.contains(ALL) { BTreeSet::from([ALL.to_owned()]) } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Swarm 2.3.
    #[test]
    fn capabilities_have_one_spelling_and_all_stands_for_every_other() {
        let effective_of = |add: &[&str], drop: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            effective(&owned(add), &owned(drop))
        };
        let (add, drop) = effective_of(&["net_raw", "CAP_CHOWN", "NET_RAW"], &["all", "KILL"]);
        assert_eq!(
            (add, drop),
            (vec!["CAP_CHOWN".to_owned(), "CAP_NET_RAW".to_owned()], vec![ALL.to_owned()])
        );
        let (add, drop) = effective_of(&["ALL", "KILL"], &["all", "kill"]);
        assert_eq!((add, drop), (vec![ALL.to_owned()], Vec::new()), "both are ALL");
        let (add, drop) = effective_of(&["ALL"], &["kill"]);
        assert_eq!((add, drop), (vec![ALL.to_owned()], vec!["CAP_KILL".to_owned()]));
        let (add, drop) = effective_of(&["KILL"], &["cap_kill"]);
        assert_eq!((add, drop), (vec!["CAP_KILL".to_owned()], Vec::new()), "what is given wins");
        assert!(is_known("sys_admin") && is_known("Cap_Bpf") && is_known("all") && !is_known("NET_ADMINS"));
        assert!(NAMES.is_sorted());
    }
}
