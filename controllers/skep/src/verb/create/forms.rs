//! Values of Docker's options as values of a manifest.

use serde_json::{Map, Value, json};
use skep_api::quantity::Memory;

use crate::verb::set::assign::Assignment;
use crate::verb::set::field::object;

/// What a value of an option looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text as it is.
    Text,
    /// A whole number from 0 on.
    Number,
    /// A whole number.
    Integer,
    /// `256m`, `1g`: in powers of 1024; or `256Mi`.
    Memory,
    /// A switch.
    Yes,
    /// One item of a list.
    Item,
    /// One item of a list of things with a name.
    Named,
    /// KEY=VALUE.
    Pair,
    /// KEY=VALUE, or KEY for this shell's value.
    Env,
    /// A file of those.
    EnvFile,
    /// Words as a shell splits them.
    Words,
    /// A command for a shell.
    Shell,
    /// A switch: no healthcheck.
    NoHealth,
    /// A published port.
    Port,
    /// A mount.
    Mount,
    /// NAME=SOFT[:HARD].
    Ulimit,
    /// NAME:IP.
    Host,
    /// spread=LABEL.
    Spread,
}

impl Form {
    /// Whether it has no value.
    pub(super) fn is_switch(self) -> bool {
        matches!(self, Self::Yes | Self::NoHealth)
    }

    /// Whether it may be given several times.
    pub(super) fn is_list(self) -> bool {
        match self {
            Self::Item
            | Self::Named
            | Self::Pair
            | Self::Env
            | Self::EnvFile
            | Self::Port
            | Self::Mount
            | Self::Ulimit
            | Self::Host
            | Self::Spread => true,
            Self::Text
            | Self::Number
            | Self::Integer
            | Self::Memory
            | Self::Yes
            | Self::Words
            | Self::Shell
            | Self::NoHealth => false,
        }
    }

    /// What stands for the value in the help.
    pub(super) fn value_name(self) -> &'static str {
        match self {
            Self::Number | Self::Integer => "N",
            Self::Memory => "BYTES",
            Self::Pair | Self::Env => "KEY=VALUE",
            Self::EnvFile => "FILE",
            Self::Words | Self::Shell => "COMMAND",
            Self::Port => "PORT",
            Self::Mount => "MOUNT",
            Self::Ulimit => "NAME=SOFT:HARD",
            Self::Host => "NAME:IP",
            Self::Text | Self::Yes | Self::Item | Self::Named | Self::NoHealth | Self::Spread => "VALUE",
        }
    }
}

/// Writes one value at `path`.
///
/// # Errors
/// What the value should look like.
pub(super) fn write(document: &mut Value, path: &str, form: Form, value: &str) -> Result<(), String> {
    match form {
        Form::Text => put(document, path, json!(value)),
        Form::Yes => put(document, path, json!(true)),
        Form::NoHealth => put(document, path, json!(["NONE"])),
        Form::Shell if value.is_empty() => put(document, path, json!([])),
        Form::Shell => put(document, path, json!(["CMD-SHELL", value])),
        Form::Number => put(document, path, json!(value.parse::<u32>().map_err(|_| "it is not a number")?)),
        Form::Integer => put(document, path, json!(value.parse::<i32>().map_err(|_| "it is not a number")?)),
        Form::Memory => put(document, path, json!(memory(value)?)),
        Form::Words => put(document, path, json!(words(value)?)),
        Form::Item => add(document, path, json!(value)),
        Form::Named => add(document, path, json!({"name": value})),
        Form::Mount => add(document, path, mount(value)?),
        Form::Ulimit => add(document, path, ulimit(value)?),
        Form::Port => port(value)?.into_iter().for_each(|port| add(document, path, port)),
        Form::Spread => {
            let label = value.strip_prefix("spread=").ok_or("write spread=node.labels.KEY")?;
            add(document, path, json!(label));
        }
        Form::Host => {
            let (name, address) = value.split_once(':').ok_or("write NAME:IP")?;
            insert(document, path, name, address);
        }
        Form::Pair => match value.parse::<Assignment>() {
            Ok(Assignment::Put(key, value)) => insert(document, path, &key, &value),
            Ok(Assignment::Remove(_)) | Err(_) if value.starts_with('=') => {
                return Err("write KEY=VALUE".to_owned());
            }
            // Docker takes a label without a value.
            Ok(Assignment::Remove(_)) | Err(_) => insert(document, path, value, ""),
        },
        Form::Env => env(document, path, value)?,
        Form::EnvFile => {
            let text = std::fs::read_to_string(value).map_err(|error| error.to_string())?;
            let lines = text.lines().map(str::trim_start);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                env(document, path, line)?;
            }
        }
    }
    Ok(())
}

