//! The ServiceMonitor: prometheus-operator configures Prometheus to scrape the consumers.

use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use super::{ChildKind, head, selector};

pub(super) fn build(group: &ValidGroup) -> Value {
    let mut monitor = head(ChildKind::ServiceMonitor, group);
    for (key, value) in &group.metrics.labels {
        monitor["metadata"]["labels"][key] = json!(value);
    }
    monitor["spec"] = json!({
        // The Service's label with the name of the job.
        "jobLabel": names::LABEL_APP,
        "selector": {"matchLabels": selector(&group.name)},
        "namespaceSelector": {"matchNames": [group.namespace]},
        "endpoints": [{
            "port": names::METRICS_PORT_NAME,
            "path": group.metrics.path,
            "scheme": "http",
            "interval": group.metrics.interval,
            // A pod must not set the namespace label of its own series.
            "honorLabels": false,
        }],
    });
    monitor
}
