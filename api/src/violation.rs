//! Violations of the rules, worded as Kubernetes' own field errors, and the ratchet: an update may
//! keep what was already wrong, as the API server's CRD ratcheting does.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use crate::field_path;

/// The type of a field error, as `field.ErrorType` in k8s.io/apimachinery. It decides the wording
/// and the machine-readable reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A required field is missing.
    Required,
    /// The value breaks a rule.
    Invalid,
    /// The value is not one of the supported values.
    NotSupported,
    /// The value must be unique in its list and is not.
    Duplicate,
    /// The field may not be set.
    Forbidden,
    /// The list has too many items.
    TooMany,
    /// The text is too long.
    TooLong,
    /// The value has the wrong JSON type.
    TypeInvalid,
}

impl ErrorType {
    /// The `reason` of a StatusCause.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooMany => "FieldValueTooMany",
            Self::TooLong => "FieldValueTooLong",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])+ $rule:ident),+ $(,)?) => {
        /// The rules by name. Metrics and logs print the name of a violated rule; the ratchet
        /// compares it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule { $($(#[$doc])+ $rule),+ }

        impl Rule {
            /// The rule's name in metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$rule => stringify!($rule)),+ }
            }
        }
    };
}

rules!(
    /// Every value has the type that the schema gives it.
    Type,
    /// metadata.name can name a Service.
    Name,
    /// spec.minReplicas is at least 1.
    MinReplicas,
    /// spec.maxReplicas is at least 1.
    MaxReplicas,
    /// spec.minReplicas is not above spec.maxReplicas.
    MinWithinMax,
    /// spec.minReplicas is not above what the topics' partitions keep busy.
    MinWithinCeiling,
    /// spec.averageRecordsLagLimit is at least 1.
    LagLimit,
    /// spec.consumerSpec.image is an image reference.
    Image,
    /// spec.consumerSpec.containerName is a DNS label.
    ContainerName,
    /// At least one topic is named, and each name is valid and listed once.
    Topics,
    /// The operator may read KafkaTopics in spec.consumerSpec.topicNamespace for this group.
    TopicNamespace,
    /// spec.consumerSpec.groupId is printable.
    GroupId,
    /// spec.consumerSpec.bootstrapServers is printable.
    BootstrapServers,
    /// spec.consumerSpec.partitionsPerConsumer is at least 1.
    PartitionsPerConsumer,
    /// The environment variables are valid, distinct and not too many.
    Env,
    /// spec.consumerSpec.imagePullPolicy is one that Kubernetes knows.
    ImagePullPolicy,
    /// spec.consumerSpec.podTemplate is a PodTemplateSpec that keeps the operator's selector
    /// labels.
    PodTemplate,
    /// spec.consumerSpec.podTemplate asks for no access to the node.
    Privilege,
    /// spec.metrics can be scraped.
    Metrics,
    /// spec.alerts makes a valid PrometheusRule.
    Alerts,
    /// spec.scaling makes a valid HorizontalPodAutoscaler and Deployment.
    Scaling,
);

/// One violation of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The violated rule.
    pub rule: Rule,
    /// The type of the field error.
    pub error_type: ErrorType,
    /// The field's path, for example `spec.consumerSpec.topics[1]`.
    pub field: String,
    /// The rejected value; `None` if Kubernetes prints no value for this error type.
    pub value: Option<Value>,
    /// What is wrong and how to fix it. Empty if the error type explains it.
    pub detail: String,
    /// By how much a numeric limit is exceeded; 0 for rules without one.
    pub excess: i64,
}

impl Violation {
    /// A violation without a value and without an excess.
    pub fn new(
        rule: Rule,
        error_type: ErrorType,
        field: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { rule, error_type, field: field.into(), value: None, detail: detail.into(), excess: 0 }
    }

    /// A missing field.
    pub fn required(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, ErrorType::Required, field, detail)
    }

    /// A value that breaks a rule.
    pub fn invalid(
        rule: Rule,
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::Invalid, field, detail) }
    }

    /// A value that is listed twice.
    pub fn duplicate(rule: Rule, field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::Duplicate, field, "") }
    }

    /// A value that is not one of the supported values.
    pub fn not_supported(
        rule: Rule,
        field: impl Into<String>,
        value: impl Into<Value>,
        supported: &[&str],
    ) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::NotSupported, field, detail) }
    }

    /// A field that may not be set.
    pub fn forbidden(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, ErrorType::Forbidden, field, detail)
    }

    /// The same violation with an excess, which the ratchet compares.
    #[must_use]
    pub fn with_excess(self, excess: i64) -> Self {
        Self { excess, ..self }
    }

    /// The message that Kubernetes prints after the field's path.
    pub fn message(&self) -> String {
        let value = self.value.as_ref().map(ToString::to_string).unwrap_or_default();
        let head = match self.error_type {
            ErrorType::Required => "Required value".to_owned(),
            ErrorType::Invalid | ErrorType::TypeInvalid => format!("Invalid value: {value}"),
            ErrorType::NotSupported => format!("Unsupported value: {value}"),
            ErrorType::Duplicate => format!("Duplicate value: {value}"),
            ErrorType::Forbidden => "Forbidden".to_owned(),
            ErrorType::TooMany => format!("Too many: {value}"),
            ErrorType::TooLong => "Too long".to_owned(),
        };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// The most violations that one response, condition or log line lists; the rest is counted.
pub const MAX_LISTED: usize = 64;

/// The violations to list, and how many more there are.
pub fn capped(violations: &[Violation]) -> (&[Violation], usize) {
    let (listed, more) = violations.split_at(violations.len().min(MAX_LISTED));
    (listed, more.len())
}

/// All violations in one line, for conditions and logs.
pub fn summary(violations: &[Violation]) -> String {
    let (listed, more) = capped(violations);
    let mut messages: Vec<String> = listed.iter().map(ToString::to_string).collect();
    if more > 0 {
        messages.push(format!("and {more} more"));
    }
    messages.join("; ")
}

/// The violations of an update, split by the ratchet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ratcheted {
    /// New, or worse than before: the update is refused.
    pub refused: Vec<Violation>,
    /// Present before and no worse: the update is allowed with a warning.
    pub tolerated: Vec<Violation>,
}

