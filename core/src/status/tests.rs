//! What each condition reports, as tables.

use std::time::Duration;

use super::*;
use crate::children::ChildKind;
use crate::facts::{
    Acceptance, AutoscalerFacts, Child, ConflictingGroups, DeploymentFacts, Detail, PodsMetric, Progress,
    Signal,
};
use crate::lag::Tolerance;
use crate::test_support::{ceiling_of, group, new_world, settled_world, stored};
use kcg_api::topic::TopicLookup;

const EARLIER: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a second of this century")
}

fn composed(spec: &str, change: impl FnOnce(&mut Observed)) -> KconsumerGroupStatus {
    let group = group(spec);
    let mut world = settled_world(&group);
    change(&mut world);
    first(&group, &world, &NO_ERRORS)
}

const NO_ERRORS: PerChild<Option<ChildError>> = PerChild::NONE;

/// The status of a group that had none.
fn first(
    group: &ValidGroup,
    world: &Observed,
    errors: &PerChild<Option<ChildError>>,
) -> KconsumerGroupStatus {
    compose(group, world, &ceiling_of(group, world), errors, &KconsumerGroupStatus::default(), at(EARLIER))
}

/// The status of a settled group with this error of a child.
fn composed_with(kind: ChildKind, error: ChildError) -> KconsumerGroupStatus {
    let group = group("{}");
    let mut errors = NO_ERRORS;
    errors[kind] = Some(error);
    first(&group, &settled_world(&group), &errors)
}

fn condition_of(status: &KconsumerGroupStatus, type_: ConditionType) -> (String, String) {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_.as_str())
        .expect("every type is there");
    (condition.status.clone(), condition.reason.clone())
}

fn as_text(status: &str, reason: Reason) -> (String, String) {
    (status.to_owned(), reason.as_str().to_owned())
}

/// The Pods metrics of an autoscaler that reads this lag, and two of the user's.
fn lag_of(average_milli: Option<i64>) -> Box<[PodsMetric]> {
    let metric = |name: &str, average_milli| PodsMetric { name: name.into(), average_milli };
    let lag = metric("kafka_consumer_fetch_manager_records_lag_pod_sum", average_milli);
    [metric("rate", Some(3)), lag, metric("errors", Some(99_000_000_000))].into()
}

fn autoscaler(change: impl FnOnce(&mut AutoscalerFacts)) -> impl FnOnce(&mut Observed) {
    |world| {
        let Some(Child { detail: Detail::Autoscaler(facts), .. }) =
            &mut world.children[ChildKind::HorizontalPodAutoscaler]
        else {
            panic!("the settled world has an autoscaler")
        };
        change(facts);
    }
}

fn deployment(change: impl FnOnce(&mut DeploymentFacts)) -> impl FnOnce(&mut Observed) {
    |world| {
        let Some(Child { detail: Detail::Deployment(facts), .. }) =
            &mut world.children[ChildKind::Deployment]
        else {
            panic!("the settled world has a Deployment")
        };
        change(facts);
    }
}

fn signal(status: bool, reason: &str) -> Signal {
    Signal { status, reason: reason.into(), message: "as the HPA says it".into() }
}

#[test]
fn a_settled_group_is_ready_and_has_the_original_message() {
    let status = composed("{}", |_| {});
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("True", Reason::Reconciled));
    assert_eq!(condition_of(&status, ConditionType::TopicsResolved), as_text("True", Reason::Resolved));
    assert_eq!(condition_of(&status, ConditionType::Paused), as_text("False", Reason::Running));
    assert_eq!(status.message, "Message: Reconciliation completed, Error: <nil>");
    assert_eq!(condition_of(&status, ConditionType::Progressing), as_text("False", Reason::RolloutComplete));
    assert_eq!(condition_of(&status, ConditionType::Stalled), as_text("False", Reason::NotStalled));
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (1, 1, 1));
    assert_eq!((status.partitions, status.max_replicas), (Some(3), Some(3)));
    assert_eq!(status.active_pods, ["kconsumer-1"]);
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(
        status.conditions.iter().map(|condition| condition.type_.as_str()).collect::<Vec<_>>(),
        ConditionType::ALL.iter().map(|type_| type_.as_str()).collect::<Vec<_>>()
    );
}

#[test]
fn no_pods_are_an_empty_list_and_never_null() {
    let group = group("{}");
    let world = new_world(&group);
    let status = first(&group, &world, &NO_ERRORS);
    assert_eq!(serde_json::to_value(&status).unwrap()["activePods"], serde_json::json!([]));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("Unknown", Reason::RollingOut));
}

#[test]
fn a_child_error_is_the_reason_of_ready_and_the_original_message() {
    let refused = ChildError::Refused { message: "no quota".into() };
    for (kind, error, reason, message) in [
        (
            ChildKind::Service,
            ChildError::NameConflict { owner: None },
            Reason::NameConflict,
            "Message: Error reconciling Service, Error: the Service of that name has no controller",
        ),
        (
            ChildKind::ServiceMonitor,
            refused.clone(),
            Reason::ApplyRefused,
            "Message: Error reconciling Service Monitor, Error: no quota",
        ),
        (
            ChildKind::PrometheusRule,
            refused.clone(),
            Reason::ApplyRefused,
            "Message: Error reconciling Prometheus Rule, Error: no quota",
        ),
        (
            ChildKind::HorizontalPodAutoscaler,
            ChildError::Failed { message: "timed out".into() },
            Reason::ApplyFailed,
            "Message: Error reconciling HPA, Error: timed out",
        ),
        (
            ChildKind::Deployment,
            ChildError::SelectorImmutable,
            Reason::SelectorImmutable,
            "Message: Error reconciling Deployment, Error: the selector is another and cannot be changed",
        ),
    ] {
        let status = composed_with(kind, error);
        assert_eq!(condition_of(&status, ConditionType::Ready), as_text("False", reason));
        assert_eq!(status.message, message);
    }
}

#[test]
fn a_policy_that_demands_a_label_is_quoted_with_the_field_that_sets_it() {
    let message = |answer: &str| {
        let status = composed_with(ChildKind::Deployment, ChildError::Refused { message: answer.to_owned() });
        message_of(&status, ConditionType::Ready).to_owned()
    };
    let cure = "if a label or an annotation is missing, set it in spec.inheritedMetadata: the API server rejected Deployment kconsumer: ";
    for answer in [
        "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: the label cost-center is required",
        "admission webhook \"validation.gatekeeper.sh\" denied the request: [p] you must provide labels: {\"cost-center\"}",
        "admission webhook \"validate.kyverno.svc-fail\" denied the request: annotation example.com/owner is required",
    ] {
        assert_eq!(message(answer), format!("{cure}{answer}"));
    }
    for answer in [
        "admission webhook \"w\" denied the request: the image is not signed",
        "metadata.labels: Invalid value: \"a b\"",
    ] {
        assert_eq!(message(answer), format!("the API server rejected Deployment kconsumer: {answer}"));
    }
}

#[test]
fn a_missing_optional_kind_is_reported_and_does_not_make_the_group_unready() {
    let status = composed_with(ChildKind::ServiceMonitor, ChildError::NotServed);
    assert_eq!(
        condition_of(&status, ConditionType::MonitoringAccepted),
        as_text("False", Reason::KindNotServed)
    );
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("True", Reason::Reconciled));
}

#[test]
fn the_problem_of_a_topic_is_reported_and_its_count_is_held() {
    let status =
        composed("{}", |world| world.topics.values_mut().for_each(|lookup| *lookup = TopicLookup::NotFound));
    assert_eq!(condition_of(&status, ConditionType::TopicsResolved), as_text("False", Reason::TopicNotFound));
    assert_eq!((status.partitions, status.max_replicas), (Some(3), Some(3)));
    assert!(status.message.starts_with("Message: Error reconciling Kconsumer group for topic changes, Error: KafkaTopic default/fast-data-topic does not exist"), "{}", status.message);
}

