//! The commands that repair an installation, by what installed it.

use super::findings::Installer;

/// The folder of this version's documentation.
pub(super) const DOCS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs");

impl Installer {
    /// Applies the CRD again.
    pub(super) fn apply_crd(&self) -> String {
        match self {
            Self::Kustomize => "kubectl apply -k deploy/crd, of this version".to_owned(),
            Self::Helm { .. } => {
                "helm upgrade --install kconsumer-group-operator-crds, with the chart of this version"
                    .to_owned()
            }
        }
    }

    /// Applies the operator again.
    pub(super) fn apply(&self) -> String {
        match self {
            Self::Kustomize => "apply the operator's overlay again, of this version".to_owned(),
            Self::Helm { release } => {
                let release = release.as_deref().unwrap_or("kconsumer-group-operator");
                format!(
                    "helm upgrade {release}, with the chart of this version and --reset-then-reuse-values"
                )
            }
        }
    }
}
