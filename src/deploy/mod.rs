//! What deploy/ ships, as far as the code decides it: the CRD, every right, the webhooks' registrations, their
//! certificates, the rules of the lag's adapter, the dashboards. Floor 1: values in, values out; a test compares them with
//! the files.

pub mod certificates;
pub mod chart;
pub mod grafana;
pub mod rbac;
pub mod registration;

use kcg_api::crd;
use serde_json::{Value, json};

use crate::lag;

/// One rendered file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Below deploy/; one that ends in `.json` is JSON, of one object and without a header.
    pub path: &'static str,
    pub objects: Vec<Value>,
}

/// The first line of every rendered file.
pub const HEADER: &str =
    "# Rendered from src/deploy: edit the code, then UPDATE_DEPLOY=1 cargo test --locked --test deploy\n";

/// Every rendered file.
pub fn files() -> Vec<File> {
    let file = |path, objects| File { path, objects };
    vec![
        file("crd/kconsumergroups.yaml", vec![custom_resource_definition()]),
        file("crd/people.yaml", rbac::people()),
        file("base/lease.yaml", rbac::lease()),
        file("scopes/cluster/rbac.yaml", rbac::cluster()),
        file("scopes/cluster/registrations.yaml", registration::everywhere()),
        file("scopes/namespaced/registrations.yaml", registration::nowhere_yet()),
        file("components/cert-manager/certificates.yaml", certificates::issued()),
        file("components/self-managed/secret.yaml", certificates::kept()),
        file("components/self-managed/rbac.yaml", rbac::certificates()),
        file("prometheus-adapter/rules.yaml", vec![lag::adapter_rules()]),
        file("prometheus-adapter/values.yaml", vec![adapter_values()]),
        file("rbac/namespace/rbac.yaml", rbac::namespace()),
        file("rbac/topics/rbac.yaml", rbac::topic_namespace()),
        file("grafana/groups.json", vec![grafana::groups::dashboard()]),
        file("grafana/operator.json", vec![grafana::operator::dashboard()]),
        file(
            "charts/kconsumer-group-operator-crds/templates/kconsumergroups.yaml",
            vec![chart::kept(custom_resource_definition())],
        ),
        file(
            "charts/kconsumer-group-operator-crds/templates/people.yaml",
            rbac::people().into_iter().map(chart::kept).collect(),
        ),
    ]
}

/// Values for prometheus-adapter's chart: these rules in place of its own, which add a pod's series up.
fn adapter_values() -> Value {
    json!({"rules": {"default": false, "custom": lag::adapter_rules()["rules"]}})
}

fn custom_resource_definition() -> Value {
    // A type of Kubernetes' own turns into JSON without fail.
    serde_json::to_value(crd::crd()).unwrap_or_default()
}

impl File {
    /// The file's text: the header, then one YAML document for each object.
    pub fn text(&self) -> Result<String, serde_saphyr::ser::Error> {
        let is_json = std::path::Path::new(self.path).extension().is_some_and(|kind| kind == "json");
        if let (true, Some(object)) = (is_json, self.objects.first()) {
            return Ok(format!("{object:#}\n"));
        }
        let mut text = HEADER.to_owned();
        for object in &self.objects {
            text.push_str("---\n");
            text.push_str(&serde_saphyr::to_string(object)?);
        }
        Ok(text)
    }
}