#[test]
fn the_autoscaler_s_condition_is_mirrored() {
    let missing = |message: &str| Signal { message: message.into(), ..signal(false, "FailedGetPodsMetric") };
    for (facts, status, reason) in [
        (None, "Unknown", Reason::Pending),
        (Some(signal(true, "ValidMetricFound")), "True", Reason::MetricsRead),
        (Some(missing("no metrics returned from custom metrics API")), "False", Reason::MetricsMissing),
        (Some(missing("no custom metrics API registered")), "False", Reason::MetricsApiUnavailable),
        (Some(signal(false, "FailedGetPodsMetric")), "False", Reason::ScalingInactive),
        (Some(signal(false, "ScalingDisabled")), "Unknown", Reason::ScaledToZero),
        (Some(signal(false, "AmbiguousSelector")), "False", Reason::OtherAutoscaler),
    ] {
        let composed = composed("{}", autoscaler(|autoscaler| autoscaler.scaling_active = facts));
        assert_eq!(condition_of(&composed, ConditionType::MetricsAvailable), as_text(status, reason));
    }
}

#[test]
fn partition_bound_means_at_the_ceiling_with_the_lag_above_the_autoscaler_s_tolerance() {
    for (replicas, lag, want) in [
        (3, Some(1_100_001), as_text("True", Reason::AtCeiling)),
        (3, Some(1_100_000), as_text("False", Reason::RoomToScale)),
        (2, Some(9_000_000), as_text("False", Reason::RoomToScale)),
        (3, None, as_text("Unknown", Reason::Pending)),
        (3, Some(i64::MAX), as_text("Unknown", Reason::Pending)),
        (3, Some(-1), as_text("Unknown", Reason::Pending)),
    ] {
        let status = composed(
            "{}",
            autoscaler(|facts| (facts.current_replicas, facts.pods_metrics) = (replicas, lag_of(lag))),
        );
        assert_eq!(
            condition_of(&status, ConditionType::PartitionBound),
            want,
            "{replicas} replicas, {lag:?}"
        );
    }
}

#[test]
fn partition_bound_follows_the_tolerance_of_the_spec() {
    let spec = "{scaling: {behavior: {scaleUp: {tolerance: '0.25'}}}}";
    for (lag, reason) in [(1_250_000, Reason::RoomToScale), (1_250_001, Reason::AtCeiling)] {
        let status = composed(
            spec,
            autoscaler(|facts| (facts.current_replicas, facts.pods_metrics) = (3, lag_of(Some(lag)))),
        );
        assert_eq!(condition_of(&status, ConditionType::PartitionBound).1, reason.as_str());
        assert!(message_of(&status, ConditionType::PartitionBound).contains("25 % above"));
    }
}

#[test]
fn partition_bound_follows_the_live_autoscaler_and_says_where_it_differs_from_the_spec() {
    let spec = "{scaling: {behavior: {scaleUp: {tolerance: '0.05'}}}}";
    let live = |tolerance: &str| {
        Tolerance::of_live(&serde_json::json!({"spec": {"behavior": {"scaleUp": {"tolerance": tolerance}}}}))
    };
    for (tolerance, lag, reason) in
        [("0.1", 1_100_000, Reason::RoomToScale), ("0.1", 1_100_001, Reason::AtCeiling)]
    {
        let status = composed(
            spec,
            autoscaler(|facts| {
                (facts.current_replicas, facts.pods_metrics) = (3, lag_of(Some(lag)));
                facts.tolerance = live(tolerance);
            }),
        );
        assert_eq!(condition_of(&status, ConditionType::PartitionBound).1, reason.as_str());
        let message = message_of(&status, ConditionType::PartitionBound);
        assert!(
            message.contains("The HorizontalPodAutoscaler tolerates 10 %, and the spec 5 %"),
            "{message}"
        );
    }
}

#[test]
fn without_known_partitions_the_cap_is_a_ceiling_and_the_minimum_is_none() {
    for (spec, running, want) in [
        ("{maxReplicas: 2}", 2, as_text("True", Reason::AtCeiling)),
        ("{maxReplicas: 2}", 1, as_text("False", Reason::RoomToScale)),
        ("{}", 1, as_text("Unknown", Reason::Pending)),
    ] {
        let status = composed(spec, |world| {
            world.topics.values_mut().for_each(|lookup| *lookup = TopicLookup::NotFound);
            autoscaler(|facts| {
                (facts.held, facts.current_replicas, facts.pods_metrics) =
                    (None, running, lag_of(Some(9_000_000)));
            })(world);
        });
        assert_eq!(status.partitions, None);
        assert_eq!(condition_of(&status, ConditionType::PartitionBound), want, "{spec} {running}");
        let message = message_of(&status, ConditionType::PartitionBound);
        assert!(want.0 != "True" || message.contains("raise spec.maxReplicas"), "{message}");
    }
}

#[test]
fn a_minimum_above_the_ceiling_has_the_webhook_s_message() {
    let status = composed("{minReplicas: 4}", deployment(|facts| counts(facts, [3, 3, 3, 3])));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("True", Reason::MinAboveCeiling));
    assert!(status.conditions[0].message.starts_with("spec.minReplicas: Invalid value: 4: must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth consumer would be idle"), "{}", status.conditions[0].message);
}

fn scaled(wanted: i32, replicas: i32, current: i32, max: i32) -> impl FnOnce(&mut Observed) {
    move |world| {
        deployment(|facts| counts(facts, [wanted, replicas, replicas, replicas]))(world);
        autoscaler(|facts| (facts.current_replicas, facts.max_replicas) = (current, max))(world);
    }
}

#[test]
fn idle_consumers_of_a_paused_group_are_reported_with_numbers() {
    let status = composed("{paused: true}", scaled(5, 5, 5, 5));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("True", Reason::IdleConsumers));
    assert_eq!(
        status.conditions[0].message,
        "5 consumers run, but the partitions (3) keep only 3 busy (2 idle); the paused group's HorizontalPodAutoscaler still allows 5: set spec.paused to false"
    );
    let status = composed("{paused: true, consumerSpec: {partitionsPerConsumer: 2}}", scaled(3, 3, 3, 3));
    assert!(
        status.conditions[0]
            .message
            .starts_with("3 consumers run, but the partitions (3) keep only 2 busy (1 idle)")
    );
}

#[test]
fn idle_consumers_that_the_autoscaler_cannot_remove_are_reported() {
    let status = composed("{}", |world| {
        scaled(5, 5, 5, 3)(world);
        autoscaler(|facts| facts.unable = Some("no quota".into()))(world);
    });
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("True", Reason::IdleConsumers));
    let said = &status.conditions[0].message;
    assert!(
        said.contains("cannot scale (no quota)")
            && said.contains("kubectl scale deployment kconsumer --replicas=3"),
        "{said}"
    );
}

#[test]
fn temporary_idle_consumers_are_not_reported() {
    for (what, spec, change) in [
        ("scaled by hand, until the autoscaler's next sync", "{}", scaled(5, 5, 3, 3)),
        ("the ceiling has just fallen", "{}", scaled(5, 5, 5, 3)),
        ("the autoscaler has just acted on it", "{paused: true}", scaled(3, 5, 5, 5)),
        ("a rollout's surge", "{paused: true}", scaled(3, 4, 3, 5)),
        ("as many as the partitions keep busy", "{paused: true}", scaled(3, 3, 3, 5)),
    ] {
        assert_eq!(
            condition_of(&composed(spec, change), ConditionType::Ready),
            as_text("True", Reason::Reconciled),
            "{what}"
        );
    }
}

