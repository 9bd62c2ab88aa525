//! How fast the operator writes the children of one group, whatever causes the writes: a user or a
//! program that changes the spec or the topic all the time, or another manager that keeps reverting
//! the operator's fields. Pure: the time is an argument.

use std::time::{Duration, Instant};

use kcg_core::children::{ChildKind, PerChild};
use kcg_core::plan::Write;

/// How many writes may follow each other at once, and how many a second after that.
const BURST: f64 = 20.0;
const PER_SECOND: f64 = 1.0;

/// A token bucket.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    left: f64,
    at: Instant,
}

impl TokenBucket {
    const fn full(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    fn left(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.at).as_secs_f64().mul_add(PER_SECOND, self.left).min(BURST)
    }

    /// Takes a token, or returns how long to wait for it.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let left = self.left(now);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / PER_SECOND));
        }
        *self = Self { left: left - 1.0, at: now };
        Ok(())
    }
}

/// The writes that one group may have now. Creations do not delay changes: a new group has all of
/// those before it.
#[derive(Debug, Default)]
pub(super) struct WriteLimit {
    /// Applies to children that exist, and deletions. `None` is a full bucket.
    changes: Option<TokenBucket>,
    /// Creations: of children that are deleted again and again.
    creations: Option<TokenBucket>,
    /// When a write of each child was last permitted.
    permitted: PerChild<Option<Instant>>,
}

impl WriteLimit {
    /// How long each write has to wait; `None` if it may be made now, which is counted. The child that
    /// was written the longest time ago comes first, so that one that changes all the time does not
    /// delay the others.
    pub(super) fn take(&mut self, writes: &[Write], now: Instant) -> PerChild<Option<Duration>> {
        let mut kinds: Vec<(ChildKind, bool)> =
            writes.iter().map(|write| (write.kind(), matches!(write, Write::Create { .. }))).collect();
        kinds.sort_by_key(|(kind, _)| self.permitted[*kind]);
        let mut waits = PerChild::NONE;
        for (kind, is_creation) in kinds {
            let bucket = if is_creation { &mut self.creations } else { &mut self.changes };
            match bucket.get_or_insert(TokenBucket::full(now)).take(now) {
                Ok(()) => self.permitted[kind] = Some(now),
                Err(wait) => waits[kind] = Some(wait),
            }
        }
        waits
    }

    /// Whether nothing was written lately.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        let mut buckets = self.changes.iter().chain(&self.creations);
        buckets.all(|bucket| bucket.left(now) >= BURST)
    }
}

#[cfg(test)]
mod tests {
    use kcg_core::children::Desired;
    use kcg_core::plan::Target;
    use serde_json::json;

    use super::*;

    fn repair(kind: ChildKind) -> Write {
        let desired = Desired { kind, object: json!({}) };
        let target = Target { uid: "u".into(), version: 1, creation: None };
        Write::Repair { desired, digest: 1, target, compare_first: false }
    }

    fn create(kind: ChildKind) -> Write {
        Write::Create { desired: Desired { kind, object: json!({}) }, digest: 1, look_up_first: false }
    }

    fn permitted(limit: &mut WriteLimit, writes: &[Write], now: Instant) -> Vec<ChildKind> {
        let waits = limit.take(writes, now);
        writes.iter().map(Write::kind).filter(|kind| waits[*kind].is_none()).collect()
    }

    #[test]
    fn after_a_burst_of_twenty_one_change_a_second_is_made() {
        let (mut limit, now) = (WriteLimit::default(), Instant::now());
        let service = [repair(ChildKind::Service)];
        let made = |limit: &mut WriteLimit, seconds: std::ops::Range<u64>| {
            let attempts =
                (seconds.start * 4..seconds.end * 4).map(|quarter| Duration::from_millis(quarter * 250));
            attempts.filter(|at| limit.take(&service, now + *at)[ChildKind::Service].is_none()).count()
        };
        assert_eq!(made(&mut limit, 0..5), 20);
        // What the time has brought since, and then one a second.
        assert_eq!(made(&mut limit, 5..20), 19);
        assert_eq!(made(&mut limit, 20..30), 10);
        let wait = limit.take(&service, now + Duration::from_secs(30))[ChildKind::Service];
        assert_eq!(wait, None);
        let wait = limit.take(&service, now + Duration::from_secs(30))[ChildKind::Service];
        assert!(wait.is_some_and(|wait| wait <= Duration::from_secs(1)), "{wait:?}");
        assert!(!limit.is_full(now + Duration::from_secs(40)) && limit.is_full(now + Duration::from_mins(1)));
        assert_eq!(made(&mut limit, 100..110), 29, "another burst");
    }

    #[test]
    fn a_deletion_counts_as_a_change_and_a_creation_does_not() {
        let (mut limit, now) = (WriteLimit::default(), Instant::now());
        for _ in 0..4 {
            assert_eq!(permitted(&mut limit, &ChildKind::ALL.map(create), now).len(), 5);
        }
        assert_eq!(permitted(&mut limit, &ChildKind::ALL.map(create), now), [], "twenty creations");
        let delete = [Write::Delete { kind: ChildKind::PrometheusRule, uid: "u".into(), version: 1 }];
        for _ in 0..20 {
            assert_eq!(permitted(&mut limit, &delete, now).len(), 1);
        }
        assert_eq!(permitted(&mut limit, &delete, now), []);
    }

    #[test]
    fn a_child_that_changes_all_the_time_does_not_delay_the_others() {
        let (mut limit, now) = (WriteLimit::default(), Instant::now());
        let all = ChildKind::ALL.map(repair);
        while !permitted(&mut limit, &all[..1], now).is_empty() {}
        let mut turns = Vec::new();
        for second in 1..=6 {
            turns.extend(permitted(&mut limit, &all, now + Duration::from_secs(second)));
        }
        let [service, others @ ..] = ChildKind::ALL;
        assert_eq!(turns, [&others[..], &[service, others[0]]].concat());
    }
}
