//! The version of a served CRD compared with the binary's.
//!
//! The version is part of the schema's description: every user may read a served schema, but
//! reading the CRD itself needs a cluster-wide right.

/// Precedes the version in the schema's description.
const VERSION_PREFIX: &str = "Schema of kconsumer-group-operator ";

/// The version of this crate, which the binary and the CRD share.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The sentence that states the version in the schema's description.
pub(super) fn version_sentence() -> String {
    format!("{VERSION_PREFIX}{VERSION}.")
}

/// A cluster's CRD version compared with the binary's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionSkew {
    /// Both have the same version.
    None,
    /// The CRD has this older version.
    Older(String),
    /// The CRD has this newer version.
    Newer(String),
    /// The CRD does not state its version.
    Unknown,
}

impl VersionSkew {
    /// Reads the version from the description of the schema that a cluster serves.
    pub fn from_description(description: &str) -> Self {
        let Some((_, rest)) = description.split_once(VERSION_PREFIX) else { return Self::Unknown };
        let version = rest.trim_end().trim_end_matches('.');
        match (numbers(version), numbers(VERSION)) {
            (Some(cluster), Some(own)) if cluster < own => Self::Older(version.to_owned()),
            (Some(cluster), Some(own)) if cluster > own => Self::Newer(version.to_owned()),
            (Some(_), Some(_)) => Self::None,
            _ => Self::Unknown,
        }
    }

    /// The metric's value: -1 if the CRD is older or does not state its version, 0 if it is the
    /// same, 1 if it is newer.
    pub const fn sign(&self) -> i64 {
        match self {
            Self::None => 0,
            Self::Older(_) | Self::Unknown => -1,
            Self::Newer(_) => 1,
        }
    }
}

fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_served_schema_is_the_same_older_or_newer() {
        let of =
            |version: &str| VersionSkew::from_description(&format!("A group. {VERSION_PREFIX}{version}."));
        assert_eq!(VersionSkew::from_description(&version_sentence()), VersionSkew::None);
        assert_eq!(of(VERSION), VersionSkew::None);
        assert_eq!(of("0.0.9"), VersionSkew::Older("0.0.9".into()));
        assert_eq!(of("0.10.0"), VersionSkew::Newer("0.10.0".into()));
        let unknown = [of("next"), VersionSkew::from_description("A group.")];
        assert_eq!(unknown, [VersionSkew::Unknown, VersionSkew::Unknown]);
    }
}
