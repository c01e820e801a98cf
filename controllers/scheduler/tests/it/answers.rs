//! What people are told who ask why.

use skep_api::key::Place;
use skep_api::time::Timestamp;
use skep_scheduler::{Answer, SchedulerWorld, Why};

use crate::cluster::*;

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn why(world: &SchedulerWorld) -> Vec<Why> {
    world.tasks_to_explain(&uid("web")).iter().map(|key| world.why(key, now()).unwrap()).collect()
}

fn web(constraints: &str, tasks: u32) -> Cluster {
    let mut cluster = cluster();
    for (number, zone) in [(1, "a"), (2, "b"), (3, "a")] {
        add_node_with(&mut cluster, number, 100, labelled(number, "zone", zone));
    }
    add_service(&mut cluster, "web", 25);
    set_placement(&mut cluster, "web", constraints);
    add_tasks(&mut cluster, "web", tasks);
    cluster
}

#[test]
fn a_task_that_waits_is_told_as_in_its_status() {
    let mut cluster = web("constraints: [node.labels.zone == c]", 1);
    cluster.settle();
    let status = status_of(&cluster, &pending("web", 1, 1)).unwrap();
    let answers = why(&cluster.world);
    let (error, obstacles, remedy) = (status.error.unwrap(), status.obstacles, status.remedy);
    assert!(remedy.is_some());
    assert_eq!(answers[0].answer, Answer::Waiting { error, obstacles, remedy });
}

#[test]
fn a_task_that_is_about_to_be_placed_is_told_where() {
    let cluster = web("constraints: [node.labels.zone == b]", 2);
    let answers = why(&cluster.world);
    assert_eq!(answers.len(), 2);
    for why in answers {
        let Answer::Soon { node } = why.answer else { panic!("{why:?}") };
        assert_eq!((node.node.as_str(), node.score.tasks), ("n2", 0));
    }
}

#[test]
fn a_placed_task_is_told_with_its_node_as_it_would_be_without_it_beside_the_best_others() {
    let mut cluster = web("constraints: [node.labels.zone == a]", 3);
    cluster.settle();
    let answers = why(&cluster.world);
    assert_eq!(answers.len(), 3);
    for why in answers {
        let Answer::Placed { node, others, is_own, .. } = why.answer else { panic!("{why:?}") };
        let others: Vec<_> =
            others.iter().map(|other| (other.node.as_str(), other.score.tasks_of_service)).collect();
        let expected = if node.node == "n1" { ("n1", 1, ("n3", 1)) } else { ("n3", 0, ("n1", 2)) };
        assert_eq!(
            (node.node.as_str(), node.score.tasks_of_service, others),
            (expected.0, expected.1, vec![expected.2])
        );
        assert!(!is_own);
    }
}

#[test]
fn every_filter_is_told_with_its_verdict_and_the_score() {
    let mut cluster = web("constraints: [node.labels.zone == a], maxReplicasPerNode: 1", 2);
    cluster.settle();
    let told = |number| {
        let answer = cluster.world.why_not(&uid("web"), &node_id(number), now()).unwrap();
        let missed = answer.filters.iter().filter(|verdict| !verdict.passed);
        let missed: Vec<_> = missed.map(|verdict| (verdict.filter, verdict.missing.clone())).collect();
        (answer.filters.len(), missed, answer.fits, answer.node.score.reserved)
    };
    let label = "does not meet node.labels.zone == a".to_owned();
    assert_eq!(told(2), (9, vec![("constraints", label)], false, 0));
    let full = "has 1 task of the service already".to_owned();
    assert_eq!(told(1), (9, vec![("max-replicas", full)], false, 250));
    set_placement(&mut cluster, "web", "");
    let answer = cluster.world.why_not(&uid("web"), &node_id(1), now()).unwrap();
    assert!(answer.fits);
    assert_eq!(answer.best.unwrap().node, "n2", "that is why not");
    assert!(cluster.world.why_not(&uid("web"), &node_id(9), now()).is_err());
    let gone = pending("web", 9, 9).at(Place::Node(node_id(1)));
    assert!(cluster.world.why(&gone, now()).is_err());
}
