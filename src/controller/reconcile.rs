//! The reconcile of one group, as the list of its stages: observe, resolve the desired state, plan,
//! write, report. Only the last two send requests.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use kcg_api::{KconsumerGroupStatus, ValidGroup};
use kcg_core::child_error::ChildError;
use kcg_core::children::ChildKind;
use kcg_core::desired::DesiredState;
use kcg_core::facts::Observed;
use kcg_core::lag::Tolerance;
use kcg_core::plan::{self, Plan, Write};
use kcg_core::status;
use kcg_core::topic_wait::topic_wait;
use kcg_runtime::lease::Leadership;
use kcg_runtime::watch::ObjectKey;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::lag_writes::LagWrites;
use super::retry_state::{RetryState, SharedRetryState};
use crate::cluster::{Affected, AppliedWrite, CachedGroup, Cluster, Snapshot, WriteError};

/// At most one status write a second for each group: the changes of a second are written together.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// How long the other writes of a group wait for that of its autoscaler.
const HEAD_START: Duration = Duration::from_secs(1);

/// How a reconcile ended; the label of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// Nothing had to be written.
    #[default]
    Unchanged,
    /// Children or status were written.
    Changed,
    /// The stored spec breaks a rule.
    Invalid,
    /// Something could not be written.
    Failed,
    /// The group is gone or is being deleted.
    Gone,
    /// The code panicked.
    Panicked,
}

impl Outcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "Unchanged",
            Self::Changed => "Changed",
            Self::Invalid => "Invalid",
            Self::Failed => "Failed",
            Self::Gone => "Gone",
            Self::Panicked => "Panicked",
        }
    }
}

/// The result of one reconcile.
#[derive(Debug, Default)]
pub(super) struct ReconcileResult {
    pub(super) outcome: Outcome,
    /// When to reconcile again, if nothing changes before.
    pub(super) requeue_at: Option<Instant>,
    /// Writes wait because of the group's rate: a change does not lead to an earlier reconcile.
    pub(super) is_limited: bool,
    pub(super) applied: Vec<AppliedWrite>,
    pub(super) status_written: bool,
    /// Groups that have to be reconciled because of what this reconcile learned.
    pub(super) affected: Affected,
    /// Errors, for the log.
    pub(super) errors: Vec<String>,
}

impl ReconcileResult {
    pub(super) fn ended(outcome: Outcome) -> Self {
        Self { outcome, ..Self::default() }
    }

    fn requeue_at(&mut self, at: Instant) {
        self.requeue_at = Some(self.requeue_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// The reconcile of one group.
pub(super) struct Reconcile<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) leadership: &'a Leadership,
    pub(super) key: &'a ObjectKey,
    /// The state left by earlier reconciles of this group.
    pub(super) retry_state: &'a SharedRetryState,
    /// Of all groups.
    pub(super) lag_writes: &'a Mutex<LagWrites>,
}

impl Reconcile<'_> {
    pub(super) async fn run(&self) -> ReconcileResult {
        let Some(Snapshot { group, observed }) = self.cluster.observe(self.key) else {
            return ReconcileResult::ended(Outcome::Gone);
        };
        if group.deleting {
            return ReconcileResult::ended(Outcome::Gone);
        }
        let stored = self.cluster.parse(self.key, &group);
        match self.cluster.desired_state(&stored, &observed) {
            Ok(state) => self.settle(&group, &state, observed).await,
            Err(violations) => {
                let (previous, now) = (group.status(), Timestamp::now());
                let status = status::invalid(&stored.group, &violations, &observed, &previous, now);
                let mut result = ReconcileResult::ended(Outcome::Invalid);
                self.report(&group, Tolerance::default(), status, &mut result).await;
                result
            }
        }
    }

    async fn settle(
        &self,
        group: &Arc<CachedGroup>,
        state: &DesiredState,
        observed: Observed,
    ) -> ReconcileResult {
        let mut result = ReconcileResult::default();
        let now = Instant::now();
        let mut plan = self
            .retry_state
            .with(|retry_state| plan::plan(state, &observed, retry_state.failed_writes(), now.into_std()));
        self.cluster.remember(self.key, state.ceiling.held());
        wait_for_topics(state, &observed, &mut plan, now, &mut result);
        self.hold_back(&mut plan, now, &mut result);
        self.retry_state.with(|retry_state| retry_state.retain_planned(&plan));

        self.write(&state.group, state.ceiling.min, &mut plan, &mut result).await;

        if let Some(at) = self.retry_state.with(|retry_state| retry_state.next_retry()) {
            result.requeue_at(Instant::from_std(at));
        }
        let Some(after) = self.cluster.observe(self.key).filter(|after| after.group.uid == group.uid) else {
            return result;
        };
        let status = status::compose(
            &state.group,
            &after.observed,
            &state.ceiling,
            &plan.errors,
            &after.group.status(),
            Timestamp::now(),
        );
        let tolerance = after.observed.tolerance(&state.group);
        let next_change = status::until_next_change(&state.group, &after.observed, &status, Timestamp::now());
        if let Some(wait) = next_change {
            result.requeue_at(Instant::now() + wait);
        }
        self.report(&after.group, tolerance, status, &mut result).await;
        result
    }

