//! One consumer becomes two and one again: a short round with any of the consumers.

use anyhow::Result;
use serde_json::json;

use super::objects;
use crate::consumer::Consumer;
use crate::observe::broker::Subscription;
use crate::results::Results;
use crate::runner::{Load, Runner, sent_values};
use crate::settings::SHORT_LIMIT;
use crate::text::count;

/// Records before the end marker.
const RECORDS: u64 = 2000;
/// Half of what waits at first is too much for one consumer.
const LIMIT: u64 = RECORDS / 4;
const PARTITIONS: u32 = 2;
/// The autoscaler's window for scaling in, in seconds. It is longer than the minute after which
/// Micrometer shows a new partition, and Kafka's client forgets the largest lag.
const WINDOW: u32 = 90;

/// The group's name.
pub(crate) fn group(consumer: Consumer) -> &'static str {
    match consumer {
        Consumer::Rust => "rust-round",
        Consumer::Spring => "spring-round",
        Consumer::Jmx => "jmx-round",
    }
}

/// The topic. Kafka's Java client reports one with a dot under two names.
fn topic(consumer: Consumer) -> String {
    format!("{}.orders", group(consumer))
}

/// Who consumes what.
pub(crate) fn subscriptions(consumer: Consumer) -> Vec<Subscription> {
    vec![Subscription { group: group(consumer).into(), topics: vec![topic(consumer)] }]
}

/// All steps in order.
pub(crate) async fn run(runner: &mut Runner, consumer: Consumer) -> Result<Results> {
    create(runner, consumer).await?;
    let at = load(runner, consumer).await?;
    let limit = runner.settings.load_limit();
    runner.step("No lag is left: two consumers become one")?;
    runner
        .wait_until("every record to be processed and committed", limit, |now| now.is_drained(RECORDS + 1))
        .await?;
    // The autoscaler has a figure all the time: an idle consumer has a lag of 0, not none.
    runner.wait_until("one consumer", limit, |now| now.ready() == 1 && now.wanted() == 1).await?;
    let name = group(consumer);
    let idle = format!("kubectl wait kcg/{name} --for=condition=MetricsAvailable --timeout=5s");
    runner.run_all(&[&idle, "kubectl get hpa,pods", "kubectl get kcg"]).await?;
    let sent = [(topic(consumer), sent_values(RECORDS).collect())].into();
    let load = Load { group: name.into(), at, sent, limit: LIMIT, topic_to_ceiling_ms: None };
    let title = format!("{} records and the end marker: {}", count(RECORDS), consumer.description());
    let results = runner.collect(&title, &[load])?;
    delete(runner, consumer).await?;
    Ok(results)
}

async fn create(runner: &mut Runner, consumer: Consumer) -> Result<()> {
    runner.step(&format!("Another group: {}", consumer.description()))?;
    let (name, topic) = (group(consumer), topic(consumer));
    let scaling = json!({"minReadySeconds": 1, "behavior": {"scaleDown": {
        "stabilizationWindowSeconds": WINDOW,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}],
    }}});
    let topics = [topic.clone()];
    let mut group = objects::group(consumer, name, &topics, LIMIT, &scaling, &runner.settings);
    // The probe of the preset, which the group names.
    if let Some(consumer) = group["spec"]["consumerSpec"].as_object_mut() {
        consumer.remove("podTemplate");
    }
    let manifest = objects::manifest(&[objects::topic(&topic, PARTITIONS), group]);
    runner.environment.plane.apply_yaml(&manifest).await?;
    let wait =
        |condition: &str| format!("kubectl wait kcg/{name} --for=condition={condition} --timeout=180s");
    runner.run_all(&[&wait("Ready"), &wait("MetricsAvailable"), "kubectl get kcg"]).await?;
    let all = u64::from(PARTITIONS);
    runner.wait_until("the ceiling", SHORT_LIMIT, |now| now.ceiling() == all).await
}

async fn load(runner: &mut Runner, consumer: Consumer) -> Result<f64> {
    runner.step(&format!("{} records: one consumer becomes two", count(RECORDS)))?;
    let at = runner.mark("load");
    let producer =
        objects::producer(&format!("producer-{}", group(consumer)), &[topic(consumer)], RECORDS, "uniform");
    runner.environment.plane.apply_yaml(&producer.to_string()).await?;
    let limit = runner.settings.load_limit();
    runner.wait_until("two consumers", limit, |now| now.ready() == 2).await?;
    Ok(at)
}

async fn delete(runner: &mut Runner, consumer: Consumer) -> Result<()> {
    let (name, topic) = (group(consumer), topic(consumer));
    runner.step("The group is deleted, and its owned resources with it")?;
    runner
        .run_all(&[
            &format!("kubectl delete kcg {name}"),
            &format!(
                "kubectl wait --for=delete --timeout=90s deployment,service,hpa,servicemonitor,prometheusrule,pods \\\n  \
                 -l thenextapps.com/kconsumergroup={name}"
            ),
            &format!("kubectl delete kafkatopic {topic}"),
            &format!("kubectl delete pod producer-{name}"),
        ])
        .await
}
