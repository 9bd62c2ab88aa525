//! A broken rule, in the words of Kubernetes' own field errors, and the ratchet that lets an object
//! that broke it before be edited. Floor 0.

use serde_json::Value;
use std::collections::HashMap;
use std::fmt;

/// How Kubernetes classes a field's error; the wording and the machine-readable reason follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    Required,
    Invalid,
    NotSupported,
    Duplicate,
    Forbidden,
    TooMany,
    TooLong,
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

/// The rules, by name: what metrics and logs call a refusal, and what the ratchet compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    Type,
    Name,
    MinReplicas,
    MaxReplicas,
    MinWithinMax,
    MinWithinCeiling,
    LagLimit,
    Image,
    ContainerName,
    Topics,
    TopicNamespace,
    GroupId,
    BootstrapServers,
    PartitionsPerConsumer,
    Env,
    ImagePullPolicy,
    PodTemplate,
    Privilege,
    Metrics,
    Alerts,
    Scaling,
}

impl Rule {
    /// The rule's name as metrics and logs print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "Type",
            Self::Name => "Name",
            Self::MinReplicas => "MinReplicas",
            Self::MaxReplicas => "MaxReplicas",
            Self::MinWithinMax => "MinWithinMax",
            Self::MinWithinCeiling => "MinWithinCeiling",
            Self::LagLimit => "LagLimit",
            Self::Image => "Image",
            Self::ContainerName => "ContainerName",
            Self::Topics => "Topics",
            Self::TopicNamespace => "TopicNamespace",
            Self::GroupId => "GroupId",
            Self::BootstrapServers => "BootstrapServers",
            Self::PartitionsPerConsumer => "PartitionsPerConsumer",
            Self::Env => "Env",
            Self::ImagePullPolicy => "ImagePullPolicy",
            Self::PodTemplate => "PodTemplate",
            Self::Privilege => "Privilege",
            Self::Metrics => "Metrics",
            Self::Alerts => "Alerts",
            Self::Scaling => "Scaling",
        }
    }
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub error_type: ErrorType,
    /// The field's path, for instance `spec.consumerSpec.topics[1]`.
    pub field: String,
    /// What was written there; `None` where Kubernetes prints no value.
    pub value: Option<Value>,
    /// What is wrong and the cure; may be empty where the error_type says it all.
    pub detail: String,
    /// How far the rule is broken, where that can grow; 0 elsewhere.
    pub excess: i64,
}

impl Violation {
    pub fn new(
        rule: Rule,
        error_type: ErrorType,
        field: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { rule, error_type, field: field.into(), value: None, detail: detail.into(), excess: 0 }
    }

    pub fn required(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, ErrorType::Required, field, detail)
    }

    pub fn invalid(
        rule: Rule,
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { value: Some(value.into()), ..Self::new(rule, ErrorType::Invalid, field, detail) }
    }

    pub fn forbidden(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, ErrorType::Forbidden, field, detail)
    }

    #[must_use]
    pub fn with_excess(self, excess: i64) -> Self {
        Self { excess, ..self }
    }

    /// The message as Kubernetes prints it behind the field's path.
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

/// As many violations as one answer, condition or log lists; the rest is counted.
pub const MAX_LISTED: usize = 64;

/// Those that are listed, and how many more there are.
pub fn capped(violations: &[Violation]) -> (&[Violation], usize) {
    let (listed, more) = violations.split_at(violations.len().min(MAX_LISTED));
    (listed, more.len())
}

/// All of them in one line, as conditions and logs say it.
pub fn summary(violations: &[Violation]) -> String {
    let (listed, more) = capped(violations);
    let mut sentences: Vec<String> = listed.iter().map(ToString::to_string).collect();
    if more > 0 {
        sentences.push(format!("and {more} more"));
    }
    sentences.join("; ")
}

/// An update's violations, told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ratcheted {
    /// New, or worse than before: refused.
    pub refused: Vec<Violation>,
    /// Broken before and no worse: allowed, with a warning.
    pub tolerated: Vec<Violation>,
}

