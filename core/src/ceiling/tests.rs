//! The ceiling over histories of a topic, and what is held of it.

use std::collections::BTreeMap;

use kcg_api::topic::{Confirmation, Partitions, TopicFacts, TopicLookup, TopicName};
use proptest::prelude::*;

use super::*;
use crate::test_support;

const NAME: &str = "fast-data-topic";
const CONFIRMED: Confirmation = Confirmation::Confirmed { rejected: None };

fn topic() -> TopicRef {
    TopicRef { namespace: "default".into(), name: NAME.into() }
}

fn failed() -> Confirmation {
    Confirmation::Failed("KafkaError: TimeoutException".into())
}

fn rejected() -> Confirmation {
    Confirmation::Rejected("NotSupported: Decreasing partitions not supported".into())
}

fn facts(partitions: i32, confirmation: Confirmation, topic_id: Option<&str>) -> TopicLookup {
    TopicLookup::Found(TopicFacts {
        confirmation,
        topic_id: topic_id.map(str::to_owned),
        ..TopicFacts::stated(NAME, partitions)
    })
}

fn spelled(partitions: Partitions) -> TopicLookup {
    TopicLookup::Found(TopicFacts { partitions, ..TopicFacts::stated(NAME, 1) })
}

fn named(topic_name: TopicName, confirmation: Confirmation, topic_id: Option<&str>) -> TopicLookup {
    let TopicLookup::Found(facts) = facts(3, confirmation, topic_id) else { panic!("it is found") };
    TopicLookup::Found(TopicFacts { topic_name, ..facts })
}

fn held(partitions: i32, topic_id: Option<&str>) -> Held {
    let topic_id = topic_id.map(str::to_owned);
    let held =
        HeldTopic { partitions: Some(partitions), unconfirmed: None, topic_name: NAME.into(), topic_id };
    Held([(topic().to_string(), held)].into())
}

fn resolve_one(lookup: TopicLookup, held: Option<&Held>) -> Ceiling {
    resolve(&test_support::group("{}"), &[(topic(), lookup)].into(), held)
}

fn resolved(lookup: TopicLookup, held: Option<&Held>) -> (i32, Option<(Severity, Reason)>) {
    let ceiling = resolve_one(lookup, held);
    let finding = ceiling.counts[0].finding.as_ref();
    (ceiling.max, finding.map(|finding| (finding.severity, finding.reason)))
}

#[test]
fn a_count_that_cannot_be_used_is_held() {
    for (lookup, reason) in [
        (TopicLookup::NotFound, Reason::TopicNotFound),
        (TopicLookup::NotServed, Reason::KafkaTopicsNotServed),
        (TopicLookup::Unknown("cut off".into()), Reason::TopicsUnreadable),
        (spelled(Partitions::Unset), Reason::PartitionsUnset),
        (spelled(Partitions::Invalid("0".into())), Reason::PartitionsImpossible),
        (facts(1, rejected(), Some("a")), Reason::TopicRefused),
        (facts(300, failed(), Some("a")), Reason::TopicNotReady),
        (facts(300, Confirmation::Paused, None), Reason::TopicPaused),
        (facts(300, Confirmation::Unmanaged, None), Reason::TopicUnmanaged),
        (facts(1, CONFIRMED, Some("a")), Reason::DecreaseHeld),
        (facts(1, Confirmation::NoStatus, None), Reason::DecreaseHeld),
    ] {
        let found = resolved(lookup.clone(), Some(&held(3, Some("a"))));
        assert_eq!(found, (3, Some((Severity::Problem, reason))), "{lookup:?}");
    }
}

#[test]
fn a_new_topic_lowers_and_confirmed_growth_raises_at_once() {
    assert_eq!(resolved(facts(1, CONFIRMED, Some("b")), Some(&held(3, Some("a")))), (1, None));
    assert_eq!(resolved(facts(5, CONFIRMED, Some("a")), Some(&held(3, Some("a")))), (5, None));
    assert_eq!(resolved(facts(5, CONFIRMED, None), Some(&held(3, Some("a")))), (5, None));
}

