//! Watches the directory of the certificate files: tls.crt and tls.key, as a Secret is mounted.
//!
//! The files are polled. A kubelet updates a mounted Secret by swapping a symbolic link, after
//! which a watch on the file itself gets no events; a timer for the expiry would be wrong after the
//! machine has slept.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kcg_certs::pair::{CA_FILE, CHAIN_FILE, KEY_FILE};
use kcg_certs::{Pair, PairError, Rejected, Resolver, bundle};
use kcg_runtime::probes::ReadinessCheck;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::{Reload, WebhookMetrics};

/// How often the files are read. The server uses a new certificate at most this long after both
/// files are complete.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Why the certificate files cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CertWatcherError {
    /// A file is missing or cannot be read.
    #[error(
        "cannot read {}: {source}: put {CHAIN_FILE} and {KEY_FILE} there, or set another directory with --cert-dir",
        .path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The files are not a valid pair, or the current pair is the better one.
    #[error("{}: {source}", .dir.display())]
    Rejected {
        /// The directory.
        dir: PathBuf,
        /// Why the current pair stays in use.
        source: Rejected,
    },
}

impl CertWatcherError {
    fn reload(&self) -> Reload {
        match self {
            Self::Read { .. } => Reload::Unreadable,
            Self::Rejected { source, .. } => match source {
                Rejected::Unusable(PairError::Mismatch) => Reload::Mismatched,
                Rejected::Unusable(_) => Reload::Unusable,
                Rejected::OtherNames { .. } => Reload::OtherNames,
                Rejected::NotYetValid => Reload::NotYetValid,
                Rejected::Expired => Reload::Expired,
            },
        }
    }
}

/// Loads the certificate files of one directory into a resolver whenever they change.
#[derive(Debug)]
pub struct CertWatcher {
    dir: PathBuf,
    resolver: Arc<Resolver>,
    metrics: WebhookMetrics,
    readiness: ReadinessCheck,
}

/// The files as they were read together.
#[derive(Debug, PartialEq, Eq)]
struct CertFiles {
    chain: Vec<u8>,
    key: Vec<u8>,
    /// The CA certificate, which cert-manager adds to the Secret; only for the metrics.
    ca: Option<Vec<u8>>,
}

impl CertWatcher {
    /// A watcher that has not read the files yet.
    ///
    /// The readiness check passes after the first valid pair and stays so: whatever happens to the
    /// files then, the server keeps using the last valid pair.
    pub fn new(
        dir: PathBuf,
        resolver: Arc<Resolver>,
        metrics: WebhookMetrics,
        readiness: ReadinessCheck,
    ) -> Self {
        Self { dir, resolver, metrics, readiness }
    }

    /// Reads the files at this interval until the future is dropped.
    pub async fn run(&self, poll_interval: Duration) {
        let mut ticks = interval(poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut loaded, mut last_error) = (None, None);
        loop {
            ticks.tick().await;
            let result = self.reload(&mut loaded, SystemTime::now()).await;
            self.report(&mut last_error, result.err());
        }
    }

    /// Loads the files if they differ from those that are `loaded`. The next poll retries what
    /// fails: files that were read between two writes are complete a moment later.
    async fn reload(&self, loaded: &mut Option<CertFiles>, now: SystemTime) -> Result<(), CertWatcherError> {
        let files = CertFiles {
            chain: self.read(CHAIN_FILE).await?,
            key: self.read(KEY_FILE).await?,
            ca: self.read(CA_FILE).await.ok(),
        };
        if loaded.as_ref() == Some(&files) {
            return Ok(());
        }
        let pair = self
            .resolver
            .replace(Pair::from_pem(&files.chain, &files.key), now)
            .map_err(|source| CertWatcherError::Rejected { dir: self.dir.clone(), source })?;
        let cas = files.ca.as_deref().and_then(|ca| bundle::parse(ca).ok());
        // Of several CAs, the first to expire matters.
        let ca_expires = cas.into_iter().flatten().map(|(_, validity)| validity.not_after).min();
        self.metrics.set_expirations(pair.not_after(), ca_expires);
        self.metrics.count_reload(Reload::Loaded);
        let seconds_left = pair.not_after().duration_since(now).unwrap_or_default().as_secs();
        tracing::info!(dir = %self.dir.display(), seconds_left, "certificate loaded");
        *loaded = Some(files);
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, CertWatcherError> {
        let path = self.dir.join(name);
        tokio::fs::read(&path).await.map_err(|source| CertWatcherError::Read { path, source })
    }

    /// Logs and counts an error once, until it changes; reports it as unready while the server has
    /// no pair.
    fn report(&self, last_error: &mut Option<String>, error: Option<CertWatcherError>) {
        let serving = self.resolver.current().is_some();
        self.metrics.set_certificate_rejected(serving && error.is_some());
        let Some(error) = error else {
            self.readiness.pass();
            *last_error = None;
            return;
        };
        let message = error.to_string();
        if serving {
            self.readiness.pass();
        } else {
            self.readiness.fail(&message);
        }
        if last_error.as_ref() != Some(&message) {
            self.metrics.count_reload(error.reload());
            tracing::warn!(serving_last_valid = serving, "certificate not loaded: {message}");
        }
        *last_error = Some(message);
    }
}
