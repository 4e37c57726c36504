//! A power failure at every moment of a whole build: `crash_replay.rs` asks this of publishing
//! alone, with segments of a few bytes; here it is the builder that writes, over an index that is
//! there, and the index on each disk is opened, searched and verified to the last byte.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::Path;

use common::crash::{Change, Check, Hasty, Model, Recorder, first_failure};
use common::everything::{self, use_everything};
use half::f16;
use vicinage::builder::build_through;
use vicinage::format::{FileLayer, LoadMode};
use vicinage::index::{OpenError, verify};
use vicinage::progress::Silent;
use vicinage::segments::manifest::ManifestError;
use vicinage::segments::publish::CurrentError;
use vicinage::types::ElementType;

fn build(index: &Path, layer: &dyn FileLayer, n: usize, spool: bool) -> Result<u64, String> {
    let (mut source, params) = match spool {
        false => (everything::source(n, 8, ElementType::I8, 1), everything::params()),
        // Narrowed on disk.
        true => {
            let mut source = everything::source(n, 8, ElementType::F32, 1);
            source.values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
            everything::spooled(source)
        }
    };
    match build_through(layer, index, &mut source, &params, &Silent) {
        Ok(report) => Ok(report.generation),
        Err(error) => Err(error.to_string()),
    }
}

/// Opens, uses and fully verifies the index; the generation that it holds, 0 for no index.
fn generation(index: &Path) -> Result<u64, String> {
    let report = match verify(index, true, &Silent) {
        Ok(report) => report,
        Err(OpenError::Current(CurrentError::Manifest(ManifestError::NoIndex { .. }))) => {
            return Ok(0);
        }
        Err(error) => return Err(error.to_string()),
    };
    if let Some(damage) = report.damage.first() {
        return Err(damage.to_string());
    }
    match use_everything(index, LoadMode::Mmap) {
        Ok(0) => Ok(report.generation),
        Ok(refused) => Err(format!("{refused} requests refused")),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn after_any_crash_of_a_build_the_old_or_the_new_index_is_there() {
    for (old, spool) in [(0, false), (1, false), (2, false), (1, true)] {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(dir.path(), None);
        let index = dir.path().join("jobs");
        let mut model = Model::new();
        for generation in 0..old {
            build(&index, &recorder, 100 + generation, false).unwrap();
        }
        recorder.take_log().iter().for_each(|change| model.apply(change));
        model.settle();
        build(&index, &recorder, 300, spool).unwrap();
        let log = recorder.take_log();
        let spooled = |change: &Change| matches!(change, Change::Seal(path) if path.ends_with("vectors.spool"));
        assert_eq!(log.iter().any(spooled), spool);
        let next = |index: &Path| build(index, &Hasty, 5, false);
        let check = Check { generation: &generation, next: &next };
        let tried = first_failure(&model, &log, old as u64, &check).unwrap();
        eprintln!(
            "over {old} generations, spool {spool}: {tried} disks after {} changes",
            log.len()
        );
        assert!(tried > 40, "only {tried} disks after {} changes", log.len());

        // And it can tell: without the sync of the segment file some crash breaks the index.
        let seal = |change: &Change| matches!(change, Change::Seal(path) if path.extension().is_some_and(|e| e == "vcg"));
        let unsealed: Vec<Change> = log.into_iter().filter(|change| !seal(change)).collect();
        first_failure(&model, &unsealed, old as u64, &check).unwrap_err();
    }
}