/// What Docker derives from several options together.
pub(super) fn finish(document: &mut Value) {
    let is_job = document.pointer("/spec/mode").and_then(Value::as_str) == Some("replicated-job");
    let replicas = document.pointer("/spec/replicas").cloned();
    if let (true, Some(replicas)) = (is_job, replicas) {
        put(document, "spec.job.completions", replicas);
        if let Some(Value::Object(spec)) = document.get_mut("spec") {
            spec.remove("replicas");
        }
    }
}

/// Puts `value` at `path`.
pub(super) fn put(document: &mut Value, path: &str, value: Value) {
    *at(document, path) = value;
}

fn add(document: &mut Value, path: &str, value: Value) {
    let list = at(document, path);
    match list {
        Value::Array(items) => items.push(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            *list = json!([value]);
        }
    }
}

fn insert(document: &mut Value, path: &str, key: &str, value: &str) {
    object(at(document, path)).insert(key.to_owned(), json!(value));
}

/// The place at `path`; mappings on the way are made.
fn at<'a>(document: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(document, |value, name| object(value).entry(name).or_insert(Value::Null))
}

fn env(document: &mut Value, path: &str, text: &str) -> Result<(), String> {
    match text.split_once('=') {
        Some(("", _)) => return Err("write KEY=VALUE, or KEY for this shell's value".to_owned()),
        Some((key, value)) => insert(document, path, key, value),
        None => {
            if let Ok(value) = std::env::var(text) {
                insert(document, path, text, &value);
            }
        }
    }
    Ok(())
}

/// Docker's units are powers of 1024, whatever their case (docker/go-units, `RAMInBytes`).
fn memory(text: &str) -> Result<String, String> {
    if let Ok(memory) = text.parse::<Memory>() {
        return Ok(memory.to_string());
    }
    let lower = text.to_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("{text:?} is not an amount of memory: write 256m or 1g")),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    let bytes = bytes.ok_or_else(|| format!("{text:?} is not an amount of memory: write 256m or 1g"))?;
    Ok(Memory::from_bytes(bytes).to_string())
}

/// Words with quotes and backslashes, as a shell reads them; nothing is expanded.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut is_open) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => (quote, is_open) = (Some(character), true),
            (None | Some('"'), '\\') => {
                word.extend(characters.next());
                is_open = true;
            }
            (None, _) if character.is_whitespace() => {
                if is_open {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            _ => {
                word.push(character);
                is_open = true;
            }
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    if is_open {
        words.push(word);
    }
    Ok(words)
}

/// Ports, short (`[PUBLISHED:]TARGET[/PROTOCOL]`, also as ranges) or long (`published=,target=,protocol=,mode=`).
fn port(text: &str) -> Result<Vec<Value>, String> {
    if text.contains('=') {
        return long_port(text).map(|port| vec![port]);
    }
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, Some(protocol)),
        None => (text, None),
    };
    let (published, target) = match ports.rsplit_once(':') {
        Some((published, _)) if published.contains(':') => return Err("hostip is not supported".to_owned()),
        Some((published, target)) => (Some(range(published)?), range(target)?),
        None => (None, range(ports)?),
    };
    if published.as_ref().is_some_and(|published| published.len() != target.len()) {
        return Err("the two ranges have different lengths".to_owned());
    }
    let port = |(index, target): (usize, u16)| {
        let mut port = json!({});
        if let Some(published) = published.as_ref().and_then(|ports| ports.clone().nth(index)) {
            put(&mut port, "published", json!(published));
        }
        put(&mut port, "target", json!(target));
        if let Some(protocol) = protocol {
            put(&mut port, "protocol", json!(protocol));
        }
        put(&mut port, "mode", json!("host"));
        port
    };
    Ok(target.enumerate().map(port).collect())
}

