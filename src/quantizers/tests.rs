//! Codes against their definition: what rows and terms say, decoded by the words of `docs/format.md`
//! and evaluated in f64; on every instruction set the same bits.
//!
//! Seeded; `SEED=… cargo test --lib quantizers` draws other vectors.

use std::marker::PhantomData;

use super::encode::EncodeRows;
use super::*;
use crate::kernels::{IsaKind, Operation, Space, dispatch, dispatch_on};
use crate::types::{Metric, Scorer, StepScorer};

/// SplitMix64, and what is drawn with it.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        Self(std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// Roughly normal, by the sum of uniforms.
    fn normal(&mut self) -> f32 {
        let unit = |x: u64| (x >> 40) as f32 / (1u64 << 24) as f32;
        (0..6).map(|_| unit(self.next())).sum::<f32>() * std::f32::consts::SQRT_2 - 4.242_640_7
    }

    fn vectors(&mut self, n: usize, dim: usize) -> Vec<f32> {
        (0..n * dim).map(|_| self.normal()).collect()
    }
}

/// Vectors `[n, dim]` and their codes.
struct Coded {
    vectors: Vec<f32>,
    center: Vec<f32>,
    bytes: CodeBytes,
    terms: Vec<CodeTerms>,
    layout: CodeLayout,
}

impl Coded {
    fn with_center(kind: CodeKind, vectors: Vec<f32>, center: Vec<f32>) -> Self {
        let dim = center.len();
        let layout = CodeLayout::new(kind, dim);
        let n = vectors.len() / dim;
        let mut bytes = CodeBytes::zeroed(n * layout.stride());
        let mut terms = vec![CodeTerms::default(); n];
        encode_rows(layout, &center, bytes.bytes_mut(), &mut terms, &mut |at, row| {
            row.copy_from_slice(&vectors[at * dim..][..dim]);
        });
        Self { vectors, center, bytes, terms, layout }
    }

    /// With the mean as center, as builds have it.
    fn new(kind: CodeKind, dim: usize, vectors: Vec<f32>) -> Self {
        let n = vectors.len() / dim;
        let mean = |i: usize| vectors.iter().skip(i).step_by(dim).map(|x| x / n as f32).sum();
        let center = (0..dim).map(mean).collect();
        Self::with_center(kind, vectors, center)
    }

    fn view(&self) -> Codes<'_> {
        let bounds = CodeBounds::of(&self.terms, &self.center);
        Codes::new(self.bytes.bytes(), &self.terms, self.layout, &self.center, bounds)
    }

    fn len(&self) -> usize {
        self.terms.len()
    }

    fn vector(&self, row: usize) -> &[f32] {
        &self.vectors[row * self.layout.dim()..][..self.layout.dim()]
    }

    /// The centered vector, as it was coded.
    fn centered(&self, row: usize) -> Vec<f64> {
        self.vector(row).iter().zip(&self.center).map(|(x, c)| f64::from(x - c)).collect()
    }

    /// The whole numbers of a row, read as the document says.
    fn decoded(&self, row: usize) -> Vec<f64> {
        let bytes = self.view().row(NodeId(row as u32));
        let code = |i: usize| match self.layout.kind() {
            CodeKind::I8 => f64::from(bytes[i]) - 128.0,
            CodeKind::U4 => {
                let byte = bytes[i / 64 * 32 + i % 32];
                let nibble = if i % 64 < 32 { byte & 15 } else { byte >> 4 };
                2.0 * f64::from(nibble) - 15.0
            }
        };
        (0..self.layout.dim()).map(code).collect()
    }

    /// `scale · c`.
    fn approximate(&self, row: usize) -> Vec<f64> {
        let scale = f64::from(self.terms[row].scale);
        self.decoded(row).iter().map(|c| c * scale).collect()
    }
}

/// Distances of all rows to one query, and what the query became.
struct Distances<'a, K> {
    codes: Codes<'a>,
    metric: Metric,
    query: &'a [f32],
    prepared: &'a mut QueryCodes,
    kind: PhantomData<K>,
}

impl<K: CodeType> Operation for Distances<'_, K> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<f32> {
        let Self { codes, metric, query, prepared, .. } = self;
        prepared.prepare(metric, query, 1.0, codes);
        let nodes: Vec<NodeId> = (0..codes.len() as u32).map(NodeId).collect();
        let mut distances = vec![0.0; nodes.len()];
        let scorer = prepared.scorer::<I, K>(isa, codes);
        scorer.score(&nodes, &mut distances);
        // In two steps they are the same.
        let mut firsts = vec![0; nodes.len()];
        scorer.first(&nodes, &mut firsts);
        for ((node, first), distance) in nodes.iter().zip(firsts).zip(&distances) {
            assert_eq!(scorer.finish(*node, first).to_bits(), distance.to_bits());
            let above = scorer.least(first) > *distance;
            assert!(!above, "{} {distance}", scorer.least(first));
        }
        distances
    }
}

