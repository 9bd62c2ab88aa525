//! What one KafkaTopic contributes to the ceiling.

use kcg_api::condition::Reason;
use kcg_api::topic::{Confirmation, Partitions, TopicFacts, TopicLookup, TopicName, TopicRef};

use super::finding::Finding;
use super::held::HeldTopic;

/// The values in use of one topic, and what is to say about it. The values are `None` if the
/// KafkaTopic was never seen.
pub(super) fn count(
    topic: &TopicRef,
    lookup: Option<&TopicLookup>,
    held: Option<&HeldTopic>,
) -> (Option<HeldTopic>, Option<Finding>) {
    let (known, finding) = match lookup {
        Some(TopicLookup::Found(facts)) => {
            let (known, finding) = found(topic, facts, held.filter(|held| !is_new(held, facts)));
            (Some(known), finding)
        }
        not_found => (held.cloned(), Some(unseen(topic, not_found))),
    };
    let finding = finding.map(|finding| Finding {
        sentence: format!("{}{}", finding.sentence, in_use(&finding, known.as_ref())),
        ..finding
    });
    (known, finding)
}

fn unseen(topic: &TopicRef, lookup: Option<&TopicLookup>) -> Finding {
    match lookup {
        Some(TopicLookup::Unknown(why)) => {
            Finding::problem(Reason::TopicsUnreadable, format!("KafkaTopic {topic} cannot be read: {why}"))
        }
        Some(TopicLookup::NotServed) => Finding::problem(
            Reason::KafkaTopicsNotServed,
            format!(
                "KafkaTopic {topic} cannot exist: the cluster does not serve KafkaTopics; install Strimzi's CRDs"
            ),
        ),
        Some(TopicLookup::NotFound) => Finding::problem(
            Reason::TopicNotFound,
            format!("KafkaTopic {topic} does not exist; create it, or correct spec.consumerSpec"),
        ),
        Some(TopicLookup::Found(_)) | None => Finding::problem(
            Reason::TopicsUnreadable,
            format!("KafkaTopic {topic} has not been looked up yet"),
        ),
    }
}

/// Which count is in use instead, if it is not the KafkaTopic's own.
fn in_use(finding: &Finding, known: Option<&HeldTopic>) -> String {
    use super::Severity::Note;
    match known {
        _ if finding.severity == Note => String::new(),
        Some(HeldTopic { unconfirmed: Some(count), .. }) => {
            format!("; its unconfirmed count of {count} partitions is used")
        }
        Some(HeldTopic { partitions: Some(count), .. }) => {
            format!("; the last known count of {count} partitions is kept")
        }
        _ => "; its partitions were never known".to_owned(),
    }
}

/// The topicId changes only if the topic was deleted and created again.
fn is_new(held: &HeldTopic, facts: &TopicFacts) -> bool {
    matches!((&held.topic_id, &facts.topic_id), (Some(before), Some(now)) if before != now)
}

/// `held` is what is held of the same topic, not of an earlier one.
fn found(topic: &TopicRef, facts: &TopicFacts, held: Option<&HeldTopic>) -> (HeldTopic, Option<Finding>) {
    let mut known = HeldTopic {
        partitions: held.and_then(|held| held.partitions),
        unconfirmed: None,
        topic_name: topic_name(facts, held).to_owned(),
        // A known id is kept while Strimzi reports none: without it, a new topic could not be
        // recognized later.
        topic_id: facts.topic_id.clone().or_else(|| held.and_then(|held| held.topic_id.clone())),
    };
    let finding = match &facts.partitions {
        Partitions::Known(stated) => count_stated(topic, facts, *stated, &mut known),
        Partitions::Unset => {
            known.unconfirmed = held.and_then(|held| held.unconfirmed);
            Some(Finding::problem(
                Reason::PartitionsUnset,
                format!("KafkaTopic {topic} does not set spec.partitions, so its count is unknown; set it"),
            ))
        }
        Partitions::Invalid(stated) => {
            known.unconfirmed = held.and_then(|held| held.unconfirmed);
            Some(Finding::problem(
                Reason::PartitionsImpossible,
                format!("KafkaTopic {topic} has the invalid spec.partitions {stated}; correct it"),
            ))
        }
    };
    (known, invalid_name(topic, facts).or(finding))
}

/// The name of a topic never changes in Kafka. Without an id, the KafkaTopic may be of another
/// topic than the one that is held.
fn topic_name<'a>(facts: &'a TopicFacts, held: Option<&'a HeldTopic>) -> &'a str {
    let is_confirmed = matches!(facts.confirmation, Confirmation::Confirmed { .. });
    let known = held.and_then(|held| held.topic_name().filter(|_| held.topic_id.is_some()));
    match (&facts.topic_name, known) {
        // A name that was taken from a spec that Strimzi rejected later is corrected by its report.
        (TopicName::Reported(name) | TopicName::Stated(name), None) => name,
        (TopicName::Reported(name), Some(_)) if is_confirmed => name,
        (_, Some(known)) => known,
        (TopicName::Invalid(_), None) => held.and_then(HeldTopic::topic_name).unwrap_or_default(),
    }
}

