//! The files of the Helm charts that are taken from the rest of deploy/.

use kcg_api::names;
use serde_json::{Value, json};

/// A file of deploy/ that the operator's chart copies into its folder `files`. The chart's
/// templates adapt it to the release and its values.
#[derive(Clone, Copy, Debug)]
pub struct CopiedFile {
    /// The original, relative to deploy/.
    pub from: &'static str,
    /// The copy's file name.
    pub to: &'static str,
}

/// The folder of the copies, relative to deploy/.
pub const FILES: &str = "charts/kconsumer-group-operator/files";

/// Every file that is copied.
pub const COPIED: [CopiedFile; 14] = {
    const fn file(from: &'static str, to: &'static str) -> CopiedFile {
        CopiedFile { from, to }
    }
    [
        file("base/controller.yaml", "controller.yaml"),
        file("base/webhook.yaml", "webhook.yaml"),
        file("base/network.yaml", "network.yaml"),
        file("base/lease.yaml", "lease.yaml"),
        file("scopes/cluster/rbac.yaml", "rbac-cluster.yaml"),
        file("rbac/namespace/rbac.yaml", "rbac-namespace.yaml"),
        file("rbac/topics/rbac.yaml", "rbac-topics.yaml"),
        file("scopes/cluster/webhook-configurations.yaml", "webhook-configurations-cluster.yaml"),
        file("scopes/namespaced/webhook-configurations.yaml", "webhook-configurations-namespaced.yaml"),
        file("components/cert-manager/certificates.yaml", "cert-manager.yaml"),
        file("components/self-managed/secret.yaml", "self-managed-secret.yaml"),
        file("components/self-managed/rbac.yaml", "self-managed-rbac.yaml"),
        file("components/monitoring/podmonitor.yaml", "podmonitor.yaml"),
        file("components/monitoring/alerts.yaml", "alerts.yaml"),
    ]
};

impl CopiedFile {
    /// The copy's text: a header that names the original, then the original's text.
    pub fn text(self, original: &str) -> String {
        format!("# Copied from deploy/{}: edit that file, then run {}\n{original}", self.from, crate::RENEW)
    }
}

/// An object as the CRD chart holds it. The CRD, and so every group, survives the chart's
/// uninstallation.
pub fn in_crd_chart(mut object: Value) -> Value {
    let metadata = &mut object["metadata"];
    metadata["labels"]["app.kubernetes.io/name"] = json!(names::OPERATOR);
    if object["kind"] == "CustomResourceDefinition" {
        object["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    }
    object
}