/// Ready and Progressing of a group whose Deployment has these facts, one minute after this status.
fn pods_after(
    previous: &KconsumerGroupStatus,
    spec: &str,
    generation: i64,
    change: impl FnOnce(&mut DeploymentFacts),
) -> KconsumerGroupStatus {
    let (group, world) = world_after(spec, generation, change);
    compose(&group, &world, &ceiling_of(&group, &world), &NO_ERRORS, previous, at(EARLIER + 60))
}

/// A settled world in which the Deployment has changed.
fn world_after(
    spec: &str,
    generation: i64,
    change: impl FnOnce(&mut DeploymentFacts),
) -> (ValidGroup, Observed) {
    let mut group = group(spec);
    group.generation = generation;
    let mut world = settled_world(&group);
    deployment(change)(&mut world);
    (group, world)
}

fn message_of(status: &KconsumerGroupStatus, type_: ConditionType) -> &str {
    let condition = status.conditions.iter().find(|condition| condition.type_ == type_.as_str());
    &condition.expect("every type is there").message
}

fn counts(facts: &mut DeploymentFacts, [wanted, replicas, updated, available]: [i32; 4]) {
    (facts.wanted, facts.replicas, facts.updated) = (wanted, replicas, updated);
    (facts.ready, facts.available) = (available, available);
}

#[test]
fn a_new_spec_is_not_ready_until_its_pods_run() {
    let old = composed("{}", |_| {});
    let rolling = as_text("Unknown", Reason::RollingOut);
    // The answer to the apply has the status of the Deployment's earlier generation.
    let applied = pods_after(&old, "{}", 2, |facts| facts.is_observed = false);
    assert_eq!(condition_of(&applied, ConditionType::Ready), rolling);
    let observed = pods_after(&applied, "{}", 2, |facts| counts(facts, [1, 2, 1, 1]));
    assert_eq!(condition_of(&observed, ConditionType::Ready), rolling);
    assert_eq!(condition_of(&observed, ConditionType::Progressing), as_text("True", Reason::RollingOut));
    assert_eq!(condition_of(&observed, ConditionType::Stalled), as_text("False", Reason::NotStalled));
    assert_eq!(
        message_of(&observed, ConditionType::Ready),
        "1 of 1 pods are of the current pod template, 1 of an earlier one are left, 1 pods are available"
    );
    let done = pods_after(&observed, "{}", 2, |_| {});
    assert_eq!(condition_of(&done, ConditionType::Ready), as_text("True", Reason::Reconciled));
    // A change that does not concern the pods is ready at once.
    let lag_limit = pods_after(&old, "{averageRecordsLagLimit: 5}", 2, |_| {});
    assert_eq!(condition_of(&lag_limit, ConditionType::Ready), as_text("True", Reason::Reconciled));
}

/// The status of generation 2, whose write failed, or whose spec was invalid.
fn failed_of_generation_2(error: Option<ChildError>) -> KconsumerGroupStatus {
    let settled = composed("{}", |_| {});
    let mut group = group("{}");
    group.generation = 2;
    let world = settled_world(&group);
    let Some(error) = error else {
        let mut stored = stored("{}");
        stored.metadata.generation = Some(2);
        return invalid(&stored, &[], &world, &settled, at(EARLIER));
    };
    let mut errors = NO_ERRORS;
    errors[ChildKind::Deployment] = Some(error);
    compose(&group, &world, &ceiling_of(&group, &world), &errors, &settled, at(EARLIER))
}

#[test]
fn a_spec_that_could_not_be_written_at_first_is_not_ready_until_its_pods_run() {
    let message = || String::from("no");
    for error in [
        Some(ChildError::Failed { message: message() }),
        Some(ChildError::Refused { message: message() }),
        Some(ChildError::QuotaExceeded { message: message() }),
        None,
    ] {
        let failed = failed_of_generation_2(error.clone());
        assert_eq!(condition_of(&failed, ConditionType::Ready).0, "False", "{error:?}");
        // The answer to the retry has the status of the Deployment's earlier generation.
        let applied = pods_after(&failed, "{}", 2, |facts| facts.is_observed = false);
        let rolling = as_text("Unknown", Reason::RollingOut);
        assert_eq!(condition_of(&applied, ConditionType::Ready), rolling, "{error:?}");
        let done = pods_after(&applied, "{}", 2, |_| {});
        assert_eq!(condition_of(&done, ConditionType::Ready), as_text("True", Reason::Reconciled));
    }
}

#[test]
fn a_child_that_could_not_be_written_does_not_forget_that_the_pods_run() {
    let settled = composed("{}", |_| {});
    let mut errors = NO_ERRORS;
    errors[ChildKind::Service] = Some(ChildError::Failed { message: "no".into() });
    let group = group("{}");
    let mut world = settled_world(&group);
    deployment(|facts| (facts.wanted, facts.is_observed) = (3, false))(&mut world);
    let failed = compose(&group, &world, &ceiling_of(&group, &world), &errors, &settled, at(EARLIER));
    let cured = pods_after(&failed, "{}", 1, |facts| (facts.wanted, facts.is_observed) = (3, false));
    assert_eq!(condition_of(&cured, ConditionType::Ready), as_text("True", Reason::Reconciled));
    assert_eq!(condition_of(&cured, ConditionType::Progressing), as_text("True", Reason::Scaling));
}

/// Something else than its pods keeps a group from being ready, and it is scaled.
#[test]
fn a_failed_rollout_that_is_scaled_stays_failed_and_does_not_succeed_by_an_old_status() {
    let settled = composed("{}", |_| {});
    let timed_out = || Progress::Stuck("ReplicaSet has timed out progressing.".into());
    let stuck = pods_after(&settled, "{}", 2, |facts| {
        counts(facts, [1, 2, 1, 1]);
        facts.progress = timed_out();
    });
    let scaled = pods_after(&stuck, "{}", 2, |facts| {
        counts(facts, [3, 2, 1, 1]);
        (facts.progress, facts.is_observed) = (timed_out(), false);
    });
    assert_eq!(condition_of(&scaled, ConditionType::Ready), as_text("False", Reason::RolloutStuck));
    assert_eq!(events(&stuck, &scaled), []);
    // Rolled back by hand, and written again.
    let repaired = pods_after(&stuck, "{}", 2, |facts| facts.is_observed = false);
    assert_eq!(condition_of(&repaired, ConditionType::Ready), as_text("Unknown", Reason::RollingOut));
}

#[test]
fn a_recreated_pod_completes_the_rollout_once_it_is_available() {
    for reason in [Progress::Other, Progress::Completed] {
        let mut status = composed("{}", |_| {});
        let mut said = Vec::new();
        let mut see = |seen: bool, pods: [i32; 4], progress: &Progress| {
            let next = pods_after(&status, "{}", 2, |facts| {
                counts(facts, pods);
                (facts.is_observed, facts.progress) = (seen, progress.clone());
            });
            said.extend(events(&status, &next).into_iter().map(|event| event.reason));
            status = next;
            (condition_of(&status, ConditionType::Ready), said.clone())
        };
        let rolling = as_text("Unknown", Reason::RollingOut);
        for (seen, pods, progress) in [
            (false, [1, 1, 1, 1], &Progress::Completed),
            (true, [1, 1, 0, 1], &Progress::Completed),
            // The old pod stops, and its Deployment still has the reason of the rollout before.
            (true, [1, 0, 0, 0], &Progress::Completed),
            // That of a new ReplicaSet, and that of one from an earlier rollout.
            (true, [1, 1, 1, 0], &reason),
        ] {
            assert_eq!(see(seen, pods, progress), (rolling.clone(), Vec::new()), "{pods:?}");
        }
        let done = see(true, [1, 1, 1, 1], &Progress::Completed);
        assert_eq!(done, (as_text("True", Reason::Reconciled), vec!["RolloutComplete"]));
    }
}

