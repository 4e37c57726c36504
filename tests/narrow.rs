//! f32 that a narrower type holds exactly is stored in it, and nobody can tell but by the size.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{MemorySource, Random, assert_clean, block, clustered, everything, open, quick};
use vicinage::builder::{BuildParams, build, plan};
use vicinage::index::{Hit, Scratch, SearchParams};
use vicinage::progress::Silent;
use vicinage::types::{ElementType, Metric, NodeId};

const N: usize = 900;
const DIM: usize = 24;

/// Vectors that are exactly of a type, as f32.
fn values_of(element: ElementType) -> Vec<f32> {
    let scale = match element {
        ElementType::I8 | ElementType::U8 => 1.0,
        ElementType::F32 | ElementType::F16 => 0.013,
        // More than f16 holds.
        ElementType::Bf16 => 1.3e4,
    };
    let values: Vec<f32> = clustered(N, DIM, 3).iter().map(|value| value * scale).collect();
    let values = block(&values, element);
    (0..N * DIM).map(|at| values.component(at)).collect()
}

fn params(metric: Metric) -> BuildParams {
    BuildParams { threads: 1, deterministic: true, ..quick(metric) }
}

/// Builds `values`, given as f32; the type they are in, what some searches give and all vectors.
fn built(values: &[f32], params: &BuildParams) -> (ElementType, Vec<Vec<Hit>>, Vec<Vec<f32>>) {
    let dir = tempfile::tempdir().unwrap();
    let mut source = MemorySource::new(values.to_vec(), DIM);
    let planned = plan(&mut source, params).unwrap();
    assert_eq!(planned.vectors_on_disk, params.memory_limit.is_some());
    source.next = 0;
    build(dir.path(), &mut source, params, &Silent).unwrap();
    assert_clean(dir.path());
    let index = open(dir.path());
    assert_eq!(planned.element, index.info().element);
    let (mut random, mut scratch) = (Random(5), Scratch::default());
    let mut answers = Vec::new();
    for exact in [false, true].repeat(10) {
        let query: Vec<f32> = (0..DIM).map(|_| random.normal()).collect();
        let (mut hits, params) = (Vec::new(), SearchParams { exact, ..SearchParams::top(7) });
        index.search(&mut scratch, &query, &params, &mut hits).unwrap();
        answers.push(hits);
    }
    let vectors = (0..N as u32).map(|node| {
        let mut vector = Vec::new();
        index.vector(NodeId(node), &mut vector);
        vector
    });
    (index.info().element, answers, vectors.collect())
}

#[test]
fn answers_and_vectors_are_those_of_f32() {
    for metric in [Metric::L2, Metric::Ip, Metric::Cosine] {
        for element in ElementType::ALL {
            let values = values_of(element);
            let (found, answers, vectors) = built(&values, &params(metric));
            assert_eq!(found, element, "{metric}");
            let wide = BuildParams { element: Some(ElementType::F32), ..params(metric) };
            let (kept, expected, as_given) = built(&values, &wide);
            assert_eq!(kept, ElementType::F32);
            assert_eq!(answers, expected, "{metric} {element}");
            assert_eq!(vectors, as_given);
        }
    }
}

#[test]
fn one_value_that_does_not_fit_keeps_the_type() {
    for element in [ElementType::U8, ElementType::F16] {
        let mut values = values_of(element);
        *values.last_mut().unwrap() = 0.1;
        assert_eq!(built(&values, &params(Metric::L2)).0, ElementType::F32);
    }
}

#[test]
fn vectors_on_disk_are_narrowed_as_those_in_memory() {
    for element in [ElementType::U8, ElementType::Bf16] {
        let values = values_of(element);
        let (_, limited) = everything::spooled(MemorySource::new(values.clone(), DIM));
        let ways = [None, limited.memory_limit].map(|memory_limit| {
            let (found, _, mut vectors) =
                built(&values, &BuildParams { memory_limit, ..limited.clone() });
            assert_eq!(found, element);
            vectors.sort_by(|a, b| a.partial_cmp(b).unwrap());
            vectors
        });
        assert_eq!(ways[0], ways[1]);
    }
}
