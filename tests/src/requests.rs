//! What an operator says of its own requests.

/// How many requests with these verbs the text of its metrics counts.
pub fn counted_requests(metrics: &str, verbs: &[&str]) -> u64 {
    let lines = metrics.lines().filter(|line| line.contains("_api_requests_total{"));
    let counted = lines.filter(|line| verbs.iter().any(|verb| line.contains(&format!("verb=\"{verb}\""))));
    counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
