//! A group that is stored although it breaks a rule: it alone stands still, and says why in the webhook's words.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::objects::{CHILDREN, DEPLOYMENT, GROUP, condition, group};
use crate::place::Place;
use crate::world::World;

cases![
    group_that_slipped_in_stands_still_and_says_why,
    group_that_breaks_a_rule_later_keeps_its_children,
    minimum_above_the_ceiling_runs_the_ceiling,
];

/// No registration of ours looks into this namespace; the controller does.
const UNGUARDED: &str = "kube-system";

fn mighty() -> Value {
    json!({"consumerSpec": {"podTemplate": {"spec": {"hostNetwork": true, "hostPID": true}}}})
}

const SENTENCES: [&str; 2] = [
    "spec.consumerSpec.podTemplate.spec.hostNetwork: Forbidden",
    "spec.consumerSpec.podTemplate.spec.hostPID: Forbidden",
];

/// What the webhook says of such a group, line by line.
async fn refusal(world: &Arc<World>, spec: &Value) -> Result<String> {
    let place = Place::open(world, "invalid").await?;
    let answer = place.kubectl_create(&group("kconsumer", spec)).await?;
    assert_eq!(answer.code, 1);
    Ok(answer.stderr)
}

async fn group_that_slipped_in_stands_still_and_says_why(world: Arc<World>) -> Result<()> {
    let said = refusal(&world, &mighty()).await?;
    let place = Place::at(&world, UNGUARDED);
    place.create_topic("slipped-topic", 3).await?;
    let page = place.ledger()?;
    let mut spec = mighty();
    spec["consumerSpec"]["topic"] = json!("slipped-topic");
    place.create_group("slipped-in", &spec).await?;
    place.create_group("next-to-it", &json!({"consumerSpec": {"topic": "slipped-topic"}})).await?;
    let stands = place.group_is("slipped-in", "False", "InvalidSpec").await?;
    let message = condition(&stands, "Ready")[2];
    for sentence in SENTENCES {
        assert!(
            said.contains(sentence) && message.contains(sentence),
            "{sentence} in\n{said}\nand in\n{message}"
        );
    }
    // Word for word: each bullet of the refusal stands in the condition.
    for bullet in said.lines().filter_map(|line| line.strip_prefix("* ")) {
        assert!(message.contains(bullet), "{bullet} in {message}");
    }
    assert!(
        stands["status"]["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("Message: Error reconciling"))
    );
    assert_eq!(stands["status"]["activePods"], json!([]));
    place.group_is_well("next-to-it").await?;
    for kind in CHILDREN {
        assert_eq!(page.of_child(kind, "slipped-in")?.len(), 0);
    }

    place.patch(GROUP, "slipped-in", &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    place.group_is_well("slipped-in").await?;
    for name in ["slipped-in", "next-to-it"] {
        place.delete(GROUP, name).await?;
    }
    Ok(())
}

async fn group_that_breaks_a_rule_later_keeps_its_children(world: Arc<World>) -> Result<()> {
    let place = Place::at(&world, UNGUARDED);
    place.create_topic("later-topic", 3).await?;
    place.create_group("later", &json!({"consumerSpec": {"topic": "later-topic"}})).await?;
    place.group_is_well("later").await?;
    let page = place.ledger()?;
    let mut spec = mighty();
    spec["minReplicas"] = json!(2);
    place.patch(GROUP, "later", &json!({"spec": spec})).await?;
    let stands = place.group_is("later", "False", "InvalidSpec").await?;
    assert_eq!(stands["status"]["replicas"], 1, "what runs is still counted");
    // Even what is changed by hand stays: nobody knows what it should be.
    place.patch(DEPLOYMENT, "later", &json!({"metadata": {"labels": {"app": "other"}}})).await?;
    place.patch(GROUP, "later", &json!({"spec": {"averageRecordsLagLimit": 5}})).await?;
    place.group_is("later", "False", "InvalidSpec").await?;
    for kind in CHILDREN {
        assert_eq!(page.of_child(kind, "later")?.len(), 0);
    }
    place.patch(GROUP, "later", &json!({"spec": {"consumerSpec": {"podTemplate": null}}})).await?;
    place.group_is_well("later").await?;
    assert_eq!(place.get(DEPLOYMENT, "later").await?["metadata"]["labels"]["app"], "later");
    place.delete(GROUP, "later").await
}

async fn minimum_above_the_ceiling_runs_the_ceiling(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "min-above").await?;
    // Allowed while nobody knows the topic.
    place.create_group("kconsumer", &json!({"minReplicas": 4})).await?;
    place.bounds_are("kconsumer", 4, 4).await?;
    place.create_topic("fast-data-topic", 3).await?;
    place.bounds_are("kconsumer", 3, 3).await?;
    let group = place.group_is("kconsumer", "True", "MinAboveCeiling").await?;
    assert_eq!(
        condition(&group, "Ready")[2],
        "spec.minReplicas: Invalid value: 4: must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth \
         consumer would be idle; 3 consumers run"
    );
    place
        .sees(DEPLOYMENT, "kconsumer", "three run", |seen| {
            seen["spec"]["replicas"] == 3 && seen["status"]["readyReplicas"] == 3
        })
        .await?;
    place.patch(GROUP, "kconsumer", &json!({"spec": {"minReplicas": 3}})).await?;
    place.group_is_well("kconsumer").await?;
    place.close().await
}
