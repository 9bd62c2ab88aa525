//! What each condition has to answer, as tables.

use super::*;
use crate::children::ChildKind;
use crate::observed::{Acceptance, AutoscalerFacts, Child, Detail, Observed, Signal, Trouble};
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
    compose(&group, &world, &ceiling_of(&group, &world), &KconsumerGroupStatus::default(), at(EARLIER))
}

fn told(status: &KconsumerGroupStatus, type_: ConditionType) -> (String, String) {
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

fn autoscaler(change: impl FnOnce(&mut AutoscalerFacts)) -> impl FnOnce(&mut Observed) {
    |world| {
        let Some(Child { detail: Detail::Autoscaler(facts), .. }) =
            &mut world.children[ChildKind::HorizontalPodAutoscaler.index()]
        else {
            panic!("the settled world has an autoscaler")
        };
        change(facts);
    }
}

fn deployment(change: impl FnOnce(&mut crate::observed::DeploymentFacts)) -> impl FnOnce(&mut Observed) {
    |world| {
        let Some(Child { detail: Detail::Deployment(facts), .. }) =
            &mut world.children[ChildKind::Deployment.index()]
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
fn a_settled_group_is_ready_and_says_the_original_s_message() {
    let status = composed("{}", |_| {});
    assert_eq!(told(&status, ConditionType::Ready), as_text("True", Reason::Reconciled));
    assert_eq!(told(&status, ConditionType::TopicsResolved), as_text("True", Reason::Resolved));
    assert_eq!(told(&status, ConditionType::Paused), as_text("False", Reason::Running));
    assert_eq!(status.message, "Message: Reconciliation completed, Error: <nil>");
    assert_eq!(
        (status.replicas, status.ready_replicas, status.partitions, status.max_replicas),
        (1, 1, Some(3), Some(3))
    );
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
    let status =
        compose(&group, &world, &ceiling_of(&group, &world), &KconsumerGroupStatus::default(), at(EARLIER));
    assert_eq!(serde_json::to_value(&status).unwrap()["activePods"], serde_json::json!([]));
    assert_eq!(told(&status, ConditionType::Ready), as_text("False", Reason::PodsNotReady));
}

#[test]
fn what_is_wrong_with_a_child_is_the_reason_and_the_original_s_message() {
    let trouble = |kind: ChildKind, trouble: Trouble| {
        move |world: &mut Observed| world.troubles[kind.index()] = Some(trouble)
    };
    let refused = Trouble::Refused { message: "no quota".into() };
    for (kind, trouble_, reason, message) in [
        (
            ChildKind::Service,
            Trouble::NameConflict { owner: "nobody".into() },
            Reason::NameConflict,
            "Message: Error reconciling Service, Error: the Service of that name belongs to nobody",
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
            Trouble::Failed { message: "timed out".into() },
            Reason::ApplyFailed,
            "Message: Error reconciling HPA, Error: timed out",
        ),
        (
            ChildKind::Deployment,
            Trouble::SelectorImmutable,
            Reason::SelectorImmutable,
            "Message: Error reconciling Deployment, Error: the selector is another and cannot be changed",
        ),
    ] {
        let status = composed("{}", trouble(kind, trouble_));
        assert_eq!(told(&status, ConditionType::Ready), as_text("False", reason));
        assert_eq!(status.message, message);
    }
}

#[test]
fn a_missing_neighbour_is_said_and_does_not_make_the_group_unready() {
    let status =
        composed("{}", |world| world.troubles[ChildKind::ServiceMonitor.index()] = Some(Trouble::NotServed));
    assert_eq!(told(&status, ConditionType::MonitoringAccepted), as_text("False", Reason::KindNotServed));
    assert_eq!(told(&status, ConditionType::Ready), as_text("True", Reason::Reconciled));
}

#[test]
fn the_topic_s_trouble_is_told_and_its_count_is_held() {
    let status =
        composed("{}", |world| world.topics.values_mut().for_each(|lookup| *lookup = TopicLookup::NotFound));
    assert_eq!(told(&status, ConditionType::TopicsResolved), as_text("False", Reason::TopicNotFound));
    assert_eq!((status.partitions, status.max_replicas), (Some(3), Some(3)));
    assert!(status.message.starts_with("Message: Error reconciling Kconsumer group for topic changes, Error: KafkaTopic default/fast-data-topic does not exist"), "{}", status.message);
}

#[test]
fn the_autoscaler_s_word_on_its_metric_is_mirrored() {
    let missing = |message: &str| Signal { message: message.into(), ..signal(false, "FailedGetPodsMetric") };
    for (facts, status, reason) in [
        (None, "Unknown", Reason::Pending),
        (Some(signal(true, "ValidMetricFound")), "True", Reason::MetricsRead),
        (Some(missing("no metrics returned from custom metrics API")), "False", Reason::MetricsMissing),
        (Some(missing("no custom metrics API registered")), "False", Reason::MetricsApiUnavailable),
        (Some(signal(false, "FailedGetPodsMetric")), "False", Reason::ScalingInactive),
        (Some(signal(false, "ScalingDisabled")), "False", Reason::ScalingInactive),
        (Some(signal(false, "AmbiguousSelector")), "False", Reason::OtherAutoscaler),
    ] {
        let composed = composed("{}", autoscaler(|autoscaler| autoscaler.scaling_active = facts));
        assert_eq!(told(&composed, ConditionType::MetricsAvailable), as_text(status, reason));
    }
}

#[test]
fn partition_bound_is_the_ceiling_reached_and_the_lag_above_the_limit() {
    for (replicas, lag, want) in [
        (3, Some(1_000_001), as_text("True", Reason::AtCeiling)),
        (3, Some(1_000_000), as_text("False", Reason::RoomToScale)),
        (2, Some(9_000_000), as_text("False", Reason::RoomToScale)),
        (3, None, as_text("Unknown", Reason::Pending)),
    ] {
        let status =
            composed("{}", autoscaler(|facts| (facts.current_replicas, facts.lag_milli) = (replicas, lag)));
        assert_eq!(told(&status, ConditionType::PartitionBound), want, "{replicas} replicas, {lag:?}");
    }
}

#[test]
fn a_minimum_above_the_ceiling_says_the_webhook_s_sentence() {
    let status = composed("{minReplicas: 4}", |_| {});
    assert_eq!(told(&status, ConditionType::Ready), as_text("True", Reason::MinAboveCeiling));
    assert!(status.conditions[0].message.starts_with("spec.minReplicas: Invalid value: 4: must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth consumer would be idle"), "{}", status.conditions[0].message);
}

fn scaled(wanted: i32, replicas: i32, current: i32, max: i32) -> impl FnOnce(&mut Observed) {
    move |world| {
        deployment(|facts| (facts.wanted, facts.replicas) = (wanted, replicas))(world);
        autoscaler(|facts| (facts.current_replicas, facts.max_replicas) = (current, max))(world);
    }
}

#[test]
fn consumers_that_a_paused_group_keeps_beyond_its_partitions_are_told_with_the_numbers() {
    let status = composed("{paused: true}", scaled(5, 5, 5, 5));
    assert_eq!(told(&status, ConditionType::Ready), as_text("True", Reason::IdleConsumers));
    assert_eq!(
        status.conditions[0].message,
        "5 consumers run, of which the partitions (3) keep 3 busy: 2 do nothing; the paused group's HorizontalPodAutoscaler still allows 5: set spec.paused to false"
    );
    let status = composed("{paused: true, consumerSpec: {partitionsPerConsumer: 2}}", scaled(3, 3, 3, 3));
    assert!(
        status.conditions[0]
            .message
            .starts_with("3 consumers run, of which the partitions (3) keep 2 busy: 1 do")
    );
}

#[test]
fn consumers_that_the_autoscaler_cannot_take_away_are_told() {
    let status = composed("{}", |world| {
        scaled(5, 5, 5, 3)(world);
        autoscaler(|facts| facts.unable = Some("no quota".into()))(world);
    });
    assert_eq!(told(&status, ConditionType::Ready), as_text("True", Reason::IdleConsumers));
    let said = &status.conditions[0].message;
    assert!(
        said.contains("cannot scale (no quota)")
            && said.contains("kubectl scale deployment kconsumer --replicas=3"),
        "{said}"
    );
}

#[test]
fn moments_that_pass_by_themselves_make_no_idle_consumers() {
    for (what, spec, change) in [
        ("scaled by hand, until the autoscaler's next sync", "{}", scaled(5, 5, 3, 3)),
        ("the ceiling has just fallen", "{}", scaled(5, 5, 5, 3)),
        ("the autoscaler has just acted on it", "{paused: true}", scaled(3, 5, 5, 5)),
        ("a rollout's surge", "{paused: true}", scaled(3, 4, 3, 5)),
        ("as many as the partitions keep busy", "{paused: true}", scaled(3, 3, 3, 5)),
    ] {
        assert_eq!(
            told(&composed(spec, change), ConditionType::Ready),
            as_text("True", Reason::Reconciled),
            "{what}"
        );
    }
}

#[test]
fn pods_that_do_not_come_up_and_rollouts_that_are_stuck_are_told_apart() {
    let status = composed("{}", deployment(|facts| (facts.available, facts.ready) = (Some(false), 0)));
    assert_eq!(told(&status, ConditionType::Ready), as_text("False", Reason::PodsNotReady));
    let status = composed(
        "{}",
        deployment(|facts| facts.stuck = Some("ReplicaSet has timed out progressing.".into())),
    );
    assert_eq!(told(&status, ConditionType::Ready), as_text("False", Reason::RolloutStuck));
}

#[test]
fn rivals_for_the_same_partitions_are_named() {
    let status = composed("{}", |world| world.rivals = vec!["other".into()]);
    assert_eq!(told(&status, ConditionType::Ready), as_text("False", Reason::GroupIdShared));
    assert!(status.conditions[0].message.contains("other"));
}

#[test]
fn transition_times_move_only_on_flips() {
    let group = group("{}");
    let mut world = settled_world(&group);
    let ceiling = ceiling_of(&group, &world);
    let first = compose(&group, &world, &ceiling, &KconsumerGroupStatus::default(), at(EARLIER));
    let second = compose(&group, &world, &ceiling, &first, at(EARLIER + 60));
    assert_eq!(first, second);
    world.rivals = vec!["other".into()];
    let third = compose(&group, &world, &ceiling, &second, at(EARLIER + 120));
    let moved: Vec<&str> = third
        .conditions
        .iter()
        .filter(|condition| condition.last_transition_time.0 == at(EARLIER + 120))
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(moved, ["Ready"]);
}

#[test]
fn a_new_wording_of_the_autoscaler_alone_is_not_worth_a_write() {
    let group = group("{}");
    let mut world = settled_world(&group);
    let ceiling = ceiling_of(&group, &world);
    for known in [signal(true, "ValidMetricFound"), signal(false, "FailedGetPodsMetric")] {
        let other = Signal { message: "other words".into(), ..known.clone() };
        autoscaler(|facts| facts.scaling_active = Some(known))(&mut world);
        let first = compose(&group, &world, &ceiling, &KconsumerGroupStatus::default(), at(EARLIER));
        autoscaler(|facts| facts.scaling_active = Some(other))(&mut world);
        assert_eq!(compose(&group, &world, &ceiling, &first, at(EARLIER + 1)), first);
    }
}

#[test]
fn a_new_spec_is_written_of_in_new_words() {
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
    let after = compose(&group, &world, &ceiling_of(&group, &world), &before, at(EARLIER + 1));
    let said = after.conditions.iter().find(|condition| condition.type_ == "MetricsAvailable").unwrap();
    assert!(said.message.contains("export new_metric on port"), "{}", said.message);
}

#[test]
fn where_no_partition_was_ever_known_nothing_is_at_its_ceiling() {
    let group = group("{}");
    let mut world = settled_world(&group);
    world.topics.values_mut().for_each(|lookup| *lookup = TopicLookup::NotFound);
    autoscaler(|facts| {
        (facts.current_replicas, facts.lag_milli, facts.held) = (1, Some(9_000_000), None);
    })(&mut world);
    let ceiling = ceiling_of(&group, &world);
    let status = compose(&group, &world, &ceiling, &KconsumerGroupStatus::default(), at(EARLIER));
    assert_eq!(ceiling.partitions, None);
    assert_eq!(told(&status, ConditionType::PartitionBound), as_text("Unknown", Reason::Pending));
}

#[test]
fn a_paused_group_is_bound_by_what_it_was_left_with() {
    let status = composed("{paused: true}", |world| {
        autoscaler(|facts| {
            (facts.current_replicas, facts.max_replicas, facts.lag_milli) = (2, 2, Some(9_000_000));
        })(world);
    });
    assert_eq!((status.max_replicas, status.partitions), (Some(2), Some(3)));
    assert_eq!(told(&status, ConditionType::PartitionBound), as_text("True", Reason::AtCeiling));
}

#[test]
fn monitoring_is_accepted_where_the_monitor_is_and_the_rule_is_not_refused() {
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
                let child = world.children[kind.index()].as_mut().expect("the settled world has it");
                child.detail = Detail::Monitor(acceptance.clone());
            }
        });
        assert_eq!(told(&status, ConditionType::MonitoringAccepted), want, "{monitor:?} {rule:?}");
    }
}

