//! The queries of both dashboards, over a range of time as Grafana sends them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use kcg_closed_loop::settings::OPERATOR_NAMESPACE;
use kcg_manifests::grafana::{groups, operator, queries};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::group::Group;
use crate::harness::{Harness, SHORT_LIMIT};

const GROUP: Group = Group { limit: 10, env: &[("KCONSUMER_WORK", "100ms")], ..Group::idle("shown") };
/// The webhook's port for reviews.
const ADMISSION: u16 = 8443;
/// No broker listens there, so it never becomes ready.
const UNREADY: Group = Group { bootstrap_servers: "10.244.0.1:9", ..Group::idle("unready") };
const STEP: Duration = Duration::from_secs(5);
/// How often the group is changed. A rate shows only what happens between two scrapes.
const CHANGE: Duration = Duration::from_secs(5);

pub async fn every_panel_of_both_dashboards_has_data(harness: &Harness) -> Result<()> {
    let start = seconds()?;
    harness.create(&GROUP, &[]).await?;
    harness.create(&UNREADY, &[]).await?;
    harness.condition(GROUP.name, "MetricsAvailable", ["True", "MetricsRead"], SHORT_LIMIT).await?;
    harness.send(GROUP.name, 200, &[]).await?;
    // Grafana's value: four times the scrape interval, which is 30 s for the operator and 1 s for
    // the consumers.
    let interval = ("__rate_interval", "2m");
    let of_group = [("namespace", "default"), ("group", GROUP.name), interval];
    let of_operator = [("namespace", OPERATOR_NAMESPACE), interval];
    let asked =
        [queries(&groups::dashboard(), &of_group), queries(&operator::dashboard(), &of_operator)].concat();
    ensure!(asked.len() > 30, "{asked:?}");
    let mut empty = asked.clone();
    harness
        .until("every panel to have data", SHORT_LIMIT, async || {
            // A change of the spec causes a review; this field affects neither pods nor alerts.
            let label = format!("{:.0}", seconds().map_err(|error| error.to_string())?);
            let change =
                serde_json::json!({"spec": {"metrics": {"labels": {"looked-at": label}}}}).to_string();
            let patch = ["patch", "kcg", GROUP.name, "--type=merge", "--patch", &change];
            harness.kubectl(&patch).await.map_err(|error| error.to_string())?;
            send_plain_http(harness).await.map_err(|error| format!("{error:#}"))?;
            tokio::time::sleep(CHANGE).await;
            let mut left = Vec::new();
            for (title, query) in &empty {
                if !has_data(harness, required_part(query), start)
                    .await
                    .map_err(|error| format!("{title}: {query}: {error}"))?
                {
                    left.push((title.clone(), query.clone()));
                }
            }
            empty = left;
            if empty.is_empty() { Ok(()) } else { Err(format!("empty: {empty:#?}")) }
        })
        .await?;
    harness.log(GROUP.name, &format!("all {} queries of both dashboards have data", asked.len()));
    Ok(())
}

/// The part of a query that must have data. A panel that shows 0 for nothing always has data.
fn required_part(query: &str) -> &str {
    let query = query
        .strip_suffix(" or vector(0)")
        .or_else(|| query.strip_suffix(" or on() vector(0)"))
        .unwrap_or(query);
    // A count of idle consumers needs consumers that report their assignment.
    query.strip_prefix("count(").and_then(|counted| counted.strip_suffix(" == 0)")).unwrap_or(query)
}

/// Sends requests without TLS, which a webhook counts as connection errors.
async fn send_plain_http(harness: &Harness) -> Result<()> {
    let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
    let pods = "--selector=app.kubernetes.io/component=webhook";
    let addresses =
        harness.kubectl(&["get", "pods", &namespace, pods, "-o=jsonpath={.items[*].status.podIP}"]).await?;
    for address in addresses.split_whitespace() {
        let mut connection = TcpStream::connect((address, ADMISSION)).await?;
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    }
    Ok(())
}

/// Whether a panel with this query shows something; NaN is not drawn.
async fn has_data(harness: &Harness, query: &str, start: f64) -> Result<bool> {
    let series = harness.environment.monitoring.query_range(query, start, seconds()?, STEP).await?;
    Ok(series.iter().flat_map(|one| &one.points).any(|(_, value)| !value.is_nan()))
}

/// Seconds since 1970.
fn seconds() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}
