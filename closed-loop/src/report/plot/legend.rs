//! A plot's legend: what each colour means.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, LEFT, Layer, Plot, Shape, i32, pixels, write};
use crate::report::palette::INK;

const SWATCH: i32 = 20;

/// The position of a layer in the legend.
pub(super) struct Entry<'a> {
    layer: &'a Layer,
    x: i32,
    pub row: u32,
}

/// Each label once, in as many rows as needed.
pub(super) fn entries(plot: &Plot, width: u32) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut x, mut row) = (LEFT, 0);
    for layer in plot.layers.iter().filter(|layer| !matches!(layer.shape, Shape::Text { .. })) {
        if layer.label.is_empty() || entries.iter().any(|entry| entry.layer.label == layer.label) {
            continue;
        }
        let wide = SWATCH + 6 + pixels(&layer.label, 14);
        if x > LEFT && x + wide > i32(width) {
            (x, row) = (LEFT, row + 1);
        }
        entries.push(Entry { layer, x, row });
        x += wide + 20;
    }
    entries
}

/// Draws one entry with its middle at `y`.
pub(super) fn draw(root: &Area, entry: &Entry, y: i32) -> Result<()> {
    let Entry { layer: Layer { label, colour, shape }, x, .. } = *entry;
    match shape {
        Shape::Line { width, .. } => {
            root.draw(&PathElement::new([(x, y), (x + SWATCH, y)], colour.stroke_width(*width)))?;
        }
        Shape::Dashes(_) => {
            for dash in [x, x + 11] {
                root.draw(&PathElement::new([(dash, y), (dash + 8, y)], colour.stroke_width(2)))?;
            }
        }
        Shape::Area(_) | Shape::Bar { .. } | Shape::Text { .. } => {
            let light = matches!(shape, Shape::Bar { certain: false, .. });
            let fill = colour.mix(if light { 0.35 } else { 0.85 });
            root.draw(&Rectangle::new([(x, y - 5), (x + SWATCH, y + 6)], fill.filled()))?;
        }
    }
    write(root, label, (x + SWATCH + 6, y - 7), 14, INK, HPos::Left)
}
