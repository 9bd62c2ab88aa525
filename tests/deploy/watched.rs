//! The optional alerts and dashboards against the metrics that the two processes serve.

use std::collections::BTreeSet;
use std::time::Duration;

use kcg_tests::env::{TestEnv, all_crds, api_server};
use kcg_tests::eventually;
use kcg_tests::{Outcome, deploy};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::dashboards;

const LIMIT_OF_THE_GROUP: &str = r#"group_lag_limit_records{namespace="default",name="kconsumer"} 1000.0"#;
const PREFIX: &str = "kconsumer_group_operator_";
/// Enough for the controller to acquire its Lease on a busy computer.
const LIMIT: Duration = Duration::from_secs(30);

/// The metrics in the queries of the component's alerts and of the dashboards.
fn queried() -> Outcome<BTreeSet<String>> {
    let text = std::fs::read_to_string(deploy("components/monitoring/alerts.yaml"))?;
    let rule: Value = serde_saphyr::from_str(&text)?;
    let alerts = rule.pointer("/spec/groups/0/rules").and_then(Value::as_array).ok_or("no rules")?;
    let alerts = alerts.iter().filter_map(|alert| alert["expr"].as_str().map(str::to_owned));
    let expressions: Vec<String> = alerts.chain(dashboards::expressions()?).collect();
    let name = |rest: &str| -> String {
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
    };
    let names = expressions.iter().flat_map(|expression| expression.split(PREFIX).skip(1).map(name));
    Ok(names.collect())
}

/// Whether /metrics declares a metric, by its name or, for example, a counter without its `_total`.
fn is_declared(served: &str, metric: &str) -> bool {
    let suffix = ["_total", "_bucket", "_info"].into_iter().find_map(|suffix| metric.strip_suffix(suffix));
    [Some(metric), suffix]
        .into_iter()
        .flatten()
        .any(|name| served.contains(&format!("# TYPE {PREFIX}{name} ")))
}

#[tokio::test]
async fn alerts_and_dashboards_query_only_metrics_that_the_processes_serve() -> Outcome {
    let env = TestEnv::install(api_server(all_crds()).await?, &deploy("scopes/cluster")).await?;
    let operator = &env.operator;
    let (controller, webhook) =
        tokio::try_join!(operator.start_controller("controller", &[]), operator.start_webhook(&[]))?;
    // A counter is served after its first count: one group is accepted and reconciled, another
    // refused.
    for (sample, taken) in [("kconsumer.yaml", true), ("bad-many.yaml", false)] {
        let path = deploy("samples").join(sample).display().to_string();
        let answer = env.plane.kubectl(&["create", "-f", &path]).await?;
        assert_eq!(answer.code == 0, taken, "{sample}: {}", answer.stderr);
    }
    // And a connection without TLS fails.
    TcpStream::connect(("127.0.0.1", operator.webhook_port().number())).await?.write_all(b"none").await?;
    let queried = queried()?;
    assert!(queried.len() > 5, "{queried:?}");
    eventually("every metric in a query is served", LIMIT, async || {
        let mut served = String::new();
        for replica in [&controller, &webhook] {
            served += &replica.get("/metrics").await?.1;
        }
        let missing = queried.iter().find(|metric| !is_declared(&served, metric));
        Ok(match missing {
            None if !served.contains("decision=\"Denied\"") => {
                Err(format!("no refusal was counted:\n{served}"))
            }
            None if !served.contains(LIMIT_OF_THE_GROUP) => {
                Err(format!("the group's own metrics are not in\n{served}"))
            }
            None => Ok(()),
            Some(metric) => Err(format!("{metric} is not in\n{served}")),
        })
    })
    .await?;
    Ok(())
}
