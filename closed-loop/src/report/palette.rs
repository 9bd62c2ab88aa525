//! Colours that people of all kinds of colour vision can tell apart (Okabe and Ito's), and those of paper and ink.
//! plot.css has their counterparts on dark paper.

use plotters::style::RGBColor;

pub const BACKGROUND: RGBColor = RGBColor(255, 255, 255);
pub const INK: RGBColor = RGBColor(32, 33, 36);
pub const MUTED: RGBColor = RGBColor(95, 99, 104);
pub const GRID: RGBColor = RGBColor(222, 225, 230);
pub const BAND: RGBColor = RGBColor(244, 246, 248);

pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub const SKY: RGBColor = RGBColor(86, 180, 233);
pub const PURPLE: RGBColor = RGBColor(204, 121, 167);

const IN_TURN: [RGBColor; 6] = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION];

/// The colour of one of several like things.
pub fn in_turn(index: usize) -> RGBColor {
    IN_TURN[index % IN_TURN.len()]
}
