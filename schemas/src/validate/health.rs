//! Healthchecks, in the forms that Docker knows.

use super::{Report, steps};
use crate::code;
use crate::container::{Healthcheck, TaskTemplate};
use crate::tree::Step;

const PATH: [&str; 3] = ["spec", "task", "healthcheck"];

pub(super) fn check(task: &TaskTemplate, report: &mut Report<'_>) {
    let Some(check) = &task.healthcheck else { return };
    let path = [&PATH[..], &["test"]].concat();
    if !report.is_sound(&steps(&path)) {
        return;
    }
    let form = match check.test.as_slice() {
        [] => Ok(()),
        [none] if none == "NONE" => return switched_off(check, report),
        [cmd, _, ..] if cmd == "CMD" => Ok(()),
        [shell, _] if shell == "CMD-SHELL" => Ok(()),
        [none, ..] if none == "NONE" => Err(("`NONE` stands alone", "")),
        [cmd] if cmd == "CMD" || cmd == "CMD-SHELL" => Err(("the test has no command", "")),
        [shell, ..] if shell == "CMD-SHELL" => Err((
            "`CMD-SHELL` is followed by one text, which a shell reads",
            "write the command as one text, or use `CMD`",
        )),
        [_, ..] => Err(("the test begins with CMD, CMD-SHELL or NONE", "such as [CMD, curl, -f, localhost]")),
    };
    if let Err((message, hint)) = form {
        let first = [steps(&path).as_slice(), &[Step::Item(0)]].concat();
        report.fault(code::MALFORMED, &first, message, hint);
    }
}

/// Numbers of a healthcheck that there is not.
fn switched_off(check: &Healthcheck, report: &mut Report<'_>) {
    let Healthcheck { test: _, interval, timeout, retries, start_period, start_interval } = check;
    for (name, is_set) in [
        ("interval", interval.is_some()),
        ("timeout", timeout.is_some()),
        ("retries", retries.is_some()),
        ("startPeriod", start_period.is_some()),
        ("startInterval", start_interval.is_some()),
    ] {
        if is_set {
            let message =
                format!("`{name}` does not go with `test: [NONE]`, which switches the healthcheck off");
            report.fault_name(code::CONFLICT, &steps(&[&PATH[..], &[name]].concat()), message, "remove it");
        }
    }
}
