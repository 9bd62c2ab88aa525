//! The page of one story. All that comes from outside is escaped by the templates.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::panels::{self, Panel};
use super::plot::{self, letter};
use super::{HALF, Story, WIDE, verdict};
use crate::figures::{GroupFigures, Row, group_rows, number, operator_rows};
use crate::timeline::GroupTimeline;

const CSS: &str = include_str!("page.css");

pub fn of_story(story: &Story) -> Result<Markup> {
    let groups: Vec<_> = story.groups().collect();
    let plots = match groups.as_slice() {
        [(group, figures)] => stacked(story, panels::of_group(group, figures, story.timeline.end))?,
        groups => {
            let multiples = multiples(story, groups)?;
            html! { div.pairs { @for svg in multiples { figure { (PreEscaped(svg)) } } } }
        }
    };
    Ok(frame(
        &story.title,
        &html! {
            (verdict_of(story))
            (chapters(story))
            h2 { "What was seen, second by second" }
            (plots)
            h2 { "The figures" }
            @if let [(_, figures)] = groups.as_slice() {
                (table(&group_rows(figures)))
            } @else {
                (summary(&groups.iter().map(|(_, figures)| *figures).collect::<Vec<_>>()))
            }
            @if let Some(operator) = &story.figures.operator {
                h2 { "What the operator cost" }
                (table(&operator_rows(operator)))
            }
            (settings(story))
        },
    ))
}

/// The whole page around its content.
pub fn frame(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(CSS)) }
            }
            body { main { h1 { (title) } (content) } }
        }
    }
}

pub fn verdict_of(story: &Story) -> Markup {
    let (well, sentence) = verdict::of(story);
    html! { p.verdict.well[well].ill[!well] { (sentence) } }
}

/// What was told when, and the key to the letters on the plots.
fn chapters(story: &Story) -> Markup {
    let timeline = &story.timeline;
    html! {
        div.story {
            ol { @for (index, chapter) in timeline.chapters.iter().enumerate() { li { b { (index + 1) } span.at { (at(chapter.at)) } span { (chapter.text) } } } }
            @if !timeline.marks.is_empty() {
                ul {
                    @for (index, mark) in timeline.marks.iter().enumerate() {
                        li { b { (letter(index)) } span.at { (at(mark.at)) } span { (mark.text) } }
                    }
                }
            }
        }
        p.note { "Numbers on the plots are these chapters, letters what was done or happened in them; all plots share one axis of seconds." }
    }
}

fn stacked(story: &Story, panels: Vec<Panel>) -> Result<Markup> {
    let mut svgs = Vec::new();
    for (index, Panel { plot, .. }) in panels.into_iter().enumerate() {
        svgs.push(plot::draw(&plot, &story.times(index == 0), WIDE)?);
    }
    Ok(html! { @for svg in svgs { figure { (PreEscaped(svg)) } } })
}

/// Two small plots for each group, equally high for all, so that they can be held against each other.
fn multiples(story: &Story, groups: &[(&GroupTimeline, &GroupFigures)]) -> Result<Vec<String>> {
    let mut plots = Vec::new();
    for (group, figures) in groups {
        plots.push([panels::lag(group, figures), panels::replicas(group, figures, story.timeline.end)]);
    }
    let tops = [0, 1].map(|kind| plots.iter().map(|plots| plots[kind].top).fold(0.0, f64::max));
    let mut svgs = Vec::new();
    for (plots, (group, _)) in plots.into_iter().zip(groups) {
        for ((mut plot, top), what) in plots.into_iter().zip(tops).zip(["lag", "replicas"]) {
            plot.title = format!("{}: {what}", group.name);
            (plot.top, plot.height) = (top, 150);
            svgs.push(plot::draw(&plot, &story.times(false), HALF)?);
        }
    }
    Ok(svgs)
}

fn table(rows: &[Row]) -> Markup {
    html! {
        div.wide { table {
            @for row in rows {
                tr { th { (row.name) } td.number { (row.text()) } td.meaning { (row.meaning) } }
            }
        } }
    }
}

/// A row for each group, and what its columns mean.
fn summary(groups: &[&GroupFigures]) -> Markup {
    let columns = groups.first().map(|group| group_rows(group)).unwrap_or_default();
    html! {
        div.wide { table.summary {
            tr {
                th { "Group" }
                th.number { "Consumers" }
                @for column in &columns { th.number { (column.name) @if !column.unit.is_empty() { ", " (column.unit) } } }
            }
            @for group in groups {
                tr {
                    th { (group.name) }
                    td.number { (group.replicas.map(|count| count.to_string()).join(" → ")) }
                    @for row in group_rows(group) { td.number { (row.value.map_or_else(|| "–".into(), number)) } }
                }
            }
        } }
        dl {
            @for row in columns.iter().filter(|row| row.name != "Lost") { dt { (row.name) } dd { (row.meaning) } }
        }
    }
}

pub fn settings(story: &Story) -> Markup {
    html! {
        @if !story.settings.is_empty() {
            h2 { "The settings" }
            dl { @for (name, value) in &story.settings { dt { (name) } dd { (value) } } }
        }
    }
}

fn at(seconds: f64) -> String {
    format!("{seconds:.1} s")
}
