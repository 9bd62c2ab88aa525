//! The CRD, the leader, the rights, and the neighbours that groups need.

use kcg_api::crd::{VERSION, VersionSkew};

use super::{Check, Findings, Found};

const APPLY_CRD: &str = "kubectl apply -k deploy/crd, of this version";
const APPLY_OVERLAY: &str = "apply the operator's overlay again, of this version";

pub(super) fn crd(findings: &Findings) -> Check {
    let check = "CRD";
    match &findings.crd {
        Err(why) => Check::unknown(check, why),
        Ok(None) => Check::wrong(check, "KconsumerGroups are not served", APPLY_CRD),
        Ok(Some(VersionSkew::None)) => Check::ok(check, format!("of version {VERSION}, as this binary")),
        Ok(Some(VersionSkew::Older(version))) => Check::wrong(
            check,
            format!("of version {version}, older than this binary's {VERSION}"),
            APPLY_CRD,
        ),
        Ok(Some(VersionSkew::Newer(version))) => Check::wrong(
            check,
            format!("of version {version}, newer than this binary's {VERSION}"),
            "upgrade the operator, and this doctor, to the CRD's version",
        ),
        Ok(Some(VersionSkew::Unknown)) => {
            Check::wrong(check, "it does not say of which version it is", APPLY_CRD)
        }
    }
}

pub(super) fn lead(findings: &Findings) -> Check {
    let check = "controller";
    let look = format!("kubectl -n {} get pods, and the logs of the controller's", findings.namespace);
    match &findings.lease {
        Err(why) => Check::unknown(check, why),
        Ok(None) => Check::wrong(check, "none has ever led in this namespace", look),
        Ok(Some(lead)) if lead.holder.is_empty() => Check::wrong(check, "none leads", look),
        Ok(Some(lead)) if lead.seconds_ago > lead.lease_seconds => Check::wrong(
            check,
            format!("{} led and was last heard of {} s ago", lead.holder, lead.seconds_ago),
            look,
        ),
        Ok(Some(lead)) => Check::ok(check, format!("{} leads", lead.holder)),
    }
}

/// One check for each process: what it may not do, all of it.
pub(super) fn rights(findings: &Findings) -> Vec<Check> {
    let of = |who: &str| {
        let check = format!("rights of the {who}");
        let rights: Vec<_> = findings.rights.iter().filter(|right| right.who == who).collect();
        if let Some(why) = rights.iter().find_map(|right| right.allowed.as_ref().err()) {
            return Check::unknown(check, why);
        }
        let missing: Vec<&str> = rights
            .iter()
            .filter(|right| right.allowed == Ok(false))
            .map(|right| right.what.as_str())
            .collect();
        if missing.is_empty() {
            Check::ok(check, format!("all {}", rights.len()))
        } else {
            Check::wrong(check, format!("it may not {}", missing.join(", ")), APPLY_OVERLAY)
        }
    };
    vec![of("controller"), of("webhook")]
}

/// A neighbour that is not there is wrong once a group needs it.
pub(super) fn neighbours(findings: &Findings) -> Vec<Check> {
    let needed = findings.groups.as_ref().is_ok_and(|groups| !groups.is_empty());
    let absent = |check: &str, found: &str, cure: &str| {
        if needed { Check::wrong(check, found, cure) } else { Check::note(check, found, cure) }
    };
    let served = |check: &str, version: &Found<Option<String>>, cure: &str| match version {
        Err(why) => Check::unknown(check, why),
        Ok(Some(version)) => Check::ok(check, format!("served as {version}")),
        Ok(None) => absent(check, "not served", cure),
    };
    let (strimzi, operator) = (
        "install Strimzi: without it no group knows its partitions",
        "install prometheus-operator: without it nothing is scraped and nobody alerted",
    );
    let mut checks = vec![
        served("KafkaTopics", &findings.kafka_topics, strimzi),
        served("ServiceMonitors", &findings.service_monitors, operator),
        served("PrometheusRules", &findings.prometheus_rules, operator),
    ];
    let check = "custom metrics API";
    checks.push(match &findings.metrics {
        Err(why) => Check::unknown(check, why),
        Ok(None) => absent(
            check,
            "not served",
            "install prometheus-adapter with deploy/prometheus-adapter/rules.yaml: without it no group scales",
        ),
        Ok(Some(metrics)) => Check::ok(check, format!("offers {} metrics of pods", metrics.len())),
    });
    checks
}
