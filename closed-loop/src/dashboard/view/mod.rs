//! How the dashboard looks: a group has a few lines, several have one each.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Sparkline, Widget};

use super::snapshot::{AlertNow, GroupSnapshot, PodRate, Snapshot};
use crate::figures::count;
use kcg_demo::terminal::TextStyle;

/// Lines of a single group, its rule among them.
const SINGLE: u16 = 7;
/// No more lines than this, however many groups there are.
const MOST: u16 = 16;
/// How many seconds of lag are remembered.
const HISTORY: usize = 240;

/// The lines that a snapshot needs.
pub fn height(snapshot: &Snapshot) -> u16 {
    match snapshot.groups.len() {
        0 | 1 => SINGLE,
        groups => u16::try_from(groups + 1).unwrap_or(MOST).min(MOST),
    }
}

/// What is remembered between drawings.
#[derive(Debug)]
pub struct View {
    colour: bool,
    chapter: String,
    /// By group, a value for each second or so.
    lags: BTreeMap<String, Vec<u64>>,
    noted: f64,
}

impl View {
    pub fn new(colour: bool) -> Self {
        Self { colour, chapter: String::new(), lags: BTreeMap::new(), noted: f64::NEG_INFINITY }
    }

    pub fn chapter(&mut self, text: &str) {
        text.clone_into(&mut self.chapter);
    }

    /// Remembers the lags, once a second.
    pub fn note(&mut self, snapshot: &Snapshot) {
        if snapshot.at - self.noted < 1.0 {
            return;
        }
        self.noted = snapshot.at;
        for group in &snapshot.groups {
            let lags = self.lags.entry(group.name.clone()).or_default();
            lags.push(group.lag);
            lags.drain(..lags.len().saturating_sub(HISTORY));
        }
    }

    /// Draws it; `at` is the time to show, in seconds.
    pub fn draw(&self, snapshot: &Snapshot, at: f64, area: Rect, buffer: &mut Buffer) {
        let rows = Layout::vertical(vec![Constraint::Length(1); area.height.into()]).split(area);
        let Some((head, rows)) = rows.split_first() else { return };
        self.rule(at, *head, buffer);
        match snapshot.groups.as_slice() {
            [group] => self.single(group, rows, buffer),
            groups => {
                for (group, row) in groups.iter().zip(rows) {
                    self.row(group, *row, buffer);
                }
            }
        }
    }

    fn rule(&self, at: f64, area: Rect, buffer: &mut Buffer) {
        let time = format!(" {at:.1} s ──");
        let room = usize::from(area.width).saturating_sub(time.chars().count() + 4);
        let title: String = self.chapter.chars().take(room).collect();
        let filled = room - title.chars().count();
        let line = Line::from(vec![
            Span::styled("── ", self.ink(Color::Blue)),
            Span::styled(title, self.ink(Color::Blue).bold()),
            Span::styled(format!(" {}{time}", "─".repeat(filled)), self.ink(Color::Blue)),
        ]);
        line.render(area, buffer);
    }

    fn single(&self, group: &GroupSnapshot, rows: &[Rect], buffer: &mut Buffer) {
        let labels = ["lag", "consumers", "processed", "rebalances", "alerts", "pods"];
        for (label, row) in labels.into_iter().zip(rows) {
            let [left, right] = Layout::horizontal([Constraint::Length(12), Constraint::Fill(1)]).areas(*row);
            Line::styled(format!(" {label}"), self.ink(Color::DarkGray)).render(left, buffer);
            match label {
                "lag" => self.lag(group, right, buffer),
                "consumers" => self.consumers(group).render(right, buffer),
                "processed" => self.processed(group, right, buffer),
                "rebalances" => Line::raw(count(group.rebalances)).render(right, buffer),
                "alerts" => self.alerts(&group.alerts).render(right, buffer),
                _ => pods(&group.pods).render(right, buffer),
            }
        }
    }

    fn lag(&self, group: &GroupSnapshot, area: Rect, buffer: &mut Buffer) {
        let text = format!("{} records, {} in the worst partition", count(group.lag), count(group.worst));
        let [left, right] = Layout::horizontal([Constraint::Length(44), Constraint::Fill(1)]).areas(area);
        Line::raw(text).render(left, buffer);
        self.sparkline(&group.name, right, buffer);
    }

    fn sparkline(&self, group: &str, area: Rect, buffer: &mut Buffer) {
        let lags = self.lags.get(group).map_or(&[][..], Vec::as_slice);
        // As high as the highest that is remembered, also once that has left the picture.
        let highest = lags.iter().copied().max().unwrap_or(1).max(1);
        let shown = &lags[lags.len().saturating_sub(area.width.into())..];
        Sparkline::default().data(shown).max(highest).style(self.ink(Color::Yellow)).render(area, buffer);
    }

