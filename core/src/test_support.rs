//! Example groups and observations for tests. A broken example panics.

use kcg_api::topic::{Confirmation, Partitions, TopicFacts, TopicLookup, TopicName, TopicRef};
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{GroupDefaults, KconsumerGroup, ValidGroup};
use serde_json::{Value, json};

use crate::ceiling::{self, Ceiling};
use crate::children::{self, ChildKind, PerChild, TemplateOrigin};
use crate::drift::Drift;
use crate::facts::{Acceptance, AutoscalerFacts, Child, DeploymentFacts, Detail, Observed, Progress};
use crate::lag::Tolerance;

/// The uid of the example group.
pub(crate) const UID: &str = "4c9a6c6e-0000-4000-8000-000000000001";

/// The original operator's sample with `spec` (YAML) merged into its spec, as stored.
pub(crate) fn stored(spec: &str) -> KconsumerGroup {
    let mut group = json!({
        "apiVersion": "thenextapps.com/v1alpha1",
        "kind": "KconsumerGroup",
        "metadata": {"name": "kconsumer", "namespace": "default", "uid": UID, "generation": 1},
        "spec": {"minReplicas": 1, "averageRecordsLagLimit": 1000, "consumerSpec": {
            "containerName": "kconsumer", "image": "thenextapps/kconsumer:latest", "topic": "fast-data-topic"}},
    });
    let spec: Value = serde_saphyr::from_str(spec).expect("the spec is YAML");
    json_patch::merge(&mut group["spec"], &spec);
    let written = parse_group(group);
    assert_eq!(written.violations, [], "the fixture's types");
    written.group
}

/// [`stored`], read as a valid group.
pub(crate) fn group(spec: &str) -> ValidGroup {
    group_with(spec, &GroupDefaults::default())
}

/// [`group`], with the defaults of an installation.
pub(crate) fn group_with(spec: &str, defaults: &GroupDefaults) -> ValidGroup {
    ValidGroup::read(&stored(spec), &TopicGrants::Every, defaults).expect("the fixture is valid")
}

/// The group's topics have three partitions each, and nothing else exists.
pub(crate) fn new_world(group: &ValidGroup) -> Observed {
    let topics = group.consumer.topics.iter().map(|topic| (topic.clone(), three_partitions(topic))).collect();
    Observed { topics, ..Observed::default() }
}

fn three_partitions(topic: &TopicRef) -> TopicLookup {
    TopicLookup::Found(TopicFacts {
        cluster: None,
        topic_name: TopicName::Reported(topic.name.clone()),
        partitions: Partitions::Known(3),
        confirmation: Confirmation::Confirmed { rejected: None },
        topic_id: Some("id".into()),
    })
}

/// All children of the group are as they should be, and its one pod runs.
pub(crate) fn settled_world(group: &ValidGroup) -> Observed {
    let mut world = new_world(group);
    let ceiling = ceiling_of(group, &world);
    world.children = PerChild::from_fn(|kind| {
        children::desired_one(kind, group, &ceiling).map(|desired| Child {
            uid: format!("uid-of-{}", kind.kind()).into(),
            resource_version: 1,
            controller: Some(UID.into()),
            deleting: false,
            drift: Drift::InSync(desired.digest()),
            creation: None,
            detail: detail(kind, &desired.object, &ceiling),
        })
    });
    world.active_pods = vec!["kconsumer-1".into()];
    world
}

/// The ceiling of a group in a world.
pub(crate) fn ceiling_of(group: &ValidGroup, world: &Observed) -> Ceiling {
    ceiling::resolve(group, &world.topics, world.held(&group.uid))
}

fn detail(kind: ChildKind, object: &Value, ceiling: &Ceiling) -> Detail {
    match kind {
        ChildKind::Service => Detail::Service { has_cluster_ip: false },
        ChildKind::ServiceMonitor | ChildKind::PrometheusRule => Detail::Monitor(Acceptance::default()),
        ChildKind::HorizontalPodAutoscaler => Detail::Autoscaler(Box::new(AutoscalerFacts {
            held: Some(ceiling.held()),
            current_replicas: 1,
            min_replicas: ceiling.min,
            max_replicas: ceiling.max,
            tolerance: Tolerance::of_live(object),
            ..Default::default()
        })),
        ChildKind::Deployment => Detail::Deployment(Box::new(DeploymentFacts {
            template: TemplateOrigin::of(object),
            is_observed: true,
            wanted: 1,
            replicas: 1,
            updated: 1,
            ready: 1,
            available: 1,
            progress: Progress::Completed,
            selector_is_ours: true,
            ..Default::default()
        })),
    }
}
