//! The lag in the status of a group: what it shows, and how rarely it is written.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kcg_tests::audit::between;
use kcg_tests::env::LIMIT;
use kcg_tests::objects::{AUTOSCALER, GROUP};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![the_status_follows_the_lag_in_large_steps_and_rarely];

const NAME: &str = "kconsumer";
const METRIC: &str = "own_lag";

async fn the_status_follows_the_lag_in_large_steps_and_rarely(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("shown-lag").await?.within(2 * LIMIT);
    env.metrics.set(&ns.name, "kconsumer-", METRIC, 500);
    ns.create_group(NAME, &json!({"metrics": {"lagMetric": METRIC}})).await?;
    let shows = async |summary: &str| {
        let shown = |group: &Value| group["status"]["lag"]["summary"] == summary;
        ns.eventually(GROUP, NAME, &format!("its lag is {summary}"), shown).await
    };
    let group = shows("500/1k").await?;
    assert_eq!(group["status"]["lag"], json!({"current": 500, "limit": 1000, "summary": "500/1k"}));
    ns.group_is_ready(NAME).await?;

    // What an autoscaler writes while the lag varies a little.
    let audit = ns.audit()?;
    for number in 0..200 {
        let lag = (496 + number % 9).to_string();
        let current =
            json!([{"type": "Pods", "pods": {"metric": {"name": METRIC}, "current": {"averageValue": lag}}}]);
        ns.patch_status(AUTOSCALER, NAME, &json!({"currentMetrics": current})).await?;
    }
    assert!(audit.all_writes(AUTOSCALER)? >= 200);
    assert_eq!(audit.statuses(NAME)?.len(), 0, "status writes while 200 lags were read");

    // Two values in a row: the second one waits for its time.
    let audit = ns.audit()?;
    for (lag, summary) in [(200, "200/1k"), (90, "90/1k")] {
        env.metrics.set(&ns.name, "kconsumer-", METRIC, lag);
        shows(summary).await?;
    }
    let statuses = audit.statuses(NAME)?;
    assert_eq!(statuses.len(), 2, "a status write for each");
    let apart = between(&statuses[0], &statuses[1])?;
    assert!(apart > Duration::from_millis(29_900), "two writes of the lag {apart:?} apart");
    ns.close().await
}
