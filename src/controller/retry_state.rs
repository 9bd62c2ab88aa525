//! The state that one reconcile of a group leaves for the next: failed writes, and how often
//! something was written lately. Nothing is kept of a group that is in sync. Pure: time and
//! randomness are arguments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kcg_core::children::{ChildKind, PerChild};
use kcg_core::plan::{FailedWrite, Plan, Write};
use kcg_runtime::watch::ObjectKey;
use parking_lot::Mutex;

use super::backoff;
use super::lag_writes::LagWrites;
use super::write_limit::WriteLimit;
use crate::cluster::WriteError;

/// A status that brings a new lag alone is written at most this often.
const LAG_INTERVAL: Duration = Duration::from_secs(30);
/// How long after its moment a reserved write of the lag may be made.
const GRACE: Duration = Duration::from_secs(1);

/// The retry state of one group.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    failed: PerChild<Option<FailedWrite>>,
    limit: WriteLimit,
    status_written: Option<Instant>,
    status_failures: u32,
    status_retry_at: Option<Instant>,
    /// When a status that brings a new lag alone may be written.
    lag_write_at: Option<Instant>,
    /// The errors that were logged last.
    logged_errors: String,
}

/// The retry state of a group while one worker reconciles it.
#[derive(Debug, Default)]
pub(super) struct SharedRetryState(Mutex<RetryState>);

impl SharedRetryState {
    pub(super) fn new(state: RetryState) -> Self {
        Self(Mutex::new(state))
    }

    pub(super) fn with<T>(&self, use_it: impl FnOnce(&mut RetryState) -> T) -> T {
        use_it(&mut self.0.lock())
    }

    pub(super) fn into_inner(self) -> RetryState {
        self.0.into_inner()
    }
}

impl RetryState {
    /// The writes that failed and were not made since.
    pub(super) fn failed_writes(&self) -> &PerChild<Option<FailedWrite>> {
        &self.failed
    }

    /// Forgets the failures of writes that are neither due nor waiting.
    pub(super) fn retain_planned(&mut self, plan: &Plan) {
        for kind in ChildKind::ALL {
            let is_planned = plan.waiting[kind] || plan.writes.iter().any(|write| write.kind() == kind);
            if !is_planned {
                self.failed[kind] = None;
            }
        }
    }

    pub(super) fn succeeded(&mut self, kind: ChildKind) {
        self.failed[kind] = None;
    }

