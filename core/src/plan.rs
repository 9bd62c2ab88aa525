//! Which writes are due for one group: its children as they should be, compared with what exists.

use std::time::Instant;

use crate::child_error::ChildError;
use crate::children::{ChildKind, DELETED, Desired, Digest, PerChild};
use crate::creation::Creation;
use crate::desired::DesiredState;
use crate::drift::Drift;
use crate::facts::{Child, Detail, Observed};

/// One write, independent of the others of its group.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// No object of that name is known.
    Create {
        /// The child.
        desired: Desired,
        /// Its digest.
        digest: Digest,
        /// An object of another owner had the name at the last attempt: read it first, which costs
        /// the cluster less than a creation that is refused.
        look_up_first: bool,
    },
    /// The group's own child: apply it with its uid and resourceVersion and with force, for the fields
    /// that the operator owns.
    Repair {
        /// The child.
        desired: Desired,
        /// Its digest.
        digest: Digest,
        /// The live object.
        target: Target,
        /// Its drift is unknown: read and compare it first, and write it only if it has drifted.
        compare_first: bool,
    },
    /// The group's own child that it should no longer have.
    Delete {
        /// Which child.
        kind: ChildKind,
        /// The uid of the live object.
        uid: Box<str>,
        /// Its resourceVersion, as for [`Target`].
        version: u64,
    },
}

/// The live object that a repair changes, as it was when the repair was decided. A request that reaches
/// the API server late, of a process that leads no more, must not undo what was written since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// metadata.uid.
    pub uid: Box<str>,
    /// metadata.resourceVersion as a number; 0 if it is none.
    pub version: u64,
    /// What is left of its creation in managedFields.
    pub creation: Option<Creation>,
}

impl Target {
    /// The child as it was seen.
    pub fn of(child: &Child) -> Self {
        Self { uid: child.uid.clone(), version: child.resource_version, creation: child.creation }
    }
}

impl Write {
    /// The child that is written.
    pub const fn kind(&self) -> ChildKind {
        match self {
            Self::Create { desired, .. } | Self::Repair { desired, .. } => desired.kind,
            Self::Delete { kind, .. } => *kind,
        }
    }

    /// The digest of the object to write; [`DELETED`] for a deletion. Two writes with the same
    /// digest do the same.
    pub const fn digest(&self) -> Digest {
        match self {
            Self::Create { digest, .. } | Self::Repair { digest, .. } => *digest,
            Self::Delete { .. } => DELETED,
        }
    }
}

/// The last failed write of a child, and when it may be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedWrite {
    /// What the status reports; `None` if nothing is wrong and it only has to wait.
    pub error: Option<ChildError>,
    /// [`Write::digest`] of the write. A different write does not wait.
    pub digest: Digest,
    /// Failures in a row.
    pub attempts: u32,
    /// Not before this moment.
    pub retry_at: Instant,
}

impl FailedWrite {
    fn delays(&self, write: &Write, now: Instant) -> bool {
        self.digest == write.digest() && self.retry_at > now
    }

    const fn is_of_a_taken_name(&self) -> bool {
        matches!(self.error, Some(ChildError::NameConflict { .. } | ChildError::SelectorImmutable))
    }
}

/// What to do for one group now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The writes that are due.
    pub writes: Vec<Write>,
    /// Errors that need no request to find out, and those of writes that wait.
    pub errors: PerChild<Option<ChildError>>,
    /// Whether a write of the child is due, but waits for its retry.
    pub waiting: PerChild<bool>,
}

/// Decides the writes of one group. A write that failed waits until its retry. A paused group has
/// none.
pub fn plan(
    state: &DesiredState,
    observed: &Observed,
    failed: &PerChild<Option<FailedWrite>>,
    now: Instant,
) -> Plan {
    let mut plan = Plan { writes: Vec::new(), errors: PerChild::default(), waiting: PerChild::default() };
    for kind in ChildKind::ALL {
        let is_taken = failed[kind].as_ref().is_some_and(FailedWrite::is_of_a_taken_name);
        let (write, error) = write(&state.group.uid, kind, state.child(kind), observed.child(kind), is_taken);
        plan.errors[kind] = error;
        let Some(write) = write.filter(|_| !state.group.paused) else {
            continue;
        };
        match failed[kind].as_ref().filter(|failed| failed.delays(&write, now)) {
            Some(failed) => {
                plan.waiting[kind] = true;
                plan.errors[kind].clone_from(&failed.error);
            }
            None => plan.writes.push(write),
        }
    }
    plan
}

