//! spec.consumerSpec.readiness: the readiness probe of the consumer's container.

use crate::group::KconsumerGroupSpec;

/// spec.consumerSpec.readiness: no probe.
pub(crate) const NONE: &str = "None";
/// spec.consumerSpec.readiness: the preset's probe.
pub(crate) const PRESET: &str = "Preset";

/// The readiness probe of the consumer's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The path on the metrics port.
    pub path: String,
    /// spec.consumerSpec.readiness asks for it; otherwise it follows from the preset.
    pub is_requested: bool,
}

impl Readiness {
    pub(crate) fn derive(spec: &KconsumerGroupSpec) -> Option<Self> {
        let of_preset = || spec.metrics.preset().readiness_path(spec.metrics.path());
        let (path, is_requested) = match spec.consumer_spec.readiness.as_deref() {
            Some(NONE) => return None,
            Some(PRESET) => (of_preset()?, true),
            Some(path) => (path.to_owned(), true),
            None => (spec.metrics.preset.and_then(|_| of_preset())?, false),
        };
        Some(Self { path, is_requested })
    }
}
