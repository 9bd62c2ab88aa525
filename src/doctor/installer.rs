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
            Self::RenderedChart { .. } => {
                "apply the chart kconsumer-group-operator-crds of this version, with the tool that applied the \
                 operator's chart"
                    .to_owned()
            }
        }
    }

    /// Applies the operator again.
    pub(super) fn apply(&self) -> String {
        match self {
            Self::Kustomize => "apply the operator's overlay again, of this version".to_owned(),
            Self::Helm { release } => {
                format!(
                    "helm upgrade {release}, with the chart of this version and --reset-then-reuse-values"
                )
            }
            Self::RenderedChart { tool: Some(tool) } => {
                format!("let {tool} apply the chart of this version again")
            }
            Self::RenderedChart { tool: None } => {
                "apply the chart of this version again, with the tool that rendered it (Helm has no release of it)"
                    .to_owned()
            }
        }
    }

    /// Applies the operator again, so that what is named by its namespace follows it.
    pub(super) fn follow_namespace(&self) -> String {
        match self {
            Self::Kustomize => "with kustomize's `namespace:`, list deploy/transformers/namespace below \
                                `transformers:`, and apply again"
                .to_owned(),
            Self::Helm { .. } | Self::RenderedChart { .. } => self.apply(),
        }
    }

    /// How the labels of the operator's own PodMonitor are set.
    pub(super) const fn monitor_labels(&self) -> &'static str {
        match self {
            Self::Kustomize => "its labels (deploy/components/kube-prometheus-stack, or a patch)",
            Self::Helm { .. } | Self::RenderedChart { .. } => "the chart's monitoring.labels",
        }
    }

    /// How the labels of the operator's own PrometheusRule are set.
    pub(super) const fn rule_labels(&self) -> &'static str {
        match self {
            Self::Kustomize => "its labels (deploy/components/kube-prometheus-stack, or a patch)",
            Self::Helm { .. } | Self::RenderedChart { .. } => "the chart's monitoring.ruleLabels",
        }
    }
}
