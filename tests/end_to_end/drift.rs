//! A changed field of the operator is repaired by one write, within two seconds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kcg_tests::audit;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, Kind, MONITOR, RULE, SERVICE};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_service_is_repaired_field_by_field,
    a_service_monitor_is_repaired_field_by_field,
    a_prometheus_rule_is_repaired_field_by_field,
    an_autoscaler_is_repaired_field_by_field,
    a_deployment_is_repaired_field_by_field,
];

const MOST: Duration = Duration::from_secs(2);
const NAME: &str = "kconsumer";

/// A field of the operator and the value that a third party writes; null removes it.
type Edit = (&'static str, Value);

async fn a_service_is_repaired_field_by_field(env: Arc<SharedEnv>) -> Result<()> {
    let edits = [
        ("/metadata/labels/app", json!("other")),
        ("/metadata/labels/app.kubernetes.io~1managed-by", Value::Null),
        ("/spec/selector/app", json!("other")),
        ("/spec/selector/thenextapps.com~1kconsumergroup", Value::Null),
        ("/spec/ports/0/targetPort", json!(1)),
        ("/spec/ports/0/name", json!("other")),
        // The key of a list item: the renumbered item is claimed first, with another write.
        ("/spec/ports/0/port", json!(9999)),
        ("/spec/ports/0/protocol", json!("UDP")),
    ];
    repaired(&env, SERVICE, "drift-service", &edits).await
}

async fn a_service_monitor_is_repaired_field_by_field(env: Arc<SharedEnv>) -> Result<()> {
    let edits = [
        ("/metadata/labels/app", json!("other")),
        ("/spec/jobLabel", json!("other")),
        ("/spec/selector/matchLabels/app", json!("other")),
        ("/spec/namespaceSelector/matchNames", json!(["default"])),
        ("/spec/endpoints/0/port", json!("other")),
        ("/spec/endpoints/0/path", json!("/other")),
        ("/spec/endpoints/0/scheme", json!("https")),
        ("/spec/endpoints/0/interval", json!("1h")),
        ("/spec/endpoints/0/honorLabels", json!(true)),
        ("/spec/endpoints", json!([])),
    ];
    repaired(&env, MONITOR, "drift-monitor", &edits).await
}

async fn a_prometheus_rule_is_repaired_field_by_field(env: Arc<SharedEnv>) -> Result<()> {
    let edits = [
        ("/metadata/labels/prometheus", json!("other")),
        ("/metadata/labels/role", Value::Null),
        ("/spec/groups/0/rules/0/expr", json!("vector(0)")),
        ("/spec/groups/0/rules/1/for", json!("1d")),
        ("/spec/groups/0/rules/2/labels/severity", json!("none")),
        ("/spec/groups/0/rules/3/annotations/description", json!("other")),
        ("/spec/groups/0/rules/3", Value::Null),
        ("/spec/groups", json!([])),
    ];
    repaired(&env, RULE, "drift-rule", &edits).await
}

async fn an_autoscaler_is_repaired_field_by_field(env: Arc<SharedEnv>) -> Result<()> {
    let edits = [
        ("/metadata/labels/app.kubernetes.io~1managed-by", Value::Null),
        ("/metadata/labels/app", json!("other")),
        ("/metadata/annotations/thenextapps.com~1held-partitions", json!("changed")),
        ("/metadata/annotations/thenextapps.com~1held-partitions", Value::Null),
        ("/spec/minReplicas", json!(2)),
        ("/spec/maxReplicas", json!(100)),
        ("/spec/scaleTargetRef/name", json!("other")),
        ("/spec/metrics/0/pods/metric/name", json!("other")),
        ("/spec/metrics/0/pods/target/averageValue", json!("5")),
        ("/spec/behavior/scaleUp/stabilizationWindowSeconds", json!(60)),
        ("/spec/behavior/scaleDown/policies/0/value", json!(100)),
        ("/spec/behavior/scaleDown/selectPolicy", json!("Disabled")),
    ];
    repaired(&env, AUTOSCALER, "drift-autoscaler", &edits).await
}

async fn a_deployment_is_repaired_field_by_field(env: Arc<SharedEnv>) -> Result<()> {
    let edits = [
        ("/metadata/labels/app.kubernetes.io~1managed-by", Value::Null),
        ("/metadata/labels/app", json!("other")),
        ("/spec/strategy/rollingUpdate/maxSurge", json!(3)),
        ("/spec/strategy", json!({"type": "Recreate"})),
        ("/spec/template/spec/terminationGracePeriodSeconds", json!(0)),
        ("/spec/template/spec/securityContext/seccompProfile/type", json!("Unconfined")),
        ("/spec/template/spec/containers/0/image", json!("example.com/other:1")),
        ("/spec/template/spec/containers/0/imagePullPolicy", json!("Never")),
        ("/spec/template/spec/containers/0/env/0/value", json!("other")),
        ("/spec/template/spec/containers/0/env/1", Value::Null),
        ("/spec/template/spec/containers/0/ports/0/name", json!("other")),
        ("/spec/template/spec/containers/0/ports/0/containerPort", json!(9999)),
        ("/spec/template/spec/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
        ("/spec/template/spec/containers/0/securityContext/capabilities/drop", json!([])),
        ("/spec/template/spec/containers/0/securityContext", Value::Null),
    ];
    repaired(&env, DEPLOYMENT, "drift-deployment", &edits).await
}

/// The number of writes of a repair: one, or two if an item with another key has to be claimed
/// first.
fn writes(path: &str) -> usize {
    let key = ["/port", "/protocol", "/containerPort"].iter().any(|key| path.ends_with(key));
    if key && path.contains("/ports/") { 2 } else { 1 }
}

async fn repaired(env: &Arc<SharedEnv>, kind: Kind, namespace: &str, edits: &[Edit]) -> Result<()> {
    let ns = env.namespace_with_a_topic(namespace).await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    let whole = ns.audit()?;
    for (path, value) in edits {
        let audit = ns.audit()?;
        change_and_await_repair(&ns, kind, path, value).await?;
        let written = audit.eventually_of_child(kind, NAME, writes(path)).await?;
        let changed = audit.by_administrator(kind, NAME)?;
        let took = audit::between(changed.first().context("it was changed")?, &written[written.len() - 1])?;
        assert!(took <= MOST, "{} {path} took {took:?}", kind.name);
    }
    // A late write would show here: each wait is for a later write, and only of the same child.
    let (other, spoil) =
        if kind == SERVICE { (MONITOR, "/spec/jobLabel") } else { (SERVICE, "/spec/selector/app") };
    change_and_await_repair(&ns, other, spoil, &json!("late")).await?;
    whole.eventually_of_child(other, NAME, 1).await?;
    let mut wanted: Vec<&str> = vec![kind.plural; edits.iter().map(|(path, _)| writes(path)).sum()];
    wanted.push(other.plural);
    wanted.sort_unstable();
    assert_eq!(whole.children()?, wanted, "one write for each repair");
    ns.close().await
}

async fn change_and_await_repair(ns: &Namespace, kind: Kind, path: &str, value: &Value) -> Result<()> {
    let before = ns.get(kind, NAME).await?;
    let right = before.pointer(path).with_context(|| format!("{} has {path}", kind.name))?.clone();
    assert_ne!(right, *value, "{path} is changed");
    let operation = if value.is_null() {
        json!([{"op": "remove", "path": path}])
    } else {
        json!([{"op": "replace", "path": path, "value": value}])
    };
    let changed = ns.json_patch(kind, NAME, &operation).await?;
    assert_ne!(changed.pointer(path), Some(&right), "{path} was changed");
    let what = format!("{path} is {right} again");
    ns.eventually(kind, NAME, &what, |seen| seen.pointer(path) == Some(&right)).await.map(drop)
}
