//! From an admission request to a verdict. Pure: the topic lookup is an argument.

mod object;
mod quick;

use std::borrow::Cow;

use json_patch::Patch;
use kcg_api::ratchet::{Ratcheted, ratchet};
use kcg_api::rule_input::RuleInput;
use kcg_api::rules::{self, live};
use kcg_api::topic::{self, TopicLookup, TopicRef};
use kcg_api::valid::{self, TopicGrants};
use kcg_api::violation::Violation;
use kcg_api::{GroupDefaults, KconsumerGroupSpec, mutation, names, spec_bounds};
use prometheus_client::encoding::EncodeLabelValue;
use serde::Deserialize;

pub use self::object::{Manifest, ReviewObject};
pub use self::quick::is_quick;

use self::object::ReviewedGroup;

/// Which of the two webhooks the API server calls. Both deny alike; only the mutating one fills in
/// fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Stage {
    /// Before the schema and its CEL rules apply: the only stage that sees every violation at once.
    Mutate,
    /// After them, on the object as it will be stored.
    Validate,
}

/// The operation of an admission request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, EncodeLabelValue)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// Create an object.
    Create,
    /// Change an object.
    Update,
    /// Delete an object; never denied.
    Delete,
    /// Open a stream to an object, which a KconsumerGroup does not support.
    Connect,
}

/// The request of an AdmissionReview. Most of its objects stays text that no rule needs.
#[derive(Clone, Debug)]
pub struct AdmissionRequest<'a> {
    /// The webhook that the API server called.
    pub stage: Stage,
    /// The requested operation.
    pub operation: Operation,
    /// The API group of `kind`.
    pub group: Cow<'a, str>,
    /// The version of `kind`, in which the objects are written.
    pub version: Cow<'a, str>,
    /// The kind of the objects.
    pub kind: Cow<'a, str>,
    /// The subresource, for example `status`; empty for the object itself.
    pub sub_resource: Cow<'a, str>,
    /// The object's name; empty if generateName has not made one yet.
    pub name: Cow<'a, str>,
    /// The object's namespace.
    pub namespace: Cow<'a, str>,
    /// The object after the operation; absent for a deletion.
    pub object: Option<ReviewObject<'a>>,
    /// The object before the operation, as JSON; absent for a creation. It is parsed only if the
    /// new object violates a rule.
    pub old_object: Option<&'a str>,
}

/// The result of a review.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The operation is allowed.
    Allowed {
        /// The fields to fill in; empty if none is missing.
        patch: Patch,
        /// Warnings for the user.
        warnings: Vec<String>,
    },
    /// The operation is denied because the group violates rules.
    Refused {
        /// All violations, at least one, in the order of the fields.
        violations: Vec<Violation>,
        /// Warnings for the user.
        warnings: Vec<String>,
    },
    /// The operation is denied because the request has no readable KconsumerGroup; contains the
    /// reason.
    Unreadable(String),
}

impl Verdict {
    /// The same verdict with one more warning, before all others.
    #[must_use]
    pub(crate) fn with_warning(mut self, warning: String) -> Self {
        if let Self::Allowed { warnings, .. } | Self::Refused { warnings, .. } = &mut self {
            warnings.insert(0, warning);
        }
        self
    }
}

/// Decides the reviews that the server receives.
pub trait Admission: Send + Sync + 'static {
    /// Decides one request without waiting for anything.
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict;

    /// Whether the review of this body is certain to be decided in less time than a TLS handshake takes.
    /// It is then decided on the thread that serves the connection: to wake another one costs more.
    fn is_quick(&self, _body: &[u8]) -> bool {
        false
    }
}

/// What the flags set for the rules.
#[derive(Clone, Debug)]
pub struct AdmissionPolicy {
    /// The namespaces whose KafkaTopics a group may use.
    pub grants: TopicGrants,
    /// The most bytes of a spec as compact JSON.
    pub max_spec_bytes: usize,
}

impl Default for AdmissionPolicy {
    fn default() -> Self {
        Self { grants: TopicGrants::default(), max_spec_bytes: spec_bounds::MAX_BYTES }
    }
}

/// Decides one request. `defaults` are those of the installation. `lookup` finds a topic in the current
/// state of the cluster; it is called only for topics that the group is granted.
///
/// Anything but the creation or update of a KconsumerGroup is allowed unchanged. The webhook
/// configuration sends nothing else; if a user widened it, other kinds, deletions and status
/// updates are not ours to deny.
pub fn admit(
    request: &AdmissionRequest<'_>,
    policy: &AdmissionPolicy,
    defaults: &GroupDefaults,
    lookup: impl Fn(&TopicRef) -> TopicLookup,
) -> Verdict {
    let rules = Rules { policy, defaults, lookup };
    if !is_group_write(request) {
        return Verdict::Allowed { patch: Patch::default(), warnings: Vec::new() };
    }
    if request.version != names::VERSION {
        let (group, version) = (names::GROUP, names::VERSION);
        return Verdict::Unreadable(format!("the {} must be of {group}/{version}", names::KIND));
    }
    let Some(object) = &request.object else {
        return Verdict::Unreadable("the review has no object".to_owned());
    };
    let mut group = match ReviewedGroup::read(object, request) {
        Ok(group) => group,
        Err(reason) => return Verdict::Unreadable(reason),
    };
    // Nothing of a spec that is refused for its size is typed.
    let Ratcheted { refused, tolerated: sizes } = ratchet_size(&group, request, policy.max_spec_bytes);
    if !refused.is_empty() {
        return Verdict::Refused { violations: refused, warnings: sizes.iter().map(to_warning).collect() };
    }
    if spec_bounds::forbid_typing(&sizes) {
        return Verdict::Allowed {
            patch: Patch::default(),
            warnings: sizes.iter().map(to_warning).collect(),
        };
    }
    group.read_spec();
    let Validation { violations, mut warnings } = rules.validate(&group, rules::advice);
    warnings
        .extend(group.spec.as_ref().filter(|_| request.operation == Operation::Update).and_then(lag_warning));
    let mut ratcheted = rules.ratchet(request, violations);
    ratcheted.tolerated.extend(sizes);
    warnings.extend(ratcheted.tolerated.iter().map(to_warning));
    if !ratcheted.refused.is_empty() {
        return Verdict::Refused { violations: ratcheted.refused, warnings };
    }
    // A group with tolerated violations is left as it is. A filled in field might violate a further
    // rule (a name that is not a container's), and then not even its labels could be edited.
    let fill_in = ratcheted.tolerated.is_empty() && request.stage == Stage::Mutate;
    let patch = if fill_in {
        mutation::patch(group.name, group.spec.as_ref(), group.has_container_name(), group.has_group_id())
    } else {
        Patch::default()
    };
    Verdict::Allowed { patch, warnings }
}

