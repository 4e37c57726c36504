//! The meta section is in the wire format of bincode's `config::legacy()`: whatever it holds, the
//! bytes that `wincode` writes are those that bincode 2.0.1 writes, and each reads the other's.
//! And bytes that anybody else wrote are refused without a panic and at bounded cost.
//!
//! A failure prints the smallest value that fails; `SEED=… cargo test --test meta` draws others.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::Random;
use common::allocator::{Counting, asked};
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use vicinage::filters::columns::{ColumnKind, ColumnSchema};
use vicinage::format::FORMAT_VERSION;
use vicinage::segments::meta::{
    BuildRecord, CodesProbe, CodesRecord, META_BYTES_MAX, Meta, ProbeRecord, SelfCheck, Statistics,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Any text: empty, ASCII, of other scripts, with characters outside the basic plane.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z ]{1,20}",
        "\\PC{0,12}",
        Just("大工 résumé 🪵".to_owned())
    ]
}

prop_compose! {
    fn build()(
        builder in text(),
        max_degree in any::<u32>(),
        ef_construction in any::<u32>(),
        alpha in option::of(any::<f32>()),
        backfill in any::<bool>(),
        probe in prop::collection::vec(
            (any::<f32>(), any::<bool>(), any::<f32>()).prop_map(|(alpha, backfill, distances)| {
                ProbeRecord { alpha, backfill, distances }
            }),
            0..4,
        ),
    ) -> BuildRecord {
        BuildRecord { builder, max_degree, ef_construction, alpha, backfill, probe }
    }
}

prop_compose! {
    fn self_check()(
        queries in any::<u32>(),
        queries_from in text(),
        k in any::<u32>(),
        ef in any::<u32>(),
        recall_id in any::<f64>(),
        recall_distance in any::<f64>(),
    ) -> SelfCheck {
        SelfCheck { queries, queries_from, k, ef, recall_id, recall_distance }
    }
}

prop_compose! {
    fn codes()(kind in text(), stride in any::<u32>()) -> CodesRecord {
        CodesRecord { kind, stride }
    }
}

prop_compose! {
    fn codes_probe()(
        kind in text(),
        rerank in any::<u32>(),
        recall in any::<f64>(),
    ) -> CodesProbe {
        CodesProbe { kind, rerank, recall }
    }
}

prop_compose! {
    fn meta()(
        writer in text(),
        build in build(),
        edges in any::<u64>(),
        attached in any::<u64>(),
        unreachable in any::<u64>(),
        self_check in option::of(self_check()),
        columns in prop::collection::vec(
            (text(), prop::sample::select(&ColumnKind::ALL[..]), any::<bool>()).prop_map(
                |(name, kind, nullable)| ColumnSchema { name, kind, nullable },
            ),
            0..8,
        ),
        codes in option::of(codes()),
        codes_probe in prop::collection::vec(codes_probe(), 0..3),
    ) -> Meta {
        let statistics = Statistics { edges, attached, unreachable, self_check };
        Meta { writer, build, statistics, columns, codes, codes_probe }
    }
}

fn bincode_bytes(meta: &Meta) -> Vec<u8> {
    bincode::serde::encode_to_vec(meta, bincode::config::legacy()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(Random::seeded().1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_bytes_are_bincode_s_both_ways(meta in meta()) {
        let ours = meta.encode().unwrap();
        prop_assert_eq!(&ours, &bincode_bytes(&meta));

        let (theirs, read): (Meta, usize) =
            bincode::serde::decode_from_slice(&ours, bincode::config::legacy()).unwrap();
        prop_assert_eq!(read, ours.len());
        // Compared as bytes: a NaN is not equal to itself.
        prop_assert_eq!(bincode_bytes(&theirs), &ours[..]);
        prop_assert_eq!(Meta::decode(&ours, FORMAT_VERSION).unwrap().encode().unwrap(), &ours[..]);
    }

    /// Version 1 ended with the columns.
    #[test]
    fn records_of_version_1_are_read(meta in meta()) {
        let Meta { writer, build, statistics, columns, .. } = &meta;
        let old = (writer, build, statistics, columns);
        let bytes = bincode::serde::encode_to_vec(old, bincode::config::legacy()).unwrap();
        let expected = Meta { codes: None, codes_probe: Vec::new(), ..meta.clone() };
        let read = Meta::decode(&bytes, 1).unwrap();
        prop_assert_eq!(bincode_bytes(&read), bincode_bytes(&expected));
        prop_assert!(Meta::decode(&bytes, 2).is_err());
        prop_assert!(Meta::decode(&expected.encode().unwrap(), 1).is_err());
    }

    #[test]
    fn other_lengths_are_refused(meta in meta(), more in 1..20usize) {
        let bytes = meta.encode().unwrap();
        for length in 0..bytes.len() {
            prop_assert!(Meta::decode(&bytes[..length], FORMAT_VERSION).is_err(), "cut at {length}");
        }
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0);
        prop_assert!(Meta::decode(&longer, FORMAT_VERSION).is_err());
    }

    /// Whatever is decoded from mutated bytes cost what its bytes can hold, and encodes again.
    #[test]
    fn mutated_bytes_do_no_harm(meta in meta(), seed in any::<u64>()) {
        let clean = meta.encode().unwrap();
        let mut random = Random(seed);
        for _ in 0..64 {
            let mut bytes = clean.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => {
                        let value = [u64::MAX, 1 << 40, 1 << 32, 1 << 20, 1 << 10, 0][random.below(6)];
                        let end = (at + 8).min(bytes.len());
                        bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                    }
                    _ => drop(bytes.splice(at..at, [random.next() as u8])),
                }
            }
            let (decoded, cost) = asked(|| Meta::decode(&bytes, FORMAT_VERSION));
            prop_assert!(cost.peak < DECODING_BYTES, "{cost:?} for {} bytes", bytes.len());
            if let Ok(decoded) = decoded {
                // One value has one encoding, so nothing of the input was passed over.
                prop_assert_eq!(decoded.encode().unwrap(), bytes);
            }
        }
    }
}

