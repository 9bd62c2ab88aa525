//! An installation whose parts are applied one after the other.

use std::time::Duration;

use kcg_devcluster::Replica;
use kcg_tests::env::{TestEnv, api_server, foreign_crds};
use kcg_tests::{Outcome, deploy, eventually, met};

/// Waits until /readyz answers 503 with this reason.
async fn waits_for(replica: &Replica, what: &str) -> Outcome {
    let name = replica.process().name();
    eventually(&format!("{name} waits for {what:?}"), Duration::from_secs(30), async || {
        replica.process().must_run()?;
        Ok(match replica.get("/readyz").await {
            Ok((503, body)) if body.contains(what) => Ok(()),
            Ok((status, body)) => Err(format!("{status} {body}")),
            Err(error) => Err(error.to_string()),
        })
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_installation_reports_what_it_waits_for_and_continues_without_a_restart() -> Outcome {
    let plane = api_server(foreign_crds()).await?;
    let env = TestEnv::install(plane, &deploy("overlays/cluster/self-managed")).await?;
    let operator = &env.operator;

    // The webhook without a certificate, which the controller issues.
    let webhook = operator.spawn_webhook(&[])?;
    waits_for(&webhook, "certificate: cannot read").await?;
    let log = webhook.process().log();
    assert!(log.contains("certificate not loaded"), "{log}");

    // The controller without its CRD: it does not lead yet, so the webhook still waits.
    let controller = operator.spawn_controller("one", &[])?;
    waits_for(&controller, "kconsumergroups: the cluster has no such kind").await?;
    waits_for(&webhook, "certificate: cannot read").await?;
    let log = controller.process().log();
    assert!(log.contains("kconsumergroups"), "{log}");

    env.plane.apply_path(&deploy("crd")).await?;
    controller.wait_ready().await?;
    webhook.wait_ready().await?;
    operator.wait_trusted(&env.plane).await?;
    for sample in ["kafkatopic.yaml", "kconsumer.yaml"] {
        env.create_sample(sample).await?;
    }
    let get = ["get", "deployment", "kconsumer", "-o=name", "--ignore-not-found"];
    eventually("the group's Deployment", Duration::from_secs(30), async || {
        Ok(met(!env.kubectl(&get).await?.is_empty(), || "there is none"))
    })
    .await?;
    // Neither process was restarted.
    for replica in [&controller, &webhook] {
        replica.process().must_run()?;
    }
    Ok(())
}
