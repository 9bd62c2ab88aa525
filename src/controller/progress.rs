//! What one look at a group leaves for the next: writes that failed, and how often something was written
//! lately. Nothing is kept of a group that is at rest.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use super::retry::{self, Allowance};
use crate::cluster::Fault;
use kcg_core::children::ChildKind;
use kcg_core::observed::{Digest, Trouble};
use kcg_core::plan::{self, Plan, Setback, Write};

/// A child's last failed write.
#[derive(Clone, Debug)]
struct Failure {
    trouble: Option<Trouble>,
    digest: Digest,
    attempts: u32,
    retry_at: Instant,
}

/// One group's.
#[derive(Debug, Default)]
pub struct Progress {
    failures: [Option<Failure>; 5],
    /// Drift that was repaired lately.
    repairs: Option<Allowance>,
    status_written: Option<Instant>,
    status_failures: u32,
    status_retry: Option<Instant>,
    /// What was logged last as having gone wrong.
    complained: String,
}

/// A group's progress while one worker has it.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Progress>);

impl Shared {
    pub fn new(progress: Progress) -> Self {
        Self(Mutex::new(progress))
    }

    pub fn with<T>(&self, use_it: impl FnOnce(&mut Progress) -> T) -> T {
        // A panic elsewhere leaves plain values here: they are as good as before.
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn into_inner(self) -> Progress {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    pub fn setbacks(&self, now: Instant) -> [Option<Setback>; 5] {
        self.failures.each_ref().map(|failure| {
            failure.as_ref().map(|failure| Setback {
                trouble: failure.trouble.clone(),
                digest: failure.digest,
                retry_in: failure.retry_at.saturating_duration_since(now),
            })
        })
    }

    /// Forgets the failures of writes that are neither due nor waiting any more.
    pub fn keep_only(&mut self, plan: &Plan) {
        for kind in ChildKind::ALL {
            let is_due = plan.waiting[kind.index()] || plan.writes.iter().any(|write| write.kind() == kind);
            if !is_due {
                self.failures[kind.index()] = None;
            }
        }
    }

    pub fn succeeded(&mut self, kind: ChildKind) {
        self.failures[kind.index()] = None;
    }

    pub fn failed(&mut self, write: &Write, fault: &Fault, now: Instant, random: f64) {
        let digest = match write {
            Write::Create { digest, .. } | Write::Repair { digest, .. } => *digest,
            Write::Delete { .. } => plan::DELETED,
        };
        let place = &mut self.failures[write.kind().index()];
        let before = place.as_ref().filter(|failure| failure.digest == digest);
        let attempts = before.map_or(1, |failure| failure.attempts.saturating_add(1));
        let retry_at = now + retry::delay(fault, attempts, random);
        *place = Some(Failure { trouble: fault.trouble(), digest, attempts, retry_at });
    }

    pub fn next_retry(&self) -> Option<Instant> {
        self.failures.iter().flatten().map(|failure| failure.retry_at).min()
    }

    /// Whether one more repair of drift may be made, or how long to wait for it.
    pub fn may_repair(&mut self, now: Instant) -> Result<(), Duration> {
        let seconds = seconds(now);
        self.repairs.get_or_insert_with(|| Allowance::new(seconds)).take(seconds)
    }

    /// Whether the status may be written, or when.
    pub fn may_report(&self, now: Instant, every: Duration) -> Result<(), Instant> {
        let after_last = self.status_written.map(|written| written + every);
        match after_last.max(self.status_retry).filter(|at| *at > now) {
            Some(at) => Err(at),
            None => Ok(()),
        }
    }

    pub fn reported(&mut self) {
        self.status_written = Some(Instant::now());
        self.status_failures = 0;
        self.status_retry = None;
    }

    /// When to try again.
    pub fn report_failed(&mut self, fault: &Fault, now: Instant, random: f64) -> Instant {
        self.status_failures = self.status_failures.saturating_add(1);
        let at = now + retry::delay(fault, self.status_failures, random);
        self.status_retry = Some(at);
        at
    }

    /// Whether what went wrong is news: the log says it once, and not at every retry.
    pub fn is_news(&mut self, faults: &str) -> bool {
        let news = self.complained != faults;
        faults.clone_into(&mut self.complained);
        news
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self, now: Instant) -> bool {
        let recently = |at: &Instant| now.saturating_duration_since(*at) < Duration::from_secs(1);
        self.failures.iter().all(Option::is_none)
            && self.repairs.is_none_or(|repairs| repairs.is_full(seconds(now)))
            && !self.status_written.as_ref().is_some_and(recently)
            && self.status_retry.is_none()
    }
}

/// Seconds since a moment that stays the same while the process runs.
fn seconds(now: Instant) -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    now.saturating_duration_since(*START.get_or_init(|| now)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kcg_core::test_support;

    fn delete() -> Write {
        Write::Delete { kind: ChildKind::PrometheusRule, uid: "u".into() }
    }

    fn refused() -> Fault {
        Fault::Refused { message: "no".into() }
    }

    #[test]
    fn a_failed_write_waits_longer_each_time_and_is_forgotten_when_it_succeeds() {
        let (mut progress, now) = (Progress::default(), Instant::now());
        progress.failed(&delete(), &refused(), now, 0.0);
        let first = progress.next_retry().unwrap();
        progress.failed(&delete(), &refused(), now, 0.0);
        assert!(progress.next_retry().unwrap() > first);
        assert!(progress.setbacks(now)[ChildKind::PrometheusRule.index()].is_some());
        progress.succeeded(ChildKind::PrometheusRule);
        assert!(progress.next_retry().is_none() && progress.is_empty(now));
    }

    #[test]
    fn a_failure_whose_write_is_no_longer_due_is_forgotten() {
        let (mut progress, now) = (Progress::default(), Instant::now());
        progress.failed(&delete(), &refused(), now, 0.0);
        let group = test_support::group("{}");
        let mut plan = plan::plan(&group, &test_support::settled_world(&group), &Default::default());
        plan.waiting[ChildKind::PrometheusRule.index()] = true;
        progress.keep_only(&plan);
        assert!(progress.next_retry().is_some());
        plan.waiting = [false; 5];
        plan.writes = vec![delete()];
        progress.keep_only(&plan);
        assert!(progress.next_retry().is_some());
        plan.writes.clear();
        progress.keep_only(&plan);
        assert!(progress.next_retry().is_none());
    }

    #[test]
    fn the_status_is_written_at_once_and_then_once_a_second() {
        let (mut progress, second) = (Progress::default(), Duration::from_secs(1));
        let now = Instant::now();
        assert_eq!(progress.may_report(now, second), Ok(()));
        progress.reported();
        assert!(progress.may_report(Instant::now(), second).is_err());
        assert_eq!(progress.may_report(now + 2 * second, second), Ok(()));
        assert!(!progress.is_empty(now) && progress.is_empty(now + 2 * second));
    }
}