fn write(
    group_uid: &str,
    kind: ChildKind,
    desired: Option<Desired>,
    child: Option<&Child>,
    look_up_first: bool,
) -> (Option<Write>, Option<ChildError>) {
    let Some(child) = child else {
        let create = |desired: Desired| Write::Create { digest: desired.digest(), desired, look_up_first };
        return (desired.map(create), None);
    };
    let own = child.controller.as_deref() == Some(group_uid);
    match desired {
        None if own && !child.deleting => {
            let (uid, version) = (child.uid.clone(), child.resource_version);
            (Some(Write::Delete { kind, uid, version }), None)
        }
        None => (None, None),
        Some(_) if !own => (None, Some(ChildError::NameConflict { owner: owner(child) })),
        // Its finalizers belong to others. The watch reports when it is gone.
        Some(_) if child.deleting => (None, None),
        Some(_) if has_foreign_selector(child) => (None, Some(ChildError::SelectorImmutable)),
        Some(desired) => (repair(desired, child), None),
    }
}

fn owner(child: &Child) -> Option<String> {
    child.controller.as_ref().map(|uid| format!("the owner of uid {uid}"))
}

fn has_foreign_selector(child: &Child) -> bool {
    matches!(&child.detail, Detail::Deployment(facts) if !facts.selector_is_ours)
}

