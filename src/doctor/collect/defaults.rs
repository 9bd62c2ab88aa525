//! Reads which file of defaults each process of the operator has read: its pods say so in their
//! metrics, which the API server fetches.

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod};
use kcg_api::names;
use kcg_runtime::client::{RequestError, get_bounded_text, with_deadline};
use kcg_webhook::group_defaults::METRIC;
use kube::ResourceExt;
use kube::api::ListParams;

use super::{Collector, found};
use crate::doctor::findings::{DefaultsRead, DefaultsUnread, Found, ProcessDefaults};

/// The port of the metrics of a pod that names no port `metrics`.
const METRICS_PORT: i32 = 8080;
/// Bytes of the metrics of one pod.
const MAX_METRICS: usize = 16 * 1024 * 1024;
/// Pods of one process.
const MAX_PODS: u32 = 100;

impl Collector<'_> {
    pub(super) async fn defaults(&self) -> Found<Vec<ProcessDefaults>> {
        let processes = [("controller", names::CONTROLLER), ("webhook", names::WEBHOOK)];
        let read = |(process, deployment)| self.defaults_of(process, deployment);
        try_join_all(processes.map(read)).await
    }

    /// A pod that does not answer takes the whole deadline, so all pods are asked at once.
    async fn defaults_of(&self, process: &'static str, deployment: &str) -> Found<ProcessDefaults> {
        let has_file = self.has_file(deployment).await?;
        let pods = if has_file { self.pods(process).await? } else { Vec::new() };
        let reads = pods.into_iter().map(|pod| async move {
            let name = pod.name_any();
            let read = self.read_by(&name, metrics_port(&pod)).await;
            (name, read)
        });
        Ok(ProcessDefaults { process, has_file, pods: join_all(reads).await })
    }

    async fn has_file(&self, deployment: &str) -> Found<bool> {
        let api = self.own_namespace::<Deployment>();
        let deployment = found(with_deadline("get a Deployment", api.get_opt(deployment)).await)?;
        let pod = deployment.and_then(|deployment| deployment.spec.template.spec);
        Ok(pod.iter().flat_map(|pod| &pod.containers).any(sets_defaults))
    }

    /// A process's running pods.
    async fn pods(&self, process: &str) -> Found<Vec<Pod>> {
        let labels =
            format!("app.kubernetes.io/name={},app.kubernetes.io/component={process}", names::OPERATOR);
        let params = ListParams::default().labels(&labels).fields("status.phase=Running").limit(MAX_PODS);
        let pods = found(with_deadline("list pods", self.own_namespace::<Pod>().list(&params)).await)?;
        Ok(pods.items)
    }

    async fn read_by(&self, pod: &str, port: i32) -> Result<DefaultsRead, DefaultsUnread> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:{port}/proxy/metrics", self.namespace);
        let text = get_bounded_text(self.client, &path, MAX_METRICS).await;
        parse(&text.map_err(|error| unread(&error))?)
            .ok_or_else(|| DefaultsUnread::Failed(format!("it has no metric {METRIC}_info")))
    }
}

/// Whether a container has the flag or its variable.
fn sets_defaults(container: &Container) -> bool {
    let is_flag = |arg: &String| arg == "--defaults" || arg.starts_with("--defaults=");
    container.args.iter().flatten().any(is_flag)
        || container.env.iter().flatten().any(|variable| variable.name == "KCG_DEFAULTS")
}

fn metrics_port(pod: &Pod) -> i32 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|port| port.name.as_deref() == Some(names::METRICS_PORT_NAME));
    named.map_or(METRICS_PORT, |port| port.container_port)
}

/// The API server answers with a 5xx status if it cannot connect to a pod, unless it waits longer
/// than doctor does.
fn unread(error: &RequestError) -> DefaultsUnread {
    let is_unreachable =
        matches!(error, RequestError::Timeout { .. }) || error.code().is_some_and(|code| code >= 500);
    let why = error.to_string();
    if is_unreachable { DefaultsUnread::Unreachable(why) } else { DefaultsUnread::Failed(why) }
}

