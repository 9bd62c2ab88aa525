//! One look at one group, as the list of its stages: observe, accept, plan, write, report. Only the last two
//! speak to the API server.

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use kcg_api::valid::ParsedGroup;
use kcg_api::{KconsumerGroupStatus, ValidGroup, Violation};
use kcg_runtime::lease::Leadership;
use kcg_runtime::watch::ObjectKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::progress::{Progress, Shared};
use crate::cluster::{Cluster, Deed, Fault, Group, Snapshot, Touched};
use kcg_core::observed::{Observed, Trouble};
use kcg_core::plan::{self, Plan, Write};
use kcg_core::status;

/// At most one status write a second: the news of a second are gathered.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How a look at a group ended; the label of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing had to be written.
    #[default]
    Unchanged,
    /// Children or status were written.
    Changed,
    /// The stored spec breaks a rule.
    Invalid,
    /// Something could not be written.
    Failed,
    /// The group is gone, or on its way out.
    Gone,
    /// The code itself failed at this group.
    Panicked,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
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

/// What came of one look.
#[derive(Debug, Default)]
pub struct Look {
    pub outcome: Outcome,
    /// When to look again, if nothing changes before.
    pub again: Option<Instant>,
    pub deeds: Vec<Deed>,
    pub reported: bool,
    /// Groups that have to be looked at because of what was learnt on the way.
    pub touched: Touched,
    /// What went wrong, for the log.
    pub faults: Vec<String>,
}

impl Look {
    fn ended(outcome: Outcome) -> Self {
        Self { outcome, ..Self::default() }
    }

    fn again_at(&mut self, at: Instant) {
        self.again = Some(self.again.map_or(at, |earlier| earlier.min(at)));
    }
}

/// One group's reconcile.
pub struct Reconcile<'a> {
    pub cluster: &'a Cluster,
    pub leadership: &'a Leadership,
    pub key: &'a ObjectKey,
    /// What earlier looks at this group left behind.
    pub progress: &'a Shared,
}

