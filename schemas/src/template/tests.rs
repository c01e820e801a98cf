use proptest::prelude::*;

use super::*;

fn facts_of<'a>(service_labels: &'a Labels, node: &'a NodeSpec, platform: &'a Platform) -> Facts<'a> {
    Facts {
        service_id: "service-id",
        service_name: "shop_web",
        service_labels,
        node_id: "node-id",
        node_hostname: "host-1",
        node: Some(node),
        platform,
        task_id: "task-id",
        task_name: "shop_web.2.abc",
        task_slot: "2",
    }
}

fn node() -> NodeSpec {
    crate::yaml::from_str("{name: n1, labels: {zone: b, my-disk: ssd}}").unwrap()
}

fn expanded(text: &str) -> Result<String, String> {
    let labels = Labels::from([("tier".to_owned(), "front".to_owned()), ("a.b".to_owned(), "c".to_owned())]);
    let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() };
    expand(text, &facts_of(&labels, &node(), &platform))
}

/// Swarm 2.5: every field that there is, and labels of nodes besides.
#[test]
fn every_field_has_its_value() {
    for (text, value) in [
        ("no template", "no template"),
        ("{{.Service.ID}} {{.Service.Name}} {{.Service.Labels.tier}}", "service-id shop_web front"),
        ("{{.Node.ID}}-{{.Node.Hostname}}-{{.Node.Name}}", "node-id-host-1-n1"),
        ("{{ .Node.Platform.OS }}/{{.Node.Platform.Architecture}}", "linux/amd64"),
        ("{{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}", "task-id shop_web.2.abc 2"),
        ("{{index .Service.Labels \"a.b\"}}{{index .Node.Labels `my-disk`}}{{.Node.Labels.zone}}", "cssdb"),
        ("{{join \"-\" .Service.Name .Task.Slot}}", "shop_web-2"),
        ("{{join \", \" (index .Node.Labels \"zone\") (join \"\" \"x\" .Task.Slot)}}", "b, x2"),
        ("a  {{- .Task.Slot -}}  b {{ .Task.Slot }} c", "a2b 2 c"),
        ("{{\"{{\"}} }} \"quoted\"", "{{ }} \"quoted\""),
        ("é{{.Task.Slot}}🦀", "é2🦀"),
    ] {
        assert_eq!(expanded(text).as_deref(), Ok(value), "{text}");
    }
}

/// Swarm 2.5: a missing map key is an error; `index` of one is empty, as Go has it.
#[test]
fn a_label_that_is_missing_is_told() {
    let error = expanded("{{.Node.Labels.rack}}").unwrap_err();
    assert_eq!(error, "the node n1 has no label \"rack\", which a template names");
    let error = expanded("{{.Service.Labels.rack}}").unwrap_err();
    assert!(error.starts_with("the service shop_web has no label"), "{error}");
    assert_eq!(expanded("<{{index .Node.Labels \"rack\"}}>").as_deref(), Ok("<>"));
    let (labels, platform, node) = (Labels::new(), Platform::default(), node());
    let facts = Facts { node: None, ..facts_of(&labels, &node, &platform) };
    assert!(expand("{{.Node.Labels.zone}}", &facts).unwrap_err().contains("its spec cannot be read"));
    assert_eq!(expand("{{.Node.ID}}", &facts).as_deref(), Ok("node-id"));
}