/// Splits the violations of an updated group into those that the update introduced or made worse,
/// and those that the old group already had.
///
/// Each old violation excuses one new violation of the same rule at the same field. If the rule
/// has an excess, it may not have grown; otherwise value and detail must be unchanged.
///
/// Runs in linear time: a long spec can have tens of thousands of violations.
pub fn ratchet(old: &[Violation], new: Vec<Violation>) -> Ratcheted {
    let mut before: HashMap<RatchetKey<'_>, Vec<i64>> = HashMap::new();
    for violation in old {
        before.entry(RatchetKey::of(violation)).or_default().push(violation.excess);
    }
    let mut is_excused = |violation| {
        let candidates = before.get_mut(&RatchetKey::of(violation))?;
        // Without an excess any candidate matches; with one there is at most one candidate for a
        // field.
        let excuse = candidates.iter().position(|before| violation.excess <= *before)?;
        Some(candidates.swap_remove(excuse))
    };
    let excused: Vec<bool> = new.iter().map(|violation| is_excused(violation).is_some()).collect();
    let mut split = Ratcheted::default();
    for (violation, excused) in new.into_iter().zip(excused) {
        if excused { split.tolerated.push(violation) } else { split.refused.push(violation) }
    }
    split
}

/// What an old and a new violation must have in common for one to excuse the other.
#[derive(PartialEq, Eq, Hash)]
struct RatchetKey<'a> {
    rule: Rule,
    error_type: ErrorType,
    /// Without list indices, which shift when an earlier item is removed.
    field: String,
    /// Value and detail; `None` if the excess is compared instead.
    content: Option<(Option<&'a Value>, &'a str)>,
}

impl<'a> RatchetKey<'a> {
    fn of(violation: &'a Violation) -> Self {
        let Violation { rule, error_type, field, value, detail, excess } = violation;
        let content = (*excess <= 0).then_some((value.as_ref(), detail.as_str()));
        Self { rule: *rule, error_type: *error_type, field: field_path::without_indices(field), content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn above(excess: i64) -> Violation {
        Violation::invalid(Rule::MinWithinCeiling, "spec.minReplicas", 3 + excess, "must not be more than 3")
            .with_excess(excess)
    }

    #[test]
    fn messages_are_worded_as_kubernetes_words_them() {
        assert_eq!(above(1).to_string(), "spec.minReplicas: Invalid value: 4: must not be more than 3");
        assert_eq!(
            Violation::required(Rule::Image, "spec.consumerSpec.image", "").to_string(),
            "spec.consumerSpec.image: Required value"
        );
        let blank =
            Violation::invalid(Rule::Image, "spec.consumerSpec.image", " ", "must be an image reference");
        assert_eq!(blank.message(), "Invalid value: \" \": must be an image reference");
    }

    #[test]
    fn a_different_wrong_value_is_a_new_violation() {
        let wrong = |value: &str| {
            Violation::invalid(Rule::Image, "spec.consumerSpec.image", value, "must be an image reference")
        };
        assert_eq!(ratchet(&[wrong("a b")], vec![wrong("a b")]).refused, []);
        assert_eq!(ratchet(&[wrong("a b")], vec![wrong("a c")]).refused.len(), 1);
    }

    #[test]
    fn an_item_that_moves_is_tolerated_and_a_second_one_is_refused() {
        let privileged = |index: usize| {
            Violation::forbidden(Rule::Privilege, format!("containers[{index}].privileged"), "may not be")
        };
        assert_eq!(ratchet(&[privileged(1)], vec![privileged(0)]).refused, []);
        assert_eq!(ratchet(&[privileged(0)], vec![privileged(0), privileged(1)]).refused, [privileged(1)]);
    }

    #[test]
    fn one_old_violation_excuses_one_new_violation() {
        let duplicate = |index: usize| Violation::duplicate(Rule::Topics, format!("topics[{index}]"), "a");
        let split = ratchet(&[duplicate(1), duplicate(2)], vec![duplicate(3), duplicate(4), duplicate(5)]);
        assert_eq!((split.tolerated, split.refused), (vec![duplicate(3), duplicate(4)], vec![duplicate(5)]));
    }

    #[test]
    fn a_long_list_is_cut_and_the_rest_is_counted() {
        let many = vec![above(1); MAX_LISTED + 3];
        assert!(summary(&many[..MAX_LISTED]).ends_with("than 3"));
        assert!(summary(&many).ends_with("than 3; and 3 more"));
        assert_eq!(summary(&many).matches("spec.minReplicas").count(), MAX_LISTED);
    }

    proptest! {
        #[test]
        fn an_update_is_refused_exactly_when_the_excess_has_grown(before in 1..1000_i64, after in 1..1000_i64) {
            let split = ratchet(&[above(before)], vec![above(after)]);
            prop_assert_eq!(split.refused.is_empty(), after <= before);
            prop_assert_eq!(split.tolerated.len() + split.refused.len(), 1);
        }

        #[test]
        fn a_violation_without_an_old_one_is_refused(excess in 1..1000_i64) {
            prop_assert_eq!(ratchet(&[], vec![above(excess)]).refused.len(), 1);
        }
    }
}
