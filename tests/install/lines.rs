//! The README's lines, on an API server that knows nothing yet.

use kcg_devcluster::ControlPlane;

use crate::documented::{Shell, block};
use kcg_tests::installation::Outcome;

const HEADING: &str = "## Install it on a cluster of your own";

async fn bare() -> Outcome<(ControlPlane, Shell)> {
    let plane = ControlPlane::builder().controller_manager(false).scheduler(false).start().await?;
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
async fn two_lines_install_it_with_a_certificate_of_its_own() -> Outcome {
    let (_plane, shell) = bare().await?;
    let said = shell.tries(&lines("cluster/self-managed")?).await?;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    Ok(())
}

#[tokio::test]
async fn two_lines_install_it_with_cert_manager_and_where_that_is_missing_kubectl_says_so() -> Outcome {
    let (plane, shell) = bare().await?;
    let lines = lines("cluster/cert-manager")?;
    let said = shell.tries(&lines).await?;
    assert_ne!(said.code, 0);
    assert!(
        said.stderr.contains("no matches for kind \"Certificate\" in version \"cert-manager.io/v1\""),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("ensure CRDs are installed first"), "{}", said.stderr);
    plane.start_cert_manager().await?;
    let said = shell.tries(&lines).await?;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    Ok(())
}
