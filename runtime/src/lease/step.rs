//! What a candidate does next, from what it has seen of the Lease. Pure.

use std::time::Duration;

use super::{Moment, Timings, record::Record};

/// The last record that was seen, and since when it has stood unchanged by our own clock. Whether it has
/// expired is judged by that alone: the clocks of other machines count for nothing.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub record: Record,
    since: Moment,
    /// False where the Lease was gone when we last looked.
    exists: bool,
}

/// Takes in what the API server says now. A Lease that was deleted is remembered as it was: its holder does
/// not know of that yet, and keeps on writing until it notices.
pub(super) fn observe(before: Option<Observed>, found: Option<Record>, now: Moment) -> Option<Observed> {
    match (before, found) {
        (Some(before), Some(record)) if before.record == record => Some(Observed { exists: true, ..before }),
        (_, Some(record)) => Some(Observed { record, since: now, exists: true }),
        (Some(before), None) => Some(Observed { exists: false, ..before }),
        (None, None) => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is no Lease: make one that we hold.
    Create,
    /// It is ours, free or expired: replace it by one that we hold.
    Replace,
    /// Somebody else holds it for this long at least, unless it is released before.
    Wait(Duration),
}

pub(super) fn next(seen: Option<&Observed>, now: Moment, me: &str, timings: &Timings) -> Step {
    let Some(seen) = seen else { return Step::Create };
    let expires = seen.since.mono + seen.record.duration(timings);
    let left = expires.saturating_sub(now.mono);
    let free = seen.record.holder.is_empty() || seen.record.holder == me || left.is_zero();
    match (free, seen.exists) {
        (true, true) => Step::Replace,
        (true, false) => Step::Create,
        (false, _) => Step::Wait(left),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> Moment {
        // The wall clock runs backwards by an hour a second: nothing here may look at it.
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

    /// Looks at each (second, record) in turn; what is done at second `now`.
    fn after(looks: &[(u64, Option<Record>)], now: u64) -> Step {
        let seen = looks.iter().cloned().fold(None, |seen, (second, found)| observe(seen, found, at(second)));
        next(seen.as_ref(), at(now), "me", &Timings::default())
    }

    #[test]
    fn the_next_step_follows_from_what_was_seen() {
        let other = || Some(held("other", "t1"));
        let wait = |seconds| Step::Wait(Duration::from_secs(seconds));
        let table = [
            ("no lease", vec![(0, None)], 0, Step::Create),
            ("released", vec![(0, Some(held("", "t1")))], 0, Step::Replace),
            ("ours from before", vec![(0, Some(held("me", "t1")))], 0, Step::Replace),
            ("just seen, however old it says it is", vec![(0, other())], 0, wait(10)),
            ("unchanged for 9 s", vec![(0, other()), (9, other())], 9, wait(1)),
            ("unchanged for 10 s", vec![(0, other()), (9, other())], 10, Step::Replace),
            ("renewed meanwhile", vec![(0, other()), (9, Some(held("other", "t2")))], 10, wait(9)),
            ("renewed by a clock set back", vec![(0, other()), (9, Some(held("other", "t0")))], 10, wait(9)),
            ("another took it", vec![(0, other()), (9, Some(held("third", "t1")))], 10, wait(9)),
            ("deleted under its holder", vec![(0, other()), (2, None)], 2, wait(8)),
            ("deleted, and its holder had its time", vec![(0, other()), (2, None)], 10, Step::Create),
            ("deleted when free", vec![(0, Some(held("", "t1"))), (2, None)], 2, Step::Create),
            ("deleted and made again as it was", vec![(0, other()), (2, None), (4, other())], 5, wait(5)),
        ];
        for (case, looks, now, expected) in table {
            assert_eq!(after(&looks, now), expected, "{case}");
        }
    }

    #[test]
    fn a_holder_with_longer_timings_keeps_its_time() {
        let slow = Record::read(&json!({"spec": {"holderIdentity": "other", "leaseDurationSeconds": 15}}));
        assert_eq!(after(&[(0, Some(slow))], 10), Step::Wait(Duration::from_secs(5)));
    }
}
