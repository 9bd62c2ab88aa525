//! The records that the consumers have processed. Each consumer writes a line for each record to
//! its standard output, before it commits the record's offset; the lines are read from the pods'
//! logs as they grow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use super::log_tail::LogTail;

/// A record that a consumer has processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processed {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The pod that processed it.
    pub pod: String,
    /// The run of the pod's container: after a restart it is assigned its partitions again.
    pub run: String,
    /// The record's topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub value: String,
}

/// A line that kconsumer writes with --log-records.
#[derive(Deserialize)]
struct Line {
    time: u64,
    topic: String,
    partition: i32,
    offset: i64,
    value: String,
    /// The consumer gave up on the record after several failures, so it was not processed.
    #[serde(default)]
    skipped: bool,
}

/// All records of a group so far, in the order in which they were read.
#[derive(Debug, Default)]
pub struct ProcessedLog {
    read: BTreeMap<PathBuf, LogTail>,
    records: Vec<Processed>,
    distinct: BTreeSet<(String, i32, i64)>,
}

impl ProcessedLog {
    /// Reads what was added to a pod's log.
    pub fn read(&mut self, pod: &str, log: &Path) -> Result<()> {
        let text = self.read.entry(log.to_owned()).or_default().read(log)?;
        let run = log.file_stem().unwrap_or_default().to_string_lossy();
        for record in text.lines().filter_map(|line| parse(pod, &run, line)) {
            self.distinct.insert((record.topic.clone(), record.partition, record.offset));
            self.records.push(record);
        }
        Ok(())
    }

    /// All records in the order of the logs; one that was processed twice is there twice.
    pub fn records(&self) -> &[Processed] {
        &self.records
    }

    /// The number of different records.
    pub fn distinct(&self) -> u64 {
        self.distinct.len() as u64
    }
}

/// Other lines of the log are messages for users.
fn parse(pod: &str, run: &str, line: &str) -> Option<Processed> {
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

    /// The offsets of the records in a log with these lines, and how many records are different.
    fn read(lines: &[String]) -> Result<(Vec<i64>, u64)> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("pod.log");
        std::fs::write(&log, lines.join("\n") + "\n")?;
        let mut processed = ProcessedLog::default();
        processed.read("a", &log)?;
        Ok((processed.records().iter().map(|record| record.offset).collect(), processed.distinct()))
    }

    fn line(offset: i64, more: &str) -> String {
        format!(r#"{{"offset":{offset},"partition":2,"time":7,"topic":"t","value":"bar-1"{more}}}"#)
    }

    #[test]
    fn a_record_that_is_processed_twice_counts_once() -> Result<()> {
        let lines = ["joined".to_owned(), line(1, ""), line(2, ""), line(1, "")];
        assert_eq!(read(&lines)?, (vec![1, 2, 1], 2));
        Ok(())
    }

    #[test]
    fn a_skipped_record_does_not_count_as_processed() -> Result<()> {
        assert_eq!(read(&[line(1, r#","skipped":true"#), line(2, "")])?, (vec![2], 1));
        Ok(())
    }
}
