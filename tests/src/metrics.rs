//! What a process of the operator says in its metrics.

use kcg_api::names::METRIC_PREFIX;

/// The sum of the samples of a metric, named without the operator's prefix, whose labels `counts`
/// accepts. Labels are given as they are written: `{verb="apply"}`, or empty. `None` if there is
/// no such sample.
pub fn metric(text: &str, name: &str, counts: impl Fn(&str) -> bool) -> Option<f64> {
    let counted = samples(text, name).filter(|(labels, _)| counts(labels));
    counted.filter_map(|(_, value)| value.parse::<f64>().ok()).reduce(|sum, value| sum + value)
}

/// How many requests with these verbs the text counts.
pub fn counted_requests(text: &str, verbs: &[&str]) -> u64 {
    let is_one = |labels: &str| verbs.iter().any(|verb| labels.contains(&format!("verb=\"{verb}\"")));
    let counted = samples(text, "api_requests_total").filter(|(labels, _)| is_one(labels));
    counted.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

/// The labels and the value of each sample of a metric.
fn samples<'a>(text: &'a str, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.lines().filter_map(move |line| {
        let (series, value) = line.strip_prefix(METRIC_PREFIX)?.strip_prefix('_')?.rsplit_once(' ')?;
        let labels = series.strip_prefix(name)?;
        (labels.is_empty() || labels.starts_with('{')).then_some((labels, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE kconsumer_group_operator_leader gauge\n\
        kconsumer_group_operator_leader 1\n\
        kconsumer_group_operator_leader_changes_total 7\n\
        kconsumer_group_operator_api_requests_total{verb=\"apply\",code=\"200\"} 2\n\
        kconsumer_group_operator_api_requests_total{verb=\"patch\",code=\"409\"} 3\n\
        kconsumer_group_operator_api_requests_total{verb=\"list\",code=\"200\"} 5\n";

    #[test]
    fn samples_of_one_metric_are_added_if_their_labels_count() {
        assert_eq!(metric(TEXT, "leader", |_| true), Some(1.0));
        assert_eq!(metric(TEXT, "api_requests_total", |labels| labels.contains("code=\"200\"")), Some(7.0));
        assert_eq!(metric(TEXT, "api_requests", |_| true), None);
    }

    #[test]
    fn requests_are_counted_by_verb() {
        assert_eq!(counted_requests(TEXT, &["apply", "patch"]), 5);
        assert_eq!(counted_requests(TEXT, &["delete"]), 0);
    }
}
