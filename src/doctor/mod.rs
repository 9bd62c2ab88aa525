//! What is right with an installation and what is not, each with its cure. Floor 1: what was found in the cluster in
//! ([`Findings`]), checks out ([`examine`]). The looking itself is in `look`.

mod admission;
mod cluster;
mod groups;
pub mod look;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kcg_api::crd::VersionSkew;
use serde::Serialize;

/// What was found, or why it could not be looked at.
pub type Found<T> = Result<T, String>;

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing suffers from it now.
    Note,
    /// Something does not work, or will not for long.
    Wrong,
    /// It could not be looked at.
    Unknown,
}

/// One line of the doctor's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: String,
    pub state: State,
    /// What was found there.
    pub found: String,
    /// What to do about it; empty where there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cure: String,
}

impl Check {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, found: found.into(), cure: String::new() }
    }

    fn note(check: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { state: State::Note, cure: cure.into(), ..Self::ok(check, found) }
    }

    fn wrong(check: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { state: State::Wrong, cure: cure.into(), ..Self::ok(check, found) }
    }

    fn unknown(check: impl Into<String>, why: impl Into<String>) -> Self {
        let cure = "run doctor as somebody who may read this: a cluster administrator".into();
        Self { state: State::Unknown, cure, ..Self::ok(check, why) }
    }

    /// Whether nobody has to do anything.
    pub const fn is_well(&self) -> bool {
        matches!(self.state, State::Ok | State::Note)
    }
}

/// All that is looked at.
#[derive(Debug)]
pub struct Findings {
    /// The operator's namespace.
    pub namespace: String,
    /// By the API server's clock: the caller's own may be wrong.
    pub now: SystemTime,
    /// `None`: groups are not served.
    pub crd: Found<Option<VersionSkew>>,
    /// The mutating and the validating one.
    pub registrations: [Found<Option<Registration>>; 2],
    /// The Secret that the webhook mounts.
    pub secret: Found<Option<BTreeMap<String, Vec<u8>>>>,
    /// What came of a good and of a bad group, neither of them kept.
    pub trial: Trial,
    /// `None`: nobody has ever led here.
    pub lease: Found<Option<Lead>>,
    pub rights: Vec<Right>,
    /// The version that is served, of KafkaTopic, ServiceMonitor and PrometheusRule.
    pub kafka_topics: Found<Option<String>>,
    pub service_monitors: Found<Option<String>>,
    pub prometheus_rules: Found<Option<String>>,
    /// The names of the Pods metrics that the cluster offers; `None`: no custom metrics API is served.
    pub metrics: Found<Option<Vec<String>>>,
    pub groups: Found<Vec<Group>>,
    pub autoscalers: Found<Vec<Autoscaler>>,
    pub monitors: Found<Vec<Monitor>>,
    /// `None`: the cluster knows no Prometheus resources.
    pub prometheuses: Found<Option<Vec<Prometheus>>>,
}

/// A webhook registration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// What each of its webhooks trusts.
    pub bundles: Vec<Vec<u8>>,
}

/// What the API server answered to groups that were only tried. `Ok`: it let the group in.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Of a good group; whether it has its defaults then.
    pub good: Result<bool, Answer>,
    /// Of a group that only the webhook refuses.
    pub bad: Result<(), Answer>,
}

/// Why the API server did not let a group in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A rule is broken: the webhook has spoken.
    Refused(String),
    /// Who asks may not create groups: the webhook was not asked.
    Forbidden(String),
    /// The webhook could not be asked, or nobody answered.
    Failed(String),
}

/// Who leads, and since when nothing was heard of it.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Empty where it was given back.
    pub holder: String,
    pub seconds_ago: u64,
    pub lease_seconds: u64,
}

/// One right that a process needs.
#[derive(Clone, Debug)]
pub struct Right {
    /// `controller` or `webhook`.
    pub who: &'static str,
    /// As in `patch deployments.apps in namespace default`.
    pub what: String,
    pub allowed: Found<bool>,
}

/// One group.
#[derive(Clone, Debug)]
pub struct Group {
    pub namespace: String,
    pub name: String,
    /// Reason and message of Ready where that is false, or that nobody has looked at its spec.
    pub trouble: Option<String>,
}

/// One autoscaler of ours.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    pub namespace: String,
    pub name: String,
    /// The Pods metric that it asks for.
    pub metric: String,
    /// Why it does not scale, or that it has not reported.
    pub trouble: Option<String>,
}

/// One ServiceMonitor of ours.
#[derive(Clone, Debug)]
pub struct Monitor {
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Those of its namespace.
    pub namespace_labels: BTreeMap<String, String>,
}

/// One Prometheus, and what it selects; a selector that is absent selects nothing, or its own namespace.
#[derive(Clone, Debug)]
pub struct Prometheus {
    pub namespace: String,
    pub name: String,
    pub monitors: Option<LabelSelector>,
    pub namespaces: Option<LabelSelector>,
}

/// Every check, in the order in which an installation comes to work.
pub fn examine(findings: &Findings) -> Vec<Check> {
    let mut checks = vec![cluster::crd(findings), cluster::lead(findings)];
    checks.extend(cluster::rights(findings));
    checks.extend(admission::checks(findings));
    checks.extend(cluster::neighbours(findings));
    checks.extend(groups::checks(findings));
    checks
}
