//! The files of the Helm charts that are taken from the code or from the rest of deploy/.

use kcg_api::names;
use kconsumer_group_operator::rbac::{self, PolicyRule};
use serde_json::{Value, json};

/// A file of deploy/ that the operator's chart copies, because it is no template: it holds braces of
/// its own.
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
pub const COPIED: [CopiedFile; 1] =
    [CopiedFile { from: "components/monitoring/alerts.yaml", to: "alerts.yaml" }];

/// The operator's templates for its RBAC rules, relative to deploy/.
pub const RULES: &str = "charts/kconsumer-group-operator/templates/_rules.tpl";

/// The text of [`RULES`]: a named template for the rules of each Role.
///
/// # Errors
/// If a rule cannot be written as YAML.
pub fn rules() -> Result<String, serde_saphyr::ser::Error> {
    let header =
        format!("{{{{- /* Rendered from dev/manifests: edit the code, then run {} */}}}}\n", crate::RENEW);
    let template = |(name, rules): (&str, Vec<PolicyRule>)| {
        let rules = serde_saphyr::to_string(&rules)?;
        Ok(format!("\n{{{{- define \"{}.{name}\" -}}}}\n{rules}{{{{- end }}}}\n", names::OPERATOR))
    };
    let templates = [
        ("controllerRules", rbac::controller()),
        ("topicRules", rbac::topics()),
        ("leaseRules", rbac::lease(names::LEASE)),
        ("certificateRules", rbac::certificate_secret()),
    ]
    .into_iter()
    .map(template);
    std::iter::once(Ok(header)).chain(templates).collect()
}

impl CopiedFile {
    /// The copy's text: a header that names the original, then the original's text.
    pub fn text(self, original: &str) -> String {
        format!("# Copied from deploy/{}: edit that file, then run {}\n{original}", self.from, crate::RENEW)
    }
}

/// An object as the CRD chart holds it. The CRD, and so every group, survives the chart's
/// uninstallation, and so do the roles through which users read and edit groups.
pub fn in_crd_chart(mut object: Value) -> Value {
    let metadata = &mut object["metadata"];
    metadata["labels"]["app.kubernetes.io/name"] = json!(names::OPERATOR);
    metadata["annotations"]["helm.sh/resource-policy"] = json!("keep");
    object
}
