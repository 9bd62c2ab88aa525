//! The real programs a control plane is made of: found where a person put them, or built once from pinned Go
//! modules into the user's cache.
//!
//! The pins are the go.mod and go.sum files in devcluster/parts; their hash names the folder in the cache, so
//! that another pin is another build and an unchanged one starts in an instant.

mod build;
pub mod catalog;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Result};
pub use build::cached;
use catalog::Part;

/// A folder of one's own with the programs, by their usual names; it comes before every other place.
pub const BIN_FOLDER: &str = "KCG_DEVCLUSTER_BIN";
/// The folder that other projects' tests use for etcd, kube-apiserver and kubectl.
pub const KUBEBUILDER_ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Receives a line for each step of a build; nothing is said when nothing is built.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Writes progress to standard error itself, past the capture of a test's output: a first build takes
/// minutes, and silence would look like a hang.
pub fn to_stderr(line: &str) {
    use std::io::Write;
    // Progress that nobody can read is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Where each program and data file lies.
#[derive(Debug, Clone)]
pub struct Parts {
    files: BTreeMap<&'static str, PathBuf>,
}

impl Parts {
    /// Finds every part that a control plane needs, and builds what is missing. Several processes may do this
    /// at the same time: one builds, the others wait for it.
    pub async fn ensure(progress: Progress<'_>) -> Result<Self> {
        Self::of(catalog::CONTROL_PLANE, progress).await
    }

    /// Finds the files of these parts, and builds what is missing.
    pub async fn of(parts: impl IntoIterator<Item = &'static Part>, progress: Progress<'_>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for part in parts {
            files.extend(locate(part, progress).await?);
        }
        Ok(Self { files })
    }

    /// promtool, which checks rules; built when it is first asked for.
    pub async fn promtool(progress: Progress<'_>) -> Result<PathBuf> {
        let mut files = locate(&catalog::PROMETHEUS, progress).await?;
        files.remove("promtool").ok_or_else(|| Error::Missing("the catalog has no promtool".into()))
    }

    /// helm, which installs charts; built when it is first asked for.
    pub async fn helm(progress: Progress<'_>) -> Result<PathBuf> {
        let mut files = locate(&catalog::HELM, progress).await?;
        files.remove("helm").ok_or_else(|| Error::Missing("the catalog has no helm".into()))
    }

    /// cert-manager with its CRDs; built when it is first asked for.
    pub(crate) async fn cert_manager(progress: Progress<'_>) -> Result<Self> {
        Ok(Self { files: locate(&catalog::CERT_MANAGER, progress).await? })
    }

    /// Builds everything that a control plane and its tests use, for those who want to have it over with.
    pub async fn ensure_all(progress: Progress<'_>) -> Result<Self> {
        let further = [&catalog::CERT_MANAGER, &catalog::HELM, &catalog::PROMETHEUS];
        Self::of(catalog::CONTROL_PLANE.iter().chain(further), progress).await
    }

    /// Every file by its name.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.files.iter().map(|(name, path)| (*name, path.as_path()))
    }

    /// The path of one program or data file of the catalog.
    pub fn file(&self, name: &str) -> Result<&Path> {
        self.files
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| Error::Missing(format!("no part is named {name}")))
    }

    /// The folder that holds kubectl, for a PATH.
    pub fn kubectl_folder(&self) -> Result<&Path> {
        let kubectl = self.file("kubectl")?;
        kubectl.parent().ok_or_else(|| Error::Missing("kubectl lies in no folder".into()))
    }
}

/// The files of one part: those a person has provided, the rest from the cache, built when they are not there.
async fn locate(part: &'static Part, progress: Progress<'_>) -> Result<BTreeMap<&'static str, PathBuf>> {
    let (mut found, missing): (Vec<_>, Vec<_>) =
        part.files().map(|name| (name, provided(name))).partition(|(_, path)| path.is_some());
    if !missing.is_empty() {
        let folder = build::ensure(part, progress).await?;
        found.extend(missing.into_iter().map(|(name, _)| (name, Some(folder.join(name)))));
    }
    Ok(found.into_iter().filter_map(|(name, path)| Some((name, path?))).collect())
}

/// The file in a folder that a person named, if it is there.
pub fn provided(name: &str) -> Option<PathBuf> {
    [BIN_FOLDER, KUBEBUILDER_ASSETS]
        .iter()
        .filter_map(std::env::var_os)
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|path| path.is_file())
}
