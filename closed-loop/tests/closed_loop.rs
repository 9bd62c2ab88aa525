//! The scenarios as a user starts them, with fewer records. Every promise is checked in their
//! metrics.

use std::path::Path;
use std::process::Command;

use parking_lot::Mutex;
use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const RECORDS: u64 = 6000;

/// Each test starts a cluster and measures times.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs the program with these flags; returns its output and the metrics.
fn run(folder: &Path, records: u64, flags: &[&str]) -> Outcome<(String, Value)> {
    let _alone = ONE_AT_A_TIME.lock();
    let records = records.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_closed-loop"))
        .args(["--records", &records, "--report"])
        .arg(folder)
        .args(flags)
        .output()?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    Ok((stdout, figures(folder)?))
}

/// The metrics of a report.
fn figures(folder: &Path) -> Outcome<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(folder.join("figures.json"))?)?)
}

#[test]
fn one_consumer_becomes_three_and_one_again_without_losing_a_record() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (stdout, figures) = run(folder.path(), RECORDS, &["--rounds"])?;
    let group = &figures["figures"]["groups"][0];
    assert_eq!(group["sent"], RECORDS + 1, "{stdout}");
    assert_eq!(group["processed"], RECORDS + 1, "{stdout}");
    assert_eq!(group["lost"], 0, "{stdout}");
    assert_eq!(group["replicas"], serde_json::json!([1, 3, 1]), "{stdout}");
    for measured in [
        "topicToCeilingMs",
        "loadToFirstPod",
        "loadToAllPods",
        "loadToDrained",
        "drainedToShrunk",
        "alertFiredAfter",
        "alertResolvedAfter",
    ] {
        assert!(
            group[measured].as_f64().is_some_and(|value| value >= 0.0),
            "{measured} in {group}\n{stdout}"
        );
    }
    assert!(group["rebalances"].as_u64() >= Some(3), "{group}");
    let operator = &figures["figures"]["operator"];
    assert!(operator["requests"]["writes"].as_u64() > Some(0), "{operator}");
    assert!(operator["operator"]["cpuSeconds"].as_f64() > Some(0.0), "{operator}");
    let page = std::fs::read_to_string(folder.path().join("report.html"))?;
    for plot in ["lag", "replicas", "throughput", "rebalances", "alerts"] {
        assert!(folder.path().join(format!("{plot}.svg")).is_file(), "{plot}");
    }
    let outside = ["<script", "<link", " src="].into_iter().find(|tag| page.contains(tag));
    assert!(page.contains("<svg") && outside.is_none(), "the page is not self-contained: {outside:?}");
    // The rejection names the numbers, each kill is reported, and there are no colours without a
    // terminal.
    for line in [
        "must not be more than 1: topic fast-data-topic has 1 partition",
        "firing: KafkaConsumerGroup",
        "which had no chance to commit or to leave the group",
        "SIGKILL: kconsumer-group-operator-controller",
    ] {
        assert!(stdout.contains(line), "{line:?} in\n{stdout}");
    }
    assert!(!stdout.contains('\x1b'));
    scales_out_and_in(&folder.path().join("spring-round"), &stdout)?;
    scales_out_and_in(&folder.path().join("jmx-round"), &stdout)
}

/// The round of a consumer in Java, on the same cluster: 2,000 records, and a window of 90 s before
/// it scales in.
fn scales_out_and_in(folder: &Path, stdout: &str) -> Outcome {
    let group = &figures(folder)?["figures"]["groups"][0];
    let counts = ["sent", "processed", "lost"].map(|count| group[count].as_u64());
    assert_eq!(counts, [Some(2001), Some(2001), Some(0)], "{group}\n{stdout}");
    assert_eq!(group["replicas"], serde_json::json!([1, 2, 1]), "{group}\n{stdout}");
    // A lag that ends with the traffic, or one that is reported for a minute after it, would keep the
    // second consumer for longer.
    let shrunk = group["drainedToShrunk"].as_f64();
    assert!(shrunk.is_some_and(|seconds| seconds < 150.0), "{group}\n{stdout}");
    Ok(())
}

#[test]
fn ten_groups_on_twenty_topics_scale_out_and_lose_no_record() -> Outcome {
    let folder = tempfile::tempdir()?;
    // Enough records that the last group has all its consumers before the first one is drained.
    let records = 4 * RECORDS;
    let (stdout, figures) = run(folder.path(), records, &["--scale"])?;
    let groups = figures["figures"]["groups"].as_array().ok_or("no groups")?;
    assert_eq!(groups.len(), 10, "{stdout}");
    let to_each = 2 * (records * 2 / 20 + 1);
    for group in groups {
        let counts = ["sent", "processed", "lost"].map(|count| group[count].as_u64());
        assert_eq!(counts, [Some(to_each), Some(to_each), Some(0)], "{group}");
        assert_eq!(group["replicas"], serde_json::json!([1, 4, 1]), "{group}");
    }
    for line in [
        "must not be more than 2: topics team-1-topic-1 (1), team-1-topic-2 (1) have 2 partitions",
        "KafkaConsumerGroupLagHigh has fired for",
        "SIGKILL: team-",
    ] {
        assert!(stdout.contains(line), "{line:?} in\n{stdout}");
    }
    assert!(folder.path().join("report.html").is_file());
    Ok(())
}

/// Which group costs less is measured on a quiet computer (docs/closed-loop.md). This test checks
/// that both are reported.
#[test]
fn a_comparison_reports_both_groups() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (stdout, figures) = run(folder.path(), RECORDS, &["--compare"])?;
    let runs = figures.as_array().ok_or_else(|| format!("no two runs: {figures}"))?;
    assert_eq!(runs.len(), 2, "{stdout}");
    for run in runs {
        let group = &run["figures"]["groups"][0];
        let counts = ["sent", "processed", "lost"].map(|count| group[count].as_u64());
        assert_eq!(counts, [Some(RECORDS * 2 + 1), Some(RECORDS * 2 + 1), Some(0)], "{group}");
        // During the rolling update there may be one more ready consumer than partitions.
        let [before, most, after] = [0, 1, 2].map(|at| group["replicas"][at].as_u64());
        assert!((before, after) == (Some(1), Some(1)) && most >= Some(6), "{group}");
        assert!(group["rebalances"].as_u64() >= Some(3), "{group}");
    }
    Ok(())
}

#[test]
fn a_missing_java_is_reported_in_one_sentence_with_the_cure() -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_closed-loop")).env("JAVA_HOME", "/nowhere").output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("closed-loop: ") && last.contains("/nowhere") && last.contains("JAVA_HOME"),
        "{stderr}"
    );
    Ok(())
}
