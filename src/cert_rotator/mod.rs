//! The certificate rotation: issues the webhook's certificate and its CA into a Secret each, and
//! writes the CA bundle into the webhook configurations. [`kcg_certs::rotation`] decides what is
//! due.
//!
//! The leader reconciles, and a process that does not take part in the election yet. Correctness does
//! not depend on there being one: every write carries the resourceVersion on which it was decided, so
//! one of two concurrent writes fails and is decided again.

mod metrics;
mod requests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kcg_api::names;
use kcg_certs::CaError;
use kcg_certs::rotation::{
    CertificateRequest, CertificateSet, Issuance, IssuedKind, Lifetimes, RotationStep, Secrets, next_step,
};
use kcg_runtime::backoff::Backoff;
use kcg_runtime::client::RequestError;
use kcg_runtime::lease::{Clock, Leadership};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::time::sleep;

use crate::webhook_configurations::WebhookConfiguration;
use metrics::CertRotatorMetrics;
use requests::{RotationRequests, StoredSecrets};

/// The time between reconciliations. Within it, a removed caBundle is restored, an invalid Secret
/// is replaced, and a renewal that became due while the machine was suspended is noticed.
const INTERVAL: Duration = Duration::from_secs(10);
/// The longest delay after consecutive failures.
const MAX_DELAY: Duration = Duration::from_mins(1);

/// The configuration of the certificate rotation.
#[derive(Clone, Debug)]
pub struct CertRotatorConfig {
    /// The operator's namespace.
    pub namespace: String,
    /// The name of both webhook configurations.
    pub webhook_configuration: String,
    /// The name of this process in Events.
    pub identity: String,
    /// How long certificates are valid.
    pub lifetimes: Lifetimes,
}

