//! Attacks of a tenant who may write groups, topics and Deployments in a namespace.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use kcg_api::names;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{DEPLOYMENT, GROUP, Kind, TOPIC, condition, topic};
use kcg_tests::{Outcome, eventually, is_long, met};
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::arena::{Arena, Most, full};
use crate::heavy::heaviest_spec;

/// How many objects the tenant creates at a time.
const AT_ONCE: usize = 8;
/// The limit for the controller to have reconciled all of them.
const RECONCILED: Duration = Duration::from_mins(10);
/// The limits for a tenth of an attack: what a debug build takes at rest, and a tenth of the shipped ones.
const SCALED: Most = Most { webhook: 60 + 51, controller: 60 + 26 };
/// An object of this many bytes is near the API server's limit.
const LARGE: usize = 1_400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn thousands_of_groups_with_one_group_id_cost_no_other_tenant_anything() -> Outcome {
    let arena = Arena::start().await?;
    let (count, most) = full((2000, Most::SHIPPED), (200, SCALED));
    arena
        .withstand(&format!("{count} rivals"), most, async |arena, until| {
            let hostile = arena.hostile.within(RECONCILED);
            let spec = json!({"paused": true, "consumerSpec": {"groupId": "one"}});
            create_groups(&hostile, count, |_| spec.clone()).await?;
            // Each that comes or goes could touch all the others.
            each_second(until, async |turn| {
                hostile.delete(GROUP, &name(turn % count)).await?;
                hostile.create_group(&name(turn % count), &spec).await.map(drop)
            })
            .await?;
            for number in [0, count - 1] {
                let told = "the conflict is told in at most 1 KiB";
                let is_told = |group: &Value| {
                    let message = condition(group, "Ready")[2];
                    message.contains("groupId") && message.len() <= 1024
                };
                hostile.eventually(GROUP, &name(number), told, is_told).await?;
            }
            arena.start_others(most).await
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn hundreds_of_the_heaviest_groups_cost_no_other_tenant_anything() -> Outcome {
    let arena = Arena::start().await?;
    let (count, most) = full((900, Most::SHIPPED), (60, SCALED));
    arena
        .withstand(&format!("{count} groups of 62 KB"), most, async |arena, _| {
            let hostile = arena.hostile.within(RECONCILED);
            let refused = create_groups(&hostile, count, |name| {
                let mut spec = heaviest_spec(full(900, 100));
                spec["consumerSpec"]["groupId"] = name.into();
                spec
            })
            .await?;
            exist(&hostile, DEPLOYMENT, count).await?;
            Ok(format!("{}; {refused} of its creations refused", arena.start_others(most).await?))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn topics_of_megabytes_cost_no_other_tenant_anything() -> Outcome {
    if !is_long() {
        return Ok(());
    }
    let arena = Arena::start().await?;
    arena
        .withstand("60 KafkaTopics of 1.4 MB", Most::SHIPPED, async |arena, until| {
            let hostile = &arena.hostile;
            // Of hundreds of thousands of tiny values the API server itself would need 20 GB.
            let value = "v".repeat(90);
            let config = vec![json!({"": value}); LARGE / 100];
            let spec = json!({"partitions": 1, "replicas": 1, "config": {"x": config}});
            let created = stream::iter(0..60).map(|number| {
                let topic = topic(&name(number), &spec);
                async move {
                    match hostile.create_object(TOPIC, &topic).await {
                        Err(error) if !is_there(&error) => Err(error),
                        _ => Ok(()),
                    }
                }
            });
            created.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
            each_second(until, async |turn| annotate(hostile, TOPIC, &name(turn % 60), turn).await).await?;
            arena.start_others(Most::SHIPPED).await
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_foreign_deployment_of_megabytes_with_our_label_costs_no_other_tenant_anything() -> Outcome {
    if !is_long() {
        return Ok(());
    }
    let arena = Arena::start().await?;
    arena
        .withstand("a labeled foreign Deployment of 1.4 MB", Most::SHIPPED, async |arena, until| {
            let labels = json!({names::LABEL_MANAGED_BY: names::OPERATOR, names::LABEL_GROUP: "foreign"});
            let variable = json!({"name": "V", "value": "v".repeat(LARGE)});
            let foreign = json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "foreign", "labels": labels},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "foreign"}}, "template": {
                    "metadata": {"labels": {"app": "foreign"}},
                    "spec": {"containers": [{"name": "c", "image": "i", "env": [variable]}]},
                }},
            });
            arena.hostile.create_object(DEPLOYMENT, &foreign).await?;
            each_second(until, async |turn| annotate(&arena.hostile, DEPLOYMENT, "foreign", turn).await)
                .await?;
            arena.start_others(Most::SHIPPED).await
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deployment_with_thousands_of_variables_costs_no_other_tenant_anything() -> Outcome {
    if !is_long() {
        return Ok(());
    }
    let arena = Arena::start().await?;
    arena
        .withstand("a Deployment with 15,000 variables, annotated once a second", Most::SHIPPED, async |arena, until| {
            let hostile = &arena.hostile;
            hostile.create_group("g", &json!({})).await?;
            hostile.children_exist("g").await?;
            let mut deployment = hostile.get(DEPLOYMENT, "g").await?;
            let variables = deployment.pointer_mut("/spec/template/spec/containers/0/env").ok_or("no env")?;
            let variables = variables.as_array_mut().ok_or("env is no list")?;
            variables.extend((0..15_000).map(|number| json!({"name": format!("V{number}")})));
            let env = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/env", "value": variables}]);
            hostile.json_patch(DEPLOYMENT, "g", &env).await?;
            each_second(until, async |turn| annotate(hostile, DEPLOYMENT, "g", turn).await).await?;
            let kept = hostile.get(DEPLOYMENT, "g").await?;
            let kept = kept["spec"]["template"]["spec"]["containers"][0]["env"].as_array().map_or(0, Vec::len);
            if kept <= 15_000 {
                return Err(format!("{kept} variables are left").into());
            }
            arena.start_others(Most::SHIPPED).await
        })
        .await
}

fn name(number: usize) -> String {
    // A long name: messages that list names are long, too.
    format!("{}-{number}", "x".repeat(50))
}

/// Whether an attempt whose response was lost has created the object: the client repeats it.
fn is_there(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("AlreadyExists")
}

/// Creates groups; returns how many attempts were refused for the time being. Eight creations of 62 KB at
/// once are more than the webhook decides in turn on a slow machine.
async fn create_groups(hostile: &Namespace, count: usize, spec: impl Fn(&str) -> Value) -> Outcome<usize> {
    let created = stream::iter(0..count).map(|number| {
        let (name, spec) = (name(number), spec(&name(number)));
        async move {
            for refused in 0..20 {
                match hostile.create_group(&name, &spec).await {
                    Ok(_) => return Ok(refused),
                    Err(error) if is_there(&error) => return Ok(refused),
                    Err(error) if format!("{error:#}").contains("failed calling webhook") => {}
                    Err(error) => return Err(error),
                }
            }
            anyhow::bail!("{name} was refused twenty times")
        }
    });
    let refused: Vec<usize> = created.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(refused.into_iter().sum())
}

/// Waits until there are this many objects of a kind.
async fn exist(hostile: &Namespace, kind: Kind, count: usize) -> Outcome {
    let what = format!("{count} {}", kind.plural);
    Ok(eventually(&what, RECONCILED, async || {
        let there = hostile.api(kind).list_metadata(&ListParams::default()).await?.items.len();
        sleep(Duration::from_millis(500)).await;
        Ok(met(there >= count, || there))
    })
    .await?)
}

/// Does something once a second until then, and at least twice.
async fn each_second(until: Instant, act: impl AsyncFn(usize) -> anyhow::Result<()>) -> Outcome {
    for turn in 0.. {
        if turn > 1 && Instant::now() > until {
            break;
        }
        act(turn).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn annotate(hostile: &Namespace, kind: Kind, name: &str, turn: usize) -> anyhow::Result<()> {
    let annotations = json!({"metadata": {"annotations": {"example.com/turn": turn.to_string()}}});
    hostile.patch(kind, name, &annotations).await.map(drop)
}
