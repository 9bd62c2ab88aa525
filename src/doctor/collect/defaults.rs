//! Reads which file of defaults each process of the operator has read: its pods say so in their
//! metrics, which the API server fetches.

use http::Request;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kcg_api::names;
use kcg_runtime::client::with_deadline;
use kcg_webhook::group_defaults::METRIC;
use kube::ResourceExt;
use kube::api::ListParams;

use super::{Collector, found};
use crate::doctor::findings::{DefaultsRead, Found, ProcessDefaults};

/// The port of the metrics in the shipped manifests.
const METRICS_PORT: u16 = 8080;

impl Collector<'_> {
    pub(super) async fn defaults(&self) -> Found<Vec<ProcessDefaults>> {
        let mut processes = Vec::new();
        for (process, deployment) in [("controller", names::CONTROLLER), ("webhook", names::WEBHOOK)] {
            let has_file = self.has_file(deployment).await?;
            let mut pods = Vec::new();
            if has_file {
                for pod in self.pods(process).await? {
                    let read = self.read_by(&pod).await;
                    pods.push((pod, read));
                }
            }
            processes.push(ProcessDefaults { process, has_file, pods });
        }
        Ok(processes)
    }

    async fn has_file(&self, deployment: &str) -> Found<bool> {
        let api = self.own_namespace::<Deployment>();
        let deployment = found(with_deadline("get a Deployment", api.get_opt(deployment)).await)?;
        let pod = deployment.and_then(|deployment| deployment.spec.template.spec);
        let args =
            pod.into_iter().flat_map(|pod| pod.containers).flat_map(|one| one.args.unwrap_or_default());
        Ok(args.into_iter().any(|arg| arg == "--defaults" || arg.starts_with("--defaults=")))
    }

    /// The names of a process's running pods.
    async fn pods(&self, process: &str) -> Found<Vec<String>> {
        let labels =
            format!("app.kubernetes.io/name={},app.kubernetes.io/component={process}", names::OPERATOR);
        let params = ListParams::default().labels(&labels).fields("status.phase=Running");
        let pods = found(with_deadline("list pods", self.own_namespace::<Pod>().list(&params)).await)?;
        Ok(pods.items.iter().map(ResourceExt::name_any).collect())
    }

    async fn read_by(&self, pod: &str) -> Found<DefaultsRead> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:{METRICS_PORT}/proxy/metrics", self.namespace);
        let text = with_deadline(format!("get {path}"), async {
            let request = Request::get(&path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            self.client.request_text(request).await
        });
        parse(&found(text.await)?).ok_or_else(|| format!("it has no metric {METRIC}_info"))
    }
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
    use super::*;

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