    pub(super) fn failed(&mut self, write: &Write, error: &WriteError, now: Instant, random: f64) {
        let digest = write.digest();
        let failed = &mut self.failed[write.kind()];
        let before = failed.as_ref().filter(|failed| failed.digest == digest);
        let attempts = before.map_or(1, |failed| failed.attempts.saturating_add(1));
        let retry_at = now + backoff::delay(error, attempts, random);
        *failed = Some(FailedWrite { error: error.child_error().cloned(), digest, attempts, retry_at });
    }

    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.failed.iter().filter_map(|(_, failed)| failed.as_ref()).map(|failed| failed.retry_at).min()
    }

    /// Makes the writes wait that are beyond their rate. Returns how long.
    pub(super) fn limit_writes(&mut self, plan: &mut Plan, now: Instant) -> Option<Duration> {
        let waits = self.limit.take(&plan.writes, now);
        plan.writes.retain(|write| waits[write.kind()].is_none());
        for (kind, _) in waits.iter().filter(|(_, wait)| wait.is_some()) {
            plan.waiting[kind] = true;
            plan.errors[kind] = self.failed[kind].as_ref().and_then(|failed| failed.error.clone());
        }
        waits.iter().filter_map(|(_, wait)| *wait).min()
    }

    /// Whether the status may be written now, or when.
    pub(super) fn may_write_status(&self, now: Instant, interval: Duration) -> Result<(), Instant> {
        let after_last = self.status_written.map(|written| written + interval);
        match after_last.max(self.status_retry_at).filter(|at| *at > now) {
            Some(at) => Err(at),
            None => Ok(()),
        }
    }

    /// Whether a status that brings a new lag alone may be written now, or when to ask again.
    pub(super) fn may_write_lag(&mut self, now: Instant, all: &mut LagWrites) -> Result<(), Instant> {
        self.may_write_status(now, LAG_INTERVAL)?;
        // A moment that has passed unused is not a permit for a later write.
        let at = match self.reserved_lag_write(now) {
            Some(at) => at,
            None => *self.lag_write_at.insert(all.reserve(now)?),
        };
        if at > now { Err(at) } else { Ok(()) }
    }

    fn reserved_lag_write(&self, now: Instant) -> Option<Instant> {
        self.lag_write_at.filter(|at| now.saturating_duration_since(*at) < GRACE)
    }

    pub(super) fn status_succeeded(&mut self, now: Instant) {
        self.lag_write_at = None;
        self.status_written = Some(now);
        self.status_is_stored();
    }

    /// The stored status is the current one, also if the response to its write was lost.
    pub(super) fn status_is_stored(&mut self) {
        self.status_failures = 0;
        self.status_retry_at = None;
    }

    /// Returns the time of the retry.
    pub(super) fn status_failed(&mut self, error: &WriteError, now: Instant, random: f64) -> Instant {
        self.status_failures = self.status_failures.saturating_add(1);
        let at = now + backoff::delay(error, self.status_failures, random);
        self.status_retry_at = Some(at);
        at
    }

    /// Whether these errors differ from the last ones: each is logged once, not at every retry.
    pub(super) fn are_new_errors(&mut self, errors: &str) -> bool {
        let are_new = self.logged_errors != errors;
        errors.clone_into(&mut self.logged_errors);
        are_new
    }

    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        let recently = |at: &Instant| now.saturating_duration_since(*at) < LAG_INTERVAL;
        self.failed.iter().all(|(_, failed)| failed.is_none())
            && self.limit.is_full(now)
            && !self.status_written.as_ref().is_some_and(recently)
            && self.status_retry_at.is_none()
            && self.reserved_lag_write(now).is_none()
    }
}

