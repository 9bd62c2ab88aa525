//! One plot as SVG: a title, a legend, steps as bands, marks as vertical lines, and layers over the
//! seconds of the run.
//!
//! The library draws each shape in its light colour. plot.css replaces these colours for readers
//! who prefer a dark page.

mod legend;

use anyhow::Result;
use maud::html;
use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::palette::{BACKGROUND, BAND, GRID, INK, MUTED};
use crate::text::number;
use crate::timeline::{Moment, Points};

const CSS: &str = include_str!("plot.css");
/// The space to the left and right of the data. It is equal in all plots, so that the times of
/// stacked plots line up.
const MARGIN: u32 = 26;
const VALUES: u32 = 70;
/// The left edge of titles and legends.
const LEFT: i32 = 8;
const TOP: u32 = 10;
const LINE: u32 = 24;
const LEGEND: u32 = 22;
const MARK: u32 = 17;
const STEPS: u32 = 17;
const TIMES: u32 = 26;
/// The width of a letter as a part of its size. An estimate, since the page's fonts are not known
/// here.
const LETTER: f64 = 0.56;

const FONT: &str = "system-ui, sans-serif";
/// The backend makes letters smaller by this factor.
const SMALLER: f64 = 1.24;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A plot to draw.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// A sentence that describes what the plot shows.
    pub title: String,
    /// The unit of the values; without one the axis has no labels.
    pub unit: &'static str,
    /// The largest value of the axis.
    pub top: f64,
    /// The height of the data area in pixels.
    pub height: u32,
    pub layers: Vec<Layer>,
}

/// A part of a plot's data.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The text in the legend; empty for none.
    pub label: String,
    pub colour: RGBColor,
    pub shape: Shape,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line {
        points: Points,
        width: u32,
    },
    Dashes(Points),
    /// Between a lower line and an upper one.
    Area(Points),
    /// From one time to another; lighter if it is not `certain`.
    Bar {
        from: f64,
        to: f64,
        row: f64,
        certain: bool,
    },
    /// Text at a time and a value.
    Text {
        at: f64,
        value: f64,
    },
}

/// What all plots of a run share: the time they span, and the moments to mark.
#[derive(Clone, Debug)]
pub(super) struct Times<'a> {
    pub end: f64,
    pub steps: &'a [Moment],
    pub marks: &'a [Moment],
    /// Whether marks are written out; otherwise they are letters.
    pub spelled: bool,
}

/// The letter of a mark.
pub(super) fn letter(index: usize) -> char {
    char::from(b'A' + u8::try_from(index % 26).unwrap_or_default())
}

/// Draws a plot, `width` pixels wide. The page scales it to its own width.
pub(super) fn draw(plot: &Plot, times: &Times, width: u32) -> Result<String> {
    let end = times.end.max(1.0);
    let marks = mark_labels(times, end, width);
    let rows = marks.iter().map(|mark| mark.row + 1).max().unwrap_or(0);
    let title = wrap(&plot.title, width);
    let entries = legend::entries(plot, width);
    let (titles, legends) =
        (count(title.len()) * LINE, entries.last().map_or(0, |entry| entry.row + 1) * LEGEND);
    let head = TOP + titles + legends + rows * MARK + STEPS;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width, head + plot.height + TIMES)).into_drawing_area();
        root.fill(&BACKGROUND)?;
        let style = TextStyle::from((FONT, 17.0 * SMALLER).into_font().style(FontStyle::Bold))
            .color(&INK)
            .pos(Pos::new(HPos::Left, VPos::Top));
        for (row, line) in (0..).zip(title) {
            root.draw(&Text::new(line, (LEFT, i32(TOP + row * LINE)), style.clone()))?;
        }
        for entry in &entries {
            legend::draw(&root, entry, i32(TOP + titles + entry.row * LEGEND) + 6)?;
        }
        let data = root.margin(head, 0, 0, MARGIN);
        let mut chart = ChartBuilder::on(&data)
            .x_label_area_size(TIMES)
            .y_label_area_size(VALUES)
            .build_cartesian_2d(0.0..end, 0.0..plot.top)?;
        steps(&mut chart, times.steps, end, plot.top)?;
        mesh(&mut chart, plot, width)?;
        for layer in &plot.layers {
            draw_layer(&mut chart, layer)?;
        }
        number_steps(&root, &chart, times.steps, end, plot.top)?;
        for (mark, moment) in marks.iter().zip(times.marks) {
            let (x, bottom) = chart.backend_coord(&(moment.at, 0.0));
            let y = i32(head - STEPS - (rows - mark.row) * MARK);
            root.draw(&PathElement::new([(x, y + 3), (x, bottom)], INK.mix(0.55)))?;
            let (x, anchor) = if mark.right { (x + 4, HPos::Left) } else { (x - 4, HPos::Right) };
            write(&root, &mark.text, (x, y), 14, INK, anchor)?;
        }
        root.present()?;
    }
    let name = html! { title { (plot.title) } }.into_string();
    Ok(svg.replacen('>', &format!(" role=\"img\">{name}<style>{CSS}</style>"), 1))
}

fn mesh(chart: &mut Chart, plot: &Plot, width: u32) -> Result<()> {
    let whole = plot.top < 10.0;
    let label = |value: &f64| if whole && value.fract() != 0.0 { String::new() } else { number(*value) };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Below 10 and above 0.
    let values = if plot.unit.is_empty() {
        0
    } else if whole {
        plot.top as usize + 1
    } else {
        5
    };
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().x_labels(width as usize / 60).y_labels(values).set_all_tick_mark_size(4);
    mesh.light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(GRID);
    mesh.label_style(font(13).color(&MUTED)).axis_desc_style(font(13).color(&MUTED));
    mesh.x_label_formatter(&|at| format!("{at:.0} s")).y_label_formatter(&label);
    if plot.unit.is_empty() {
        mesh.disable_y_mesh();
    } else {
        mesh.y_desc(plot.unit);
    }
    mesh.draw()?;
    Ok(())
}

