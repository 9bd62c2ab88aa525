//! The consumers' own account of what they have processed: a line on their standard output for each record, written
//! before its offset may be committed. Read from the pods' logs, as they grow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use super::tail::Tail;

/// A record that a consumer has processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processed {
    /// When, in milliseconds since 1970.
    pub at: u64,
    pub pod: String,
    /// Which run of its container: one that was killed and started again takes its partitions anew.
    pub run: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub value: String,
}

/// The line, as kconsumer writes it with --log-records.
#[derive(Deserialize)]
struct Line {
    time: u64,
    topic: String,
    partition: i32,
    offset: i64,
    value: String,
    /// The work on it failed each time: it was given up, so it was not processed.
    #[serde(default)]
    skipped: bool,
}

/// All records of a group so far, in the order in which they were read.
#[derive(Debug, Default)]
pub struct Ledger {
    read: BTreeMap<PathBuf, Tail>,
    records: Vec<Processed>,
    distinct: BTreeSet<(String, i32, i64)>,
}

impl Ledger {
    /// Reads what a pod's log has gained.
    pub fn read(&mut self, pod: &str, log: &Path) -> Result<()> {
        let text = self.read.entry(log.to_owned()).or_default().read(log)?;
        let run = log.file_stem().unwrap_or_default().to_string_lossy();
        for record in text.lines().filter_map(|line| processed(pod, &run, line)) {
            self.distinct.insert((record.topic.clone(), record.partition, record.offset));
            self.records.push(record);
        }
        Ok(())
    }

    /// Every processing of a record.
    pub fn records(&self) -> &[Processed] {
        &self.records
    }

    /// How many different records were processed.
    pub fn distinct(&self) -> u64 {
        self.distinct.len() as u64
    }
}

/// Other lines of the log are the consumer's words for people.
fn processed(pod: &str, run: &str, line: &str) -> Option<Processed> {
    let Line { time, topic, partition, offset, value, skipped } = serde_json::from_str(line).ok()?;
    (!skipped).then(|| Processed {
        at: time,
        pod: pod.to_owned(),
        run: run.to_owned(),
        topic,
        partition,
        offset,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a log with these lines, and how many are different.
    fn told(lines: &[String]) -> Result<(Vec<i64>, u64)> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("pod.log");
        std::fs::write(&log, lines.join("\n") + "\n")?;
        let mut ledger = Ledger::default();
        ledger.read("a", &log)?;
        Ok((ledger.records().iter().map(|record| record.offset).collect(), ledger.distinct()))
    }

    fn line(offset: i64, more: &str) -> String {
        format!(r#"{{"offset":{offset},"partition":2,"time":7,"topic":"t","value":"bar-1"{more}}}"#)
    }

    #[test]
    fn a_record_that_is_processed_twice_is_one_record() -> Result<()> {
        let lines = ["joined".to_owned(), line(1, ""), line(2, ""), line(1, "")];
        assert_eq!(told(&lines)?, (vec![1, 2, 1], 2));
        Ok(())
    }

    #[test]
    fn a_record_that_was_given_up_was_not_processed() -> Result<()> {
        assert_eq!(told(&[line(1, r#","skipped":true"#), line(2, "")])?, (vec![2], 1));
        Ok(())
    }
}