#[test]
fn a_spec_that_the_deployment_does_not_have_yet_is_not_ready() {
    let old = composed("{}", |_| {});
    let mut group = group("{consumerSpec: {image: \"example.com/other:2\"}}");
    group.generation = 2;
    let mut world = settled_world(&group);
    let child = world.children[ChildKind::Deployment].as_mut().unwrap();
    child.drift = crate::drift::Drift::InSync(crate::children::DELETED);
    let status = compose(&group, &world, &ceiling_of(&group, &world), &NO_ERRORS, &old, at(EARLIER));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("Unknown", Reason::RollingOut));
}

#[test]
fn a_group_that_grows_stays_ready() {
    let mut status = composed("{maxReplicas: 12}", |_| {});
    for (observed, pods) in
        [(false, [12, 1, 1, 1]), (true, [12, 1, 1, 1]), (true, [12, 12, 12, 1]), (true, [12, 12, 12, 7])]
    {
        status = pods_after(&status, "{}", 1, |facts| {
            counts(facts, pods);
            facts.is_observed = observed;
        });
        assert_eq!(condition_of(&status, ConditionType::Ready), as_text("True", Reason::Reconciled));
        assert_eq!(condition_of(&status, ConditionType::Progressing), as_text("True", Reason::Scaling));
    }
}

#[test]
fn pods_that_were_lost_make_a_group_unready_below_its_minimum() {
    let settled = composed("{}", |_| {});
    for (pods, want) in [
        ([3, 3, 3, 1], as_text("True", Reason::Reconciled)),
        ([3, 3, 3, 0], as_text("False", Reason::PodsNotReady)),
    ] {
        let status = pods_after(&settled, "{}", 1, |facts| counts(facts, pods));
        assert_eq!(condition_of(&status, ConditionType::Ready), want, "{pods:?}");
        assert_eq!(condition_of(&status, ConditionType::Stalled), as_text("False", Reason::NotStalled));
    }
}

#[test]
fn a_raised_minimum_is_waited_for_until_the_deadline() {
    let settled = composed("{}", |_| {});
    let waits = as_text("Unknown", Reason::Scaling);
    // The autoscaler has not raised the Deployment yet, the pods start, and they never run.
    let raised = pods_after(&settled, "{minReplicas: 3}", 2, |_| {});
    assert_eq!(condition_of(&raised, ConditionType::Ready), waits);
    let starting = pods_after(&raised, "{minReplicas: 3}", 2, |facts| counts(facts, [3, 3, 3, 1]));
    assert_eq!(condition_of(&starting, ConditionType::Ready), waits);
    let now = at(EARLIER + 60);
    let (raised, world) = world_after("{minReplicas: 3}", 2, |facts| counts(facts, [3, 3, 3, 1]));
    let deadline = |status| before::deadline(&raised, &world, status, now);
    assert_eq!(deadline(&starting), Some(std::time::Duration::from_mins(10)));
    assert_eq!(deadline(&settled), None);

    let mut late = starting.clone();
    late.conditions[0].last_transition_time = Time(at(EARLIER + 60 - 600));
    let failed = pods_after(&late, "{minReplicas: 3}", 2, |facts| counts(facts, [3, 3, 3, 1]));
    assert_eq!(condition_of(&failed, ConditionType::Ready), as_text("False", Reason::PodsNotReady));
    assert!(message_of(&failed, ConditionType::Ready).starts_with("1 of at least 3 pods are available"));
}

#[test]
fn too_few_pods_that_no_autoscaler_raises_are_reported_with_the_command() {
    let status = composed("{minReplicas: 3}", autoscaler(|facts| facts.unable = Some("no quota".into())));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("False", Reason::PodsNotReady));
    assert!(
        message_of(&status, ConditionType::Ready).contains("kubectl scale deployment/kconsumer --replicas=3")
    );
}

#[test]
fn zero_replicas_are_reported_with_the_command_that_ends_them() {
    let settled = composed("{minReplicas: 2}", deployment(|facts| counts(facts, [2, 2, 2, 2])));
    let zero = pods_after(&settled, "{minReplicas: 2}", 1, |facts| {
        (facts.is_observed, facts.wanted) = (false, 0);
    });
    let reason = Reason::ScaledToZero;
    for (type_, status) in [
        (ConditionType::Ready, "False"),
        (ConditionType::Progressing, "False"),
        (ConditionType::Stalled, "True"),
    ] {
        assert_eq!(condition_of(&zero, type_), as_text(status, reason));
    }
    let message = message_of(&zero, ConditionType::Ready);
    assert!(message.ends_with("kubectl scale deployment/kconsumer --replicas=2"), "{message}");
    assert_eq!(
        events(&settled, &zero).iter().map(|event| event.reason).collect::<Vec<_>>(),
        [reason.as_str()]
    );
}

#[test]
fn an_autoscaler_that_is_off_at_zero_replicas_is_neither_an_error_nor_reported_again() {
    let group = group("{}");
    let mut world = settled_world(&group);
    let status = |world: &Observed, previous: &KconsumerGroupStatus, second: i64| {
        compose(&group, world, &ceiling_of(&group, world), &NO_ERRORS, previous, at(EARLIER + second))
    };
    let settled = status(&world, &KconsumerGroupStatus::default(), 0);
    deployment(|facts| (facts.wanted, facts.is_observed) = (0, false))(&mut world);
    let zero = status(&world, &settled, 1);
    assert_eq!(events(&settled, &zero).len(), 1);
    // The autoscaler notices at its next sync.
    autoscaler(|facts| facts.scaling_active = Some(signal(false, "ScalingDisabled")))(&mut world);
    let off = status(&world, &zero, 15);
    assert_eq!(condition_of(&off, ConditionType::MetricsAvailable), as_text("Unknown", Reason::ScaledToZero));
    assert_eq!(events(&zero, &off), []);
    let late = status(&world, &off, 999);
    assert_eq!(events(&off, &late), []);
    assert_eq!(late.conditions, off.conditions);
    assert_eq!(scaling_dead::until_scaling_is_dead(&off, at(EARLIER + 15)), None);
}

#[test]
fn a_stuck_rollout_needs_a_person() {
    let settled = composed("{}", |_| {});
    let stuck = pods_after(&settled, "{}", 2, |facts| {
        counts(facts, [1, 2, 1, 1]);
        facts.progress = Progress::Stuck("ReplicaSet has timed out progressing.".into());
    });
    let want = |status| as_text(status, Reason::RolloutStuck);
    assert_eq!(condition_of(&stuck, ConditionType::Ready), want("False"));
    assert_eq!(condition_of(&stuck, ConditionType::Progressing), want("False"));
    assert_eq!(condition_of(&stuck, ConditionType::Stalled), want("True"));
    assert_eq!(events(&settled, &stuck).len(), 1, "one Event");
}