/// Forgets the states in which there is nothing to keep any more, and gives their memory back. After its
/// last write, a group may not be reconciled again for a long time.
pub(super) fn forget_empty(states: &mut HashMap<ObjectKey, RetryState>, now: Instant) {
    states.retain(|_, state| !state.is_empty(now));
    states.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use kcg_core::child_error::ChildError;

    use super::*;

    fn delete() -> Write {
        Write::Delete { kind: ChildKind::PrometheusRule, uid: "u".into(), version: 1 }
    }

    fn refused() -> WriteError {
        ChildError::Refused { message: "no".into() }.into()
    }

    fn plan(waiting: bool, writes: Vec<Write>) -> Plan {
        let mut plan = Plan { writes, errors: PerChild::default(), waiting: PerChild::default() };
        plan.waiting[ChildKind::PrometheusRule] = waiting;
        plan
    }

    #[test]
    fn a_failed_write_waits_longer_each_time_and_is_forgotten_when_it_succeeds() {
        let (mut state, now) = (RetryState::default(), Instant::now());
        state.failed(&delete(), &refused(), now, 0.0);
        let first = state.next_retry().unwrap();
        state.failed(&delete(), &refused(), now, 0.0);
        assert!(state.next_retry().unwrap() > first);
        assert!(state.failed_writes()[ChildKind::PrometheusRule].is_some());
        state.succeeded(ChildKind::PrometheusRule);
        assert!(state.next_retry().is_none() && state.is_empty(now));
    }

    #[test]
    fn the_states_of_groups_that_are_not_reconciled_again_are_forgotten() {
        let now = Instant::now();
        let mut states = HashMap::new();
        for number in 0..1000 {
            let mut state = RetryState::default();
            state.status_succeeded(now);
            states.insert(ObjectKey::new("ns", &number.to_string()), state);
        }
        states.get_mut("ns/7").unwrap().failed(&delete(), &refused(), now, 0.0);
        forget_empty(&mut states, now);
        assert_eq!(states.len(), 1000);
        forget_empty(&mut states, now + LAG_INTERVAL);
        assert_eq!(states.keys().collect::<Vec<_>>(), [&ObjectKey::new("ns", "7")]);
        assert!(states.capacity() < 10, "room for {}", states.capacity());
    }

    #[test]
    fn the_failure_of_a_status_is_forgotten_when_it_is_stored() {
        for stored in [|state: &mut RetryState, _| state.status_is_stored(), RetryState::status_succeeded] {
            let (mut state, now) = (RetryState::default(), Instant::now());
            let at = state.status_failed(&refused(), now, 0.0);
            assert_eq!(state.may_write_status(now, Duration::ZERO), Err(at));
            stored(&mut state, now);
            assert_eq!(state.may_write_status(now, Duration::ZERO), Ok(()));
            assert!(state.is_empty(now + LAG_INTERVAL));
        }
    }

    #[test]
    fn a_failed_write_that_is_no_longer_planned_is_forgotten() {
        let (mut state, now) = (RetryState::default(), Instant::now());
        state.failed(&delete(), &refused(), now, 0.0);
        state.retain_planned(&plan(true, Vec::new()));
        assert!(state.next_retry().is_some());
        state.retain_planned(&plan(false, vec![delete()]));
        assert!(state.next_retry().is_some());
        state.retain_planned(&plan(false, Vec::new()));
        assert!(state.next_retry().is_none());
    }

    #[test]
    fn a_write_beyond_the_rate_waits_and_keeps_its_error() {
        let (mut state, now) = (RetryState::default(), Instant::now());
        state.failed(&delete(), &refused(), now, 0.0);
        let wait = std::iter::from_fn(|| {
            let mut plan = plan(false, vec![delete()]);
            let wait = state.limit_writes(&mut plan, now);
            Some((wait, plan))
        });
        let (wait, mut plan) = { wait }.find(|(wait, _)| wait.is_some()).unwrap();
        assert!(wait.is_some_and(|wait| wait <= Duration::from_secs(1)));
        let rule = ChildKind::PrometheusRule;
        assert!(plan.writes.is_empty() && plan.waiting[rule] && plan.errors[rule].is_some());
        state.retain_planned(&plan);
        assert!(state.failed_writes()[rule].is_some());
        plan.writes.push(delete());
        assert_eq!(state.limit_writes(&mut plan, now + Duration::from_secs(1)), None);
        assert_eq!(plan.writes.len(), 1);
    }

    #[test]
    fn the_status_is_written_at_once_and_then_once_a_second() {
        let (mut state, second) = (RetryState::default(), Duration::from_secs(1));
        let now = Instant::now();
        assert_eq!(state.may_write_status(now, second), Ok(()));
        state.status_succeeded(now);
        assert_eq!(state.may_write_status(now, second), Err(now + second));
        assert_eq!(state.may_write_status(now + 2 * second, second), Ok(()));
        // It is kept for as long as it delays a write of the lag.
        assert!(!state.is_empty(now + 2 * second) && state.is_empty(now + LAG_INTERVAL));
    }

    #[test]
    fn a_lag_alone_is_written_every_half_minute_and_within_the_rate_of_all_groups() {
        let (mut state, mut all) = (RetryState::default(), LagWrites::default());
        let (now, tenth) = (Instant::now(), Duration::from_millis(100));
        assert_eq!(state.may_write_lag(now, &mut all), Ok(()));
        state.status_succeeded(now);
        assert_eq!(state.may_write_lag(now + tenth, &mut all), Err(now + LAG_INTERVAL));

        // Another group writes at the same moment; this one gets the next and keeps it.
        let (later, mut other) = (now + LAG_INTERVAL, RetryState::default());
        assert_eq!(other.may_write_lag(later, &mut all), Ok(()));
        assert_eq!(state.may_write_lag(later, &mut all), Err(later + tenth));
        assert_eq!(state.may_write_lag(later, &mut all), Err(later + tenth));
        assert_eq!(state.may_write_lag(later + tenth, &mut all), Ok(()));
        // A reserved moment that passed unused permits nothing, and is not kept: the lag came back.
        assert!(!state.is_empty(later + tenth) && state.is_empty(later + LAG_INTERVAL));
        let much_later = later + 100 * LAG_INTERVAL;
        assert_eq!(other.may_write_lag(much_later, &mut all), Ok(()));
        assert_eq!(state.may_write_lag(much_later, &mut all), Err(much_later + tenth));
    }
}
