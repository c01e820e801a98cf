//! Docker's options of `service create`, each with the field of the manifest that it becomes.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use serde_json::Value;

use crate::failure::Failure;
use crate::verb::create::forms::{self, Form};

/// An option.
struct Flag {
    name: &'static str,
    short: Option<char>,
    /// Where it goes.
    path: &'static str,
    form: Form,
    help: &'static str,
}

const fn flag(name: &'static str, path: &'static str, form: Form, help: &'static str) -> Flag {
    Flag { name, short: None, path, form, help }
}

const fn short(name: &'static str, short: char, path: &'static str, form: Form, help: &'static str) -> Flag {
    Flag { name, short: Some(short), path, form, help }
}

/// The names are docker/cli's (cli/command/service/opts.go).
const FLAGS: &[Flag] = &[
    flag("mode", "spec.mode", Form::Text, "replicated (the default), global, replicated-job or global-job"),
    flag("replicas", "spec.replicas", Form::Number, "How many tasks; of a job, how many runs must succeed"),
    flag("max-concurrent", "spec.job.maxConcurrent", Form::Number, "How many runs of a job at once"),
    short(
        "publish",
        'p',
        "spec.ports",
        Form::Port,
        "A port: 8080:80, 53:53/udp, published=8080,target=80,mode=host",
    ),
    short("env", 'e', "spec.task.env", Form::Env, "An environment variable; KEY alone takes this shell's"),
    flag("env-file", "spec.task.env", Form::EnvFile, "A file with environment variables"),
    short("label", 'l', "metadata.labels", Form::Pair, "A label of the service"),
    flag("container-label", "spec.task.labels", Form::Pair, "A label of the containers"),
    flag("mount", "spec.task.mounts", Form::Mount, "type=bind|volume|tmpfs,src=…,dst=…[,ro]…"),
    flag("constraint", "spec.placement.constraints", Form::Item, "What a node must be: node.labels.zone==a"),
    flag("placement-pref", "spec.placement.spread", Form::Spread, "spread=node.labels.zone"),
    flag(
        "replicas-max-per-node",
        "spec.placement.maxReplicasPerNode",
        Form::Number,
        "The most tasks on one node",
    ),
    flag("network", "spec.task.networks", Form::Named, "A network that the containers are attached to"),
    flag("endpoint-mode", "spec.endpointMode", Form::Text, "vip (the default) or dnsrr"),
    flag("entrypoint", "spec.task.command", Form::Words, "The program that runs, instead of the image's"),
    flag("user", "spec.task.user", Form::Text, "The user and group of the process"),
    flag("group", "spec.task.groups", Form::Item, "One more group of the process"),
    flag("workdir", "spec.task.workdir", Form::Text, "The directory in which the process starts"),
    flag("hostname", "spec.task.hostname", Form::Text, "The host name in the container"),
    flag("host", "spec.task.hosts", Form::Host, "A line of /etc/hosts: NAME:IP"),
    flag("dns", "spec.task.dns.nameservers", Form::Item, "A resolver"),
    flag("dns-search", "spec.task.dns.search", Form::Item, "A domain to search"),
    flag("dns-option", "spec.task.dns.options", Form::Item, "An option of the resolver"),
    flag("init", "spec.task.init", Form::Yes, "Let an init process reap children and pass signals on"),
    flag("tty", "spec.task.tty", Form::Yes, "Give it a terminal"),
    flag("read-only", "spec.task.readOnly", Form::Yes, "Make its root file system read-only"),
    flag("stop-signal", "spec.task.stopSignal", Form::Text, "The signal that asks it to end"),
    flag("stop-grace-period", "spec.task.stopGracePeriod", Form::Text, "How long it may take to end"),
    flag("sysctl", "spec.task.sysctls", Form::Pair, "A kernel setting"),
    flag("ulimit", "spec.task.ulimits", Form::Ulimit, "A limit of the process: nofile=1024:2048"),
    flag("cap-add", "spec.task.capAdd", Form::Item, "A capability to give"),
    flag("cap-drop", "spec.task.capDrop", Form::Item, "A capability to take"),
    flag(
        "oom-score-adj",
        "spec.task.oomScoreAdj",
        Form::Integer,
        "How readily the kernel kills it, -1000 to 1000",
    ),
    flag("limit-cpu", "spec.task.resources.limits.cpus", Form::Text, "The most cores that it may use"),
    flag(
        "limit-memory",
        "spec.task.resources.limits.memory",
        Form::Memory,
        "The most memory that it may use",
    ),
    flag(
        "limit-pids",
        "spec.task.resources.limits.pids",
        Form::Number,
        "The most processes that it may have",
    ),
    flag("reserve-cpu", "spec.task.resources.reservations.cpus", Form::Text, "Cores that are set aside"),
    flag(
        "reserve-memory",
        "spec.task.resources.reservations.memory",
        Form::Memory,
        "Memory that is set aside",
    ),
    flag("memory-swap", "spec.task.resources.swap", Form::Memory, "Swap that it may use"),
    flag(
        "memory-swappiness",
        "spec.task.resources.memorySwappiness",
        Form::Integer,
        "How readily it is swapped, 0 to 100",
    ),
    flag("log-driver", "spec.task.logging.driver", Form::Text, "Docker's logging driver"),
    flag("log-opt", "spec.task.logging.options", Form::Pair, "An option of the logging driver"),
    flag("health-cmd", "spec.task.healthcheck.test", Form::Shell, "The command that asks for its health"),
    flag("health-interval", "spec.task.healthcheck.interval", Form::Text, "How often"),
    flag("health-timeout", "spec.task.healthcheck.timeout", Form::Text, "How long an answer may take"),
    flag(
        "health-retries",
        "spec.task.healthcheck.retries",
        Form::Number,
        "How many failures in a row are too many",
    ),
    flag(
        "health-start-period",
        "spec.task.healthcheck.startPeriod",
        Form::Text,
        "How long failures do not count",
    ),
    flag("health-start-interval", "spec.task.healthcheck.startInterval", Form::Text, "How often during that"),
    flag("no-healthcheck", "spec.task.healthcheck.test", Form::NoHealth, "Not even the image's healthcheck"),
    flag("restart-condition", "spec.restart.condition", Form::Text, "none, on-failure or any (the default)"),
    flag("restart-delay", "spec.restart.delay", Form::Text, "How long to wait before a restart"),
    flag(
        "restart-max-attempts",
        "spec.restart.maxAttempts",
        Form::Number,
        "How many restarts before giving up",
    ),
    flag("restart-window", "spec.restart.window", Form::Text, "How far back attempts count"),
    flag(
        "update-parallelism",
        "spec.update.parallelism",
        Form::Number,
        "How many tasks are replaced at once; 0 is all",
    ),
    flag("update-delay", "spec.update.delay", Form::Text, "How long to wait after each batch"),
    flag("update-order", "spec.update.order", Form::Text, "stop-first (the default) or start-first"),
    flag("update-monitor", "spec.update.monitor", Form::Text, "How long a new task is watched for failure"),
    flag(
        "update-failure-action",
        "spec.update.failureAction",
        Form::Text,
        "pause (the default), continue or rollback",
    ),
    flag(
        "update-max-failure-ratio",
        "spec.update.maxFailureRatio",
        Form::Text,
        "The part of the tasks that may fail",
    ),
    flag(
        "rollback-parallelism",
        "spec.rollback.parallelism",
        Form::Number,
        "The same, when an update is taken back",
    ),
    flag("rollback-delay", "spec.rollback.delay", Form::Text, ""),
    flag("rollback-order", "spec.rollback.order", Form::Text, ""),
    flag("rollback-monitor", "spec.rollback.monitor", Form::Text, ""),
    flag(
        "rollback-failure-action",
        "spec.rollback.failureAction",
        Form::Text,
        "pause (the default) or continue",
    ),
    flag("rollback-max-failure-ratio", "spec.rollback.maxFailureRatio", Form::Text, ""),
];

