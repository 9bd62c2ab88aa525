//! What installed the operator, by the marks that each tool leaves on what it applies.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kcg_api::names;
use kcg_runtime::client::with_deadline;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::Collector;
use super::process::OperatorProcess;
use crate::doctor::findings::{Found, Installer};

/// The chart sets it to Helm, whatever renders it.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Helm alone sets these annotations.
const RELEASE: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// Argo CD's annotation, `APPLICATION:GROUP/KIND:NAMESPACE/NAME`, and the label that some
/// installations of it use instead.
const ARGO_CD: &str = "argocd.argoproj.io/tracking-id";
const ARGO_CD_LABEL: &str = "argocd.argoproj.io/instance";
/// Flux's label with the name of the HelmRelease, which undoes a `helm upgrade` by hand.
const FLUX: &str = "helm.toolkit.fluxcd.io/name";
/// Namespaces with another installation that are named.
const MAX_NAMESPACES: u32 = 5;

/// By kustomize, unless a Deployment says otherwise.
pub(super) async fn find(client: &Client, processes: [&Found<OperatorProcess>; 2]) -> Installer {
    let mut deployments = processes.into_iter().flatten().filter_map(|process| process.deployment.as_ref());
    let Some(deployment) = deployments.next() else { return Installer::Kustomize };
    let installer = of(deployment);
    match &installer {
        Installer::Helm { release } if !has_release(client, deployment, release).await => {
            Installer::RenderedChart { tool: None }
        }
        _ => installer,
    }
}

fn of(deployment: &Deployment) -> Installer {
    let (labels, annotations) = (deployment.labels(), deployment.annotations());
    if labels.get(MANAGED_BY).is_none_or(|tool| tool != "Helm") {
        return Installer::Kustomize;
    }
    let application = annotations.get(ARGO_CD).and_then(|id| id.split(':').next());
    let application = application.or_else(|| labels.get(ARGO_CD_LABEL).map(String::as_str));
    let application = application.map(|name| format!("the Argo CD Application {name}"));
    let tool = application.or_else(|| labels.get(FLUX).map(|name| format!("Flux's HelmRelease {name}")));
    match (tool, annotations.get(RELEASE)) {
        (None, Some(release)) => Installer::Helm { release: release.clone() },
        (tool, _) => Installer::RenderedChart { tool },
    }
}

/// Whether Helm stores the release, in Secrets or in ConfigMaps. An annotation stays if another tool
/// takes over what Helm has installed. True if it cannot be read.
async fn has_release(client: &Client, deployment: &Deployment, release: &str) -> bool {
    let namespace = deployment.annotations().get(RELEASE_NAMESPACE).cloned();
    let namespace = namespace.or_else(|| deployment.namespace()).unwrap_or_default();
    let stored = ListParams::default().labels(&format!("owner=helm,name={release}")).limit(1);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let secrets = with_deadline("list the Secrets of Helm", secrets.list_metadata(&stored)).await;
    let maps = with_deadline("list the ConfigMaps of Helm", maps.list_metadata(&stored)).await;
    let is_stored = |count: usize| count > 0;
    secrets.map_or(true, |list| is_stored(list.items.len()))
        || maps.map_or(true, |list| is_stored(list.items.len()))
}

impl Collector<'_> {
    /// The namespaces that have the operator's Deployments, if this one has none.
    pub(super) async fn other_namespaces(&self, processes: [&Found<OperatorProcess>; 2]) -> Vec<String> {
        let is_here =
            |process: &Found<OperatorProcess>| process.as_ref().map_or(true, OperatorProcess::is_deployed);
        if processes.into_iter().any(is_here) {
            return Vec::new();
        }
        let named = ListParams::default()
            .fields(&format!("metadata.name={}", names::CONTROLLER))
            .limit(MAX_NAMESPACES);
        let api: Api<Deployment> = Api::all(self.client.clone());
        let listing = api.list_metadata(&named);
        let list = with_deadline("list the Deployments of the operator", listing).await;
        list.map_or_else(
            |_| Vec::new(),
            |list| list.items.iter().filter_map(ResourceExt::namespace).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn installer(labels: &Value, annotations: &Value) -> Installer {
        let metadata = json!({"labels": labels, "annotations": annotations});
        let spec = json!({"selector": {}, "template": {}});
        of(&serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
    }

    #[test]
    fn the_marks_of_a_tool_name_what_repairs_the_installation() {
        let helm = || json!({"app.kubernetes.io/managed-by": "Helm"});
        let release = || json!({"meta.helm.sh/release-name": "kcg"});
        let rendered = |tool: &str| Installer::RenderedChart { tool: Some(tool.to_owned()) };
        assert_eq!(installer(&json!({}), &json!({})), Installer::Kustomize);
        assert_eq!(installer(&helm(), &release()), Installer::Helm { release: "kcg".into() });
        assert_eq!(installer(&helm(), &json!({})), Installer::RenderedChart { tool: None });
        let tracked = json!({
            "argocd.argoproj.io/tracking-id": "kcg:apps/Deployment:ns/d", "meta.helm.sh/release-name": "old",
        });
        assert_eq!(installer(&helm(), &tracked), rendered("the Argo CD Application kcg"));
        let mut labels = helm();
        labels["helm.toolkit.fluxcd.io/name"] = json!("kcg");
        assert_eq!(installer(&labels, &release()), rendered("Flux's HelmRelease kcg"));
    }
}
