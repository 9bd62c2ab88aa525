//! What was measured, as a table, as JSON and as plots.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::Machine;
use crate::plot;
use crate::statistics::{LEAST, Summary};

/// The figures of one quantity.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub case: &'static str,
    /// The number of groups, if it matters.
    pub groups: usize,
    pub what: String,
    pub unit: &'static str,
    /// What it should be at most.
    pub target: Option<f64>,
    pub samples: Vec<f64>,
    pub summary: Option<Summary>,
}

impl Row {
    pub fn new(
        case: &'static str,
        groups: usize,
        what: impl Into<String>,
        unit: &'static str,
        samples: Vec<f64>,
    ) -> Self {
        let summary = Summary::of(&samples);
        Self { case, groups, what: what.into(), unit, target: None, samples, summary }
    }

    /// What it should be at most.
    pub fn at_most(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }

    /// What the figures say about the target. A count needs no repetition.
    fn verdict(&self) -> String {
        let Some(summary) = &self.summary else { return "not measured".to_owned() };
        if !summary.is_result && self.unit != COUNT {
            let (many, spread) = (self.samples.len(), summary.spread * 100.0);
            return match many {
                1 => "no result: once".to_owned(),
                2.. if many < LEAST => "no result: twice".to_owned(),
                _ => format!("no result: spread {spread:.0} %"),
            };
        }
        match self.target {
            None => String::new(),
            // Each count is exact, so none may be above it.
            Some(target) if self.unit == COUNT && summary.high > target => "missed".to_owned(),
            Some(target) if summary.median <= target => "reached".to_owned(),
            Some(_) => "missed".to_owned(),
        }
    }

    fn line(&self) -> String {
        let range = self.summary.as_ref().map_or_else(String::new, |summary| {
            let [median, low, high] = [summary.median, summary.low, summary.high].map(figure);
            if self.samples.len() > 1 { format!("{median} | {low} to {high}") } else { format!("{median} |") }
        });
        let target = self.target.map_or_else(String::new, |target| format!("<= {}", figure(target)));
        let Self { case, groups, what, unit, .. } = self;
        format!(
            "| {case} | {groups} | {what} | {unit} | {range} | {} | {target} | {} |",
            self.samples.len(),
            self.verdict()
        )
    }
}

/// The unit of what is counted: a run has one count, and it is exact.
pub const COUNT: &str = "count";
/// The unit of quotients.
pub const RATIO: &str = "ratio";

const HEAD: &str = "\
| case | groups | what | unit | median | range | n | target | |
|---|---|---|---|---|---|---|---|---|";

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    /// What else a reader has to know: the recorded requests, the size of the program, the load.
    pub notes: Vec<String>,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn new(machine: Machine) -> Self {
        Self { machine, notes: Vec::new(), rows: Vec::new() }
    }

    /// Adds rows, prints them, and writes what there is so far: a long run that is interrupted leaves its
    /// figures.
    pub fn add(&mut self, rows: Vec<Row>, folder: &Path) -> Result<()> {
        for row in &rows {
            println!("{}", row.line());
        }
        self.rows.extend(rows);
        self.write(folder)
    }

    /// The figures of one quantity that was measured before.
    pub fn samples(&self, case: &str, what: &str) -> Option<&[f64]> {
        let row = self.rows.iter().find(|row| row.case == case && row.what == what);
        row.map(|row| row.samples.as_slice())
    }

    /// Prints the head of the table.
    pub fn begin() {
        println!("{HEAD}");
    }

    /// Writes results.json, results.md and the plots.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write("results.json", serde_json::to_string_pretty(self)?)?;
        let lines: Vec<String> = self.rows.iter().map(Row::line).collect();
        let notes = self.notes.join("\n");
        write("results.md", format!("{HEAD}\n{}\n\n{notes}\n", lines.join("\n")))?;
        for (name, plot) in plot::of(&self.rows) {
            write(&format!("{name}.svg"), plot.draw()?)?;
        }
        Ok(())
    }
}

/// With three digits, or all of those before the point.
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        value if value == 0.0 || value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(unit: &'static str, samples: &[f64], target: f64) -> String {
        Row::new("burst", 1, "it", unit, samples.to_vec()).at_most(target).verdict()
    }

    #[test]
    fn a_wide_range_is_not_called_a_result() {
        assert_eq!(verdict(RATIO, &[1.0, 1.02, 1.05], 1.08), "reached");
        assert_eq!(verdict(RATIO, &[1.1, 1.12, 1.15], 1.08), "missed");
        assert_eq!(verdict(RATIO, &[0.9, 1.02, 1.1], 1.08), "no result: spread 20 %");
        assert_eq!(verdict(RATIO, &[1.0], 1.08), "no result: once");
        assert_eq!(verdict(RATIO, &[1.0, 1.0], 1.08), "no result: twice");
        assert_eq!(verdict(COUNT, &[0.0], 0.0), "reached");
        assert_eq!(verdict(COUNT, &[0.0, 0.0, 500.0], 0.0), "missed");
        assert_eq!(verdict(COUNT, &[], 0.0), "not measured");
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.0, 0.1234, 1.234, 12.34, 1234.5].map(figure), ["0", "0.123", "1.23", "12.3", "1234"]);
    }
}
