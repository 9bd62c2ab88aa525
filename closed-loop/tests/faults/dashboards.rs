//! Both dashboards, asked as Grafana asks: over a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use kcg_closed_loop::stage::OPERATOR;
use kcg_manifests::grafana::{groups, operator, queries};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::group::Group;
use crate::world::{SOON, World};

const GROUP: Group = Group { limit: 10, env: &[("KCONSUMER_WORK", "100ms")], ..Group::idle("shown") };
/// Where a webhook's pod takes reviews.
const ADMISSION: u16 = 8443;
/// Nobody listens there, so it never gets ready.
const UNREADY: Group = Group { bootstrap_servers: "10.244.0.1:9", ..Group::idle("unready") };
const STEP: Duration = Duration::from_secs(5);
/// How often the group is changed: a rate shows only what happens between two scrapes.
const CHANGE: Duration = Duration::from_secs(5);

pub async fn every_panel_of_both_dashboards_has_data(world: &World) -> Result<()> {
    let start = seconds()?;
    world.create(&GROUP, &[]).await?;
    world.create(&UNREADY, &[]).await?;
    world.told(GROUP.name, "MetricsAvailable", ["True", "MetricsRead"], SOON).await?;
    world.send(GROUP.name, 200, &[]).await?;
    // Four times the time between two scrapes, as Grafana has it: the operator's are 30 s apart, the consumers' 1 s.
    let interval = ("__rate_interval", "2m");
    let of_group = [("namespace", "default"), ("group", GROUP.name), interval];
    let of_operator = [("namespace", OPERATOR), interval];
    let asked =
        [queries(&groups::dashboard(), &of_group), queries(&operator::dashboard(), &of_operator)].concat();
    ensure!(asked.len() > 30, "{asked:?}");
    let mut empty = asked.clone();
    world
        .until("every panel to have data", SOON, async || {
            // Of the spec, or no review is asked for; and of nothing that pods or alerts are made of.
            let label = format!("{:.0}", seconds().map_err(|error| error.to_string())?);
            let change =
                serde_json::json!({"spec": {"metrics": {"labels": {"looked-at": label}}}}).to_string();
            let patch = ["patch", "kcg", GROUP.name, "--type=merge", "--patch", &change];
            world.kubectl(&patch).await.map_err(|error| error.to_string())?;
            speak_plainly(world).await.map_err(|error| format!("{error:#}"))?;
            tokio::time::sleep(CHANGE).await;
            let mut left = Vec::new();
            for (title, query) in &empty {
                if !has_data(world, found_by(query), start)
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
    world.say(GROUP.name, &format!("all {} queries of both dashboards have data", asked.len()));
    Ok(())
}

/// A panel that shows 0 where there is nothing has data always; what it looks for has to be found.
fn found_by(query: &str) -> &str {
    let query = query
        .strip_suffix(" or vector(0)")
        .or_else(|| query.strip_suffix(" or on() vector(0)"))
        .unwrap_or(query);
    // Of idle consumers each is one that tells what is assigned to it.
    query.strip_prefix("count(").and_then(|counted| counted.strip_suffix(" == 0)")).unwrap_or(query)
}

/// What a webhook counts as a fault: a client that knows nothing of TLS.
async fn speak_plainly(world: &World) -> Result<()> {
    let namespace = format!("--namespace={OPERATOR}");
    let pods = "--selector=app.kubernetes.io/component=webhook";
    let addresses =
        world.kubectl(&["get", "pods", &namespace, pods, "-o=jsonpath={.items[*].status.podIP}"]).await?;
    for address in addresses.split_whitespace() {
        let mut connection = TcpStream::connect((address, ADMISSION)).await?;
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    }
    Ok(())
}

/// NaN is drawn as nothing.
async fn has_data(world: &World, query: &str, start: f64) -> Result<bool> {
    let series = world.stage.monitoring.query_range(query, start, seconds()?, STEP).await?;
    Ok(series.iter().flat_map(|one| &one.points).any(|(_, value)| !value.is_nan()))
}

/// Since 1970.
fn seconds() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}
