//! A stored status in a fraction of the memory of its text: many groups share the texts of their
//! conditions.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kcg_api::KconsumerGroupStatus;
use kcg_runtime::string_interner::StringInterner;

/// One group's status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CachedStatus {
    /// Everything but the conditions, as JSON.
    rest: Box<str>,
    conditions: Box<[CachedCondition]>,
}

#[derive(Clone, Debug, PartialEq)]
struct CachedCondition {
    /// Its type, status and reason, a line each, and its message. As one text, because each reference
    /// takes 16 bytes.
    text: Arc<str>,
    /// Its last transition, in seconds since 1970. The operator writes whole seconds.
    since: i64,
    /// Negative if it has none.
    generation: i64,
}

impl CachedStatus {
    pub(super) fn of(mut status: KconsumerGroupStatus, strings: &StringInterner) -> Self {
        let conditions = std::mem::take(&mut status.conditions);
        Self {
            rest: serde_json::to_string(&status).expect("invariant: a status serializes").into(),
            conditions: conditions.iter().map(|condition| CachedCondition::of(condition, strings)).collect(),
        }
    }

    pub(super) fn status(&self) -> KconsumerGroupStatus {
        let rest = match &*self.rest {
            // `CachedStatus::default` has no text.
            "" => KconsumerGroupStatus::default(),
            text => serde_json::from_str(text).expect("invariant: a cached status is a status"),
        };
        KconsumerGroupStatus {
            conditions: self.conditions.iter().map(CachedCondition::condition).collect(),
            ..rest
        }
    }
}

impl CachedCondition {
    fn of(condition: &Condition, strings: &StringInterner) -> Self {
        let Condition { type_, status, reason, message, .. } = condition;
        // The operator writes no line break in these three. If another program does, they read back
        // changed, so the status is written again.
        let [type_, status, reason] = [type_, status, reason].map(|text| text.replace('\n', " "));
        Self {
            text: strings.intern(&format!("{type_}\n{status}\n{reason}\n{message}")),
            since: condition.last_transition_time.0.as_second(),
            generation: condition.observed_generation.unwrap_or(-1),
        }
    }

    fn condition(&self) -> Condition {
        let mut parts = self.text.splitn(4, '\n').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Condition {
            type_: part(),
            status: part(),
            reason: part(),
            message: part(),
            last_transition_time: Time(Timestamp::from_second(self.since).unwrap_or_default()),
            observed_generation: Some(self.generation).filter(|generation| *generation >= 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(message: &str) -> KconsumerGroupStatus {
        let condition = Condition {
            type_: "Ready".into(),
            status: "True".into(),
            reason: "Reconciled".into(),
            message: message.into(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: Some(2),
        };
        KconsumerGroupStatus {
            replicas: 3,
            active_pods: vec!["a".into()],
            conditions: vec![condition],
            ..KconsumerGroupStatus::default()
        }
    }

    #[test]
    fn a_cached_status_reads_back_unchanged() {
        let strings = StringInterner::default();
        let mut without_generation = status("m");
        without_generation.conditions[0].observed_generation = None;
        assert_eq!(CachedStatus::of(without_generation.clone(), &strings).status(), without_generation);
        for message in ["m", "", "two\nlines\n"] {
            assert_eq!(CachedStatus::of(status(message), &strings).status(), status(message));
        }
        assert_eq!(CachedStatus::default().status(), KconsumerGroupStatus::default());
    }

    #[test]
    fn equal_conditions_of_two_groups_share_their_text() {
        let strings = StringInterner::default();
        let [first, second] = [(); 2].map(|()| CachedStatus::of(status("the same"), &strings));
        assert!(Arc::ptr_eq(&first.conditions[0].text, &second.conditions[0].text));
    }

    #[test]
    fn a_reason_of_two_lines_is_not_taken_for_a_reason_and_a_message() {
        let mut foreign = status("b\nc");
        foreign.conditions[0].reason = "Reconciled\nb".into();
        foreign.conditions[0].message = "c".into();
        let cached = CachedStatus::of(foreign, &StringInterner::default());
        assert_ne!(cached.status(), status("b\nc"));
        assert_eq!(cached.status().conditions[0].message, "c");
    }
}
