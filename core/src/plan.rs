//! What has to be written for one group: its children as they should be against what is there. Floor 1.

use kcg_api::ValidGroup;
use serde_json::Value;
use std::hash::Hasher;
use std::time::Duration;

use crate::ceiling::{self, Ceiling};
use crate::children::{self, ChildKind, Desired};
use crate::observed::{Child, Detail, Digest, Observed, Standing, Trouble};

/// One write, independent of the others of its group.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// No object of that name is known: it is looked for once more, then applied without force.
    Create { desired: Desired, digest: Digest },
    /// The group's own child: applied with its uid, by force, on the fields that are ours.
    Repair {
        desired: Desired,
        digest: Digest,
        uid: Box<str>,
        /// It has not been compared yet: it is read and compared first, and written only if it differs.
        unjudged: bool,
    },
    /// The group's own child that it should no longer have.
    Delete { kind: ChildKind, uid: Box<str> },
}

impl Write {
    pub const fn kind(&self) -> ChildKind {
        match self {
            Self::Create { desired, .. } | Self::Repair { desired, .. } => desired.kind,
            Self::Delete { kind, .. } => *kind,
        }
    }
}

/// What to do for one group now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub ceiling: Ceiling,
    pub writes: Vec<Write>,
    /// Troubles that are seen without asking the API server, and those of writes that wait, by
    /// [`ChildKind::index`].
    pub troubles: [Option<Trouble>; 5],
    /// Children whose write is due and waits for its setback's time, by [`ChildKind::index`].
    pub waiting: [bool; 5],
}

/// A child's last failed write, and when the same write may be tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Setback {
    /// What the status says of it; `None` where nothing is wrong and only time is needed.
    pub trouble: Option<Trouble>,
    /// The desired object that failed; another one is tried at once.
    pub digest: Digest,
    /// From now.
    pub retry_in: Duration,
}

/// Decides the writes of one group. `setbacks` are those children, by [`ChildKind::index`], whose last write
/// failed; the same write waits until its time has come.
pub fn plan(group: &ValidGroup, observed: &Observed, setbacks: &[Option<Setback>; 5]) -> Plan {
    let ceiling = ceiling::resolve(group, &observed.topics, observed.held(&group.uid));
    let mut plan = Plan { ceiling, writes: Vec::new(), troubles: Default::default(), waiting: [false; 5] };
    for kind in ChildKind::ALL {
        let desired = children::desired_one(kind, group, &plan.ceiling);
        let (write, trouble) = one(group, kind, desired, observed.child(kind));
        plan.troubles[kind.index()] = trouble;
        let Some(write) = write.filter(|_| !group.paused) else {
            continue;
        };
        match setbacks[kind.index()].as_ref().filter(|setback| setback.holds(&write)) {
            Some(setback) => {
                plan.waiting[kind.index()] = true;
                plan.troubles[kind.index()].clone_from(&setback.trouble);
            }
            None => plan.writes.push(write),
        }
    }
    plan
}

impl Setback {
    fn holds(&self, write: &Write) -> bool {
        let digest = match write {
            Write::Create { digest, .. } | Write::Repair { digest, .. } => *digest,
            Write::Delete { .. } => DELETED,
        };
        self.digest == digest && !self.retry_in.is_zero()
    }
}

/// The digest that stands for a child that should not be.
pub const DELETED: Digest = 0;

fn one(
    group: &ValidGroup,
    kind: ChildKind,
    desired: Option<Desired>,
    child: Option<&Child>,
) -> (Option<Write>, Option<Trouble>) {
    let Some(child) = child else {
        return (desired.map(|desired| Write::Create { digest: digest(&desired.object), desired }), None);
    };
    let own = child.controller.as_deref() == Some(&*group.uid);
    match desired {
        None if own && !child.deleting => (Some(Write::Delete { kind, uid: child.uid.clone() }), None),
        None => (None, None),
        Some(_) if !own => (None, Some(Trouble::NameConflict { owner: owner(child) })),
        // Its finalizers are somebody's; when it is gone, the watch says so.
        Some(_) if child.deleting => (None, None),
        Some(_) if selector_is_another(child) => (None, Some(Trouble::SelectorImmutable)),
        Some(desired) => (repair(desired, child), None),
    }
}

fn owner(child: &Child) -> String {
    child.controller.as_ref().map_or_else(|| "nobody".to_owned(), |uid| format!("the owner of uid {uid}"))
}

fn selector_is_another(child: &Child) -> bool {
    matches!(&child.detail, Detail::Deployment(facts) if !facts.selector_is_ours)
}

fn repair(desired: Desired, child: &Child) -> Option<Write> {
    let digest = digest(&desired.object);
    let unjudged = match child.standing {
        Standing::Matches(matched) if matched == digest => return None,
        Standing::Unjudged => true,
        Standing::Matches(_) | Standing::Differs => false,
    };
    Some(Write::Repair { desired, digest, uid: child.uid.clone(), unjudged })
}

