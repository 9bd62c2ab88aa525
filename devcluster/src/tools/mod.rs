//! The real programs that a control plane consists of: found in a folder of the user, or built once
//! from pinned Go modules into the user's cache.
//!
//! The pins are the go.mod and go.sum files in devcluster/tools. Their hash is part of the folder's
//! name in the cache: a changed pin leads to a new build.

mod build;
pub mod catalog;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use build::cached;

use crate::{Error, Result};
use catalog::Tool;

/// The environment variable that names a folder with programs. It takes precedence over every other
/// place.
pub const BIN_FOLDER: &str = "KCG_DEVCLUSTER_BIN";
/// The environment variable that envtest uses for the folder of etcd, kube-apiserver and kubectl.
pub const KUBEBUILDER_ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Receives a line for each step of a build. It is not called if nothing has to be built.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Writes progress directly to standard error. The test harness does not capture it, so that the
/// first build, which takes minutes, does not look like a hang.
pub fn to_stderr(line: &str) {
    use std::io::Write;
    // A failure to report progress must not stop the build.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The paths of programs and data files.
#[derive(Debug, Clone)]
pub struct Tools {
    files: BTreeMap<&'static str, PathBuf>,
}

impl Tools {
    /// Finds the tools of a control plane and builds the missing ones. If several processes do this
    /// at the same time, one builds and the others wait.
    pub async fn ensure(progress: Progress<'_>) -> Result<Self> {
        Self::of(catalog::CONTROL_PLANE, progress).await
    }

    /// Finds the files of these tools and builds the missing ones.
    pub async fn of(tools: impl IntoIterator<Item = &'static Tool>, progress: Progress<'_>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for tool in tools {
            files.extend(locate(tool, progress).await?);
        }
        Ok(Self { files })
    }

    /// The path of promtool, which checks rules. Builds it if it is missing.
    pub async fn promtool(progress: Progress<'_>) -> Result<PathBuf> {
        Ok(Self::of([&catalog::PROMETHEUS], progress).await?.file("promtool")?.to_owned())
    }

    /// The path of helm, which installs charts. Builds it if it is missing.
    pub async fn helm(progress: Progress<'_>) -> Result<PathBuf> {
        Ok(Self::of([&catalog::HELM], progress).await?.file("helm")?.to_owned())
    }

    /// The path of kstatus, which judges an object's status. Builds it if it is missing.
    pub async fn kstatus(progress: Progress<'_>) -> Result<PathBuf> {
        Ok(Self::of([&catalog::KSTATUS], progress).await?.file("kstatus")?.to_owned())
    }

    /// cert-manager and its CRDs. Builds it if it is missing.
    pub(crate) async fn cert_manager(progress: Progress<'_>) -> Result<Self> {
        Self::of([&catalog::CERT_MANAGER], progress).await
    }

    /// Builds everything that a control plane and its tests use.
    pub async fn ensure_all(progress: Progress<'_>) -> Result<Self> {
        let further = [&catalog::CERT_MANAGER, &catalog::HELM, &catalog::KSTATUS, &catalog::PROMETHEUS];
        Self::of(catalog::CONTROL_PLANE.iter().chain(further), progress).await
    }

    /// The name and path of each file.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.files.iter().map(|(name, path)| (*name, path.as_path()))
    }

    /// The path of a program or data file, by its name in the catalog.
    pub fn file(&self, name: &str) -> Result<&Path> {
        self.files
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| Error::Missing(format!("the catalog of tools has no file {name}")))
    }

    /// The folder that contains kubectl, for a PATH.
    pub fn kubectl_folder(&self) -> Result<&Path> {
        let kubectl = self.file("kubectl")?;
        kubectl.parent().ok_or_else(|| Error::Missing(format!("{} has no parent folder", kubectl.display())))
    }
}

/// The files of one tool: those that the user provides, and the others from the cache, built if
/// they are missing.
async fn locate(tool: &'static Tool, progress: Progress<'_>) -> Result<BTreeMap<&'static str, PathBuf>> {
    let (mut found, missing): (Vec<_>, Vec<_>) =
        tool.files().map(|name| (name, provided(name))).partition(|(_, path)| path.is_some());
    if !missing.is_empty() {
        let folder = build::ensure(tool, progress).await?;
        found.extend(missing.into_iter().map(|(name, _)| (name, Some(folder.join(name)))));
    }
    Ok(found.into_iter().filter_map(|(name, path)| Some((name, path?))).collect())
}

/// The file in a folder that the user provides, if it exists.
pub fn provided(name: &str) -> Option<PathBuf> {
    [BIN_FOLDER, KUBEBUILDER_ASSETS]
        .iter()
        .filter_map(std::env::var_os)
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|path| path.is_file())
}

/// `$XDG_CACHE_HOME/kconsumer-group-operator`, or the same below `~/.cache`.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => std::env::home_dir()
            .ok_or_else(|| {
                Error::Missing(
                    "no home folder found: set XDG_CACHE_HOME to a folder for built programs".into(),
                )
            })?
            .join(".cache"),
    };
    Ok(base.join("kconsumer-group-operator"))
}
