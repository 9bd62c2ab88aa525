//! Request to verdict. Floor 1: pure; the topics as somebody sees them now are an argument.

mod object;

use std::borrow::Cow;

use json_patch::Patch;
use kcg_api::rule_input::RuleInput;
use kcg_api::rules::{self, live};
use kcg_api::topic::{TopicLookup, TopicRef};
use kcg_api::valid::{self, TopicGrants};
use kcg_api::violation::{self, Ratcheted, Violation};
use kcg_api::{defaults, names};
use prometheus_client::encoding::EncodeLabelValue;
use serde::Deserialize;

use self::object::Object;
pub use self::object::{Manifest, Written};

/// Which of the two webhooks is asked. Both give the same refusals; only the mutating one fills fields in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Stage {
    /// Before the schema and its CEL rules are looked at: the one place that sees every violation at once.
    Mutate,
    /// After them, on the object as it will be stored.
    Validate,
}

/// What the API server is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, EncodeLabelValue)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of one.
    Update,
    /// Its end; never blocked.
    Delete,
    /// A stream to it, which our kind does not have.
    Connect,
}

/// One question of the API server. Of the objects most stays text: it is never looked at.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The webhook that was asked.
    pub stage: Stage,
    /// What is to be done.
    pub operation: Operation,
    /// The API group of `kind`.
    pub group: Cow<'a, str>,
    /// The version of `kind`, which is the one of the objects.
    pub version: Cow<'a, str>,
    /// The kind of the objects.
    pub kind: Cow<'a, str>,
    /// `status`, say; empty for the object itself.
    pub sub_resource: Cow<'a, str>,
    /// Empty where generateName has yet to make one.
    pub name: Cow<'a, str>,
    /// The object's namespace.
    pub namespace: Cow<'a, str>,
    /// The object as it is to be; absent for a deletion.
    pub object: Option<Written<'a>>,
    /// The object as it is, in JSON; absent for a creation, and hardly ever looked at.
    pub old: Option<&'a str>,
}

/// What is decided.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It may be done.
    Allowed {
        /// The fields to fill in; empty where nothing is missing.
        patch: Patch,
        /// What the person should know all the same.
        warnings: Vec<String>,
    },
    /// It breaks rules: all of them, in the order of the fields.
    Refused {
        /// At least one.
        violations: Vec<Violation>,
        /// What the person should know besides.
        warnings: Vec<String>,
    },
    /// There is no object of ours to judge where one must be. Says what is wrong.
    Unreadable(String),
}

/// Whoever can judge. The server asks it, and knows no more of it.
pub trait Admission: Send + Sync + 'static {
    /// Decides without waiting for anything.
    fn judge(&self, request: &Request<'_>) -> Verdict;
}

/// Decides one request. `lookup` shows a topic as it is known now; it is asked for granted topics only.
///
/// What is not the creation or the change of a KconsumerGroup is allowed as it is: the registration sends nothing
/// else here, and where somebody widened it, another's object, a deletion or a status is not ours to block.
pub fn admit(
    request: &Request<'_>,
    grants: &TopicGrants,
    lookup: impl Fn(&TopicRef) -> TopicLookup,
) -> Verdict {
    if !is_ours(request) {
        return Verdict::Allowed { patch: Patch::default(), warnings: Vec::new() };
    }
    if request.version != names::VERSION {
        let (group, version) = (names::GROUP, names::VERSION);
        return Verdict::Unreadable(format!("the {} must be of {group}/{version}", names::KIND));
    }
    let Some(written) = &request.object else {
        return Verdict::Unreadable("the review carries no object to judge".to_owned());
    };
    let object = match Object::read(written, request) {
        Ok(object) => object,
        Err(unreadable) => return Verdict::Unreadable(unreadable),
    };
    let found = judge(&object, grants, &lookup);
    let told = ratchet(request, grants, &lookup, found.violations);
    let mut warnings = found.warnings;
    warnings.extend(told.tolerated.iter().map(in_a_warning));
    if !told.refused.is_empty() {
        return Verdict::Refused { violations: told.refused, warnings };
    }
    // What is only tolerated is left as it is: filled in, it might break a further rule (a name that is no container's),
    // and then not even its labels could be edited.
    let whole = told.tolerated.is_empty() && request.stage == Stage::Mutate;
    let patch = if whole { missing(&object) } else { Patch::default() };
    Verdict::Allowed { patch, warnings }
}

fn is_ours(request: &Request<'_>) -> bool {
    matches!(request.operation, Operation::Create | Operation::Update)
        && request.group == names::GROUP
        && request.kind == names::KIND
        && request.sub_resource.is_empty()
}

/// What one object breaks, static rules first.
#[derive(Default)]
struct Found {
    violations: Vec<Violation>,
    warnings: Vec<String>,
}

fn judge(object: &Object, grants: &TopicGrants, lookup: &impl Fn(&TopicRef) -> TopicLookup) -> Found {
    let Some(spec) = &object.spec else {
        return Found { violations: object.misread.clone(), ..Found::default() };
    };
    let (name, namespace) = (object.name, object.namespace);
    let mut violations = object.misread.clone();
    violations.extend(rules::check(&RuleInput { name, namespace, spec, grants }));
    let topics = valid::topics(spec, namespace);
    let granted = topics.iter().all(|topic| grants.allow(namespace, &topic.namespace));
    let mut warnings = Vec::new();
    // How many partitions a topic has is nobody's business where it may not be named.
    if granted {
        let lookups = topics.into_iter().map(|topic| (topic.clone(), lookup(&topic))).collect();
        let live = live::check(spec, namespace, &lookups);
        violations.extend(live.violation);
        warnings = live.warnings;
    }
    object.forget_what_follows_from_misreading(&mut violations);
    Found { violations, warnings }
}

/// Of an update's violations only the new and the worse ones count; of a creation's, all.
fn ratchet(
    request: &Request<'_>,
    grants: &TopicGrants,
    lookup: &impl Fn(&TopicRef) -> TopicLookup,
    new: Vec<Violation>,
) -> Ratcheted {
    // Nothing to compare, as a rule.
    if new.is_empty() {
        return Ratcheted::default();
    }
    let written = request.old.map(Written::read);
    let old = match written.as_ref().map(|written| Object::read(written, request)) {
        Some(Ok(old)) => judge(&old, grants, lookup).violations,
        Some(Err(_)) | None => Vec::new(),
    };
    violation::ratchet(&old, new)
}

/// Without the value that is wrong: a warning has 120 characters, and the sentence is what helps.
fn in_a_warning(violation: &Violation) -> String {
    if violation.detail.is_empty() {
        violation.to_string()
    } else {
        format!("{}: {}", violation.field, violation.detail)
    }
}

/// The fields to fill in, derived from the object's name.
fn missing(object: &Object<'_>) -> Patch {
    object.outline().map(|outline| defaults::patch(&outline)).unwrap_or_default()
}
