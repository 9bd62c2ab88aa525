//! Where built parts are kept between runs: the user's cache folder.

use std::path::PathBuf;

use crate::{Error, Result};

/// `$XDG_CACHE_HOME/kconsumer-group-operator`, or the same below `~/.cache`.
pub fn folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => std::env::home_dir()
            .ok_or_else(|| {
                Error::Missing("no home folder: set XDG_CACHE_HOME to a folder to build in".into())
            })?
            .join(".cache"),
    };
    Ok(base.join("kconsumer-group-operator"))
}