#[test]
fn an_invalid_group_keeps_what_was_known_and_says_every_violation() {
    let before = composed("{}", |_| {});
    let group = stored("{minReplicas: 0, consumerSpec: {image: a b}}");
    let violations = ValidGroup::read(&group, &kcg_api::valid::TopicGrants::Own).unwrap_err();
    let status = invalid(&group, &violations, &Observed::default(), &before, at(EARLIER + 1));
    assert_eq!(told(&status, ConditionType::Ready), as_text("False", Reason::InvalidSpec));
    assert_eq!(status.max_replicas, Some(3));
    for field in [
        "spec.minReplicas: Invalid value: 0: must be at least 1",
        "spec.consumerSpec.image: Invalid value: \"a b\"",
    ] {
        assert!(status.conditions[0].message.contains(field), "{}", status.conditions[0].message);
    }
}

#[test]
fn a_healthy_group_s_way_up_makes_no_event_and_a_trouble_makes_one() {
    let group = group("{}");
    let world = new_world(&group);
    let ceiling = ceiling_of(&group, &world);
    let fresh = compose(&group, &world, &ceiling, &KconsumerGroupStatus::default(), at(EARLIER));
    let settled = composed("{}", |_| {});
    assert_eq!(notices(&KconsumerGroupStatus::default(), &fresh), []);
    assert_eq!(notices(&fresh, &settled), []);
    let rivalled = composed("{}", |world| world.rivals = vec!["other".into()]);
    assert_eq!(
        notices(&settled, &rivalled).iter().map(|notice| notice.reason).collect::<Vec<_>>(),
        [Reason::GroupIdShared]
    );
    assert_eq!(notices(&rivalled, &rivalled), []);
}