/// The Deployment controller takes each start of a container for progress.
#[test]
fn pods_that_crash_again_and_again_are_a_stuck_rollout_until_one_is_available() {
    let settled = composed("{}", |_| {});
    let now = EARLIER + 60;
    let crashing = |facts: &mut DeploymentFacts| counts(facts, [1, 2, 1, 1]);
    let rolling = pods_after(&settled, "{}", 2, crashing);
    let unknown = as_text("Unknown", Reason::RollingOut);
    assert_eq!(condition_of(&rolling, ConditionType::Ready), unknown);
    let (group, world) = world_after("{}", 2, crashing);
    let deadline = |now| before::deadline(&group, &world, &rolling, at(now));
    assert_eq!(deadline(now), Some(Duration::from_secs(615)), "nothing changes by itself before");
    assert_eq!(deadline(now + 614), Some(Duration::from_secs(1)));
    assert_eq!(deadline(now + 615), None);
    let since = |second: i64| {
        let mut status = rolling.clone();
        status.conditions[0].last_transition_time = Time(at(second));
        status
    };
    // Ten minutes, and the fifteen seconds for which a pod has to be ready.
    let late = since(now - 615);
    let in_time = pods_after(&since(now - 614), "{}", 2, crashing);
    assert_eq!(condition_of(&in_time, ConditionType::Ready), unknown);
    let stuck = pods_after(&late, "{}", 2, crashing);
    let want = |status| as_text(status, Reason::RolloutStuck);
    assert_eq!(condition_of(&stuck, ConditionType::Ready), want("False"));
    assert_eq!(condition_of(&stuck, ConditionType::Progressing), want("False"));
    assert_eq!(condition_of(&stuck, ConditionType::Stalled), want("True"));
    let message = message_of(&stuck, ConditionType::Ready);
    assert!(
        message.contains("the new pods crash again and again") && message.contains("kubectl describe pods")
    );
    assert_eq!(condition_of(&pods_after(&stuck, "{}", 2, crashing), ConditionType::Ready), want("False"));

    // One new pod is available, or the rollout began later, or has a longer deadline.
    let recent = Some(at(now - 100));
    for (status, available, applied, deadline) in
        [(&late, 2, None, 600), (&stuck, 2, None, 600), (&late, 1, recent, 600), (&late, 1, None, 601)]
    {
        let seen = pods_after(status, "{}", 2, |facts| {
            counts(facts, [1, 2, 1, available]);
            (facts.applied, facts.progress_deadline) = (applied, deadline);
        });
        assert_eq!(condition_of(&seen, ConditionType::Ready), unknown);
    }
    // What is tried next has its own time.
    assert_eq!(condition_of(&pods_after(&stuck, "{}", 3, crashing), ConditionType::Ready), unknown);
}

#[test]
fn refused_pods_are_reported_in_the_words_of_the_api_server() {
    for (words, reason, stalled) in [
        (
            "pods \"a-1\" is forbidden: violates PodSecurity \"restricted:latest\"",
            Reason::ReplicaFailure,
            "True",
        ),
        (
            "pods \"a-1\" is forbidden: failed quota: q: must specify limits.cpu for: orders",
            Reason::ReplicaFailure,
            "True",
        ),
        ("pods \"a-1\" is forbidden: exceeded quota: q", Reason::QuotaExceeded, "False"),
    ] {
        let refused = |pods: [i32; 4], completed: bool| {
            composed(
                "{}",
                deployment(|facts| {
                    counts(facts, pods);
                    facts.progress = if completed { Progress::Completed } else { Progress::Other };
                    facts.refused = Some(words.into());
                }),
            )
        };
        let none = refused([1, 0, 0, 0], false);
        assert_eq!(condition_of(&none, ConditionType::Ready), as_text("False", reason));
        assert!(message_of(&none, ConditionType::Ready).ends_with(words));
        assert_eq!(condition_of(&none, ConditionType::Stalled).0, stalled, "{words}");
        // It cannot grow, but it has what must be there.
        let full = refused([3, 1, 1, 1], true);
        assert_eq!(condition_of(&full, ConditionType::Ready), as_text("True", reason));
        assert_eq!(condition_of(&full, ConditionType::Progressing), as_text("False", reason));
        assert_eq!(condition_of(&full, ConditionType::Stalled), as_text("False", Reason::NotStalled));
    }
}

#[test]
fn a_refusal_of_pods_that_may_pass_is_only_stuck_at_the_deadline() {
    let words = "Internal error occurred: failed calling webhook \"w\": connection refused";
    let settled = composed("{}", |_| {});
    let now = EARLIER + 60;
    let refused = |pods: [i32; 4], progress: Progress| {
        move |facts: &mut DeploymentFacts| {
            counts(facts, pods);
            (facts.refused, facts.progress) = (Some(words.into()), progress);
        }
    };
    let delayed = as_text("Unknown", Reason::ReplicaFailure);
    // A rollout, and a pod that was lost.
    for (generation, pods, progress) in
        [(2, [1, 1, 0, 1], Progress::Other), (1, [1, 0, 0, 0], Progress::Completed)]
    {
        let seen = pods_after(&settled, "{}", generation, refused(pods, progress.clone()));
        assert_eq!(condition_of(&seen, ConditionType::Ready), delayed, "{pods:?}");
        assert!(message_of(&seen, ConditionType::Ready).ends_with(words));
        let progressing = condition_of(&seen, ConditionType::Progressing);
        assert_eq!(progressing, as_text("True", Reason::ReplicaFailure));
        assert_eq!(condition_of(&seen, ConditionType::Stalled), as_text("False", Reason::NotStalled));
        let mut group = group("{}");
        group.generation = generation;
        let mut world = settled_world(&group);
        deployment(refused(pods, progress.clone()))(&mut world);
        let left = before::deadline(&group, &world, &seen, at(now));
        assert_eq!(left, Some(Duration::from_secs(615)), "{pods:?}");

        let mut late = seen.clone();
        late.conditions[0].last_transition_time = Time(at(now - 615));
        let stuck = pods_after(&late, "{}", generation, refused(pods, progress.clone()));
        let want = |status| as_text(status, Reason::RolloutStuck);
        assert_eq!(condition_of(&stuck, ConditionType::Ready), want("False"), "{pods:?}");
        assert_eq!(condition_of(&stuck, ConditionType::Stalled), want("True"));
        assert!(message_of(&stuck, ConditionType::Ready).starts_with(words));
        let still = pods_after(&stuck, "{}", generation, refused(pods, progress));
        assert_eq!(condition_of(&still, ConditionType::Ready), want("False"), "{pods:?}");
        assert_eq!(
            condition_of(&pods_after(&stuck, "{}", generation, |_| {}), ConditionType::Ready).0,
            "True"
        );
    }
    // The deadline of the Deployment itself.
    let timed_out = Progress::Stuck("ReplicaSet has timed out progressing.".into());
    let stuck = pods_after(&settled, "{}", 2, refused([1, 1, 0, 1], timed_out));
    assert_eq!(condition_of(&stuck, ConditionType::Ready), as_text("False", Reason::RolloutStuck));
    // It has what must be there.
    let grows = pods_after(&settled, "{}", 1, refused([3, 1, 1, 1], Progress::Completed));
    assert_eq!(condition_of(&grows, ConditionType::Ready), as_text("True", Reason::ReplicaFailure));
}

#[test]
fn a_quota_that_has_no_room_for_an_owned_resource_is_no_verdict() {
    let message = "services \"a\" is forbidden: exceeded quota: q".to_owned();
    let status = composed_with(ChildKind::Service, ChildError::QuotaExceeded { message });
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("False", Reason::QuotaExceeded));
    assert_eq!(condition_of(&status, ConditionType::Stalled), as_text("False", Reason::NotStalled));
    assert!(message_of(&status, ConditionType::Ready).contains("exceeded quota: q"));

    let mut errors = NO_ERRORS;
    errors[ChildKind::Service] = Some(ChildError::QuotaExceeded { message: "full".into() });
    errors[ChildKind::Deployment] = Some(ChildError::Refused { message: "denied".into() });
    let group = group("{}");
    let both = first(&group, &settled_world(&group), &errors);
    assert_eq!(condition_of(&both, ConditionType::Ready), as_text("False", Reason::ApplyRefused));
}