#[test]
fn an_increase_counts_when_strimzi_has_confirmed_it_and_can_be_taken_back_before() {
    let mut held = held(3, Some("a"));
    for (lookup, finding) in [
        (facts(300, Confirmation::Pending, Some("a")), Some((Severity::Pending, Reason::Unconfirmed))),
        (facts(300, failed(), Some("a")), Some((Severity::Problem, Reason::TopicNotReady))),
        (facts(300, failed(), None), Some((Severity::Problem, Reason::TopicNotReady))),
        (facts(3, Confirmation::Pending, Some("a")), None),
        (facts(3, CONFIRMED, Some("a")), None),
    ] {
        assert_eq!(resolved(lookup.clone(), Some(&held)), (3, finding), "{lookup:?}");
        held = resolve_one(lookup, Some(&held)).held();
    }
    assert_eq!(resolved(facts(30, CONFIRMED, Some("a")), Some(&held)), (30, None));
}

#[test]
fn a_count_that_was_never_confirmed_follows_the_kafkatopic_and_is_not_held() {
    let mut held = None;
    for (lookup, max) in [
        (facts(300, Confirmation::NoStatus, None), 300),
        // While it cannot be read, there is no reason to stop consumers.
        (TopicLookup::NotFound, 300),
        (facts(30, Confirmation::NoStatus, None), 30),
        (facts(40, failed(), Some("a")), 40),
        (facts(20, Confirmation::Paused, None), 20),
        (facts(10, Confirmation::Pending, Some("a")), 10),
        (facts(10, failed(), None), 1),
        (facts(4, CONFIRMED, Some("a")), 4),
        // Strimzi confirmed the topic once, so it will confirm a KafkaTopic that was created again.
        (facts(8, Confirmation::NoStatus, None), 4),
        (facts(8, Confirmation::Pending, Some("a")), 4),
    ] {
        let ceiling = resolve_one(lookup.clone(), held.as_ref());
        assert_eq!(ceiling.max, max, "{lookup:?}");
        let confirmed = ceiling.held().0[&topic().to_string()].partitions;
        assert!(confirmed.is_none_or(|confirmed| confirmed == 4), "{lookup:?}: {confirmed:?}");
        held = Some(ceiling.held());
    }
}

#[test]
fn without_a_topic_id_a_larger_count_is_used_and_a_confirmed_one_is_not_forgotten() {
    let before = held(4, None);
    let ceiling = resolve_one(facts(8, Confirmation::NoStatus, None), Some(&before));
    assert_eq!((ceiling.max, ceiling.held().0[&topic().to_string()].partitions), (8, Some(4)));
    assert_eq!(resolve_one(facts(8, Confirmation::Pending, Some("a")), Some(&ceiling.held())).max, 4);
}

#[test]
fn a_count_in_use_without_a_confirmation_is_said() {
    for (confirmation, reason, words) in [
        (Confirmation::NoStatus, Reason::Unconfirmed, "which has no status"),
        (Confirmation::Pending, Reason::Unconfirmed, "has not confirmed the 3 partitions"),
        (Confirmation::Paused, Reason::TopicPaused, "strimzi.io/pause-reconciliation"),
        (Confirmation::Unmanaged, Reason::TopicUnmanaged, "strimzi.io/managed"),
    ] {
        let ceiling = resolve_one(facts(3, confirmation, Some("a")), None);
        let finding = ceiling.counts[0].finding.clone().expect("it is said");
        assert_eq!((ceiling.max, finding.severity, finding.reason), (3, Severity::Note, reason));
        assert!(finding.sentence.contains(words), "{finding:?}");
    }
    let rejected = Confirmation::Confirmed { rejected: Some("NotSupported: Replication factor".into()) };
    let ceiling = resolve_one(facts(3, rejected, Some("a")), None);
    let finding = ceiling.counts[0].finding.clone().expect("it is said");
    assert_eq!((finding.severity, finding.reason), (Severity::Note, Reason::Resolved));
    assert_eq!(ceiling.held(), held(3, Some("a")), "the count is confirmed");
}

#[test]
fn a_passing_failure_does_not_ask_to_correct_the_kafkatopic() {
    let sentence = |confirmation| {
        let ceiling = resolve_one(facts(3, confirmation, None), None);
        ceiling.counts[0].finding.clone().expect("it is said").sentence
    };
    let passing = sentence(failed());
    assert!(passing.contains("wait, or look at Kafka") && !passing.contains("correct"), "{passing}");
    let permanent = sentence(rejected());
    assert!(permanent.contains("correct the KafkaTopic"), "{permanent}");
}

#[test]
fn an_unexplained_decrease_names_its_cure() {
    let ceiling = resolve_one(facts(1, Confirmation::NoStatus, None), Some(&held(3, None)));
    let sentence = &ceiling.counts[0].finding.as_ref().expect("it is held").sentence;
    assert!(sentence.contains("remove the annotation thenextapps.com/held-partitions"), "{sentence}");
}

