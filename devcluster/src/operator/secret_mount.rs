//! Mounts a Secret into a folder, as a kubelet does, with a delay that a test can set.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, SecretVolumeSource};
use kube::Api;

use crate::background::Background;
use crate::control_plane::client_for;
use crate::volume::{Files, ProjectedVolume, select_keys};

/// The polling interval. A test can add a delay to it.
const EVERY: Duration = Duration::from_millis(200);

/// Updates a volume when the Secret changes. Runs until the background runtime is dropped.
#[derive(Debug)]
pub(super) struct SecretMount {
    delay_ms: Arc<AtomicU64>,
}

impl SecretMount {
    pub(super) fn start(
        background: &Background,
        kubeconfig: PathBuf,
        namespace: String,
        source: SecretVolumeSource,
        volume: Arc<ProjectedVolume>,
    ) -> Self {
        let delay_ms = Arc::new(AtomicU64::new(0));
        background.spawn(mount(kubeconfig, namespace, source, volume, Arc::clone(&delay_ms)));
        Self { delay_ms }
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

async fn mount(
    kubeconfig: PathBuf,
    namespace: String,
    source: SecretVolumeSource,
    volume: Arc<ProjectedVolume>,
    delay_ms: Arc<AtomicU64>,
) {
    // It fails only when the cluster, and with it this task, is about to end.
    let Ok(client) = client_for(&kubeconfig).await else { return };
    let secrets: Api<Secret> = Api::namespaced(client, &namespace);
    let name = source.secret_name.unwrap_or_default();
    let mut mounted = Files::new();
    loop {
        if let Ok(secret) = secrets.get_opt(&name).await {
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            let files = data.into_iter().map(|(key, value)| (key, value.0)).collect();
            // An optional volume: missing keys are not an error.
            let files = select_keys(files, source.items.as_deref(), true).unwrap_or_default();
            if files != mounted {
                tokio::time::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed))).await;
                if let Err(error) = volume.project(&files) {
                    eprintln!("devcluster: {error}");
                }
                mounted = files;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
