//! A picture as a list of things to draw, in units of a CSS pixel. `svg` and `png` draw it: one
//! layout, so that both look alike. Inks are names: the report gives them other colors in the dark.

/// What a thing is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Behind everything.
    Paper,
    Text,
    /// Text that stands back, and axes.
    Muted,
    Grid,
    /// The color of a [`super::style::Style`].
    Series(usize),
}

/// Which side of a point a text stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Alternate,
}

impl Dash {
    /// Lengths of strokes and gaps, as multiples of the line's width.
    pub(super) fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[4.0, 2.0],
            Self::Dotted => &[1.2, 1.6],
            Self::Alternate => &[5.0, 1.8, 1.2, 1.8],
        }
    }
}

/// The shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Down,
    Pentagon,
    Plus,
    Cross,
}

impl Shape {
    /// Corners of the shape around 0, 0 for a radius of 1; none for a circle. Shapes are of about
    /// equal weight to the eye.
    pub(super) fn corners(self) -> Vec<(f64, f64)> {
        let plus = || {
            let (long, short) = (1.15, 0.38);
            let arm = [(short, long), (short, short), (long, short)];
            // Each arm is the one before, a quarter turn on.
            (0..4).flat_map(move |turn| {
                arm.map(|(x, y)| match turn {
                    0 => (x, -y),
                    1 => (y, x),
                    2 => (-x, y),
                    _ => (-y, -x),
                })
            })
        };
        match self {
            Self::Circle => Vec::new(),
            Self::Square => vec![(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
            Self::Triangle => vec![(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Self::Down => vec![(0.0, 1.2), (-1.1, -0.8), (1.1, -0.8)],
            Self::Diamond => vec![(0.0, -1.3), (1.15, 0.0), (0.0, 1.3), (-1.15, 0.0)],
            Self::Pentagon => {
                let turn = std::f64::consts::TAU / 5.0;
                let at = |corner: i32| (turn * f64::from(corner)).sin_cos();
                (0..5).map(at).map(|(x, y)| (1.1 * x, -1.1 * y)).collect()
            }
            Self::Plus => ordered(plus()),
            Self::Cross => ordered(plus().map(|(x, y)| {
                let turned = std::f64::consts::FRAC_1_SQRT_2;
                ((x - y) * turned, (x + y) * turned)
            })),
        }
    }
}

/// Corners in the order of their direction from the middle, as those of a star are.
fn ordered(corners: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut corners: Vec<_> = corners.collect();
    corners.sort_by(|a, b| a.1.atan2(a.0).total_cmp(&b.1.atan2(b.0)));
    corners
}

/// One thing.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Line { points: Vec<(f64, f64)>, ink: Ink, width: f64, dash: Dash, opacity: f64 },
    Marker(Marker),
    Text(Text),
}

#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) at: (f64, f64),
    pub(super) shape: Shape,
    pub(super) radius: f64,
    pub(super) ink: Ink,
    pub(super) opacity: f64,
    /// What the point is, for a reader who hovers over it.
    pub(super) note: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Start, middle or end of the baseline.
    pub(super) at: (f64, f64),
    pub(super) text: String,
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) anchor: Anchor,
    pub(super) ink: Ink,
    /// Turned to be read from below to above.
    pub(super) upward: bool,
}

/// A picture.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    /// For those who cannot see it.
    pub(super) title: String,
    pub(super) description: String,
    pub(super) items: Vec<Item>,
}

impl Scene {
    /// Pictures side by side, `columns` in a row.
    pub(super) fn beside(scenes: Vec<Scene>, columns: usize) -> Scene {
        let mut all = Scene {
            width: 0.0,
            height: 0.0,
            title: String::new(),
            description: String::new(),
            items: Vec::new(),
        };
        for row in scenes.chunks(columns) {
            let (top, mut left) = (all.height, 0.0);
            for scene in row {
                all.items.extend(scene.items.iter().map(|item| item.moved(left, top)));
                left += scene.width;
                all.height = all.height.max(top + scene.height);
                all.description += &format!("{}: {} ", scene.title, scene.description);
            }
            all.width = all.width.max(left);
        }
        let titles: Vec<_> = scenes.into_iter().map(|scene| scene.title).collect();
        all.title = titles.join("; ");
        all
    }
}

impl Item {
    fn moved(&self, dx: f64, dy: f64) -> Item {
        let moved = |(x, y): (f64, f64)| (x + dx, y + dy);
        let mut item = self.clone();
        match &mut item {
            Item::Line { points, .. } => {
                points.iter_mut().for_each(|point| *point = moved(*point));
            }
            Item::Marker(marker) => marker.at = moved(marker.at),
            Item::Text(text) => text.at = moved(text.at),
        }
        item
    }
}
