//! Reads which file of defaults each process of the operator has read: its pods say so in their
//! metrics, which the API server fetches.

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kcg_api::names;
use kcg_runtime::client::{RequestError, get_bounded_text};
use kcg_webhook::group_defaults::METRIC;
use kube::ResourceExt;

use super::Collector;
use super::flags::MetricsPort;
use super::process::OperatorProcess;
use crate::doctor::findings::{DefaultsRead, DefaultsUnread, Found, ProcessDefaults};

/// The port of the metrics of a pod that names no port `metrics`.
const METRICS_PORT: i32 = 8080;
/// Bytes of the metrics of one pod.
const MAX_METRICS: usize = 16 * 1024 * 1024;

impl Collector<'_> {
    /// A pod that does not answer takes the whole deadline, so all pods are asked at once.
    pub(super) async fn defaults(
        &self,
        processes: [&Found<OperatorProcess>; 2],
    ) -> Found<Vec<ProcessDefaults>> {
        let [controller, webhook] = processes.map(|process| process.as_ref().map_err(Clone::clone));
        Ok(join_all([controller?, webhook?].map(|process| self.defaults_of(process))).await)
    }

    async fn defaults_of(&self, process: &OperatorProcess) -> ProcessDefaults {
        let has_file = process.flags.has_defaults_file();
        let reads = process.running_pods().filter(|_| has_file).map(|pod| async move {
            let name = pod.name_any();
            let read = match process.flags.metrics_port() {
                MetricsPort::NotServed => Err(DefaultsUnread::NotServed),
                MetricsPort::Set(port) => self.read_by(&name, port.into()).await,
                MetricsPort::NotSet => self.read_by(&name, metrics_port(pod)).await,
            };
            (name, read)
        });
        ProcessDefaults { process: process.name, has_file, pods: join_all(reads).await }
    }

    async fn read_by(&self, pod: &str, port: i32) -> Result<DefaultsRead, DefaultsUnread> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:{port}/proxy/metrics", self.namespace);
        let text = get_bounded_text(self.client, &path, MAX_METRICS).await;
        parse(&text.map_err(|error| unread(&error))?)
            .ok_or_else(|| DefaultsUnread::Failed(format!("it has no metric {METRIC}_info")))
    }
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

    fn deployment(process: &str, mut container: Value) -> Value {
        container["name"] = json!(process);
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
            "selector": {"matchLabels": {"process": process}}, "template": {"spec": {"containers": [container]}}}})
    }

    /// The response to a request; `None` is never sent.
    fn answer(path_and_query: &str) -> Option<(u16, String)> {
        let pod = |name: &str, ports: Value| {
            json!({"metadata": {"name": name}, "status": {"phase": if name == "pending" { "Pending" } else { "Running" }},
                "spec": {"containers": [{"name": "a", "ports": ports}]}})
        };
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let body = match path {
            "/apis/apps/v1/namespaces/ns/deployments/kconsumer-group-operator-controller" => {
                deployment("controller", json!({"env": [{"name": "KCG_DEFAULTS", "value": "/f"}]}))
            }
            "/apis/apps/v1/namespaces/ns/deployments/kconsumer-group-operator-webhook" => {
                deployment("webhook", json!({"args": ["webhook", "--defaults=/f"]}))
            }
            "/api/v1/namespaces/ns/pods" => {
                let pods = if query.contains("process%3Dcontroller") {
                    vec![
                        pod(
                            "moved",
                            json!([{"name": "probes", "containerPort": 1}, {"name": "metrics", "containerPort": 9090}]),
                        ),
                        pod("endless", json!([])),
                        pod("pending", json!([])),
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
        let controller = OperatorProcess::read(&client, "ns", ("controller", names::CONTROLLER)).await;
        let webhook = OperatorProcess::read(&client, "ns", ("webhook", names::WEBHOOK)).await;
        let processes = collector.defaults([&controller, &webhook]).await.unwrap();
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
                DefaultsUnread::NotServed => panic!("{pod:?}"),
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
