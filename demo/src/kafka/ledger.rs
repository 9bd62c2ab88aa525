//! The consumers' own account of what they have processed: a line on their standard output for each record, written
//! before its offset may be committed. Read from the pods' logs, as they grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

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
}

/// All records of a group so far, in the order in which they were read.
#[derive(Debug, Default)]
pub struct Ledger {
    read: BTreeMap<PathBuf, u64>,
    records: Vec<Processed>,
    distinct: BTreeSet<(String, i32, i64)>,
}

impl Ledger {
    /// Reads what a pod's log has gained. A line that is being written right now is left for later.
    pub fn read(&mut self, pod: &str, log: &Path) -> Result<()> {
        let start = self.read.entry(log.to_owned()).or_default();
        let mut text = String::new();
        File::open(log)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(*start))?;
                file.read_to_string(&mut text)
            })
            .with_context(|| format!("read {}", log.display()))?;
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        *start += text.len() as u64;
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
    let Line { time, topic, partition, offset, value } = serde_json::from_str(line).ok()?;
    Some(Processed { at: time, pod: pod.to_owned(), run: run.to_owned(), topic, partition, offset, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_it_grows_and_a_half_line_is_left_for_later() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("pod.log");
        let line = |offset: i64| {
            format!(r#"{{"offset":{offset},"partition":2,"time":7,"topic":"t","value":"bar-1"}}"#)
        };
        let mut ledger = Ledger::default();
        std::fs::write(&log, format!("joined\n{}\n{}", line(1), &line(2)[..9]))?;
        ledger.read("a", &log)?;
        assert_eq!(ledger.records().iter().map(|record| record.offset).collect::<Vec<_>>(), [1]);
        std::fs::write(&log, format!("joined\n{}\n{}\n{}\n", line(1), line(2), line(1)))?;
        ledger.read("a", &log)?;
        assert_eq!((ledger.records().len(), ledger.distinct()), (3, 2));
        Ok(())
    }
}
