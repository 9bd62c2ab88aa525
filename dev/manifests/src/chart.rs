//! The files of the Helm charts that are taken from the code or from the rest of deploy/.

use kcg_api::names;
use kconsumer_group_operator::cli::Cli;
use kconsumer_group_operator::rbac;
use serde_json::{Value, json};

use crate::admission_policy;

/// The operator's alerts, relative to deploy/.
pub const ALERTS: &str = "components/monitoring/alerts.yaml";

/// Their copy in the operator's chart, relative to deploy/. It is no template, because it holds
/// braces of its own.
pub const COPIED_ALERTS: &str = "charts/kconsumer-group-operator/files/alerts.yaml";

/// The operator's templates for its RBAC rules, its admission policy and the flags of its processes,
/// relative to deploy/.
pub const RULES: &str = "charts/kconsumer-group-operator/templates/_rules.tpl";

/// The text of [`RULES`]: a named template for the rules of each Role, for the policy, and for the flags.
///
/// # Errors
/// If a rule cannot be written as YAML.
pub fn rules() -> Result<String, serde_saphyr::ser::Error> {
    let header =
        format!("{{{{- /* Rendered from dev/manifests: edit the code, then run {} */}}}}\n", crate::RENEW);
    let template = |(name, rules): (&str, Value)| {
        let rules = serde_saphyr::to_string(&rules)?;
        Ok(format!("\n{{{{- define \"{}.{name}\" -}}}}\n{rules}{{{{- end }}}}\n", names::OPERATOR))
    };
    let templates = [
        ("controllerRules", rbac::controller().into()),
        ("topicRules", rbac::topics().into()),
        ("leaseRules", rbac::lease(names::LEASE).into()),
        ("certificateRules", rbac::certificate_secrets().into()),
        ("certificatePolicy", admission_policy::policy("{{.Release.Namespace}}")),
        ("flags", json!({"controller": Cli::flags("controller"), "webhook": Cli::flags("webhook")})),
        (
            "renamedFlags",
            json!({"controller": Cli::renamed_flags("controller"), "webhook": Cli::renamed_flags("webhook")}),
        ),
    ]
    .into_iter()
    .map(template);
    std::iter::once(Ok(header)).chain(templates).collect()
}

/// The text of [`COPIED_ALERTS`]: a header that names the original, then the original's text.
pub fn copied_alerts(original: &str) -> String {
    format!("# Copied from deploy/{ALERTS}: edit that file, then run {}\n{original}", crate::RENEW)
}

/// An object as the CRD chart holds it. The CRD, and so every group, survives the chart's
/// uninstallation, and so do the roles through which users read and edit groups.
pub fn in_crd_chart(mut object: Value) -> Value {
    let metadata = &mut object["metadata"];
    metadata["labels"]["app.kubernetes.io/name"] = json!(names::OPERATOR);
    metadata["annotations"]["helm.sh/resource-policy"] = json!("keep");
    object
}
