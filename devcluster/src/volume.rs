//! A Secret or ConfigMap as files, written as a kubelet writes them (its AtomicWriter).
//!
//! Each version of the files has its own folder. The files that a program opens are symlinks
//! through another symlink, `..data`, which is moved from the old folder to the new one. A reader
//! sees either the old or the new version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::KeyToPath;
use parking_lot::Mutex;

use crate::{Error, Result};

/// File contents by name.
pub type Files = BTreeMap<String, Vec<u8>>;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// A volume whose files are replaced atomically.
#[derive(Debug)]
pub struct ProjectedVolume {
    folder: PathBuf,
    /// The mode of each file. `None` leaves it to the umask.
    mode: Option<u32>,
    /// The number of versions so far. The lock serialises writers, which share a temporary symlink.
    versions: Mutex<u64>,
}

impl ProjectedVolume {
    /// Creates an empty volume.
    pub fn create(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        Ok(Self { folder, mode: None, versions: Mutex::new(0) })
    }

    /// Sets the mode of the files.
    #[must_use]
    pub fn with_mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// The folder in which programs find the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Replaces all files atomically.
    pub fn project(&self, files: &Files) -> Result<()> {
        let mut versions = self.versions.lock();
        *versions += 1;
        let version = format!("..{versions}");
        let target = self.folder.join(&version);
        std::fs::create_dir(&target).map_err(Error::file("create", &target))?;
        for (name, content) in files {
            let path = target.join(name);
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
        symlink(&version, &next).map_err(Error::file("link", &next))?;
        std::fs::rename(&next, &data).map_err(Error::file("move", &next))?;
        self.link(files)?;
        if let Some(before) = before {
            let before = self.folder.join(before);
            std::fs::remove_dir_all(&before).map_err(Error::file("remove", &before))?;
        }
        Ok(())
    }

    /// Creates a symlink for each file or top-level folder, and removes all others.
    fn link(&self, files: &Files) -> Result<()> {
        let names: BTreeSet<&str> = files.keys().filter_map(|name| name.split('/').next()).collect();
        for name in &names {
            let link = self.folder.join(name);
            if link.symlink_metadata().is_err() {
                symlink(Path::new(DATA).join(name), &link).map_err(Error::file("link", &link))?;
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

/// Selects keys of a Secret or ConfigMap by `items` and renames them to the items' paths. Without
/// items, every key becomes a file. If the volume is optional, missing keys are skipped; otherwise
/// the error names the first one.
pub fn select_keys(data: Files, items: Option<&[KeyToPath]>, optional: bool) -> Result<Files, String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else { return Ok(data) };
    let mut files = Files::new();
    for KeyToPath { key, path, .. } in items {
        match data.get(key) {
            Some(content) => drop(files.insert(path.clone(), content.clone())),
            None if optional => {}
            None => return Err(format!("references non-existent key: {key}")),
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[(&str, &str)]) -> Files {
        names.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_projection_replaces_every_file_and_removes_the_old_version() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::file("create", Path::new("a folder")))?;
        let volume = ProjectedVolume::create(folder.path().join("certs"))?;
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
