//! The findings: what the checks are made from.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kcg_api::crd::VersionSkew;

/// A finding, or why it could not be read.
pub(super) type Found<T> = Result<T, String>;

/// Everything that was read from the cluster.
#[derive(Debug)]
pub struct Findings {
    /// The operator's namespace.
    pub(super) namespace: String,
    pub(super) installer: Installer,
    /// The API server's time: the local clock may be wrong.
    pub(super) now: SystemTime,
    /// `None`: KconsumerGroups are not served.
    pub(super) crd: Found<Option<VersionSkew>>,
    /// The mutating and the validating webhook configurations of the installation.
    pub(super) configurations: [Found<Vec<ConfigurationFinding>>; 2],
    /// The name of the webhook configurations whose CA bundle the controller writes; `None` if it
    /// writes none.
    pub(super) written_configuration: Option<String>,
    /// The data of the Secret that the webhook mounts.
    pub(super) secret: Found<Option<BTreeMap<String, Vec<u8>>>>,
    /// The result of creating a valid and an invalid group with dry-run.
    pub(super) dry_run: DryRun,
    /// Whether the controllers elect a leader.
    pub(super) elects_a_leader: bool,
    /// `None`: there was never a leader in this namespace.
    pub(super) lease: Found<Option<LeaseFinding>>,
    pub(super) permissions: Vec<Permission>,
    /// How the flags differ that both processes should have; `None` if a Deployment is missing.
    pub(super) flag_differences: Option<Vec<String>>,
    /// The file of defaults that each process has read.
    pub(super) defaults: Found<Vec<ProcessDefaults>>,
    /// The hash of a file of defaults that is about to be applied.
    pub(super) defaults_file: Option<String>,
    /// The namespaces that have the operator's Deployments, if its own has none.
    pub(super) other_namespaces: Vec<String>,
    /// `None`: there is no such Deployment.
    pub(super) controller_pods: Found<Option<ProcessFinding>>,
    /// `None`: there is no such Deployment.
    pub(super) webhook_pods: Found<Option<ProcessFinding>>,
    /// The served version of KafkaTopics.
    pub(super) kafka_topics: Found<Option<String>>,
    /// The served version of ServiceMonitors.
    pub(super) service_monitors: Found<Option<String>>,
    /// The served version of PrometheusRules.
    pub(super) prometheus_rules: Found<Option<String>>,
    /// The names of the served Pods metrics; `None`: no custom metrics API is served.
    pub(super) pod_metrics: Found<Option<Vec<String>>>,
    pub(super) groups: Found<Vec<GroupFinding>>,
    pub(super) autoscalers: Found<Vec<AutoscalerFinding>>,
    pub(super) service_monitor_objects: Found<Vec<LabeledFinding>>,
    pub(super) rule_objects: Found<Vec<LabeledFinding>>,
    /// The operator's own PodMonitors, which are optional.
    pub(super) own_monitors: Found<Vec<LabeledFinding>>,
    /// The operator's own PrometheusRules, which are optional.
    pub(super) own_rules: Found<Vec<LabeledFinding>>,
    /// `None`: the cluster serves no Prometheus resources.
    pub(super) prometheuses: Found<Option<Vec<PrometheusFinding>>>,
}

impl Findings {
    /// The cure if other namespaces have the operator's Deployments.
    pub(super) fn name_the_namespace(&self) -> Option<String> {
        let others = self.other_namespaces.join(", ");
        (!others.is_empty()).then(|| format!("name the operator's --namespace: it is in {others}"))
    }
}

/// What installed the operator, and so what repairs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Installer {
    /// Manifests of this repository.
    Kustomize,
    /// Helm, with the chart.
    Helm {
        /// The name of the release.
        release: String,
    },
    /// Another tool, which rendered the chart: Helm knows no release.
    RenderedChart {
        /// For example `the Argo CD Application operator`, if it is known.
        tool: Option<String>,
    },
}

/// One webhook configuration.
#[derive(Clone, Debug)]
pub(super) struct ConfigurationFinding {
    pub(super) name: String,
    /// The CA bundle of each webhook (PEM); empty if it is not set.
    pub(super) bundles: Vec<Vec<u8>>,
    /// The Certificate, as NAMESPACE/NAME, from which cert-manager writes the CA bundles.
    pub(super) injected_from: Option<String>,
}

/// The API server's response to two groups that were created with dry-run.
#[derive(Clone, Debug)]
pub(super) struct DryRun {
    /// For a valid group: whether the response has its defaults.
    pub(super) valid: Result<bool, DryRunError>,
    /// For a group that only the webhook rejects.
    pub(super) invalid: Result<(), DryRunError>,
}

/// Why the API server did not accept a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DryRunError {
    /// A rule is violated.
    Rejected(String),
    /// The user may not create groups, so the webhook was not called.
    Forbidden(String),
    /// The webhook could not be called, or the API server did not respond.
    Failed(String),
}