fn is_group_write(request: &AdmissionRequest<'_>) -> bool {
    matches!(request.operation, Operation::Create | Operation::Update)
        && request.group == names::GROUP
        && request.kind == names::KIND
        && request.sub_resource.is_empty()
}

/// The violations and warnings of one group.
#[derive(Default)]
struct Validation {
    violations: Vec<Violation>,
    warnings: Vec<String>,
}

/// What the rules need besides a group.
struct Rules<'a, L> {
    policy: &'a AdmissionPolicy,
    defaults: &'a GroupDefaults,
    lookup: L,
}

impl<L: Fn(&TopicRef) -> TopicLookup> Rules<'_, L> {
    /// Applies all rules: the static ones first, then those that need the topics. `advise` has the
    /// warnings of a spec; the old group needs none.
    fn validate(
        &self,
        group: &ReviewedGroup<'_>,
        advise: impl FnOnce(&RuleInput<'_>) -> Vec<String>,
    ) -> Validation {
        let Some(spec) = &group.spec else {
            return Validation { violations: group.type_errors.clone(), ..Validation::default() };
        };
        let (name, namespace, grants) = (group.name, group.namespace, &self.policy.grants);
        let filled = self.defaults.fill_in(spec);
        let mut violations = group.type_errors.clone();
        let input = RuleInput::new(name, namespace, &filled, grants).within(self.defaults);
        violations.extend(rules::check(&input));
        let mut warnings = advise(&input);
        drop(input);
        let topics = topic::named_by(spec, namespace);
        let granted = topics.iter().all(|topic| grants.allow(namespace, &topic.namespace));
        // The number of a topic's partitions is not disclosed to groups that may not name the topic.
        if granted {
            let lookups = topics.into_iter().map(|topic| (topic.clone(), (self.lookup)(&topic))).collect();
            let live = live::check(spec, namespace, &lookups);
            violations.extend(live.violation);
            warnings.extend(live.warnings);
        }
        valid::drop_followup_errors(&group.type_errors, &mut violations);
        Validation { violations, warnings }
    }

    /// Of an update's violations only the new and the worse ones count; of a creation's, all.
    fn ratchet(&self, request: &AdmissionRequest<'_>, violations: Vec<Violation>) -> Ratcheted {
        // The usual case: the old object need not be parsed.
        if violations.is_empty() {
            return Ratcheted::default();
        }
        let old_object = request.old_object.map(ReviewObject::read);
        let old = match old_object.as_ref().map(|object| ReviewedGroup::read(object, request)) {
            Some(Ok(mut old)) if !spec_bounds::forbid_typing(&old.check_size(usize::MAX)) => {
                old.read_spec();
                self.validate(&old, |_| Vec::new()).violations
            }
            Some(_) | None => Vec::new(),
        };
        ratchet(&old, violations)
    }
}

/// Compares the size of the spec with the bounds: an update may keep a spec that is too large.
fn ratchet_size(group: &ReviewedGroup<'_>, request: &AdmissionRequest<'_>, max_bytes: usize) -> Ratcheted {
    let sizes = group.check_size(max_bytes);
    if sizes.is_empty() {
        return Ratcheted::default();
    }
    let old_object = request.old_object.map(ReviewObject::read);
    let old = old_object.as_ref().and_then(|object| ReviewedGroup::read(object, request).ok());
    ratchet(&old.map(|old| old.check_size(max_bytes)).unwrap_or_default(), sizes)
}

/// Until the group states how a pod's lag is computed: the meaning of its limit has changed.
fn lag_warning(spec: &KconsumerGroupSpec) -> Option<String> {
    let metrics = &spec.metrics;
    let is_stated = metrics.lag_metric.is_some() || metrics.lag_statistic.is_some();
    (!is_stated).then(|| {
        "averageRecordsLagLimit is now for a pod's sum: multiply it by the pod's partitions, or state metrics.lagStatistic"
            .to_owned()
    })
}

/// Omits the invalid value: a warning has 120 characters, and the detail helps more.
fn to_warning(violation: &Violation) -> String {
    if violation.detail.is_empty() {
        violation.to_string()
    } else {
        format!("{}: {}", violation.field, violation.detail)
    }
}
