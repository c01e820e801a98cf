//! The process in the container: image, environment, host name, signals.

use super::{LABEL_MAX_BYTES, Report, mounts, steps};
use crate::code;
use crate::container::TaskTemplate;
use crate::image::{ImageError, ImageReference};
use crate::tree::Step;

/// The longest host name, in bytes (RFC 1035).
const HOSTNAME_MAX_BYTES: usize = 253;
/// Linux' signals, without `SIG`.
const SIGNALS: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

pub(super) fn check(task: &TaskTemplate, report: &mut Report<'_>) {
    image(task, report);
    env(task, report);
    hostname(task, report);
    if let Some(path) = &task.workdir {
        mounts::absolute(path, "`workdir`", &steps(&["spec", "task", "workdir"]), report);
    }
    stop_signal(task, report);
}

fn image(task: &TaskTemplate, report: &mut Report<'_>) {
    let outcome: Result<ImageReference, ImageError> = task.image.parse();
    if let Err(error) = outcome {
        report.fault(code::BAD_IMAGE, &steps(&["spec", "task", "image"]), error.to_string(), "");
    }
}

fn env(task: &TaskTemplate, report: &mut Report<'_>) {
    for (name, value) in &task.env {
        let path = [steps(&["spec", "task", "env"]).as_slice(), &[Step::Key(name)]].concat();
        if name.is_empty() || name.contains('=') {
            let message = format!("{name:?} cannot be the name of an environment variable");
            report.fault_name(code::MALFORMED, &path, message, "it is not empty and has no `=`");
        }
        report.template(&path, value);
    }
}

fn hostname(task: &TaskTemplate, report: &mut Report<'_>) {
    let Some(name) = &task.hostname else { return };
    let path = steps(&["spec", "task", "hostname"]);
    let Some(sample) = report.template(&path, name) else { return };
    if sample.len() > HOSTNAME_MAX_BYTES || !sample.split('.').all(is_dns_label) {
        let message = format!("{name:?} is not a host name");
        let hint = "use letters, digits and '-', with '.' between the parts";
        report.fault(code::MALFORMED, &path, message, hint);
    }
}

fn stop_signal(task: &TaskTemplate, report: &mut Report<'_>) {
    let Some(signal) = task.stop_signal.as_deref() else { return };
    if !is_signal(signal) {
        let shown: String = signal.chars().take(LABEL_MAX_BYTES).collect();
        let message = format!("{shown:?} is not a signal");
        report.fault(
            code::UNKNOWN_VALUE,
            &steps(&["spec", "task", "stopSignal"]),
            message,
            "such as SIGTERM or SIGINT",
        );
    }
}

/// A name with or without `SIG`, a number from 1 to 64, or a distance from a real-time signal.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let distance = name.strip_prefix("RTMIN+").or_else(|| name.strip_prefix("RTMAX-"));
    SIGNALS.contains(&name) || distance.is_some_and(|n| n.parse::<u8>().is_ok_and(|n| n <= 15))
}

fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
