//! What the environment asks of the server.

use std::fmt;
use std::fs;
use std::time::Duration;

/// The server's settings, one field for each variable that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `SKEP_TASK_NAME`, or else the name of the host: what `/` answers with.
    pub(crate) name: String,
    /// `VERSION`, default `dev`.
    pub(crate) version: String,
    /// `PORT`, default 8080.
    pub(crate) port: u16,
    /// `START_DELAY_MS`: how long it does not listen yet.
    pub(crate) start_delay: Duration,
    /// `EXIT_AFTER_MS`: when it exits by itself, counted from when it listens.
    pub(crate) exit_after: Option<Duration>,
    /// `EXIT_CODE`: what it exits with then, default 0.
    pub(crate) exit_code: u8,
    /// `HEALTHY_AFTER_MS`: how long `/healthz` answers 503, counted from when it listens.
    pub(crate) healthy_after: Duration,
    /// `FAIL_HEALTH_AFTER_MS`, or 0 with `FAIL_HEALTH`: from when on `/healthz` answers 503.
    pub(crate) fail_health_after: Option<Duration>,
    /// `FAIL_PERCENT`: how many of a hundred task names exit with 1, whatever `EXIT_CODE` says; default 0.
    pub(crate) fail_percent: u8,
    /// `SAY`: what it prints when it starts.
    pub(crate) say: Option<String>,
    /// `SAY_EVERY_MS`: how often it prints a line.
    pub(crate) say_every: Option<Duration>,
    /// `ALLOCATE_MIB`: how much memory it fills when it starts, default 0.
    pub(crate) allocate_mib: usize,
    /// `IGNORE_TERM`: only SIGKILL, or SIGINT, ends it.
    pub(crate) ignore_term: bool,
}

/// A variable with a value that cannot be what was meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadVariable {
    name: &'static str,
    value: String,
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the variable {} cannot be `{}`", self.name, self.value)
    }
}

impl Settings {
    /// Reads every variable through `lookup`, which is the environment except in tests.
    pub(crate) fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, BadVariable> {
        let variables = Variables(lookup);
        Ok(Self {
            name: variables
                .text("SKEP_TASK_NAME")
                .or_else(|| variables.text("HOSTNAME"))
                .unwrap_or_else(hostname),
            version: variables.text("VERSION").unwrap_or_else(|| "dev".to_owned()),
            port: variables.parsed("PORT")?.unwrap_or(8080),
            start_delay: variables.millis("START_DELAY_MS")?.unwrap_or_default(),
            exit_after: variables.millis("EXIT_AFTER_MS")?,
            exit_code: variables.parsed("EXIT_CODE")?.unwrap_or(0),
            healthy_after: variables.millis("HEALTHY_AFTER_MS")?.unwrap_or_default(),
            fail_health_after: if variables.is_set("FAIL_HEALTH")? {
                Some(Duration::ZERO)
            } else {
                variables.millis("FAIL_HEALTH_AFTER_MS")?
            },
            fail_percent: variables.parsed("FAIL_PERCENT")?.unwrap_or(0),
            say: variables.text("SAY"),
            say_every: variables.millis("SAY_EVERY_MS")?,
            allocate_mib: variables.parsed("ALLOCATE_MIB")?.unwrap_or(0),
            ignore_term: variables.is_set("IGNORE_TERM")?,
        })
    }

    /// Whether it is healthy when it has listened for `up`.
    pub(crate) fn is_healthy(&self, up: Duration) -> bool {
        up >= self.healthy_after && self.fail_health_after.is_none_or(|limit| up < limit)
    }

