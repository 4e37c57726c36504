//! A new calibration for an index that exists: a new generation that differs in that section alone.
//!
//! The old file is mapped and its sections are copied block by block, each held against its
//! checksum, so that memory holds the questions and one block.

use std::path::Path;

use serde::Serialize;

use crate::builder::calibrate::{calibrate, calibrated_ks};
use crate::builder::questions::{Questions, check_queries};
use crate::builder::{
    BuildError, RETAINED_GENERATIONS, SEGMENT_NAME, Stages, provenance, thread_pool, verify,
};
use crate::format::{
    Disk, FORMAT_VERSION, FileLayer, LoadMode, SectionKind, SegmentDigest, SegmentFile,
    SegmentWriter,
};
use crate::progress::{Progress, Stage};
use crate::segments::calibration::Calibration;
use crate::segments::manifest::Manifest;
use crate::segments::publish::{CurrentError, IndexDir, NewSegment, read_current};
use crate::segments::segment::{Segment, WriteSegmentError};

/// What a new calibration did.
#[derive(Clone, Debug, Serialize)]
pub struct RecalibrateReport {
    /// The generation that is now current.
    pub generation: u64,
    /// Size of the segment file.
    pub file_bytes: u64,
    /// Seconds per stage, in order.
    pub seconds: Vec<(Stage, f64)>,
    /// What effort reaches which recall now.
    pub calibration: Calibration,
    /// Old generations that could not be removed.
    pub not_removed: Vec<String>,
}

/// Measures on `queries` `[count, dim]` what effort reaches which recall in the index at `dir`, and
/// makes a generation current that says so. Searches answer as before; readers of the old
/// generation are not disturbed.
///
/// Cost: `count · n` distances, some thirty searches a query, and a copy of the file.
///
/// # Errors
/// See [`BuildError`]; the old generation is then still current.
pub fn recalibrate(
    dir: &Path,
    queries: Vec<f32>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<RecalibrateReport, BuildError> {
    recalibrate_through(&Disk, dir, queries, threads, progress)
}

/// [`recalibrate`] through another file layer, for tests that record or break it.
pub fn recalibrate_through(
    layer: &dyn FileLayer,
    dir: &Path,
    queries: Vec<f32>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<RecalibrateReport, BuildError> {
    // Locking would make a directory where none is.
    Manifest::read(dir).map_err(CurrentError::from)?;
    let pool = thread_pool(threads)?;
    let mut stages = Stages { progress, seconds: Vec::new() };
    let mut locked = IndexDir::create_or_open(dir, layer)?;
    let current = read_current(dir, LoadMode::Mmap)?;
    let [file] = <[SegmentFile; 1]>::try_from(current.files)
        .map_err(|files| BuildError::Segments { found: files.len() })?;
    let segment = Segment::open(file).map_err(CurrentError::from)?;
    // A deterministic build notes no times.
    let clock = current.manifest.provenance.is_some();
    let calibration = measure(&segment, queries, clock, &pool, &mut stages)?;

    let pending = locked.begin()?;
    let (path, length) = (pending.file_path(SEGMENT_NAME), segment.file().length());
    let digest = stages.run(Stage::Write, Some(length), "bytes", || {
        write(layer, &path, &segment, &calibration, progress)
    })?;
    stages.run(Stage::Verify, Some(digest.length), "bytes", || verify(&path, progress))?;
    if progress.cancelled() {
        return Err(BuildError::Cancelled);
    }
    let geometry = segment.file().geometry();
    let new = NewSegment {
        name: SEGMENT_NAME.to_owned(),
        digest,
        n: geometry.n,
        dim: geometry.dim,
        metric: geometry.metric,
        element: geometry.element,
    };
    let published = pending.publish(&[new], clock.then(provenance), RETAINED_GENERATIONS)?;
    Ok(RecalibrateReport {
        generation: published.generation,
        file_bytes: digest.length,
        seconds: stages.seconds,
        calibration,
        not_removed: published.not_removed.iter().map(ToString::to_string).collect(),
    })
}

fn measure(
    segment: &Segment,
    queries: Vec<f32>,
    clock: bool,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> Result<Calibration, BuildError> {
    let (target, n) = (segment.target(), segment.len());
    check_queries(&queries, target.vectors.dim, target.metric)?;
    let most = calibrated_ks(n).map(|(k, _)| k).last().ok_or(BuildError::TooFew { found: n })?;
    let questions = stages.run(Stage::Truth, None, "queries", || {
        Questions::of_queries(target.vectors, target.metric, queries, most, pool)
    });
    let calibration = stages.run(Stage::Calibrate, None, "points", || {
        calibrate(&questions, "queries", &target, clock, pool)
    });
    if stages.progress.cancelled() { Err(BuildError::Cancelled) } else { Ok(calibration) }
}

/// Copies the segment with another calibration, right after the meta section.
fn write(
    layer: &dyn FileLayer,
    path: &Path,
    segment: &Segment,
    calibration: &Calibration,
    progress: &dyn Progress,
) -> Result<SegmentDigest, BuildError> {
    let (file, encoded) = (segment.file(), calibration.encode().map_err(WriteSegmentError::from)?);
    let mut writer = SegmentWriter::create(layer, path)?;
    for entry in file.sections() {
        match entry.kind() {
            Some(SectionKind::Calibration) => continue,
            // An older format has another record.
            Some(SectionKind::Meta) if file.header().format < FORMAT_VERSION => {
                let meta = segment.meta().encode().map_err(WriteSegmentError::from)?;
                writer.begin_section(SectionKind::Meta, 0)?.write(&meta)?;
            }
            _ => writer
                .copy_section(file, entry, &mut |bytes| progress.advance(bytes))
                .map_err(CurrentError::from)?,
        }
        if entry.kind() == Some(SectionKind::Meta) {
            writer.begin_section(SectionKind::Calibration, 0)?.write(&encoded)?;
        }
        if progress.cancelled() {
            return Err(BuildError::Cancelled);
        }
    }
    Ok(writer.finish(*file.geometry())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    /// The committed index of format 1 is too small to be calibrated, so what it is copied with is
    /// made up.
    #[test]
    fn an_index_of_an_older_format_is_copied_into_this_one() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format_v1");
        let file = read_current(&dir, LoadMode::Mmap).unwrap().files.pop().unwrap();
        assert_eq!(file.header().format, 1);
        let old = Segment::open(file).unwrap();
        assert_eq!(old.calibration(), None);
        let (queries_from, paths) = ("queries".to_owned(), Vec::new());
        let calibration = Calibration { queries_from, queries: 3, paths };
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join(SEGMENT_NAME);
        write(&Disk, &path, &old, &calibration, &Silent).unwrap();

        let new = Segment::open(SegmentFile::open(&path, LoadMode::Mmap).unwrap()).unwrap();
        assert_eq!((new.meta(), new.calibration()), (old.meta(), Some(&calibration)));
        assert_eq!(new.file().verify(&mut |_| ()), []);
        for entry in old.file().sections() {
            let kind = entry.kind().unwrap();
            let section = |of: &Segment| of.file().section(kind, entry.index).map(<[u8]>::to_vec);
            assert!(kind == SectionKind::Meta || section(&new) == section(&old), "{entry}");
        }
        assert_eq!(new.file().sections().len(), old.file().sections().len() + 1);
    }
}
