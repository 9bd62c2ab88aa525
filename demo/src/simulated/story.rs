//! What is told, in order.

use anyhow::Result;
use kcg_devcluster::MetricsApi;

use crate::terminal::{Expect, Terminal};

const LAG: &str = "kafka_consumer_fetch_manager_records_lag_max";

/// The windows that suit a demo; the defaults are minutes.
const SHORT_WINDOWS: &str = r#"kubectl patch kcg kconsumer --type=merge --patch='{"spec":{"scaling":{"behavior":{"scaleDown":
  {"stabilizationWindowSeconds":0,"policies":[{"type":"Percent","value":100,"periodSeconds":1}]}}}}}'"#;

pub async fn tell(terminal: &Terminal, metrics: &MetricsApi) -> Result<()> {
    refuse(terminal).await?;
    create(terminal, metrics).await?;
    grow(terminal).await?;
    repair(terminal).await?;
    scale(terminal, metrics).await?;
    delete(terminal).await
}

async fn refuse(terminal: &Terminal) -> Result<()> {
    terminal.heading("Bad groups are refused, with the cure, and with all that is wrong at once")?;
    let topic = "sed 's/partitions: 3/partitions: 1/' deploy/samples/kafkatopic.yaml | kubectl create -f -";
    all(terminal, &[topic, "kubectl get kafkatopics"]).await?;
    for sample in ["bad-min-above-partitions", "bad-no-image", "bad-many"] {
        terminal.run(&format!("cat deploy/samples/{sample}.yaml"), Expect::Success).await?;
        terminal.run(&format!("kubectl create -f deploy/samples/{sample}.yaml"), Expect::Refusal).await?;
    }
    Ok(())
}

async fn create(terminal: &Terminal, metrics: &MetricsApi) -> Result<()> {
    // A consumer that keeps up, from its first second.
    metrics.set("default", "kconsumer-", LAG, 10);
    terminal.heading("A good one gets its defaults and its five children")?;
    let commands = [
        "cat deploy/samples/kconsumer.yaml",
        "kubectl create -f deploy/samples/kconsumer.yaml",
        "kubectl wait kcg/kconsumer --for=condition=Ready --timeout=60s",
        "kubectl wait kcg/kconsumer --for=condition=MetricsAvailable --timeout=60s",
        "kubectl get kcg kconsumer -o jsonpath='{.spec}{\"\\n\"}'",
        "kubectl get deployment,service,hpa,servicemonitor,prometheusrule",
        "kubectl get kcg",
    ];
    all(terminal, &commands).await
}

async fn grow(terminal: &Terminal) -> Result<()> {
    terminal.heading("The topic grows from one partition to three, and the ceiling follows")?;
    let commands = [
        r#"kubectl patch kafkatopic fast-data-topic --type=merge --patch='{"spec":{"partitions":3}}'"#,
        "kubectl wait hpa/kconsumer --for=jsonpath='{.spec.maxReplicas}'=3 --timeout=30s",
        "kubectl wait kcg/kconsumer --for=jsonpath='{.status.maxReplicas}'=3 --timeout=30s",
        "kubectl get kcg",
    ];
    all(terminal, &commands).await
}

async fn repair(terminal: &Terminal) -> Result<()> {
    terminal.heading("What somebody changes or deletes by hand is repaired")?;
    let commands = [
        "kubectl set image deployment/kconsumer kconsumer=example.com/not-this-one:1",
        "kubectl wait deployment/kconsumer --timeout=30s \\\n  \
         --for=jsonpath='{.spec.template.spec.containers[0].image}'=thenextapps/kconsumer:latest",
        "kubectl delete service kconsumer",
        "kubectl wait service/kconsumer --for=create --timeout=30s",
    ];
    all(terminal, &commands).await
}

async fn scale(terminal: &Terminal, metrics: &MetricsApi) -> Result<()> {
    terminal.heading("Load comes (simulated), and the autoscaler goes from one pod to three and back")?;
    terminal.run(SHORT_WINDOWS, Expect::Success).await?;
    terminal.say("(simulation: from now on each pod says that it is 5000 records behind)")?;
    metrics.set("default", "kconsumer-", LAG, 5000);
    let up = [
        "kubectl wait kcg/kconsumer --for=jsonpath='{.status.readyReplicas}'=3 --timeout=90s",
        "kubectl get hpa,pods",
        "kubectl get kcg",
    ];
    all(terminal, &up).await?;
    terminal.say("(simulation: from now on each pod has nothing left to do)")?;
    metrics.set("default", "kconsumer-", LAG, 0);
    let down = [
        "kubectl wait kcg/kconsumer --for=jsonpath='{.status.readyReplicas}'=1 --timeout=90s",
        "kubectl get kcg",
    ];
    all(terminal, &down).await
}

async fn delete(terminal: &Terminal) -> Result<()> {
    terminal.heading("The group is deleted, and all that was made for it goes")?;
    let commands = [
        "kubectl delete kcg kconsumer",
        "kubectl wait --for=delete --timeout=60s deployment/kconsumer service/kconsumer hpa/kconsumer \\\n  \
         servicemonitor/kconsumer prometheusrule/kconsumer",
        "kubectl wait --for=delete --timeout=60s pods --all",
        "kubectl get kcg,deployment,replicaset,pods,hpa,servicemonitor,prometheusrule",
    ];
    all(terminal, &commands).await
}

async fn all(terminal: &Terminal, commands: &[&str]) -> Result<()> {
    for command in commands {
        terminal.run(command, Expect::Success).await?;
    }
    Ok(())
}
