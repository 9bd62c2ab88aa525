//! The endpoints of a ServiceMonitor: what the spec adds to them, what a person adds to them, and
//! how they are stored by the ServiceMonitor's own CRD.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{ValidGroup, names};
use kcg_core::ceiling;
use kcg_core::children::{self, ChildKind};
use kcg_tests::env::{all_crds, api_server};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CHILDREN, DEPLOYMENT, GROUP, MONITOR, SERVICE};
use kcg_tests::{Outcome, eventually, kubectl, met};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::env::{ControllerEnv, SOON};

const SCRAPE_TIMEOUT: &str = "/spec/endpoints/0/scrapeTimeout";

fn secret(key: &str) -> Value {
    json!({"name": "scrape", "key": key})
}

/// Every field of an endpoint, with every field of a relabeling.
fn full() -> Value {
    json!({
        "scheme": "https",
        "tlsConfig": {"ca": {"configMap": secret("ca.crt")}, "cert": {"secret": secret("tls.crt")}, "keySecret": secret("tls.key"),
            "serverName": "orders.shop.svc", "insecureSkipVerify": false, "minVersion": "TLS12", "maxVersion": "TLS13"},
        "basicAuth": {"username": secret("user"), "password": secret("password")},
        "scrapeTimeout": "20s",
        "relabelings": [
            {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "separator": ";", "regex": "(.+)", "targetLabel": "node", "replacement": "$1", "action": "replace"},
            {"sourceLabels": ["__address__"], "targetLabel": "shard", "modulus": 3, "action": "HashMod"},
        ],
        "metricRelabelings": [{"action": "labeldrop", "regex": "spring_id"}, {"targetLabel": "team", "replacement": ""}],
    })
}

fn metrics() -> Value {
    let additional = json!([{"port": 15020, "path": "/stats/prometheus", "interval": "1m", "scrapeTimeout": "30s",
        "authorization": {"type": "Bearer", "credentials": secret("token")}}]);
    json!({"interval": "60s", "endpoint": full(), "additionalEndpoints": additional})
}

async fn started(name: &str, metrics: &Value) -> Outcome<ControllerEnv> {
    let env = ControllerEnv::start(name).await?;
    env.create_group("g", &json!({"metrics": metrics})).await?;
    env.children_exist("g").await?;
    env.condition_is("g", "Paused", "Running").await?;
    Ok(env)
}

/// The controller has handled all earlier events, because it repairs a later change.
async fn at_rest(env: &ControllerEnv) -> Outcome {
    env.patch(SERVICE, "g", &json!({"spec": {"selector": {"app": "other"}}})).await?;
    env.eventually(SERVICE, "g", "its own selector", |service| service["spec"]["selector"]["app"] == "g")
        .await?;
    Ok(())
}

