//! spec.metrics: where the consumers expose their metrics, as a user writes it and with the preset filled
//! in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::defaults::SCRAPE_INTERVAL;
use crate::endpoint::{AdditionalEndpoint, EndpointSpec};
use crate::inherited_metadata::Labels;
use crate::preset::{LagMetrics, LagStatistic, Preset};
use crate::scrape_limits::ScrapeLimits;
use crate::strict_object;

/// Where the consumers expose their metrics, and which metric is the lag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsSpec {
    /// The kind of client; `None` is the default, Spring or the installation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// TCP port of the container on which the metrics are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// HTTP path of the metrics, without a query and without `$(`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How often Prometheus scrapes, as a Prometheus duration of at least 1s. Defaults to 5s, unless the
    /// installation has another default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How the lags of a pod's partitions become the pod's lag; `None` is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_statistic: Option<LagStatistic>,
    /// Name of a Prometheus metric with the lag in records, in place of the preset's. A pod's
    /// largest value counts, and the metrics adapter must serve it under this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_metric: Option<String>,
    /// How Prometheus scrapes the endpoint: TLS, credentials, a timeout, changes of labels. The fields
    /// are those of a ServiceMonitor's endpoint.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "strict_object::deserialize")]
    pub endpoint: EndpointSpec,
    /// Further endpoints of the pods, for example a sidecar's, with the fields of endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_endpoints: Vec<AdditionalEndpoint>,
    /// Most samples of one scrape of a pod, as in a ServiceMonitor. Prometheus rejects a scrape with more
    /// as a whole. Defaults to 50000, unless the installation has another default; the installation
    /// also limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<i64>,
    /// Most labels of a sample, as in a ServiceMonitor. Defaults to 64, unless the installation has
    /// another default; the installation also limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_limit: Option<i64>,
    /// Most bytes of one scrape's body without compression, as in a ServiceMonitor, for example 32MB.
    /// Defaults to 16MB, unless the installation has another default; the installation also limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<String>,
    /// Labels of the ServiceMonitor, for example the `release` label by which a Prometheus selects
    /// it.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl MetricsSpec {
    /// The preset in force.
    pub fn preset(&self) -> Preset {
        self.preset.unwrap_or_default()
    }

    /// The port of the metrics.
    pub fn port(&self) -> i32 {
        self.port.unwrap_or(self.preset().endpoint().port)
    }

    /// How often the metrics are scraped.
    pub fn interval(&self) -> &str {
        self.interval.as_deref().unwrap_or(SCRAPE_INTERVAL)
    }

    /// The limits of a scrape that the spec sets.
    pub(crate) fn scrape_limits(&self) -> ScrapeLimits {
        ScrapeLimits {
            sample_limit: self.sample_limit,
            label_limit: self.label_limit,
            body_size_limit: self.body_size_limit.clone(),
        }
    }

    /// The path of the metrics.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(self.preset().endpoint().path)
    }

    /// How the lags of a pod's partitions become the pod's; `None` if the spec names a lag metric.
    pub fn statistic(&self) -> Option<LagStatistic> {
        self.lag_metric.is_none().then(|| self.lag_statistic.unwrap_or_default())
    }

    /// The name of the metric that the autoscaler reads from the custom metrics API.
    pub(crate) fn custom_metric(&self) -> String {
        custom_metric(self.statistic(), self.preset(), self.lag_metric.as_deref().unwrap_or_default())
    }

    /// The metrics by which the group's autoscaler may read its lag.
    pub fn lag_metrics(&self) -> LagMetrics {
        LagMetrics::of(self.statistic(), self.lag_metric.as_deref().unwrap_or_default())
    }
}

/// Where Prometheus scrapes the lag. The preset fills in what the spec leaves out.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsEndpoint {
    /// TCP port of the container.
    pub port: i32,
    /// HTTP path.
    pub path: String,
    /// How often Prometheus scrapes, as a Prometheus duration.
    pub interval: String,
    /// The bounds of a scrape.
    pub limits: ScrapeLimits,
    /// How Prometheus scrapes it.
    pub scrape: EndpointSpec,
    /// Further endpoints of the pods.
    pub additional: Vec<AdditionalEndpoint>,
    /// What the clients call their metrics.
    pub preset: Preset,
    /// How the lags of a pod's partitions become the pod's; `None` for a lagMetric of the user's.
    pub statistic: Option<LagStatistic>,
    /// The metric that the autoscaler reads: the group's own, or the preset's former one.
    pub lag_metric: String,
    /// Labels of the ServiceMonitor.
    pub labels: Labels,
}

impl MetricsEndpoint {
    /// The metrics by which the group's autoscaler may read its lag.
    pub fn lag_metrics(&self) -> LagMetrics {
        LagMetrics::of(self.statistic, &self.lag_metric)
    }

    /// The metric that the group's autoscaler is meant to read.
    pub fn own_lag_metric(&self) -> String {
        custom_metric(self.statistic, self.preset, &self.lag_metric)
    }

    /// The Prometheus metric that the lag is computed from.
    pub fn scraped_lag_metric(&self) -> &str {
        match self.statistic {
            Some(_) => self.preset.client_metrics().records_lag,
            None => &self.lag_metric,
        }
    }
}

/// The custom metric of a statistic; without one the group has named a metric.
fn custom_metric(statistic: Option<LagStatistic>, preset: Preset, named: &str) -> String {
    statistic.map_or_else(|| named.to_owned(), |statistic| preset.lag_metric(statistic))
}
