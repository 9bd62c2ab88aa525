//! What deploy/ ships, read back from kubectl's own rendering, and the few changes on top of it.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::volume::SecretMount;
use crate::kubectl::Kubectl;
use crate::{Error, Result};

/// Who sees to the webhook's certificate and to the registrations' caBundle, as an overlay has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// cert-manager: the overlay ships a Certificate.
    CertManager,
    /// The controller: the overlay ships the Secret that it fills.
    SelfManaged,
    /// A person; here devcluster plays that person.
    Provided,
}

/// One of the shipped Deployments, as far as a local process can follow it.
#[derive(Debug)]
pub(super) struct Program {
    pub account: String,
    /// The subcommand and its flags, with the variables that they name filled in.
    pub args: Vec<String>,
}

/// What the shipped objects say.
#[derive(Debug)]
pub(super) struct Shipped {
    pub namespace: String,
    pub controller: Program,
    pub webhook: Program,
    pub webhook_service: String,
    pub certificates: Certificates,
    /// The webhook's certificate volume.
    pub mount: SecretMount,
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
        let namespace = text(controller, "/metadata/namespace")?;
        let mount = secret_mount(webhook)?;
        let ships = |kind: &str, name: Option<&str>| {
            let is = |object: &Value| {
                object["kind"] == kind && name.is_none_or(|name| object["metadata"]["name"] == name)
            };
            objects.iter().any(is)
        };
        let certificates = if ships("Certificate", None) {
            Certificates::CertManager
        } else if ships("Secret", Some(&mount.secret)) {
            Certificates::SelfManaged
        } else {
            Certificates::Provided
        };
        Some(Self {
            controller: program(controller, &namespace)?,
            webhook: program(webhook, &namespace)?,
            namespace,
            webhook_service: service.as_str()?.to_owned(),
            certificates,
            mount,
            overlay,
            registrations: registrations.into_iter().filter_map(registration).collect(),
        })
    }

    /// Kind, name and number of webhooks of each registration.
    pub fn registrations(&self) -> &[(String, String, usize)] {
        &self.registrations
    }

    /// Writes the kustomization that turns the shipped objects into those of this computer. With an authority, the
    /// registrations trust that one; without, somebody in the cluster sees to it.
    pub fn write_kustomization(&self, folder: &Path, port: u16, authority: Option<&str>) -> Result<()> {
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

fn redirect(index: usize, port: u16, authority: Option<&str>) -> Vec<Value> {
    use base64::Engine as _;
    let config = format!("/webhooks/{index}/clientConfig");
    let mut changes = vec![json!({"op": "add", "path": format!("{config}/service/port"), "value": port})];
    if let Some(authority) = authority {
        let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
        changes.push(json!({"op": "add", "path": format!("{config}/caBundle"), "value": bundle}));
    }
    changes
}

fn patch(kind: &str, name: &str, changes: &Value) -> Value {
    json!({"target": {"kind": kind, "name": name}, "patch": changes.to_string()})
}

fn deployment<'a>(objects: &'a [Value], suffix: &str) -> Option<&'a Value> {
    let named = |object: &&Value| text(object, "/metadata/name").is_some_and(|name| name.ends_with(suffix));
    objects.iter().filter(|object| object["kind"] == "Deployment").find(named)
}

fn program(deployment: &Value, namespace: &str) -> Option<Program> {
    let args = deployment.pointer("/spec/template/spec/containers/0/args")?.as_array()?;
    let args = args.iter().filter_map(Value::as_str).map(|arg| arg.replace("$(POD_NAMESPACE)", namespace));
    Some(Program {
        account: text(deployment, "/spec/template/spec/serviceAccountName")?,
        args: args.collect(),
    })
}

/// The one volume of a Deployment that is a Secret.
fn secret_mount(deployment: &Value) -> Option<SecretMount> {
    let volumes = deployment.pointer("/spec/template/spec/volumes")?.as_array()?;
    let secret = volumes.iter().find_map(|volume| volume.get("secret"))?;
    let item = |item: &Value| Some((text(item, "/key")?, text(item, "/path")?));
    let items = secret["items"].as_array().map(|items| items.iter().filter_map(item).collect());
    Some(SecretMount { secret: text(secret, "/secretName")?, items: items.unwrap_or_default() })
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

/// The shipped flags without those that this computer sets otherwise, then these, of each the last.
pub(super) fn with_flags(shipped: &[String], own: &[String]) -> Vec<String> {
    fn name(flag: &str) -> &str {
        flag.split('=').next().unwrap_or_default()
    }
    let set_here = |flag: &str, own: &[String]| own.iter().any(|other| name(other) == name(flag));
    let shipped = shipped.iter().filter(|flag| !set_here(flag, own));
    let own = own.iter().enumerate().filter(|(index, flag)| !set_here(flag, &own[index + 1..]));
    shipped.chain(own.map(|(_, flag)| flag)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_flag_takes_the_place_of_an_earlier_one() {
        let flags = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            with_flags(
                &flags("webhook --listen=a --namespaces=a --namespaces=b"),
                &flags("--listen=c --log=d --log=e")
            ),
            flags("webhook --namespaces=a --namespaces=b --listen=c --log=e")
        );
    }

    #[test]
    fn way_between_folders_goes_up_and_down_again() {
        assert_eq!(relative(Path::new("/a/b/c"), Path::new("/a/d")), Path::new("../../d"));
        assert_eq!(relative(Path::new("/a"), Path::new("/b/c")), Path::new("../b/c"));
    }
}
