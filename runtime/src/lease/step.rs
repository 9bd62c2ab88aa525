//! The next step of a candidate, from its observations of the Lease. Pure.

use std::time::Duration;

use super::{Moment, Timings, record::Record};

/// The last observed record and how long it has not changed by our own clock. Only this decides
/// whether it has expired; clocks of other machines do not count.
#[derive(Debug, Clone)]
pub(super) struct ObservedRecord {
    pub(super) record: Record,
    since: Moment,
    /// Whether the Lease existed when it was last read.
    exists: bool,
}

/// Adds an observation. A deleted Lease is remembered as it was, since its holder continues to
/// write until it notices.
pub(super) fn observe(
    before: Option<ObservedRecord>,
    found: Option<Record>,
    now: Moment,
) -> Option<ObservedRecord> {
    match (before, found) {
        (Some(before), Some(record)) if before.record == record => {
            Some(ObservedRecord { exists: true, ..before })
        }
        (_, Some(record)) => Some(ObservedRecord { record, since: now, exists: true }),
        (Some(before), None) => Some(ObservedRecord { exists: false, ..before }),
        (None, None) => None,
    }
}

/// The next step of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElectionStep {
    /// There is no Lease: create one that we hold.
    Create,
    /// The Lease is ours, free or expired: replace it with one that we hold.
    Replace,
    /// Another process holds the Lease for at least this long unless it releases it.
    Wait(Duration),
}

pub(super) fn next_step(
    observed: Option<&ObservedRecord>,
    now: Moment,
    me: &str,
    timings: &Timings,
) -> ElectionStep {
    let Some(observed) = observed else { return ElectionStep::Create };
    let expires = observed.since.mono + observed.record.duration(timings);
    let left = expires.saturating_sub(now.mono);
    let free = observed.record.holder.is_empty() || observed.record.holder == me || left.is_zero();
    match (free, observed.exists) {
        (true, true) => ElectionStep::Replace,
        (true, false) => ElectionStep::Create,
        (false, _) => ElectionStep::Wait(left),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> Moment {
        // The wall clock runs backwards by an hour a second, since no decision may depend on it.
        Moment {
            mono: Duration::from_secs(seconds),
            wall: SystemTime::UNIX_EPOCH + Duration::from_hours(1_000_000 - seconds),
        }
    }

    fn held(holder: &str, renewed: &str) -> Record {
        Record::read(
            &json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 10, "renewTime": renewed}}),
        )
    }

    /// The step at second `now` after these observations (second, record).
    fn after(observations: &[(u64, Option<Record>)], now: u64) -> ElectionStep {
        let observed = observations
            .iter()
            .cloned()
            .fold(None, |observed, (second, found)| observe(observed, found, at(second)));
        next_step(observed.as_ref(), at(now), "me", &Timings::default())
    }

    #[test]
    fn the_next_step_follows_from_the_observations() {
        let other = || Some(held("other", "t1"));
        let wait = |seconds| ElectionStep::Wait(Duration::from_secs(seconds));
        let table = [
            ("no lease", vec![(0, None)], 0, ElectionStep::Create),
            ("released", vec![(0, Some(held("", "t1")))], 0, ElectionStep::Replace),
            ("ours already", vec![(0, Some(held("me", "t1")))], 0, ElectionStep::Replace),
            ("first observation, whatever its renewTime is", vec![(0, other())], 0, wait(10)),
            ("unchanged for 9 s", vec![(0, other()), (9, other())], 9, wait(1)),
            ("unchanged for 10 s", vec![(0, other()), (9, other())], 10, ElectionStep::Replace),
            ("renewed in between", vec![(0, other()), (9, Some(held("other", "t2")))], 10, wait(9)),
            ("renewed by a clock set back", vec![(0, other()), (9, Some(held("other", "t0")))], 10, wait(9)),
            ("acquired by another", vec![(0, other()), (9, Some(held("third", "t1")))], 10, wait(9)),
            ("deleted while held", vec![(0, other()), (2, None)], 2, wait(8)),
            ("deleted, and its duration has passed", vec![(0, other()), (2, None)], 10, ElectionStep::Create),
            ("deleted while free", vec![(0, Some(held("", "t1"))), (2, None)], 2, ElectionStep::Create),
            ("deleted and recreated unchanged", vec![(0, other()), (2, None), (4, other())], 5, wait(5)),
        ];
        for (case, observations, now, expected) in table {
            assert_eq!(after(&observations, now), expected, "{case}");
        }
    }

    #[test]
    fn a_holder_with_longer_timings_is_respected() {
        let slow = Record::read(&json!({"spec": {"holderIdentity": "other", "leaseDurationSeconds": 15}}));
        assert_eq!(after(&[(0, Some(slow))], 10), ElectionStep::Wait(Duration::from_secs(5)));
    }
}
