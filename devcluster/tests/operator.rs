//! The operator runs with the roles and webhook configurations that it ships.

use std::time::Duration;

use kcg_devcluster::{ControlPlane, Crds, KubectlOutput, Operator, build_operator, deploy_folder, wait};

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn installed() -> Result<(ControlPlane, Operator), Box<dyn std::error::Error>> {
    let binary = build_operator().await?;
    let crds = Crds::all(deploy_folder()?.join("crd"));
    let plane = ControlPlane::builder().crds(crds).start().await?;
    let operator = Operator::install(&plane, &deploy_folder()?.join("scopes/cluster"), &binary).await?;
    Ok((plane, operator))
}

/// A dry run of a group with more consumers than partitions.
async fn try_bad_group(plane: &ControlPlane) -> kcg_devcluster::Result<KubectlOutput> {
    let sample = deploy_folder()?.join("samples/bad-min-above-partitions.yaml");
    plane.kubectl(&["create", "--dry-run=server", "-f", &sample.display().to_string()]).await
}

async fn create_topic(plane: &ControlPlane) -> kcg_devcluster::Result<()> {
    plane.apply_path(&deploy_folder()?.join("samples/kafkatopic.yaml")).await
}

#[tokio::test]
async fn the_webhook_configurations_reach_the_webhook_while_it_is_running() -> Outcome {
    let (plane, operator) = installed().await?;
    create_topic(&plane).await?;
    let webhook = operator.start_webhook(&[]).await?;
    wait::until("the webhook to know the topic", Duration::from_secs(10), async || {
        let output = try_bad_group(&plane).await?;
        let rejected = output.stderr.contains("topic fast-data-topic has 3 partitions");
        Ok(if rejected { Ok(()) } else { Err(output.stderr + &output.stdout) })
    })
    .await?;
    webhook.process().terminate(Duration::from_secs(30)).await?;
    assert!(try_bad_group(&plane).await?.stderr.contains("failed calling webhook"));
    Ok(())
}

#[tokio::test]
async fn two_controllers_become_ready_with_the_shipped_roles() -> Outcome {
    let (_plane, operator) = installed().await?;
    let (one, two) =
        tokio::try_join!(operator.start_controller("one", &[]), operator.start_controller("two", &[]))?;
    for replica in [&one, &two] {
        let (status, metrics) = replica.get("/metrics").await?;
        assert_eq!(status, 200);
        assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    }
    Ok(())
}
