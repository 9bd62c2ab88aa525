//! A stored status in a fraction of the memory of its text: what conditions say is mostly said of many groups, and
//! is kept once for all of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kcg_api::KconsumerGroupStatus;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Texts that several groups share.
#[derive(Debug, Default)]
pub struct Texts(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    texts: HashSet<Arc<str>>,
    /// Texts that nobody uses any more are looked for when there are this many.
    full: usize,
}

const SMALL: usize = 256;

impl Texts {
    fn share(&self, text: &str) -> Arc<str> {
        // A panic elsewhere leaves plain values here: they are as good as before.
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shelf.texts.get(text) {
            return known.clone();
        }
        if shelf.texts.len() >= shelf.full.max(SMALL) {
            shelf.texts.retain(|text| Arc::strong_count(text) > 1);
            shelf.full = shelf.texts.len() * 2;
        }
        let text: Arc<str> = text.into();
        shelf.texts.insert(text.clone());
        text
    }
}

/// One group's status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptStatus {
    /// All but the conditions, as JSON.
    rest: Box<str>,
    conditions: Box<[KeptCondition]>,
}

#[derive(Clone, Debug, PartialEq)]
struct KeptCondition {
    type_: Arc<str>,
    status: Arc<str>,
    reason: Arc<str>,
    message: Arc<str>,
    since: Timestamp,
    generation: Option<i64>,
}

impl KeptStatus {
    pub fn of(mut status: KconsumerGroupStatus, texts: &Texts) -> Self {
        let conditions = std::mem::take(&mut status.conditions);
        Self {
            // Plain types always serialise.
            rest: serde_json::to_string(&status).unwrap_or_default().into(),
            conditions: conditions.iter().map(|condition| KeptCondition::of(condition, texts)).collect(),
        }
    }

    pub fn status(&self) -> KconsumerGroupStatus {
        let rest = serde_json::from_str(&self.rest).unwrap_or_default();
        KconsumerGroupStatus {
            conditions: self.conditions.iter().map(KeptCondition::condition).collect(),
            ..rest
        }
    }
}

impl KeptCondition {
    fn of(condition: &Condition, texts: &Texts) -> Self {
        Self {
            type_: texts.share(&condition.type_),
            status: texts.share(&condition.status),
            reason: texts.share(&condition.reason),
            message: texts.share(&condition.message),
            since: condition.last_transition_time.0,
            generation: condition.observed_generation,
        }
    }

    fn condition(&self) -> Condition {
        Condition {
            type_: self.type_.to_string(),
            status: self.status.to_string(),
            reason: self.reason.to_string(),
            message: self.message.to_string(),
            last_transition_time: Time(self.since),
            observed_generation: self.generation,
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
    fn a_kept_status_reads_back_as_it_was() {
        let texts = Texts::default();
        assert_eq!(KeptStatus::of(status("m"), &texts).status(), status("m"));
        assert_eq!(KeptStatus::default().status(), KconsumerGroupStatus::default());
    }

    #[test]
    fn what_many_groups_say_is_kept_once_and_what_nobody_says_is_dropped() {
        let texts = Texts::default();
        let kept: Vec<KeptStatus> = (0..1000).map(|_| KeptStatus::of(status("the same"), &texts)).collect();
        let count = || texts.0.lock().unwrap().texts.len();
        assert_eq!(count(), 4);
        for number in 0..1000 {
            KeptStatus::of(status(&number.to_string()), &texts);
        }
        assert!(count() <= SMALL, "{} texts", count());
        assert_eq!(kept[7].status(), status("the same"));
    }
}
