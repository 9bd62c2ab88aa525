//! spec.alerts: the group's alerts by name, and what a user may set for each of them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::defaults;
use crate::inherited_metadata::Labels;

/// The group's alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertsSpec {
    /// If false, no PrometheusRule is created.
    pub enabled: bool,
    /// How long an alert's expression must be true before the alert fires, as a Prometheus
    /// duration.
    #[serde(rename = "for")]
    pub hold: String,
    /// Value of the alerts' severity label. Defaults to warning, unless the installation has another
    /// default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Further labels of each alert.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Labels of the PrometheusRule, by which a Prometheus selects it. Defaults to what
    /// kube-prometheus selects (prometheus: k8s, role: alert-rules). Defaults of the installation
    /// replace these, and are added to labels that the group sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_labels: Option<Labels>,
    /// Settings of single alerts, by the alert's name, for example KafkaConsumerGroupLagHigh.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, AlertRule>,
}

impl Default for AlertsSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            hold: defaults::ALERT_FOR.to_owned(),
            severity: None,
            labels: Labels::new(),
            rule_labels: None,
            rules: BTreeMap::new(),
        }
    }
}

/// Settings of one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertRule {
    /// If false, the group has no such alert.
    pub enabled: bool,
    /// Value of the severity label. Defaults to spec.alerts.severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// How long the expression must be true, as a Prometheus duration. Defaults to
    /// spec.alerts.for.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// The number that the alert compares with: see docs/alerts.md for its unit and its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,
}

impl Default for AlertRule {
    fn default() -> Self {
        Self { enabled: true, severity: None, hold: None, threshold: None }
    }
}

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// The alerts of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertName {
    /// The lag is above the limit and the autoscaler's tolerance.
    LagHigh,
    /// It is, and the group runs at its ceiling.
    AtCeiling,
    /// One partition is behind, and the average is not.
    PartitionLagHigh,
    /// More consumers run than the partitions keep busy.
    ConsumersIdle,
    /// Consumers are scraped and show no lag.
    LagMissing,
    /// Fewer consumers can be scraped than there should be.
    NoConsumers,
    /// Consumers neither poll nor consume.
    ConsumersHung,
}

impl AlertName {
    /// Every alert, in the order of the PrometheusRule.
    pub const ALL: [Self; 7] = [
        Self::LagHigh,
        Self::AtCeiling,
        Self::PartitionLagHigh,
        Self::ConsumersIdle,
        Self::LagMissing,
        Self::NoConsumers,
        Self::ConsumersHung,
    ];

    /// The name in Prometheus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LagHigh => "KafkaConsumerGroupLagHigh",
            Self::AtCeiling => "KafkaConsumerGroupAtCeiling",
            Self::PartitionLagHigh => "KafkaConsumerGroupPartitionLagHigh",
            Self::ConsumersIdle => "KafkaConsumerGroupConsumersIdle",
            Self::LagMissing => "KafkaConsumerGroupLagMissing",
            Self::NoConsumers => "KafkaConsumerGroupNoConsumers",
            Self::ConsumersHung => "KafkaConsumerGroupConsumersHung",
        }
    }

    /// The thresholds that make sense.
    pub(crate) const fn thresholds(self) -> RangeInclusive<i64> {
        match self {
            Self::ConsumersHung => 1..=SECONDS_PER_DAY,
            Self::NoConsumers => 1..=i64::MAX,
            _ => 0..=i64::MAX,
        }
    }
}

/// The group's alerts, their defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    /// Whether there is a PrometheusRule.
    pub enabled: bool,
    /// How long an expression must be true, as a Prometheus duration.
    pub hold: String,
    /// The severity label.
    pub severity: String,
    /// Further labels of each alert.
    pub labels: Labels,
    /// Labels of the PrometheusRule.
    pub rule_labels: Labels,
    rules: BTreeMap<String, AlertRule>,
}

impl Alerts {
    /// The settings of one alert, if it has any.
    pub fn rule(&self, name: AlertName) -> Option<&AlertRule> {
        self.rules.get(name.as_str())
    }

    pub(crate) fn derive(spec: &AlertsSpec) -> Self {
        Self {
            enabled: spec.enabled,
            hold: spec.hold.clone(),
            severity: spec.severity.clone().unwrap_or_else(|| defaults::ALERT_SEVERITY.to_owned()),
            labels: spec.labels.clone(),
            rule_labels: spec.rule_labels.clone().unwrap_or_else(defaults::rule_labels),
            rules: spec.rules.clone(),
        }
    }
}
