//! A chart, laid out: axes, lines with markers, and a label beside the end of each line.
//!
//! The libraries that draw charts (plotters, kuva, charming) were not taken: none stretches an axis
//! near 1, sets labels that keep clear of each other, or leaves colors to the page that shows the
//! picture, and what is left of a chart without those is short.

use super::font;
use super::scale::{Scale, Stretch};
use super::scene::{Anchor, Dash, Ink, Item, Marker, Scene, Text};
use super::style::Style;

const WIDTH: f64 = 540.0;
const HEIGHT: f64 = 372.0;
const MARGIN: f64 = 12.0;
/// Sizes of type.
const TITLE: f64 = 15.0;
const LABEL: f64 = 13.0;
const TICK: f64 = 12.0;
/// From the baseline of a label to that of the next.
const LEADING: f64 = 16.0;
/// From the plot to the labels of the lines: the leaders are drawn here.
const LEADER: f64 = 22.0;
/// Length of the piece of line before a label.
const SWATCH: f64 = 22.0;
/// A label is cut where it is longer.
const LONGEST: f64 = 150.0;

/// What an axis shows.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) stretch: Stretch,
    /// The values of the ticks, where they are few and known.
    pub(super) given: Option<Vec<f64>>,
}

impl Axis {
    pub(super) fn new(label: impl Into<String>, stretch: Stretch) -> Self {
        Self { label: label.into(), stretch, given: None }
    }
}

/// A point.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) at: (f64, f64),
    pub(super) note: String,
}

/// A line with its points, and points that are beaten.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) label: String,
    pub(super) style: Style,
    pub(super) line: Vec<Mark>,
    pub(super) beaten: Vec<Mark>,
    /// How much of the beaten ones is seen: they may be many.
    pub(super) faintness: Faintness,
}

/// How points that are beaten are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faintness {
    /// Hardly: settings that nobody would choose.
    Shade,
    /// Well: choices that cost more of one thing and less of another that is not shown.
    Choice,
}

/// A chart, before it is laid out.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// In the order of importance: the first is drawn last, on top of the others.
    pub(super) series: Vec<Series>,
    /// What the picture does not show.
    pub(super) notes: Vec<String>,
}

/// Where the plot itself lies.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let left = self.left + self.x.place(x) * self.width;
        (left, self.top + (1.0 - self.y.place(y)) * self.height)
    }

    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

impl Chart {
    pub(super) fn scene(mut self) -> Scene {
        self.drop_unplaced();
        let notes: Vec<String> =
            self.notes.iter().flat_map(|note| lines(note, WIDTH - 2.0 * MARGIN)).collect();
        let frame = self.frame();
        let height = frame.bottom() + 46.0 + notes.len() as f64 * LEADING + MARGIN / 2.0;
        let mut items = Vec::new();
        self.draw_heads(&mut items);
        draw_axes(&mut items, &frame, &self.x.label, &self.y.label);
        self.draw_series(&mut items, &frame);
        self.draw_labels(&mut items, &frame);
        for (row, note) in notes.into_iter().enumerate() {
            let at = (MARGIN, frame.bottom() + 56.0 + row as f64 * LEADING);
            items.push(plain(at, note, TICK, Anchor::Start, Ink::Muted));
        }
        let (title, description) = (format!("{}, {}", self.title, self.subtitle), self.description);
        Scene { width: WIDTH, height, title, description, items }
    }

    /// Leaves out points that an axis has no place for.
    fn drop_unplaced(&mut self) {
        let (x, y) = (self.x.stretch, self.y.stretch);
        for series in &mut self.series {
            series.line.retain(|mark| x.takes(mark.at.0) && y.takes(mark.at.1));
            series.beaten.retain(|mark| x.takes(mark.at.0) && y.takes(mark.at.1));
        }
        self.series.retain(|series| !series.line.is_empty());
    }

    fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.series.iter().flat_map(|series| series.line.iter().chain(&series.beaten))
    }

    fn frame(&self) -> Frame {
        let x =
            Scale::fit(self.x.stretch, self.marks().map(|mark| mark.at.0), self.x.given.as_deref());
        let y =
            Scale::fit(self.y.stretch, self.marks().map(|mark| mark.at.1), self.y.given.as_deref());
        let widest = |texts: &mut dyn Iterator<Item = f64>| texts.fold(0.0, f64::max);
        let ticks = widest(&mut y.ticks.iter().map(|t| font::width(&t.label, TICK, false)));
        let labels = widest(
            &mut self
                .series
                .iter()
                .map(|series| font::width(&series.label, LABEL, series.style.bold).min(LONGEST)),
        );
        let left = MARGIN + LABEL + 10.0 + ticks + 8.0;
        let top = MARGIN + TITLE + LEADING + 14.0;
        let right = LEADER + SWATCH + 8.0 + labels + MARGIN;
        // All labels must fit one below the other.
        let least = self.series.len() as f64 * LEADING;
        let height = (HEIGHT - top - 52.0).max(least);
        Frame { left, top, width: WIDTH - left - right, height, x, y }
    }

    fn draw_heads(&self, items: &mut Vec<Item>) {
        let most = WIDTH - 2.0 * MARGIN;
        items.push(Item::Text(Text {
            at: (MARGIN, MARGIN + TITLE - 2.0),
            text: font::cut(&self.title, TITLE, true, most),
            size: TITLE,
            bold: true,
            anchor: Anchor::Start,
            ink: Ink::Text,
            upward: false,
        }));
        let text = font::cut(&self.subtitle, TICK, false, most);
        let at = (MARGIN, MARGIN + TITLE + LEADING);
        items.push(plain(at, text, TICK, Anchor::Start, Ink::Muted));
    }

    fn draw_series(&self, items: &mut Vec<Item>, frame: &Frame) {
        for Series { style, beaten, faintness, .. } in self.series.iter().rev() {
            let (part, opacity) = match faintness {
                Faintness::Shade => (0.6, 0.28),
                Faintness::Choice => (1.0, 0.5),
            };
            items.extend(beaten.iter().map(|mark| {
                let radius = style.radius * part;
                marker(style, frame.place(mark.at), radius, opacity, Some(mark.note.clone()))
            }));
        }
        for Series { style, line, .. } in self.series.iter().rev() {
            let points: Vec<_> = line.iter().map(|mark| frame.place(mark.at)).collect();
            items.push(line_of(style, points.clone()));
            items.extend(
                line.iter().zip(points).map(|(mark, at)| {
                    marker(style, at, style.radius, 1.0, Some(mark.note.clone()))
                }),
            );
        }
    }

    /// Labels to the right of the plot, each as near as may be to the height at which its line ends.
    fn draw_labels(&self, items: &mut Vec<Item>, frame: &Frame) {
        let mut ends: Vec<(&Series, (f64, f64))> = self
            .series
            .iter()
            .filter_map(|series| {
                let places = series.line.iter().map(|mark| frame.place(mark.at));
                Some((series, places.max_by(|a, b| a.0.total_cmp(&b.0))?))
            })
            .collect();
        ends.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let wanted: Vec<f64> = ends.iter().map(|(_, end)| end.1).collect();
        let heights = spread(&wanted, LEADING, frame.top + 4.0, frame.bottom() - 4.0);
        for ((series, end), y) in ends.into_iter().zip(heights) {
            let style = series.style;
            let swatch = frame.right() + LEADER;
            items.push(Item::Line {
                points: vec![end, (frame.right() + 4.0, end.1), (swatch - 3.0, y)],
                ink: style.ink,
                width: 0.8,
                dash: Dash::Solid,
                opacity: 0.45,
            });
            items.push(line_of(&style, vec![(swatch, y), (swatch + SWATCH, y)]));
            items.push(marker(&style, (swatch + SWATCH / 2.0, y), style.radius, 1.0, None));
            items.push(Item::Text(Text {
                at: (swatch + SWATCH + 6.0, y + LABEL * 0.34),
                text: font::cut(&series.label, LABEL, style.bold, LONGEST),
                size: LABEL,
                bold: style.bold,
                anchor: Anchor::Start,
                ink: Ink::Text,
                upward: false,
            }));
        }
    }
}

fn plain(at: (f64, f64), text: String, size: f64, anchor: Anchor, ink: Ink) -> Item {
    Item::Text(Text { at, text, size, bold: false, anchor, ink, upward: false })
}

fn line_of(style: &Style, points: Vec<(f64, f64)>) -> Item {
    let Style { ink, dash, width, .. } = *style;
    Item::Line { points, ink, width, dash, opacity: 1.0 }
}

fn marker(style: &Style, at: (f64, f64), radius: f64, opacity: f64, note: Option<String>) -> Item {
    let Style { ink, shape, .. } = *style;
    Item::Marker(Marker { at, shape, radius, ink, opacity, note })
}