fn repair(desired: Desired, child: &Child) -> Option<Write> {
    let digest = desired.digest();
    let compare_first = match child.drift {
        Drift::InSync(known) if known == digest => return None,
        Drift::Unknown => true,
        Drift::InSync(_) | Drift::Drifted => false,
    };
    Some(Write::Repair { desired, digest, target: Target::of(child), compare_first })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kcg_api::ValidGroup;
    use kcg_api::topic::{Partitions, TopicLookup};

    use super::*;
    use crate::lag::Tolerance;
    use crate::test_support::{group, new_world, settled_world};

    /// Any moment: only differences count.
    #[allow(clippy::disallowed_methods)]
    fn any_moment() -> Instant {
        Instant::now()
    }

    /// The plan without failed writes.
    fn planned(group: &ValidGroup, observed: &Observed) -> Plan {
        plan_after(group, observed, &PerChild::default(), any_moment())
    }

    fn plan_after(
        group: &ValidGroup,
        observed: &Observed,
        failed: &PerChild<Option<FailedWrite>>,
        now: Instant,
    ) -> Plan {
        plan(&DesiredState::new(group.clone(), observed), observed, failed, now)
    }

    fn writes(group: &ValidGroup, observed: &Observed) -> Vec<(&'static str, ChildKind)> {
        let verb = |write: &Write| match write {
            Write::Create { .. } => "create",
            Write::Repair { .. } => "repair",
            Write::Delete { .. } => "delete",
        };
        planned(group, observed).writes.iter().map(|write| (verb(write), write.kind())).collect()
    }

    #[test]
    fn a_fresh_group_has_its_five_children_created() {
        let group = group("{}");
        assert_eq!(writes(&group, &new_world(&group)), ChildKind::ALL.map(|kind| ("create", kind)));
    }

    #[test]
    fn a_name_that_was_taken_is_looked_up_before_the_next_creation() {
        let group = group("{}");
        let looked_up = |error: ChildError| {
            let mut failed = PerChild::default();
            let now = any_moment();
            failed[ChildKind::Service] =
                Some(FailedWrite { error: Some(error), digest: DELETED, attempts: 1, retry_at: now });
            let plan = plan_after(&group, &new_world(&group), &failed, now);
            let creations = plan.writes.into_iter().filter_map(|write| match write {
                Write::Create { desired, look_up_first: true, .. } => Some(desired.kind),
                _ => None,
            });
            creations.collect::<Vec<_>>()
        };
        assert_eq!(looked_up(ChildError::NameConflict { owner: None }), [ChildKind::Service]);
        assert_eq!(looked_up(ChildError::SelectorImmutable), [ChildKind::Service]);
        assert_eq!(looked_up(ChildError::Failed { message: String::new() }), []);
    }

    #[test]
    fn a_settled_group_needs_no_write() {
        let group = group("{}");
        assert_eq!(writes(&group, &settled_world(&group)), []);
    }

    #[test]
    fn every_change_of_the_spec_reaches_exactly_the_children_that_depend_on_it() {
        use ChildKind::{
            Deployment, HorizontalPodAutoscaler as Autoscaler, PrometheusRule as Rule, Service,
            ServiceMonitor as Monitor,
        };
        let world = settled_world(&group("{}"));
        for (spec, concerned) in [
            ("{minReplicas: 2}", vec![Autoscaler]),
            ("{maxReplicas: 2}", vec![Rule, Autoscaler]),
            ("{averageRecordsLagLimit: 7}", vec![Rule, Autoscaler]),
            ("{consumerSpec: {image: other}}", vec![Deployment]),
            ("{consumerSpec: {containerName: other}}", vec![Deployment]),
            ("{consumerSpec: {groupId: other}}", vec![Deployment]),
            ("{consumerSpec: {bootstrapServers: 'b:9092'}}", vec![Deployment]),
            ("{consumerSpec: {partitionsPerConsumer: 2}}", vec![Rule, Autoscaler]),
            ("{consumerSpec: {env: [{name: A, value: b}]}}", vec![Deployment]),
            ("{consumerSpec: {envFrom: [{configMapRef: {name: c}}]}}", vec![Deployment]),
            ("{consumerSpec: {resources: {limits: {cpu: 1}}}}", vec![Deployment]),
            ("{consumerSpec: {imagePullPolicy: Never}}", vec![Deployment]),
            ("{consumerSpec: {imagePullSecrets: [{name: s}]}}", vec![Deployment]),
            ("{consumerSpec: {podTemplate: {spec: {serviceAccountName: s}}}}", vec![Deployment]),
            ("{metrics: {port: 9000}}", vec![Service, Deployment]),
            ("{metrics: {path: /metrics}}", vec![Monitor]),
            ("{metrics: {interval: 10s}}", vec![Monitor]),
            ("{metrics: {lagMetric: lag}}", vec![Rule, Autoscaler]),
            ("{metrics: {labels: {release: p}}}", vec![Monitor]),
            ("{metrics: {preset: Librdkafka}}", vec![Service, Monitor, Rule, Autoscaler, Deployment]),
            ("{alerts: {for: 2m}}", vec![Rule]),
            ("{alerts: {severity: page}}", vec![Rule]),
            ("{alerts: {labels: {team: t}}}", vec![Rule]),
            ("{alerts: {ruleLabels: {release: p}}}", vec![Rule]),
            ("{scaling: {behavior: {scaleDown: {stabilizationWindowSeconds: 1}}}}", vec![Autoscaler]),
            // The alerts follow the autoscaler once it has the tolerance.
            ("{scaling: {behavior: {scaleUp: {tolerance: '0.2'}}}}", vec![Autoscaler]),
            ("{scaling: {strategy: {type: Recreate}}}", vec![Deployment]),
            ("{scaling: {minReadySeconds: 0}}", vec![Deployment]),
            ("{consumerSpec: {readiness: /ready}}", vec![Deployment]),
            ("{inheritedMetadata: {labels: {a: b}}}", ChildKind::ALL.to_vec()),
            ("{inheritedMetadata: {annotations: {a: b}}}", ChildKind::ALL.to_vec()),
        ] {
            let written: Vec<ChildKind> =
                writes(&group(spec), &world).into_iter().map(|(_, kind)| kind).collect();
            assert_eq!(written, concerned, "{spec}");
        }
    }

    #[test]
    fn the_alerts_follow_the_tolerance_of_the_live_autoscaler_and_are_written_once() {
        let group = group("{scaling: {behavior: {scaleUp: {tolerance: '0.2'}}}}");
        let mut world = settled_world(&group);
        assert_eq!(writes(&group, &world), []);
        let live = |world: &mut Observed, tolerance: &str| {
            let child = world.children[ChildKind::HorizontalPodAutoscaler].as_mut().unwrap();
            let Detail::Autoscaler(facts) = &mut child.detail else { panic!("an autoscaler") };
            let spec = serde_json::json!({"behavior": {"scaleUp": {"tolerance": tolerance}}});
            facts.tolerance = Tolerance::of_live(&serde_json::json!({"spec": spec}));
        };
        // A version of Kubernetes without the field, or another field manager.
        live(&mut world, "0.1");
        assert_eq!(writes(&group, &world), [("repair", ChildKind::PrometheusRule)]);
        let state = DesiredState::new(group.clone(), &world);
        let rule = state.child(ChildKind::PrometheusRule).unwrap();
        assert!(rule.object.to_string().contains("1.1 * 1000"), "{}", rule.object);
        world.children[ChildKind::PrometheusRule].as_mut().unwrap().drift = Drift::InSync(rule.digest());
        assert_eq!(writes(&group, &world), []);
    }

    #[test]
    fn a_paused_group_is_not_written_whatever_is_missing() {
        let group = group("{paused: true, minReplicas: 2}");
        assert_eq!(writes(&group, &new_world(&group)), []);
    }

    #[test]
    fn disabled_alerts_delete_the_rule_and_nothing_else() {
        let world = settled_world(&group("{}"));
        assert_eq!(
            writes(&group("{alerts: {enabled: false}}"), &world),
            [("delete", ChildKind::PrometheusRule)]
        );
        assert_eq!(
            writes(
                &group("{alerts: {enabled: false}}"),
                &settled_world(&group("{alerts: {enabled: false}}"))
            ),
            []
        );
    }

    #[test]
    fn a_child_of_another_owner_is_not_modified_and_the_others_are() {
        let group = group("{}");
        for controller in [None, Some("another".into())] {
            let mut world = settled_world(&group);
            world.children[ChildKind::Service].as_mut().unwrap().controller = controller;
            world.children[ChildKind::Deployment].as_mut().unwrap().drift = Drift::Drifted;
            let plan = planned(&group, &world);
            assert_eq!(plan.writes.iter().map(Write::kind).collect::<Vec<_>>(), [ChildKind::Deployment]);
            assert!(matches!(plan.errors[ChildKind::Service], Some(ChildError::NameConflict { .. })));
        }
    }

    #[test]
    fn a_terminating_child_is_not_written() {
        let group = group("{}");
        let mut world = settled_world(&group);
        let service = world.children[ChildKind::Service].as_mut().unwrap();
        (service.deleting, service.drift) = (true, Drift::Drifted);
        assert_eq!(writes(&group, &world), []);
    }

    #[test]
    fn a_deployment_is_never_deleted_because_its_selector_is_immutable() {
        let group = group("{}");
        let mut world = settled_world(&group);
        let deployment = world.children[ChildKind::Deployment].as_mut().unwrap();
        deployment.drift = Drift::Drifted;
        deployment.detail = Detail::Deployment(Box::default());
        let plan = planned(&group, &world);
        assert_eq!(plan.writes, []);
        assert_eq!(plan.errors[ChildKind::Deployment], Some(ChildError::SelectorImmutable));
    }

    #[test]
    fn a_failed_write_waits_and_a_different_one_does_not() {
        let group = group("{}");
        let mut world = settled_world(&group);
        world.children[ChildKind::Service].as_mut().unwrap().drift = Drift::Drifted;
        let Write::Repair { digest, .. } = planned(&group, &world).writes.remove(0) else {
            panic!("a repair")
        };
        let now = any_moment();
        let second = Duration::from_secs(1);
        let writes = |digest, retry_at| {
            let error = Some(ChildError::Refused { message: "no".into() });
            let mut failed = PerChild::default();
            failed[ChildKind::Service] = Some(FailedWrite { error, digest, attempts: 1, retry_at });
            plan_after(&group, &world, &failed, now).writes.len()
        };
        assert_eq!(writes(digest, now + second), 0);
        assert_eq!(writes(digest, now), 1);
        assert_eq!(writes(digest + 1, now + second), 1);
    }

    #[test]
    fn more_partitions_change_the_autoscaler_and_the_rule_only() {
        let group = group("{}");
        let mut world = settled_world(&group);
        for lookup in world.topics.values_mut() {
            let TopicLookup::Found(facts) = lookup else { panic!("seen") };
            facts.partitions = Partitions::Known(5);
        }
        assert_eq!(
            writes(&group, &world),
            [("repair", ChildKind::PrometheusRule), ("repair", ChildKind::HorizontalPodAutoscaler)]
        );
    }
}
