//! The report: a self-contained page, each plot as an SVG file, and the metrics as JSON.

mod comparison;
mod page;
mod palette;
mod panels;
mod plot;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use maud::Markup;

use crate::results::Results;
use crate::timeline::Timeline;
use panels::Panel;
use plot::Times;

/// Widths of plots in pixels: one across the page, and one of two side by side.
const WIDE: u32 = 900;
const HALF: u32 = 520;

impl Results {
    fn times(&self, spelled: bool) -> Times<'_> {
        let Timeline { end, steps, marks, .. } = &self.timeline;
        Times { end: *end, steps, marks, spelled }
    }
}

/// Writes the report of one run to `folder`, which is created, and returns the page's path.
pub fn write(folder: &Path, results: &Results) -> Result<PathBuf> {
    create(folder)?;
    for (group, metrics) in results.groups() {
        let prefix =
            if results.timeline.groups.len() > 1 { format!("{}-", group.name) } else { String::new() };
        for Panel { name, plot } in panels::of_group(group, metrics, results.timeline.end) {
            write_file(
                folder,
                &format!("{prefix}{name}.svg"),
                &plot::draw(&plot, &results.times(true), WIDE)?,
            )?;
        }
    }
    write_file(folder, "figures.json", &serde_json::to_string_pretty(results)?)?;
    write_page(folder, page::of_results(results)?)
}

/// Writes the report of two runs of the same load to `folder`, side by side, and returns the page's
/// path. The second run is compared with the first; their titles are the columns' headings.
pub fn write_comparison(folder: &Path, title: &str, runs: [&Results; 2]) -> Result<PathBuf> {
    create(folder)?;
    for (run, results) in ["first", "second"].into_iter().zip(runs) {
        write(&folder.join(run), results)?;
    }
    for (name, [one, other]) in comparison::plots(runs)? {
        write_file(folder, &format!("{name}-first.svg"), &one)?;
        write_file(folder, &format!("{name}-second.svg"), &other)?;
    }
    write_file(folder, "figures.json", &serde_json::to_string_pretty(&runs)?)?;
    write_page(folder, comparison::page(title, runs)?)
}

/// Fails if no report can be written to `folder`. Called before the run, so that a long run does
/// not end without a report.
pub fn check_folder(folder: &Path) -> Result<()> {
    let probe = folder.join(".writable");
    let tried =
        create(folder).and_then(|()| Ok(fs::write(&probe, "").and_then(|()| fs::remove_file(&probe))?));
    tried.with_context(|| {
        format!("no report can be written to {}: choose another folder with --report", folder.display())
    })
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create the folder {}", folder.display()))
}

fn write_page(folder: &Path, page: Markup) -> Result<PathBuf> {
    write_file(folder, "report.html", &page.into_string())
}

/// `name` may contain a group's name. Kubernetes allows no slash in it, but names from outside are
/// not trusted as paths.
fn write_file(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name.replace(['/', '\\'], "_"));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
