//! The defaults that a Deployment's pod template is built with: the version of the product's, and
//! the values of the installation's. A new version of the operator may have better defaults, and an
//! installer may change the file of defaults, but neither may roll out a pod: a live template keeps
//! its defaults until the group's spec changes the template anyway.

use kcg_api::group_defaults::TemplateDefaults;
use kcg_api::{KconsumerGroupStatus, names};
use serde_json::Value;

/// A version of the defaults of the pod template. The annotation
/// [`names::ANNOTATION_DEFAULTS_VERSION`] of the Deployment stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DefaultsVersion {
    /// The defaults before there were versions. Its template never changes.
    #[default]
    V1,
    /// No service links, no token of a ServiceAccount that the group does not name, Kubernetes' own
    /// imagePullPolicy. A variable that podTemplate replaces keeps its place.
    V2,
    /// Also the readiness probe of a preset that the spec names.
    V3,
}

impl DefaultsVersion {
    /// That of a new group.
    const NEWEST: Self = Self::V3;

    /// The annotation's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2 => "2",
            Self::V3 => "3",
        }
    }

    /// The version of this name. One that this operator does not know is newer.
    fn named(name: &str) -> Self {
        match name {
            "1" => Self::V1,
            "2" => Self::V2,
            _ => Self::NEWEST,
        }
    }

    /// What a stored status records of a group's template; `None` if no operator has seen the
    /// group. A status without the record is of the time before there were versions.
    pub fn recorded(status: &KconsumerGroupStatus) -> Option<Self> {
        match &status.defaults_version {
            Some(version) => Some(Self::named(version)),
            None => status.observed_generation.filter(|seen| *seen >= 0).map(|_| Self::V1),
        }
    }

    /// The version of a Deployment that is created: of a group that had one, as of the next template.
    pub(super) fn of_a_new_deployment(recorded: Option<Self>) -> Self {
        recorded.map_or(Self::NEWEST, Self::next)
    }

    /// The version for the next template. The CRD once filled in spec.metrics.preset: a group of
    /// that time may not have written it, so it never gets the probe of a written preset.
    const fn next(self) -> Self {
        match self {
            Self::V1 | Self::V2 => Self::V2,
            Self::V3 => Self::V3,
        }
    }
}

/// What the annotations of a live Deployment say about its pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateOrigin {
    /// The version of the defaults.
    pub version: DefaultsVersion,
    /// The hash of the template that its spec describes; `None` if the annotation is missing.
    pub spec_hash: Option<u32>,
    /// The installation's defaults; `None` if the annotation does not parse.
    pub installation: Option<TemplateDefaults>,
}

impl TemplateOrigin {
    /// Reads the annotations. Without them the template is of the first version; a version that
    /// this operator does not know is newer.
    pub fn of(live: &Value) -> Self {
        let annotation = |name: &str| live["metadata"]["annotations"][name].as_str();
        let version =
            annotation(names::ANNOTATION_DEFAULTS_VERSION).map(DefaultsVersion::named).unwrap_or_default();
        let spec_hash = annotation(names::ANNOTATION_TEMPLATE_HASH);
        let installation = match annotation(names::ANNOTATION_TEMPLATE_DEFAULTS) {
            None => Some(TemplateDefaults::default()),
            Some(text) => serde_json::from_str(text).ok(),
        };
        Self {
            version,
            spec_hash: spec_hash.and_then(|hash| u32::from_str_radix(hash, 16).ok()),
            installation,
        }
    }

    /// The version of a live template, or the one that the group's status records if that is newer.
    pub(super) fn version_since(&self, recorded: Option<DefaultsVersion>) -> DefaultsVersion {
        recorded.map_or(self.version, |recorded| recorded.max(self.version))
    }

    /// Whether a template of this origin keeps its defaults: the spec describes the same template.
    pub fn keeps_defaults(&self, spec_hash: u32) -> bool {
        self.spec_hash.is_none_or(|known| known == spec_hash)
    }

    /// The origin of the template that the Deployment should have now: the version is that of the
    /// live one until the spec describes another template. `recorded` is the version that the
    /// group's status records, `installation` are the defaults that the group was read with.
    ///
    /// `kubectl rollout undo` brings back the annotations of the revision, too, and one from before
    /// the upgrade has none. So a live version below the recorded one counts as that.
    pub fn next(
        live: Option<&Self>,
        recorded: Option<DefaultsVersion>,
        spec_hash: u32,
        installation: TemplateDefaults,
    ) -> Self {
        let version = match live {
            None => DefaultsVersion::of_a_new_deployment(recorded),
            Some(live) if live.keeps_defaults(spec_hash) => live.version_since(recorded),
            Some(live) => live.version_since(recorded).next(),
        };
        Self { version, spec_hash: Some(spec_hash), installation: Some(installation) }
    }

