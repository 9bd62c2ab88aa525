//! Rules for spec.scaling.metrics.

/// The types of a metric, and the field that describes each.
pub(crate) const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
/// The types of a metric's target.
pub(crate) const TARGETS: [&str; 3] = ["Utilization", "Value", "AverageValue"];
