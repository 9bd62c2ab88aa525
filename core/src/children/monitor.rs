//! The ServiceMonitor by which prometheus-operator has the consumers scraped.

use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use super::{ChildKind, head, selector};

pub(super) fn build(group: &ValidGroup) -> Value {
    let mut monitor = head(ChildKind::ServiceMonitor, group);
    for (key, value) in &group.metrics.labels {
        monitor["metadata"]["labels"][key] = json!(value);
    }
    monitor["spec"] = json!({
        // The Service's label whose value names the job.
        "jobLabel": names::LABEL_APP,
        "selector": {"matchLabels": selector(&group.name)},
        "namespaceSelector": {"matchNames": [group.namespace]},
        "endpoints": [{
            "port": names::METRICS_PORT_NAME,
            "path": group.metrics.path,
            "scheme": "http",
            "interval": group.metrics.interval,
            // A pod must not be able to speak for another namespace's.
            "honorLabels": false,
        }],
    });
    monitor
}