#[test]
fn a_known_topic_id_is_kept_while_strimzi_reports_none() {
    let ceiling = resolve_one(facts(3, Confirmation::Paused, None), Some(&held(3, Some("a"))));
    assert_eq!(ceiling.held(), held(3, Some("a")));
}

#[test]
fn without_known_partitions_the_cap_is_the_ceiling_or_else_the_minimum() {
    let bounds = |spec: &str| {
        let ceiling = resolve(&test_support::group(spec), &TopicLookups::new(), None);
        (ceiling.min, ceiling.max, ceiling.partitions, ceiling.min_above)
    };
    assert_eq!(bounds("{minReplicas: 3}"), (3, 3, None, false));
    assert_eq!(bounds("{minReplicas: 2, maxReplicas: 12}"), (2, 12, None, false));
}

#[test]
fn an_unknown_topic_does_not_lower_the_ceiling_of_the_others() {
    let group = test_support::group("{minReplicas: 2, consumerSpec: {topics: [not-there-yet]}}");
    let known: TopicLookups = [(topic(), facts(6, Confirmation::NoStatus, None))].into();
    let ceiling = resolve(&group, &known, None);
    assert_eq!((ceiling.min, ceiling.max, ceiling.partitions, ceiling.min_above), (2, 6, Some(6), false));
    let asked = test_support::group("{minReplicas: 8, consumerSpec: {topics: [not-there-yet]}}");
    assert_eq!(resolve(&asked, &known, None).max, 8);
}

#[test]
fn the_name_in_kafka_is_known_before_the_count_and_kept_after_the_topic_is_gone() {
    let stated = TopicFacts { partitions: Partitions::Unset, ..TopicFacts::stated("Fast_Data", 1) };
    let ceiling = resolve_one(TopicLookup::Found(stated), None);
    assert_eq!((ceiling.topic_names(), ceiling.partitions, ceiling.max), (vec!["Fast_Data"], None, 1));
    let gone = resolve_one(TopicLookup::NotFound, Some(&ceiling.held()));
    assert_eq!(gone.topic_names(), ["Fast_Data"]);
}

#[test]
fn the_name_of_a_topic_with_an_id_changes_only_with_the_id() {
    let reported = |name: &str| TopicName::Reported(name.into());
    let stated = |name: &str| TopicName::Stated(name.into());
    let first = resolve_one(named(reported("V1"), CONFIRMED, Some("a")), None).held();
    for (name, confirmation, id, want) in [
        (stated("V2"), Confirmation::Pending, Some("a"), "V1"),
        (stated("V2"), Confirmation::Unmanaged, None, "V1"),
        (reported("V2"), rejected(), Some("a"), "V1"),
        (reported("V2"), CONFIRMED, Some("b"), "V2"),
        (stated("V2"), Confirmation::Pending, Some("b"), "V2"),
        (TopicName::Invalid("a,b".into()), Confirmation::Pending, Some("a"), "V1"),
    ] {
        let ceiling = resolve_one(named(name.clone(), confirmation, id), Some(&first));
        assert_eq!(ceiling.topic_names(), [want], "{name:?}");
    }
    // Before there is an id, the KafkaTopic is all there is.
    let early = resolve_one(named(stated("V1"), Confirmation::NoStatus, None), None).held();
    let corrected = resolve_one(named(stated("V2"), Confirmation::NoStatus, None), Some(&early));
    assert_eq!(corrected.topic_names(), ["V2"]);
    // A version before this one may have held a name that Strimzi rejected.
    let wrong = resolve_one(named(reported("V2"), CONFIRMED, Some("a")), None).held();
    let healed = resolve_one(named(reported("V1"), CONFIRMED, Some("a")), Some(&wrong));
    assert_eq!(healed.topic_names(), ["V1"]);
}

#[test]
fn a_name_that_kafka_does_not_allow_reaches_no_consumer() {
    let invalid = named(TopicName::Invalid("orders,payroll".into()), Confirmation::NoStatus, None);
    let ceiling = resolve_one(invalid, None);
    assert_eq!(ceiling.topic_names(), [""; 0]);
    let finding = ceiling.problem().expect("it is said");
    assert_eq!(finding.reason, Reason::TopicNameInvalid);
    let read = Held::parse(&ceiling.held().annotation()).expect("it parses");
    assert_eq!(read, ceiling.held());
}