/// Tells the violations of `new` that an update brought or worsened from those that it found. Each one that was there
/// before excuses one that is there now: the same rule broken at the same place, by no more than before where that is
/// counted, and with the same value and detail where it is not.
///
/// Takes time in proportion to the violations, of which a long spec may have tens of thousands.
pub fn ratchet(old: &[Violation], new: Vec<Violation>) -> Ratcheted {
    let mut before: HashMap<Likeness<'_>, Vec<i64>> = HashMap::new();
    for violation in old {
        before.entry(Likeness::of(violation)).or_default().push(violation.excess);
    }
    let mut is_excused = |violation| {
        let alike = before.get_mut(&Likeness::of(violation))?;
        // Where nothing is counted the first one does; what is counted stands at one place once.
        let excuse = alike.iter().position(|before| violation.excess <= *before)?;
        Some(alike.swap_remove(excuse))
    };
    let excused: Vec<bool> = new.iter().map(|violation| is_excused(violation).is_some()).collect();
    let mut told = Ratcheted::default();
    for (violation, excused) in new.into_iter().zip(excused) {
        if excused { told.tolerated.push(violation) } else { told.refused.push(violation) }
    }
    told
}

/// What two violations have in common where one may excuse the other.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    rule: Rule,
    error_type: ErrorType,
    place: String,
    /// The value and the detail; `None` where the excess is counted instead.
    said: Option<(Option<&'a Value>, &'a str)>,
}

impl<'a> Likeness<'a> {
    fn of(violation: &'a Violation) -> Self {
        let Violation { rule, error_type, value, detail, excess, .. } = violation;
        let said = (*excess <= 0).then_some((value.as_ref(), detail.as_str()));
        Self { rule: *rule, error_type: *error_type, place: place(violation), said }
    }
}

/// The field without the numbers of list items, which move when an earlier item goes.
fn place(violation: &Violation) -> String {
    let mut inside = false;
    let is_kept = |c: &char| {
        inside = (inside || *c == '[') && *c != ']';
        !(inside && c.is_ascii_digit())
    };
    violation.field.chars().filter(is_kept).collect()
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
    fn messages_read_like_kubernetes_own() {
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
    fn another_wrong_value_is_a_new_violation() {
        let wrong = |value: &str| {
            Violation::invalid(Rule::Image, "spec.consumerSpec.image", value, "must be an image reference")
        };
        assert_eq!(ratchet(&[wrong("a b")], vec![wrong("a b")]).refused, []);
        assert_eq!(ratchet(&[wrong("a b")], vec![wrong("a c")]).refused.len(), 1);
    }

    #[test]
    fn an_item_that_moves_is_the_old_violation_and_a_second_one_is_new() {
        let privileged = |index: usize| {
            Violation::forbidden(Rule::Privilege, format!("containers[{index}].privileged"), "may not be")
        };
        assert_eq!(ratchet(&[privileged(1)], vec![privileged(0)]).refused, []);
        assert_eq!(ratchet(&[privileged(0)], vec![privileged(0), privileged(1)]).refused, [privileged(1)]);
    }

    #[test]
    fn one_that_was_there_excuses_one_and_no_more_of_its_like() {
        let twice = |index: usize| Violation {
            value: Some("a".into()),
            ..Violation::new(Rule::Topics, ErrorType::Duplicate, format!("topics[{index}]"), "")
        };
        let told = ratchet(&[twice(1), twice(2)], vec![twice(3), twice(4), twice(5)]);
        assert_eq!((told.tolerated, told.refused), (vec![twice(3), twice(4)], vec![twice(5)]));
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
            let told = ratchet(&[above(before)], vec![above(after)]);
            prop_assert_eq!(told.refused.is_empty(), after <= before);
            prop_assert_eq!(told.tolerated.len() + told.refused.len(), 1);
        }

        #[test]
        fn what_was_right_before_is_never_tolerated_now(excess in 1..1000_i64) {
            prop_assert_eq!(ratchet(&[], vec![above(excess)]).refused.len(), 1);
        }
    }
}