fn distances_on(
    isa: IsaKind,
    coded: &Coded,
    metric: Metric,
    query: &[f32],
    prepared: &mut QueryCodes,
) -> Vec<f32> {
    let codes = coded.view();
    crate::with_codes!(coded.layout.kind(), K => {
        let kind = PhantomData::<K>;
        dispatch_on(isa, Distances { codes, metric, query, prepared, kind })
    })
}

/// The components of a prepared query by dimension.
fn rounded(prepared: &QueryCodes, layout: CodeLayout) -> Vec<f64> {
    let bytes = prepared.components.len() / 2;
    let at = |i: usize| match layout.kind() {
        CodeKind::I8 => i,
        CodeKind::U4 => i / 64 * 32 + i % 32 + if i % 64 < 32 { 0 } else { bytes },
    };
    (0..layout.dim()).map(|i| f64::from(prepared.components[at(i)])).collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// The table of the module in f64, from rows and terms alone; and the sizes of what is summed.
fn by_the_table(
    coded: &Coded,
    row: usize,
    metric: Metric,
    query: &[f32],
    prepared: &QueryCodes,
) -> (f64, f64) {
    let coded_query = wide(&prepared.vector);
    let largest = prepared.vector.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
    let step = f64::from(largest) / 127.0;
    let terms = coded.terms[row];
    let dot = product(&coded.decoded(row), &rounded(prepared, coded.layout));
    let along = f64::from(terms.scale) * step * dot;
    let square = product(&coded_query, &coded_query);
    let half = f64::from(terms.half_square);
    match metric {
        Metric::L2 => (square + 2.0 * half - 2.0 * along, square + 2.0 * half + 2.0 * along.abs()),
        Metric::Cosine => (0.5 * square + half - along, 0.5 * square + half + along.abs()),
        Metric::Ip => {
            let bound = square.sqrt() * f64::from(coded.view().bounds.norm);
            let center = product(&wide(query), &wide(&coded.center));
            (bound - center - along, bound + center.abs() + along.abs())
        }
    }
}

const METRICS: [Metric; 3] = [Metric::L2, Metric::Ip, Metric::Cosine];

fn dims() -> impl Iterator<Item = usize> {
    (1..=300).chain([384, 511, 512, 784, 1536, 4097])
}

#[test]
fn distances_are_the_table_s() {
    let mut random = Random::seeded();
    let mut prepared = QueryCodes::default();
    for dim in dims() {
        for kind in CodeKind::ALL {
            let coded = Coded::new(kind, dim, random.vectors(6, dim));
            for metric in METRICS {
                let query = random.vectors(1, dim);
                let found = distances_on(IsaKind::ALL[3], &coded, metric, &query, &mut prepared);
                let longest = prepared.vector.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
                for (x, p) in prepared.vector.iter().zip(rounded(&prepared, coded.layout)) {
                    let off = (f64::from(*x) * 127.0 / f64::from(longest) - p).abs();
                    assert!(off <= 0.5001, "{kind} {dim}: {x} of {longest} as {p}");
                }
                for (row, found) in found.iter().enumerate() {
                    let (expected, size) = by_the_table(&coded, row, metric, &query, &prepared);
                    let off = (f64::from(*found) - expected).abs();
                    assert!(off <= 1e-5 * size, "{kind} {metric} {dim}: {found} for {expected}");
                }
            }
        }
    }
}

#[test]
fn terms_are_what_they_are_called() {
    let mut random = Random::seeded();
    for dim in dims() {
        for kind in CodeKind::ALL {
            let coded = Coded::new(kind, dim, random.vectors(5, dim));
            let most = if kind == CodeKind::I8 { 127.0 } else { 15.0 };
            for row in 0..coded.len() {
                let (vector, codes) = (coded.centered(row), coded.decoded(row));
                assert!(codes.iter().all(|c| c.abs() <= most), "{kind} {dim}: {codes:?}");
                let square = product(&vector, &vector);
                let terms = coded.terms[row];
                let half = f64::from(terms.half_square);
                assert!((half - 0.5 * square).abs() <= 1e-5 * square, "{kind} {dim}");
                let scale = square / product(&vector, &codes);
                assert!((f64::from(terms.scale) - scale).abs() <= 1e-5 * scale, "{kind} {dim}");
            }
        }
    }
}

/// `tan θ` of the module's paragraph on errors, at most.
fn worst_tangent(kind: CodeKind, vector: &[f64]) -> f64 {
    let largest = vector.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    let step = if kind == CodeKind::I8 { largest / 127.0 } else { 2.0 * largest / 15.0 };
    let norm = product(vector, vector).sqrt();
    let sine = (vector.len() as f64).sqrt() * 0.5 * step / norm;
    if sine < 1.0 { sine / (1.0 - sine * sine).sqrt() } else { f64::INFINITY }
}

#[test]
fn errors_keep_to_their_bounds_and_fall_with_the_dimension() {
    let mut random = Random::seeded();
    let mut prepared = QueryCodes::default();
    for kind in CodeKind::ALL {
        let mut means = Vec::new();
        for dim in [16, 64, 256, 1024] {
            let coded = Coded::new(kind, dim, random.vectors(100, dim));
            let (mut sum, mut count) = (0.0, 0.0);
            for _ in 0..10 {
                let query = random.vectors(1, dim);
                let found =
                    distances_on(IsaKind::ALL[3], &coded, Metric::L2, &query, &mut prepared);
                let near = wide(&prepared.vector);
                let norm = product(&near, &near).sqrt();
                let step = near.iter().fold(0.0_f64, |a, x| a.max(x.abs())) / 127.0;
                for (row, found) in found.iter().enumerate() {
                    let vector = coded.centered(row);
                    let length = product(&vector, &vector).sqrt();
                    let pairs = near.iter().zip(&vector);
                    let true_distance: f64 = pairs.map(|(q, x)| (q - x) * (q - x)).sum();
                    // The distance has twice the product.
                    let off = 0.5 * (f64::from(*found) - true_distance).abs();
                    let approximate = coded.approximate(row);
                    let reach = product(&approximate, &approximate).sqrt();
                    let bound = norm * length * worst_tangent(kind, &vector)
                        + (dim as f64).sqrt() * 0.5 * step * reach
                        + 1e-5 * (norm * norm + length * length);
                    assert!(off <= bound, "{kind} {dim}: off by {off}, more than {bound}");
                    let (node, margin) =
                        (NodeId(row as u32), prepared.margin(Metric::L2, coded.view()));
                    assert!(
                        2.0 * off <= f64::from(margin.of(node)),
                        "{kind} {dim}: {off}, {margin:?}"
                    );
                    assert!(margin.of(node) <= margin.widest());
                    assert_eq!(margin.proven, kind == CodeKind::I8);
                    sum += off / (norm * length);
                    count += 1.0;
                }
            }
            means.push(sum / count);
        }
        // Four times the dimensions, half the error; the largest component grows a little.
        for pair in means.windows(2) {
            assert!(pair[1] < 0.75 * pair[0], "{kind}: {means:?}");
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut random = Random::seeded();
    let sets: Vec<IsaKind> = IsaKind::ALL.into_iter().filter(|isa| isa.available()).collect();
    let mut prepared = QueryCodes::default();
    for dim in (1..=100).chain([255, 256, 257, 784, 1536]) {
        for kind in CodeKind::ALL {
            let coded = Coded::new(kind, dim, random.vectors(7, dim));
            for &isa in &sets {
                let mut out = vec![0; coded.bytes.bytes().len()];
                let mut terms = vec![CodeTerms::default(); coded.len()];
                dispatch_on(
                    isa,
                    EncodeRows {
                        layout: coded.layout,
                        center: &coded.center,
                        out: &mut out,
                        terms: &mut terms,
                        row: &mut |at, row| row.copy_from_slice(coded.vector(at)),
                    },
                );
                assert_eq!(out, coded.bytes.bytes(), "{isa:?} {kind} {dim}: rows");
                assert_eq!(bits(&terms), bits(&coded.terms), "{isa:?} {kind} {dim}: terms");
            }
            for metric in METRICS {
                let query = random.vectors(1, dim);
                let mut on = |isa| distances_on(isa, &coded, metric, &query, &mut prepared);
                let expected = on(IsaKind::Scalar);
                for &isa in &sets {
                    let found = on(isa);
                    assert_eq!(bits(&found), bits(&expected), "{isa:?} {kind} {metric} {dim}");
                }
            }
        }
    }
}

fn bits<T: Pod>(values: &[T]) -> Vec<u32> {
    bytemuck::cast_slice(values).to_vec()
}

/// Distances from one item to all.
struct FromItem<'a>(&'a CodeSpace<'a>, NodeId);

impl Operation for FromItem<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<f32> {
        let nodes: Vec<NodeId> = (0..self.0.len() as u32).map(NodeId).collect();
        let mut distances = vec![0.0; nodes.len()];
        let mut buffer = Default::default();
        self.0.scorer(isa, self.1, &mut buffer).score(&nodes, &mut distances);
        distances
    }
}

#[test]
fn the_space_is_half_the_squared_distance_of_augmented_items() {
    let mut random = Random::seeded();
    for dim in (1..=64).chain([100, 128, 300, 1536]) {
        let coded = Coded::new(CodeKind::I8, dim, random.vectors(9, dim));
        let extras: Vec<f32> = (0..9).map(|_| random.normal().abs()).collect();
        for extras in [&extras[..], &[]] {
            let space = CodeSpace::new(coded.view(), extras);
            let all: Vec<Vec<f32>> =
                (0..9).map(|node| dispatch(FromItem(&space, NodeId(node)))).collect();
            for (a, from_a) in all.iter().enumerate() {
                for (b, from_b) in all.iter().enumerate() {
                    assert_eq!(from_a[b].to_bits(), from_b[a].to_bits(), "{dim}: {a} and {b}");
                    let (x, y) = (coded.centered(a), coded.centered(b));
                    let extra = |node: usize| extras.get(node).map_or(0.0, |x| f64::from(*x));
                    let along = product(&coded.approximate(a), &coded.approximate(b));
                    let norms = product(&x, &x) + product(&y, &y);
                    let stretch = (extra(a) - extra(b)).powi(2);
                    let found = f64::from(from_a[b]);
                    assert!(found >= 0.0, "{dim}: {found}");
                    let by_codes = (0.5 * (norms + stretch) - along).max(0.0);
                    assert!((found - by_codes).abs() <= 1e-5 * (norms + stretch), "{dim}");
                    // And of the vectors themselves, within what rounding makes of both.
                    let pairs = x.iter().zip(&y);
                    let naive: f64 = pairs.map(|(x, y)| (x - y) * (x - y)).sum::<f64>() + stretch;
                    let tangents = worst_tangent(CodeKind::I8, &x)
                        + worst_tangent(CodeKind::I8, &y)
                        + worst_tangent(CodeKind::I8, &x) * worst_tangent(CodeKind::I8, &y);
                    let bound = norms * 0.5 * tangents + 1e-5 * (norms + stretch);
                    assert!((found - 0.5 * naive).abs() <= bound, "{dim}: {found} {naive}");
                }
            }
        }
    }
}

#[test]
fn rows_of_one_value_and_of_none() {
    let dim = 37;
    let values = [0.0, -0.0, 1.0, -1.0, 0.25, 3e-5, -7e6];
    for kind in CodeKind::ALL {
        let rows: Vec<f32> = values.iter().flat_map(|x| vec![*x; dim]).collect();
        let coded = Coded::with_center(kind, rows, vec![0.0; dim]);
        for (row, value) in values.iter().enumerate() {
            let approximate = coded.approximate(row);
            // One value is coded exactly: its direction is that of the codes.
            for x in approximate {
                let off = (x - f64::from(*value)).abs();
                assert!(off <= 1e-6 * f64::from(value.abs()), "{kind}: {x} for {value}");
            }
        }
        assert_eq!(coded.terms[0], CodeTerms::default());
        // A row at the center has the distance of the center.
        let query = vec![0.5; dim];
        let mut prepared = QueryCodes::default();
        let found = distances_on(IsaKind::Scalar, &coded, Metric::L2, &query, &mut prepared);
        assert_eq!(found[0], 0.25 * dim as f32);
    }
}

/// From the smallest numbers that there are up to where squares leave f32, all distances are finite,
/// and where squares do not vanish they are right.
#[test]
fn any_magnitude_that_is_allowed_gives_finite_numbers() {
    let mut random = Random::seeded();
    let dim = 24;
    let mut prepared = QueryCodes::default();
    for kind in CodeKind::ALL {
        for size in [1e-45, 1e-40, 1e-38, 1e-30, 1e-22, 1e-18, 1e-6, 1.0, 1e9, 1e16, 9e16] {
            let vectors: Vec<f32> = random.vectors(8, dim).iter().map(|x| x * size).collect();
            let coded = Coded::new(kind, dim, vectors);
            let terms: &[f32] = bytemuck::cast_slice(&coded.terms);
            assert!(terms.iter().all(|x| x.is_finite() && *x >= 0.0), "{kind} {size}: {terms:?}");
            for near in [1e-45, 1e-30, 1.0, 9e16, size] {
                let query: Vec<f32> = random.vectors(1, dim).iter().map(|x| x * near).collect();
                for metric in METRICS {
                    let found =
                        distances_on(IsaKind::Scalar, &coded, metric, &query, &mut prepared);
                    assert!(found.iter().all(|x| x.is_finite()), "{kind} {metric} {size} {near}");
                    let components = &prepared.components;
                    assert!(components.iter().all(|p| *p >= -127), "{kind} {size} {near}");
                    if size >= 1e-18 && near == size {
                        for (row, found) in found.iter().enumerate() {
                            let (expected, sum) =
                                by_the_table(&coded, row, metric, &query, &prepared);
                            let off = (f64::from(*found) - expected).abs();
                            assert!(
                                off <= 1e-5 * sum,
                                "{kind} {metric} {size}: {found} {expected}"
                            );
                        }
                    }
                }
            }
            if kind == CodeKind::I8 {
                let space = CodeSpace::new(coded.view(), &[]);
                let found = dispatch(FromItem(&space, NodeId(3)));
                assert!(found.iter().all(|x| x.is_finite()), "{size}: {found:?}");
            }
        }
    }
}

/// Bytes that no encoder wrote are numbers like others, the same on every instruction set; terms
/// that are no numbers give distances that are none, and nothing else.
#[test]
fn rows_of_anything_are_scored() {
    let mut random = Random::seeded();
    let mut prepared = QueryCodes::default();
    let sets: Vec<IsaKind> = IsaKind::ALL.into_iter().filter(|isa| isa.available()).collect();
    for kind in CodeKind::ALL {
        for dim in [1, 31, 32, 64, 65, 200] {
            let mut coded = Coded::new(kind, dim, random.vectors(9, dim));
            coded.bytes.bytes_mut().fill_with(|| random.next() as u8);
            let query = random.vectors(1, dim);
            let mut on = |coded: &Coded, isa| {
                bits(&distances_on(isa, coded, Metric::L2, &query, &mut prepared))
            };
            for &isa in &sets {
                assert_eq!(on(&coded, isa), on(&coded, IsaKind::Scalar), "{isa:?} {kind} {dim}");
            }
            for wrong in [f32::NAN, f32::INFINITY, f32::MAX] {
                coded.terms.fill(CodeTerms { scale: wrong, half_square: -wrong });
                assert_eq!(on(&coded, IsaKind::Scalar).len(), 9);
            }
        }
    }
}

#[test]
fn rows_lie_on_whole_lines_where_that_wastes_little() {
    for kind in CodeKind::ALL {
        for dim in 1..3000 {
            let layout = CodeLayout::new(kind, dim);
            let bits = if kind == CodeKind::I8 { 8 } else { 4 };
            let least = (dim * bits).div_ceil(8);
            let (tight, stride) = (layout.code_bytes(), layout.stride());
            assert!(
                tight.is_multiple_of(32) && (least..least + 32).contains(&tight),
                "{kind} {dim}"
            );
            let lines = tight.next_multiple_of(64);
            let expected = if lines * 5 <= tight * 6 { lines } else { tight };
            assert_eq!(stride, expected, "{kind} {dim}");
            assert_eq!(CodeLayout::with_stride(kind, dim, stride), Ok(layout));
            for wrong in [0, tight - 1, tight + 64, usize::MAX] {
                assert_eq!(CodeLayout::with_stride(kind, dim, wrong), Err(tight), "{kind} {dim}");
            }
        }
    }
}

#[test]
fn padding_is_as_the_document_says() {
    let mut random = Random::seeded();
    for dim in [1, 33, 70, 90, 300] {
        for (kind, none) in [(CodeKind::I8, 128), (CodeKind::U4, 0)] {
            let coded = Coded::new(kind, dim, random.vectors(3, dim));
            let (layout, row) = (coded.layout, coded.view().row(NodeId(1)));
            let codes = layout.code_bytes();
            assert!(row[codes..].iter().all(|byte| *byte == 0), "{kind} {dim}");
            if kind == CodeKind::I8 {
                assert!(row[dim..codes].iter().all(|byte| *byte == none), "{kind} {dim}");
            } else {
                for i in dim..2 * codes {
                    let byte = row[i / 64 * 32 + i % 32];
                    let nibble = if i % 64 < 32 { byte & 15 } else { byte >> 4 };
                    assert_eq!(nibble, none, "{kind} {dim}: component {i}");
                }
            }
        }
    }
}
