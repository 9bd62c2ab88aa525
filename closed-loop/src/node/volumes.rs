//! A pod's volumes and their files, from the objects that the node watches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccountTokenProjection,
    Volume as Definition,
};
use kcg_devcluster::{Files, ProjectedVolume, select_keys};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use super::env::{Keys, Sources, field_of};
use super::sandbox::Mount;
use super::token::Tokens;
use crate::{Error, Result};

/// Kubernetes' default.
const DEFAULT_MODE: u32 = 0o644;

/// All Secrets and ConfigMaps, from the node's watches. A kubelet reads only those of its pods.
#[derive(Clone)]
pub(super) struct Objects {
    pub secrets: Store<Secret>,
    pub config_maps: Store<ConfigMap>,
}

impl Objects {
    fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        self.secrets.get(&ObjectRef::new(name).within(namespace))
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>> {
        self.config_maps.get(&ObjectRef::new(name).within(namespace))
    }

    /// The objects that a container's environment refers to.
    pub(super) fn sources(&self, namespace: &str, container: &Container) -> Sources {
        let mut sources = Sources::default();
        let references = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
        let (mut maps, mut secrets) = (Vec::new(), Vec::new());
        for from in references {
            maps.extend(from.config_map_key_ref.iter().map(|key| key.name.clone()));
            secrets.extend(from.secret_key_ref.iter().map(|key| key.name.clone()));
        }
        for from in container.env_from.iter().flatten() {
            maps.extend(from.config_map_ref.iter().map(|map| map.name.clone()));
            secrets.extend(from.secret_ref.iter().map(|secret| secret.name.clone()));
        }
        for name in maps {
            let keys = self.config_map(namespace, &name).map(|map| map.data.clone().unwrap_or_default());
            sources.config_maps.insert(name, keys);
        }
        for name in secrets {
            let keys = self.secret(namespace, &name).map(|secret| text_keys(&secret));
            sources.secrets.insert(name, keys);
        }
        sources
    }
}

fn text_keys(secret: &Secret) -> Keys {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// A volume that can be mounted into the container.
pub(super) enum Mounted {
    /// Files that are updated when their sources change; `shown` are the current ones.
    Projected { name: String, volume: ProjectedVolume, shown: Option<Files> },
    /// A folder or file as it is.
    Plain { name: String, path: PathBuf },
}

impl Mounted {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Projected { name, .. } | Self::Plain { name, .. } => name,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Projected { volume, .. } => volume.folder().to_owned(),
            Self::Plain { path, .. } => path.clone(),
        }
    }
}

/// The volumes that a container mounts, outer paths first, so that none hides another.
pub(super) fn mounts(container: &Container, mounted: &[Mounted]) -> Vec<Mount> {
    let mounts = container.volume_mounts.iter().flatten();
    let mut mounts: Vec<Mount> = mounts
        .filter_map(|mount| {
            let volume = mounted.iter().find(|volume| volume.name() == mount.name)?;
            let source = match &mount.sub_path {
                Some(inside) => volume.path().join(inside),
                None => volume.path(),
            };
            let read_only = mount.read_only == Some(true) || matches!(volume, Mounted::Projected { .. });
            let place = Path::new("/").join(&mount.mount_path).display().to_string();
            Some(Mount { source, place, read_only })
        })
        .collect();
    mounts.sort_by_key(|mount| Path::new(&mount.place).components().count());
    mounts
}

/// The mode of a projected volume's files. Modes of single items are ignored.
fn mode(definition: &Definition) -> u32 {
    let set = if let Some(secret) = &definition.secret {
        secret.default_mode
    } else if let Some(map) = &definition.config_map {
        map.default_mode
    } else if let Some(projected) = &definition.projected {
        projected.default_mode
    } else {
        definition.downward_api.as_ref().and_then(|downward| downward.default_mode)
    };
    set.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(DEFAULT_MODE)
}

/// Creates a pod's volumes below `folder`. Projected volumes are empty until [`refresh`].
pub(super) fn create(pod: &Pod, folder: &Path) -> Result<Vec<Mounted>> {
    let definitions = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    definitions
        .map(|definition| {
            let name = definition.name.clone();
            let place = folder.join(&name);
            if let Some(host) = &definition.host_path {
                return Ok(Mounted::Plain { name, path: host.path.clone().into() });
            }
            if definition.empty_dir.is_some() {
                std::fs::create_dir_all(&place).map_err(Error::file("create", &place))?;
                return Ok(Mounted::Plain { name, path: place });
            }
            let volume = ProjectedVolume::create(place)?.with_mode(mode(definition));
            Ok(Mounted::Projected { name, volume, shown: None })
        })
        .collect()
}

