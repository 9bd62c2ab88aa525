//! The overlay self-managed on an API server, and a rotator with the controller's rights and a
//! clock that the test sets.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kcg_api::names;
use kcg_certs::rotation::Lifetimes;
use kcg_certs::{Pair, verify};
use kcg_devcluster::ControlPlane;
use kcg_runtime::lease::{Clock, Moment};
use kcg_tests::certificate::WebhookCertificate;
use kcg_tests::env::{api_server, own_crd};
use kcg_tests::{Outcome, deploy, eventually, kubectl};
use kconsumer_group_operator::cert_rotator::{CertRotator, CertRotatorConfig};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{MutexGuard, OnceCell};

/// The webhook configurations, which belong to the whole cluster.
const WEBHOOK_CONFIGURATIONS: [&str; 2] = ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"];

static SHARED: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
/// One test at a time uses the shared API server.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A clock that the test sets.
#[derive(Debug)]
pub struct SetClock(Mutex<SystemTime>);

impl SetClock {
    pub fn jump(&self, seconds: i64) {
        let mut now = self.0.lock();
        let by = Duration::from_secs(seconds.unsigned_abs());
        *now = if seconds < 0 { *now - by } else { *now + by };
    }
}

impl Clock for SetClock {
    fn now(&self) -> Moment {
        Moment { mono: Duration::ZERO, wall: *self.0.lock() }
    }
}

async fn start() -> kcg_devcluster::Result<Arc<ControlPlane>> {
    Ok(Arc::new(api_server(own_crd()).await?))
}

pub struct RotatorEnv {
    pub certificate: WebhookCertificate,
    pub clock: Arc<SetClock>,
    plane: Arc<ControlPlane>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl RotatorEnv {
    /// The overlay as if it were applied for the first time, on an API server that the tests share.
    pub async fn shared() -> Outcome<Self> {
        let turn = TURN.lock().await;
        let plane = SHARED.get_or_try_init(start).await?;
        for secret in [names::CERTIFICATE_SECRET, names::CA_SECRET] {
            let delete = ["delete", "--ignore-not-found", "-n", names::NAMESPACE, "secret", secret];
            kubectl::run(plane, &delete).await?;
        }
        for kind in WEBHOOK_CONFIGURATIONS {
            kubectl::run(plane, &["delete", "--ignore-not-found", kind, names::NAMESPACE]).await?;
        }
        Self::new(plane.clone(), Some(turn)).await
    }

    /// The overlay on an API server for one test, which may change roles.
    pub async fn own() -> Outcome<Self> {
        Self::new(start().await?, None).await
    }

    async fn new(plane: Arc<ControlPlane>, turn: Option<MutexGuard<'static, ()>>) -> Outcome<Self> {
        let certificate = WebhookCertificate::new(&plane.client().await?);
        let clock = Arc::new(SetClock(Mutex::new(SystemTime::now())));
        let env = Self { certificate, clock, plane, _turn: turn };
        env.apply().await?;
        Ok(env)
    }

    /// Applies the overlay.
    pub async fn apply(&self) -> Outcome {
        self.kubectl(&["apply", "-k", &deploy("overlays/cluster/self-managed").display().to_string()])
            .await?;
        Ok(())
    }

    pub async fn kubectl(&self, args: &[&str]) -> Outcome<String> {
        Ok(kubectl::run(&self.plane, args).await?)
    }

    pub async fn patch(&self, target: &[&str], patch: &Value) -> Outcome {
        Ok(kubectl::patch(&self.plane, target, patch).await?)
    }

    pub async fn delete(&self, kind: &str, name: &str) -> Outcome {
        self.kubectl(&["delete", kind, name, "-n", names::NAMESPACE]).await?;
        Ok(())
    }

    /// A rotator with the controller's rights.
    pub async fn rotator(&self, identity: &str) -> Outcome<CertRotator> {
        let rotator_config = CertRotatorConfig {
            namespace: names::NAMESPACE.into(),
            webhook_configuration: names::NAMESPACE.into(),
            identity: identity.into(),
            lifetimes: Lifetimes::default(),
        };
        let mut registry = kcg_runtime::metrics::registry(names::METRIC_PREFIX, env!("CARGO_PKG_VERSION"));
        Ok(CertRotator::new(self.controller().await?, &rotator_config, self.clock.clone(), &mut registry))
    }

    /// A client with a token of the controller's ServiceAccount.
    pub async fn controller(&self) -> Outcome<Client> {
        let kubeconfig = self.plane.kubeconfig_for(names::NAMESPACE, names::CONTROLLER).await?;
        let config = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// An administrator's client.
    pub async fn administrator(&self) -> Outcome<Client> {
        Ok(self.plane.client().await?)
    }

    /// One reconciliation; its errors.
    pub async fn reconcile(&self, rotator: &CertRotator) -> Vec<String> {
        rotator.reconcile(|| true).await.iter().map(ToString::to_string).collect()
    }

    /// Reconciles until there are errors: a changed role takes effect after a moment.
    pub async fn eventual_errors(&self, rotator: &CertRotator) -> Outcome<Vec<String>> {
        let found = eventually("an error", Duration::from_secs(20), async || {
            let errors = self.reconcile(rotator).await;
            Ok(if errors.is_empty() { Err("there is none") } else { Ok(errors) })
        });
        Ok(found.await?)
    }

    /// Removes the rules with this resource from the operator's roles.
    pub async fn revoke(&self, kind: &str, resource: &str) -> Outcome {
        let roles = kubectl::get(&self.plane, &[kind, "-n", names::NAMESPACE]).await?;
        for role in roles["items"].as_array().into_iter().flatten() {
            for (index, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
                let resources = rule["resources"].as_array().into_iter().flatten();
                if resources.into_iter().any(|named| named == resource) {
                    let name = role["metadata"]["name"].as_str().ok_or("a role without a name")?;
                    let patch = json!([{"op": "remove", "path": format!("/rules/{index}")}]);
                    self.patch(&[kind, name, "-n", names::NAMESPACE], &patch).await?;
                }
            }
        }
        Ok(())
    }

    /// The API server trusts the certificate in the Secret through both webhook configurations.
    pub async fn certificate_is_trusted(&self) -> Outcome {
        let entry = async |name| self.certificate.entry(name).await;
        let pair = Pair::from_pem(&entry("tls.crt").await?, &entry("tls.key").await?)?;
        let bundles = self.certificate.ca_bundles().await?;
        assert_eq!(bundles.len(), 2);
        for bundle in bundles {
            verify(pair.chain(), &bundle, &names::webhook_host(names::NAMESPACE), self.clock.now().wall)?;
        }
        Ok(())
    }

    /// The resourceVersions of all objects that the rotator writes.
    pub async fn resource_versions(&self) -> Outcome<Vec<String>> {
        let secrets = [self.certificate.secret().await?, self.certificate.ca_secret().await?];
        let mut versions: Vec<String> =
            secrets.into_iter().filter_map(|secret| secret.metadata.resource_version).collect();
        for kind in WEBHOOK_CONFIGURATIONS {
            let get = ["get", kind, names::NAMESPACE, "-o=jsonpath={.metadata.resourceVersion}"];
            versions.push(self.kubectl(&get).await?);
        }
        Ok(versions)
    }
}
