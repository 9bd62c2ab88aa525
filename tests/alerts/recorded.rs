//! The expressions of the adapter's rules and of the alerts on series that were recorded from real
//! clients (`recordings/`): a Spring Boot 4.0 and 3.5 application with three clients, a Java
//! consumer under the JMX exporter, and apps/kconsumer on librdkafka, which exports the figures under
//! Micrometer's and librdkafka's names. All read the topics `orders` and `shop.orders`, three
//! partitions each. `cargo test -p kcg-closed-loop --test clients -- --ignored` records apps/kconsumer.

use std::path::Path;

use anyhow::{Context, Result};
use kcg_api::preset::{LagStatistic, Preset};
use kcg_core::lag::adapter_rules;
use kcg_tests::promtool;
use serde_json::{Value, json};

/// A recorded scrape, and the lag that it means: the sum and the maximum over the pod's partitions;
/// `None` if the pod is missing.
type Scene = (&'static str, Option<[i64; 2]>);

const SCENES: [Scene; 38] = [
    // A client that has just started has no partitions, and so no lag.
    ("spring4-before-first-poll", Some([0, 0])),
    ("spring3-before-first-poll", Some([0, 0])),
    ("jmx-before-first-poll", Some([0, 0])),
    ("rust-before-first-poll", Some([0, 0])),
    // Its last poll was -1 seconds ago.
    ("jmx-never-polled", Some([0, 0])),
    ("rust-never-polled", Some([0, 0])),
    // Micrometer shows the partitions' lag after a minute: until then the pod is missing.
    ("spring4-backlog", None),
    ("spring3-backlog", None),
    ("spring4-drained-0s", None),
    ("jmx-backlog", Some([127, 127])),
    ("rust-backlog", Some([2632, 520])),
    // Each partition once, although 4.1 and later report shop.orders twice.
    ("spring4-rebalance-before", Some([1729, 610])),
    ("spring3-rebalance-before", Some([1678, 560])),
    ("jmx-rebalance-before", Some([260, 260])),
    ("rust-rebalance-before", Some([1041, 500])),
    // A quiet topic leaves no lag behind, whatever records_lag_max says.
    ("spring4-drained-30s", Some([0, 0])),
    ("spring4-drained-120s", Some([0, 0])),
    ("spring3-drained-120s", Some([0, 0])),
    ("jmx-drained-30s", Some([0, 0])),
    ("jmx-drained-120s", Some([0, 0])),
    ("rust-drained-120s", Some([0, 0])),
    // Partitions that moved away are NaN or gone.
    ("spring4-rebalance-0s", Some([1695, 1695])),
    ("spring3-rebalance-0s", Some([1236, 1236])),
    ("jmx-rebalance-0s", Some([935, 935])),
    ("rust-rebalance-0s", Some([1088, 520])),
    ("spring4-rebalance-joined-30s", None),
    ("spring4-rebalance-joined-70s", Some([0, 0])),
    ("jmx-rebalance-joined-30s", Some([522, 522])),
    // Partitions without traffic that a rebalance took away and gave back: no response to a fetch
    // mentions them, or Micrometer shows them a minute later.
    ("jmx-given-back-30s", Some([0, 0])),
    ("spring4-given-back-15s", Some([0, 0])),
    // More consumers than partitions.
    ("spring4-no-partitions-75s", Some([0, 0])),
    ("spring3-no-partitions-75s", Some([0, 0])),
    ("jmx-no-partitions-75s", Some([0, 0])),
    ("rust-no-partitions-75s", Some([0, 0])),
    // A client that hangs keeps the figure of its last poll.
    ("spring4-hung-150s", Some([1851, 646])),
    ("spring3-hung-150s", Some([1851, 646])),
    ("jmx-hung-150s", Some([608, 608])),
    ("rust-hung-150s", Some([3000, 520])),
];

/// The presets for the client in a recording.
pub fn presets(recording: &str) -> &'static [Preset] {
    match recording.split('-').next() {
        Some("jmx") => &[Preset::JmxExporter],
        Some("rust") => &[Preset::Spring, Preset::Librdkafka],
        _ => &[Preset::Spring],
    }
}

/// What a client that waits for records counts in the 15 s between two scrapes: each of its fetches
/// waits for half a second.
const FETCHES: &str = "30";

