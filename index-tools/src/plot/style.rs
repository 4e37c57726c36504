//! How each engine is drawn: color, marker and dash, so that no two that are near each other are
//! told apart by color alone. The colors are Okabe and Ito's, which the colour-blind tell apart, some
//! darkened for thin lines, and a brown.

use super::scene::{Dash, Ink, Shape};

/// A color on white and on the dark page of the report.
pub(super) const COLORS: [(&str, &str); 9] = [
    ("#0072b2", "#4aa8e8"),
    ("#d55e00", "#ff8a3d"),
    ("#009e73", "#2fd0a0"),
    ("#c4629c", "#f09ccb"),
    ("#e69f00", "#f2b632"),
    ("#56b4e9", "#9fdcff"),
    ("#4d4d4d", "#c9c9c9"),
    ("#9a8f00", "#d8cc3a"),
    ("#8a4f1d", "#c58a58"),
];

/// Engines that are known by name: each looks the same in every picture, whichever others are in it.
/// The first eight have a color to themselves.
pub(super) const KNOWN: [&str; 13] = [
    "hnswlib",
    "scann",
    "svs",
    "usearch",
    "faiss-ivfpqfs",
    "faiss-hnsw",
    "voyager",
    "ngt",
    "hnsw-rs",
    "faiss-hnsw-sq8",
    "glass",
    "symphonyqg",
    "bruteforce",
];

const SHAPES: [Shape; 8] = [
    Shape::Circle,
    Shape::Square,
    Shape::Triangle,
    Shape::Diamond,
    Shape::Down,
    Shape::Cross,
    Shape::Pentagon,
    Shape::Plus,
];

const DASHES: [Dash; 4] = [Dash::Solid, Dash::Dashed, Dash::Alternate, Dash::Dotted];

/// How a series looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    pub(super) ink: Ink,
    pub(super) shape: Shape,
    pub(super) dash: Dash,
    pub(super) width: f64,
    pub(super) radius: f64,
    pub(super) bold: bool,
}

impl Style {
    /// The look of series `at` of the peers', or of our own versions.
    pub(super) fn new(at: usize, ours: bool) -> Self {
        if ours {
            let dash = DASHES[at % DASHES.len()];
            let (ink, shape) = (Ink::Series(0), SHAPES[at % SHAPES.len()]);
            return Self { ink, shape, dash, width: 2.8, radius: 3.8, bold: true };
        }
        let ink = Ink::Series(1 + at % (COLORS.len() - 1));
        // The circle is ours.
        let shape = SHAPES[1 + at % (SHAPES.len() - 1)];
        let dash = DASHES[(at + 1) % DASHES.len()];
        Self { ink, shape, dash, width: 1.5, radius: 2.9, bold: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_many_peers_look_the_same() {
        let styles: Vec<Style> = (0..24).map(|at| Style::new(at, false)).collect();
        for (at, style) in styles.iter().enumerate() {
            assert!(!styles[..at].contains(style), "series {at}");
        }
    }
}
