//! From a stored group and the facts around it to the state that it should have.

use kcg_api::valid::{ParsedGroup, TopicGrants};
use kcg_api::{GroupDefaults, KconsumerGroup, ValidGroup, Violation};
use serde_json::Value;

use crate::ceiling::{self, Ceiling};
use crate::children::{self, ChildKind, Desired, Inherited, desired_after};
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
    defaults: &GroupDefaults,
) -> Result<DesiredState, Vec<Violation>> {
    let (tolerated, broken): (Vec<_>, Vec<_>) =
        stored.violations.iter().cloned().partition(|violation| violation.rule.is_admission_only());
    if !broken.is_empty() {
        return Err(broken);
    }
    let mut group = read(&stored.group, observed, grants, defaults)?;
    group.tolerated.splice(0..0, tolerated);
    Ok(DesiredState::new(group, observed))
}

/// The group with the installation's defaults. Those of the pod template are the ones that the live
/// Deployment was built with, until the spec describes another template, or longer if the group is
/// valid only with them: then it tolerates what it violates with the newest ones. All children
/// follow them, so the Service and the ServiceMonitor have the port and the path of the pods.
fn read(
    stored: &KconsumerGroup,
    observed: &Observed,
    grants: &TopicGrants,
    defaults: &GroupDefaults,
) -> Result<ValidGroup, Vec<Violation>> {
    let newest = ValidGroup::read_stored(stored, grants, defaults);
    let live = observed.deployment(stored.metadata.uid.as_deref().unwrap_or_default());
    let Some((live, taken)) =
        live.and_then(|live| Some((&live.template, live.template.installation.as_ref()?)))
    else {
        return newest;
    };
    if *taken == defaults.template() {
        return newest;
    }
    let before = ValidGroup::read_stored(stored, grants, &defaults.with_template(taken));
    // The webhook applies the rules with the newest defaults and tolerates what an old object already
    // violates. So a change that it allows is valid with the newest defaults or with those of before.
    match (newest, before) {
        (Ok(newest), Ok(before)) => {
            // The hash does not depend on the defaults.
            Ok(if live.keeps_defaults(children::spec_hash(&newest)) { before } else { newest })
        }
        (Err(violations), Ok(mut before)) => {
            before.tolerated.extend(violations);
            Ok(before)
        }
        (newest, Err(_)) => newest,
    }
}

impl DesiredState {
    /// The state of a group that is known to be valid.
    pub fn new(mut group: ValidGroup, observed: &Observed) -> Self {
        let lag = group.metrics.lag_metrics();
        let live = observed.autoscaler(&group.uid).and_then(|facts| Some(&*facts.lag(&lag)?.name));
        group.metrics.lag_metric = metric_in_force(&group.metrics, live, &observed.served_metrics);
        let ceiling = ceiling::resolve(&group, &observed.topics, observed.held(&group.uid));
        let inherited = observed.inherited(&group.uid);
        Self { group, ceiling, inherited }
    }