fn draw_axes(items: &mut Vec<Item>, frame: &Frame, x_label: &str, y_label: &str) {
    let mut rule = |points, ink, width| {
        items.push(Item::Line { points, ink, width, dash: Dash::Solid, opacity: 1.0 });
    };
    let (right, bottom) = (frame.right(), frame.bottom());
    for tick in &frame.x.ticks {
        let x = frame.left + frame.x.place(tick.value) * frame.width;
        rule(vec![(x, frame.top), (x, bottom)], Ink::Grid, 1.0);
        rule(vec![(x, bottom), (x, bottom + 4.0)], Ink::Muted, 1.0);
    }
    for tick in &frame.y.ticks {
        let y = bottom - frame.y.place(tick.value) * frame.height;
        rule(vec![(frame.left, y), (right, y)], Ink::Grid, 1.0);
        rule(vec![(frame.left - 4.0, y), (frame.left, y)], Ink::Muted, 1.0);
    }
    rule(vec![(frame.left, frame.top), (frame.left, bottom), (right, bottom)], Ink::Muted, 1.2);
    let across = |label: &str| (font::width(label, TICK, false) + 8.0) / frame.width;
    for tick in frame.x.labels(across) {
        let x = frame.left + frame.x.place(tick.value) * frame.width;
        items.push(plain((x, bottom + 18.0), tick.label.clone(), TICK, Anchor::Middle, Ink::Text));
    }
    for tick in frame.y.labels(|_| (TICK + 4.0) / frame.height) {
        let y = bottom - frame.y.place(tick.value) * frame.height + TICK * 0.34;
        items.push(plain((frame.left - 8.0, y), tick.label.clone(), TICK, Anchor::End, Ink::Text));
    }
    let middle = (frame.left + frame.width / 2.0, bottom + 37.0);
    items.push(plain(middle, x_label.to_owned(), LABEL, Anchor::Middle, Ink::Text));
    items.push(Item::Text(Text {
        at: (MARGIN + LABEL - 3.0, frame.top + frame.height / 2.0),
        text: y_label.to_owned(),
        size: LABEL,
        bold: false,
        anchor: Anchor::Middle,
        ink: Ink::Text,
        upward: true,
    }));
}

/// Places that are at least `apart`, in the order of `wanted` (which ascends) and within `low` and
/// `high` as far as they fit, moved as little as may be: places that would overlap become a block
/// around the mean of where they want to be.
fn spread(wanted: &[f64], apart: f64, low: f64, high: f64) -> Vec<f64> {
    // Each block: the first place, and how many.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &want in wanted {
        let mut block = (want, 1);
        while let Some(&(start, many)) = blocks.last() {
            if start + many as f64 * apart <= block.0 {
                break;
            }
            blocks.pop();
            let all = many + block.1;
            // Where the first would be, had each its way: the mean over the block.
            let moved = block.0 - many as f64 * apart;
            block = ((start * many as f64 + moved * block.1 as f64) / all as f64, all);
        }
        let last = (high - (block.1 - 1) as f64 * apart).max(low);
        block.0 = block.0.clamp(low, last);
        blocks.push(block);
    }
    let mut places: Vec<f64> = blocks
        .iter()
        .flat_map(|&(start, many)| (0..many).map(move |at| start + at as f64 * apart))
        .collect();
    // A block that the upper end pushed back may lie on the one before.
    let mut limit = f64::INFINITY;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - apart;
    }
    places
}

/// `text` in lines that are no wider than `most`.
fn lines(text: &str, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if font::width(&format!("{line} {word}"), TICK, false) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(font::cut(word, TICK, false, most)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart_in_order_and_within() {
        for wanted in [
            vec![],
            vec![50.0],
            vec![10.0, 12.0, 13.0, 90.0, 91.0],
            vec![99.0; 6],
            vec![0.0, 0.0, 0.0, 99.0, 99.0, 99.0],
            vec![0.0, 20.0, 40.0, 55.0, 60.0, 61.0],
        ] {
            let places = spread(&wanted, 10.0, 0.0, 100.0);
            assert_eq!(places.len(), wanted.len());
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] > 9.999), "{places:?}");
            assert!(places.iter().all(|place| (-1e-9..100.001).contains(place)), "{places:?}");
        }
        assert_eq!(spread(&[20.0, 50.0], 10.0, 0.0, 100.0), [20.0, 50.0]);
        assert_eq!(spread(&[20.0, 22.0], 10.0, 0.0, 100.0), [16.0, 26.0]);
    }

    #[test]
    fn long_notes_are_broken() {
        let note = "not reached at 0.95: ".to_owned() + &"some-engine, ".repeat(20);
        let lines = lines(&note, 300.0);
        assert!(lines.len() > 3);
        assert!(lines.iter().all(|line| font::width(line, TICK, false) <= 300.0));
    }
}