    fn consumers(&self, group: &GroupSnapshot) -> Line<'static> {
        let GroupSnapshot { ready, wanted, ceiling, .. } = group;
        let words = format!("  {ready} ready of {wanted} wanted, ceiling {ceiling}");
        Line::from(vec![Span::styled(bars(group), self.ink(Color::Cyan)), Span::raw(words)])
    }

    fn processed(&self, group: &GroupSnapshot, area: Rect, buffer: &mut Buffer) {
        let text = format!("{} of {} sent", count(group.processed), count(group.sent));
        let [left, right] = Layout::horizontal([Constraint::Length(28), Constraint::Max(46)]).areas(area);
        Line::raw(text).render(left, buffer);
        #[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
        let ratio = if group.sent == 0 { 0.0 } else { group.processed as f64 / group.sent as f64 };
        let gauge = LineGauge::default().filled_symbol("█").unfilled_symbol("░");
        gauge.filled_style(self.ink(Color::Green)).ratio(ratio.clamp(0.0, 1.0)).render(right, buffer);
    }

    fn alerts(&self, alerts: &[AlertNow]) -> Line<'static> {
        if alerts.is_empty() {
            return Line::raw("none");
        }
        let spans = alerts.iter().map(|AlertNow { name, firing }| match firing {
            true => Span::styled(format!("● {name} fires   "), self.ink(Color::Red)),
            false => Span::styled(format!("○ {name} is pending   "), self.ink(Color::Yellow)),
        });
        spans.collect()
    }

    /// A group in one line.
    fn row(&self, group: &GroupSnapshot, area: Rect, buffer: &mut Buffer) {
        let widths = [18, 8, 14, 10, 17, 15].map(Constraint::Length);
        let [name, lag, line, consumers, processed, rebalances, alerts] =
            Layout::horizontal(widths.into_iter().chain([Constraint::Fill(1)])).spacing(1).areas(area);
        Line::raw(format!(" {}", group.name)).render(name, buffer);
        Line::raw(count(group.lag)).right_aligned().render(lag, buffer);
        self.sparkline(&group.name, line, buffer);
        Line::styled(bars(group), self.ink(Color::Cyan)).render(consumers, buffer);
        Line::raw(format!("{} of {}", count(group.processed), count(group.sent)))
            .right_aligned()
            .render(processed, buffer);
        Line::raw(format!("{} rebalances", group.rebalances)).right_aligned().render(rebalances, buffer);
        if !group.alerts.is_empty() {
            self.alerts(&group.alerts).render(alerts, buffer);
        }
    }

    /// Text in lines no wider than the terminal.
    pub fn lines(&self, ink: TextStyle, text: &str, width: u16) -> Vec<Line<'static>> {
        let (before, style) = match ink {
            TextStyle::Heading => ("\n== ", self.ink(Color::Blue).bold()),
            TextStyle::Command => ("", self.ink(Color::Cyan)),
            TextStyle::Plain => ("", Style::default()),
        };
        let text = format!("{before}{text}").replace('\t', "    ");
        text.lines().flat_map(|line| fold(line, width.max(1))).map(|line| Line::styled(line, style)).collect()
    }

    fn ink(&self, colour: Color) -> Style {
        if self.colour { Style::default().fg(colour) } else { Style::default() }
    }
}

/// Writes lines one below the other.
pub fn write(lines: &[Line<'static>], buffer: &mut Buffer) {
    for (line, row) in lines.iter().zip(buffer.area.rows()) {
        line.render(row, buffer);
    }
}

/// A filled square for each ready pod, an empty one for each that is wanted, a dot for each that may still come.
fn bars(group: &GroupSnapshot) -> String {
    let GroupSnapshot { ready, wanted, ceiling, .. } = *group;
    let all = 0..ready.max(wanted).max(ceiling);
    all.map(|pod| {
        if pod < ready {
            '■'
        } else if pod < wanted {
            '□'
        } else {
            '·'
        }
    })
    .collect()
}

fn pods(pods: &[PodRate]) -> Line<'static> {
    let text: Vec<String> = pods.iter().map(|PodRate { name, rate }| format!("{name} {rate:.0}/s")).collect();
    Line::raw(text.join("   "))
}

/// A line in pieces that fit.
fn fold(line: &str, width: u16) -> Vec<String> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    for letter in line.chars().filter(|letter| !letter.is_control()) {
        if Span::raw(format!("{piece}{letter}")).width() > width.into() {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push(letter);
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests;
