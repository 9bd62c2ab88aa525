//! Colours that are distinct with every kind of colour vision (by Okabe and Ito), and those of
//! background and text. plot.css has their counterparts for a dark background.

use plotters::style::RGBColor;

pub(super) const BACKGROUND: RGBColor = RGBColor(255, 255, 255);
pub(super) const INK: RGBColor = RGBColor(32, 33, 36);
pub(super) const MUTED: RGBColor = RGBColor(95, 99, 104);
pub(super) const GRID: RGBColor = RGBColor(222, 225, 230);
pub(super) const BAND: RGBColor = RGBColor(244, 246, 248);

pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);

const IN_TURN: [RGBColor; 6] = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION];

/// The colour of the line at this index.
pub(super) fn in_turn(index: usize) -> RGBColor {
    IN_TURN[index % IN_TURN.len()]
}
