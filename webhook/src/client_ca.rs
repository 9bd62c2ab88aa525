//! The file with the CAs of clients, which is followed as the serving certificate is.

use std::path::PathBuf;
use std::sync::Arc;

use kcg_certs::client_verifier::{ClientCas, ClientVerifier};
use kcg_runtime::config_file::{ConfigFile, POLL_INTERVAL};
use kcg_runtime::probes::ReadinessCheck;

/// The most bytes of the file: some hundred CAs.
const MAX_BYTES: usize = 1 << 20;

/// Who may send reviews.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// The file with the CAs of clients, in PEM.
    pub ca_file: PathBuf,
    /// The common names of the subjects that are accepted; empty accepts each that a CA has signed.
    pub allowed_names: Vec<String>,
}

/// Follows the file until the future is dropped. Until it was read once, no client is accepted and the
/// check fails; a file that is rejected later leaves the last CAs in use.
pub(crate) async fn watch(ca_file: PathBuf, verifier: Arc<ClientVerifier>, readiness: ReadinessCheck) {
    let parse =
        |text: &str| ClientCas::from_pem(text.as_bytes()).map(Some).map_err(|error| error.to_string());
    let file = ConfigFile::<Option<ClientCas>>::new(Some(ca_file), MAX_BYTES, parse);
    let follow = || {
        if let Some(cas) = file.settings().as_ref() {
            verifier.replace(cas.clone());
            readiness.pass();
        }
    };
    file.watch(POLL_INTERVAL, follow).await;
}