#[test]
fn a_paused_rollout_is_ready_by_the_pods_that_run_and_names_the_command() {
    let paused = |pods: [i32; 4]| {
        composed(
            "{}",
            deployment(|facts| {
                counts(facts, pods);
                (facts.paused, facts.progress) = (true, Progress::Other);
            }),
        )
    };
    for (pods, ready) in [
        ([2, 2, 2, 2], as_text("True", Reason::Reconciled)),
        ([2, 2, 0, 2], as_text("True", Reason::RolloutPaused)),
        ([2, 2, 0, 0], as_text("False", Reason::PodsNotReady)),
    ] {
        let status = paused(pods);
        assert_eq!(condition_of(&status, ConditionType::Ready), ready, "{pods:?}");
        assert_eq!(
            condition_of(&status, ConditionType::Progressing),
            as_text("False", Reason::RolloutPaused)
        );
        assert_eq!(condition_of(&status, ConditionType::Stalled), as_text("False", Reason::NotStalled));
        if ready.1 != Reason::Reconciled.as_str() {
            let message = message_of(&status, ConditionType::Ready);
            assert!(message.ends_with("kubectl rollout resume deployment/kconsumer"), "{message}");
        }
    }
}

#[test]
fn a_paused_rollout_quotes_what_refuses_the_pods_that_it_lost() {
    for (words, reason) in [
        ("exceeded quota: q", Reason::QuotaExceeded),
        ("it is forbidden: no", Reason::ReplicaFailure),
        ("etcdserver: request timed out", Reason::PodsNotReady),
    ] {
        let status = composed(
            "{}",
            deployment(|facts| {
                counts(facts, [2, 1, 1, 0]);
                (facts.paused, facts.progress, facts.refused) = (true, Progress::Other, Some(words.into()));
            }),
        );
        assert_eq!(condition_of(&status, ConditionType::Ready), as_text("False", reason));
        let message = message_of(&status, ConditionType::Ready);
        assert!(message.contains("rollout resume") && message.ends_with(words), "{message}");
    }
}

#[test]
fn a_paused_group_is_ready_by_what_was_last_applied() {
    let settled = composed("{}", |_| {});
    let mut group = group("{paused: true, minReplicas: 3, consumerSpec: {image: \"example.com/other:2\"}}");
    group.generation = 2;
    let mut world = settled_world(&group);
    autoscaler(|facts| facts.min_replicas = 1)(&mut world);
    let child = world.children[ChildKind::Deployment].as_mut().unwrap();
    child.drift = crate::drift::Drift::Drifted;
    let status = compose(&group, &world, &ceiling_of(&group, &world), &NO_ERRORS, &settled, at(EARLIER));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("True", Reason::Reconciled));
    assert_eq!(condition_of(&status, ConditionType::Progressing), as_text("False", Reason::PausedBySpec));
    assert_eq!(condition_of(&status, ConditionType::Stalled), as_text("False", Reason::NotStalled));

    let nothing = first(&group, &new_world(&group), &NO_ERRORS);
    assert_eq!(condition_of(&nothing, ConditionType::Ready), as_text("False", Reason::PodsNotReady));
}

#[test]
fn an_ambiguous_selector_names_the_labels_and_both_cures() {
    let ambiguous = || {
        autoscaler(|facts| {
            facts.scaling_active = Some(Signal {
                message: "pods by selector app=kconsumer are controlled by more than one HPA (e.g. [default/kconsumer default/orders-legacy])".into(),
                ..signal(false, "AmbiguousSelector")
            });
        })
    };
    let labels = "{consumerSpec: {podTemplate: {metadata: {labels: {team: data, component: consumer}}}}}";
    let copied = composed(labels, ambiguous());
    assert_eq!(condition_of(&copied, ConditionType::Ready), as_text("False", Reason::OtherAutoscaler));
    let message = message_of(&copied, ConditionType::Ready);
    for part in [
        "HorizontalPodAutoscaler orders-legacy selects pods of this group",
        "if it is Deployment kconsumer, delete that HorizontalPodAutoscaler",
        "component=consumer, team=data",
        "take the copied ones out",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let plain = composed("{}", ambiguous());
    let message = message_of(&plain, ConditionType::Ready);
    assert!(message.contains("selects app=kconsumer") && !message.contains("podTemplate"), "{message}");
}

#[test]
fn groups_that_share_the_group_id_are_named() {
    let status = composed("{}", |world| world.conflicting_groups = ConflictingGroups::new(["other"], false));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("False", Reason::GroupIdShared));
    assert!(status.conditions[0].message.contains("other"));
}

#[test]
fn transition_times_change_only_with_the_status() {
    let group = group("{}");
    let mut world = settled_world(&group);
    let ceiling = ceiling_of(&group, &world);
    let first = compose(&group, &world, &ceiling, &NO_ERRORS, &KconsumerGroupStatus::default(), at(EARLIER));
    let second = compose(&group, &world, &ceiling, &NO_ERRORS, &first, at(EARLIER + 60));
    assert_eq!(first, second);
    world.conflicting_groups = ConflictingGroups::new(["other"], false);
    let third = compose(&group, &world, &ceiling, &NO_ERRORS, &second, at(EARLIER + 120));
    let moved: Vec<&str> = third
        .conditions
        .iter()
        .filter(|condition| condition.last_transition_time.0 == at(EARLIER + 120))
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(moved, ["Ready", "Stalled"]);
}

#[test]
fn a_new_message_of_the_autoscaler_alone_does_not_change_the_status() {
    let group = group("{}");
    let mut world = settled_world(&group);
    let ceiling = ceiling_of(&group, &world);
    for known in [signal(true, "ValidMetricFound"), signal(false, "FailedGetPodsMetric")] {
        let other = Signal { message: "other words".into(), ..known.clone() };
        autoscaler(|facts| facts.scaling_active = Some(known))(&mut world);
        let first =
            compose(&group, &world, &ceiling, &NO_ERRORS, &KconsumerGroupStatus::default(), at(EARLIER));
        autoscaler(|facts| facts.scaling_active = Some(other))(&mut world);
        assert_eq!(compose(&group, &world, &ceiling, &NO_ERRORS, &first, at(EARLIER + 1)), first);
    }
}

#[test]
fn a_new_spec_gets_a_new_message() {
    let spec = |metric: &str| format!("{{metrics: {{lagMetric: {metric}}}}}");
    let none = Signal {
        message: "no metrics returned from custom metrics API".into(),
        ..signal(false, "FailedGetPodsMetric")
    };
    let missing = || autoscaler(|facts| facts.scaling_active = Some(none.clone()));
    let before = composed(&spec("old_metric"), missing());
    let mut group = group(&spec("new_metric"));
    group.generation = 2;
    let mut world = settled_world(&group);
    missing()(&mut world);
    let after = compose(&group, &world, &ceiling_of(&group, &world), &NO_ERRORS, &before, at(EARLIER + 1));
    let said = after.conditions.iter().find(|condition| condition.type_ == "MetricsAvailable").unwrap();
    assert!(said.message.contains("export new_metric on port"), "{}", said.message);
}

#[test]
fn a_group_without_known_partitions_is_not_at_its_ceiling() {
    let group = group("{}");
    let mut world = settled_world(&group);
    world.topics.values_mut().for_each(|lookup| *lookup = TopicLookup::NotFound);
    autoscaler(|facts| {
        (facts.current_replicas, facts.pods_metrics, facts.held) = (1, lag_of(Some(9_000_000)), None);
    })(&mut world);
    let ceiling = ceiling_of(&group, &world);
    let status = compose(&group, &world, &ceiling, &NO_ERRORS, &KconsumerGroupStatus::default(), at(EARLIER));
    assert_eq!(ceiling.partitions, None);
    assert_eq!(condition_of(&status, ConditionType::PartitionBound), as_text("Unknown", Reason::Pending));
}

