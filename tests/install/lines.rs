//! The README's two lines, on an API server without any CRD.

use kcg_devcluster::{ControlPlane, Crds};
use kcg_tests::Outcome;
use kcg_tests::env::api_server;

use crate::documented::{Shell, block};

const HEADING: &str = "## Install it on a cluster of your own";

async fn start() -> Outcome<(ControlPlane, Shell)> {
    let plane = api_server(Crds::default()).await?;
    let shell = Shell::open(&plane, "".as_ref()).await?;
    Ok((plane, shell))
}

fn lines(overlay: &str) -> Outcome<String> {
    let lines = block("README.md", HEADING, &format!("overlays/{overlay}"))?;
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("kubectl apply -k deploy/")), "{lines}");
    Ok(lines)
}

#[tokio::test]
async fn two_lines_install_the_operator_with_its_own_certificate() -> Outcome {
    let (_plane, shell) = start().await?;
    let output = shell.try_run(&lines("cluster/self-managed")?).await?;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    Ok(())
}

#[tokio::test]
async fn two_lines_install_the_operator_with_cert_manager_and_kubectl_reports_if_that_is_missing() -> Outcome
{
    let (plane, shell) = start().await?;
    let lines = lines("cluster/cert-manager")?;
    let output = shell.try_run(&lines).await?;
    assert_ne!(output.code, 0);
    assert!(
        output.stderr.contains("no matches for kind \"Certificate\" in version \"cert-manager.io/v1\""),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("ensure CRDs are installed first"), "{}", output.stderr);
    plane.start_cert_manager().await?;
    let output = shell.try_run(&lines).await?;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    Ok(())
}