/// The digest of a desired object. It lives in memory alone, so it need not be stable across versions.
pub fn digest(object: &Value) -> Digest {
    // serde_json's maps are sorted, so equal objects print alike.
    let text = object.to_string();
    let half = |salt: u8| {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(text.as_bytes());
        u128::from(hasher.finish())
    };
    ((half(1) << 64) | half(2)).max(DELETED + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{group, new_world, settled_world};
    use kcg_api::topic::{Partitions, TopicLookup};

    const NONE: [Option<Setback>; 5] = [const { None }; 5];

    fn writes(group: &ValidGroup, observed: &Observed) -> Vec<(&'static str, ChildKind)> {
        let verb = |write: &Write| match write {
            Write::Create { .. } => "create",
            Write::Repair { .. } => "repair",
            Write::Delete { .. } => "delete",
        };
        plan(group, observed, &NONE).writes.iter().map(|write| (verb(write), write.kind())).collect()
    }

    #[test]
    fn a_fresh_group_has_its_five_children_created() {
        let group = group("{}");
        assert_eq!(writes(&group, &new_world(&group)), ChildKind::ALL.map(|kind| ("create", kind)));
    }

    #[test]
    fn a_settled_group_is_written_nothing() {
        let group = group("{}");
        assert_eq!(writes(&group, &settled_world(&group)), []);
    }

    #[test]
    fn every_change_of_the_spec_reaches_every_child_that_it_concerns() {
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
            ("{scaling: {strategy: {type: Recreate}}}", vec![Deployment]),
        ] {
            let written: Vec<ChildKind> =
                writes(&group(spec), &world).into_iter().map(|(_, kind)| kind).collect();
            assert_eq!(written, concerned, "{spec}");
        }
    }

    #[test]
    fn a_paused_group_is_written_nothing_whatever_is_missing() {
        let group = group("{paused: true, minReplicas: 2}");
        assert_eq!(writes(&group, &new_world(&group)), []);
    }

    #[test]
    fn alerts_turned_off_delete_the_rule_and_nothing_else() {
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
    fn what_somebody_else_controls_is_left_alone_and_the_others_go_on() {
        let group = group("{}");
        for controller in [None, Some("another".into())] {
            let mut world = settled_world(&group);
            world.children[ChildKind::Service.index()].as_mut().unwrap().controller = controller;
            world.children[ChildKind::Deployment.index()].as_mut().unwrap().standing = Standing::Differs;
            let plan = plan(&group, &world, &NONE);
            assert_eq!(plan.writes.iter().map(Write::kind).collect::<Vec<_>>(), [ChildKind::Deployment]);
            assert!(matches!(plan.troubles[ChildKind::Service.index()], Some(Trouble::NameConflict { .. })));
        }
    }

    #[test]
    fn a_child_on_its_way_out_is_waited_for() {
        let group = group("{}");
        let mut world = settled_world(&group);
        let service = world.children[ChildKind::Service.index()].as_mut().unwrap();
        (service.deleting, service.standing) = (true, Standing::Differs);
        assert_eq!(writes(&group, &world), []);
    }

    #[test]
    fn a_selector_that_cannot_be_changed_is_never_deleted_for() {
        let group = group("{}");
        let mut world = settled_world(&group);
        let deployment = world.children[ChildKind::Deployment.index()].as_mut().unwrap();
        deployment.standing = Standing::Differs;
        deployment.detail = Detail::Deployment(crate::observed::DeploymentFacts::default());
        let plan = plan(&group, &world, &NONE);
        assert_eq!(plan.writes, []);
        assert_eq!(plan.troubles[ChildKind::Deployment.index()], Some(Trouble::SelectorImmutable));
    }

    #[test]
    fn a_write_that_failed_waits_but_another_one_does_not() {
        let group = group("{}");
        let mut world = settled_world(&group);
        world.children[ChildKind::Service.index()].as_mut().unwrap().standing = Standing::Differs;
        let Write::Repair { digest, .. } = plan(&group, &world, &NONE).writes.remove(0) else {
            panic!("a repair")
        };
        let setback = |digest, retry_in| {
            let mut setbacks = NONE;
            setbacks[ChildKind::Service.index()] =
                Some(Setback { trouble: Some(Trouble::Refused { message: "no".into() }), digest, retry_in });
            setbacks
        };
        let second = Duration::from_secs(1);
        assert_eq!(plan(&group, &world, &setback(digest, second)).writes, []);
        assert_eq!(plan(&group, &world, &setback(digest, Duration::ZERO)).writes.len(), 1);
        assert_eq!(plan(&group, &world, &setback(digest + 1, second)).writes.len(), 1);
    }

    #[test]
    fn more_partitions_reach_the_autoscaler_and_the_alert_alone() {
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
