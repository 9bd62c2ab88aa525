//! Rules for what a group asks of Prometheus, which it shares with others.

use super::endpoint::{EXPANDED, MAX_ENDPOINTS, QUERY};
use super::field_errors::FieldErrors;
use crate::duration;
use crate::messages::{self, NOT_NEGATIVE};
use crate::names;
use crate::rule_input::RuleInput;
use crate::scrape_limits::{MIN_INTERVAL, ScrapeLimits, is_size_within, is_within};
use crate::violation::{Rule, Violation};

/// Each endpoint is scraped once a second at most.
pub(crate) fn scrapes_are_not_too_frequent(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let metrics = &input.spec.metrics;
    let mut errors = FieldErrors::new(Rule::ScrapeLimits, violations);
    let additional = metrics.additional_endpoints.iter().take(MAX_ENDPOINTS).enumerate();
    let additional = additional.map(|(index, endpoint)| {
        (format!("spec.metrics.additionalEndpoints[{index}].interval"), endpoint.interval.as_deref())
    });
    let main = ("spec.metrics.interval".to_owned(), metrics.interval.as_deref());
    for (field, interval) in std::iter::once(main).chain(additional) {
        if let Some(interval) = interval.filter(|interval| duration::is_longer(MIN_INTERVAL, interval)) {
            errors.invalid(field, interval, &format!("must be at least {MIN_INTERVAL}"));
        }
    }
}

/// A scrape brings no more than the installation allows.
pub(crate) fn scrapes_are_within_the_limits(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let limits = input.spec.metrics.scrape_limits();
    check("spec.metrics", &limits, &input.scrape_limits, violations);
}

/// The limits of an installation are limits.
pub(crate) fn limits_are_well_formed(limits: &ScrapeLimits, violations: &mut Vec<Violation>) {
    check("spec.limits", limits, &ScrapeLimits::default(), violations);
}

fn check(path: &str, limits: &ScrapeLimits, most: &ScrapeLimits, violations: &mut Vec<Violation>) {
    let mut errors = FieldErrors::new(Rule::ScrapeLimits, violations);
    number(format!("{path}.sampleLimit"), limits.sample_limit, most.sample_limit, &mut errors);
    number(format!("{path}.labelLimit"), limits.label_limit, most.label_limit, &mut errors);
    let Some(size) = limits.body_size_limit.as_deref() else { return };
    let field = format!("{path}.bodySizeLimit");
    if !names::BODY_SIZE.matches(size) {
        // 0 is advised only where it is accepted.
        let may_be_none = is_size_within("0", most.body_size_limit.as_deref());
        let message = if may_be_none { messages::BODY_SIZE_OR_NONE } else { messages::BODY_SIZE };
        errors.invalid(field, size, message);
    } else if !is_size_within(size, most.body_size_limit.as_deref()) {
        errors.invalid(field, size, &above(most.body_size_limit.as_deref().unwrap_or_default()));
    }
}

fn number(field: String, limit: Option<i64>, most: Option<i64>, errors: &mut FieldErrors<'_>) {
    let most = most.unwrap_or_default();
    if let Some(limit) = limit.filter(|limit| !is_within(*limit, most)) {
        let message = if most == 0 { NOT_NEGATIVE.to_owned() } else { above(&most.to_string()) };
        errors.invalid(field, limit, &message);
    }
}

/// 0 stands for no limit.
fn above(most: &str) -> String {
    format!("must be more than 0 and at most {most}, the limit of this installation")
}

