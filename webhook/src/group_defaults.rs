//! The file with the defaults of an installation, which both processes read.

use std::path::PathBuf;

use kcg_api::GroupDefaults;
use kcg_api::defaults_file::{FileError, MAX_BYTES};
use kcg_runtime::config_file::{ConfigFile, InForce};

/// The name of its metrics, without the product's prefix.
pub const METRIC: &str = "group_defaults";

/// The file of defaults.
pub type DefaultsFile = ConfigFile<GroupDefaults>;

/// The file at `path`; `None` has the product's defaults for good.
pub fn file(path: Option<PathBuf>) -> DefaultsFile {
    ConfigFile::new(path, MAX_BYTES, |text| GroupDefaults::parse(text).map_err(|errors| list(&errors)))
}

/// All that is wrong, in one line.
pub fn list(errors: &[FileError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The warning of each review while the file is rejected.
pub(crate) fn warning(in_force: &InForce<GroupDefaults>) -> Option<String> {
    let error = in_force.rejected.as_deref()?;
    let which = if in_force.hash.is_some() { "earlier" } else { "the product's" };
    Some(format!("{which} defaults apply: the operator's file of defaults is rejected: {}", error.reason()))
}