    /// What it exits with when it exits by itself: the same name always fails or never.
    pub(crate) fn own_exit_code(&self) -> u8 {
        // FNV-1a, finished by a multiplication: names that differ in their last letter differ in the high bits.
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = self.name.bytes().fold(0xcbf2_9ce4_8422_2325, step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if (hash >> 32) % 100 < u64::from(self.fail_percent) { 1 } else { self.exit_code }
    }
}

struct Variables<F>(F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// An empty variable counts as none.
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, BadVariable> {
        let Some(value) = self.text(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| BadVariable { name, value })
    }

    fn millis(&self, name: &'static str) -> Result<Option<Duration>, BadVariable> {
        Ok(self.parsed(name)?.map(Duration::from_millis))
    }

    fn is_set(&self, name: &'static str) -> Result<bool, BadVariable> {
        match self.text(name).as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(value) => Err(BadVariable { name, value: value.to_owned() }),
        }
    }
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Settings, BadVariable> {
        Settings::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_task_name_wins_over_the_host_name() {
        let both = from(&[("HOSTNAME", "0f3a"), ("SKEP_TASK_NAME", "web.1.k3v9x")]).unwrap();
        assert_eq!(both.name, "web.1.k3v9x");
        assert_eq!(from(&[("HOSTNAME", "0f3a")]).unwrap().name, "0f3a");
    }

    #[test]
    fn nothing_set_means_a_healthy_server_on_8080_that_stays() {
        let plain = from(&[("HOSTNAME", "h")]).unwrap();
        assert_eq!((plain.port, plain.start_delay, plain.exit_after), (8080, Duration::ZERO, None));
        assert!(plain.is_healthy(Duration::ZERO) && plain.is_healthy(Duration::MAX) && !plain.ignore_term);
        assert_eq!(
            (plain.own_exit_code(), plain.say, plain.say_every, plain.allocate_mib),
            (0, None, None, 0)
        );
    }

    #[test]
    fn every_wish_is_heard() {
        let wishes = from(&[
            ("PORT", "81"),
            ("VERSION", "v2"),
            ("START_DELAY_MS", "1500"),
            ("EXIT_AFTER_MS", "20"),
            ("EXIT_CODE", "7"),
            ("FAIL_HEALTH", "1"),
            ("IGNORE_TERM", "true"),
        ])
        .unwrap();
        assert_eq!((wishes.port, wishes.version.as_str()), (81, "v2"));
        assert_eq!(wishes.start_delay, Duration::from_millis(1500));
        assert_eq!((wishes.exit_after, wishes.exit_code), (Some(Duration::from_millis(20)), 7));
        assert!(!wishes.is_healthy(Duration::MAX) && wishes.ignore_term);
    }

    #[test]
    fn health_comes_late_and_goes_early_if_so_wished() {
        let wishes = from(&[("HEALTHY_AFTER_MS", "100"), ("FAIL_HEALTH_AFTER_MS", "200")]).unwrap();
        let healthy: Vec<u64> = [0, 99, 100, 199, 200]
            .into_iter()
            .filter(|&ms| wishes.is_healthy(Duration::from_millis(ms)))
            .collect();
        assert_eq!(healthy, [100, 199]);
    }

    #[test]
    fn of_all_names_the_wished_share_fails_and_always_the_same() {
        let code = |name: &str, percent: &str| {
            from(&[("SKEP_TASK_NAME", name), ("FAIL_PERCENT", percent)]).unwrap().own_exit_code()
        };
        let names: Vec<String> = (0..1000).map(|number| format!("job.{number}.0000{number:x}")).collect();
        let failing = names.iter().filter(|name| code(name, "30") == 1).count();
        assert!((200..400).contains(&failing), "{failing}");
        assert!(names.iter().all(|name| code(name, "100") == 1 && code(name, "0") == 0));
    }

    #[test]
    fn an_empty_variable_or_a_zero_asks_for_nothing() {
        let empty = from(&[("PORT", ""), ("FAIL_HEALTH", "0"), ("IGNORE_TERM", "")]).unwrap();
        assert_eq!(empty.port, 8080);
        assert!(empty.is_healthy(Duration::MAX) && !empty.ignore_term);
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_variable() {
        for (name, value) in
            [("PORT", "70000"), ("EXIT_CODE", "256"), ("START_DELAY_MS", "2s"), ("FAIL_HEALTH", "yes")]
        {
            let message = from(&[(name, value)]).unwrap_err().to_string();
            assert_eq!(message, format!("the variable {name} cannot be `{value}`"));
        }
    }
}