/// Updates the projected volumes. The error names what is missing, as a kubelet's event does.
pub(super) async fn refresh(
    pod: &Pod,
    pod_ip: &str,
    mounted: &mut [Mounted],
    objects: &Objects,
    tokens: &mut Tokens,
) -> Result<(), String> {
    for volume in mounted {
        let Mounted::Projected { name, volume, shown } = volume else { continue };
        let mut definitions = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let Some(definition) = definitions.find(|definition| definition.name == *name) else { continue };
        let files = files(pod, pod_ip, definition, objects, tokens).await?;
        if shown.as_ref() != Some(&files) {
            volume.project(&files).map_err(|error| error.to_string())?;
            *shown = Some(files);
        }
    }
    Ok(())
}

/// One source of a projected volume's files.
enum Source<'a> {
    Secret { name: &'a str, items: Option<&'a [KeyToPath]>, optional: Option<bool> },
    ConfigMap { name: &'a str, items: Option<&'a [KeyToPath]>, optional: Option<bool> },
    DownwardApi(Option<&'a [DownwardAPIVolumeFile]>),
    Token(&'a ServiceAccountTokenProjection),
}

/// The sources of a volume; `None` if this node does not support its kind.
fn sources(definition: &Definition) -> Option<Vec<Source<'_>>> {
    if let Some(secret) = &definition.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        return Some(vec![Source::Secret {
            name,
            items: secret.items.as_deref(),
            optional: secret.optional,
        }]);
    }
    if let Some(map) = &definition.config_map {
        let (name, items) = (map.name.as_str(), map.items.as_deref());
        return Some(vec![Source::ConfigMap { name, items, optional: map.optional }]);
    }
    if let Some(downward) = &definition.downward_api {
        return Some(vec![Source::DownwardApi(downward.items.as_deref())]);
    }
    let projected = definition.projected.as_ref()?.sources.iter().flatten();
    let sources = projected.flat_map(|projection| {
        let secret = projection.secret.as_ref().map(|secret| Source::Secret {
            name: &secret.name,
            items: secret.items.as_deref(),
            optional: secret.optional,
        });
        let map = projection.config_map.as_ref().map(|map| Source::ConfigMap {
            name: &map.name,
            items: map.items.as_deref(),
            optional: map.optional,
        });
        let token = projection.service_account_token.as_ref().map(Source::Token);
        let downward = projection.downward_api.as_ref();
        let downward = downward.map(|downward| Source::DownwardApi(downward.items.as_deref()));
        [secret, map, token, downward].into_iter().flatten()
    });
    Some(sources.collect())
}

async fn files(
    pod: &Pod,
    pod_ip: &str,
    definition: &Definition,
    objects: &Objects,
    tokens: &mut Tokens,
) -> Result<Files, String> {
    let namespace = pod.namespace().unwrap_or_default();
    let mut files = Files::new();
    let unsupported =
        || format!("volume {}: this node does not support volumes of that kind", definition.name);
    for source in sources(definition).ok_or_else(unsupported)? {
        files.extend(match source {
            Source::Secret { name, items, optional } => {
                let data = objects.secret(&namespace, name).map(|secret| secret_data(&secret));
                selected(data, items, optional, &format!("secret {name:?}"))?
            }
            Source::ConfigMap { name, items, optional } => {
                let data = objects.config_map(&namespace, name).map(|map| config_map_data(&map));
                selected(data, items, optional, &format!("configmap {name:?}"))?
            }
            Source::DownwardApi(items) => downward_files(pod, pod_ip, items)?,
            Source::Token(wanted) => {
                Files::from([(wanted.path.clone(), tokens.token(pod, wanted).await?.into_bytes())])
            }
        });
    }
    Ok(files)
}

fn secret_data(secret: &Secret) -> Files {
    secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn config_map_data(map: &ConfigMap) -> Files {
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    text.chain(binary).collect()
}

/// The selected keys, or an error that names the missing object or key.
fn selected(
    data: Option<Files>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    what: &str,
) -> Result<Files, String> {
    let optional = optional == Some(true);
    let Some(data) = data else {
        return if optional { Ok(Files::new()) } else { Err(format!("{what} not found")) };
    };
    select_keys(data, items, optional).map_err(|error| format!("{what} {error}"))
}

fn downward_files(pod: &Pod, pod_ip: &str, items: Option<&[DownwardAPIVolumeFile]>) -> Result<Files, String> {
    let file = |item: &DownwardAPIVolumeFile| {
        let field =
            item.field_ref.as_ref().ok_or("this node supports only fieldRef in a downwardAPI volume")?;
        Ok((item.path.clone(), field_of(pod, pod_ip, &field.field_path)?.into_bytes()))
    };
    items.unwrap_or_default().iter().map(file).collect()
}
