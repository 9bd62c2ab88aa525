//! The plots of a group.

use super::palette::{BLUE, GREEN, INK, MUTED, ORANGE, VERMILION, in_turn};
use super::plot::{Layer, Plot, Shape};
use crate::metrics::GroupMetrics;
use crate::text::number;
use crate::timeline::{GroupTimeline, Line, Points, peak, value_at};

/// A plot and the name of its file.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub name: &'static str,
    pub plot: Plot,
}

/// All plots of a group, from cause to effect.
pub(super) fn of_group(group: &GroupTimeline, metrics: &GroupMetrics, end: f64) -> Vec<Panel> {
    let panel = |name, plot| Panel { name, plot };
    vec![
        panel("lag", lag(group, metrics)),
        panel("replicas", replicas(group, metrics, end)),
        panel("throughput", throughput(group)),
        panel("rebalances", rebalances(group, metrics, end)),
        panel("alerts", alerts(group, end)),
    ]
}

/// Lag by partition, and the limit for the average over the pods.
pub(super) fn lag(group: &GroupTimeline, metrics: &GroupMetrics) -> Plot {
    let most = group.lag.iter().map(|line| peak(&line.points)).fold(0.0, f64::max);
    let drained = metrics
        .load_to_drained
        .map_or("not drained".into(), |seconds| format!("drained {seconds:.0} s after the load began"));
    let mut layers = lines(&group.lag);
    let times = group.lag.iter().flat_map(|line| line.points.iter().map(|(at, _)| *at));
    let last = times.fold(0.0, f64::max);
    if let Some(limit) = group.limit {
        let label = format!("limit for each pod, {}", number(limit));
        layers.push(Layer { label, colour: MUTED, shape: Shape::Dashes(vec![(0.0, limit), (last, limit)]) });
    }
    Plot {
        title: format!("Lag: at most {} records, {drained}", number(metrics.peak_lag)),
        unit: "records behind",
        top: above(most.max(group.limit.unwrap_or(0.0))),
        height: 250,
        layers,
    }
}

/// Replicas wanted and ready, and the ceiling.
pub(super) fn replicas(group: &GroupTimeline, metrics: &GroupMetrics, end: f64) -> Plot {
    let [before, most, after] = metrics.replicas;
    let top = peak(&group.ceiling).max(peak(&group.wanted)).max(peak(&group.ready));
    let beyond = group
        .wanted
        .iter()
        .any(|(at, wanted)| value_at(&group.ceiling, *at).is_some_and(|ceiling| *wanted > ceiling));
    let surge = peak(&group.ready) - peak(&group.ceiling);
    let ceiling = if beyond {
        "the autoscaler wanted more than the ceiling".to_owned()
    } else if surge > 0.0 && !group.ceiling.is_empty() {
        format!("up to {surge:.0} above the ceiling as a rollout's surge")
    } else {
        "never more than the ceiling".to_owned()
    };
    let line = |label: &str, colour, points: &Points, width| Layer {
        label: label.into(),
        colour,
        shape: Shape::Line { points: steps(points, end), width },
    };
    Plot {
        title: format!("Ready consumers: {before} → {most} → {after}, {ceiling}"),
        unit: "replicas",
        top: top.max(1.0) + 0.5,
        height: 180,
        layers: vec![
            line("wanted by the autoscaler", ORANGE, &group.wanted, 8),
            line("ready", BLUE, &group.ready, 3),
            Layer {
                label: "ceiling (maxReplicas)".into(),
                colour: INK,
                shape: Shape::Dashes(steps(&group.ceiling, end)),
            },
        ],
    }
}

/// Records a second, with the pods stacked.
pub(super) fn throughput(group: &GroupTimeline) -> Plot {
    let mut times: Vec<f64> =
        group.throughput.iter().flat_map(|line| line.points.iter().map(|(at, _)| *at)).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let mut floor = vec![0.0; times.len()];
    let mut layers = Vec::new();
    for (index, line) in group.throughput.iter().enumerate() {
        let mut outline: Points = times.iter().copied().zip(floor.iter().copied()).rev().collect();
        for (at, rate) in &line.points {
            if let Ok(slot) = times.binary_search_by(|time| time.total_cmp(at)) {
                floor[slot] += rate;
            }
        }
        outline.extend(times.iter().copied().zip(floor.iter().copied()));
        layers.push(Layer { label: short(&line.label), colour: in_turn(index), shape: Shape::Area(outline) });
    }
    let most = floor.iter().copied().fold(0.0, f64::max);
    Plot {
        title: format!("Throughput of all pods: up to {} records a second", number(most.round())),
        unit: "records/s",
        top: above(most),
        height: 180,
        layers,
    }
}