    /// One child, built on each call; `None` if the group should not have it.
    pub fn child(&self, kind: ChildKind) -> Option<Desired> {
        desired_after(kind, &self.group, &self.ceiling, &self.inherited)
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
    use crate::facts::{Detail, PodsMetric};
    use crate::lag::{LagSource, ServedMetrics};
    use crate::test_support::{ceiling_of, group_with, new_world, settled_world, stored};

    #[test]
    fn a_group_that_breaks_a_rule_has_no_desired_state() {
        let group = stored("{minReplicas: 0}");
        let written = ParsedGroup { group, violations: Vec::new() };
        let violations =
            desired_state(&written, &Observed::default(), &TopicGrants::Own, &GroupDefaults::default())
                .unwrap_err();
        assert_eq!(violations[0].field, "spec.minReplicas");

        let untyped =
            parse_group(json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"minReplicas": "x"}}));
        let violations =
            desired_state(&untyped, &Observed::default(), &TopicGrants::Own, &GroupDefaults::default())
                .unwrap_err();
        assert_eq!(violations, untyped.violations);
    }

    #[test]
    fn a_child_that_should_not_exist_has_no_drift() {
        let written = ParsedGroup { group: stored("{alerts: {enabled: false}}"), violations: Vec::new() };
        let world = new_world(
            &ValidGroup::read(&written.group, &TopicGrants::Own, &GroupDefaults::default()).unwrap(),
        );
        let state = desired_state(&written, &world, &TopicGrants::Own, &GroupDefaults::default()).unwrap();
        assert_eq!(state.ceiling.max, 3);
        assert_eq!(state.drift(ChildKind::PrometheusRule, &json!({})), Drift::Unknown);
        assert_eq!(state.drift(ChildKind::Service, &json!({})), Drift::Drifted);
    }

    #[test]
    fn an_upgrade_keeps_the_metric_that_the_autoscaler_reads_until_the_new_one_is_served() {
        let written = ParsedGroup { group: stored("{}"), violations: Vec::new() };
        let mut world = settled_world(
            &ValidGroup::read(&written.group, &TopicGrants::Own, &GroupDefaults::default()).unwrap(),
        );
        let autoscaler = world.children[ChildKind::HorizontalPodAutoscaler].as_mut().unwrap();
        let Detail::Autoscaler(facts) = &mut autoscaler.detail else { panic!("an autoscaler") };
        let former =
            PodsMetric { name: "kafka_consumer_fetch_manager_records_lag_max".into(), average_milli: None };
        facts.pods_metrics = [former].into();
        let metric = |world: &Observed| {
            let state = desired_state(&written, world, &TopicGrants::Own, &GroupDefaults::default()).unwrap();
            let autoscaler = state.child(ChildKind::HorizontalPodAutoscaler).unwrap().object;
            LagSource::OURS.names_in(&autoscaler).next().map(str::to_owned)
        };
        assert_eq!(metric(&world).as_deref(), Some("kafka_consumer_fetch_manager_records_lag_max"));
        let served = "kafka_consumer_fetch_manager_records_lag_pod_sum";
        world.served_metrics = ServedMetrics::of([served.to_owned()]);
        assert_eq!(metric(&world).as_deref(), Some(served));
    }

    fn file(text: &str) -> GroupDefaults {
        GroupDefaults::parse(text).unwrap()
    }

    /// The state of a stored spec in a world, with a file of defaults.
    fn state(spec: &str, world: &Observed, defaults: &GroupDefaults) -> DesiredState {
        let written = ParsedGroup { group: stored(spec), violations: Vec::new() };
        desired_state(&written, world, &TopicGrants::Every, defaults).unwrap()
    }

    /// The world in which a spec was settled with a file of defaults.
    fn settled_with(spec: &str, defaults: &GroupDefaults) -> Observed {
        settled_world(&group_with(spec, defaults))
    }

    /// The port of the pods and of the Service, and the path and the metric of the lag, as each child
    /// has them.
    fn ports(state: &DesiredState) -> [Value; 3] {
        let object = |kind| state.child(kind).unwrap().object;
        let container = &object(ChildKind::Deployment)["spec"]["template"]["spec"]["containers"][0];
        let metric =
            LagSource::OURS.names_in(&object(ChildKind::HorizontalPodAutoscaler)).next().map(str::to_owned);
        [
            container["ports"][0]["containerPort"].clone(),
            object(ChildKind::Service)["spec"]["ports"][0]["port"].clone(),
            json!([object(ChildKind::ServiceMonitor)["spec"]["endpoints"][0]["path"], metric]),
        ]
    }

    const SPRING: &str = "kafka_consumer_fetch_manager_records_lag_pod_sum";
    const JMX: &str = "kafka_consumer_consumer_fetch_manager_metrics_records_lag_pod_sum";

    #[test]
    fn a_default_of_the_pod_template_waits_for_the_next_change_of_the_template() {
        let file = file("metrics: {preset: JmxExporter}\nconsumerSpec: {imagePullSecrets: [{name: r}]}");
        let product = [json!(8085), json!(8085), json!(["/actuator/prometheus", SPRING])];
        let of_file = [json!(5556), json!(5556), json!(["/metrics", JMX])];
        let secrets = |state: &DesiredState| {
            let deployment = state.child(ChildKind::Deployment).unwrap().object;
            deployment["spec"]["template"]["spec"]["imagePullSecrets"].clone()
        };
        let before = settled_with("{}", &GroupDefaults::default());
        for (spec, changes) in [
            ("{}", false),
            ("{minReplicas: 2}", false),
            ("{metrics: {interval: 7s}}", false),
            ("{consumerSpec: {image: other}}", true),
        ] {
            let state = state(spec, &before, &file);
            assert_eq!(ports(&state), if changes { of_file.clone() } else { product.clone() }, "{spec}");
            assert_eq!(secrets(&state), if changes { json!([{"name": "r"}]) } else { Value::Null }, "{spec}");
        }
        // A new group has them at once, and keeps them if the file loses them.
        let taken = settled_with("{}", &file);
        for (defaults, spec, want) in [
            (&file, "{}", of_file.clone()),
            (&GroupDefaults::default(), "{}", of_file.clone()),
            (&GroupDefaults::default(), "{minReplicas: 3}", of_file),
            (&GroupDefaults::default(), "{consumerSpec: {image: other}}", product),
        ] {
            assert_eq!(ports(&state(spec, &taken, defaults)), want, "{spec}");
        }
    }

    #[test]
    fn a_file_changes_neither_the_template_nor_its_annotations_of_a_group_of_before() {
        let before = settled_with("{}", &GroupDefaults::default());
        let deployment = |defaults: &GroupDefaults| {
            state("{}", &before, defaults).child(ChildKind::Deployment).unwrap().object
        };
        let text =
            "metrics: {preset: Librdkafka, interval: 9s}\nconsumerSpec: {imagePullSecrets: [{name: r}]}";
        assert_eq!(deployment(&file(text)), deployment(&GroupDefaults::default()));
    }

    #[test]
    fn other_defaults_apply_at_once() {
        let file = file(
            "metrics: {interval: 9s, labels: {release: p}}\nalerts: {severity: page, ruleLabels: {release: p}}\n\
             inheritedMetadata: {labels: {team: t}, annotations: {note: n}}",
        );
        let state = state("{}", &settled_with("{}", &GroupDefaults::default()), &file);
        let object = |kind| state.child(kind).unwrap().object;
        let monitor = object(ChildKind::ServiceMonitor);
        assert_eq!(monitor["spec"]["endpoints"][0]["interval"], "9s");
        assert_eq!(monitor["metadata"]["labels"]["release"], "p");
        let rule = object(ChildKind::PrometheusRule);
        let labels = &rule["metadata"]["labels"];
        assert_eq!([&labels["release"], &labels["role"]], [&json!("p"), &Value::Null]);
        assert_eq!(rule["spec"]["groups"][0]["rules"][0]["labels"]["severity"], "page");
        for kind in ChildKind::ALL {
            let metadata = object(kind)["metadata"].clone();
            assert_eq!(metadata["labels"]["team"], "t", "{kind:?}");
            assert_eq!(metadata["annotations"]["note"], "n", "{kind:?}");
        }
        let template = &object(ChildKind::Deployment)["spec"]["template"];
        assert_eq!(template["metadata"].get("annotations"), None);
        assert_eq!(template["metadata"]["labels"].get("team"), None);
    }

    #[test]
    fn the_file_s_preset_has_the_probe_of_a_preset_that_the_group_writes() {
        let file = file("metrics: {preset: JmxExporter}");
        let probe = |spec: &str| {
            let group = group_with(spec, &file);
            let deployment =
                children::desired_one(ChildKind::Deployment, &group, &ceiling_of(&group, &new_world(&group)));
            deployment.unwrap().object["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"].clone()
        };
        assert_eq!(probe("{}"), "/-/healthy");
        assert_eq!(probe("{consumerSpec: {readiness: None}}"), Value::Null);
    }

    /// The port of a spec's metrics and what is tolerated, in a world, with a file of defaults.
    fn port(spec: &str, world: &Observed, defaults: &GroupDefaults) -> Result<(i32, Vec<String>), String> {
        let written = ParsedGroup { group: stored(spec), violations: Vec::new() };
        desired_state(&written, world, &TopicGrants::Every, defaults)
            .map(|state| {
                let fields = state.group.tolerated.into_iter().map(|violation| violation.field);
                (state.group.metrics.port, fields.collect())
            })
            .map_err(|violations| violations[0].field.clone())
    }

    #[test]
    fn a_group_that_is_only_valid_with_the_defaults_it_has_taken_keeps_them() {
        let spec = "{metrics: {path: /metrics}, consumerSpec: {readiness: Preset}}";
        let world = settled_with(spec, &file("metrics: {preset: JmxExporter}"));
        let taken = Ok((5556, vec!["spec.consumerSpec.readiness".to_owned()]));
        assert_eq!(port(spec, &world, &GroupDefaults::default()), taken);
        let changed = "{metrics: {path: /metrics}, consumerSpec: {readiness: Preset, image: other}}";
        assert_eq!(port(changed, &world, &GroupDefaults::default()), taken);
        let broken = "{minReplicas: 0, metrics: {path: /metrics}, consumerSpec: {readiness: Preset}}";
        assert_eq!(port(broken, &world, &GroupDefaults::default()), Err("spec.minReplicas".to_owned()));
    }

    #[test]
    fn an_image_rolls_out_though_the_file_s_preset_has_the_port_of_a_further_endpoint() {
        let jmx = file("metrics: {preset: JmxExporter}");
        let world =
            settled_with("{metrics: {additionalEndpoints: [{port: 5556}]}}", &GroupDefaults::default());
        let changed = "{metrics: {additionalEndpoints: [{port: 5556}]}, consumerSpec: {image: other}}";
        let (port, tolerated) = port(changed, &world, &jmx).unwrap();
        assert_eq!((port, &*tolerated[0]), (8085, "spec.metrics.additionalEndpoints[0].port"));
        let deployment = state(changed, &world, &jmx).child(ChildKind::Deployment).unwrap().object;
        assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "other");
    }

    #[test]
    fn a_change_that_is_only_valid_with_the_defaults_of_now_takes_them() {
        let world = settled_with("{}", &file("metrics: {preset: JmxExporter}"));
        let changed = "{metrics: {additionalEndpoints: [{port: 5556}]}}";
        assert_eq!(port(changed, &world, &GroupDefaults::default()), Ok((8085, Vec::new())));
    }
}
