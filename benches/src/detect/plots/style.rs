//! Colours and letters of all figures.

use plotters::{
    prelude::{Color, IntoFont, RGBColor, TextStyle},
    style::FontDesc,
};

/// Colours that the colour-blind tell apart too (Okabe and Ito's).
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const PURPLE: RGBColor = RGBColor(170, 68, 153);
pub(super) const BLACK: RGBColor = RGBColor(0, 0, 0);
pub(super) const GREY: RGBColor = RGBColor(120, 120, 120);
/// Lines of the mesh.
pub(super) const PALE: RGBColor = RGBColor(225, 225, 225);

/// Letters of this size, in pixels.
pub(super) fn letters(size: u32) -> TextStyle<'static> {
    let font: FontDesc<'static> = ("sans-serif", size).into_font();
    font.color(&BLACK.to_rgba())
}

/// `10`, `1k`, `100k`, `0.1`.
pub(super) fn short(value: f64) -> String {
    if value >= 1000.0 {
        format!("{}k", value / 1000.0)
    } else {
        format!("{}", (value * 1000.0).round() / 1000.0)
    }
}
