//! Webhooks that are not the operator's, or that do not answer: a second one that changes groups as well,
//! and one whose decisions never end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use kcg_api::names;
use kcg_certs::{Ca, Pair, Resolver};
use kcg_devcluster::audit::{AuditEvent, Mark};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{DEPLOYMENT, GROUP, SERVICE, group};
use kcg_webhook::admit::{Admission, AdmissionRequest, Verdict};
use kcg_webhook::metrics::WebhookMetrics;
use kcg_webhook::server::{self, Drain, Limits};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cases::{cases, caught};
use crate::env::SharedEnv;

cases![
    another_webhook_that_adds_and_removes_fields_leads_to_one_result_without_a_conflict,
    while_no_decision_ends_the_api_server_applies_the_failure_policies,
];

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

/// A webhook for the groups of one namespace, until it is removed.
struct OtherWebhook {
    configurations: Vec<(Api<DynamicObject>, String)>,
    _serves: tokio_util::sync::DropGuard,
}

impl OtherWebhook {
    /// Starts it, and copies the operator's own webhook configurations of these kinds for it.
    async fn start(
        env: &SharedEnv,
        (name, namespace): (&str, &str),
        kinds: &[&str],
        timeout_seconds: u8,
        admission: impl Admission,
    ) -> Result<Self> {
        let host = ["localhost".to_owned()];
        let (now, day) = (SystemTime::now(), Duration::from_hours(24));
        let ca = Ca::create(name, &host, now, day)?;
        let issued = ca.issue(&host, now, day)?;
        let resolver = Arc::new(Resolver::new());
        resolver.replace(Pair::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()), now)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let stop = CancellationToken::new();
        let drain = Drain { stop: stop.clone(), quiet_period: Duration::ZERO };
        let metrics = WebhookMetrics::register(&mut Registry::default());
        let tls = server::tls(resolver, None)?;
        tokio::spawn(server::serve(listener, tls, Limits::default(), admission, metrics, drain));
        let mut configurations = Vec::new();
        for kind in kinds {
            let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
            let api: Api<DynamicObject> = Api::all_with(env.client.clone(), &ApiResource::from_gvk(&kind));
            let own = serde_json::to_value(api.get(names::OPERATOR).await?)?;
            let mut webhook = own["webhooks"][0].clone();
            let path = webhook["clientConfig"]["service"]["path"].as_str();
            let path = path
                .or_else(|| webhook["clientConfig"]["url"].as_str()?.rsplit_once('/').map(|(_, path)| path));
            let url = format!("https://localhost:{port}/{}", path.context("a path")?.trim_start_matches('/'));
            webhook["clientConfig"] = json!({"url": url, "caBundle": STANDARD.encode(ca.certificate_pem())});
            webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
            webhook["timeoutSeconds"] = timeout_seconds.into();
            webhook["name"] = format!("{name}.example.com").into();
            let configuration = json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind.kind,
                "metadata": {"name": name}, "webhooks": [webhook],
            });
            api.create(&PostParams::default(), &serde_json::from_value(configuration)?).await?;
            configurations.push((api, name.to_owned()));
        }
        Ok(Self { configurations, _serves: stop.drop_guard() })
    }

    /// Removes its configurations and ends it.
    async fn remove(self) -> Result<()> {
        for (api, name) in &self.configurations {
            api.delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

/// Patches every group in the same way, and counts how often.
#[derive(Clone)]
struct Patching {
    patch: Patch,
    reviews: Arc<Mutex<usize>>,
}

impl Patching {
    fn by(patch: Value) -> Result<Self> {
        Ok(Self { patch: serde_json::from_value(patch)?, reviews: Arc::default() })
    }
}

impl Admission for Patching {
    fn admit(&self, _request: &AdmissionRequest<'_>) -> Verdict {
        *self.reviews.lock() += 1;
        Verdict::Allowed { patch: self.patch.clone(), warnings: Vec::new() }
    }
}

/// Webhooks are called in the order of the names of their configurations, and again if a later one has
/// changed the object.
async fn another_webhook_that_adds_and_removes_fields_leads_to_one_result_without_a_conflict(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("other-webhooks").await?;
    let set = |value: &str| {
        json!([
            {"op": "add", "path": "/metadata/annotations", "value": {"example.com/by": value}},
            {"op": "add", "path": "/spec/consumerSpec/resources", "value": {"limits": {"memory": "1Gi"}}},
        ])
    };
    // What the operator's webhook fills in is there when the last one is called; a patch that removes an
    // absent field fails.
    let remove =
        ["containerName", "groupId"].map(|field| format!("/spec/consumerSpec/{field}")).map(|path| {
            [json!({"op": "add", "path": path, "value": "another"}), json!({"op": "remove", "path": path})]
        });
    let mut last = set("last");
    last.as_array_mut().context("a list")?.extend(remove.into_iter().flatten());
    let (first, last) = (Patching::by(set("first"))?, Patching::by(last)?);
    let mut others = Vec::new();
    for (name, admission) in [("a-first", &first), ("z-last", &last)] {
        let at = (name, ns.name.as_str());
        others.push(OtherWebhook::start(&env, at, &[MUTATING], 5, admission.clone()).await?);
    }
    let outcome = caught(with_others(&env, &ns, &[&first, &last])).await;
    for other in others {
        other.remove().await?;
    }
    outcome?;
    ns.close().await
}

async fn with_others(env: &SharedEnv, ns: &Namespace, others: &[&Patching]) -> Result<()> {
    let mark = env.audit.mark()?;
    let applied = async |spec: &Value| -> Result<Value> {
        let manifest = group("kconsumer", spec).to_string();
        ns.kubectl_with(&["apply", "--server-side", "-f", "-"], &manifest).await?.ok()?;
        ns.get(GROUP, "kconsumer").await
    };
    // A new configuration applies after a moment.
    let began = Instant::now();
    while others.iter().any(|other| *other.reviews.lock() == 0) {
        anyhow::ensure!(began.elapsed() < kcg_tests::env::LIMIT, "the other webhooks are not called");
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &group("dry", &json!({})).to_string())
            .await?
            .ok()?;
    }
    for other in others {
        *other.reviews.lock() = 0;
    }
    let stored = applied(&json!({})).await?;
    let calls: Vec<usize> = others.iter().map(|other| *other.reviews.lock()).collect();
    anyhow::ensure!(calls.iter().any(|calls| *calls > 1), "none was called again: {calls:?}");
    assert_eq!(stored["metadata"]["annotations"]["example.com/by"], "last");
    assert_eq!(stored["spec"]["consumerSpec"]["resources"], json!({"limits": {"memory": "1Gi"}}));
    ns.group_is_ready("kconsumer").await?;
    let container = "/spec/template/spec/containers/0";
    let deployment = ns.get(DEPLOYMENT, "kconsumer").await?;
    let made = deployment.pointer(container).context("a container")?;
    assert_eq!(made["name"], "kconsumer");
    assert_eq!(made["resources"], json!({"limits": {"memory": "1Gi"}}));
    // The same manifest again changes nothing, and another image changes the image alone.
    let again = applied(&json!({})).await?;
    assert_eq!(again["metadata"]["generation"], stored["metadata"]["generation"]);
    let mut changed = applied(&json!({"consumerSpec": {"image": "another"}})).await?;
    assert_eq!(changed["spec"]["consumerSpec"]["image"], "another");
    changed["spec"]["consumerSpec"]["image"] = stored["spec"]["consumerSpec"]["image"].clone();
    assert_eq!(changed["spec"], stored["spec"]);
    ns.eventually(DEPLOYMENT, "kconsumer", "the image", |deployment| {
        deployment.pointer(container).is_some_and(|container| container["image"] == "another")
    })
    .await?;
    ns.group_is_ready("kconsumer").await?;
    conflicts_are_none(env, &ns.name, mark)
}

/// Asserts that no write of the operator in this namespace met a conflict, but for those of a status that was
/// made from the group before a change.
fn conflicts_are_none(env: &SharedEnv, namespace: &str, since: Mark) -> Result<()> {
    let operator = &env.operator;
    let events = env.audit.since(since)?;
    let writes = events.iter().filter(|event| {
        event.is_write()
            && event.object_ref.namespace == namespace
            && event.resource() != "kconsumergroups/status"
            && event.is_by(operator.namespace(), operator.controller_account())
    });
    let conflicts: Vec<&AuditEvent> = writes.filter(|event| event.response_status.code == 409).collect();
    assert!(conflicts.is_empty(), "{conflicts:?}");
    Ok(())
}

/// Decides nothing until the test has dropped the other end.
struct Stuck(Mutex<Receiver<()>>);

impl Stuck {
    fn new() -> (Self, Sender<()>) {
        let (end, ended) = channel();
        (Self(Mutex::new(ended)), end)
    }
}

impl Admission for Stuck {
    fn admit(&self, _request: &AdmissionRequest<'_>) -> Verdict {
        let _ = self.0.lock().recv();
        Verdict::Allowed { patch: Patch::default(), warnings: Vec::new() }
    }
}

/// The configurations are the operator's own, with another address. `webhook/tests/clients.rs` shows that
/// the probes are answered meanwhile.
async fn while_no_decision_ends_the_api_server_applies_the_failure_policies(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_group("stuck-webhook").await?;
    let (stuck, end) = Stuck::new();
    let at = ("stuck-webhook", ns.name.as_str());
    let other = OtherWebhook::start(&env, at, &[MUTATING, VALIDATING], 1, stuck).await?;
    let outcome = caught(with_a_stuck_webhook(&ns)).await;
    other.remove().await?;
    drop(end);
    outcome?;
    ns.close().await
}

async fn with_a_stuck_webhook(ns: &Namespace) -> Result<()> {
    let refused = "failed calling webhook \"stuck-webhook.example.com\"";
    kcg_tests::eventually("a creation to be refused", kcg_tests::env::LIMIT, async || {
        let manifest = group("new", &json!({})).to_string();
        let answer = ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &manifest).await?;
        Ok(kcg_tests::met(answer.stderr.contains(refused), || answer.stderr + &answer.stdout))
    })
    .await?;
    // Every thread is taken soon. A creation takes both timeouts, of a second each.
    for _ in 0..3 {
        let began = Instant::now();
        let answer = ns.kubectl_create(&group("new", &json!({}))).await?;
        assert!(answer.stderr.contains(refused), "{}{}", answer.stderr, answer.stdout);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
    // What a webhook does not see goes on: labels, repairs, deletions.
    ns.kubectl(&["label", "kcg", "kconsumer", "team=data"]).await?.ok()?;
    ns.drift_is_repaired("kconsumer").await?;
    ns.kubectl(&["delete", "kcg", "kconsumer"]).await?.ok()?;
    ns.eventually_gone(SERVICE, "kconsumer").await
}
