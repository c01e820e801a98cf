//! Makes a change on the copy of a cluster, as people, or a machine that dies, would.

use std::collections::BTreeSet;
use std::sync::Arc;

use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::manifest::Manifest;
use skep_api::node::{Availability, NodeReport, NodeSpec, NodeState, NodeStatus, Session};
use skep_api::object::{Invalid, Object};

use crate::cut::Cut;
use crate::failure::{Failure, count};
use crate::sandbox::Sandbox;
use crate::sandbox::picture::service_name;
use crate::verb::scale::{Size, by_service};
use crate::verb::set::set_replicas;
use crate::verb::target::{StackArgs, node_in, nothing_in};
use crate::verb::whatif::Question;

/// Makes the change; says what it is, so that `with {it}, …` is a sentence, and what people should know beside.
pub(super) fn make(
    question: &Question,
    sandbox: &mut Sandbox,
    cut: &Cut,
) -> Result<(String, Vec<String>), Failure> {
    match question {
        Question::Scale { sizes, stack } => Ok((scale(sizes, stack, sandbox, cut)?, Vec::new())),
        Question::Drain { nodes } => Ok((drain(nodes, sandbox, cut)?, Vec::new())),
        Question::Lose { what } => lose(what, sandbox, cut),
        Question::AddNode { like, count } => Ok((add(like, *count, sandbox, cut)?, Vec::new())),
    }
}

fn scale(sizes: &[Size], stack: &StackArgs, sandbox: &mut Sandbox, cut: &Cut) -> Result<String, Failure> {
    let mut words = Vec::new();
    for (service, replicas) in by_service(sizes, stack)? {
        let key = Key::Service(service.clone());
        let Some(Object::Service(found)) = sandbox.object(&key) else {
            return Err(nothing_in(cut, &service));
        };
        let mut object = Manifest::Service(Box::new((**found).clone()));
        set_replicas(&mut object, replicas)?;
        // What etcd would not be given is not tried either.
        let tried = Object::decode(&key, &object.object().encode(&key)?);
        tried.map_err(|Invalid { reason }| Failure::Forbidden { object: object.to_string(), reason })?;
        sandbox.put(&key, object.object());
        words.push(format!("{}={}", service_name(&service), replicas));
    }
    Ok(words.join(" and "))
}

fn drain(names: &[String], sandbox: &mut Sandbox, cut: &Cut) -> Result<String, Failure> {
    let mut drained = Vec::new();
    for name in names {
        let (node, spec) = known(cut, sandbox, name)?;
        if !drained.contains(&spec.name) {
            drained.push(spec.name.clone());
        }
        sandbox.put(&Key::Node(node), NodeSpec { availability: Availability::Drain, ..(*spec).clone() });
    }
    Ok(format!("{} drained", drained.join(" and ")))
}

/// A node that is lost for good is Down. The node controller would wait first, and hold back if too many vanish at once.
fn lose(what: &[String], sandbox: &mut Sandbox, cut: &Cut) -> Result<(String, Vec<String>), Failure> {
    let mut lost = BTreeSet::new();
    for words in what {
        match words.split_once('=') {
            Some((label, value)) => lost.extend(labelled(cut, label, value)?),
            None => drop(lost.insert(known(cut, sandbox, words)?.0)),
        }
    }
    let has_session = |node: &NodeId| cut.entry(&Key::NodeSession(node.clone())).is_some();
    let alive = nodes(cut).filter(|(node, _)| has_session(node)).count();
    let vanish = lost.iter().filter(|node| has_session(node)).count();
    for node in &lost {
        let old = match sandbox.object(&Key::NodeStatus(node.clone())) {
            Some(Object::NodeStatus(status)) => (**status).clone(),
            _ => NodeStatus::default(),
        };
        let status = NodeStatus { state: NodeState::Down, since: sandbox.now(), ..old };
        sandbox.delete(&Key::NodeSession(node.clone()));
        sandbox.put(&Key::NodeStatus(node.clone()), status);
    }
    let mut notes = Vec::new();
    if vanish > 0 && (vanish == alive || vanish > (alive / 3).max(1)) {
        notes.push(format!(
            "{vanish} of {} at once look like a failure of the network, so their tasks would stay until nodes return or are \
             deleted; this is what happens then",
            count(alive, "node")
        ));
    }
    let number = if what.iter().any(|words| words.contains('=')) {
        format!(" ({})", count(lost.len(), "node"))
    } else {
        String::new()
    };
    Ok((format!("{}{number} lost", what.join(" and ")), notes))
}

