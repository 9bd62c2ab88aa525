//! What one tenant changes all the time costs the API server little, and the other tenants nothing.

use std::time::{Duration, Instant};

use futures::future::join_all;
use kcg_tests::faults::{Action, Rule};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, GROUP, TOPIC};
use kcg_tests::{Outcome, eventually, met};
use kconsumer_group_operator::controller::CONCURRENT_RECONCILES;
use serde_json::json;

use crate::env::{ControllerEnv, SOON};

const GROUPS: usize = 20;
/// How long the tenant changes everything.
const FLAPPING: Duration = Duration::from_secs(15);
/// The pause after each change of a group, and of the topic of all of them.
const PAUSE: Duration = Duration::from_millis(100);
/// The limit for the repair of another tenant's drift.
const MOST: Duration = Duration::from_secs(2);
/// The limit for another tenant's new group while requests hang, which do so for ten seconds.
const MOST_BEHIND_HANGING: Duration = Duration::from_secs(5);

/// Changes the spec of a group until `end`. Each change concerns three children.
async fn change_a_group(ns: &Namespace, name: &str, end: Instant) -> Outcome {
    for number in 1.. {
        if Instant::now() > end {
            break;
        }
        let image = format!("example.com/consumer:{number}");
        let spec = json!({"averageRecordsLagLimit": number, "consumerSpec": {"image": image}});
        ns.patch(GROUP, name, &json!({"spec": spec})).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn change_the_topic(ns: &Namespace, end: Instant) -> Outcome {
    for number in 4.. {
        if Instant::now() > end {
            break;
        }
        ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": number}})).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// How long the repairs of a group took.
async fn repairs(ns: &Namespace, end: Instant) -> Outcome<Vec<Duration>> {
    let mut took = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        ns.drift_is_repaired("g").await?;
        took.push(began.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(took)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_who_changes_everything_all_the_time_does_not_delay_another_s_repair() -> Outcome {
    let (env, neighbor) = ControllerEnv::start_beside("flapping", "flapping-neighbor").await?;
    neighbor.create_group("g", &json!({})).await?;
    neighbor.children_exist("g").await?;
    let names: Vec<String> = (0..GROUPS).map(|number| format!("g{number}")).collect();
    for name in &names {
        env.create_group(name, &json!({"consumerSpec": {"groupId": name}})).await?;
    }
    for name in &names {
        env.children_exist(name).await?;
    }
    env.faults.log.clear();
    let end = Instant::now() + FLAPPING;
    let groups = join_all(names.iter().map(|name| change_a_group(&env, name, end)));
    let (groups, topic, repairs) = tokio::join!(groups, change_the_topic(&env, end), repairs(&neighbor, end));
    groups.into_iter().collect::<Result<Vec<()>, _>>()?;
    topic?;
    let (repairs, slowest) =
        repairs.map(|repairs| (repairs.len(), repairs.into_iter().max().unwrap_or_default()))?;
    assert!(repairs > 5 && slowest <= MOST, "{repairs} repairs, the slowest after {slowest:?}");

    let applies = |kind: &str| env.faults.log.count("PATCH", &format!("/namespaces/flapping/{kind}/"));
    let applies: usize = CHILDREN.iter().map(|kind| applies(kind.plural)).sum();
    // A burst of twenty, one a second, and the patches that end the creations of three children.
    let most = GROUPS * (20 + usize::try_from(FLAPPING.as_secs())? + 3);
    assert!((GROUPS * 20..=most).contains(&applies), "{applies} applies, at most {most}");

    // The last spec takes effect nevertheless.
    env.patch(GROUP, "g0", &json!({"spec": {"averageRecordsLagLimit": 7777}})).await?;
    env.eventually(AUTOSCALER, "g0", "the last limit", |seen| seen.to_string().contains("7777")).await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_tenant_that_hang_delay_another_s_new_group_by_seconds() -> Outcome {
    let (env, neighbor) = ControllerEnv::start_beside("hanging", "hanging-neighbor").await?;
    let creations = "/namespaces/hanging/services?";
    let hanging = env.faults.add(Rule::new("POST", creations).act(Action::Hang));
    for number in 0..GROUPS {
        env.create_group(&format!("g{number}"), &json!({"consumerSpec": {"groupId": number.to_string()}}))
            .await?;
    }
    let sent = || env.faults.log.count("POST", creations);
    eventually("as many creations of a Service as groups are reconciled at once", SOON, async || {
        Ok(met(sent() >= CONCURRENT_RECONCILES, sent))
    })
    .await?;
    let began = Instant::now();
    neighbor.create_group("g", &json!({})).await?;
    neighbor.children_exist("g").await?;
    assert!(began.elapsed() < MOST_BEHIND_HANGING, "{:?}", began.elapsed());
    hanging.lift();
    env.stop().await
}
