//! Builds one part into the cache: one process at a time, each file in place whole or not at all.

mod go;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Progress;
use super::catalog::Part;
use crate::{Error, Result, cache};

/// The part's folder in the cache, with every file of it in place.
pub(super) async fn ensure(part: &Part, progress: Progress<'_>) -> Result<PathBuf> {
    let source = Path::new(part.pins);
    let mut pins: Vec<_> = ["go.mod", "go.sum"].map(|name| source.join(name)).into();
    // Only a part with a program of its own has one.
    pins.extend(Some(source.join("main.go")).filter(|program| program.exists()));
    let files: Vec<_> = part.files().collect();
    cached(part.name, &pins, &files, progress, async |folder| go::build(part, source, folder, progress).await)
        .await
}

/// The folder in the user's cache that holds `files`, built from `pins` by `build` if a file is missing. One process
/// builds, the others wait for it. A changed pin names another folder.
pub async fn cached(
    name: &str,
    pins: &[PathBuf],
    files: &[&str],
    progress: Progress<'_>,
    build: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = cache::folder()?.join("parts").join(format!("{name}-{}", key(pins)?));
    let complete = || files.iter().all(|file| folder.join(file).is_file());
    if complete() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let _lock = lock(&folder, name, progress).await?;
    if !complete() {
        let started = Instant::now();
        build(&folder).await?;
        progress(&format!("{name}: done in {} s", started.elapsed().as_secs()));
    }
    Ok(folder)
}

/// Names what a part was built from: the first 16 hex digits of SHA-256 over the files that pin it.
fn key(pins: &[PathBuf]) -> Result<String> {
    let mut bytes = Vec::new();
    for path in pins {
        bytes.extend(std::fs::read(path).map_err(Error::file("read", path))?);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let start = digest.as_ref().first_chunk().copied().unwrap_or_default();
    Ok(format!("{:016x}", u64::from_be_bytes(start)))
}

/// Waits for its turn; the lock ends with the file, and so with this process.
async fn lock(folder: &Path, name: &str, progress: Progress<'_>) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            progress(&format!("{name}: another process builds it, waiting"));
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
    }
    let waiting = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    waiting.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(Error::file("lock", &path))
}
