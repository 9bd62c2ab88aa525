//! Builds one part into the cache: one process at a time, each file in place whole or not at all.

mod go;
mod maven;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Progress;
use super::catalog::{Part, Tool};
use crate::{Error, Result, cache};

/// The part's folder in the cache, with every file of it in place.
pub(super) async fn ensure(part: &Part, progress: Progress<'_>) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("parts").join(part.name);
    let folder = cache::folder()?.join("parts").join(format!("{}-{}", part.name, key(part.tool, &source)?));
    if complete(part, &folder) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let _lock = lock(&folder, part, progress).await?;
    if !complete(part, &folder) {
        let started = Instant::now();
        match part.tool {
            Tool::Go => go::build(part, &source, &folder, progress).await?,
            Tool::Maven => maven::build(part, &source, &folder, progress).await?,
        }
        progress(&format!("{}: done in {} s", part.name, started.elapsed().as_secs()));
    }
    Ok(folder)
}

/// Names what a part was built from: the first 16 hex digits of SHA-256 over its pins and, where a part has a program
/// of its own, main.go.
fn key(tool: Tool, source: &Path) -> Result<String> {
    let names: &[&str] = match tool {
        Tool::Go => &["go.mod", "go.sum", "main.go"],
        Tool::Maven => &["pom.xml"],
    };
    let mut pins = Vec::new();
    for name in names {
        let path = source.join(name);
        if *name == "main.go" && !path.exists() {
            continue;
        }
        pins.extend(std::fs::read(&path).map_err(Error::file("read", &path))?);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &pins);
    let start = digest.as_ref().first_chunk().copied().unwrap_or_default();
    Ok(format!("{:016x}", u64::from_be_bytes(start)))
}

fn complete(part: &Part, folder: &Path) -> bool {
    part.files().all(|name| folder.join(name).is_file())
}

/// Waits for its turn; the lock ends with the file, and so with this process.
async fn lock(folder: &Path, part: &Part, progress: Progress<'_>) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            progress(&format!("{}: another process builds it, waiting", part.name));
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
    }
    let waiting = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    waiting.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(Error::file("lock", &path))
}
