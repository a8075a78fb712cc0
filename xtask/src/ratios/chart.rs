//! The chart of the page on benchmarks: a bar for each check, in hashes.

use std::path::Path;

use plotters::prelude::{
    Color, DrawingAreaErrorKind, IntoDrawingArea, IntoFont, RGBColor, Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figures::Bar;
use super::{Row, shown};

const WIDTH: u32 = 860;
const LEFT: i32 = 290;
const TOP: i32 = 44;
const LINE: i32 = 26;
const BAR: i32 = 16;
const FONT: &str = "sans-serif";
// Both are readable on a light page and on a dark one.
const INK: RGBColor = RGBColor(118, 124, 134);
const OURS: RGBColor = RGBColor(46, 139, 192);
const THEIRS: RGBColor = RGBColor(160, 166, 176);

/// Draws the figures that have a bar.
pub(crate) fn draw(path: &Path, rows: &[Row]) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let drawn: Vec<&Row> = rows.iter().filter(|row| row.figure.bar.is_some()).collect();
    let most = drawn.iter().map(|row| row.value).fold(1.0, f64::max);
    let lines = i32::try_from(drawn.len()).unwrap_or(i32::MAX);
    let height = TOP
        .saturating_add(lines.saturating_mul(LINE))
        .saturating_add(12);
    let area = SVGBackend::new(path, (WIDTH, height.unsigned_abs())).into_drawing_area();

    let text = |size: i32, at: HPos| {
        let font = (FONT, size).into_font().color(&INK);
        font.pos(Pos::new(at, VPos::Center))
    };
    let title = "One check, in SHA-256 hashes of the key's text; shorter is faster";
    area.draw(&Text::new(title, (12, 20), text(16, HPos::Left)))?;
    for (row, line) in drawn.iter().zip(0i32..) {
        let y = TOP.saturating_add(line.saturating_mul(LINE));
        let middle = y.saturating_add(BAR / 2);
        let name = row.figure.name.trim_end_matches(" / SHA-256");
        area.draw(&Text::new(name, (LEFT - 10, middle), text(14, HPos::Right)))?;
        let end = LEFT.saturating_add(length(row.value, most));
        let color = match row.figure.bar {
            Some(Bar::Ours) => OURS,
            _ => THEIRS,
        };
        area.draw(&Rectangle::new(
            [(LEFT, y), (end, y.saturating_add(BAR))],
            color.filled(),
        ))?;
        let value = shown(row.value);
        area.draw(&Text::new(
            value,
            (end.saturating_add(8), middle),
            text(14, HPos::Left),
        ))?;
    }
    area.present()
}

/// A bar's length in pixels.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a share of a few hundred pixels"
)]
fn length(value: f64, most: f64) -> i32 {
    const ROOM: f64 = 500.0;
    (value / most * ROOM).round().max(1.0) as i32
}