fn draw_layer(chart: &mut Chart, layer: &Layer) -> Result<()> {
    let Layer { label, colour, shape } = layer;
    match shape {
        Shape::Line { points, width } => {
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(*width)))?;
        }
        Shape::Dashes(points) => {
            chart.draw_series(DashedLineSeries::new(points.clone(), 7, 5, colour.stroke_width(2)))?;
        }
        Shape::Area(outline) => {
            chart.draw_series([Polygon::new(outline.clone(), colour.mix(0.75))])?;
        }
        Shape::Bar { from, to, row, certain } => {
            let corners = [(*from, row + 0.12), (*to, row + 0.5)];
            chart.draw_series([Rectangle::new(
                corners,
                colour.mix(if *certain { 1.0 } else { 0.35 }).filled(),
            )])?;
            chart.draw_series([Rectangle::new(corners, *colour)])?;
        }
        Shape::Text { at, value } => {
            let style = font(14).color(colour).pos(Pos::new(HPos::Left, VPos::Bottom));
            // Where it has room.
            let area = chart.plotting_area();
            let times = area.get_x_range();
            let long = f64::from(pixels(label, 14)) / f64::from(area.dim_in_pixel().0);
            let last = times.end - long * (times.end - times.start);
            let at = at.min(last).max(times.start);
            chart.draw_series([Text::new(label.clone(), (at, *value), style)])?;
        }
    }
    Ok(())
}

/// Draws a band behind every other step.
fn steps(chart: &mut Chart, steps: &[Moment], end: f64, top: f64) -> Result<()> {
    let bands = ends(steps, end).skip(1).step_by(2);
    chart.draw_series(bands.map(|(_, from, to)| Rectangle::new([(from, 0.0), (to, top)], BAND.filled())))?;
    Ok(())
}

/// Numbers the steps. Steps that are too short for a label each share one.
fn number_steps(root: &Area, chart: &Chart, steps: &[Moment], end: f64, top: f64) -> Result<()> {
    let mut labels: Vec<(i32, String)> = Vec::new();
    let (_, y) = chart.backend_coord(&(0.0, top));
    for (index, from, _) in ends(steps, end) {
        let (x, _) = chart.backend_coord(&(from, top));
        let number = index + 1;
        match labels.last_mut() {
            Some((at, label)) if x < *at + pixels(label, 13) + 8 => *label = format!("{label}, {number}"),
            _ => labels.push((x, number.to_string())),
        }
    }
    for (x, label) in labels {
        write(root, &label, (x + 4, y - 15), 13, MUTED, HPos::Left)?;
    }
    Ok(())
}

/// The index, start and end of each step.
fn ends(steps: &[Moment], end: f64) -> impl Iterator<Item = (usize, f64, f64)> {
    let next = steps.iter().skip(1).map(|step| step.at).chain([end]);
    let spans = steps.iter().zip(next).enumerate();
    spans.map(move |(index, (step, next))| (index, step.at.clamp(0.0, end), next.clamp(0.0, end)))
}

/// Wraps a title into lines that fit.
fn wrap(title: &str, width: u32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in title.split_whitespace() {
        let line = lines.last().map_or("", String::as_str);
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        // The title's letters are bold.
        if !line.is_empty() && pixels(&longer, 19) > i32(width) - 2 * LEFT {
            lines.push(word.to_owned());
        } else if let Some(line) = lines.last_mut() {
            *line = longer;
        }
    }
    lines
}

/// The label of a mark: its row above the data, and the side of its line.
struct MarkLabel {
    text: String,
    row: u32,
    right: bool,
}

/// Puts each label into the first row with room for it.
fn mark_labels(times: &Times, end: f64, width: u32) -> Vec<MarkLabel> {
    let data = f64::from(width - VALUES - MARGIN);
    let mut rows: Vec<f64> = Vec::new();
    let mut place = |(index, mark): (usize, &Moment)| {
        let letter = letter(index).to_string();
        let text = if times.spelled { format!("{letter} {}", mark.text) } else { letter };
        let (x, long) = (mark.at / end * data, f64::from(pixels(&text, 14)) + 12.0);
        let right = x + long <= data;
        let (from, to) = if right { (x, x + long) } else { (x - long, x) };
        let row = rows.iter().position(|taken| *taken <= from).unwrap_or(rows.len());
        rows.resize(rows.len().max(row + 1), 0.0);
        rows[row] = to;
        MarkLabel { text, row: count(row), right }
    };
    times.marks.iter().enumerate().map(&mut place).collect()
}

fn write(root: &Area, text: &str, at: (i32, i32), size: u32, colour: RGBColor, anchor: HPos) -> Result<()> {
    let style = font(size).color(&colour).pos(Pos::new(anchor, VPos::Top));
    root.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

fn font(pixels: u32) -> TextStyle<'static> {
    (FONT, f64::from(pixels) * SMALLER).into_font().into()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // Lines of text are short.
fn pixels(text: &str, size: u32) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * LETTER) as i32
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or_default()
}

fn i32(pixels: u32) -> i32 {
    i32::try_from(pixels).unwrap_or_default()
}