/// Swarm 12.25: a template is judged when it is applied, and the error says where.
#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, at, wrong, words) in [
        ("ab {{.Task.Slott}}", 5, ".Task.Slott", "did you mean `.Task.Slot`?"),
        ("{{.Cluster.ID}}", 2, ".Cluster.ID", "there are .Service."),
        ("{{.Service}}", 2, ".Service", "knows no `.Service`"),
        ("{{.Node.Labels}}", 2, ".Node.Labels", "write `index .Node.Labels \"KEY\"`"),
        ("{{.Service.Labels.a.b}}", 2, ".Service.Labels.a.b", "write `index .Service.Labels \"KEY\"`"),
        ("{{.Service.Labels.my-label}}", 20, "-label", "not expected here"),
        ("x{{.Task.Slot", 1, "{{", "is not closed"),
        ("x{{", 1, "{{", "is not closed"),
        ("{{}}", 2, "}}", "a value is wanted"),
        ("{{if .Task.Slot}}", 2, "if", "not supported in a template"),
        ("{{.Task.Slot | printf \"%d\"}}", 13, "|", "pipes"),
        ("{{index .Node.Labels}}", 2, "index .Node.Labels", "wants labels and a key"),
        ("{{index .Task \"x\"}}", 2, "index .Task \"x\"", "wants labels and a key"),
        ("{{join \"-\"}}", 2, "join", "wants a separator and values"),
        ("{{\"abc}}", 2, "\"", "does not end"),
        ("{{\"a\\x\"}}", 4, "\\x", "escape"),
        ("{{(.Task.Slot}}", 13, "}}", "`)` is wanted"),
        ("{{((((((((((.Task.Slot))))))))))}}", 11, "(.Task.Slot))))))))))", "too deep"),
    ] {
        let error = text.parse::<Template>().unwrap_err();
        let found = &text[error.at..error.at + error.length];
        assert_eq!((error.at, found), (at, wrong), "{text}: {error:?}");
        assert!(format!("{error} {}", error.hint).contains(words), "{text}: {error:?}");
    }
}

#[test]
fn a_sample_shows_the_form_that_a_text_will_have() {
    let sample = |text: &str| text.parse::<Template>().unwrap().sample();
    assert_eq!(sample("/srv/{{.Task.Slot}}/{{.Node.Labels.zone}}").as_deref(), Some("/srv/x0/x0"));
    assert_eq!(sample("{{.Node.Labels.path}}/x"), None, "a label may hold anything, a path too");
}

#[test]
fn only_labels_that_templates_name_are_kept() {
    let task: TaskTemplate = crate::yaml::from_str(
        "{image: a, env: {A: '{{.Service.Labels.tier}}', B: '{{broken'}, args: ['{{.Service.Labels.args}}'], \
         mounts: [{target: /x, labels: {l: '{{join \"-\" .Task.Slot (index .Service.Labels \"a.b\")}}'}}]}",
    )
    .unwrap();
    let labels: Labels =
        ["tier", "a.b", "args", "other"].map(|key| (key.to_owned(), "x".to_owned())).into_iter().collect();
    let named: Vec<String> = named_labels(&task, &labels).into_keys().collect();
    assert_eq!(named, ["a.b", "tier"], "args are not expanded");
}

/// Values as they can be written.
fn value() -> impl Strategy<Value = Value> {
    let owner = || prop::sample::select(vec![Owner::Service, Owner::Node]);
    let leaf = prop_oneof![
        "[^\u{0}]{0,8}".prop_map(Value::Literal),
        prop::sample::select(FIELDS.map(|(_, field)| field).to_vec()).prop_map(Value::Field),
        (owner(), "[a-zA-Z_][a-zA-Z0-9_]{0,6}").prop_map(|(owner, key)| Value::Label {
            owner,
            key,
            is_required: true
        }),
        (owner(), "[^\u{0}]{0,8}").prop_map(|(owner, key)| Value::Label { owner, key, is_required: false }),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        (inner.clone(), prop::collection::vec(inner, 1..4))
            .prop_map(|(separator, items)| Value::Join { separator: Box::new(separator), items })
    })
}

fn template() -> impl Strategy<Value = Template> {
    let part = prop_oneof![value().prop_map(Part::Value), "[a-z \n}é\"]{1,6}".prop_map(Part::Text)];
    prop::collection::vec(part, 0..5).prop_map(|parts| {
        let mut merged: Vec<Part> = Vec::new();
        for part in parts {
            match (merged.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
                (_, part) => merged.push(part),
            }
        }
        Template { parts: merged }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_as_itself(template in template()) {
        prop_assert_eq!(template.to_string().parse::<Template>(), Ok(template));
    }

    #[test]
    fn no_text_is_too_odd_to_be_judged(text in r#"([{}.()"`\\ -]|\{\{|\}\}|\PC|index|join|\.Node\.Labels|\.Task\.Slot){0,24}"#) {
        match text.parse::<Template>() {
            Ok(template) => prop_assert_eq!(&template.to_string().parse::<Template>(), &Ok(template)),
            Err(error) => {
                let end = error.at + error.length;
                prop_assert!(text.get(error.at..end).is_some(), "{error:?} in {text:?}");
            }
        }
    }
}
