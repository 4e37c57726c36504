//! A scene as PNG, two pixels for each unit.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash,
    Transform,
};
use ttf_parser::OutlineBuilder;

use super::font;
use super::scene::{Anchor, Ink, Item, Marker, Scene, Shape, Text};
use super::svg::ink;
use crate::exit::{Exit, Failure};

const SCALE: f32 = 2.0;

/// The bytes of the file.
pub(super) fn file(scene: &Scene) -> Result<Vec<u8>, Failure> {
    let failed = |what: &str| Failure::new(Exit::Internal, format!("cannot draw a PNG: {what}"));
    let pixels = |length: f64| (length * f64::from(SCALE)).ceil() as u32;
    let mut canvas = Pixmap::new(pixels(scene.width), pixels(scene.height))
        .ok_or_else(|| failed("it has no size"))?;
    canvas.fill(color(Ink::Paper, 1.0));
    for item in &scene.items {
        match item {
            Item::Line { points, ink, width, dash, opacity } => {
                let lengths: Vec<f32> =
                    dash.pattern().iter().map(|length| (length * width) as f32).collect();
                let stroke = Stroke {
                    width: *width as f32,
                    line_join: LineJoin::Round,
                    line_cap: LineCap::Butt,
                    dash: StrokeDash::new(lengths, 0.0),
                    ..Stroke::default()
                };
                if let Some(path) = polyline(points, false) {
                    canvas.stroke_path(&path, &paint(*ink, *opacity), &stroke, scaled(), None);
                }
            }
            Item::Marker(marker) => draw_marker(&mut canvas, marker),
            Item::Text(text) => draw_text(&mut canvas, text),
        }
    }
    canvas.encode_png().map_err(|error| failed(&error.to_string()))
}

fn scaled() -> Transform {
    Transform::from_scale(SCALE, SCALE)
}

/// Colors are written `#rrggbb`.
fn color(of: Ink, opacity: f64) -> Color {
    let digits = u32::from_str_radix(ink(of).1.trim_start_matches('#'), 16).unwrap_or(0);
    let [_, red, green, blue] = digits.to_be_bytes();
    Color::from_rgba8(red, green, blue, (opacity * 255.0).round() as u8)
}

fn paint(ink: Ink, opacity: f64) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(color(ink, opacity));
    paint
}

fn polyline(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    path.move_to(first.0 as f32, first.1 as f32);
    rest.iter().for_each(|(x, y)| path.line_to(*x as f32, *y as f32));
    if closed {
        path.close();
    }
    path.finish()
}

fn draw_marker(canvas: &mut Pixmap, marker: &Marker) {
    let Marker { at: (x, y), shape, radius, ink, opacity, .. } = marker;
    let path = match shape {
        Shape::Circle => PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32),
        shape => {
            let corners = shape.corners().into_iter();
            let corners: Vec<_> =
                corners.map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect();
            polyline(&corners, true)
        }
    };
    let Some(path) = path else { return };
    let rule = FillRule::Winding;
    canvas.fill_path(&path, &paint(*ink, *opacity), rule, scaled(), None);
    if *opacity >= 1.0 {
        let rim = Stroke { width: 0.8, ..Stroke::default() };
        canvas.stroke_path(&path, &paint(Ink::Paper, 1.0), &rim, scaled(), None);
    }
}

fn draw_text(canvas: &mut Pixmap, text: &Text) {
    let Text { at: (x, y), text, size, bold, anchor, ink, upward } = text;
    let mut pen = Pen(PathBuilder::new());
    font::outline(text, *size, *bold, &mut pen);
    // Nothing is drawn of a text of blanks.
    let Some(path) = pen.0.finish() else { return };
    let width = font::width(text, *size, *bold) as f32;
    let back = match anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let turn = if *upward { Transform::from_rotate(-90.0) } else { Transform::identity() };
    let place = Transform::from_translate(back, 0.0)
        .post_concat(turn)
        .post_translate(*x as f32, *y as f32)
        .post_concat(scaled());
    canvas.fill_path(&path, &paint(*ink, 1.0), FillRule::Winding, place, None);
}

struct Pen(PathBuilder);

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}
