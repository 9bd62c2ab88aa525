//! The report: a page that needs nothing beside it, each plot as an SVG of its own, and the figures as JSON.

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
use serde::Serialize;

use super::figures::{Figures, GroupFigures};
use super::timeline::{GroupTimeline, Timeline};
use panels::Panel;
use plot::Times;

/// Widths of plots in pixels: one that has the page's width for itself, and one of two beside each other.
const WIDE: u32 = 900;
const HALF: u32 = 520;

/// What a story leaves behind.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    pub title: String,
    #[serde(skip)]
    pub timeline: Timeline,
    pub figures: Figures,
    /// What was chosen: name and value.
    pub settings: Vec<(String, String)>,
}

impl Story {
    /// The groups that have both a timeline and figures.
    fn groups(&self) -> impl Iterator<Item = (&GroupTimeline, &GroupFigures)> {
        let figures =
            |group: &GroupTimeline| self.figures.groups.iter().find(|figures| figures.name == group.name);
        self.timeline.groups.iter().filter_map(move |group| Some((group, figures(group)?)))
    }

    fn times(&self, spelled: bool) -> Times<'_> {
        let Timeline { end, chapters, marks, .. } = &self.timeline;
        Times { end: *end, chapters, marks, spelled }
    }
}

/// Writes the report of one story into `folder`, which is made, and returns the page's path.
pub fn write(folder: &Path, story: &Story) -> Result<PathBuf> {
    make(folder)?;
    for (group, figures) in story.groups() {
        let prefix = if story.timeline.groups.len() > 1 { format!("{}-", group.name) } else { String::new() };
        for Panel { name, plot } in panels::of_group(group, figures, story.timeline.end) {
            put(folder, &format!("{prefix}{name}.svg"), &plot::draw(&plot, &story.times(true), WIDE)?)?;
        }
    }
    put(folder, "figures.json", &serde_json::to_string_pretty(story)?)?;
    put_page(folder, page::of_story(story)?)
}

/// Writes the report of two runs of the same load into `folder`, side by side, and returns the page's path. What the first
/// did is what the second is held against; their titles are the columns' headings.
pub fn write_comparison(folder: &Path, title: &str, runs: [&Story; 2]) -> Result<PathBuf> {
    make(folder)?;
    for (run, story) in ["first", "second"].into_iter().zip(runs) {
        write(&folder.join(run), story)?;
    }
    for (name, [one, other]) in comparison::plots(runs)? {
        put(folder, &format!("{name}-first.svg"), &one)?;
        put(folder, &format!("{name}-second.svg"), &other)?;
    }
    put(folder, "figures.json", &serde_json::to_string_pretty(&runs)?)?;
    put_page(folder, comparison::page(title, runs)?)
}

/// Whether a report can be written to `folder`, so that this is told before the story and not behind it.
pub fn try_folder(folder: &Path) -> Result<()> {
    let probe = folder.join(".writable");
    let tried = make(folder).and_then(|()| Ok(fs::write(&probe, "").and_then(|()| fs::remove_file(&probe))?));
    tried.with_context(|| {
        format!("no report can be written to {}: choose another folder by --report", folder.display())
    })
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))
}

fn put_page(folder: &Path, page: Markup) -> Result<PathBuf> {
    put(folder, "report.html", &page.into_string())
}

/// A group's name stands in the name: it is Kubernetes' and holds no slash, but what comes from outside is not trusted with paths.
fn put(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name.replace(['/', '\\'], "_"));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
