//! The programs of this workspace that pods run: named by the user, or built by cargo.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kcg_devcluster::{OPERATOR, OPERATOR_BINARY, Result, cargo_build};

/// The programs by their packages' names.
#[derive(Debug, Clone)]
pub struct Programs(BTreeMap<&'static str, PathBuf>);

impl Programs {
    /// Builds the operator, the consumer and the producer. Cargo's messages go to standard error.
    pub async fn build() -> Result<Self> {
        let names = [OPERATOR, "kconsumer", "kproducer"];
        let missing: Vec<_> =
            names.into_iter().filter(|name| std::env::var_os(variable(name)).is_none()).collect();
        let mut built = if missing.is_empty() { BTreeMap::new() } else { cargo_build(&missing).await? };
        for name in names {
            if let Some(path) = std::env::var_os(variable(name)) {
                built.insert(name, PathBuf::from(path));
            }
        }
        Ok(Self(built))
    }

    /// The environment variables that name them to another process, which then does not build them.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        self.0.iter().map(|(name, path)| (variable(name), path.clone().into_os_string())).collect()
    }

    /// Each program with its package's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.0.iter().map(|(name, path)| (*name, path.as_path()))
    }
}

/// The variable that names a program to use instead of building it.
fn variable(package: &str) -> &'static str {
    match package {
        "kconsumer" => "KCG_KCONSUMER_BIN",
        "kproducer" => "KCG_KPRODUCER_BIN",
        _ => OPERATOR_BINARY,
    }
}
