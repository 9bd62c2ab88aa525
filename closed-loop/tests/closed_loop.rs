//! The closed loop as a person starts it, with fewer records: every promise of its stories, read from their figures.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const RECORDS: u64 = 6000;

/// Each has a whole cluster, and takes times.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Tells the story with these flags, and reads its figures.
fn told(folder: &Path, records: u64, flags: &[&str]) -> Outcome<(String, Value)> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let records = records.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_closed-loop"))
        .args(["--records", &records, "--report"])
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
    let (told, figures) = told(folder.path(), RECORDS, &[])?;
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

#[test]
fn ten_groups_on_twenty_topics_grow_together_and_lose_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    // Enough that the last of ten groups has all its consumers before the first has nothing left.
    let records = 4 * RECORDS;
    let (told, figures) = told(folder.path(), records, &["--scale"])?;
    let groups = figures["figures"]["groups"].as_array().ok_or("no groups")?;
    assert_eq!(groups.len(), 10, "{told}");
    let to_each = 2 * (records * 2 / 20 + 1);
    for group in groups {
        let counts = ["sent", "processed", "lost"].map(|count| group[count].as_u64());
        assert_eq!(counts, [Some(to_each), Some(to_each), Some(0)], "{group}");
        assert_eq!(group["replicas"], serde_json::json!([1, 4, 1]), "{group}");
    }
    for said in [
        "must not be more than 2: topics team-1-topic-1 (1), team-1-topic-2 (1) have 2 partitions",
        "RecordsLagBreached has fired for",
        "SIGKILL: team-",
    ] {
        assert!(told.contains(said), "{said:?} in\n{told}");
    }
    assert!(folder.path().join("report.html").is_file());
    Ok(())
}

/// Which of the two costs less is for a quiet computer to say (docs/closed-loop.md); that both are told whole, for this test.
#[test]
fn the_same_load_by_both_defaults_stands_beside_each_other() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (told, figures) = told(folder.path(), RECORDS, &["--compare"])?;
    let runs = figures.as_array().ok_or_else(|| format!("no two runs: {figures}"))?;
    assert_eq!(runs.len(), 2, "{told}");
    for run in runs {
        let group = &run["figures"]["groups"][0];
        let counts = ["sent", "processed", "lost"].map(|count| group[count].as_u64());
        assert_eq!(counts, [Some(RECORDS * 2 + 1), Some(RECORDS * 2 + 1), Some(0)], "{group}");
        // One more than there are partitions may be ready while it is rolled.
        let [before, most, after] = [0, 1, 2].map(|at| group["replicas"][at].as_u64());
        assert!((before, after) == (Some(1), Some(1)) && most >= Some(6), "{group}");
        assert!(group["rebalances"].as_u64() >= Some(3), "{group}");
    }
    Ok(())
}

#[test]
fn the_closed_loop_without_java_is_one_sentence_with_the_cure() -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_closed-loop")).env("JAVA_HOME", "/nowhere").output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("closed-loop: ") && last.contains("/nowhere") && last.contains("JAVA_HOME"),
        "{said}"
    );
    Ok(())
}