impl Reconcile<'_> {
    pub async fn run(&self) -> Look {
        let Some(Snapshot { group, observed }) = self.cluster.observe(self.key) else {
            return Look::ended(Outcome::Gone);
        };
        if group.deleting {
            return Look::ended(Outcome::Gone);
        }
        let written = group.read(self.key);
        match self.accept(&written) {
            Ok(valid) => self.settle(&group, &valid, observed).await,
            Err(violations) => {
                let status = status::invalid(
                    &written.group,
                    &violations,
                    &observed,
                    &group.status(),
                    Timestamp::now(),
                );
                let mut look = Look::ended(Outcome::Invalid);
                self.report(&group, &status, &mut look).await;
                look
            }
        }
    }

    /// The rules that the webhook holds a group to: one that slipped in is told, and nothing is written for it.
    fn accept(&self, written: &ParsedGroup) -> Result<ValidGroup, Vec<Violation>> {
        if !written.violations.is_empty() {
            return Err(written.violations.clone());
        }
        ValidGroup::read(&written.group, self.cluster.grants())
    }

    async fn settle(&self, group: &Arc<Group>, valid: &ValidGroup, observed: Observed) -> Look {
        let mut look = Look::default();
        let now = Instant::now();
        let setbacks = self.progress.with(|progress| progress.setbacks(now));
        let mut plan = plan::plan(valid, &observed, &setbacks);
        self.cluster.remember(self.key, plan.ceiling.held());
        self.hold_back(&mut plan, &observed, now, &mut look);
        self.progress.with(|progress| progress.keep_only(&plan));

        self.write(valid, &mut plan, &mut look).await;

        let next = self.progress.with(|progress| progress.next_retry());
        if let Some(at) = next {
            look.again_at(at);
        }
        let Some(after) = self.cluster.observe(self.key).filter(|after| after.group.uid == group.uid) else {
            return look;
        };
        let observed = Observed { troubles: plan.troubles, ..after.observed };
        let status =
            status::compose(valid, &observed, &plan.ceiling, &after.group.status(), Timestamp::now());
        self.report(&after.group, &status, &mut look).await;
        look
    }

    /// Leaves out writes that cannot be made, or that somebody undoes faster than is good for the API server.
    fn hold_back(&self, plan: &mut Plan, observed: &Observed, now: Instant, look: &mut Look) {
        plan.writes.retain(|write| {
            let kind = write.kind();
            if !self.cluster.serves(kind) {
                plan.troubles[kind.index()] = Some(Trouble::NotServed);
                return false;
            }
            if !is_drift(write, observed) {
                return true;
            }
            match self.progress.with(|progress| progress.may_repair(now)) {
                Ok(()) => true,
                Err(wait) => {
                    look.again_at(now + wait);
                    false
                }
            }
        });
    }

    /// All writes of the group side by side: the slowest one holds none of the others up.
    async fn write(&self, valid: &ValidGroup, plan: &mut Plan, look: &mut Look) {
        let min = plan.ceiling.min;
        let writes = plan.writes.iter().map(|write| async move {
            (write, self.cluster.write(valid, min, write, self.leadership).await)
        });
        for (write, outcome) in join_all(writes).await {
            let kind = write.kind();
            match outcome {
                Ok(deeds) => {
                    self.progress.with(|progress| progress.succeeded(kind));
                    look.deeds.extend(deeds);
                }
                Err(Fault::NotLeading) => look.outcome = Outcome::Failed,
                Err(fault) => {
                    plan.troubles[kind.index()] = fault.trouble();
                    if let Some(said) = describe(&fault) {
                        look.faults.push(format!("{}: {said}", kind.kind()));
                        look.outcome = Outcome::Failed;
                    }
                    self.progress
                        .with(|progress| progress.failed(write, &fault, Instant::now(), fastrand::f64()));
                }
            }
        }
        if look.outcome == Outcome::Unchanged && !look.deeds.is_empty() {
            look.outcome = Outcome::Changed;
        }
    }

    /// Writes the status where it says something new, and tells what has gone wrong since the last one.
    async fn report(&self, group: &Group, status: &KconsumerGroupStatus, look: &mut Look) {
        let previous = group.status();
        if *status == previous {
            return;
        }
        let now = Instant::now();
        if let Err(at) = self.progress.with(|progress| progress.may_report(now, REPORT_EVERY)) {
            return look.again_at(at);
        }
        match self.cluster.report(self.key, group, status, self.leadership).await {
            Ok(reported) => {
                look.reported = reported.is_some();
                look.touched = reported.unwrap_or_default();
                if look.outcome == Outcome::Unchanged {
                    look.outcome = Outcome::Changed;
                }
                self.progress.with(Progress::reported);
                let notices = if look.reported { status::notices(&previous, status) } else { Vec::new() };
                join_all(notices.iter().map(|notice| self.cluster.warn(self.key, group, notice))).await;
            }
            Err(fault) => {
                look.outcome = Outcome::Failed;
                look.faults.extend(describe(&fault));
                look.again_at(
                    self.progress.with(|progress| progress.report_failed(&fault, now, fastrand::f64())),
                );
            }
        }
    }
}

/// A repair of what somebody else changed, rather than the news of a changed group.
fn is_drift(write: &Write, observed: &Observed) -> bool {
    use kcg_core::observed::Standing;
    matches!(write, Write::Repair { unjudged: false, .. })
        && observed.child(write.kind()).is_some_and(|child| child.standing == Standing::Differs)
}

fn describe(fault: &Fault) -> Option<String> {
    match fault {
        Fault::Conflict { owner } => Some(format!("the object of that name belongs to {owner}")),
        Fault::SelectorImmutable => Some("its selector is another and cannot be changed".to_owned()),
        Fault::NotServed => Some("its kind is not served".to_owned()),
        Fault::Refused { message } | Fault::Failed { message, .. } => Some(message.clone()),
        Fault::Waiting | Fault::NotLeading => None,
    }
}