    /// Removes writes of kinds that the cluster does not serve, and those beyond the group's rate.
    fn hold_back(&self, plan: &mut Plan, now: Instant, result: &mut ReconcileResult) {
        plan.writes.retain(|write| {
            let is_served = self.cluster.serves(write.kind());
            if !is_served {
                plan.errors[write.kind()] = Some(ChildError::NotServed);
            }
            is_served
        });
        let wait = self.retry_state.with(|retry_state| retry_state.limit_writes(plan, now.into_std()));
        if let Some(wait) = wait {
            result.requeue_at(now + wait);
            result.is_limited = true;
        }
    }

    /// Makes all writes of the group concurrently, so that a slow one does not delay the others. Only a
    /// change of the autoscaler has a head start: the API server would work at the PrometheusRule, which is
    /// twelve times as large, at the same time.
    async fn write(&self, group: &ValidGroup, min: i32, plan: &mut Plan, result: &mut ReconcileResult) {
        let scaled = CancellationToken::new();
        if !plan.writes.iter().any(scales) {
            scaled.cancel();
        }
        let writes = plan.writes.iter().map(|write| {
            let scaled = &scaled;
            async move {
                let waits = !scales(write);
                if waits {
                    let _ = timeout(HEAD_START, scaled.cancelled()).await;
                }
                let outcome = self.cluster.write(group, min, write, self.leadership).await;
                if !waits {
                    scaled.cancel();
                }
                (write, outcome)
            }
        });
        for (write, outcome) in join_all(writes).await {
            let kind = write.kind();
            match outcome {
                Ok(applied) => {
                    self.retry_state.with(|retry_state| retry_state.succeeded(kind));
                    result.applied.extend(applied);
                }
                Err(WriteError::NotLeading) => result.outcome = Outcome::Failed,
                Err(error) => {
                    plan.errors[kind] = error.child_error().cloned();
                    if let Some(error) = error.child_error() {
                        result.errors.push(error.logged(kind, &group.name));
                        result.outcome = Outcome::Failed;
                    }
                    let (now, random) = (Instant::now().into_std(), fastrand::f64());
                    self.retry_state.with(|retry_state| retry_state.failed(write, &error, now, random));
                }
            }
        }
        if result.outcome == Outcome::Unchanged && !result.applied.is_empty() {
            result.outcome = Outcome::Changed;
        }
    }

    /// Writes the status if it has changed, and records what happened as Events.
    async fn report(
        &self,
        group: &CachedGroup,
        tolerance: Tolerance,
        status: KconsumerGroupStatus,
        result: &mut ReconcileResult,
    ) {
        let previous = group.status();
        let now = Instant::now().into_std();
        let may_write = match status::Change::between(&previous, &status, tolerance) {
            status::Change::Nothing => return self.retry_state.with(RetryState::status_is_stored),
            status::Change::Lag => {
                let mut lag_writes = self.lag_writes.lock();
                self.retry_state.with(|state| state.may_write_lag(now, &mut lag_writes))
            }
            status::Change::More => {
                self.retry_state.with(|state| state.may_write_status(now, STATUS_INTERVAL))
            }
        };
        if let Err(at) = may_write {
            return result.requeue_at(Instant::from_std(at));
        }
        match self.cluster.write_status(self.key, group, &status, self.leadership).await {
            Ok(affected) => {
                result.status_written = affected.is_some();
                result.affected = affected.unwrap_or_default();
                if result.outcome == Outcome::Unchanged {
                    result.outcome = Outcome::Changed;
                }
                let written = Instant::now().into_std();
                self.retry_state.with(|retry_state| retry_state.status_succeeded(written));
                let events =
                    if result.status_written { status::events(&previous, &status) } else { Vec::new() };
                join_all(events.iter().map(|event| self.cluster.record(self.key, group, event))).await;
            }
            Err(error) => {
                if !matches!(error, WriteError::Waiting) {
                    result.outcome = Outcome::Failed;
                }
                if let Some(ChildError::Failed { message }) = error.child_error() {
                    result.errors.push(format!("the status could not be written and is retried: {message}"));
                }
                let random = fastrand::f64();
                let at = self.retry_state.with(|retry_state| retry_state.status_failed(&error, now, random));
                result.requeue_at(Instant::from_std(at));
            }
        }
    }
}

/// Whether the write changes how a group scales.
fn scales(write: &Write) -> bool {
    matches!(write, Write::Repair { .. }) && write.kind() == ChildKind::HorizontalPodAutoscaler
}

/// Holds back the creation of a new group's Deployment while it waits for its KafkaTopics.
fn wait_for_topics(
    state: &DesiredState,
    observed: &Observed,
    plan: &mut Plan,
    now: Instant,
    result: &mut ReconcileResult,
) {
    let Some(wait) = topic_wait(state, observed, Timestamp::now()) else {
        return;
    };
    plan.writes.retain(|write| write.kind() != ChildKind::Deployment);
    plan.errors[ChildKind::Deployment] = Some(wait.error);
    result.requeue_at(now + wait.remaining);
}
