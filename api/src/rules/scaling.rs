//! Rules for values of spec.scaling, in the words of the API server.

use std::cmp::Ordering;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::field_errors::FieldErrors;
use crate::messages::NOT_NEGATIVE;
use crate::quantity::{self, GRAMMAR};
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// A rolling update counts pods or percent, and at most all pods are unavailable.
pub(crate) fn rolling_update_counts_pods(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(strategy) = &input.spec.scaling.strategy else {
        return;
    };
    let Some(rolling) =
        strategy.rolling_update.as_ref().filter(|_| strategy.type_.as_deref() != Some("Recreate"))
    else {
        return;
    };
    let mut errors = FieldErrors::new(Rule::Deployment, violations);
    for (name, count) in [("maxUnavailable", &rolling.max_unavailable), ("maxSurge", &rolling.max_surge)] {
        let field = format!("spec.scaling.strategy.rollingUpdate.{name}");
        match count {
            Some(IntOrString::Int(pods)) if *pods < 0 => errors.invalid(field, *pods, NOT_NEGATIVE),
            Some(IntOrString::String(text)) => match percent(text) {
                None => errors.invalid(field, text.as_str(), PERCENT),
                Some(percent) if percent > 100 && name == "maxUnavailable" => {
                    errors.invalid(field, json!(text), "must not be greater than 100%");
                }
                Some(_) => {}
            },
            Some(IntOrString::Int(_)) | None => {}
        }
    }
}

/// A number of percent; one that is too large counts as the largest.
fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%').filter(|digits| !digits.is_empty())?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The tolerance of a HorizontalPodAutoscaler is a quantity that is not negative.
pub(crate) fn tolerance_is_not_negative(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(behavior) = &input.spec.scaling.behavior else {
        return;
    };
    let mut errors = FieldErrors::new(Rule::Deployment, violations);
    for (direction, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
        let Some(tolerance) = rules.as_ref().and_then(|rules| rules.tolerance.as_ref()) else {
            continue;
        };
        let field = format!("spec.scaling.behavior.{direction}.tolerance");
        match quantity::sign(&tolerance.0) {
            None => errors.invalid(field, tolerance.0.as_str(), GRAMMAR),
            Some(Ordering::Less) => errors.invalid(field, tolerance.0.as_str(), NOT_NEGATIVE),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::rule_input::TopicGrants;

    fn words(scaling: &serde_json::Value) -> Vec<String> {
        let spec: KconsumerGroupSpec = serde_json::from_value(json!({"scaling": scaling})).unwrap();
        let input = RuleInput::new(Some("orders"), "default", &spec, &TopicGrants::Own);
        let mut violations = Vec::new();
        rolling_update_counts_pods(&input, &mut violations);
        tolerance_is_not_negative(&input, &mut violations);
        assert!(violations.iter().all(|violation| violation.rule.is_admission_only()));
        violations.iter().map(|violation| violation.to_string().replacen("spec.scaling.", "", 1)).collect()
    }

    #[test]
    fn a_rolling_update_has_numbers_or_percent() {
        let rolling = |surge: serde_json::Value, unavailable: serde_json::Value| {
            words(&json!({"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}))
        };
        assert_eq!(rolling(json!(1), json!("100%")), [] as [&str; 0]);
        assert_eq!(rolling(json!("150%"), json!(null)), [] as [&str; 0]);
        assert_eq!(
            rolling(json!("half"), json!(-1)),
            [
                format!("strategy.rollingUpdate.maxUnavailable: Invalid value: -1: {NOT_NEGATIVE}"),
                format!("strategy.rollingUpdate.maxSurge: Invalid value: \"half\": {PERCENT}"),
            ]
        );
        let most =
            "strategy.rollingUpdate.maxUnavailable: Invalid value: \"150%\": must not be greater than 100%";
        assert_eq!(rolling(json!("-1%"), json!("150%"))[0], most);
        let recreate = json!({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": "half"}}});
        assert_eq!(words(&recreate), [] as [&str; 0], "another rule refuses it");
    }

    #[test]
    fn a_tolerance_is_a_quantity_that_is_not_negative() {
        let tolerance = |text: &str| words(&json!({"behavior": {"scaleUp": {"tolerance": text}}}));
        for good in ["0", "0.05", "50m", "-0"] {
            assert_eq!(tolerance(good), [] as [&str; 0], "{good}");
        }
        let field = "behavior.scaleUp.tolerance: Invalid value:";
        assert_eq!(tolerance("abc"), [format!("{field} \"abc\": {GRAMMAR}")]);
        assert_eq!(tolerance("-1"), [format!("{field} \"-1\": {NOT_NEGATIVE}")]);
    }
}
