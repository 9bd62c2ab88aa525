//! The ServiceMonitor: prometheus-operator configures Prometheus to scrape the consumers.

use kcg_api::endpoint::EndpointSpec;
use kcg_api::scrape_limits::{MIN_INTERVAL, ScrapeLimits};
use kcg_api::{ValidGroup, duration, names};
use serde_json::{Value, json};

use super::{ChildKind, head, selector, service};

pub(super) fn build(group: &ValidGroup) -> Value {
    let metrics = &group.metrics;
    let mut monitor = head(ChildKind::ServiceMonitor, group);
    for (key, value) in &metrics.labels {
        monitor["metadata"]["labels"][key] = json!(value);
    }
    let own = endpoint(names::METRICS_PORT_NAME, &metrics.path, &metrics.interval, &metrics.scrape);
    let additional = metrics.additional.iter().map(|additional| {
        let interval =
            duration::at_least(MIN_INTERVAL, additional.interval.as_ref().unwrap_or(&metrics.interval));
        endpoint(&service::additional_port(additional.port), &additional.path, interval, &additional.scrape)
    });
    let ScrapeLimits { sample_limit, label_limit, body_size_limit } = &metrics.limits;
    monitor["spec"] = json!({
        // The Service's label with the name of the job.
        "jobLabel": names::LABEL_APP,
        "selector": {"matchLabels": selector(&group.name)},
        "namespaceSelector": {"matchNames": [group.namespace]},
        "endpoints": std::iter::once(own).chain(additional).collect::<Vec<_>>(),
    });
    // A limit of 0 is none, and is left out: prometheus-operator before 0.73 has no bodySizeLimit.
    for (field, limit) in [("sampleLimit", sample_limit), ("labelLimit", label_limit)] {
        if let Some(limit) = limit.filter(|limit| *limit != 0) {
            monitor["spec"][field] = json!(limit);
        }
    }
    if let Some(size) = body_size_limit.as_deref().filter(|size| *size != "0") {
        monitor["spec"]["bodySizeLimit"] = json!(size);
    }
    monitor
}

fn endpoint(port: &str, path: &str, interval: &str, scrape: &EndpointSpec) -> Value {
    let mut endpoint = json!({
        "port": port,
        "path": path,
        "scheme": "http",
        "interval": interval,
        // A pod must not set the namespace label of its own series.
        "honorLabels": false,
        // Nor may it send Prometheus elsewhere, for example to the series of others.
        "followRedirects": false,
    });
    if let (Value::Object(endpoint), Value::Object(scrape)) = (&mut endpoint, json!(scrape)) {
        // An empty tlsConfig is like none.
        endpoint.extend(scrape.into_iter().filter(|(_, value)| *value != json!({})));
    }
    // A rule forbids it only at admission: the installation may shorten the interval later.
    if scrape.scrape_timeout.as_deref().is_some_and(|timeout| duration::is_longer(timeout, interval)) {
        endpoint["scrapeTimeout"] = json!(interval);
    }
    endpoint
}
