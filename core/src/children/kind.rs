//! The kinds of a group's child objects, and one value for each of them.

use std::ops::{Index, IndexMut};

/// The kinds of child, in the order in which they are listed and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// The Service that Prometheus finds the consumers by.
    Service,
    /// The ServiceMonitor that has them scraped.
    ServiceMonitor,
    /// The PrometheusRule with the group's alerts.
    PrometheusRule,
    /// The HorizontalPodAutoscaler that scales the Deployment.
    HorizontalPodAutoscaler,
    /// The Deployment that runs the consumers.
    Deployment,
}

impl ChildKind {
    /// How many kinds there are.
    pub const COUNT: usize = 5;

    /// Every kind, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Service,
        Self::ServiceMonitor,
        Self::PrometheusRule,
        Self::HorizontalPodAutoscaler,
        Self::Deployment,
    ];

    /// The kind as the API spells it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::ServiceMonitor => "ServiceMonitor",
            Self::PrometheusRule => "PrometheusRule",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::Deployment => "Deployment",
        }
    }

    /// The API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Service => "",
            Self::ServiceMonitor | Self::PrometheusRule => "monitoring.coreos.com",
            Self::HorizontalPodAutoscaler => "autoscaling",
            Self::Deployment => "apps",
        }
    }

    /// The API version that is written.
    pub const fn version(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "v2",
            _ => "v1",
        }
    }

    /// The resource name in URLs and RBAC rules.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::ServiceMonitor => "servicemonitors",
            Self::PrometheusRule => "prometheusrules",
            Self::HorizontalPodAutoscaler => "horizontalpodautoscalers",
            Self::Deployment => "deployments",
        }
    }

    /// `group/version`, or the version alone for the core group.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// Whether a cluster may lack the kind: those of prometheus-operator.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::ServiceMonitor | Self::PrometheusRule)
    }

    /// The original operator's name for this child in status.message.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::ServiceMonitor => "Service Monitor",
            Self::PrometheusRule => "Prometheus Rule",
            Self::HorizontalPodAutoscaler => "HPA",
            Self::Deployment => "Deployment",
        }
    }
}

/// One value for each kind of child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerChild<T>([T; ChildKind::COUNT]);

impl<T> PerChild<Option<T>> {
    /// No value for any kind.
    pub const NONE: Self = Self([const { None }; ChildKind::COUNT]);
}

impl<T> PerChild<T> {
    /// Makes each value from its kind.
    pub fn from_fn(make: impl FnMut(ChildKind) -> T) -> Self {
        Self(ChildKind::ALL.map(make))
    }

    /// The kinds and their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ChildKind, &T)> {
        ChildKind::ALL.into_iter().zip(&self.0)
    }

    /// Makes a value from each value.
    pub fn map<U>(&self, make: impl FnMut(&T) -> U) -> PerChild<U> {
        PerChild(self.0.each_ref().map(make))
    }
}

impl<T> Index<ChildKind> for PerChild<T> {
    type Output = T;

    fn index(&self, kind: ChildKind) -> &T {
        &self.0[kind as usize]
    }
}

impl<T> IndexMut<ChildKind> for PerChild<T> {
    fn index_mut(&mut self, kind: ChildKind) -> &mut T {
        &mut self.0[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_finds_its_own_value() {
        let mut kinds = PerChild::from_fn(ChildKind::kind);
        for kind in ChildKind::ALL {
            assert_eq!(kinds[kind], kind.kind());
        }
        kinds[ChildKind::Service] = "other";
        let lengths: Vec<(ChildKind, usize)> =
            kinds.map(|kind| kind.len()).iter().map(|(kind, length)| (kind, *length)).collect();
        assert_eq!(lengths[0], (ChildKind::Service, 5));
        assert_eq!(lengths[4], (ChildKind::Deployment, 10));
    }
}
