//! Two runs of the same load side by side: plots on equal axes, and a table with both and their
//! ratio.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

use super::page::{frame, settings};
use super::panels::{self, Panel, equalise};
use super::{HALF, plot, verdict};
use crate::metrics::{Row, group_rows, operator_rows};
use crate::results::Results;
use crate::text::number;

/// The plots of both runs, by name. Their axes are equal, so that lines can be compared.
pub(super) fn plots(runs: [&Results; 2]) -> Result<Vec<(&'static str, [String; 2])>> {
    let end = runs.iter().map(|results| results.timeline.end).fold(0.0, f64::max);
    let [one, other] = runs.map(|results| {
        let groups = results.groups();
        groups
            .flat_map(|(group, metrics)| panels::of_group(group, metrics, results.timeline.end))
            .collect::<Vec<_>>()
    });
    let mut plots = Vec::new();
    for (mut one, mut other) in one.into_iter().zip(other) {
        equalise(&mut one, &mut other);
        let draw = |results: &Results, Panel { plot, .. }: &Panel| {
            let times = plot::Times { end, ..results.times(false) };
            plot::draw(plot, &times, HALF)
        };
        plots.push((one.name, [draw(runs[0], &one)?, draw(runs[1], &other)?]));
    }
    Ok(plots)
}

pub(super) fn page(title: &str, runs: [&Results; 2]) -> Result<Markup> {
    let plots = plots(runs)?;
    Ok(frame(
        title,
        &html! {
            div.pairs { @for results in runs {
                div {
                    h2 { (results.title) }
                    p.verdict.well[verdict::of(results).0].ill[!verdict::of(results).0] { (verdict::of(results).1) }
                }
            } }
            p.note { "The same load twice. Both columns have the same axes." }
            div.pairs { @for (_, pair) in &plots { @for svg in pair { figure { (PreEscaped(svg)) } } } }
            h2 { "Metrics" }
            (table(runs))
            @for results in runs {
                (settings(results))
            }
        },
    ))
}

fn rows(results: &Results) -> Vec<Row> {
    let groups = results.groups().flat_map(|(_, metrics)| group_rows(metrics));
    groups.chain(results.metrics.operator.iter().flat_map(operator_rows)).collect()
}

fn table(runs: [&Results; 2]) -> Markup {
    let [one, other] = runs.map(rows);
    html! {
        div.wide { table {
            tr { th {} @for results in runs { th.number { (results.title) } } th.number { "second / first" } th { "" } }
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

/// A dash if a value is missing or the first one is zero.
fn ratio(one: &Row, other: &Row) -> String {
    match (one.value, other.value) {
        (Some(one), Some(other)) if one != 0.0 => {
            format!("× {}", number((other / one * 100.0).round() / 100.0))
        }
        _ => "–".into(),
    }
}
