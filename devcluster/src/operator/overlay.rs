//! What deploy/ ships, read back from kubectl's own rendering, and the few changes on top of it.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::{Error, Result};

/// The names that the shipped objects carry.
#[derive(Debug)]
pub(super) struct Shipped {
    pub namespace: String,
    pub controller_account: String,
    pub webhook_account: String,
    pub webhook_service: String,
    overlay: PathBuf,
    /// Kind, name and number of webhooks of each registration.
    registrations: Vec<(String, String, usize)>,
}

impl Shipped {
    /// Renders the overlay and looks up the names.
    pub async fn read(kubectl: &Kubectl, overlay: &Path) -> Result<Self> {
        let overlay = overlay.canonicalize().map_err(Error::file("find", overlay))?;
        let path = overlay.display().to_string();
        let text = kubectl.run(&["kustomize", &path]).await?.ok()?;
        let unreadable =
            |reason: String| Error::Parse { what: format!("what kustomize makes of {path}"), reason };
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| unreadable(error.to_string()))?;
        let shipped = Self::find(&objects, overlay.clone());
        shipped.ok_or_else(|| {
            unreadable(
                "it has no Deployments named *-controller and *-webhook, or no webhook registration".into(),
            )
        })
    }

    fn find(objects: &[Value], overlay: PathBuf) -> Option<Self> {
        let controller = deployment(objects, "-controller")?;
        let webhook = deployment(objects, "-webhook")?;
        let registrations: Vec<&Value> = objects.iter().filter(|object| is_registration(object)).collect();
        let service = registrations.first()?.pointer("/webhooks/0/clientConfig/service/name")?;
        Some(Self {
            namespace: text(controller, "/metadata/namespace")?,
            controller_account: text(controller, "/spec/template/spec/serviceAccountName")?,
            webhook_account: text(webhook, "/spec/template/spec/serviceAccountName")?,
            webhook_service: service.as_str()?.to_owned(),
            overlay,
            registrations: registrations.into_iter().filter_map(registration).collect(),
        })
    }

    /// Writes the kustomization that turns the shipped objects into those of this computer.
    pub fn write_kustomization(&self, folder: &Path, port: u16, authority: &str) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let folder = folder.canonicalize().map_err(Error::file("find", folder))?;
        let mut patches = vec![
            patch(
                "Service",
                &self.webhook_service,
                &json!([{"op": "replace", "path": "/spec", "value": alias()}]),
            ),
            patch("Deployment", ".*", &json!([{"op": "add", "path": "/spec/replicas", "value": 0}])),
        ];
        for (kind, name, count) in &self.registrations {
            let changes: Vec<Value> =
                (0..*count).flat_map(|index| redirect(index, port, authority)).collect();
            patches.push(patch(kind, name, &changes.into()));
        }
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [relative(&folder, &self.overlay)],
            "patches": patches,
        });
        let path = folder.join("kustomization.yaml");
        // JSON is YAML.
        std::fs::write(&path, format!("{kustomization:#}\n")).map_err(Error::file("write", &path))
    }
}

/// The API server dials localhost at the registration's port, without a proxy.
fn alias() -> Value {
    json!({"type": "ExternalName", "externalName": "localhost"})
}

fn redirect(index: usize, port: u16, authority: &str) -> [Value; 2] {
    use base64::Engine as _;
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
    let config = format!("/webhooks/{index}/clientConfig");
    [
        json!({"op": "add", "path": format!("{config}/service/port"), "value": port}),
        json!({"op": "add", "path": format!("{config}/caBundle"), "value": bundle}),
    ]
}

fn patch(kind: &str, name: &str, changes: &Value) -> Value {
    json!({"target": {"kind": kind, "name": name}, "patch": changes.to_string()})
}

fn deployment<'a>(objects: &'a [Value], suffix: &str) -> Option<&'a Value> {
    let named = |object: &&Value| text(object, "/metadata/name").is_some_and(|name| name.ends_with(suffix));
    objects.iter().filter(|object| object["kind"] == "Deployment").find(named)
}

fn is_registration(object: &Value) -> bool {
    object["kind"] == "ValidatingWebhookConfiguration" || object["kind"] == "MutatingWebhookConfiguration"
}

fn registration(object: &Value) -> Option<(String, String, usize)> {
    let count = object["webhooks"].as_array()?.len();
    Some((text(object, "/kind")?, text(object, "/metadata/name")?, count))
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer)?.as_str().map(str::to_owned)
}

/// The way from one absolute folder to another: kustomize takes no absolute path for a resource.
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
    fn way_between_folders_goes_up_and_down_again() {
        assert_eq!(relative(Path::new("/a/b/c"), Path::new("/a/d")), Path::new("../../d"));
        assert_eq!(relative(Path::new("/a"), Path::new("/b/c")), Path::new("../b/c"));
    }
}
