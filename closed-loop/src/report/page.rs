//! The page of one run. The templates escape all text from outside.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::panels::{self, Panel};
use super::plot::{self, letter};
use super::{HALF, WIDE, verdict};
use crate::metrics::{GroupMetrics, Row, group_rows, operator_rows};
use crate::results::Results;
use crate::text::number;
use crate::timeline::GroupTimeline;

const CSS: &str = include_str!("page.css");

pub(super) fn of_results(results: &Results) -> Result<Markup> {
    let groups: Vec<_> = results.groups().collect();
    let plots = match groups.as_slice() {
        [(group, metrics)] => stacked(results, panels::of_group(group, metrics, results.timeline.end))?,
        groups => {
            let multiples = multiples(results, groups)?;
            html! { div.pairs { @for svg in multiples { figure { (PreEscaped(svg)) } } } }
        }
    };
    Ok(frame(
        &results.title,
        &html! {
            (verdict_of(results))
            (steps(results))
            h2 { "Observed, second by second" }
            (plots)
            h2 { "Metrics" }
            @if let [(_, metrics)] = groups.as_slice() {
                (table(&group_rows(metrics)))
            } @else {
                (summary(&groups.iter().map(|(_, metrics)| *metrics).collect::<Vec<_>>()))
            }
            @if let Some(operator) = &results.metrics.operator {
                h2 { "Cost of the operator" }
                (table(&operator_rows(operator)))
            }
            (settings(results))
        },
    ))
}

/// The page around its content.
pub(super) fn frame(title: &str, content: &Markup) -> Markup {
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

fn verdict_of(results: &Results) -> Markup {
    let (well, sentence) = verdict::of(results);
    html! { p.verdict.well[well].ill[!well] { (sentence) } }
}

/// The steps, and the key to the letters on the plots.
fn steps(results: &Results) -> Markup {
    let timeline = &results.timeline;
    html! {
        div.results {
            ol { @for (index, step) in timeline.steps.iter().enumerate() { li { b { (index + 1) } span.at { (at(step.at)) } span { (step.text) } } } }
            @if !timeline.marks.is_empty() {
                ul {
                    @for (index, mark) in timeline.marks.iter().enumerate() {
                        li { b { (letter(index)) } span.at { (at(mark.at)) } span { (mark.text) } }
                    }
                }
            }
        }
        p.note { "On the plots, numbers are these steps, and letters are what was done or happened in them. All plots have the same time axis." }
    }
}

fn stacked(results: &Results, panels: Vec<Panel>) -> Result<Markup> {
    let mut svgs = Vec::new();
    for (index, Panel { plot, .. }) in panels.into_iter().enumerate() {
        svgs.push(plot::draw(&plot, &results.times(index == 0), WIDE)?);
    }
    Ok(html! { @for svg in svgs { figure { (PreEscaped(svg)) } } })
}

/// Two small plots for each group, on equal axes, so that groups can be compared.
fn multiples(results: &Results, groups: &[(&GroupTimeline, &GroupMetrics)]) -> Result<Vec<String>> {
    let mut plots = Vec::new();
    for (group, metrics) in groups {
        plots.push([panels::lag(group, metrics), panels::replicas(group, metrics, results.timeline.end)]);
    }
    let tops = [0, 1].map(|kind| plots.iter().map(|plots| plots[kind].top).fold(0.0, f64::max));
    let mut svgs = Vec::new();
    for (plots, (group, _)) in plots.into_iter().zip(groups) {
        for ((mut plot, top), what) in plots.into_iter().zip(tops).zip(["lag", "replicas"]) {
            plot.title = format!("{}: {what}", group.name);
            (plot.top, plot.height) = (top, 150);
            svgs.push(plot::draw(&plot, &results.times(false), HALF)?);
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

/// A row for each group, and an explanation of the columns.
fn summary(groups: &[&GroupMetrics]) -> Markup {
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

pub(super) fn settings(results: &Results) -> Markup {
    html! {
        @if !results.settings.is_empty() {
            h2 { "Settings" }
            dl { @for (name, value) in &results.settings { dt { (name) } dd { (value) } } }
        }
    }
}

fn at(seconds: f64) -> String {
    format!("{seconds:.1} s")
}