/// Why a reconciliation failed.
#[derive(Debug, thiserror::Error)]
pub enum CertRotatorError {
    /// A Secret does not exist. The overlay ships it, so that the operator needs no right to
    /// create Secrets.
    #[error(
        "Secret {namespace}/{name} does not exist: apply the operator's overlay again, which creates it empty"
    )]
    NoSecret {
        /// The operator's namespace.
        namespace: String,
        /// The name of the Secret.
        name: &'static str,
    },
    /// The operator may not do this.
    #[error("{0}: apply the operator's overlay again, which grants this")]
    Forbidden(RequestError),
    /// A request failed.
    #[error(transparent)]
    Request(RequestError),
    /// A certificate could not be issued.
    #[error(transparent)]
    Issue(#[from] CaError),
    /// A webhook configuration does not exist.
    #[error(
        "{kind} {name} does not exist: apply the operator's overlay again, or set --webhook-configuration-name to the name of the one that calls this webhook"
    )]
    NoWebhookConfiguration {
        /// The kind of the configuration.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

impl From<RequestError> for CertRotatorError {
    fn from(error: RequestError) -> Self {
        if error.is_forbidden() { Self::Forbidden(error) } else { Self::Request(error) }
    }
}

/// Rotates the certificates of one installation.
#[derive(Debug)]
pub struct CertRotator {
    requests: RotationRequests,
    request: CertificateRequest,
    metrics: CertRotatorMetrics,
    clock: Arc<dyn Clock>,
}

impl CertRotator {
    /// Registers the metrics. Expiry is decided by the wall time of `clock`.
    pub fn new(
        client: Client,
        config: &CertRotatorConfig,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> Self {
        let request = CertificateRequest {
            ca_name: format!("{} in {}", names::OPERATOR, config.namespace),
            dns_names: vec![names::webhook_host(&config.namespace)],
            lifetimes: config.lifetimes,
        };
        let requests = RotationRequests::new(client, config);
        Self { requests, request, metrics: CertRotatorMetrics::register(registry), clock }
    }

    /// Reconciles until the future is dropped, which must happen when `leadership` is lost.
    pub async fn run(&self, leadership: &Leadership) {
        let _clear = OnDrop(|| self.metrics.clear_expirations());
        let mut backoff = Backoff::new(INTERVAL * 2, MAX_DELAY);
        let mut logged = String::new();
        loop {
            let errors = self.reconcile(|| leadership.still_held()).await;
            let summary = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let delay = if errors.is_empty() {
                backoff.reset();
                INTERVAL
            } else {
                backoff.next_delay(fastrand::f64())
            };
            if summary != logged {
                if errors.is_empty() {
                    tracing::info!("certificates are up to date again");
                } else {
                    tracing::warn!("certificates could not be reconciled: {summary}");
                }
            }
            logged = summary;
            sleep(delay).await;
        }
    }

    /// Does what is due and returns every error. An error in one place does not stop the others.
    /// `may_write` is called before each write.
    pub async fn reconcile(&self, may_write: impl Fn() -> bool) -> Vec<CertRotatorError> {
        let (mut errors, mut configurations) = (Vec::new(), Vec::new());
        for result in self.requests.webhook_configurations().await {
            match result {
                Ok(configuration) => configurations.push(configuration),
                Err(error) => errors.push(error),
            }
        }
        let mut trusted: Vec<Vec<u8>> =
            configurations.iter().flat_map(WebhookConfiguration::ca_bundles).collect();
        // A configuration that cannot be read counts as one that trusts no CA, so that no CA is
        // replaced meanwhile.
        let is_unread =
            |error: &CertRotatorError| !matches!(error, CertRotatorError::NoWebhookConfiguration { .. });
        trusted.extend(errors.iter().filter(|error| is_unread(error)).map(|_| Vec::new()));

        let (secrets, error) = self.rotate(&trusted, &may_write).await;
        errors.extend(error);
        if let Some(secrets) = secrets {
            let set = CertificateSet::read(&secrets, self.now());
            self.metrics.set_expirations(&set);
            for configuration in &configurations {
                errors.extend(self.publish(&set, configuration, &may_write).await.err());
            }
        }
        self.metrics.count_sync(errors.is_empty());
        errors
    }

    /// Performs the next step of the rotation. Returns what is stored, or `None` if that is not known
    /// or a Secret was changed concurrently; and the error, if any.
    async fn rotate(
        &self,
        trusted: &[Vec<u8>],
        may_write: &impl Fn() -> bool,
    ) -> (Option<Secrets>, Option<CertRotatorError>) {
        let stored = match self.requests.secrets().await {
            Ok(stored) => stored,
            Err((known, error)) => return ((!known.is_empty()).then_some(known), Some(error)),
        };
        let RotationStep { secrets, issued } =
            match next_step(&stored.content, trusted, &self.request, self.now()) {
                Ok(Some(step)) => step,
                Ok(None) => return (Some(stored.content), None),
                Err(error) => return (Some(stored.content), Some(error.into())),
            };
        if !may_write() {
            return (None, None);
        }
        match self.requests.replace(&stored, &secrets).await {
            Ok(true) => {}
            Ok(false) => return (None, None),
            // The stored certificate is still served, so its CA must be trusted.
            Err(error) => return (Some(stored.content), Some(error)),
        }
        for issuance in &issued {
            self.announce(&stored, issuance).await;
        }
        (Some(secrets), None)
    }

    /// Writes the CA bundle of one webhook configuration if it is outdated. If it was changed meanwhile,
    /// the next reconciliation decides again.
    async fn publish(
        &self,
        set: &CertificateSet,
        configuration: &WebhookConfiguration,
        may_write: &impl Fn() -> bool,
    ) -> Result<(), CertRotatorError> {
        let now = self.now();
        let expected = |current: &[u8]| set.bundle(current, now, &self.request.lifetimes).into_bytes();
        let outdated = configuration.outdated(expected);
        if outdated.is_empty() || !may_write() {
            return Ok(());
        }
        if self.requests.apply_ca_bundles(configuration, &outdated).await? {
            tracing::info!(kind = configuration.kind.as_str(), webhooks = outdated.len(), "caBundle written");
        }
        Ok(())
    }

    fn now(&self) -> SystemTime {
        self.clock.now().wall
    }

    async fn announce(&self, stored: &StoredSecrets, issuance: &Issuance) {
        let Issuance { kind, reason, scheduled } = issuance;
        self.metrics.count_renewal(*kind);
        let what = match kind {
            IssuedKind::ServingCertificate => "certificate",
            IssuedKind::Ca => "CA",
        };
        tracing::info!(reason, "{what} issued");
        // No Event for the first certificates and for scheduled renewals.
        if !scheduled && !stored.content.is_empty() {
            self.requests.warn(stored, &format!("The {what} was reissued: {reason}")).await;
        }
    }
}

/// Calls a function when it is dropped, also if its task is aborted.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
