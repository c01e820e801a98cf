//! This machine and the person at it, as others read of them in the cluster.

use std::env;
use std::fs;

/// The machine's name.
pub(crate) fn name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// This process, as the holder of a lease: `<host>:<pid>`.
pub(crate) fn holder() -> String {
    format!("{}:{}", name(), std::process::id())
}

/// The host and the pid of a holder.
pub(crate) fn parse_holder(holder: &str) -> Option<(&str, u32)> {
    let (host, pid) = holder.rsplit_once(':')?;
    Some((host, pid.parse().ok()?))
}

/// The person, as `<user>@<host>`: whoever became root by sudo is still the same person.
pub(crate) fn person() -> String {
    let variables = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    let user = variables.filter_map(|name| env::var(name).ok()).find(|user| !user.is_empty());
    format!("{}@{}", user.unwrap_or_else(|| account(rustix::process::getuid().as_raw())), name())
}

/// The name of an account of this machine; its number, if it has none.
fn account(uid: u32) -> String {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut named = accounts.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.next().unwrap_or_else(|| format!("uid{uid}"))
}

/// The command line, as it is noted beside a change.
pub(crate) fn command_line() -> String {
    let args: Vec<String> = env::args().skip(1).collect();
    format!("skep {}", args.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_taken_apart_even_if_the_host_has_a_colon() {
        assert_eq!(parse_holder("n1:42"), Some(("n1", 42)));
        assert_eq!(parse_holder("fe80::1:42"), Some(("fe80::1", 42)));
        assert_eq!(parse_holder("n1"), None);
    }
}
