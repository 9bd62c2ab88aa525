//! The rules with which prometheus-adapter serves the lag.

use kcg_api::preset::Preset;
use kcg_tests::{Outcome, deploy};
use serde_json::{Value, json};

use crate::built::check_rules;

fn read(name: &str) -> Outcome<Value> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(deploy(&format!("prometheus-adapter/{name}")))?)?)
}

#[tokio::test]
async fn the_queries_of_the_adapter_rules_are_promql() -> Outcome {
    let rules = read("rules.yaml")?;
    let filled_in = |rule: &Value| {
        let (series, query) = (rule["seriesQuery"].as_str()?, rule["metricsQuery"].as_str()?);
        let query = query
            .replace("<<.Series>>", series.split('{').next()?)
            .replace("<<.LabelMatchers>>", r#"namespace="default",pod=~"a|b""#)
            .replace("<<.GroupBy>>", "pod");
        Some([series.to_owned(), query])
    };
    let queries: Vec<String> =
        rules["rules"].as_array().into_iter().flatten().filter_map(filled_in).flatten().collect();
    assert_eq!(queries.len(), 2 * 3 * Preset::ALL.len());
    let recorded: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(i, expr)| json!({"record": format!("q{i}"), "expr": expr}))
        .collect();
    check_rules(&json!({"groups": [{"name": "adapter", "rules": recorded}]}), &[]).await
}
