//! The spec of a Lease, read leniently: a field with a bad value must not lock out all candidates.
//! Pure.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Timings;

/// The spec of a Lease. Times stay text: they come from the clock of another machine, so they are
/// compared for equality but never computed with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Empty if the Lease is free.
    pub(super) holder: String,
    seconds: i64,
    acquired: Option<String>,
    renewed: Option<String>,
    transitions: i64,
}

impl Record {
    pub(super) fn read(lease: &Value) -> Self {
        let spec = &lease["spec"];
        let text = |field: &str| spec[field].as_str().map(str::to_owned);
        Self {
            holder: text("holderIdentity").unwrap_or_default(),
            seconds: spec["leaseDurationSeconds"].as_i64().unwrap_or_default(),
            acquired: text("acquireTime"),
            renewed: text("renewTime"),
            transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
        }
    }

    /// How long after its last change the record expires. The holder's duration counts, so that
    /// versions with different timings can run together; if it makes no sense, ours does.
    pub(super) fn duration(&self, timings: &Timings) -> Duration {
        match u64::try_from(self.seconds) {
            Ok(seconds @ 1..=300) => Duration::from_secs(seconds),
            _ => timings.lease,
        }
    }

    /// The next record, held by `me`.
    pub(super) fn held_by(&self, me: &str, now: SystemTime, timings: &Timings) -> Self {
        let renewed = self.later(now);
        let mine = self.holder == me;
        Self {
            holder: me.to_owned(),
            seconds: i64::try_from(timings.lease.as_secs()).unwrap_or(i64::MAX),
            acquired: self.acquired.clone().filter(|_| mine).or_else(|| Some(renewed.clone())),
            renewed: Some(renewed),
            transitions: self.transitions.clamp(0, i64::from(i32::MAX) - 1) + i64::from(!mine),
        }
    }

    /// The next record, held by no one, as client-go writes it.
    pub(super) fn released(&self, now: SystemTime) -> Self {
        let renewed = self.later(now);
        Self {
            holder: String::new(),
            seconds: 1,
            acquired: Some(renewed.clone()),
            renewed: Some(renewed),
            transitions: self.transitions,
        }
    }

    /// `now` in the format of a Lease. Never equal to the last renewal, since others rely on the
    /// change.
    fn later(&self, now: SystemTime) -> String {
        let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = micros(now);
        if self.renewed.as_ref() == Some(&text) {
            return micros(now.checked_add(Duration::from_micros(1)).unwrap_or(Timestamp::UNIX_EPOCH));
        }
        text
    }

    pub(super) fn spec(&self) -> Value {
        json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.seconds,
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
            "leaseTransitions": self.transitions,
        })
    }
}

fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(spec: &Value) -> Record {
        Record::read(&json!({ "spec": spec }))
    }

    #[test]
    fn a_lease_with_bad_values_is_still_read() {
        let table = [
            (json!(null), Duration::from_secs(10)),
            (json!({}), Duration::from_secs(10)),
            (
                json!({"leaseDurationSeconds": -5, "renewTime": "9999-12-31T23:59:59.999999Z"}),
                Duration::from_secs(10),
            ),
            (json!({"leaseDurationSeconds": 2_147_483_647_i64}), Duration::from_secs(10)),
            (
                json!({"leaseDurationSeconds": "10", "leaseTransitions": "x", "renewTime": 7}),
                Duration::from_secs(10),
            ),
            (json!({"leaseDurationSeconds": 15}), Duration::from_secs(15)),
        ];
        for (spec, expected) in table {
            assert_eq!(lease(&spec).duration(&Timings::default()), expected, "{spec}");
        }
    }

    #[test]
    fn taking_over_counts_a_transition_and_renewing_does_not() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        let taken = lease(&json!({"holderIdentity": "other", "acquireTime": "2020-01-01T00:00:00.000000Z", "leaseTransitions": 3}))
            .held_by("me", now, &Timings::default());
        assert_eq!(
            taken.spec(),
            json!({"holderIdentity": "me", "leaseDurationSeconds": 10, "leaseTransitions": 4,
                "acquireTime": "1970-01-01T00:00:01.500000Z", "renewTime": "1970-01-01T00:00:01.500000Z"})
        );
        let renewed = taken.held_by("me", now + Duration::from_secs(2), &Timings::default());
        assert_eq!((renewed.transitions, &renewed.acquired), (4, &taken.acquired));
        assert_eq!(renewed.renewed.as_deref(), Some("1970-01-01T00:00:03.500000Z"));
    }

    #[test]
    fn a_renewal_changes_the_record_even_if_the_wall_clock_stops() {
        let now = SystemTime::UNIX_EPOCH;
        let first = Record::default().held_by("me", now, &Timings::default());
        let second = first.held_by("me", now, &Timings::default());
        assert_ne!(first, second);
    }

    #[test]
    fn a_record_can_be_written_in_any_year() {
        let centuries = Duration::from_hours(24 * 365 * 20_000);
        for now in
            [SystemTime::UNIX_EPOCH + centuries, SystemTime::UNIX_EPOCH - Duration::from_hours(24 * 365 * 30)]
        {
            let text = Record::default().held_by("me", now, &Timings::default()).renewed.unwrap();
            assert_eq!(text.len(), "1970-01-01T00:00:00.000000Z".len(), "{text}");
        }
    }
}
