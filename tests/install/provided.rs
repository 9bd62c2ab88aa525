//! The installation with a provided certificate, as deploy/README.md describes it.

use kcg_api::names;
use kcg_devcluster::Crds;
use kcg_devcluster::pki::Ca;
use kcg_tests::certificate::WebhookCertificate;
use kcg_tests::env::api_server;
use kcg_tests::{Outcome, deploy_copy};

use crate::documented::{Shell, blocks};

#[tokio::test]
async fn the_commands_of_the_readme_install_the_operator_with_a_trusted_certificate() -> Outcome {
    let plane = api_server(Crds::default()).await?;
    let folder = deploy_copy("").await?;
    let ca = Ca::new("a user's CA")?;
    let pair = ca.server(&[&format!("{}.{}.svc", names::WEBHOOK, names::NAMESPACE)])?;
    for (file, text) in [("ca.crt", ca.certificate()), ("tls.crt", &pair.certificate), ("tls.key", &pair.key)]
    {
        std::fs::write(folder.path().join(file), text)?;
    }
    let shell = Shell::open_in(folder.path(), &plane, "".as_ref()).await?;
    let commands = blocks("deploy/README.md", "## Install")?;
    assert_eq!(commands.len(), 2, "{commands:?}");
    for commands in commands {
        shell.run(&commands).await?;
    }
    let bundles = WebhookCertificate::new(&plane.client().await?).ca_bundles().await?;
    assert_eq!(bundles, [ca.certificate().as_bytes(), ca.certificate().as_bytes()]);
    Ok(())
}
