//! The steps of the simulated scenario, in order. Each step checks its result.

use anyhow::Result;
use kcg_devcluster::MetricsApi;

use crate::terminal::{Expect, Terminal};

const LAG: &str = "kafka_consumer_fetch_manager_records_lag_pod_sum";

/// Scale down without delay. The default windows are minutes.
const SCALE_DOWN_NOW: &str = r#"kubectl patch kcg kconsumer --type=merge --patch='{"spec":{"scaling":{"behavior":{"scaleDown":
  {"stabilizationWindowSeconds":0,"policies":[{"type":"Percent","value":100,"periodSeconds":1}]}}}}}'"#;

pub(super) async fn run(terminal: &Terminal, metrics: &MetricsApi) -> Result<()> {
    reject_invalid_groups(terminal).await?;
    create_group(terminal, metrics).await?;
    add_partitions(terminal).await?;
    revert_manual_changes(terminal).await?;
    scale_by_lag(terminal, metrics).await?;
    delete_group(terminal).await
}

async fn reject_invalid_groups(terminal: &Terminal) -> Result<()> {
    terminal.heading("Invalid groups are rejected: all mistakes are reported at once, each with its fix")?;
    let topic = "sed 's/partitions: 3/partitions: 1/' deploy/samples/kafkatopic.yaml | kubectl create -f -";
    run_all(terminal, &[topic, "kubectl get kafkatopics"]).await?;
    for sample in ["bad-min-above-partitions", "bad-no-image", "bad-many"] {
        terminal.run(&format!("cat deploy/samples/{sample}.yaml"), Expect::Success).await?;
        terminal.run(&format!("kubectl create -f deploy/samples/{sample}.yaml"), Expect::Rejection).await?;
    }
    Ok(())
}

async fn create_group(terminal: &Terminal, metrics: &MetricsApi) -> Result<()> {
    // The consumers keep up from the start.
    metrics.set("default", "kconsumer-", LAG, 10);
    terminal.heading("A valid group gets its defaults and its five owned resources")?;
    let commands = [
        "cat deploy/samples/kconsumer.yaml",
        "kubectl create -f deploy/samples/kconsumer.yaml",
        "kubectl wait kcg/kconsumer --for=condition=Ready --timeout=60s",
        "kubectl wait kcg/kconsumer --for=condition=MetricsAvailable --timeout=60s",
        "kubectl get kcg kconsumer -o jsonpath='{.spec}{\"\\n\"}'",
        "kubectl get deployment,service,hpa,servicemonitor,prometheusrule",
        "kubectl get kcg",
    ];
    run_all(terminal, &commands).await
}

async fn add_partitions(terminal: &Terminal) -> Result<()> {
    terminal.heading("The topic grows from one partition to three, and the group may run three pods")?;
    let commands = [
        r#"kubectl patch kafkatopic fast-data-topic --type=merge --patch='{"spec":{"partitions":3}}'"#,
        "kubectl wait hpa/kconsumer --for=jsonpath='{.spec.maxReplicas}'=3 --timeout=30s",
        "kubectl wait kcg/kconsumer --for=jsonpath='{.status.maxReplicas}'=3 --timeout=30s",
        "kubectl get kcg",
    ];
    run_all(terminal, &commands).await
}

async fn revert_manual_changes(terminal: &Terminal) -> Result<()> {
    terminal.heading("Manual changes and deletions of owned resources are reverted")?;
    let commands = [
        "kubectl set image deployment/kconsumer kconsumer=example.com/not-this-one:1",
        "kubectl wait deployment/kconsumer --timeout=30s \\\n  \
         --for=jsonpath='{.spec.template.spec.containers[0].image}'=thenextapps/kconsumer:latest",
        "kubectl delete service kconsumer",
        "kubectl wait service/kconsumer --for=create --timeout=30s",
    ];
    run_all(terminal, &commands).await
}

async fn scale_by_lag(terminal: &Terminal, metrics: &MetricsApi) -> Result<()> {
    terminal.heading("The lag rises and falls, and the autoscaler goes from one pod to three and back")?;
    terminal.run(SCALE_DOWN_NOW, Expect::Success).await?;
    terminal.say("(Simulated: each pod now reports a lag of 5000 records.)")?;
    metrics.set("default", "kconsumer-", LAG, 5000);
    let up = [
        "kubectl wait kcg/kconsumer --for=jsonpath='{.status.availableReplicas}'=3 --timeout=90s",
        "kubectl get hpa,pods",
        "kubectl get kcg",
    ];
    run_all(terminal, &up).await?;
    terminal.say("(Simulated: each pod now reports no lag.)")?;
    metrics.set("default", "kconsumer-", LAG, 0);
    let down = [
        "kubectl wait kcg/kconsumer --for=jsonpath='{.status.availableReplicas}'=1 --timeout=90s",
        "kubectl get kcg",
    ];
    run_all(terminal, &down).await
}

async fn delete_group(terminal: &Terminal) -> Result<()> {
    terminal.heading("The group is deleted, and its owned resources with it")?;
    let commands = [
        "kubectl delete kcg kconsumer",
        "kubectl wait --for=delete --timeout=60s deployment/kconsumer service/kconsumer hpa/kconsumer \\\n  \
         servicemonitor/kconsumer prometheusrule/kconsumer",
        "kubectl wait --for=delete --timeout=60s pods --all",
        "kubectl get kcg,deployment,replicaset,pods,hpa,servicemonitor,prometheusrule",
    ];
    run_all(terminal, &commands).await
}

async fn run_all(terminal: &Terminal, commands: &[&str]) -> Result<()> {
    for command in commands {
        terminal.run(command, Expect::Success).await?;
    }
    Ok(())
}