/// The leader election Lease.
#[derive(Clone, Debug)]
pub(super) struct LeaseFinding {
    /// Empty if it was released.
    pub(super) holder: String,
    /// The time since the last renewal.
    pub(super) seconds_ago: u64,
    pub(super) lease_seconds: u64,
}

impl LeaseFinding {
    /// If its holder has released it or not renewed it in time, a candidate may take it.
    pub(super) const fn is_held(&self) -> bool {
        !self.holder.is_empty() && self.seconds_ago <= self.lease_seconds
    }
}

/// One permission that a process needs.
#[derive(Clone, Debug)]
pub(super) struct Permission {
    /// `controller` or `webhook`.
    pub(super) process: &'static str,
    /// For example `patch deployments.apps in namespace default`.
    pub(super) what: String,
    pub(super) allowed: Found<bool>,
}

/// The file of defaults of one process.
#[derive(Clone, Debug)]
pub(super) struct ProcessDefaults {
    /// `controller` or `webhook`.
    pub(super) process: &'static str,
    /// Its Deployment sets the flag `--defaults`.
    pub(super) has_file: bool,
    /// Its running pods by name, and what each has read.
    pub(super) pods: Vec<(String, Result<DefaultsRead, DefaultsUnread>)>,
}

/// Why it is not known what a pod has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DefaultsUnread {
    /// The API server may not connect to the pod's metrics, most often by a NetworkPolicy.
    Unreachable(String),
    /// Its process serves no metrics.
    NotServed,
    /// The user may not read them, or they say nothing of a file.
    Failed(String),
}

/// What one pod has read.
#[derive(Clone, Debug)]
pub(super) struct DefaultsRead {
    /// The hash of the content in force; `none` is the product's defaults.
    pub(super) hash: String,
    /// The content that is there now is not in force.
    pub(super) is_rejected: bool,
}

impl Findings {
    /// The same findings, to be compared with a file of defaults that is about to be applied.
    #[must_use]
    pub fn with_defaults_file(self, hash: Option<String>) -> Self {
        Self { defaults_file: hash, ..self }
    }
}

/// One group.
#[derive(Clone, Debug)]
pub(super) struct GroupFinding {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Reason and message of Ready if it is False, or that the controller has not processed the
    /// spec.
    pub(super) problem: Option<String>,
    /// Its metrics, if they have not been read for longer than a new object may take.
    pub(super) unread_metrics: Option<UnreadMetrics>,
}

/// What the status of a group says of its metrics.
#[derive(Clone, Debug)]
pub(super) struct UnreadMetrics {
    /// Reason and message of MetricsAvailable.
    pub(super) why: String,
    /// Since it is False.
    pub(super) duration: Duration,
}

/// The HorizontalPodAutoscaler of one group.
#[derive(Clone, Debug)]
pub(super) struct AutoscalerFinding {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The Pods metrics that it reads: the lag, and the user's.
    pub(super) metrics: Vec<String>,
    /// Why it does not scale, or that it has not reported.
    pub(super) problem: Option<String>,
    /// It has read a value of its lag metric; kubectl shows `<unknown>` otherwise.
    pub(super) has_read_lag: bool,
}

/// One of the operator's Deployments and its pods.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessFinding {
    pub(super) wanted: i32,
    /// An old pod ends before a new one starts: the strategy Recreate.
    pub(super) is_recreated: bool,
    pub(super) ready: i32,
    /// Why the API server refuses its pods.
    pub(super) refused: Option<String>,
    pub(super) pods: Vec<PodFinding>,
}

/// One pod of the operator.
#[derive(Clone, Debug)]
pub(super) struct PodFinding {
    pub(super) name: String,
    /// Why it does not run.
    pub(super) problem: Option<String>,
}

/// A ServiceMonitor, a PodMonitor or a PrometheusRule, of a group or of the operator.
#[derive(Clone, Debug)]
pub(super) struct LabeledFinding {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) namespace_labels: BTreeMap<String, String>,
}

/// One Prometheus, PrometheusAgent or ThanosRuler, and what it selects.
#[derive(Clone, Debug)]
pub(super) struct PrometheusFinding {
    pub(super) namespace: String,
    pub(super) name: String,
    /// ServiceMonitors; `None` if it does not scrape.
    pub(super) monitors: Option<SelectorPair>,
    /// PodMonitors; `None` if it does not scrape.
    pub(super) pod_monitors: Option<SelectorPair>,
    /// PrometheusRules; `None` if it does not evaluate rules.
    pub(super) rules: Option<SelectorPair>,
}

/// Which objects are selected, and in which namespaces.
#[derive(Clone, Debug, Default)]
pub(super) struct SelectorPair {
    pub(super) objects: Option<LabelSelector>,
    pub(super) namespaces: Option<LabelSelector>,
}