/// What the metrics of a process say of its file.
fn parse(metrics: &str) -> Option<DefaultsRead> {
    let prefix = format!("{}_{METRIC}", names::METRIC_PREFIX);
    let info = metrics.lines().find_map(|line| line.strip_prefix(&prefix)?.strip_prefix("_info{hash=\""))?;
    let hash = info.split('"').next()?.to_owned();
    let rejected = format!("{prefix}_rejected 1");
    Some(DefaultsRead { hash, is_rejected: metrics.lines().any(|line| line == rejected) })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    const METRICS: &str = "kconsumer_group_operator_group_defaults_info{hash=\"none\"} 1\n";

    fn deployment(mut container: Value) -> Value {
        container["name"] = json!("a");
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
            "selector": {}, "template": {"spec": {"containers": [container]}}}})
    }

    /// The response to a request; `None` is never sent.
    fn answer(path_and_query: &str) -> Option<(u16, String)> {
        let pod = |name: &str, ports: Value| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "ports": ports}]}});
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let body = match path {
            "/apis/apps/v1/namespaces/ns/deployments/kconsumer-group-operator-controller" => {
                deployment(json!({"env": [{"name": "KCG_DEFAULTS", "value": "/f"}]}))
            }
            "/apis/apps/v1/namespaces/ns/deployments/kconsumer-group-operator-webhook" => {
                deployment(json!({"args": ["webhook", "--defaults=/f"]}))
            }
            "/api/v1/namespaces/ns/pods" => {
                let pods = if query.contains("controller") {
                    vec![
                        pod(
                            "moved",
                            json!([{"name": "probes", "containerPort": 1}, {"name": "metrics", "containerPort": 9090}]),
                        ),
                        pod("endless", json!([])),
                    ]
                } else {
                    vec![pod("silent", json!([])), pod("refused", json!([])), pod("forbidden", json!([]))]
                };
                json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods})
            }
            "/api/v1/namespaces/ns/pods/moved:9090/proxy/metrics" => return Some((200, METRICS.to_owned())),
            "/api/v1/namespaces/ns/pods/endless:8080/proxy/metrics" => {
                return Some((200, " ".repeat(MAX_METRICS + 1)));
            }
            "/api/v1/namespaces/ns/pods/silent:8080/proxy/metrics" => return None,
            "/api/v1/namespaces/ns/pods/refused:8080/proxy/metrics" => {
                return Some((503, "connection refused".to_owned()));
            }
            _ => return Some((403, path.to_owned())),
        };
        Some((200, body.to_string()))
    }

    #[tokio::test(start_paused = true)]
    async fn each_pod_is_asked_at_its_port_and_one_that_does_not_answer_is_unreachable() {
        let server = service_fn(|request: Request<Body>| async move {
            let answer = answer(&request.uri().to_string());
            let Some((status, body)) = answer else { return std::future::pending().await };
            Response::builder().status(status).body(Body::from(body.into_bytes()))
        });
        let client = Client::new(server, "default");
        let now = SystemTime::UNIX_EPOCH;
        let collector = Collector { client: &client, namespace: "ns", scope: &[], now };
        let processes = collector.defaults().await.unwrap();
        assert!(processes.iter().all(|process| process.has_file), "{processes:?}");
        let pods: Vec<_> = processes.into_iter().flat_map(|process| process.pods).collect();
        let [moved, endless, silent, refused, forbidden] = &pods[..] else { panic!("{pods:?}") };
        assert_eq!(moved.1.as_ref().map(|read| &*read.hash), Ok("none"));
        for (pod, is_unreachable, said) in [
            (endless, false, "the response is longer than 16777216 bytes"),
            (silent, true, "no answer within 10 s"),
            (refused, true, "connection refused (HTTP 503)"),
            (forbidden, false, "(HTTP 403)"),
        ] {
            let (is_so, why) = match pod.1.as_ref().unwrap_err() {
                DefaultsUnread::Unreachable(why) => (true, why),
                DefaultsUnread::Failed(why) => (false, why),
            };
            assert!(is_so == is_unreachable && why.ends_with(said), "{pod:?}");
        }
    }

    #[test]
    fn the_metrics_of_a_process_name_its_file() {
        let text = "# TYPE x gauge\nkconsumer_group_operator_group_defaults_info{hash=\"sha256:a\"} 1\n\
                    kconsumer_group_operator_group_defaults_rejected 1\n# EOF\n";
        let read = parse(text).unwrap();
        assert_eq!((read.hash.as_str(), read.is_rejected), ("sha256:a", true));
        assert!(!parse(&text.replace("rejected 1", "rejected 0")).unwrap().is_rejected);
        assert!(parse("kconsumer_group_operator_leader 1\n").is_none());
    }
}
