//! Applies manifests, kustomizations and CRDs with kubectl, as a user would.

use std::path::Path;
use std::time::Duration;

use super::ControlPlane;
use crate::crds::{self, Crds};
use crate::tools::catalog::MONITORING_CRDS;
use crate::{Error, Result, wait};

/// Server-side apply: some CRDs are too large for the last-applied annotation of a client-side
/// apply.
const APPLY: [&str; 3] = ["apply", "--server-side", "--force-conflicts"];
/// The timeout for the API server to establish a CRD.
const ESTABLISHED_LIMIT: Duration = Duration::from_mins(1);

impl ControlPlane {
    /// Applies YAML or JSON text with one or more documents.
    pub async fn apply_yaml(&self, text: &str) -> Result<()> {
        let [apply, server_side, force] = APPLY;
        let args = [apply, server_side, force, "-f", "-"];
        self.kubectl.run_with_input(&args, text).await?.ok().map(drop)
    }

    /// Applies a manifest, or a folder with manifests or a kustomization.
    pub async fn apply_path(&self, path: &Path) -> Result<()> {
        let flag = if path.join("kustomization.yaml").is_file() { "-k" } else { "-f" };
        let [apply, server_side, force] = APPLY;
        let path = path.display().to_string();
        self.kubectl.run(&[apply, server_side, force, flag, &path]).await?.ok().map(drop)
    }

    /// Installs CRDs and waits until they are established.
    pub async fn install_crds(&self, crds: &Crds) -> Result<()> {
        let Crds { manifests, kafka_topic, prometheus_operator } = crds;
        let mut text = String::new();
        if let Some(crd) = crds::kafka_topic_crd(*kafka_topic)? {
            text = format!("{crd}\n---\n");
        }
        if *prometheus_operator {
            let path = self.tools.file(MONITORING_CRDS)?;
            text += &std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        }
        if !text.is_empty() {
            self.apply_yaml(&text).await?;
        }
        if let Some(manifests) = manifests {
            self.apply_path(manifests).await?;
        }
        if manifests.is_none() && text.is_empty() {
            return Ok(());
        }
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=5s"];
        // kubectl wait fails immediately on a CRD without conditions, so it is retried.
        wait::until("the CRDs to be established", ESTABLISHED_LIMIT, async || {
            Ok(self.kubectl(&established).await?.ok().map(drop).map_err(|error| error.to_string()))
        })
        .await
    }
}