/// The options that were given, in the order of the table.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    given: Vec<(usize, Vec<String>)>,
}

impl Flags {
    /// Writes what was given into a manifest; whether a port was published without a mode.
    ///
    /// # Errors
    /// [`Failure::Argument`] for a value that is none.
    pub(super) fn write(&self, document: &mut Value) -> Result<bool, Failure> {
        let mut has_published = false;
        for (index, values) in &self.given {
            let Some(flag) = FLAGS.get(*index) else { continue };
            for value in values {
                let wrong =
                    |rule: String| Failure::Argument { argument: format!("--{} {value}", flag.name), rule };
                has_published |= flag.form == Form::Port && !value.contains("mode=");
                forms::write(document, flag.path, flag.form, value).map_err(wrong)?;
            }
        }
        Ok(has_published)
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let arg = |flag: &Flag| {
            let arg = Arg::new(flag.name)
                .long(flag.name)
                .help(flag.help)
                .help_heading("As `docker service create`");
            let arg = match flag.short {
                Some(short) => arg.short(short),
                None => arg,
            };
            if flag.form.is_switch() {
                return arg.action(ArgAction::SetTrue);
            }
            let arg = arg.allow_hyphen_values(flag.form == Form::Integer).value_name(flag.form.value_name());
            arg.action(if flag.form.is_list() { ArgAction::Append } else { ArgAction::Set })
        };
        FLAGS.iter().fold(command, |command, flag| command.arg(arg(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for (index, flag) in FLAGS.iter().enumerate() {
            let values: Vec<String> = if flag.form.is_switch() {
                matches.get_flag(flag.name).then(|| "true".to_owned()).into_iter().collect()
            } else {
                matches.get_many::<String>(flag.name).into_iter().flatten().cloned().collect()
            };
            if !values.is_empty() {
                self.given.push((index, values));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skep_api::code;
    use skep_api::manifest::{self, Source};
    use skep_api::problem::Problem;

    use super::*;

    /// Fields are named by hand here: a typing error would be a field that nobody knows.
    #[test]
    fn every_option_leads_to_a_field_that_there_is() {
        for flag in FLAGS {
            let value = match flag.form {
                Form::Number | Form::Integer => "1",
                Form::Memory => "64m",
                Form::Port => "80",
                Form::Mount => "dst=/x",
                Form::Ulimit => "nofile=1",
                Form::Host => "a:10.0.0.1",
                Form::Spread => "spread=node.labels.a",
                Form::EnvFile => "/dev/null",
                Form::Env | Form::Pair => "a=b",
                Form::Yes | Form::NoHealth => "true",
                Form::Text | Form::Item | Form::Named | Form::Words | Form::Shell => "x",
            };
            let mut document = json!({
                "apiVersion": "skep/v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"task": {"image": "a"}},
            });
            forms::write(&mut document, flag.path, flag.form, value).unwrap();
            let reading = manifest::read(&[Source::new("x", document.to_string())]);
            let is_unknown = |problem: &&Problem| problem.code.id == code::UNKNOWN_FIELD.id;
            let unknown = reading.problems.iter().find(is_unknown);
            assert!(unknown.is_none(), "--{}: {}", flag.name, unknown.unwrap());
        }
    }
}