/// The path has nothing that prometheus-operator replaces.
pub(crate) fn paths_are_passed_on_as_they_are(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let mut errors = FieldErrors::new(Rule::ScrapeLimits, violations);
    let Some(path) = input.spec.metrics.path.as_deref() else { return };
    if path.contains('?') {
        errors.invalid("spec.metrics.path", path, QUERY);
    } else if path.contains("$(") {
        errors.invalid("spec.metrics.path", path, EXPANDED);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::group::KconsumerGroupSpec;
    use crate::group_defaults::GroupDefaults;
    use crate::rule_input::TopicGrants;

    fn words(metrics: &Value, installation: &str) -> Vec<String> {
        let spec: KconsumerGroupSpec = serde_json::from_value(json!({"metrics": metrics})).unwrap();
        let installation = GroupDefaults::parse(installation).unwrap();
        let input = RuleInput::new(Some("k"), "default", &spec, &TopicGrants::Own).within(&installation);
        let mut violations = Vec::new();
        scrapes_are_not_too_frequent(&input, &mut violations);
        scrapes_are_within_the_limits(&input, &mut violations);
        paths_are_passed_on_as_they_are(&input, &mut violations);
        assert!(violations.iter().all(|violation| violation.rule.is_admission_only()));
        violations.iter().map(|violation| violation.to_string().replacen("spec.metrics.", "", 1)).collect()
    }

    #[test]
    fn an_endpoint_is_scraped_once_a_second_at_most() {
        let metrics = |interval: &str| json!({"interval": interval, "additionalEndpoints": [{"port": 1, "interval": interval}]});
        for good in ["1s", "1000ms", "5s"] {
            assert_eq!(words(&metrics(good), ""), [""; 0], "{good}");
        }
        assert_eq!(
            words(&metrics("999ms"), ""),
            [
                "interval: Invalid value: \"999ms\": must be at least 1s",
                "additionalEndpoints[0].interval: Invalid value: \"999ms\": must be at least 1s",
            ]
        );
    }

    #[test]
    fn a_group_may_set_limits_up_to_those_of_the_installation() {
        let of = |samples: i64, labels: i64, body: &str| json!({"sampleLimit": samples, "labelLimit": labels, "bodySizeLimit": body});
        assert_eq!(words(&of(200_000, 128, "64MB"), ""), [""; 0]);
        assert_eq!(
            words(&of(200_001, 0, "65MB"), ""),
            [
                "sampleLimit: Invalid value: 200001: must be more than 0 and at most 200000, the limit of this installation",
                "labelLimit: Invalid value: 0: must be more than 0 and at most 128, the limit of this installation",
                "bodySizeLimit: Invalid value: \"65MB\": must be more than 0 and at most 64MB, the limit of this installation",
            ]
        );
        // 0, no limit, is advised only where the installation allows it.
        assert_eq!(
            words(&of(-1, 1, "16"), ""),
            [
                "sampleLimit: Invalid value: -1: must be more than 0 and at most 200000, the limit of this installation",
                "bodySizeLimit: Invalid value: \"16\": must be a size such as 16MB or 512KB",
            ]
        );
        assert_eq!(
            words(&of(-1, 1, "16"), "limits: {sampleLimit: 0, bodySizeLimit: '0'}"),
            [
                "sampleLimit: Invalid value: -1: must be greater than or equal to 0",
                "bodySizeLimit: Invalid value: \"16\": must be a size such as 16MB or 512KB, or 0 for none",
            ]
        );
        let more = "limits: {sampleLimit: 0, labelLimit: 500, bodySizeLimit: 1GB}";
        assert_eq!(words(&of(0, 500, "1024MB"), more), [""; 0]);
        assert_eq!(words(&of(-1, 501, "0"), more).len(), 3);
    }

    #[test]
    fn a_file_of_defaults_keeps_its_own_limits() {
        for (file, line) in [
            ("metrics: {sampleLimit: 200001}", "metrics.sampleLimit: Invalid value: 200001"),
            ("metrics: {bodySizeLimit: 16mb}", "metrics.bodySizeLimit: Invalid value"),
            ("metrics: {interval: 10ms}", "metrics.interval: Invalid value"),
            ("limits: {bodySizeLimit: many}", "limits.bodySizeLimit: Invalid value"),
            ("limits: {labelLimit: -1}", "limits.labelLimit: Invalid value"),
        ] {
            let errors = GroupDefaults::parse(file).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].to_string().starts_with(&format!("line 1: {line}")), "{}", errors[0]);
        }
        let none = "metrics: {bodySizeLimit: '0'}\nlimits: {bodySizeLimit: '0'}";
        assert!(GroupDefaults::parse(none).is_ok());
    }

    #[test]
    fn a_path_has_no_query_and_no_variable() {
        assert_eq!(words(&json!({"path": "/a/$b/(c)"}), ""), [""; 0]);
        for (path, want) in [("/a?b=c", "question mark"), ("/$(HOME)", "must not contain $(")] {
            let found = words(&json!({"path": path}), "");
            assert!(found.len() == 1 && found[0].contains(want), "{found:?}");
        }
    }
}