fn add(like: &[String], number: u32, sandbox: &mut Sandbox, cut: &Cut) -> Result<String, Failure> {
    let name = match like {
        [name] => name,
        [word, name] if word.eq_ignore_ascii_case("like") => name,
        other => {
            let rule = "write `skep whatif add-node like NODE`".to_owned();
            return Err(Failure::Argument { argument: other.join(" "), rule });
        }
    };
    let (model, spec) = known(cut, sandbox, name)?;
    let Some(Object::NodeReport(report)) = sandbox.object(&Key::NodeReport(model)) else {
        let rule = "its agent has not said yet what the machine has".to_owned();
        return Err(Failure::Argument { argument: spec.name.clone(), rule });
    };
    let report = Arc::clone(report);
    let taken: BTreeSet<&str> = nodes(cut).map(|(_, spec)| spec.name.as_str()).collect();
    let names = (1_u32..).map(|number| format!("new-{number}")).filter(|name| !taken.contains(name.as_str()));
    let ids = (1_u64..).map(|number| NodeId::from_random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let fresh: Vec<NodeId> = ids
        .filter(|id| cut.entry(&Key::Node(id.clone())).is_none())
        .take(usize::try_from(number).unwrap_or(usize::MAX))
        .collect();
    for (id, name) in fresh.into_iter().zip(names) {
        let spec = NodeSpec { name: name.clone(), availability: Availability::Active, ..(*spec).clone() };
        let report = NodeReport {
            hostname: name,
            disk_pressure: None,
            clock_asked: None,
            clock_skew_ms: None,
            ..(*report).clone()
        };
        join(sandbox, &id, spec, report);
    }
    Ok(match number {
        1 => format!("another node like {}", spec.name),
        many => format!("{many} more nodes like {}", spec.name),
    })
}

/// Lets a machine join.
pub(crate) fn join(sandbox: &mut Sandbox, node: &NodeId, spec: NodeSpec, report: NodeReport) {
    let session = Session { holder: spec.name.clone(), since: sandbox.now() };
    sandbox.put(&Key::Node(node.clone()), spec);
    sandbox.put(&Key::NodeReport(node.clone()), report);
    sandbox.put(&Key::NodeSession(node.clone()), session);
}

/// Every node whose spec decodes.
fn nodes(cut: &Cut) -> impl Iterator<Item = (&NodeId, &NodeSpec)> {
    cut.iter().filter_map(|(key, entry)| match (key, &entry.value) {
        (Key::Node(node), Ok(Object::Node(spec))) => Some((node, &**spec)),
        _ => None,
    })
}

/// The nodes with this label.
fn labelled(cut: &Cut, label: &str, value: &str) -> Result<Vec<NodeId>, Failure> {
    let name = label.strip_prefix("node.labels.").unwrap_or(label);
    let has = |spec: &NodeSpec| spec.labels.get(name).is_some_and(|found| found == value);
    let found: Vec<NodeId> = nodes(cut).filter(|(_, spec)| has(spec)).map(|(node, _)| node.clone()).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let values: BTreeSet<&String> = nodes(cut).filter_map(|(_, spec)| spec.labels.get(name)).collect();
    let known = if values.is_empty() {
        format!("no node has the label {name}")
    } else {
        let values: Vec<&str> = values.into_iter().map(String::as_str).take(10).collect();
        format!("of {name} there are {}", values.join(", "))
    };
    Err(Failure::NotFound(vec![format!("no node has {name}={value}: {known}")]))
}

fn known(cut: &Cut, sandbox: &Sandbox, name: &str) -> Result<(NodeId, Arc<NodeSpec>), Failure> {
    let name = name.strip_prefix("node/").or(name.strip_prefix("no/")).unwrap_or(name);
    let node = node_in(cut, name)?;
    if let Some(Object::Node(spec)) = sandbox.object(&Key::Node(node.clone())) {
        return Ok((node, Arc::clone(spec)));
    }
    let rule = "what people wrote of this node does not decode".to_owned();
    Err(Failure::Argument { argument: name.to_owned(), rule })
}
