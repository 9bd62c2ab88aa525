//! The webhook asks its clients for certificates, and the API server presents one, configured as
//! docs/security.md writes it.

use std::path::Path;

use kcg_devcluster::pki::Ca;
use kcg_tests::env::{LIMIT, TestEnv, all_crds};
use kcg_tests::{Outcome, deploy, eventually, met, repository};

/// Where the files are on a node of the documentation.
const FOLDER: &str = "/etc/kubernetes/webhooks";
const HOST: &str = "kconsumer-group-operator-webhook.kconsumer-group-operator.svc";

/// The documented file that contains this line.
fn documented(line: &str) -> Outcome<String> {
    let page = std::fs::read_to_string(repository("docs/security.md"))?;
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.into_iter().find(|block| block.contains(line)).ok_or("no such file in the page")?;
    let lines: Vec<&str> = block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect();
    Ok(lines.join("\n"))
}

/// Writes the documented files with paths in `folder`, for a webhook at this host.
fn write(folder: &Path, host: &str) -> Outcome {
    let here = folder.display().to_string();
    let admission = documented("kind: AdmissionConfiguration")?.replace(FOLDER, &here);
    let kubeconfig = documented("kind: Config\n")?.replace(FOLDER, &here);
    assert!(kubeconfig.contains(&format!("name: {HOST}\n")), "{kubeconfig}");
    std::fs::write(folder.join("admission.yaml"), admission)?;
    std::fs::write(folder.join("kubeconfig.yaml"), kubeconfig.replace(HOST, host))?;
    Ok(())
}

#[tokio::test]
async fn the_webhook_serves_only_an_api_server_that_presents_the_documented_certificate() -> Outcome {
    let (folder, ca) = (tempfile::tempdir()?, Ca::new("webhook-clients-ca")?);
    let client = ca.client("kube-apiserver")?;
    std::fs::write(folder.path().join("client.crt"), &client.certificate)?;
    std::fs::write(folder.path().join("client.key"), &client.key)?;
    let ca_file = folder.path().join("ca.crt");
    std::fs::write(&ca_file, ca.certificate())?;
    // The API server calls the webhook at another port here, so it finds no certificate at first.
    write(folder.path(), HOST)?;
    let plane = kcg_devcluster::ControlPlane::builder()
        .admission_configuration(folder.path().join("admission.yaml"))
        .controller_manager(false)
        .scheduler(false)
        .crds(all_crds())
        .start()
        .await?;
    let env = TestEnv::install(plane, &deploy("scopes/cluster")).await?;
    env.plane.apply_path(&deploy("samples/kafkatopic.yaml")).await?;
    let flags =
        [format!("--client-ca-file={}", ca_file.display()), "--client-allowed-names=kube-apiserver".into()];
    let webhook = env.operator.start_webhook(&flags.each_ref().map(String::as_str)).await?;

    let sample = deploy("samples/kconsumer.yaml").display().to_string();
    let create = ["create", "--dry-run=server", "-f", &sample];
    eventually("a group is refused without a certificate", LIMIT, async || {
        let answer = env.plane.kubectl(&create).await?;
        Ok(met(answer.stderr.contains("failed calling webhook"), || answer.stderr + &answer.stdout))
    })
    .await?;

    write(folder.path(), &format!("{HOST}:{}", env.operator.webhook_port()))?;
    env.plane.restart_apiserver().await?;
    env.reviews_work().await?;
    env.kubectl(&create).await?;
    let (_, metrics) = webhook.get("/metrics").await?;
    assert!(metrics.contains("webhook_connection_errors_total{reason=\"handshake\"}"), "{metrics}");

    // Another CA is followed without a restart of the webhook.
    std::fs::write(&ca_file, Ca::new("another")?.certificate())?;
    eventually("the webhook follows the file", LIMIT, async || {
        let loaded = webhook.process().log().matches("file of settings loaded").count();
        Ok(met(loaded == 2, || webhook.process().log()))
    })
    .await?;
    // Open connections stay.
    env.plane.restart_apiserver().await?;
    eventually("a certificate of the earlier CA is refused", LIMIT, async || {
        let answer = env.plane.kubectl(&create).await?;
        Ok(met(answer.stderr.contains("failed calling webhook"), || answer.stderr + &answer.stdout))
    })
    .await?;
    Ok(())
}
