//! The ratchet: an update may keep what was already wrong, as the API server's CRD ratcheting does.

use std::collections::HashMap;

use serde_json::Value;

use crate::field_path;
use crate::violation::{ErrorType, Rule, Violation};

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
