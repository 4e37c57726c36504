//! What queries tell about an index that exists: a new generation that differs in its calibration and in
//! where searches come in, and where it learns from them in that.
//!
//! The old file is mapped and its sections are copied block by block, each held against its
//! checksum, so that memory holds the questions and one block.

use std::path::Path;

use serde::Serialize;

use crate::builder::calibrate::{calibrate, calibrated_ks};
use crate::builder::entries::{WayIn, find_entries};
use crate::builder::learn::{self, Learned, split};
use crate::builder::questions::{Questions, check_queries};
use crate::builder::{
    BuildError, RETAINED_GENERATIONS, SEGMENT_NAME, Stages, provenance, thread_pool, verify,
};
use crate::format::{
    Disk, FORMAT_VERSION, FileLayer, LoadMode, OpenError, SectionKind, SegmentDigest, SegmentFile,
    SegmentWriter,
};
use crate::graph::entry_points::{EntryPoints, OwnedEntryPoints};
use crate::progress::{Progress, Stage};
use crate::segments::calibration::Calibration;
use crate::segments::manifest::Manifest;
use crate::segments::publish::{CurrentError, IndexDir, NewSegment, read_current};
use crate::segments::repair::Repair;
use crate::segments::segment::{Segment, WriteSegmentError, write_queries};
use crate::types::NodeId;

/// What a revision did.
#[derive(Clone, Debug, Serialize)]
pub struct ReviseReport {
    /// The generation that is now current.
    pub generation: u64,
    /// Size of the segment file.
    pub file_bytes: u64,
    /// Seconds per stage, in order.
    pub seconds: Vec<(Stage, f64)>,
    /// What effort reaches which recall now.
    pub calibration: Calibration,
    /// What was learned; none where it was not asked for, where there were too few queries, or where it
    /// did not pay.
    pub repair: Option<Repair>,
    /// Old generations that could not be removed.
    pub not_removed: Vec<String>,
}

