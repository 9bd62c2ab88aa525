//! The columns of `kubectl get kcg`.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![kubectl_get_shows_the_state_of_a_group];

async fn kubectl_get_shows_the_state_of_a_group(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("columns").await?;
    ns.create_topic("orders", 2).await?;
    ns.create_group("kconsumer", &json!({"consumerSpec": {"topics": ["orders"]}})).await?;
    ns.group_is_ready("kconsumer").await?;
    let words = async |args: &[&str]| -> Result<Vec<Vec<String>>> {
        let table = ns.kubectl(args).await?.ok()?;
        Ok(table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
    };

    let table = words(&["get", "kcg"]).await?;
    assert_eq!(
        table[0],
        ["NAME", "MIN", "MAX", "PARTITIONS", "PODS", "AVAILABLE", "LAG", "READY", "REASON", "AGE"]
    );
    assert_eq!(table[1][..9], ["kconsumer", "1", "3", "3", "1", "1", "<unknown>/1k", "True", "Reconciled"]);
    assert_eq!((table.len(), table[1].len()), (2, 10));

    let wide = words(&["get", "kconsumergroup", "kconsumer", "-o", "wide"]).await?;
    assert_eq!(wide[0][10..], ["TOPIC", "TOPICS", "IMAGE"]);
    assert_eq!(wide[1][10..], ["fast-data-topic", "[\"orders\"]", "thenextapps/kconsumer:latest"]);

    let all = ns.kubectl(&["get", "all", "-o", "name"]).await?.ok()?;
    assert!(all.lines().any(|line| line == "kconsumergroup.thenextapps.com/kconsumer"), "{all}");
    ns.close().await
}