#[test]
fn a_paused_group_is_bound_by_its_earlier_maximum() {
    let status = composed("{paused: true}", |world| {
        autoscaler(|facts| {
            (facts.current_replicas, facts.max_replicas) = (2, 2);
            facts.pods_metrics = lag_of(Some(9_000_000));
        })(world);
    });
    assert_eq!((status.max_replicas, status.partitions), (Some(2), Some(3)));
    assert_eq!(condition_of(&status, ConditionType::PartitionBound), as_text("True", Reason::AtCeiling));
}

#[test]
fn monitoring_is_accepted_if_the_monitor_is_and_the_rule_is_not_rejected() {
    let refused = || Acceptance::Rejected("no".into());
    for (monitor, rule, want) in [
        (Acceptance::Accepted, Acceptance::Accepted, as_text("True", Reason::Accepted)),
        (Acceptance::Accepted, Acceptance::NotReported, as_text("True", Reason::Accepted)),
        (Acceptance::Accepted, refused(), as_text("False", Reason::Rejected)),
        (Acceptance::NotReported, Acceptance::Accepted, as_text("Unknown", Reason::NotReported)),
    ] {
        let status = composed("{}", |world| {
            for (kind, acceptance) in
                [(ChildKind::ServiceMonitor, &monitor), (ChildKind::PrometheusRule, &rule)]
            {
                let child = world.children[kind].as_mut().expect("the settled world has it");
                child.detail = Detail::Monitor(acceptance.clone());
            }
        });
        assert_eq!(condition_of(&status, ConditionType::MonitoringAccepted), want, "{monitor:?} {rule:?}");
    }
}

#[test]
fn monitoring_names_the_rule_that_no_prometheus_reports() {
    let status = composed("{}", |world| {
        let monitor = world.children[ChildKind::ServiceMonitor].as_mut().expect("the settled world has it");
        monitor.detail = Detail::Monitor(Acceptance::Accepted);
        let rule = world.children[ChildKind::PrometheusRule].as_mut().expect("the settled world has it");
        rule.detail = Detail::Monitor(Acceptance::NotReported);
    });
    let condition = status.conditions.iter().find(|condition| condition.type_ == "MonitoringAccepted");
    let message = &condition.expect("the condition").message;
    assert!(
        message.contains("PrometheusRule is not reported") && message.contains("ruleLabels"),
        "{message}"
    );
}

#[test]
fn an_invalid_group_keeps_its_status_and_reports_every_violation() {
    let before = composed("{}", |_| {});
    let group = stored("{minReplicas: 0, consumerSpec: {image: a b}}");
    let violations =
        ValidGroup::read(&group, &kcg_api::valid::TopicGrants::Own, &kcg_api::GroupDefaults::default())
            .unwrap_err();
    let status = invalid(&group, &violations, &Observed::default(), &before, at(EARLIER + 1));
    assert_eq!(condition_of(&status, ConditionType::Ready), as_text("False", Reason::InvalidSpec));
    assert_eq!(condition_of(&status, ConditionType::Stalled), as_text("True", Reason::InvalidSpec));
    assert_eq!(status.max_replicas, Some(3));
    for field in [
        "spec.minReplicas: Invalid value: 0: must be at least 1",
        "spec.consumerSpec.image: Invalid value: \"a b\"",
    ] {
        assert!(status.conditions[0].message.contains(field), "{}", status.conditions[0].message);
    }
}

#[test]
fn the_start_of_a_healthy_group_causes_no_warning_and_an_error_causes_one() {
    let group = group("{}");
    let world = new_world(&group);
    let ceiling = ceiling_of(&group, &world);
    let fresh = compose(&group, &world, &ceiling, &NO_ERRORS, &KconsumerGroupStatus::default(), at(EARLIER));
    let settled = composed("{}", |_| {});
    assert_eq!(events(&KconsumerGroupStatus::default(), &fresh), []);
    assert_eq!(events(&fresh, &settled).iter().map(|event| event.is_warning).collect::<Vec<_>>(), [false]);
    let conflicting =
        composed("{}", |world| world.conflicting_groups = ConflictingGroups::new(["other"], false));
    let [event] = &events(&settled, &conflicting)[..] else { panic!("one Event") };
    assert_eq!((event.is_warning, event.reason), (true, "GroupIdShared"));
    assert_eq!(events(&conflicting, &conflicting), []);
}

/// The reasons and the notes of the Normal Events.
fn normal(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Vec<(&'static str, String)> {
    let events = events(previous, new).into_iter().filter(|event| !event.is_warning);
    events.map(|event| (event.reason, event.note)).collect()
}

#[test]
fn a_moved_ceiling_causes_an_event_with_its_cause() {
    let of = |max, partitions, generation| KconsumerGroupStatus {
        max_replicas: max,
        partitions,
        observed_generation: Some(generation),
        ..KconsumerGroupStatus::default()
    };
    let before = of(Some(3), Some(3), 1);
    for (new, reason, note) in [
        (
            of(Some(6), Some(6), 1),
            "CeilingRaised",
            "the ceiling was raised from 3 to 6 consumers: the partitions that count changed from 3 to 6",
        ),
        (
            of(Some(1), None, 1),
            "CeilingLowered",
            "the ceiling was lowered from 3 to 1 consumers: the partitions that count changed from 3 to unknown",
        ),
        (
            of(Some(2), Some(3), 2),
            "CeilingLowered",
            "the ceiling was lowered from 3 to 2 consumers: the group's spec changed",
        ),
    ] {
        assert_eq!(normal(&before, &new), [(reason, note.to_owned())]);
    }
    assert_eq!(normal(&before, &of(Some(3), Some(4), 2)), []);
    assert_eq!(normal(&KconsumerGroupStatus::default(), &before), [], "a new group");
    assert_eq!(normal(&before, &of(None, None, 2)), []);
}

#[test]
fn pause_and_resume_cause_one_event_each() {
    fn reasons(previous: &KconsumerGroupStatus, new: &KconsumerGroupStatus) -> Vec<&'static str> {
        normal(previous, new).into_iter().map(|(reason, _)| reason).collect()
    }
    let (running, paused) = (composed("{}", |_| {}), composed("{paused: true}", |_| {}));
    assert_eq!(reasons(&running, &paused), ["Paused"]);
    assert_eq!(reasons(&paused, &running), ["Resumed"]);
    assert_eq!(reasons(&KconsumerGroupStatus::default(), &running), [] as [&str; 0]);
    assert_eq!(reasons(&paused, &paused), [] as [&str; 0]);
}

#[test]
fn a_finished_rollout_causes_one_event_and_scaling_causes_none() {
    let of = |pods: [i32; 4], progress: Progress| {
        composed(
            "{}",
            deployment(|facts| {
                counts(facts, pods);
                facts.progress = progress;
            }),
        )
    };
    let rolling = || of([3, 4, 1, 3], Progress::Other);
    let stuck = || of([3, 4, 1, 3], Progress::Stuck("timed out".into()));
    let complete = || of([3, 3, 3, 3], Progress::Completed);
    let scaling = || of([6, 6, 6, 3], Progress::Completed);
    let halted = |pods: [i32; 4]| {
        composed(
            "{}",
            deployment(|facts| {
                counts(facts, pods);
                (facts.paused, facts.progress) = (true, Progress::Other);
            }),
        )
    };
    let refused = |pods: [i32; 4], progress: Progress| {
        composed(
            "{}",
            deployment(|facts| {
                counts(facts, pods);
                (facts.progress, facts.refused) = (progress, Some("exceeded quota: q".into()));
            }),
        )
    };
    let paused = || composed("{paused: true}", |_| {});
    let done = || {
        vec![(
            "RolloutComplete",
            "the rollout is complete: all pods are of the current pod template and were available".to_owned(),
        )]
    };
    for (what, previous, new, want) in [
        ("it ends", rolling(), complete(), done()),
        ("it ends while the group grows", rolling(), scaling(), done()),
        ("it ends after its deadline", stuck(), complete(), done()),
        (
            "it ends after the API server refused its pods",
            refused([3, 3, 0, 3], Progress::Other),
            complete(),
            done(),
        ),
        ("it ends after a pause", halted([3, 3, 0, 3]), complete(), done()),
        ("a pause without a change ends", halted([3, 3, 3, 3]), complete(), vec![]),
        ("only more pods were refused", refused([6, 3, 3, 3], Progress::Completed), complete(), vec![]),
        ("it goes on", rolling(), rolling(), vec![]),
        ("it begins", complete(), rolling(), vec![]),
        ("the group grew", scaling(), complete(), vec![]),
        ("nothing happens", complete(), complete(), vec![]),
        (
            "the first look at a group of an earlier version",
            KconsumerGroupStatus::default(),
            complete(),
            vec![],
        ),
    ] {
        assert_eq!(normal(&previous, &new), want, "{what}");
    }
    let resumed = normal(&paused(), &complete());
    assert_eq!(resumed.iter().map(|(reason, _)| *reason).collect::<Vec<_>>(), ["Resumed"]);
}

