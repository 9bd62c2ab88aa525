//! What happened to the random groups, as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use kcg_tests::slope;
use kube::core::Status;

/// Of the fields that are refused, how many the table names.
const TOP: usize = 10;
/// How many findings are kept.
const MOST: usize = 20;
/// The fewest batches that show how memory grows.
const BATCHES: usize = 20;

/// The counts of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub objects: usize,
    pub transitions: usize,
    pub admitted: usize,
    pub admitted_transitions: usize,
    /// Groups that were deleted, created again and compared.
    pub compared: usize,
    refused: BTreeMap<String, usize>,
    /// The conditions that tell of a refused child, by reason and message.
    told: BTreeMap<String, usize>,
    pub settled: Vec<Duration>,
    /// Resident memory of the operator in KiB after each batch, with the objects so far.
    pub memory: Vec<(usize, u64)>,
    pub findings: Vec<String>,
}

impl Tally {
    /// Counts a refusal, which has to be clean: a status of 400 or 422 that names a field.
    pub fn refuse(&mut self, what: &str, answer: &kube::Error) {
        match clean(answer) {
            Ok(field) => *self.refused.entry(field).or_default() += 1,
            Err(why) => self.find(format!("{what}: {why}")),
        }
    }

    /// Counts a condition that tells of a refused child; the first one is printed with its group.
    pub fn tell(&mut self, told: String, of: &str) {
        let count = self.told.entry(told).or_default();
        *count += 1;
        if *count == 1 {
            eprintln!("TOLD {of}");
        }
    }

    pub fn find(&mut self, finding: String) {
        eprintln!("FOUND {finding}");
        if self.findings.len() < MOST {
            self.findings.push(finding);
        }
    }

    pub fn has_enough(&self) -> bool {
        self.findings.len() >= MOST
    }

    /// How much memory a thousand objects cost after the first fifth of the run, in KiB, by least
    /// squares; `None` after too few batches to tell.
    pub fn slope(&self) -> Option<f64> {
        if self.memory.len() < BATCHES {
            return None;
        }
        let number = |value: u64| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
        let warm = &self.memory[self.memory.len() / 5..];
        let points = warm.iter().map(|(objects, kib)| (number(*objects as u64) / 1000.0, number(*kib)));
        slope(&points.collect::<Vec<_>>())
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from("\n| figure | value |\n|---|---|\n");
        let mut row = |what: &str, value: String| {
            let _ = writeln!(table, "| {what} | {value} |");
        };
        row("objects, admitted", format!("{}, {}", self.objects, self.admitted));
        row("transitions, admitted", format!("{}, {}", self.transitions, self.admitted_transitions));
        row("compared with a new group of the same spec", self.compared.to_string());
        let mut fields: Vec<_> = self.refused.iter().map(|(field, count)| (count, field)).collect();
        fields.sort_unstable_by(|one, other| other.cmp(one));
        let top = fields.iter().take(TOP).map(|(count, field)| format!("`{field}` {count}"));
        row("refused first at", top.collect::<Vec<_>>().join(", "));
        row("fields at which a group was refused", self.refused.len().to_string());
        let told = self.told.iter().map(|(told, count)| format!("{told} ({count})"));
        row("children refused by the API server", told.collect::<Vec<_>>().join("; "));
        let mut settled = self.settled.clone();
        settled.sort_unstable();
        let median = settled.get(settled.len() / 2).copied().unwrap_or_default();
        let longest = settled.last().copied().unwrap_or_default();
        row("settled after, median and longest", format!("{median:.1?}, {longest:.1?}"));
        let ends = [self.memory.first(), self.memory.last()].map(|end| end.map_or(0, |(_, kib)| *kib));
        row("memory in KiB, start and end", format!("{}, {}", ends[0], ends[1]));
        if let Some(slope) = self.slope() {
            row("memory in KiB for each 1,000 objects", format!("{slope:.0}"));
        }
        table
    }
}

/// The field that a refusal names first, without indexes and keys.
fn clean(answer: &kube::Error) -> Result<String, String> {
    let kube::Error::Api(status) = answer else { return Err(format!("no answer: {answer:#}")) };
    let Status { code, message, details, .. } = &**status;
    if ![400, 422].contains(code) {
        return Err(format!("refused with {code}: {message}"));
    }
    let cause =
        details.as_ref().and_then(|details| details.causes.iter().find(|cause| !cause.field.is_empty()));
    cause.map(|cause| field(&cause.field)).ok_or_else(|| format!("no field in: {message}"))
}

/// The path of a field without indexes and keys.
pub fn field(path: &str) -> String {
    let (mut short, mut depth) = (String::new(), 0_usize);
    for letter in path.chars() {
        match letter {
            '[' => {
                depth += 1;
                if depth == 1 {
                    short.push_str("[]");
                }
            }
            ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => short.push(letter),
            _ => {}
        }
    }
    short
}