#[test]
fn two_kafkatopics_of_one_topic_count_once_and_are_said() {
    let group = test_support::group("{scaling: {partitions: Sum}, consumerSpec: {topics: [other]}}");
    let other = TopicRef { namespace: "default".into(), name: "other".into() };
    let same = |partitions, confirmation| {
        let topic_id = Some("a".to_owned());
        TopicLookup::Found(TopicFacts { confirmation, topic_id, ..TopicFacts::stated("same", partitions) })
    };
    let conflict = Confirmation::Rejected("ResourceConflict: Managed by Ref".into());
    for (theirs, severity) in [
        (same(6, CONFIRMED), Severity::Note),
        (same(300, Confirmation::NoStatus), Severity::Note),
        (same(300, conflict), Severity::Problem),
    ] {
        let lookups = BTreeMap::from([(topic(), same(6, CONFIRMED)), (other.clone(), theirs)]);
        let ceiling = resolve(&group, &lookups, None);
        assert_eq!((ceiling.max, ceiling.partitions, ceiling.all_partitions()), (6, Some(6), Some(6)));
        assert_eq!(ceiling.topic_names(), ["same"]);
        let findings = ceiling.findings();
        let said =
            findings.iter().find(|finding| finding.sentence.contains("are the same topic same in Kafka"));
        assert_eq!(said.map(|finding| finding.severity), Some(severity), "{findings:?}");
    }
}

#[test]
fn a_minimum_above_the_ceiling_leaves_the_autoscaler_valid() {
    let group = test_support::group("{minReplicas: 4}");
    let ceiling = resolve(&group, &[(topic(), facts(3, Confirmation::NoStatus, None))].into(), None);
    assert_eq!((ceiling.min, ceiling.max, ceiling.min_above), (3, 3, true));
}

fn any_lookup() -> impl Strategy<Value = TopicLookup> {
    let id = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
    let partitions = prop_oneof![
        8 => (1..20_i32).prop_map(Partitions::Known),
        1 => Just(Partitions::Unset),
        1 => Just(Partitions::Invalid("-1".into())),
    ];
    let confirmation = prop_oneof![
        Just(CONFIRMED),
        Just(Confirmation::NoStatus),
        Just(Confirmation::Pending),
        Just(Confirmation::Paused),
        Just(Confirmation::Unmanaged),
        Just(rejected()),
        Just(failed()),
    ];
    prop_oneof![
        4 => (partitions, confirmation, id).prop_map(|(partitions, confirmation, id)| {
            let topic_id = id.map(str::to_owned);
            TopicLookup::Found(TopicFacts {
                cluster: None,
                partitions, confirmation, topic_id, topic_name: TopicName::Stated(NAME.into()),
            })
        }),
        1 => Just(TopicLookup::NotFound),
        1 => Just(TopicLookup::NotServed),
        1 => Just(TopicLookup::Unknown("cut off".into())),
    ]
}

proptest! {
    /// The causes: a new topicId, a count that was never confirmed, or the first known count below
    /// the cap that applied before.
    #[test]
    fn the_ceiling_never_falls_without_cause(
        cap in proptest::option::of(1..20_i32),
        history in proptest::collection::vec(any_lookup(), 1..20),
    ) {
        let spec = cap.map_or_else(|| "{}".to_owned(), |cap| format!("{{maxReplicas: {cap}}}"));
        let group = test_support::group(&spec);
        let mut held: Option<Held> = None;
        let mut before: Option<Ceiling> = None;
        for lookup in history {
            let ceiling = resolve(&group, &[(topic(), lookup.clone())].into(), held.as_ref());
            prop_assert!(1 <= ceiling.min && ceiling.min <= ceiling.max);
            let again = resolve(&group, &[(topic(), lookup.clone())].into(), Some(&ceiling.held()));
            prop_assert_eq!(&again, &ceiling, "it settles at once");
            if let Some(before) = before.filter(|before| before.max > ceiling.max) {
                let known = before.counts[0].known.clone();
                let was_confirmed = known.as_ref().is_some_and(|known| known.in_use().is_some() && known.unconfirmed.is_none());
                let now = lookup.facts();
                prop_assert!(now.is_some(), "fell without a KafkaTopic: {:?}", lookup);
                let new_id = now.and_then(|facts| facts.topic_id.clone());
                let old_id = known.and_then(|known| known.topic_id);
                let is_new = old_id.is_some() && new_id.is_some() && old_id != new_id;
                prop_assert!(is_new || !was_confirmed, "a confirmed count fell on {:?}", lookup);
            }
            held = Some(ceiling.held());
            before = Some(ceiling);
        }
    }
}