/// Measures on `queries` `[count, dim]` what effort reaches which recall in the index at `dir`, and
/// makes a generation current that says so. Searches answer as before, unless the queries want to come in
/// elsewhere; readers of the old generation are not disturbed.
///
/// Cost: `count · n` distances, some fifty searches a query, and a copy of the file.
///
/// # Errors
/// See [`BuildError`]; the old generation is then still current.
pub fn recalibrate(
    dir: &Path,
    queries: Vec<f32>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<ReviseReport, BuildError> {
    recalibrate_through(&Disk, dir, queries, threads, progress)
}

/// [`recalibrate`] through another file layer, for tests that record or break it.
pub fn recalibrate_through(
    layer: &dyn FileLayer,
    dir: &Path,
    queries: Vec<f32>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<ReviseReport, BuildError> {
    revise(layer, dir, (queries, false), threads, progress)
}

/// Learns from `queries` `[count, dim]` which edges the index at `dir` lacks and where such queries come
/// in, calibrates it on those of them that are held out, and makes a generation current that has both.
/// What was learned before is kept, and displaced where a node has too many edges. Readers of the old
/// generation are not disturbed.
///
/// Cost: a search with a list of 500 for each query; for each of at most 2,000 that are held out `n`
/// distances and some hundred searches; and a copy of the file.
///
/// # Errors
/// See [`BuildError`]; the old generation is then still current.
pub fn repair(
    dir: &Path,
    queries: Vec<f32>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<ReviseReport, BuildError> {
    revise(&Disk, dir, (queries, true), threads, progress)
}

fn revise(
    layer: &dyn FileLayer,
    dir: &Path,
    (queries, learning): (Vec<f32>, bool),
    threads: usize,
    progress: &dyn Progress,
) -> Result<ReviseReport, BuildError> {
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
    let measured = measure(&segment, (queries, learning), clock, &pool, &mut stages)?;

    let pending = locked.begin()?;
    let (path, length) = (pending.file_path(SEGMENT_NAME), segment.file().length());
    let digest = stages.run(Stage::Write, Some(length), "bytes", || {
        write(layer, &path, &segment, &measured, progress)
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
    Ok(ReviseReport {
        generation: published.generation,
        file_bytes: digest.length,
        seconds: stages.seconds,
        calibration: measured.calibration,
        repair: measured.learned.map(|learned| learned.record),
        not_removed: published.not_removed.iter().map(ToString::to_string).collect(),
    })
}

/// What replaces something in the copied file.
struct Measured {
    entries: usize,
    /// Where searches begin, unless they go down.
    entry_points: Option<OwnedEntryPoints>,
    calibration: Calibration,
    learned: Option<Learned>,
}

fn measure(
    segment: &Segment,
    (queries, learning): (Vec<f32>, bool),
    clock: bool,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> Result<Measured, BuildError> {
    let (mut target, n) = (segment.target(), segment.len());
    check_queries(&queries, target.vectors.dim, target.metric)?;
    let most = calibrated_ks(n).map(|(k, _)| k).last().ok_or(BuildError::TooFew { found: n })?;
    let (learnable, queries) =
        if learning { split(&queries, target.vectors.dim) } else { (Vec::new(), queries) };
    let questions = stages.run(Stage::Truth, None, "queries", || {
        Questions::of_queries(target.vectors, target.metric, queries, most, pool)
    });
    let learned_from = target.entry_points.filter(EntryPoints::bounded);
    let WayIn { layout, points } =
        stages.run(Stage::Entries, None, "trials", || find_entries(&questions, &target, pool));
    target.levels.1 = &layout;
    // What was learned is kept.
    target.entry_points = learned_from.or(points.as_ref().map(OwnedEntryPoints::view));
    let learned = match learnable.is_empty() {
        true => None,
        false => learn::stage(&target, &learnable, &questions, pool, stages),
    };
    let target = learned.as_ref().map_or(target, |learned| learned.applied(target));
    let calibration = stages.run(Stage::Calibrate, None, "points", || {
        calibrate(&questions, "queries", &target, clock, pool)
    });
    if stages.progress.cancelled() {
        return Err(BuildError::Cancelled);
    }
    let entry_points = target.entry_points.as_ref().map(EntryPoints::to_owned);
    Ok(Measured { entries: layout.entries(), entry_points, calibration, learned })
}

/// Copies the segment with what was measured; the calibration comes right after the meta section.
fn write(
    layer: &dyn FileLayer,
    path: &Path,
    segment: &Segment,
    measured: &Measured,
    progress: &dyn Progress,
) -> Result<SegmentDigest, BuildError> {
    let file = segment.file();
    let encoded = measured.calibration.encode().map_err(WriteSegmentError::from)?;
    let mut writer = SegmentWriter::create(layer, path)?;
    for entry in file.sections() {
        match entry.kind() {
            Some(SectionKind::Calibration | SectionKind::EntryPoints) => continue,
            Some(SectionKind::Repair | SectionKind::Overflow) if measured.learned.is_some() => {
                continue;
            }
            // An older format has another record.
            Some(SectionKind::Meta) if file.header().format < FORMAT_VERSION => {
                let meta = segment.meta().encode().map_err(WriteSegmentError::from)?;
                writer.begin_section(SectionKind::Meta, 0)?.write(&meta)?;
            }
            Some(SectionKind::Levels) => {
                if let Some(damage) = file.damage(entry) {
                    return Err(CurrentError::from(OpenError::from(damage)).into());
                }
                let (words, layout) = segment.target().levels;
                let mut words = words.to_vec();
                layout.with_entries(measured.entries).write_entries(&mut words);
                writer.begin_section(SectionKind::Levels, 0)?.write_slice(&words)?;
            }
            _ => writer
                .copy_section(file, entry, &mut |bytes| progress.advance(bytes))
                .map_err(CurrentError::from)?,
        }
        if entry.kind() == Some(SectionKind::Meta) {
            writer.begin_section(SectionKind::Calibration, 0)?.write(&encoded)?;
            let in_place: Vec<NodeId> = (0..segment.len() as u32).map(NodeId).collect();
            let learned = measured.learned.as_ref().map(Learned::parts);
            let points = measured.entry_points.as_ref();
            write_queries(points, learned.as_ref(), &in_place, &mut writer)?;
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
        let measured = Measured { entries: 4, entry_points: None, calibration, learned: None };
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join(SEGMENT_NAME);
        write(&Disk, &path, &old, &measured, &Silent).unwrap();

        let new = Segment::open(SegmentFile::open(&path, LoadMode::Mmap).unwrap()).unwrap();
        assert_eq!((new.meta(), new.calibration()), (old.meta(), Some(&measured.calibration)));
        assert_eq!([&old, &new].map(|segment| segment.target().levels.1.entries()), [1, 4]);
        assert_eq!(new.file().verify(&mut |_| ()), []);
        for entry in old.file().sections() {
            let kind = entry.kind().unwrap();
            let section = |of: &Segment| of.file().section(kind, entry.index).map(<[u8]>::to_vec);
            let written = matches!(kind, SectionKind::Meta | SectionKind::Levels);
            assert!(written || section(&new) == section(&old), "{entry}");
        }
        assert_eq!(new.file().sections().len(), old.file().sections().len() + 1);
    }
}
