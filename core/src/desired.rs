//! From a stored group and the facts around it to the state that it should have.

use kcg_api::valid::{ParsedGroup, TopicGrants};
use kcg_api::{ValidGroup, Violation};
use serde_json::Value;

use crate::ceiling::{self, Ceiling};
use crate::children::{ChildKind, Desired, Inherited, desired_after};
use crate::drift::{self, Drift};
use crate::facts::Observed;
use crate::lag::metric_in_force;

/// A valid group, its ceiling and what its children take over from the live objects. The children
/// follow from these.
#[derive(Debug)]
pub struct DesiredState {
    /// The group, its defaults filled in.
    pub group: ValidGroup,
    /// How many consumers it may run.
    pub ceiling: Ceiling,
    /// What the children take over from the live objects.
    pub inherited: Inherited,
}

/// The state that a stored group should have now, or the rules that its spec breaks. These are the
/// rules of the webhook, but for those that apply only at admission: a group that bypassed it is
/// reported as invalid, and its children are not modified.
pub fn desired_state(
    stored: &ParsedGroup,
    observed: &Observed,
    grants: &TopicGrants,
) -> Result<DesiredState, Vec<Violation>> {
    let (tolerated, broken): (Vec<_>, Vec<_>) =
        stored.violations.iter().cloned().partition(|violation| violation.rule.is_admission_only());
    if !broken.is_empty() {
        return Err(broken);
    }
    let mut group = ValidGroup::read_stored(&stored.group, grants)?;
    group.tolerated.splice(0..0, tolerated);
    Ok(DesiredState::new(group, observed))
}

impl DesiredState {
    /// The state of a group that is known to be valid.
    pub fn new(mut group: ValidGroup, observed: &Observed) -> Self {
        let live = observed.autoscaler(&group.uid).and_then(|facts| facts.lag_metric.as_deref());
        group.metrics.lag_metric = metric_in_force(&group.metrics, live, &observed.served_metrics);
        let ceiling = ceiling::resolve(&group, &observed.topics, observed.held(&group.uid));
        let inherited = Inherited::from(observed, &group.uid);
        Self { group, ceiling, inherited }
    }

    /// One child, built on each call; `None` if the group should not have it.
    pub fn child(&self, kind: ChildKind) -> Option<Desired> {
        desired_after(kind, &self.group, &self.ceiling, self.inherited)
    }

    /// How a live object of the group differs from what it should be.
    pub fn drift(&self, kind: ChildKind, live: &Value) -> Drift {
        drift::drift(self.child(kind).as_ref(), live)
    }
}

#[cfg(test)]
mod tests {
    use kcg_api::valid::parse_group;
    use serde_json::json;

    use super::*;
    use crate::facts::Detail;
    use crate::lag::{LagSource, ServedMetrics};
    use crate::test_support::{new_world, settled_world, stored};

    #[test]
    fn a_group_that_breaks_a_rule_has_no_desired_state() {
        let group = stored("{minReplicas: 0}");
        let written = ParsedGroup { group, violations: Vec::new() };
        let violations = desired_state(&written, &Observed::default(), &TopicGrants::Own).unwrap_err();
        assert_eq!(violations[0].field, "spec.minReplicas");

        let untyped =
            parse_group(json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"minReplicas": "x"}}));
        let violations = desired_state(&untyped, &Observed::default(), &TopicGrants::Own).unwrap_err();
        assert_eq!(violations, untyped.violations);
    }

    #[test]
    fn a_child_that_should_not_exist_has_no_drift() {
        let written = ParsedGroup { group: stored("{alerts: {enabled: false}}"), violations: Vec::new() };
        let world = new_world(&ValidGroup::read(&written.group, &TopicGrants::Own).unwrap());
        let state = desired_state(&written, &world, &TopicGrants::Own).unwrap();
        assert_eq!(state.ceiling.max, 3);
        assert_eq!(state.drift(ChildKind::PrometheusRule, &json!({})), Drift::Unknown);
        assert_eq!(state.drift(ChildKind::Service, &json!({})), Drift::Drifted);
    }

    #[test]
    fn an_upgrade_keeps_the_metric_that_the_autoscaler_reads_until_the_new_one_is_served() {
        let written = ParsedGroup { group: stored("{}"), violations: Vec::new() };
        let mut world = settled_world(&ValidGroup::read(&written.group, &TopicGrants::Own).unwrap());
        let autoscaler = world.children[ChildKind::HorizontalPodAutoscaler].as_mut().unwrap();
        let Detail::Autoscaler(facts) = &mut autoscaler.detail else { panic!("an autoscaler") };
        facts.lag_metric = Some("kafka_consumer_fetch_manager_records_lag_max".into());
        let metric = |world: &Observed| {
            let state = desired_state(&written, world, &TopicGrants::Own).unwrap();
            let autoscaler = state.child(ChildKind::HorizontalPodAutoscaler).unwrap().object;
            LagSource::OURS.name_in(&autoscaler).map(str::to_owned)
        };
        assert_eq!(metric(&world).as_deref(), Some("kafka_consumer_fetch_manager_records_lag_max"));
        let served = "kafka_consumer_fetch_manager_records_lag_pod_sum";
        world.served_metrics = ServedMetrics::of([served.to_owned()]);
        assert_eq!(metric(&world).as_deref(), Some(served));
    }
}
