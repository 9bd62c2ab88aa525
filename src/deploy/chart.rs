//! What the Helm charts hold of the other files in deploy/. Floor 1.

use kcg_api::names;
use serde_json::{Value, json};

/// A file below deploy/ that the operator's chart holds a copy of, in its folder `files`; the templates fit it to
/// the release and its values.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    /// Below deploy/.
    pub from: &'static str,
    /// The copy's name, without folder.
    pub to: &'static str,
}

/// The folder of the copies, below deploy/.
pub const FILES: &str = "charts/kconsumer-group-operator/files";

/// Every file that is copied.
pub const COPIED: [Copied; 14] = {
    const fn of(from: &'static str, to: &'static str) -> Copied {
        Copied { from, to }
    }
    [
        of("base/controller.yaml", "controller.yaml"),
        of("base/webhook.yaml", "webhook.yaml"),
        of("base/network.yaml", "network.yaml"),
        of("base/lease.yaml", "lease.yaml"),
        of("scopes/cluster/rbac.yaml", "rbac-cluster.yaml"),
        of("rbac/namespace/rbac.yaml", "rbac-namespace.yaml"),
        of("rbac/topics/rbac.yaml", "rbac-topics.yaml"),
        of("scopes/cluster/registrations.yaml", "registrations-cluster.yaml"),
        of("scopes/namespaced/registrations.yaml", "registrations-namespaced.yaml"),
        of("components/cert-manager/certificates.yaml", "cert-manager.yaml"),
        of("components/self-managed/secret.yaml", "self-managed-secret.yaml"),
        of("components/self-managed/rbac.yaml", "self-managed-rbac.yaml"),
        of("components/monitoring/podmonitor.yaml", "podmonitor.yaml"),
        of("components/monitoring/alerts.yaml", "alerts.yaml"),
    ]
};

impl Copied {
    /// The copy's text: where it comes from, then the file's text as it is.
    pub fn text(self, original: &str) -> String {
        format!(
            "# A copy of deploy/{}: edit that, then UPDATE_DEPLOY=1 cargo test --locked --test deploy\n{original}",
            self.from
        )
    }
}

/// An object as the chart of the resource holds it. Uninstalling the chart keeps the resource, and so the groups.
pub fn kept(mut object: Value) -> Value {
    let metadata = &mut object["metadata"];
    metadata["labels"]["app.kubernetes.io/name"] = json!(names::OPERATOR);
    if object["kind"] == "CustomResourceDefinition" {
        object["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    }
    object
}