fn invalid_name(topic: &TopicRef, facts: &TopicFacts) -> Option<Finding> {
    let TopicName::Invalid(stated) = &facts.topic_name else { return None };
    Some(Finding::problem(
        Reason::TopicNameInvalid,
        format!(
            "KafkaTopic {topic} names the topic {stated:?}, and Kafka allows only letters, digits, '.', '_' and '-', at most 249 of them, so the consumers do not get that name; correct spec.topicName"
        ),
    ))
}

/// Decides whether the stated count is confirmed, used without being held, or not used.
fn count_stated(topic: &TopicRef, facts: &TopicFacts, stated: i32, known: &mut HeldTopic) -> Option<Finding> {
    let confirmed = known.partitions;
    let is_decrease = confirmed.is_some_and(|confirmed| stated < confirmed);
    let is_confirmed = matches!(facts.confirmation, Confirmation::Confirmed { .. });
    if is_confirmed && !is_decrease {
        known.partitions = Some(stated);
    } else if confirmed.is_none() && facts.counts_unconfirmed()
        // Strimzi may not run at all: the KafkaTopic is all there is. A known topicId shows that it
        // did, so it will confirm a KafkaTopic that was deleted and created again.
        || facts.confirmation == Confirmation::NoStatus
            && !is_decrease
            && confirmed != Some(stated)
            && known.topic_id.is_none()
    {
        known.unconfirmed = Some(stated);
    }
    describe(topic, facts, stated, confirmed, known)
}

/// What is to say about a stated count; `confirmed` is the count that was held before.
fn describe(
    topic: &TopicRef,
    facts: &TopicFacts,
    stated: i32,
    confirmed: Option<i32>,
    known: &HeldTopic,
) -> Option<Finding> {
    let is_decrease = confirmed.is_some_and(|confirmed| stated < confirmed);
    let is_used = known.in_use() == Some(stated);
    let open = |reason, sentence: String| {
        Some(if is_used { Finding::note(reason, sentence) } else { Finding::pending(reason, sentence) })
    };
    let blocked = |reason, sentence: String| {
        Some(if is_used { Finding::note(reason, sentence) } else { Finding::problem(reason, sentence) })
    };
    match &facts.confirmation {
        Confirmation::Rejected(words) => Some(Finding::problem(
            Reason::TopicRefused,
            format!("Strimzi rejected KafkaTopic {topic} ({words}); correct the KafkaTopic"),
        )),
        Confirmation::Failed(words) => Some(Finding::problem(
            Reason::TopicNotReady,
            format!(
                "Strimzi could not bring KafkaTopic {topic} to Kafka ({words}) and tries again: wait, or look at Kafka if this stays"
            ),
        )),
        _ if is_decrease => {
            Some(Finding::problem(Reason::DecreaseHeld, decrease(topic, facts, stated, known)))
        }
        Confirmation::Confirmed { rejected: None } => None,
        Confirmation::Confirmed { rejected: Some(words) } => Some(Finding::note(
            Reason::Resolved,
            format!("Strimzi rejected another change of KafkaTopic {topic} ({words})"),
        )),
        Confirmation::Pending if confirmed == Some(stated) => None,
        Confirmation::Pending => open(
            Reason::Unconfirmed,
            format!("Strimzi has not confirmed the {stated} partitions of KafkaTopic {topic} yet"),
        ),
        Confirmation::NoStatus => open(
            Reason::Unconfirmed,
            format!(
                "Strimzi has not confirmed the {stated} partitions of KafkaTopic {topic}, which has no status"
            ),
        ),
        Confirmation::Paused => blocked(
            Reason::TopicPaused,
            format!(
                "KafkaTopic {topic} is paused (annotation strimzi.io/pause-reconciliation), so Strimzi has not confirmed its {stated} partitions and does not bring changes to Kafka"
            ),
        ),
        Confirmation::Unmanaged => blocked(
            Reason::TopicUnmanaged,
            format!(
                "KafkaTopic {topic} is not managed (annotation strimzi.io/managed), so Strimzi has not confirmed its {stated} partitions and does not bring changes to Kafka"
            ),
        ),
    }
}

fn decrease(topic: &TopicRef, facts: &TopicFacts, stated: i32, held: &HeldTopic) -> String {
    let cure = if held.topic_id.is_some() && facts.topic_id.is_some() {
        "Kafka never removes partitions: set spec.partitions back, or, if Kafka never had more, remove the annotation thenextapps.com/held-partitions from the HorizontalPodAutoscaler"
    } else {
        "a new topic cannot be recognized without the KafkaTopic's status.topicId: if this is a new topic, remove the annotation thenextapps.com/held-partitions from the HorizontalPodAutoscaler"
    };
    format!("KafkaTopic {topic} has {stated} partitions, fewer than before; {cure}")
}
