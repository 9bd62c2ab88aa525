//! The closed loop as a person starts it, with fewer records: every promise of its story, read from its figures.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const RECORDS: u64 = 6000;

/// Tells the story with these flags, and reads its figures.
fn told(folder: &Path, flags: &[&str]) -> Outcome<(String, Value)> {
    let records = RECORDS.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["--kafka", "--records", &records, "--report"])
        .arg(folder)
        .args(flags)
        .output()?;
    let (told, said) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(output.status.success(), "{told}\n{said}");
    let figures = std::fs::read_to_string(folder.join("figures.json"))?;
    Ok((told, serde_json::from_str(&figures)?))
}

#[test]
fn one_consumer_becomes_three_and_one_again_and_nothing_is_lost() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (told, figures) = told(folder.path(), &[])?;
    let group = &figures["figures"]["groups"][0];
    assert_eq!(group["sent"], RECORDS + 1, "{told}");
    assert_eq!(group["processed"], RECORDS + 1, "{told}");
    assert_eq!(group["lost"], 0, "{told}");
    assert_eq!(group["replicas"], serde_json::json!([1, 3, 1]), "{told}");
    for measured in [
        "topicToCeilingMs",
        "loadToFirstPod",
        "loadToAllPods",
        "loadToDrained",
        "drainedToShrunk",
        "alertFiredAfter",
        "alertResolvedAfter",
    ] {
        assert!(group[measured].as_f64().is_some_and(|value| value >= 0.0), "{measured} in {group}\n{told}");
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
    assert!(page.contains("<svg") && outside.is_none(), "the page needs nothing beside it: {outside:?}");
    // Refused first, with the numbers; each fault is told; no terminal, no colours.
    for said in [
        "must not be more than 1: topic fast-data-topic has 1 partition",
        "firing: RecordsLagBreached-kconsumer",
        "which had no chance to commit or to leave the group",
        "SIGKILL: kconsumer-group-operator-controller",
    ] {
        assert!(told.contains(said), "{said:?} in\n{told}");
    }
    assert!(!told.contains('\x1b'));
    Ok(())
}