    /// The annotations, as they are applied.
    pub fn annotations(&self) -> impl Iterator<Item = (&'static str, String)> {
        let version = (names::ANNOTATION_DEFAULTS_VERSION, self.version.as_str().to_owned());
        let hash = self.spec_hash.map(|hash| (names::ANNOTATION_TEMPLATE_HASH, format!("{hash:08x}")));
        let taken = self.installation.as_ref().filter(|taken| !taken.is_empty());
        let taken = taken.map(|taken| {
            let text = serde_json::to_string(taken).expect("invariant: defaults serialize");
            (names::ANNOTATION_TEMPLATE_DEFAULTS, text)
        });
        std::iter::once(version).chain(hash).chain(taken)
    }
}

/// The hash of an object: 32-bit FNV-1a of its text. It is stored, so it must never change.
pub(crate) fn hash(object: &Value) -> u32 {
    // serde_json's maps are sorted, so equal objects print alike.
    object
        .to_string()
        .bytes()
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn origin(version: DefaultsVersion, spec_hash: Option<u32>) -> TemplateOrigin {
        TemplateOrigin { version, spec_hash, installation: Some(TemplateDefaults::default()) }
    }

    #[test]
    fn a_template_keeps_its_defaults_until_the_spec_describes_another_one() {
        use DefaultsVersion::{V1, V2, V3};
        for (live, spec_hash, want) in [
            (None, 7, V3),
            (Some(origin(V1, None)), 7, V1),
            (Some(origin(V1, Some(7))), 7, V1),
            (Some(origin(V1, Some(7))), 8, V2),
            (Some(origin(V2, Some(7))), 8, V2),
            (Some(origin(V3, Some(7))), 7, V3),
            (Some(origin(V3, Some(7))), 8, V3),
        ] {
            assert_eq!(
                TemplateOrigin::next(live.as_ref(), None, spec_hash, TemplateDefaults::default()),
                origin(want, Some(spec_hash)),
                "{live:?} {spec_hash}"
            );
        }
    }

    #[test]
    fn an_undo_past_the_upgrade_brings_no_older_defaults_back() {
        use DefaultsVersion::{V1, V2, V3};
        // The revision of before has no annotations, or those of an earlier spec.
        for (live, recorded, want) in [
            (origin(V1, None), V2, V2),
            (origin(V1, None), V3, V3),
            (origin(V1, Some(6)), V2, V2),
            (origin(V2, Some(6)), V3, V3),
            (origin(V1, None), V1, V1),
            (origin(V3, Some(7)), V2, V3),
        ] {
            let next = TemplateOrigin::next(Some(&live), Some(recorded), 7, TemplateDefaults::default());
            assert_eq!(next, origin(want, Some(7)), "{live:?} {recorded:?}");
        }
    }

    #[test]
    fn a_recreated_deployment_has_no_defaults_that_its_group_could_not_have_chosen() {
        use DefaultsVersion::{V1, V2, V3};
        let status = |generation: Option<i64>, version: Option<&str>| KconsumerGroupStatus {
            observed_generation: generation,
            defaults_version: version.map(str::to_owned),
            ..KconsumerGroupStatus::default()
        };
        for (status, recorded, want) in [
            // A new group, before and after the CRD's default.
            (status(None, None), None, V3),
            (status(Some(-1), None), None, V3),
            // A group that an operator without the record has reconciled.
            (status(Some(1), None), Some(V1), V2),
            (status(Some(1), Some("1")), Some(V1), V2),
            (status(Some(9), Some("2")), Some(V2), V2),
            (status(Some(9), Some("3")), Some(V3), V3),
        ] {
            assert_eq!(DefaultsVersion::recorded(&status), recorded, "{status:?}");
            let next = TemplateOrigin::next(None, recorded, 7, TemplateDefaults::default());
            assert_eq!(next, origin(want, Some(7)), "{status:?}");
        }
    }

    #[test]
    fn the_annotations_are_read_as_they_were_written() {
        let taken = serde_json::from_str(r#"{"preset": "JmxExporter", "imagePullSecrets": [{"name": "a"}]}"#);
        let of_installation =
            TemplateOrigin { installation: Some(taken.unwrap()), ..origin(DefaultsVersion::V3, Some(7)) };
        for written in [
            origin(DefaultsVersion::V1, Some(7)),
            origin(DefaultsVersion::V3, Some(u32::MAX)),
            of_installation,
        ] {
            let annotations: std::collections::BTreeMap<_, _> = written.annotations().collect();
            let live = json!({"metadata": {"annotations": annotations}});
            assert_eq!(TemplateOrigin::of(&live), written);
        }
        assert_eq!(TemplateOrigin::of(&json!({})), origin(DefaultsVersion::V1, None));
        let newer = json!({"metadata": {"annotations": {names::ANNOTATION_DEFAULTS_VERSION: "99", names::ANNOTATION_TEMPLATE_HASH: "?"}}});
        assert_eq!(TemplateOrigin::of(&newer), origin(DefaultsVersion::V3, None));
        let broken = json!({"metadata": {"annotations": {names::ANNOTATION_TEMPLATE_DEFAULTS: "{"}}});
        assert_eq!(TemplateOrigin::of(&broken).installation, None);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(&json!({})), 0x5465_b825);
    }
}