fn patches(env: &ControllerEnv, plural: &str) -> usize {
    env.faults.log.count("PATCH", &format!("/{plural}/g?"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spec_adds_stays_and_leaves_with_the_spec() -> Outcome {
    let env = started("endpoint-fields", &metrics()).await?;
    let monitor = env.get(MONITOR, "g").await?;
    let endpoints = &monitor["spec"]["endpoints"];
    let mut stored = full();
    // The API server fills it in.
    stored["metricRelabelings"][1]["action"] = json!("replace");
    for (field, value) in stored.as_object().context("fields")? {
        assert_eq!(endpoints[0][field], *value, "{field}");
    }
    assert_eq!(endpoints[0]["followRedirects"], false);
    assert_eq!((&endpoints[1]["port"], &endpoints[1]["interval"]), (&json!("metrics-15020"), &json!("1m")));
    let ports = env.get(SERVICE, "g").await?["spec"]["ports"].clone();
    assert_eq!((&ports[1]["name"], &ports[1]["targetPort"]), (&json!("metrics-15020"), &json!(15020)));
    let template = env.get(DEPLOYMENT, "g").await?["spec"]["template"].clone();

    at_rest(&env).await?;
    assert_eq!(patches(&env, "servicemonitors"), 0, "nothing is written at rest");
    let env = env.restart(async |_| Ok(())).await?;
    at_rest(&env).await?;
    assert_eq!(patches(&env, "servicemonitors"), 0, "nor after a restart");

    env.json_patch(GROUP, "g", &json!([
        {"op": "remove", "path": "/spec/metrics/endpoint"}, {"op": "remove", "path": "/spec/metrics/additionalEndpoints"},
    ]))
    .await?;
    let monitor = env
        .eventually(MONITOR, "g", "it has one endpoint", |seen| {
            seen["spec"]["endpoints"].as_array().is_some_and(|endpoints| endpoints.len() == 1)
        })
        .await?;
    assert_eq!(
        monitor["spec"]["endpoints"][0],
        json!({"port": "metrics", "path": "/actuator/prometheus", "interval": "60s", "scheme": "http",
            "honorLabels": false, "followRedirects": false})
    );
    env.eventually(SERVICE, "g", "it has one port", |seen| {
        seen["spec"]["ports"].as_array().is_some_and(|ports| ports.len() == 1)
    })
    .await?;
    assert_eq!(env.get(DEPLOYMENT, "g").await?["spec"]["template"], template, "nothing rolls out");
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_adds_to_an_endpoint_is_taken_back() -> Outcome {
    let env = started("endpoint-by-hand", &json!({})).await?;
    let add = json!([{"op": "add", "path": SCRAPE_TIMEOUT, "value": "1s"}]);
    assert_eq!(env.json_patch(MONITOR, "g", &add).await?.pointer(SCRAPE_TIMEOUT), Some(&json!("1s")));
    env.eventually(MONITOR, "g", "it has no scrapeTimeout", |seen| seen.pointer(SCRAPE_TIMEOUT).is_none())
        .await?;
    let follow = json!([{"op": "remove", "path": "/spec/endpoints/0/followRedirects"}]);
    env.json_patch(MONITOR, "g", &follow).await?;
    env.eventually(MONITOR, "g", "it follows no redirects", |seen| {
        seen["spec"]["endpoints"][0]["followRedirects"] == false
    })
    .await?;
    env.stop().await
}

/// The fields are those of the CRD, in its spelling, and it accepts each value.
#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_passes_the_strict_validation_of_its_crd() -> Outcome {
    let env = ControllerEnv::start("endpoint-strict").await?;
    let group = json!({
        "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
        "metadata": {"name": "g", "namespace": env.name},
        "spec": {"metrics": metrics(), "consumerSpec": {"image": "a", "topic": "t"}},
    });
    let group =
        ValidGroup::read(&parse_group(group).group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
            .map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
    let ceiling = ceiling::resolve(&group, &BTreeMap::new(), None);
    let mut monitor =
        children::desired_one(ChildKind::ServiceMonitor, &group, &ceiling).context("a monitor")?.object;
    monitor["metadata"].as_object_mut().context("metadata")?.remove("ownerReferences");
    let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    let answer = env.kubectl_with(&apply, &monitor.to_string()).await?.ok()?;
    assert!(answer.contains("servicemonitor.monitoring.coreos.com/g created (server dry run)"), "{answer}");
    monitor["spec"]["endpoints"][0]["tlsConfig"]["caPath"] = json!("/");
    let answer = env.kubectl_with(&apply, &monitor.to_string()).await?;
    assert!(
        answer.stderr.contains("unknown field \"spec.endpoints[0].tlsConfig.caPath\""),
        "{}",
        answer.stderr
    );
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_group_that_sends_prometheus_elsewhere_gets_no_monitor() -> Outcome {
    let env = ControllerEnv::start("endpoint-elsewhere").await?;
    let relabelings = json!([{"targetLabel": "__address__", "replacement": "prometheus.monitoring:9090"}]);
    env.create_group("g", &json!({"metrics": {"endpoint": {"relabelings": relabelings}}})).await?;
    let message = env.reason_is("g", "Ready", "InvalidSpec").await?;
    assert!(
        message.contains("relabelings[0].targetLabel: Forbidden: must not write __address__"),
        "{message}"
    );
    for kind in CHILDREN {
        assert!(env.get(kind, "g").await.is_err(), "{}", kind.name);
    }
    env.stop().await
}

/// Applies the monitor as an earlier version did: without the field.
async fn follow_redirects(ns: &Namespace) -> Outcome {
    let live = ns.get(MONITOR, "g").await?;
    let mut earlier = json!({
        "apiVersion": live["apiVersion"], "kind": live["kind"], "spec": live["spec"],
        "metadata": {"name": "g", "labels": live["metadata"]["labels"], "ownerReferences": live["metadata"]["ownerReferences"]},
    });
    earlier["spec"]["endpoints"][0].as_object_mut().context("an endpoint")?.remove("followRedirects");
    let params = PatchParams::apply(names::OPERATOR).force();
    ns.api(MONITOR).patch("g", &params, &Patch::Apply(&earlier)).await?;
    assert_eq!(ns.get(MONITOR, "g").await?["spec"]["endpoints"][0].get("followRedirects"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_of_an_earlier_version_no_longer_follows_redirects() -> Outcome {
    let env = started("endpoint-upgrade", &json!({})).await?;
    let env = env.restart(follow_redirects).await?;
    env.eventually(MONITOR, "g", "it follows no redirects", |seen| {
        seen["spec"]["endpoints"][0]["followRedirects"] == false
    })
    .await?;
    at_rest(&env).await?;
    assert_eq!(patches(&env, "servicemonitors"), 1);
    env.stop().await
}

/// prometheus-operator before 0.55 has no such field, and a server-side apply of an unknown field is
/// an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_crd_without_a_field_of_ours_is_reported_and_leaves_the_other_children_alone() -> Outcome {
    const FIELD: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/endpoints/items/properties/followRedirects";
    let plane = api_server(all_crds()).await?;
    kubectl::patch(
        &plane,
        &["crd", "servicemonitors.monitoring.coreos.com"],
        &json!([{"op": "remove", "path": FIELD}]),
    )
    .await?;
    let namespace = Namespace::create(&plane, &plane.client().await?, "old-crd").await?.within(SOON);
    namespace.create_topic("fast-data-topic", 3).await?;
    let probe = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "probe"},
        "spec": {"selector": {}, "endpoints": [{"followRedirects": false}]}});
    eventually("the field to be unknown", Duration::from_secs(20), async || {
        let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let answer = namespace
            .kubectl_with(&apply, &probe.to_string())
            .await
            .map_err(|error| kcg_devcluster::Error::Missing(error.to_string()))?;
        Ok(met(answer.stderr.contains("unknown field"), || answer.stdout + &answer.stderr))
    })
    .await?;
    let env = ControllerEnv::start_in(&plane, namespace, None).await?;
    env.create_group("g", &json!({})).await?;
    let message = env.reason_is("g", "Ready", "ApplyRefused").await?;
    assert!(message.contains("unknown field \"spec.endpoints[0].followRedirects\""), "{message}");
    for kind in CHILDREN.into_iter().filter(|kind| *kind != MONITOR) {
        env.exists(kind, "g").await?;
    }
    assert!(env.get(MONITOR, "g").await.is_err(), "none without the field");
    env.stop().await
}