#[test]
fn the_start_of_pods_for_a_raised_minimum_is_scaling_and_no_rollout() {
    let settled = composed("{}", |_| {});
    let raised = pods_after(&settled, "{minReplicas: 3}", 2, |_| {});
    assert_eq!(condition_of(&raised, ConditionType::Ready), as_text("Unknown", Reason::Scaling));
    // The autoscaler has scaled the Deployment, whose controller has not seen it yet.
    let scaled = pods_after(&raised, "{minReplicas: 3}", 2, |facts| {
        counts(facts, [3, 1, 1, 1]);
        facts.is_observed = false;
    });
    assert_eq!(condition_of(&scaled, ConditionType::Ready), as_text("Unknown", Reason::Scaling));
    assert_eq!(condition_of(&scaled, ConditionType::Progressing), as_text("True", Reason::Scaling));
}

#[test]
fn scaling_that_is_dead_for_five_minutes_causes_one_event_a_restart_included() {
    let group = group("{}");
    let mut world = settled_world(&group);
    let unread = |reason: &str, message: &str| {
        let signal = Signal { status: false, reason: reason.into(), message: message.into() };
        autoscaler(|facts| facts.scaling_active = Some(signal))
    };
    let status = |world: &Observed, previous: &KconsumerGroupStatus, second: i64| {
        compose(&group, world, &ceiling_of(&group, world), &NO_ERRORS, previous, at(EARLIER + second))
    };
    for (reason, message, want) in [
        ("FailedGetPodsMetric", "no custom metrics API", "MetricsApiUnavailable"),
        ("FailedGetPodsMetric", "no metrics returned from custom metrics API", "MetricsMissing"),
        // A quoted message.
        ("FailedGetPodsMetric", "the moon", "ScalingInactive"),
    ] {
        unread(reason, message)(&mut world);
        let first = status(&world, &KconsumerGroupStatus::default(), 0);
        assert_eq!(events(&KconsumerGroupStatus::default(), &first), []);
        let now = at(EARLIER + 10);
        assert_eq!(scaling_dead::until_scaling_is_dead(&first, now), Some(Duration::from_secs(290)));
        let early = status(&world, &first, 299);
        assert_eq!(early, first);
        assert_eq!(scaling_dead::until_scaling_is_dead(&first, at(EARLIER + 300)), Some(Duration::ZERO));

        let late = status(&world, &first, 300);
        let [event] = &events(&first, &late)[..] else { panic!("one Event") };
        assert_eq!((event.is_warning, event.reason), (true, want));
        assert!(
            event.note.ends_with(". The group has not been scaled by its lag for 5 minutes"),
            "{}",
            event.note
        );
        assert_eq!(scaling_dead::until_scaling_is_dead(&late, at(EARLIER + 301)), None);
        // As after a restart, with nothing but the stored status.
        assert_eq!(status(&world, &late, 900), late);
        assert_eq!(events(&late, &late), []);
    }
    let late = status(&world, &status(&world, &KconsumerGroupStatus::default(), 0), 300);
    autoscaler(|facts| facts.scaling_active = Some(signal(true, "ValidMetricFound")))(&mut world);
    let read = status(&world, &late, 301);
    assert_eq!(
        (events(&late, &read), scaling_dead::until_scaling_is_dead(&read, at(EARLIER + 999))),
        (Vec::new(), None)
    );
    // The next time it takes five minutes again, whatever the clock of an earlier process showed.
    unread("FailedGetPodsMetric", "no custom metrics API")(&mut world);
    let again = status(&world, &read, 400);
    assert_eq!(scaling_dead::until_scaling_is_dead(&again, at(EARLIER)), Some(Duration::from_mins(5)));
    assert_eq!(events(&read, &again), []);
}

#[test]
fn the_lag_is_shown_while_the_autoscaler_reads_it() {
    let shown = |active: Option<bool>, lag_milli: Option<i64>| {
        let read = autoscaler(|facts| {
            facts.pods_metrics = lag_of(lag_milli);
            facts.scaling_active = active.map(|active| signal(active, "r"));
        });
        let lag = composed("{}", read).lag.unwrap();
        (lag.current, lag.limit, lag.summary)
    };
    assert_eq!(shown(Some(true), Some(949_000)), (Some(950), 1000, "950/1k".to_owned()));
    // The autoscaler keeps the last value in its status.
    for (active, lag) in [(Some(false), Some(949_000)), (None, Some(949_000)), (Some(true), None)] {
        assert_eq!(shown(active, lag), (None, 1000, "<unknown>/1k".to_owned()));
    }
}

#[test]
fn an_unread_lag_is_missing_among_other_metrics_and_an_unread_other_metric_hides_no_lag() {
    let seen = |signal: Signal, lag: Option<i64>| {
        let status = composed(
            "{}",
            autoscaler(|facts| {
                (facts.scaling_active, facts.pods_metrics) = (Some(signal), lag_of(lag));
                facts.has_unread_metric = true;
            }),
        );
        (condition_of(&status, ConditionType::MetricsAvailable), status.lag.unwrap().current)
    };
    let read = || signal(true, "ValidMetricFound");
    assert_eq!(seen(read(), Some(500_000)), (as_text("True", Reason::MetricsRead), Some(500)));
    assert_eq!(seen(read(), None), (as_text("False", Reason::MetricsMissing), None));
    let unread = signal(false, "FailedGetResourceMetric");
    assert_eq!(seen(unread, Some(500_000)), (as_text("False", Reason::ScalingInactive), Some(500)));
}

#[test]
fn a_new_lag_alone_is_a_change_only_if_it_is_worth_a_write() {
    let of = |lag: i64| {
        composed(
            "{}",
            autoscaler(|facts| {
                facts.pods_metrics = lag_of(Some(lag * 1000));
                facts.scaling_active = Some(signal(true, "r"));
            }),
        )
    };
    let before = of(500);
    for (new, want) in [
        (of(500), Change::Nothing),
        (of(504), Change::Nothing),
        (of(990), Change::Nothing),
        (of(1000), Change::Lag),
        (of(0), Change::Lag),
        (KconsumerGroupStatus { replicas: 7, ..of(500) }, Change::More),
        (KconsumerGroupStatus { replicas: 7, ..of(510) }, Change::More),
        // A status of an earlier version.
        (KconsumerGroupStatus { lag: None, ..of(500) }, Change::More),
    ] {
        assert_eq!(Change::between(&before, &new, Tolerance::default()), want, "{:?}", new.lag);
        assert_eq!(Change::between(&new, &before, Tolerance::default()), want, "{:?}", new.lag);
    }
}
