//! Renders the files of deploy/ and docs/ that follow from the code: the CRD, RBAC, the webhook
//! configurations and their certificates, the rules for prometheus-adapter, the Grafana dashboards,
//! and the resource's reference.
//!
//! Values in, values out; the crate's tests compare them with the files. Nothing here is shipped in
//! the binary.
#![warn(missing_docs, unreachable_pub)]

pub mod admission_policy;
pub mod certificates;
pub mod chart;
pub mod grafana;
pub mod rbac;
pub mod resource_page;
pub mod webhook_configurations;

use kcg_api::crd;
use kcg_core::lag;
use serde_json::Value;

/// The command that renews every rendered file.
pub const RENEW: &str = "UPDATE=1 cargo test --package kcg-manifests";

/// One rendered file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Relative to deploy/. A file that ends in `.json` holds one object and no header.
    pub path: &'static str,
    /// The Kubernetes objects, or the one dashboard.
    pub objects: Vec<Value>,
}

/// Every rendered file of deploy/.
pub fn files() -> Vec<File> {
    let file = |path, objects| File { path, objects };
    vec![
        file("crd/kconsumergroups.yaml", vec![custom_resource_definition()]),
        file("crd/user-roles.yaml", rbac::user_roles()),
        file("base/lease.yaml", rbac::lease()),
        file("scopes/cluster/rbac.yaml", rbac::cluster()),
        file("scopes/cluster/webhook-configurations.yaml", webhook_configurations::cluster()),
        file("scopes/namespaced/webhook-configurations.yaml", webhook_configurations::namespaced()),
        file("components/cert-manager/certificates.yaml", certificates::cert_manager()),
        file("components/self-managed/secrets.yaml", certificates::self_managed()),
        file("components/self-managed/rbac.yaml", rbac::self_managed_certificates()),
        file("components/self-managed/admission-policy.yaml", admission_policy::self_managed()),
        file("prometheus-adapter/rules.yaml", vec![lag::adapter_rules()]),
        file("prometheus-adapter/values.yaml", vec![lag::adapter_values()]),
        file("rbac/namespace/rbac.yaml", rbac::namespace()),
        file("rbac/topics/rbac.yaml", rbac::topic_namespace()),
        file("grafana/groups.json", vec![grafana::groups::dashboard()]),
        file("grafana/operator.json", vec![grafana::operator::dashboard()]),
        file(
            "charts/kconsumer-group-operator-crds/templates/kconsumergroups.yaml",
            vec![chart::in_crd_chart(custom_resource_definition())],
        ),
        file(
            "charts/kconsumer-group-operator-crds/templates/user-roles.yaml",
            rbac::user_roles().into_iter().map(chart::in_crd_chart).collect(),
        ),
    ]
}

/// The CRD as JSON.
///
/// # Panics
/// Never: a type of the Kubernetes API always serializes.
pub fn custom_resource_definition() -> Value {
    serde_json::to_value(crd::crd()).expect("invariant: a Kubernetes API type serializes to JSON")
}

impl File {
    /// The file's text: the header, then one YAML document for each object.
    pub fn text(&self) -> Result<String, serde_saphyr::ser::Error> {
        let is_json = std::path::Path::new(self.path).extension().is_some_and(|kind| kind == "json");
        if let (true, Some(object)) = (is_json, self.objects.first()) {
            return Ok(format!("{object:#}\n"));
        }
        let mut text = format!("# Rendered from dev/manifests: edit the code, then run {RENEW}\n");
        for object in &self.objects {
            text.push_str("---\n");
            text.push_str(&serde_saphyr::to_string(object)?);
        }
        Ok(text)
    }
}
