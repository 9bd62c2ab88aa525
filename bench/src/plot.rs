//! How cost grows with the number of groups: one line for each program, the range as bars.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Row, figure};

const WIDTH: u32 = 760;
const HEIGHT: u32 = 420;
const FONT: &str = "system-ui, sans-serif";
/// The backend makes letters smaller by this factor.
const SMALLER: f64 = 1.24;
const INK: RGBColor = RGBColor(32, 33, 36);
const MUTED: RGBColor = RGBColor(95, 99, 104);
const GRID: RGBColor = RGBColor(222, 225, 230);
/// Distinct with every kind of color vision (by Okabe and Ito).
const COLORS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
];

/// The rows of one quantity, by program.
#[derive(Debug)]
pub struct Plot<'a> {
    title: &'static str,
    unit: &'static str,
    lines: BTreeMap<&'a str, Vec<&'a Row>>,
}

/// What is plotted if it was measured for several numbers of groups: the file's name, the end of the rows'
/// names, the title and the unit.
const PLOTS: [(&str, &str, &str, &str); 3] = [
    ("burst-seconds", ": converged", "Time until all new groups are complete", "seconds"),
    ("burst-cpu", ": API server CPU", "CPU time of the API server until then", "CPU seconds"),
    ("memory", ": resident after the burst", "Resident memory of the operator", "KiB"),
];

/// The plots of a run.
pub fn of(rows: &[Row]) -> Vec<(&'static str, Plot<'_>)> {
    let plot = |(name, end, title, unit)| {
        let mut lines: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.summary.is_some()) {
            if let Some(program) = row.what.strip_suffix(end) {
                lines.entry(program).or_default().push(row);
            }
        }
        for rows in lines.values_mut() {
            rows.sort_by_key(|row| row.groups);
        }
        let has_a_line = lines.values().any(|rows| rows.len() > 1);
        has_a_line.then_some((name, Plot { title, unit, lines }))
    };
    PLOTS.into_iter().filter_map(plot).collect()
}

impl Plot<'_> {
    /// The plot as SVG, with logarithmic axes.
    pub fn draw(&self) -> Result<String> {
        let rows = || self.lines.values().flatten();
        let groups: Vec<f64> = rows().map(|row| row.groups as f64).collect();
        let values =
            rows().filter_map(|row| row.summary.as_ref()).flat_map(|summary| [summary.low, summary.high]);
        let (least, most) =
            values.fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        let (fewest, largest) =
            (groups.iter().copied().fold(f64::MAX, f64::min), groups.iter().copied().fold(0.0, f64::max));
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
            root.fill(&WHITE)?;
            let title = font(17).style(FontStyle::Bold);
            root.draw(&Text::new(self.title, (8, 10), TextStyle::from(title).color(&INK)))?;
            self.legend(&root)?;
            let data = root.margin(64, 0, 0, 26);
            let mut chart =
                ChartBuilder::on(&data).x_label_area_size(44).y_label_area_size(70).build_cartesian_2d(
                    (fewest / 1.15..largest * 1.15).log_scale(),
                    (least / 1.3..most * 1.3).log_scale(),
                )?;
            let mut mesh = chart.configure_mesh();
            mesh.light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(GRID);
            mesh.label_style(TextStyle::from(font(13)).color(&MUTED));
            mesh.axis_desc_style(TextStyle::from(font(13)).color(&MUTED));
            mesh.x_desc("groups").y_desc(self.unit);
            mesh.x_label_formatter(&|value| format!("{value:.0}")).y_label_formatter(&|value| figure(*value));
            mesh.draw()?;
            for (rows, color) in self.lines.values().zip(COLORS.iter().cycle()) {
                let points = rows.iter().filter_map(|row| Some((row.groups as f64, row.summary.as_ref()?)));
                let points: Vec<_> = points.collect();
                let medians = points.iter().map(|(groups, summary)| (*groups, summary.median));
                chart.draw_series(LineSeries::new(medians.clone(), color.stroke_width(2)))?;
                chart.draw_series(medians.map(|point| Circle::new(point, 4, color.filled())))?;
                let ranges = points.iter().map(|(groups, summary)| {
                    PathElement::new([(*groups, summary.low), (*groups, summary.high)], color.stroke_width(1))
                });
                chart.draw_series(ranges)?;
            }
            root.present()?;
        }
        Ok(svg)
    }

    fn legend(&self, root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<()> {
        let mut x = 8;
        for (program, color) in self.lines.keys().zip(COLORS.iter().cycle()) {
            root.draw(&PathElement::new([(x, 46), (x + 20, 46)], color.stroke_width(3)))?;
            let style = TextStyle::from(font(14)).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new((*program).to_owned(), (x + 26, 46), style))?;
            x += 60 + i32::try_from(program.len() * 8).unwrap_or_default();
        }
        Ok(())
    }
}

fn font(pixels: u32) -> FontDesc<'static> {
    (FONT, f64::from(pixels) * SMALLER).into_font()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_for_several_numbers_of_groups_is_plotted() {
        let row = |groups, what: &str| Row::new("burst", groups, what, "s", vec![1.0, 2.0]);
        let once = [row(100, "floor: converged"), row(100, "operator: converged")];
        assert!(of(&once).is_empty());
        let rows = [row(100, "floor: converged"), row(1000, "floor: converged"), row(1000, "other: figure")];
        let plots = of(&rows);
        assert_eq!(plots.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["burst-seconds"]);
        let svg = plots[0].1.draw().expect("it can be drawn");
        assert!(svg.contains("floor") && svg.contains("Time until all new groups are complete"));
    }
}
