//! The dashboards: promtool parses every query, and kustomize puts them into a ConfigMap.

use kcg_manifests::grafana::queries;
use kcg_tests::{Outcome, deploy, promtool};
use serde_json::{Value, json};

use crate::built::check_rules;
use crate::kustomize::{build, title};

const DASHBOARDS: [&str; 2] = ["grafana/groups.json", "grafana/operator.json"];
/// Values for the variables of the queries.
const VARIABLES: [(&str, &str); 3] =
    [("namespace", "default"), ("group", "kconsumer"), ("__rate_interval", "2m")];

/// The titles and queries of all panels, in both dashboards as they ship.
fn panels() -> Outcome<Vec<(String, String)>> {
    let mut panels = Vec::new();
    for path in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(deploy(path))?)?;
        panels.extend(queries(&dashboard, &VARIABLES));
    }
    Ok(panels)
}

/// The PromQL of every panel and variable.
pub fn expressions() -> Outcome<Vec<String>> {
    let mut expressions: Vec<String> = panels()?.into_iter().map(|(_, expression)| expression).collect();
    for path in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(deploy(path))?)?;
        let variables = dashboard["templating"]["list"].as_array().into_iter().flatten();
        expressions
            .extend(variables.filter_map(|variable| variable["definition"].as_str().map(str::to_owned)));
    }
    Ok(expressions)
}

/// An expression without the references of a label_replace to what its regular expression captured,
/// `$1` and `${1}`. No variable of Grafana has such a name.
fn without_captures(expression: &str) -> String {
    (1..=9).fold(expression.to_owned(), |text, group| {
        text.replace(&format!("${{{group}}}"), "").replace(&format!("\"${group}\""), "")
    })
}

#[tokio::test]
async fn every_query_is_promql_without_an_unknown_variable() -> Outcome {
    let panels = panels()?;
    assert!(panels.len() > 30, "{}", panels.len());
    for (title, expression) in &panels {
        let rest = without_captures(expression);
        assert!(!rest.contains('$'), "{title}: {rest}");
    }
    let rules: Vec<Value> =
        panels.iter().map(|(_, expression)| json!({"record": "panels", "expr": expression})).collect();
    let groups = json!({"groups": [{"name": "dashboards", "rules": rules}]});
    check_rules(&groups, &["--lint=none"]).await.map_err(|error| format!("{error}\n{panels:#?}").into())
}

/// Spring's clients of one pod each have a client-id, and the pod has the partitions of all.
#[tokio::test]
async fn the_partitions_of_a_pod_are_those_of_all_its_clients() -> Outcome {
    let panels = panels()?;
    let (_, expression) =
        panels.iter().find(|(title, _)| title == "Partitions assigned").ok_or("no panel")?;
    let series = |pod: &str, client: u8, partitions: u8| {
        let name = "kafka_consumer_coordinator_assigned_partitions";
        let labels = format!(r#"namespace="default",service="kconsumer",pod="{pod}",client_id="{client}""#);
        json!({"series": format!("{name}{{{labels}}}"), "values": format!("{partitions}x8")})
    };
    let samples = [("a", 3), ("b", 0)]
        .map(|(pod, value)| json!({"labels": format!(r#"{{pod="{pod}"}}"#), "value": value}));
    let tests = json!({"rule_files": [], "tests": [{
        "interval": "15s",
        "input_series": [series("a", 1, 1), series("a", 2, 1), series("a", 3, 1), series("b", 1, 0)],
        "promql_expr_test": [{"expr": expression, "eval_time": "1m", "exp_samples": samples}],
    }]});
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("partitions.yaml"), tests.to_string())?;
    promtool(folder.path(), &["test", "rules", "partitions.yaml"]).await?;
    Ok(())
}

#[tokio::test]
async fn kustomize_builds_a_config_map_that_the_sidecar_of_grafana_finds() -> Outcome {
    let objects = build(&deploy("grafana")).await?;
    assert_eq!(
        objects.iter().map(title).collect::<Vec<_>>(),
        ["ConfigMap kconsumer-group-operator-dashboards"]
    );
    assert_eq!(objects[0]["metadata"]["labels"]["grafana_dashboard"], "1");
    let data = objects[0]["data"].as_object().ok_or("no data")?;
    let mut identities = Vec::new();
    for text in data.values() {
        let dashboard: Value = serde_json::from_str(text.as_str().ok_or("no text")?)?;
        identities.push(dashboard["uid"].clone());
    }
    assert_eq!(identities, ["kcg-operator", "kcg-groups"]);
    Ok(())
}
