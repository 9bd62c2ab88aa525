//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};

/// A question that the benchmark answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// How long until many new groups are complete, and what it costs the API server.
    Burst,
    /// How long a new group waits while many others converge.
    Backlog,
    /// Resident memory: base, for each group, after a restart, during new lists.
    Memory,
    /// What a restart costs if nothing is to be done.
    Restart,
    /// What the status writes of the autoscalers cost.
    Idle,
    /// How long until an autoscaler follows its topic.
    TopicLag,
    /// What a review costs the webhook, and what the webhook adds to a creation.
    Webhook,
}

/// Another operator to run in the same way.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in the report.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("write NAME=PATH, or 'NAME=PATH ARGUMENTS'")?;
        let command: Vec<String> = command.split_ascii_whitespace().map(str::to_owned).collect();
        if name.is_empty() || command.is_empty() {
            return Err("both the name and the path are needed".to_owned());
        }
        Ok(Self { name: name.to_owned(), command })
    }
}

fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=100_000).contains(count));
    count.ok_or_else(|| "write a number from 1 to 100000".to_owned())
}

/// The flags.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bench-cluster",
    about = "Measure what the operator costs on a real API server, next to floors in the same run"
)]
pub struct Options {
    /// The cases to run [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CASE,...")]
    pub cases: Vec<Case>,
    /// How many groups; burst runs with each number, memory compares the first with the last, the
    /// others take the last
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_parser = count, value_name = "N,...")]
    pub groups: Vec<usize>,
    /// How often each measurement is repeated; an odd number, so that a median is one of them
    #[arg(long, default_value_t = 7, value_parser = count, value_name = "N")]
    pub rounds: usize,
    /// Another operator to run in the same way. {kubeconfig}, {metrics} and {probes} in its
    /// arguments are replaced by a file and by addresses
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    pub peers: Vec<Peer>,
    /// How many seconds the operator is observed at rest
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub rest: u64,
    /// The folder for results.json and the plots
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    pub report: PathBuf,
    /// Do not keep the API server and what is measured on different cores
    #[arg(long)]
    pub unpinned: bool,
}

impl Options {
    /// Whether a case is to run.
    pub fn runs(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }

    /// The largest number of groups.
    pub fn most_groups(&self) -> usize {
        self.groups.iter().copied().max().unwrap_or(1)
    }

    /// The smallest number of groups.
    pub fn fewest_groups(&self) -> usize {
        self.groups.iter().copied().min().unwrap_or(1)
    }
}
