//! Checks of the CRD, the leader, the permissions and the integrations.

use kcg_api::crd::{VERSION, VersionSkew};

use super::Check;
use super::findings::{Findings, Found};
use super::groups::joined;

pub(super) fn crd(findings: &Findings) -> Check {
    let check = "CRD";
    let apply = findings.installer.apply_crd();
    match &findings.crd {
        Err(why) => Check::unknown(check, why),
        Ok(None) => Check::wrong(check, "KconsumerGroups are not served", apply),
        Ok(Some(VersionSkew::None)) => Check::ok(check, format!("version {VERSION}, as this binary")),
        Ok(Some(VersionSkew::Older(version))) => {
            let found = format!("version {version}, older than this binary's {VERSION}");
            Check::wrong(check, found, apply)
        }
        Ok(Some(VersionSkew::Newer(version))) => {
            let found = format!("version {version}, newer than this binary's {VERSION}");
            Check::wrong(check, found, "upgrade the operator, and this doctor, to the CRD's version")
        }
        Ok(Some(VersionSkew::Unknown)) => Check::wrong(check, "it does not state its version", apply),
    }
}

/// If the operator runs in another namespace alone.
pub(super) fn elsewhere(findings: &Findings) -> Option<Check> {
    let cure = findings.name_the_namespace()?;
    if matches!(&findings.lease, Ok(Some(lease)) if lease.is_held()) {
        return None;
    }
    let found = format!("the operator is not installed in namespace {}", findings.namespace);
    Some(Check::wrong("namespace", found, cure))
}

pub(super) fn leader(findings: &Findings) -> Check {
    let check = "controller";
    if !findings.elects_a_leader {
        return without_election(findings, check);
    }
    let cure = format!("kubectl -n {} get pods, and the logs of the controller", findings.namespace);
    match &findings.lease {
        Err(why) => Check::unknown(check, why),
        Ok(None) => Check::wrong(check, "there was never a leader in this namespace", cure),
        Ok(Some(lease)) if lease.is_held() => Check::ok(check, format!("{} is the leader", lease.holder)),
        Ok(Some(lease)) if lease.holder.is_empty() => Check::wrong(check, "there is no leader", cure),
        Ok(Some(lease)) => {
            let found =
                format!("the leader {} last renewed its Lease {} s ago", lease.holder, lease.seconds_ago);
            Check::wrong(check, found, cure)
        }
    }
}

/// Two controllers without an election write at the same time.
fn without_election(findings: &Findings, check: &str) -> Check {
    let found = "it runs without leader election (--leader-elect=false)";
    match &findings.controller_pods {
        Ok(Some(controller)) if controller.wanted > 1 => Check::wrong(
            check,
            format!("{found}, and its Deployment has {} replicas, which all write", controller.wanted),
            "set replicas to 1 and the strategy to Recreate, or remove --leader-elect=false",
        ),
        Ok(Some(controller)) if !controller.is_recreated => Check::note(
            check,
            format!("{found}, and a rollout starts a pod before the old one has ended: both write then"),
            "set the Deployment's strategy to Recreate, or remove --leader-elect=false",
        ),
        _ => Check::ok(check, found),
    }
}

/// One check for each process, which lists every missing permission.
pub(super) fn permissions(findings: &Findings) -> Vec<Check> {
    let of = |process: &str| {
        let check = format!("permissions of the {process}");
        let needed: Vec<_> =
            findings.permissions.iter().filter(|permission| permission.process == process).collect();
        if let Some(why) = needed.iter().find_map(|permission| permission.allowed.as_ref().err()) {
            return Check::unknown(check, why);
        }
        let missing: Vec<String> = needed
            .iter()
            .filter(|permission| permission.allowed == Ok(false))
            .map(|permission| permission.what.clone())
            .collect();
        if missing.is_empty() {
            Check::ok(check, format!("all {} granted", needed.len()))
        } else {
            Check::wrong(check, format!("it may not {}", joined(&missing)), findings.installer.apply())
        }
    };
    vec![of("controller"), of("webhook")]
}

/// With other namespaces than the controller, the webhook refuses groups that would run, or admits
/// groups that will not. Nothing is said of a Deployment that is missing, which has a check of its own.
pub(super) fn flags(findings: &Findings) -> Option<Check> {
    let check = "flags";
    let differences = findings.flag_differences.as_ref()?;
    Some(if differences.is_empty() {
        Check::ok(check, "both processes have the same namespaces")
    } else {
        Check::wrong(check, differences.join("; "), "set both flags on both processes, with the same values")
    })
}

/// A missing integration is a problem only if there is a group.
pub(super) fn integrations(findings: &Findings) -> Vec<Check> {
    let is_needed = findings.groups.as_ref().is_ok_and(|groups| !groups.is_empty());
    let missing = |check: &str, cure: &str| {
        if is_needed {
            Check::wrong(check, "not served", cure)
        } else {
            Check::note(check, "not served", cure)
        }
    };
    let served = |check: &str, version: &Found<Option<String>>, cure: &str| match version {
        Err(why) => Check::unknown(check, why),
        Ok(Some(version)) => Check::ok(check, format!("served as {version}")),
        Ok(None) => missing(check, cure),
    };
    let strimzi = "install Strimzi: without it the partitions of topics are not known";
    let operator = "install prometheus-operator: without it no lag is scraped and no alert fires";
    let adapter = "install prometheus-adapter with the values that `kconsumer-group-operator adapter-values` prints: without it no group scales";
    let metrics = match &findings.pod_metrics {
        Err(why) => Check::unknown("custom metrics API", why),
        Ok(None) => missing("custom metrics API", adapter),
        Ok(Some(metrics)) => {
            Check::ok("custom metrics API", format!("serves {} metrics of pods", metrics.len()))
        }
    };
    vec![
        served("KafkaTopics", &findings.kafka_topics, strimzi),
        served("ServiceMonitors", &findings.service_monitors, operator),
        served("PrometheusRules", &findings.prometheus_rules, operator),
        metrics,
    ]
}