/// Rebalances so far.
pub(super) fn rebalances(group: &GroupTimeline, metrics: &GroupMetrics, end: f64) -> Plot {
    let points = steps(&[&[(0.0, 0.0)], group.rebalances.as_slice()].concat(), end);
    let cost = match metrics.stalled {
        0.0 => " and no time without progress".to_owned(),
        seconds => format!(" and {} s without any progress", number(seconds)),
    };
    Plot {
        title: format!("{} rebalances{cost}", metrics.rebalances),
        unit: "so far",
        top: peak(&group.rebalances).max(1.0) + 0.5,
        height: 110,
        layers: vec![Layer { label: String::new(), colour: GREEN, shape: Shape::Line { points, width: 2 } }],
    }
}

/// When each alert was pending and when it was firing.
pub(super) fn alerts(group: &GroupTimeline, end: f64) -> Plot {
    let mut names: Vec<&str> = Vec::new();
    for span in &group.alerts {
        if !names.contains(&span.name.as_str()) {
            names.push(&span.name);
        }
    }
    let mut layers = Vec::new();
    for (row, name) in (0..).map(f64::from).zip(names.iter().rev()) {
        let spans = group.alerts.iter().filter(|span| span.name == *name);
        let mut first = end;
        for span in spans {
            first = first.min(span.from);
            let shape = Shape::Bar { from: span.from, to: span.to.unwrap_or(end), row, certain: span.firing };
            layers.push(Layer {
                label: if span.firing { "firing" } else { "pending" }.into(),
                colour: VERMILION,
                shape,
            });
        }
        let shape = Shape::Text { at: first, value: row + 0.58 };
        layers.push(Layer { label: (*name).to_owned(), colour: INK, shape });
    }
    let fired = names
        .iter()
        .filter(|name| group.alerts.iter().any(|span| span.firing && span.name == **name))
        .count();
    let open = group.alerts.iter().filter(|span| span.to.is_none()).count();
    let ending = if open == 0 { "none at the end".into() } else { format!("{open} at the end") };
    Plot {
        title: format!("Alerts: {fired} fired, {} stayed pending, {ending}", names.len() - fired),
        unit: "",
        top: f64::from(u32::try_from(names.len()).unwrap_or(1).max(1)),
        height: 40 * u32::try_from(names.len()).unwrap_or(1).max(1),
        layers,
    }
}

/// Gives the same plot of two runs equal axes.
pub(super) fn equalise(one: &mut Panel, other: &mut Panel) {
    let top = one.plot.top.max(other.plot.top);
    let height = one.plot.height.max(other.plot.height);
    for plot in [&mut one.plot, &mut other.plot] {
        (plot.top, plot.height) = (top, height);
    }
}

fn lines(lines: &[Line]) -> Vec<Layer> {
    let layer = |(index, line): (usize, &Line)| Layer {
        label: line.label.clone(),
        colour: in_turn(index),
        shape: Shape::Line { points: line.points.clone(), width: 2 },
    };
    lines.iter().enumerate().map(layer).collect()
}

/// The corners of a line that holds each value until the next, up to the end.
fn steps(points: &[(f64, f64)], end: f64) -> Points {
    let mut corners = Points::new();
    for (at, value) in points.iter().filter(|(at, _)| *at <= end) {
        if let Some((_, before)) = corners.last().copied() {
            corners.push((*at, before));
        }
        corners.push((*at, *value));
    }
    corners.extend(corners.last().map(|(_, value)| (end, *value)));
    corners
}

/// The top of the axis: a little above the largest value.
fn above(value: f64) -> f64 {
    if value > 0.0 { value * 1.08 } else { 1.0 }
}

/// The end of a pod's name, which differs between the pods of a group.
fn short(pod: &str) -> String {
    let parts: Vec<&str> = pod.rsplitn(3, '-').collect();
    if let [last, _, _] = parts.as_slice() { format!("…-{last}") } else { pod.to_owned() }
}
