//! The group, then the file: what a spec leaves out is taken from the file.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::LocalObjectReference;

use super::GroupDefaults;
use crate::group::{KconsumerGroupSpec, Labels};

impl GroupDefaults {
    /// The spec as if the group had written what it takes from the file.
    pub fn fill_in<'a>(&self, spec: &'a KconsumerGroupSpec) -> Cow<'a, KconsumerGroupSpec> {
        if *self == Self::default() {
            return Cow::Borrowed(spec);
        }
        let mut filled = spec.clone();
        let own = &spec.inherited_metadata.labels;
        let metrics = &mut filled.metrics;
        metrics.preset = metrics.preset.or(self.metrics.preset);
        fill(&mut metrics.interval, self.metrics.interval.as_ref());
        fill(&mut metrics.sample_limit, self.metrics.sample_limit.as_ref());
        fill(&mut metrics.label_limit, self.metrics.label_limit.as_ref());
        fill(&mut metrics.body_size_limit, self.metrics.body_size_limit.as_ref());
        add(&mut metrics.labels, &self.metrics.labels, own);
        fill(&mut filled.alerts.severity, self.alerts.severity.as_ref());
        if let Some(labels) = &self.alerts.rule_labels {
            add(filled.alerts.rule_labels.get_or_insert_default(), labels, own);
        }
        let secrets = &mut filled.consumer_spec.image_pull_secrets;
        if secrets.is_empty() {
            let of_file = self.consumer_spec.image_pull_secrets.iter();
            *secrets = of_file.map(|secret| LocalObjectReference { name: secret.name.clone() }).collect();
        }
        let inherited = &mut filled.inherited_metadata;
        let none = Labels::new();
        add(&mut inherited.labels, &self.inherited_metadata.labels, &none);
        add(&mut inherited.annotations, &self.inherited_metadata.annotations, &none);
        Cow::Owned(filled)
    }
}

fn fill<T: Clone>(of_group: &mut Option<T>, of_file: Option<&T>) {
    if of_group.is_none() {
        *of_group = of_file.cloned();
    }
}

/// Adds the file's labels whose keys the group does not set: neither here nor in `own`, its labels
/// for all owned resources.
fn add(of_group: &mut Labels, of_file: &Labels, own: &Labels) {
    for (key, value) in of_file.iter().filter(|(key, _)| !own.contains_key(*key)) {
        of_group.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn file() -> GroupDefaults {
        GroupDefaults::parse(
            "metrics: {preset: JmxExporter, interval: 30s, labels: {release: file, tier: file}}\n\
             alerts: {severity: ticket, ruleLabels: {release: file}}\n\
             consumerSpec: {imagePullSecrets: [{name: file}]}\n\
             inheritedMetadata: {labels: {team: file}, annotations: {note: file}}\n",
        )
        .unwrap()
    }

    fn filled(defaults: &GroupDefaults, spec: &Value) -> Value {
        let spec: KconsumerGroupSpec = serde_json::from_value(spec.clone()).unwrap();
        serde_json::to_value(defaults.fill_in(&spec)).unwrap()
    }

    #[test]
    fn a_group_that_sets_nothing_has_every_default_of_the_file() {
        let spec = filled(&file(), &json!({}));
        assert_eq!(
            spec["metrics"],
            json!({"preset": "JmxExporter", "interval": "30s", "labels": {"release": "file", "tier": "file"}})
        );
        assert_eq!(
            [&spec["alerts"]["severity"], &spec["alerts"]["ruleLabels"]],
            [&json!("ticket"), &json!({"release": "file"})]
        );
        assert_eq!(spec["consumerSpec"]["imagePullSecrets"], json!([{"name": "file"}]));
        assert_eq!(
            spec["inheritedMetadata"],
            json!({"labels": {"team": "file"}, "annotations": {"note": "file"}})
        );
    }

    #[test]
    fn what_a_group_sets_comes_before_the_file() {
        for (spec, field, want) in [
            (json!({"metrics": {"preset": "Spring"}}), "/metrics/preset", json!("Spring")),
            (json!({"metrics": {"interval": "5s"}}), "/metrics/interval", json!("5s")),
            (
                json!({"metrics": {"labels": {"release": "own"}}}),
                "/metrics/labels",
                json!({"release": "own", "tier": "file"}),
            ),
            (json!({"alerts": {"severity": "page"}}), "/alerts/severity", json!("page")),
            (
                json!({"alerts": {"ruleLabels": {"role": "own"}}}),
                "/alerts/ruleLabels",
                json!({"role": "own", "release": "file"}),
            ),
            (json!({"alerts": {"ruleLabels": {}}}), "/alerts/ruleLabels", json!({"release": "file"})),
            (
                json!({"consumerSpec": {"imagePullSecrets": [{"name": "own"}]}}),
                "/consumerSpec/imagePullSecrets",
                json!([{"name": "own"}]),
            ),
            (
                json!({"inheritedMetadata": {"labels": {"team": "own", "a": "b"}}}),
                "/inheritedMetadata/labels",
                json!({"team": "own", "a": "b"}),
            ),
            (
                json!({"inheritedMetadata": {"annotations": {"note": "own"}}}),
                "/inheritedMetadata/annotations",
                json!({"note": "own"}),
            ),
            // The group's label of all owned resources is not replaced on two of them.
            (
                json!({"inheritedMetadata": {"labels": {"release": "own"}}}),
                "/metrics/labels",
                json!({"tier": "file"}),
            ),
            (json!({"inheritedMetadata": {"labels": {"release": "own"}}}), "/alerts/ruleLabels", json!({})),
        ] {
            assert_eq!(filled(&file(), &spec).pointer(field), Some(&want), "{spec}");
        }
    }

    #[test]
    fn without_a_file_a_spec_is_as_it_was_written() {
        let spec = KconsumerGroupSpec::default();
        assert!(matches!(GroupDefaults::default().fill_in(&spec), Cow::Borrowed(_)));
        assert_eq!(
            filled(&GroupDefaults::parse("{}").unwrap(), &json!({}))["alerts"].get("ruleLabels"),
            None
        );
    }
}
