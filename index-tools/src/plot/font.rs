//! The one font of the pictures, in two weights: how wide a text is, and its outlines. Arimo has the
//! widths of Arial and Helvetica, which an SVG names first: what is laid out here fits there.
//! `font/README.md` says where the files come from.

use ttf_parser::{Face, GlyphId, OutlineBuilder};

const REGULAR: &[u8] = include_bytes!("font/Arimo-Regular.ttf");
const BOLD: &[u8] = include_bytes!("font/Arimo-Bold.ttf");

/// What an SVG asks for.
pub(super) const FAMILY: &str = "Helvetica, Arial, Arimo, 'Liberation Sans', sans-serif";

fn face(bold: bool) -> Option<Face<'static>> {
    // A test parses both.
    Face::parse(if bold { BOLD } else { REGULAR }, 0).ok()
}

/// Width of a text, in the unit of `size`. A character that the font lacks is as wide as its box.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let Some(face) = face(bold) else { return 0.0 };
    let units: u64 = text.chars().map(|c| u64::from(advance(&face, glyph(&face, c)))).sum();
    units as f64 * size / f64::from(face.units_per_em())
}

/// `text`, cut with an ellipsis to be no wider than `most`.
pub(super) fn cut(text: &str, size: f64, bold: bool, most: f64) -> String {
    if width(text, size, bold) <= most {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let shorter = kept.iter().collect::<String>().trim_end().to_owned() + "…";
        if width(&shorter, size, bold) <= most {
            return shorter;
        }
    }
    String::new()
}

/// Draws a text: `pen` gets outlines whose origin is the start of the baseline, y downward.
pub(super) fn outline(text: &str, size: f64, bold: bool, pen: &mut impl OutlineBuilder) {
    let Some(face) = face(bold) else { return };
    let scale = size as f32 / f32::from(face.units_per_em());
    let mut at = 0.0;
    for c in text.chars() {
        let id = glyph(&face, c);
        face.outline_glyph(id, &mut Placed { pen, at, scale });
        at += f32::from(advance(&face, id)) * scale;
    }
}

fn glyph(face: &Face, c: char) -> GlyphId {
    face.glyph_index(c).unwrap_or_default()
}

fn advance(face: &Face, id: GlyphId) -> u16 {
    face.glyph_hor_advance(id).unwrap_or_default()
}

/// A pen in the units of the font, y upward, for one in those of the picture.
struct Placed<'a, P> {
    pen: &'a mut P,
    at: f32,
    scale: f32,
}

impl<P: OutlineBuilder> OutlineBuilder for Placed<'_, P> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.pen.move_to(self.at + x * self.scale, -y * self.scale);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.pen.line_to(self.at + x * self.scale, -y * self.scale);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (at, s) = (self.at, self.scale);
        self.pen.quad_to(at + x1 * s, -y1 * s, at + x * s, -y * s);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (at, s) = (self.at, self.scale);
        self.pen.curve_to(at + x1 * s, -y1 * s, at + x2 * s, -y2 * s, at + x * s, -y * s);
    }

    fn close(&mut self) {
        self.pen.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_weights_have_what_pictures_need() {
        for bold in [false, true] {
            let face = face(bold).unwrap();
            for c in "Recall 0.95 × µs – ≥ … † é ß ø α Ж".chars() {
                assert!(face.glyph_index(c).is_some(), "{c}");
            }
        }
        // The width of Arial: 556 of 1000 a digit.
        assert!((width("0000", 10.0, false) - 22.24).abs() < 0.05);
        assert!(width("mill", 10.0, true) > width("mill", 10.0, false));
    }

    #[test]
    fn cut_texts_fit() {
        for most in [0.0, 5.0, 30.0, 60.0, 1000.0] {
            assert!(width(&cut("two-tower-1m, k 10", 12.0, false, most), 12.0, false) <= most);
        }
        assert_eq!(cut("short", 12.0, false, 100.0), "short");
    }
}
