//! Copies the configuration and rules that prometheus-operator writes to a folder, as the pod's
//! volumes would.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kcg_devcluster::{ControlPlane, Process, client_for};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::{Error, Result};

/// The folder of the rules in the operator's configuration, which is written for a pod.
const RULES_IN_POD: &str = "/etc/prometheus/rules";
/// The key of the configuration in its Secret.
const KEY: &str = "prometheus.yaml.gz";
const POLL: Duration = Duration::from_millis(500);

/// The objects to copy, and the folder to copy them to.
#[derive(Debug, Clone)]
pub(super) struct ConfigurationSync {
    kubeconfig: PathBuf,
    namespace: String,
    name: String,
    folder: PathBuf,
}

/// All files by their path below the folder.
type Files = BTreeMap<PathBuf, String>;

impl ConfigurationSync {
    pub(super) async fn connect(
        plane: &ControlPlane,
        namespace: &str,
        name: &str,
        folder: PathBuf,
    ) -> Result<Self> {
        let kubeconfig = plane.monitoring_kubeconfig()?;
        // Tried once here, so that an error is reported at the start.
        client_for(&kubeconfig).await?;
        Ok(Self { kubeconfig, namespace: namespace.into(), name: name.into(), folder })
    }

    /// Copies and returns the current files; none while they are incomplete.
    pub(super) async fn copy(&self) -> Result<Option<Files>> {
        let files = self.read(&client_for(&self.kubeconfig).await?).await?;
        if let Some(files) = &files {
            self.write(&Files::new(), files)?;
        }
        Ok(files)
    }

    /// Copies every change from now on, and reloads Prometheus.
    pub(super) async fn run(self, mut current: Files, prometheus: Arc<Process>) {
        // This fails only when the cluster has ended, and this task ends with it.
        let Ok(client) = client_for(&self.kubeconfig).await else { return };
        loop {
            if let Ok(Some(files)) = self.read(&client).await
                && files != current
            {
                match self.write(&current, &files).and_then(|()| prometheus.reload()) {
                    Ok(()) => current = files,
                    Err(error) => eprintln!("closed-loop: {error}"),
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn read(&self, client: &Client) -> Result<Option<Files>> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &self.namespace);
        let secret = format!("prometheus-{}", self.name);
        let found = secrets.get_opt(&secret).await.map_err(Error::kube(format!("get Secret {secret}")))?;
        let Some(packed) = found.and_then(|secret| secret.data?.remove(KEY)) else { return Ok(None) };
        let configuration = decompress(&packed.0)?;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &self.namespace);
        let rules = ListParams::default().labels(&format!("prometheus-name={}", self.name));
        let maps = maps.list(&rules).await.map_err(Error::kube("list the rules' ConfigMaps"))?.items;
        let files = with_rules(&configuration, maps);
        Ok(files.map(|mut files| {
            files.insert(super::configuration(Path::new("")), self.in_folder(&configuration));
            files
        }))
    }

    /// The configuration with the path of the copied rules, and with the pod's name and shard.
    fn in_folder(&self, configuration: &str) -> String {
        let rules = self.folder.join("rules").display().to_string();
        let pod = format!("prometheus-{}-0", self.name);
        configuration.replace(RULES_IN_POD, &rules).replace("$(POD_NAME)", &pod).replace("$(SHARD)", "0")
    }

    fn write(&self, before: &Files, now: &Files) -> Result<()> {
        for (path, text) in now {
            let path = self.folder.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
            }
            std::fs::write(&path, text).map_err(Error::file("write", &path))?;
        }
        for path in before.keys().filter(|path| !now.contains_key(*path)) {
            let path = self.folder.join(path);
            std::fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
        Ok(())
    }
}

fn decompress(packed: &[u8]) -> Result<String> {
    let mut text = String::new();
    GzDecoder::new(packed)
        .read_to_string(&mut text)
        .map_err(|error| Error::Parse { what: format!("Secret key {KEY}"), reason: error.to_string() })?;
    Ok(text)
}

/// The rules of a configuration; none while one of its ConfigMaps is missing. The operator deletes
/// ConfigMaps before it rewrites them. If Prometheus were reloaded in between, it would forget its
/// pending and firing alerts.
fn with_rules(configuration: &str, maps: Vec<ConfigMap>) -> Option<Files> {
    if referenced_maps(configuration).any(|wanted| maps.iter().all(|map| map.name_any() != wanted)) {
        return None;
    }
    let mut files = Files::new();
    for map in maps {
        let folder = Path::new("rules").join(map.name_any());
        files.extend(map.data.unwrap_or_default().into_iter().map(|(name, text)| (folder.join(name), text)));
    }
    Some(files)
}

/// The ConfigMaps that a configuration refers to; each is a folder in the pod.
fn referenced_maps(configuration: &str) -> impl Iterator<Item = &str> {
    configuration.split(RULES_IN_POD).skip(1).filter_map(|rest| rest.strip_prefix('/')?.split('/').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "rule_files:\n- /etc/prometheus/rules/prometheus-k8s-rulefiles-0/*.yaml\n- /etc/prometheus/rules/b/*.yaml\n";

    fn map(name: &str) -> ConfigMap {
        let data = Some([("rules.yaml".to_owned(), name.to_owned())].into());
        let mut map = ConfigMap { data, ..ConfigMap::default() };
        map.metadata.name = Some(name.to_owned());
        map
    }

    #[test]
    fn a_configuration_refers_to_the_config_maps_of_its_rules() {
        assert_eq!(referenced_maps(TEXT).collect::<Vec<_>>(), ["prometheus-k8s-rulefiles-0", "b"]);
        assert_eq!(referenced_maps("rule_files: []\n").count(), 0);
    }

    #[test]
    fn incomplete_rules_are_not_copied() {
        assert_eq!(with_rules(TEXT, vec![]), None);
        assert_eq!(with_rules(TEXT, vec![map("b")]), None);
        let whole = with_rules(TEXT, vec![map("b"), map("prometheus-k8s-rulefiles-0")]);
        assert_eq!(whole.map(|files| files.len()), Some(2));
        assert_eq!(with_rules("rule_files: []\n", vec![]), Some(Files::new()));
    }
}
