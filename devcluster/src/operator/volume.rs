//! A Secret as files, brought as a kubelet brings it.
//!
//! Each state of the Secret lies in a folder of its own, the files that a program opens are symlinks through one other
//! symlink, `..data`, and that one is moved from the old folder to the new: a reader sees all of one state or all of the
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::background::Background;
use crate::control_plane::client_for;
use crate::mutex::lock;
use crate::{Error, Result};

/// File contents by name.
pub type Files = BTreeMap<String, Vec<u8>>;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";
/// How often the Secret is looked at; on top comes the delay that a test sets.
const EVERY: Duration = Duration::from_millis(200);

/// A mounted volume.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
    /// Of each file; nothing is what this process's umask leaves.
    mode: Option<u32>,
    /// The states so far; a lock, since two who project at once would take each other's symlink.
    states: Mutex<u64>,
}

impl Volume {
    /// An empty one.
    pub fn create(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        Ok(Self { folder, mode: None, states: Mutex::new(0) })
    }

    /// Its files have this mode.
    #[must_use]
    pub fn with_mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// Where a program finds the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Swaps its content for these files, all at once.
    pub fn project(&self, files: &Files) -> Result<()> {
        let mut states = lock(&self.states);
        *states += 1;
        let state = format!("..{states}");
        let place = self.folder.join(&state);
        std::fs::create_dir(&place).map_err(Error::file("create", &place))?;
        for (name, content) in files {
            let path = place.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
            }
            std::fs::write(&path, content).map_err(Error::file("write", &path))?;
            if let Some(mode) = self.mode {
                let set = std::fs::set_permissions(&path, Permissions::from_mode(mode));
                set.map_err(Error::file("set the mode of", &path))?;
            }
        }
        let (data, next) = (self.folder.join(DATA), self.folder.join(DATA_NEXT));
        let before = std::fs::read_link(&data).ok();
        symlink(&state, &next).map_err(Error::file("link", &next))?;
        std::fs::rename(&next, &data).map_err(Error::file("move", &next))?;
        self.show(files)?;
        if let Some(before) = before {
            let before = self.folder.join(before);
            std::fs::remove_dir_all(&before).map_err(Error::file("remove", &before))?;
        }
        Ok(())
    }

    /// The symlinks by which the files are opened: one for each file or folder of files, and no other.
    fn show(&self, files: &Files) -> Result<()> {
        let names: BTreeSet<&str> = files.keys().filter_map(|name| name.split('/').next()).collect();
        for name in &names {
            let shown = self.folder.join(name);
            if shown.symlink_metadata().is_err() {
                symlink(Path::new(DATA).join(name), &shown).map_err(Error::file("link", &shown))?;
            }
        }
        for entry in std::fs::read_dir(&self.folder).map_err(Error::file("read", &self.folder))? {
            let entry = entry.map_err(Error::file("read", &self.folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("..") && !names.contains(&*name) {
                std::fs::remove_file(entry.path()).map_err(Error::file("remove", &entry.path()))?;
            }
        }
        Ok(())
    }
}

/// Which Secret a pod mounts, and which of its keys under which names; every key where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretMount {
    pub secret: String,
    pub items: Vec<(String, String)>,
}

impl SecretMount {
    fn files(&self, secret: Option<Secret>) -> Files {
        let mut data = secret.and_then(|secret| secret.data).unwrap_or_default();
        if self.items.is_empty() {
            return data.into_iter().map(|(key, value)| (key, value.0)).collect();
        }
        let item = |(key, path): &(String, String)| Some((path.clone(), data.remove(key)?.0));
        self.items.iter().filter_map(item).collect()
    }
}

/// Brings a Secret into a volume, again whenever it has changed, as late as a test wants it.
#[derive(Debug)]
pub(super) struct Projector {
    delay: Arc<AtomicU64>,
}

impl Projector {
    pub fn start(
        background: &Background,
        kubeconfig: PathBuf,
        namespace: String,
        mount: SecretMount,
        volume: Arc<Volume>,
    ) -> Self {
        let delay = Arc::new(AtomicU64::new(0));
        let projector = Self { delay: Arc::clone(&delay) };
        background.spawn(async move {
            // The cluster's end is this task's, too: what fails then has nobody left to hear of it.
            let Ok(client) = client_for(&kubeconfig).await else { return };
            let secrets: Api<Secret> = Api::namespaced(client, &namespace);
            let mut shown = Files::new();
            loop {
                if let Ok(secret) = secrets.get_opt(&mount.secret).await {
                    let files = mount.files(secret);
                    if files != shown {
                        tokio::time::sleep(Duration::from_millis(delay.load(Ordering::Relaxed))).await;
                        if let Err(error) = volume.project(&files) {
                            eprintln!("devcluster: {error}");
                        }
                        shown = files;
                    }
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        projector
    }

    pub fn delay(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[(&str, &str)]) -> Files {
        names.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_swap_replaces_every_file_and_leaves_no_old_state() -> Result<()> {
        let place = tempfile::tempdir().map_err(Error::file("create", Path::new("a folder")))?;
        let volume = Volume::create(place.path().join("certs"))?;
        volume.project(&files(&[("a", "1"), ("b", "1")]))?;
        volume.project(&files(&[("a", "2"), ("c", "2")]))?;
        let read = |name: &str| std::fs::read_to_string(volume.folder().join(name)).ok();
        assert_eq!((read("a").as_deref(), read("b"), read("c").as_deref()), (Some("2"), None, Some("2")));
        let mut names: Vec<String> = std::fs::read_dir(volume.folder())
            .map_err(Error::file("read", volume.folder()))?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        assert_eq!(names, ["..2", "..data", "a", "c"]);
        Ok(())
    }
}
