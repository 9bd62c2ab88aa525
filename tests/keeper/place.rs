//! One installation of the overlay self-managed, each with a control plane of its own: the registrations belong to the
//! whole cluster.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kcg_api::names;
use kcg_certs::rotation::Lifetimes;
use kcg_certs::{Pair, verify};
use kcg_devcluster::{ControlPlane, Crds, deploy_folder, wait};
use kcg_runtime::lease::{Clock, Moment};
use kconsumer_group_operator::keeper::{Keeper, Settings};
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A clock that the test sets.
#[derive(Debug)]
pub struct SetClock(Mutex<SystemTime>);

impl SetClock {
    pub fn jump(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        let by = Duration::from_secs(seconds.unsigned_abs());
        *now = if seconds < 0 { *now - by } else { *now + by };
    }
}

impl Clock for SetClock {
    fn now(&self) -> Moment {
        Moment { mono: Duration::ZERO, wall: *self.0.lock().unwrap() }
    }
}

pub struct Place {
    plane: ControlPlane,
    client: Client,
    pub clock: Arc<SetClock>,
}

impl Place {
    pub async fn open() -> Outcome<Self> {
        let crds = Crds { own: Some(deploy_folder()?.join("crd")), ..Crds::default() };
        let plane =
            ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await?;
        let clock = Arc::new(SetClock(Mutex::new(SystemTime::now())));
        let place = Self { client: plane.client().await?, plane, clock };
        place.apply().await?;
        Ok(place)
    }

    pub async fn apply(&self) -> Outcome {
        let overlay: PathBuf = deploy_folder()?.join("overlays/cluster/self-managed");
        self.kubectl(&["apply", "-k", &overlay.display().to_string()]).await?;
        Ok(())
    }

    pub async fn kubectl(&self, args: &[&str]) -> Outcome<String> {
        Ok(self.plane.kubectl(args).await?.ok()?)
    }

    pub async fn delete(&self, kind: &str, name: &str) -> Outcome {
        self.kubectl(&["delete", kind, name, "-n", names::NAMESPACE]).await?;
        Ok(())
    }

    /// A keeper with the controller's own rights.
    pub async fn keeper(&self, identity: &str) -> Outcome<Keeper> {
        let kubeconfig = self.plane.kubeconfig_for(names::NAMESPACE, names::CONTROLLER).await?;
        let config = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let settings = Settings {
            namespace: names::NAMESPACE.into(),
            identity: identity.into(),
            lifetimes: Lifetimes::default(),
        };
        let mut registry =
            kcg_runtime::probes::registry(kcg_api::names::METRIC_PREFIX, env!("CARGO_PKG_VERSION"));
        Ok(Keeper::new(Client::try_from(config)?, &settings, self.clock.clone(), &mut registry))
    }

    /// One look; what it says is wrong.
    pub async fn look(&self, keeper: &Keeper) -> Vec<String> {
        keeper.look(|| true).await.iter().map(ToString::to_string).collect()
    }

    /// Looks until something is wrong: a right is taken away a moment after its role has changed.
    pub async fn troubled(&self, keeper: &Keeper) -> Outcome<Vec<String>> {
        let found = wait::until("trouble", Duration::from_secs(20), async || {
            let troubles = self.look(keeper).await;
            Ok(if troubles.is_empty() { Err("all is well".to_owned()) } else { Ok(troubles) })
        });
        Ok(found.await?)
    }

    async fn secret(&self) -> Outcome<Secret> {
        Ok(Api::namespaced(self.client.clone(), names::NAMESPACE).get(names::CERTIFICATE_SECRET).await?)
    }

    pub async fn entry(&self, name: &str) -> Outcome<Vec<u8>> {
        let entry = self.secret().await?.data.unwrap_or_default().remove(name);
        Ok(entry.ok_or_else(|| format!("the Secret has no {name}"))?.0)
    }

    pub async fn edit(&self, entry: &str, content: Option<Vec<u8>>) -> Outcome {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), names::NAMESPACE);
        let patch = json!({"data": {entry: content.map(ByteString)}});
        api.patch(names::CERTIFICATE_SECRET, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub async fn wipe_bundles(&self) -> Outcome {
        for kind in ["mutating", "validating"] {
            let patch = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
            let registration = format!("{kind}webhookconfiguration/{}", names::NAMESPACE);
            self.kubectl(&["patch", &registration, "--type=json", "-p", patch]).await?;
        }
        Ok(())
    }

    /// Empties the rule of a role that names a resource.
    pub async fn take_the_right(&self, kind: &str, resource: &str) -> Outcome {
        let roles = self.kubectl(&["get", kind, "-n", names::NAMESPACE, "-o=json"]).await?;
        let roles: serde_json::Value = serde_json::from_str(&roles)?;
        for role in roles["items"].as_array().into_iter().flatten() {
            for (index, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
                if rule["resources"].as_array().is_some_and(|resources| resources.contains(&json!(resource)))
                {
                    let patch = json!([{"op": "remove", "path": format!("/rules/{index}")}]).to_string();
                    let name = role["metadata"]["name"].as_str().unwrap_or_default();
                    self.kubectl(&["patch", kind, name, "-n", names::NAMESPACE, "--type=json", "-p", &patch])
                        .await?;
                }
            }
        }
        Ok(())
    }

    pub async fn bundles(&self) -> Outcome<Vec<Vec<u8>>> {
        let mutating: MutatingWebhookConfiguration =
            Api::all(self.client.clone()).get(names::NAMESPACE).await?;
        let validating: ValidatingWebhookConfiguration =
            Api::all(self.client.clone()).get(names::NAMESPACE).await?;
        let mutating = mutating.webhooks.into_iter().flatten().map(|webhook| webhook.client_config);
        let validating = validating.webhooks.into_iter().flatten().map(|webhook| webhook.client_config);
        let bundles = mutating.chain(validating).map(|config| config.ca_bundle.unwrap_or_default().0);
        Ok(bundles.collect())
    }

    /// The pair in the Secret is taken by the API server through either registration.
    pub async fn serves(&self) -> Outcome {
        let pair = Pair::from_pem(&self.entry("tls.crt").await?, &self.entry("tls.key").await?)?;
        let bundles = self.bundles().await?;
        assert_eq!(bundles.len(), 2);
        for bundle in bundles {
            verify(pair.chain(), &bundle, &names::webhook_host(names::NAMESPACE), self.clock.now().wall)?;
        }
        Ok(())
    }

    /// The versions of all that the keeper may write.
    pub async fn versions(&self) -> Outcome<Vec<String>> {
        let mut versions = vec![self.secret().await?.metadata.resource_version.unwrap_or_default()];
        for kind in ["mutating", "validating"] {
            let registration = format!("{kind}webhookconfiguration/{}", names::NAMESPACE);
            versions.push(
                self.kubectl(&["get", &registration, "-o=jsonpath={.metadata.resourceVersion}"]).await?,
            );
        }
        Ok(versions)
    }
}
