//! An installation whose parts come one after the other.

use std::time::Duration;

use kcg_devcluster::{ControlPlane, Crds, Operator, Replica, deploy_folder, wait};

use kcg_tests::installation::Outcome;

/// Waits until a process is not ready and says this on /readyz.
async fn waits_for(replica: &Replica, what: &str) -> Outcome {
    let name = replica.process().name();
    wait::until(&format!("{name} to wait for {what:?}"), Duration::from_secs(30), async || {
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
async fn an_installation_that_is_half_there_says_what_it_waits_for_and_goes_on_by_itself() -> Outcome {
    let deploy = deploy_folder()?;
    let crds = Crds { own: None, ..Crds::all(deploy.join("crd")) };
    let plane = ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await?;
    let binary = kcg_tests::operator_binary().await?;
    let operator = Operator::install(&plane, &deploy.join("overlays/cluster/self-managed"), binary).await?;

    // The webhook without a certificate, which comes from the controller.
    let webhook = operator.spawn_webhook(&[])?;
    waits_for(&webhook, "certificate: cannot read").await?;
    let said = webhook.process().log();
    assert!(said.contains("no certificate taken"), "{said}");

    // The controller without its resource: it does not lead yet, so the webhook waits, too.
    let controller = operator.spawn_controller("one", &[])?;
    waits_for(&controller, "kconsumergroups: the cluster has no such kind").await?;
    waits_for(&webhook, "certificate: cannot read").await?;
    let said = controller.process().log();
    assert!(said.contains("kconsumergroups"), "{said}");

    plane.apply_path(&deploy.join("crd")).await?;
    controller.wait_ready().await?;
    webhook.wait_ready().await?;
    operator.wait_trusted(&plane).await?;
    for sample in ["kafkatopic.yaml", "kconsumer.yaml"] {
        plane.apply_path(&deploy.join("samples").join(sample)).await?;
    }
    wait::until("the group's Deployment", Duration::from_secs(30), async || {
        let found = plane
            .kubectl(&["get", "deployment", "kconsumer", "-o=name", "--ignore-not-found"])
            .await?
            .ok()?;
        Ok(if found.is_empty() { Err("there is none".to_owned()) } else { Ok(()) })
    })
    .await?;
    // Neither was started anew on the way.
    for replica in [&controller, &webhook] {
        replica.process().must_run()?;
    }
    Ok(())
}
