//! Builds a tool into the cache. One process builds at a time, and each file appears complete or
//! not at all.

mod go;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::catalog::Tool;
use super::{Progress, cache_folder};
use crate::{Error, Result};

/// The folder of the tool in the cache, with all its files.
pub(super) async fn ensure(tool: &Tool, progress: Progress<'_>) -> Result<PathBuf> {
    let source = Path::new(tool.pins);
    let mut pins: Vec<_> = ["go.mod", "go.sum"].map(|name| source.join(name)).into();
    // Only some tools have their own program.
    pins.extend(Some(source.join("main.go")).filter(|program| program.exists()));
    let files: Vec<_> = tool.files().collect();
    cached(tool.name, &pins, &files, progress, async |folder| go::build(tool, source, folder, progress).await)
        .await
}

/// Returns the folder in the user's cache with `files`, and calls `build` first if one is missing.
/// Other processes wait for the one that builds. The folder's name contains a hash of the files
/// `pins`.
pub async fn cached(
    name: &str,
    pins: &[PathBuf],
    files: &[&str],
    progress: Progress<'_>,
    build: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = cache_folder()?.join("tools").join(format!("{name}-{}", key(pins)?));
    let complete = || files.iter().all(|file| folder.join(file).is_file());
    if complete() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let _lock = lock(&folder, name, progress).await?;
    if !complete() {
        let started = Instant::now();
        build(&folder).await?;
        progress(&format!("{name}: ready after {} s", started.elapsed().as_secs()));
    }
    Ok(folder)
}

/// The first 16 hex digits of the SHA-256 of the files.
fn key(pins: &[PathBuf]) -> Result<String> {
    let mut bytes = Vec::new();
    for path in pins {
        bytes.extend(std::fs::read(path).map_err(Error::file("read", path))?);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let start = digest.as_ref().first_chunk().copied().unwrap_or_default();
    Ok(format!("{:016x}", u64::from_be_bytes(start)))
}

/// Waits for the lock. The system releases it when the file is closed or this process ends.
async fn lock(folder: &Path, name: &str, progress: Progress<'_>) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            progress(&format!("{name}: waiting for another process that is building it"));
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
    }
    let waiting = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    waiting.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(Error::file("lock", &path))
}