/// The series of a recording as promtool takes them, scraped from one pod of the group for as long
/// as `times` says. Its clients fetch; what else they export stays as it is.
pub fn series(recording: &str, pod: &str, times: &str) -> Result<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/recordings");
    let file = folder.join(format!("{recording}.prom"));
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let own = format!(r#"namespace="default",service="kconsumer",pod="{pod}""#);
    let fetches: Vec<&str> =
        presets(recording).iter().filter_map(|preset| preset.client_metrics().fetches).collect();
    let sample = |line: &str| -> Result<Value> {
        let (series, value) = line.rsplit_once(' ').context("a sample has a value")?;
        let (name, labels) = series.split_once('{').context("a sample has labels")?;
        let step = if fetches.contains(&name) { FETCHES } else { "0" };
        let values = format!("{value}+{step}{times}");
        Ok(json!({"series": format!("{name}{{{own},{labels}"), "values": values}))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

/// The query that an adapter sends for a lag of the preset, for every pod of the namespace.
pub fn adapter_query(preset: Preset, statistic: LagStatistic) -> Result<String> {
    let rules = adapter_rules();
    let name = preset.lag_metric(statistic);
    let rules = rules["rules"].as_array().context("a list")?;
    resolved(rules.iter().find(|rule| rule["name"]["as"] == *name).context("the lag has a rule")?)
}

/// The query of a rule, as the adapter sends it.
fn resolved(rule: &Value) -> Result<String> {
    let series =
        rule["seriesQuery"].as_str().and_then(|query| query.split('{').next()).context("a series")?;
    let query = rule["metricsQuery"].as_str().context("a query")?;
    Ok(query
        .replace("<<.Series>>", series)
        .replace("<<.LabelMatchers>>", r#"namespace="default",pod=~"a|b|c""#)
        .replace("<<.GroupBy>>", "pod"))
}

/// When the queries are asked: later than the time for which a client must have received nothing.
const AT: &str = "3m";
/// The scrapes until then, and one more.
const SCRAPES: &str = "x13";

fn expected(query: &str, lags: &[(&str, i64)]) -> Value {
    let samples: Vec<Value> = lags
        .iter()
        .map(|(pod, lag)| json!({"labels": format!(r#"{{pod="{pod}"}}"#), "value": lag}))
        .collect();
    json!({"expr": query, "eval_time": AT, "exp_samples": samples})
}

async fn test(tests: &[Value]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = json!({"evaluation_interval": "15s", "tests": tests});
    std::fs::write(folder.path().join("recorded.yaml"), file.to_string())?;
    promtool(folder.path(), &["test", "rules", "recorded.yaml"]).await
}

#[tokio::test]
async fn the_adapter_reads_the_true_lag_of_every_client_that_was_recorded() -> Result<()> {
    let mut tests = Vec::new();
    for (recording, lags) in SCENES {
        let mut queries = Vec::new();
        for preset in presets(recording) {
            for (index, statistic) in LagStatistic::ALL.into_iter().enumerate() {
                let lag: Vec<(&str, i64)> = lags.iter().map(|lags| ("a", lags[index])).collect();
                queries.push(expected(&adapter_query(*preset, statistic)?, &lag));
            }
        }
        tests.push(json!({
            "name": recording, "interval": "15s",
            "input_series": series(recording, "a", SCRAPES)?, "promql_expr_test": queries,
        }));
    }
    test(&tests).await
}

#[tokio::test]
async fn only_a_pod_that_fetches_and_polls_and_receives_nothing_has_no_lag_without_a_figure() -> Result<()> {
    let query = adapter_query(Preset::JmxExporter, LagStatistic::Sum)?;
    let metrics = Preset::JmxExporter.client_metrics();
    let fetches = metrics.fetches.context("the client counts fetches")?;
    let changed = |metric: &'static str, values: &'static str| Some((metric, values));
    let mut tests = Vec::new();
    for (name, change, lag) in [
        ("it waits for records", None, vec![("a", 0)]),
        ("it is paused: it polls and does not fetch", changed(fetches, "383x13"), vec![]),
        ("it consumes", changed(metrics.records_consumed, "0x11 500x2"), vec![]),
        ("it hangs", changed(metrics.last_poll_seconds_ago, "5+15x13"), vec![]),
        ("it has its first partitions", changed(metrics.assigned_partitions, "0x6 4x7"), vec![]),
        ("it has more partitions", changed(metrics.assigned_partitions, "2x6 4x7"), vec![("a", 0)]),
    ] {
        let mut input = series("jmx-given-back-30s", "a", SCRAPES)?;
        if let Some((metric, values)) = change {
            for series in &mut input {
                if series["series"].as_str().is_some_and(|series| series.starts_with(&format!("{metric}{{")))
                {
                    series["values"] = json!(values);
                }
            }
        }
        tests.push(json!({
            "name": name, "interval": "15s", "input_series": input,
            "promql_expr_test": [expected(&query, &lag)],
        }));
    }
    test(&tests).await
}

/// What a metric may be besides a number, and what the adapter makes of it.
#[tokio::test]
async fn the_adapter_serves_no_lag_that_is_no_number_and_none_of_a_pod_that_is_gone() -> Result<()> {
    let metrics = Preset::Spring.client_metrics();
    let one = |metric: &str, pod: &str, labels: &str, values: &str| {
        json!({
            "series": format!(r#"{metric}{{namespace="default",pod="{pod}",{labels}}}"#), "values": values,
        })
    };
    let assigned = |pod: &str, count: i64| {
        one(metrics.assigned_partitions, pod, r#"client_id="1""#, &format!("{count}x13"))
    };
    let lag = |pod: &str, partition: i64, values: &str| {
        one(metrics.records_lag, pod, &format!(r#"client_id="1",topic="t",partition="{partition}""#), values)
    };
    let mut tests = Vec::new();
    for (name, series, sum) in [
        (
            "NaN hides no lag",
            vec![assigned("a", 2), lag("a", 0, "NaN+0x13"), lag("a", 1, "7x13")],
            vec![("a", 7)],
        ),
        ("NaN alone is missing", vec![assigned("a", 1), lag("a", 0, "NaN+0x13")], vec![]),
        ("infinity is missing", vec![assigned("a", 1), lag("a", 0, "Inf+0x13")], vec![]),
        (
            "infinity adds nothing",
            vec![assigned("a", 2), lag("a", 0, "+Inf+0x13"), lag("a", 1, "7x13")],
            vec![("a", 7)],
        ),
        ("a negative value is missing", vec![assigned("a", 1), lag("a", 0, "-1x13")], vec![]),
        (
            "a pod that exports nothing is missing",
            vec![assigned("a", 1), lag("a", 0, "7x13")],
            vec![("a", 7)],
        ),
        (
            "assigned partitions without a figure are missing",
            vec![assigned("a", 1), assigned("b", 0)],
            vec![("b", 0)],
        ),
        (
            "a client without partitions counts its ghosts as zero",
            vec![assigned("a", 0), lag("a", 0, "7x13")],
            vec![("a", 0)],
        ),
        (
            "a pod that is gone is missing",
            vec![assigned("a", 1), lag("a", 0, "7x2 stale"), assigned("b", 1), lag("b", 1, "5x13")],
            vec![("b", 5)],
        ),
        (
            "a pod of another namespace or group is not asked for",
            vec![assigned("x", 1), lag("x", 0, "7x13")],
            vec![],
        ),
    ] {
        let query = expected(&adapter_query(Preset::Spring, LagStatistic::Sum)?, &sum);
        tests.push(
            json!({"name": name, "interval": "15s", "input_series": series, "promql_expr_test": [query]}),
        );
    }
    test(&tests).await
}

#[tokio::test]
async fn the_rules_of_the_former_names_serve_numbers_alone() -> Result<()> {
    let mut tests = Vec::new();
    for preset in Preset::ALL {
        let metric = preset.client_metrics().former_lag;
        let rules = adapter_rules();
        let rules = rules["rules"].as_array().context("a list")?;
        let former = rules
            .iter()
            .find(|rule| {
                rule["name"].is_null()
                    && rule["seriesQuery"].as_str().is_some_and(|query| query.starts_with(metric))
            })
            .context("a former rule")?;
        let query = resolved(former)?;
        for (value, lag) in [("7", vec![("a", 7)]), ("NaN", vec![]), ("Inf", vec![]), ("-1", vec![])] {
            let series = format!(r#"{metric}{{namespace="default",pod="a",client_id="1"}}"#);
            tests.push(json!({
                "name": format!("{metric} {value}"), "interval": "15s",
                "input_series": [{"series": series, "values": format!("{value}+0{SCRAPES}")}],
                "promql_expr_test": [expected(&query, &lag)],
            }));
        }
    }
    test(&tests).await
}

#[tokio::test]
async fn a_topic_with_up_to_fifteen_dots_counts_once() -> Result<()> {
    let metrics = Preset::Spring.client_metrics();
    let mut tests = Vec::new();
    for dots in 0..=15 {
        let dotted = vec!["a"; dots + 1].join(".");
        let series = |topic: &str| {
            json!({
                "series": format!(r#"{}{{namespace="default",pod="a",topic="{topic}",partition="0"}}"#, metrics.records_lag),
                "values": "7x13",
            })
        };
        let mut names = vec![series(&dotted), series("other")];
        if dots > 0 {
            names.push(series(&dotted.replace('.', "_")));
        }
        tests.push(json!({
            "name": format!("{dots} dots"), "interval": "15s", "input_series": names,
            "promql_expr_test": [expected(&adapter_query(Preset::Spring, LagStatistic::Sum)?, &[("a", 14)])],
        }));
    }
    test(&tests).await
}