fn range(text: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("{text:?} is not a port"));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last { Err(format!("{text:?} is not a range of ports")) } else { Ok(first..=last) }
}

fn long_port(text: &str) -> Result<Value, String> {
    let mut port = Map::new();
    for (key, value) in options(text) {
        let number = || value.parse::<u16>().map_err(|_| format!("{value:?} is not a port"));
        match key {
            "published" | "target" => port.insert(key.to_owned(), json!(number()?)),
            "protocol" | "mode" => port.insert(key.to_owned(), json!(value)),
            _ => return Err(format!("{key:?} is not known: use published, target, protocol and mode")),
        };
    }
    port.entry("mode").or_insert_with(|| json!("host"));
    Ok(Value::Object(port))
}

/// `key=value,key,…`; a key alone is true.
fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').map(|part| part.split_once('=').unwrap_or((part, "true")))
}

fn mount(text: &str) -> Result<Value, String> {
    let mut mount = json!({});
    for (key, value) in options(text) {
        let is_true = || {
            value.parse::<bool>().or(if value == "1" {
                Ok(true)
            } else if value == "0" {
                Ok(false)
            } else {
                Err(format!("{key} is true or false"))
            })
        };
        let pair = || value.split_once('=').unwrap_or((value, ""));
        match key {
            "type" => put(&mut mount, "type", json!(value)),
            "source" | "src" => put(&mut mount, "source", json!(value)),
            "target" | "dst" | "destination" => put(&mut mount, "target", json!(value)),
            "readonly" | "ro" => put(&mut mount, "readOnly", json!(is_true()?)),
            "consistency" => put(&mut mount, "consistency", json!(value)),
            "bind-propagation" => put(&mut mount, "propagation", json!(value)),
            "bind-nonrecursive" => put(&mut mount, "nonRecursive", json!(is_true()?)),
            "bind-create-src" | "bind-create-mountpoint" => {
                put(&mut mount, "createMountpoint", json!(is_true()?));
            }
            "volume-driver" => put(&mut mount, "driver", json!(value)),
            "volume-nocopy" => put(&mut mount, "noCopy", json!(is_true()?)),
            "volume-subpath" => put(&mut mount, "subpath", json!(value)),
            "volume-opt" => insert(&mut mount, "driverOptions", pair().0, pair().1),
            "volume-label" => insert(&mut mount, "labels", pair().0, pair().1),
            "tmpfs-size" => put(&mut mount, "size", json!(memory(value)?)),
            "tmpfs-mode" => put(&mut mount, "mode", json!(value)),
            _ => return Err(format!("{key:?} is not an option of a mount")),
        }
    }
    Ok(mount)
}

fn ulimit(text: &str) -> Result<Value, String> {
    let (name, limits) = text.split_once('=').ok_or("write NAME=SOFT[:HARD]")?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("{text:?} is not a number"));
    Ok(json!({"name": name, "soft": number(soft)?, "hard": number(hard)?}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let split = |text: &str| words(text).unwrap();
        assert_eq!(split("sh -c 'echo \"a b\"' x\\ y \"\""), ["sh", "-c", "echo \"a b\"", "x y", ""]);
        assert!(words("'a").is_err());
        assert!(split("  ").is_empty());
    }

    #[test]
    fn ports_are_written_as_in_docker() {
        let two = port("8080-8081:80-81/udp").unwrap();
        assert_eq!(two[1], json!({"published": 8081, "target": 81, "protocol": "udp", "mode": "host"}));
        assert_eq!(port("80").unwrap(), [json!({"target": 80, "mode": "host"})]);
        assert_eq!(port("target=80,mode=ingress").unwrap(), [json!({"target": 80, "mode": "ingress"})]);
        for wrong in ["", "x", "1:2:3", "80:81-82", "70000", "82-81", "colour=red"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dockers_units_of_memory_are_powers_of_1024() {
        for (text, memory_text) in
            [("256m", "256Mi"), ("1G", "1Gi"), ("64MB", "64Mi"), ("512Mi", "512Mi"), ("2048k", "2Mi")]
        {
            assert_eq!(memory(text).unwrap(), memory_text);
        }
    }
}