/// What decoding may take at most, of a section of whatever length: the values that it holds, and
/// once the limit for an announced length that is not true.
const DECODING_BYTES: isize = 2 * META_BYTES_MAX as isize;

/// A length that is a lie costs no more than the section may.
#[test]
fn announced_lengths_are_not_believed() {
    let meta = Meta::decode(&largest(1), FORMAT_VERSION).unwrap();
    let bytes = meta.encode().unwrap();
    for at in 0..bytes.len() - 7 {
        for bits in 0..64 {
            let mut forged = bytes.clone();
            forged[at..at + 8].copy_from_slice(&(1u64 << bits).to_le_bytes());
            let (_, cost) = asked(|| Meta::decode(&forged, FORMAT_VERSION));
            assert!(cost.peak < DECODING_BYTES, "1 << {bits} at {at}: {cost:?}");
        }
    }
}

/// The bytes of a meta section with so many nameless columns.
fn largest(columns: usize) -> Vec<u8> {
    let column = ColumnSchema { name: String::new(), kind: ColumnKind::Bool, nullable: false };
    let build = BuildRecord {
        builder: "hnsw".to_owned(),
        max_degree: 32,
        ef_construction: 128,
        alpha: Some(1.1),
        backfill: true,
        probe: vec![ProbeRecord { alpha: 1.0, backfill: false, distances: 9.0 }],
    };
    let statistics = Statistics { edges: 1, attached: 0, unreachable: 0, self_check: None };
    let writer = "vicinage".to_owned();
    let columns = vec![column; columns];
    let (codes, codes_probe) = (None, Vec::new());
    Meta { writer, build, statistics, columns, codes, codes_probe }.encode().unwrap()
}

/// The most columns are bounded by their size in memory, the most bytes by the section's limit;
/// and what cannot be read is not written.
#[test]
fn a_section_that_is_too_large_is_refused() {
    let most = META_BYTES_MAX / size_of::<ColumnSchema>();
    let bytes = largest(most);
    let (decoded, cost) = asked(|| Meta::decode(&bytes, FORMAT_VERSION));
    let mut meta = decoded.unwrap();
    assert!(cost.peak < DECODING_BYTES, "{cost:?}");
    meta.columns.push(meta.columns[0].clone());
    meta.encode().unwrap_err();

    // One column more than can be written: the number of columns, and thirteen bytes more before
    // what follows them, nine bytes that say no codes and no probe.
    let end = bytes.len() - 9;
    let mut forged = [&bytes[..end], &bytes[end - 13..]].concat();
    let at = end - 13 * most - 8;
    forged[at..at + 8].copy_from_slice(&(most as u64 + 1).to_le_bytes());
    let (decoded, cost) = asked(|| Meta::decode(&forged, FORMAT_VERSION));
    decoded.unwrap_err();
    assert!(cost.peak < DECODING_BYTES, "{cost:?}");

    let long = vec![0; META_BYTES_MAX + 1];
    assert!(Meta::decode(&long, FORMAT_VERSION).unwrap_err().contains("more than 4194304"));
}
