//! What scrapes of the metrics cost, and how many series they find.

use std::time::Duration;

use futures::future::try_join_all;
use kcg_tests::objects::GROUP;
use kcg_tests::{Outcome, eventually, measured};
use serde_json::{Value, json};

use crate::LATER;
use crate::env::ControllerEnv;

/// The metrics of a group.
const EACH: usize = 6;
/// Series that are there for the first time because a request got another status code, for instance.
const FIRST: usize = 5;
const PER_SECOND: u32 = 100;

/// How many series name a group, and how many do not.
fn series(text: &str) -> (usize, usize) {
    let samples = text.lines().filter(|line| line.starts_with("kconsumer_group_operator_"));
    let (groups, others): (Vec<&str>, Vec<&str>) = samples.partition(|line| line.contains("name=\"many-"));
    (groups.len(), others.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_groups_add_six_series_each_and_a_hundred_scrapes_a_second_delay_no_repair() -> Outcome
{
    let env = ControllerEnv::start("scraped").await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    let mut found = Vec::new();
    for (begin, end) in [(0, 10), (10, 100)] {
        let labels: Value = (0..20).map(|number| (format!("l{number}"), json!(format!("v{end}")))).collect();
        let created = (begin..end).map(async |number| {
            let name = format!("many-{number}");
            let spec = json!({"paused": true, "consumerSpec": {"groupId": name}});
            let mut group = kcg_tests::objects::group(&name, &spec);
            group["metadata"]["labels"] = labels.clone();
            env.create_object(GROUP, &group).await
        });
        try_join_all(created).await?;
        let what = format!("{end} groups in the metrics, reconciled");
        let seen = eventually(&what, LATER, async || {
            let text = env.metrics().await?;
            let all = (0..end).all(|number| text.contains(&format!("name=\"many-{number}\"")));
            let idle = text.contains("kconsumer_group_operator_workqueue_depth 0\n");
            Ok(if all && idle { Ok(series(&text)) } else { Err(format!("{:?}", series(&text))) })
        });
        let seen = seen.await?;
        assert!(seen.0 <= EACH * end, "{} series of {end} groups", seen.0);
        found.push(seen);
    }
    assert!(found[1].1 <= found[0].1 + FIRST, "of groups and of others: {found:?}");

    let scrapes = async {
        let mut clock = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
        for _ in 0..3 * PER_SECOND {
            clock.tick().await;
            let text = env.metrics().await?;
            assert!(text.ends_with("# EOF\n"), "{text}");
        }
        Outcome::Ok(())
    };
    let repairs = async {
        for _ in 0..3 {
            env.drift_is_repaired("g").await?;
        }
        Outcome::Ok(())
    };
    tokio::try_join!(scrapes, repairs)?;
    measured(&format!("series of 10 and of 100 groups, and others: {found:?}"));
    let after = series(&env.metrics().await?);
    assert!(after.0 <= EACH * 100 && after.1 <= found[1].1 + FIRST, "{after:?} after the scrapes: {found:?}");
    env.stop().await
}
