//! The optional alerts and dashboards against what the two processes really serve.

use std::collections::BTreeSet;
use std::time::Duration;

use kcg_devcluster::{ControlPlane, Crds, Operator, wait};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::dashboards;
use crate::kustomize::{Outcome, deploy};

const LIMIT_OF_THE_GROUP: &str = r#"group_lag_limit_records{namespace="default",name="kconsumer"} 1000.0"#;
const PREFIX: &str = "kconsumer_group_operator_";
/// Long enough for the controller to get its Lease on a busy computer.
const LIMIT: Duration = Duration::from_secs(30);

/// The metrics that the component's alerts and the dashboards ask for, as /metrics declares them: a counter's without
/// its `_total`.
fn asked_for() -> Outcome<BTreeSet<String>> {
    let text = std::fs::read_to_string(deploy("components/monitoring/alerts.yaml"))?;
    let rule: Value = serde_saphyr::from_str(&text)?;
    let alerts = rule.pointer("/spec/groups/0/rules").and_then(Value::as_array).ok_or("no rules")?;
    let alerts = alerts.iter().filter_map(|alert| alert["expr"].as_str().map(str::to_owned));
    let expressions: Vec<String> = alerts.chain(dashboards::expressions()?).collect();
    let name = |rest: &str| -> String {
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
    };
    let names = expressions.iter().flat_map(|expression| expression.split(PREFIX).skip(1).map(name));
    let declared = |name: String| {
        let suffix = ["_total", "_bucket", "_info"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
        suffix.map_or(name.clone(), str::to_owned)
    };
    Ok(names.map(declared).collect())
}

#[tokio::test]
async fn alerts_and_dashboards_ask_for_metrics_that_the_processes_serve() -> Outcome {
    let plane = ControlPlane::builder()
        .controller_manager(false)
        .scheduler(false)
        .crds(Crds::all(deploy("crd")))
        .start()
        .await?;
    let operator =
        Operator::install(&plane, &deploy("scopes/cluster"), kcg_tests::operator_binary().await?).await?;
    let (controller, webhook) =
        tokio::try_join!(operator.start_controller("controller", &[]), operator.start_webhook(&[]))?;
    // A counter is served from its first count on: one group is taken and looked after, another refused.
    for (sample, taken) in [("kconsumer.yaml", true), ("bad-many.yaml", false)] {
        let path = deploy("samples").join(sample).display().to_string();
        let answer = plane.kubectl(&["create", "-f", &path]).await?;
        assert_eq!(answer.code == 0, taken, "{sample}: {}", answer.stderr);
    }
    // And a connection fails that is no TLS.
    TcpStream::connect(("127.0.0.1", operator.webhook_port().number())).await?.write_all(b"none").await?;
    let asked_for = asked_for()?;
    assert!(asked_for.len() > 5, "{asked_for:?}");
    wait::until("every metric that is asked for", LIMIT, async || {
        let mut served = String::new();
        for replica in [&controller, &webhook] {
            served += &replica.get("/metrics").await?.1;
        }
        let missing = asked_for.iter().find(|metric| !served.contains(&format!("# TYPE {PREFIX}{metric} ")));
        Ok(match missing {
            None if !served.contains("decision=\"Refused\"") => {
                Err(format!("no refusal was counted:\n{served}"))
            }
            None if !served.contains(LIMIT_OF_THE_GROUP) => {
                Err(format!("the group's own figures are not in\n{served}"))
            }
            None => Ok(()),
            Some(metric) => Err(format!("{metric} is not in\n{served}")),
        })
    })
    .await?;
    Ok(())
}
