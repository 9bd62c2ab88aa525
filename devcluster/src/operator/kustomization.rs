//! The kustomization on top of an overlay: what has to differ on a devcluster, and nothing else.

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::overlay::Overlay;
use crate::pki::{Ca, CertifiedKey};
use crate::port::Port;
use crate::{Error, Result};

/// Who runs the pods of the operator's Deployments.
#[derive(Clone, Copy, Debug)]
pub enum PodRunner<'a> {
    /// A node that runs pods: the overlay is applied unchanged.
    Node,
    /// The replicas that [`super::Operator`] starts. The Deployments are scaled to zero, and the
    /// API server connects to the webhook at this port of localhost.
    LocalProcesses {
        /// The port of the webhook.
        webhook_port: &'a Port,
    },
}

/// The certificate that takes the place of the one that a user provides.
pub(super) struct ProvidedCertificate {
    pub ca: Ca,
    pub key: CertifiedKey,
}

/// Writes the kustomization into `folder`, for `kubectl apply -k` and `kubectl delete -k`.
pub(super) fn write(
    folder: &Path,
    overlay: &Overlay,
    runner: PodRunner<'_>,
    provided: Option<&ProvidedCertificate>,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    let folder = folder.canonicalize().map_err(Error::file("find", folder))?;
    let mut resources = vec![relative(&folder, &overlay.folder).display().to_string()];
    let mut patches = Vec::new();
    if let PodRunner::LocalProcesses { webhook_port } = runner {
        patches.extend(local_process_patches(overlay, webhook_port.number()));
    }
    if let Some(provided) = provided {
        write_json(&folder.join("certificate.yaml"), &secret(overlay, &provided.key))?;
        resources.push("certificate.yaml".to_owned());
        patches.extend(ca_bundle_patches(overlay, provided.ca.certificate()));
    }
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
        "patches": patches,
    });
    write_json(&folder.join("kustomization.yaml"), &kustomization)
}

/// The Deployments get no pods, and the webhook's Service is an alias of localhost: the API server
/// connects to an ExternalName Service without a proxy, at the port that the webhook configurations
/// name.
fn local_process_patches(overlay: &Overlay, port: u16) -> Vec<Value> {
    let alias = json!({"type": "ExternalName", "externalName": "localhost"});
    let service = json!([{"op": "replace", "path": "/spec", "value": alias}]);
    let replicas = json!([{"op": "add", "path": "/spec/replicas", "value": 0}]);
    let mut patches = webhook_patches(overlay, "service/port", &json!(port));
    patches.push(patch("Service", &overlay.webhook_service, &service));
    patches.push(patch("Deployment", ".*", &replicas));
    patches
}

fn ca_bundle_patches(overlay: &Overlay, ca: &str) -> Vec<Value> {
    webhook_patches(overlay, "caBundle", &json!(BASE64.encode(ca)))
}

/// Sets one field of the clientConfig of every webhook.
fn webhook_patches(overlay: &Overlay, field: &str, value: &Value) -> Vec<Value> {
    let set = |index| {
        let path = format!("/webhooks/{index}/clientConfig/{field}");
        json!({"op": "add", "path": path, "value": value})
    };
    let configurations = overlay.webhook_configurations.iter();
    configurations
        .map(|configuration| {
            let changes = (0..configuration.webhooks).map(set).collect();
            patch(&configuration.kind, &configuration.name, &changes)
        })
        .collect()
}

fn patch(kind: &str, name: &str, changes: &Value) -> Value {
    json!({"target": {"kind": kind, "name": name}, "patch": changes.to_string()})
}

fn secret(overlay: &Overlay, key: &CertifiedKey) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": overlay.secret_name(), "namespace": overlay.namespace},
        "stringData": {"tls.crt": key.certificate, "tls.key": key.key},
    })
}

/// JSON is valid YAML.
fn write_json(path: &Path, value: &Value) -> Result<()> {
    std::fs::write(path, format!("{value:#}\n")).map_err(Error::file("write", path))
}

/// The relative path between two absolute folders: kustomize accepts no absolute path to a
/// resource.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component>, Vec<Component>) =
        (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    up.chain(to[common..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_leads_up_and_down_again() {
        assert_eq!(relative(Path::new("/a/b/c"), Path::new("/a/d")), Path::new("../../d"));
        assert_eq!(relative(Path::new("/a"), Path::new("/b/c")), Path::new("../b/c"));
    }
}
