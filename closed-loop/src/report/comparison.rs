//! Two runs of the same load beside each other: plots on equal axes, and a table with both and what the second is of the first.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

use super::page::{frame, settings};
use super::panels::{self, Panel, equalise};
use super::{HALF, Story, plot, verdict};
use crate::figures::{Row, group_rows, number, operator_rows};

/// The plots of both, by name. They reach equally far and equally high: a longer line is a longer time.
pub fn plots(runs: [&Story; 2]) -> Result<Vec<(&'static str, [String; 2])>> {
    let end = runs.iter().map(|story| story.timeline.end).fold(0.0, f64::max);
    let [one, other] = runs.map(|story| {
        let groups = story.groups();
        groups
            .flat_map(|(group, figures)| panels::of_group(group, figures, story.timeline.end))
            .collect::<Vec<_>>()
    });
    let mut plots = Vec::new();
    for (mut one, mut other) in one.into_iter().zip(other) {
        equalise(&mut one, &mut other);
        let draw = |story: &Story, Panel { plot, .. }: &Panel| {
            let times = plot::Times { end, ..story.times(false) };
            plot::draw(plot, &times, HALF)
        };
        plots.push((one.name, [draw(runs[0], &one)?, draw(runs[1], &other)?]));
    }
    Ok(plots)
}

pub fn page(title: &str, runs: [&Story; 2]) -> Result<Markup> {
    let plots = plots(runs)?;
    Ok(frame(
        title,
        &html! {
            div.pairs { @for story in runs {
                div {
                    h2 { (story.title) }
                    p.verdict.well[verdict::of(story).0].ill[!verdict::of(story).0] { (verdict::of(story).1) }
                }
            } }
            p.note { "The same load twice. Both columns have the same axes." }
            div.pairs { @for (_, pair) in &plots { @for svg in pair { figure { (PreEscaped(svg)) } } } }
            h2 { "The figures" }
            (table(runs))
            @for story in runs {
                (settings(story))
            }
        },
    ))
}

fn rows(story: &Story) -> Vec<Row> {
    let groups = story.groups().flat_map(|(_, figures)| group_rows(figures));
    groups.chain(story.figures.operator.iter().flat_map(operator_rows)).collect()
}

fn table(runs: [&Story; 2]) -> Markup {
    let [one, other] = runs.map(rows);
    html! {
        div.wide { table {
            tr { th {} @for story in runs { th.number { (story.title) } } th.number { "second / first" } th { "" } }
            @for (one, other) in one.iter().zip(&other) {
                tr {
                    th { (one.name) }
                    td.number { (one.text()) }
                    td.number { (other.text()) }
                    td.number { (ratio(one, other)) }
                    td.meaning { (one.meaning) }
                }
            }
        } }
    }
}

/// Two zeros, or what was not seen, have none.
fn ratio(one: &Row, other: &Row) -> String {
    match (one.value, other.value) {
        (Some(one), Some(other)) if one != 0.0 => {
            format!("× {}", number((other / one * 100.0).round() / 100.0))
        }
        _ => "–".into(),
    }
}
