//! The atomic commit: a reader sees the old generation or the new one, never half of one.
//!
//! ```text
//! jobs/
//!   MANIFEST.json      what is current; replaced by rename, last
//!   000001/base.vcg    a generation: written once, read-only, never changed
//!   .lock              held while a build works here; readers ignore it
//!   .tmp-000002/       a generation being written; whatever a dead build left is removed
//!   .tmp-MANIFEST.json the next manifest on its way
//! ```
//!
//! The order, each step durable before the next: files of the generation (sealed by whoever writes
//! them), their names, the rename to `000002/`, the new manifest under its temporary name, the
//! rename over `MANIFEST.json`. Only then are generations older than the retained ones removed.
//! A crash at any point leaves the old index or the new one, and leftovers that the next build
//! clears away. `tests/crash_replay.rs` tries every point.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::manifest::{
    MANIFEST_NAME, Manifest, ManifestError, Provenance, SegmentRecord, generation_name,
    generation_of_name, is_file_name,
};
use crate::error::{Corruption, FileError};
use crate::format::{FileLayer, LoadMode, OpenError, SegmentDigest, SegmentFile};
use crate::types::{ElementType, Metric};

const LOCK_NAME: &str = ".lock";
const TEMPORARY_PREFIX: &str = ".tmp-";

/// How often a reader looks again when the generation that it read about is gone. Each time means
/// that a whole build was published in between.
const READ_ATTEMPTS: usize = 8;

/// Why a generation cannot be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another build holds the lock.
    #[error("{} is being built by another process: wait for it, or build elsewhere", dir.display())]
    Locked {
        /// The index directory.
        dir: PathBuf,
    },
    /// The directory holds something that is not an index.
    #[error(
        "{} is not an index and not empty (it has \"{found}\"): \
         name an index, an empty directory or a new one",
        dir.display()
    )]
    NotAnIndex {
        /// The directory.
        dir: PathBuf,
        /// A name in it.
        found: String,
    },
    /// The manifest of the index that is there cannot be read, so that nothing says what may be
    /// replaced.
    #[error("will not build over an index that cannot be read: {0}")]
    Unreadable(#[from] ManifestError),
    /// The files in the new generation are not the ones that were to be published.
    #[error("cannot publish {}: expected {expected}, found {found}", dir.display())]
    WrongFiles {
        /// The directory of the new generation.
        dir: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// Why the current generation cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CurrentError {
    /// What is current cannot be known.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file of the current generation cannot be opened.
    #[error(transparent)]
    Segment(#[from] OpenError),
}

/// An index directory in which this process alone may build, for as long as the value lives.
#[derive(Debug)]
pub struct IndexDir<'l> {
    path: PathBuf,
    layer: &'l dyn FileLayer,
    /// Generation that the manifest names; 0 where there is none yet.
    current: u64,
    /// Directories that did not exist before, outermost first; removed unless a generation is
    /// published.
    created: Vec<PathBuf>,
    _lock: File,
}

/// A generation being written. Dropping it unpublished removes it.
#[derive(Debug)]
pub struct PendingGeneration<'d, 'l> {
    dir: &'d mut IndexDir<'l>,
    generation: u64,
    /// Where its files are; `None` once they must stay.
    path: Option<PathBuf>,
}

/// A finished segment file to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSegment {
    /// Name of the file within the generation: `base.vcg`.
    pub name: String,
    /// What [`SegmentWriter::finish`](crate::format::SegmentWriter::finish) returned.
    pub digest: SegmentDigest,
    /// Number of items.
    pub n: u64,
    /// Dimensions of a vector.
    pub dim: u32,
    /// How closeness is measured.
    pub metric: Metric,
    /// Type of one vector component as stored.
    pub element: ElementType,
}

/// What publishing did.
#[derive(Debug)]
pub struct Published {
    /// The generation that is now current.
    pub generation: u64,
    /// Old generations that could not be removed; the next build tries again.
    pub not_removed: Vec<FileError>,
}

impl<'l> IndexDir<'l> {
    /// Creates the directory at `path` (and those above it) or takes the index in it, locks it
    /// against other builds and removes what dead builds left behind.
    ///
    /// # Errors
    /// See [`PublishError`]. Directories that were created are removed again.
    pub fn create_or_open(
        path: &Path,
        layer: &'l dyn FileLayer,
    ) -> Result<IndexDir<'l>, PublishError> {
        if path.exists() {
            // Before the lock file is created: what is not ours stays untouched.
            read_generation(path)?;
        }
        let created = create_dirs(path, layer)?;
        match lock(path) {
            Ok(lock) => {
                let path = path.to_owned();
                let mut dir = IndexDir { path, layer, current: 0, created, _lock: lock };
                dir.current = read_generation(&dir.path)?;
                if dir.current == 0 {
                    // The lock file is what tells a first build that died from foreign files.
                    layer.sync_dir(&dir.path)?;
                }
                dir.remove_leftovers()?;
                Ok(dir)
            }
            Err(error) => {
                remove_dirs(&created, layer);
                Err(error)
            }
        }
    }

    /// The index directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The generation that is current; `None` before the first.
    pub fn current(&self) -> Option<u64> {
        (self.current > 0).then_some(self.current)
    }

    /// Begins the next generation in a temporary directory.
    ///
    /// # Errors
    /// What the system said.
    pub fn begin(&mut self) -> Result<PendingGeneration<'_, 'l>, PublishError> {
        let generation = self.current + 1;
        let name = format!("{TEMPORARY_PREFIX}{}", generation_name(generation));
        let path = self.path.join(name);
        self.layer.create_dir(&path)?;
        Ok(PendingGeneration { dir: self, generation, path: Some(path) })
    }

    /// Removes what builds that died left: temporary files, and generations that were renamed into
    /// place but never became current.
    fn remove_leftovers(&self) -> Result<(), FileError> {
        for name in names(&self.path)? {
            let unpublished = generation_of_name(&name).is_some_and(|found| found > self.current);
            if name.starts_with(TEMPORARY_PREFIX) || unpublished {
                remove_all(&self.path.join(name), self.layer)?;
            }
        }
        Ok(())
    }

    /// Removes generations before `oldest`; returns those that could not be.
    fn remove_older_than(&self, oldest: u64) -> Vec<FileError> {
        let names = match names(&self.path) {
            Ok(names) => names,
            Err(error) => return vec![error],
        };
        let old = |name: &String| generation_of_name(name).is_some_and(|found| found < oldest);
        let remove = |name| remove_all(&self.path.join(name), self.layer).err();
        names.into_iter().filter(old).filter_map(remove).collect()
    }
}

impl Drop for IndexDir<'_> {
    fn drop(&mut self) {
        if self.current == 0 {
            // Nothing was ever published: leave nothing behind. Another build that has just opened
            // the lock file notices that it is gone (see `lock`).
            let _ = self.layer.remove_file(&self.path.join(LOCK_NAME));
            remove_dirs(&self.created, self.layer);
        }
    }
}

impl PendingGeneration<'_, '_> {
    /// Where a file of this generation is to be written.
    ///
    /// # Panics
    /// If `name` is not a plain file name ([`is_file_name`]).
    pub fn file_path(&self, name: &str) -> PathBuf {
        assert!(is_file_name(name), "{name:?} is not a plain file name");
        self.path.as_deref().unwrap_or(&self.dir.path).join(name)
    }

    /// Through what its files are to be written.
    pub fn layer(&self) -> &dyn FileLayer {
        self.dir.layer
    }

    /// The generation's number once published.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Makes this generation current. `segments` are all of its files, finished. Of the
    /// generations before, those that make up the newest `retain` together with this one stay;
    /// at least this one does.
    ///
    /// # Errors
    /// See [`PublishError`]. The old generation is then still current, unless the very last sync
    /// failed: then the new one is current, and not known to survive a power failure.
    pub fn publish(
        mut self,
        segments: &[NewSegment],
        provenance: Option<Provenance>,
        retain: u64,
    ) -> Result<Published, PublishError> {
        let layer = self.dir.layer;
        if let Some(temporary) = &self.path {
            check_files(temporary, segments)?;
            layer.sync_dir(temporary)?;
            let place = self.dir.path.join(generation_name(self.generation));
            layer.rename(temporary, &place)?;
            self.path = Some(place);
        }
        layer.sync_dir(&self.dir.path)?;

        let manifest = self.manifest(segments, provenance).to_bytes();
        let next = self.dir.path.join(format!("{TEMPORARY_PREFIX}{MANIFEST_NAME}"));
        if let Err(error) = replace_manifest(&next, &manifest, &self.dir.path, layer) {
            let _ = layer.remove_file(&next);
            return Err(error.into());
        }
        // From here on the generation is what readers open.
        self.path = None;
        self.dir.current = self.generation;
        layer.sync_dir(&self.dir.path)?;

        let oldest = self.generation.saturating_sub(retain.max(1) - 1);
        let not_removed = self.dir.remove_older_than(oldest);
        Ok(Published { generation: self.generation, not_removed })
    }

    fn manifest(&self, segments: &[NewSegment], provenance: Option<Provenance>) -> Manifest {
        let record = |segment: &NewSegment| SegmentRecord {
            file: format!("{}/{}", generation_name(self.generation), segment.name),
            length: segment.digest.length,
            header_checksum: segment.digest.header_checksum,
            n: segment.n,
            dim: segment.dim,
            metric: segment.metric,
            element: segment.element,
        };
        Manifest::new(self.generation, segments.iter().map(record).collect(), provenance)
    }
}

impl Drop for PendingGeneration<'_, '_> {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // Best effort: whatever stays, the next build removes.
            let _ = remove_all(&path, self.dir.layer);
        }
    }
}

/// The current generation of an index with its files open.
#[derive(Debug)]
pub struct Current {
    /// What is current.
    pub manifest: Manifest,
    /// Its files, in the manifest's order.
    pub files: Vec<SegmentFile>,
}

/// Opens the current generation of the index at `dir`. The files stay readable for as long as they
/// are held, also when the generation is replaced and removed.
///
/// A generation may be replaced and removed between reading about it and opening it; the manifest
/// is then read again.
///
/// # Errors
/// See [`CurrentError`]. A file that is whole but not the one that the manifest names is
/// [`OpenError::Corrupt`].
pub fn read_current(dir: &Path, mode: LoadMode) -> Result<Current, CurrentError> {
    let mut manifest = Manifest::read(dir)?;
    for _ in 1..READ_ATTEMPTS {
        match open_files(dir, &manifest, mode) {
            Ok(files) => return Ok(Current { manifest, files }),
            Err(OpenError::File(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                let newer = Manifest::read(dir)?;
                if newer == manifest {
                    return Err(OpenError::File(error).into());
                }
                manifest = newer;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let files = open_files(dir, &manifest, mode)?;
    Ok(Current { manifest, files })
}

fn open_files(
    dir: &Path,
    manifest: &Manifest,
    mode: LoadMode,
) -> Result<Vec<SegmentFile>, OpenError> {
    let open = |record: &SegmentRecord| {
        let file = SegmentFile::open(&dir.join(&record.file), mode)?;
        check_record(&file, record)?;
        Ok(file)
    };
    manifest.segments.iter().map(open).collect()
}

/// Checks that `file` is the one that the manifest names.
fn check_record(file: &SegmentFile, record: &SegmentRecord) -> Result<(), Corruption> {
    let found = SegmentRecord {
        file: record.file.clone(),
        length: file.length(),
        header_checksum: file.header_checksum(),
        n: file.geometry().n,
        dim: file.geometry().dim,
        metric: file.geometry().metric,
        element: file.geometry().element,
    };
    if found == *record {
        return Ok(());
    }
    Err(Corruption {
        path: file.path().to_owned(),
        section: "header".to_owned(),
        offset: 0,
        expected: format!("the file that {MANIFEST_NAME} names: {record:?}"),
        found: format!("{found:?}"),
    })
}

/// Writes the manifest under a temporary name and renames it into place.
fn replace_manifest(
    temporary: &Path,
    bytes: &[u8],
    dir: &Path,
    layer: &dyn FileLayer,
) -> Result<(), FileError> {
    let mut file = layer.create_file(temporary)?;
    file.write_at(0, bytes)?;
    file.seal()?;
    layer.rename(temporary, &dir.join(MANIFEST_NAME))
}

/// Checks that `dir` holds the files of `segments`, with their lengths, and nothing else.
fn check_files(dir: &Path, segments: &[NewSegment]) -> Result<(), PublishError> {
    let wrong = |expected: String, found: String| {
        Err(PublishError::WrongFiles { dir: dir.to_owned(), expected, found })
    };
    let mut expected: Vec<&str> = segments.iter().map(|one| one.name.as_str()).collect();
    expected.sort_unstable();
    let mut found = names(dir)?;
    found.sort_unstable();
    if expected != found || expected.is_empty() {
        return wrong(format!("the files {expected:?}"), format!("{found:?}"));
    }
    for NewSegment { name, digest, .. } in segments {
        let path = dir.join(name);
        let metadata = fs::metadata(&path).map_err(FileError::at("read metadata of", &path))?;
        if metadata.len() != digest.length {
            let expected = format!("{} bytes in {name}", digest.length);
            return wrong(expected, metadata.len().to_string());
        }
    }
    Ok(())
}

/// The generation that is current in `dir`, 0 for none; refuses a directory that is not ours to
/// build in.
fn read_generation(dir: &Path) -> Result<u64, PublishError> {
    match Manifest::read(dir) {
        Ok(manifest) => return Ok(manifest.generation),
        Err(ManifestError::NoIndex { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // No manifest: a first build that died leaves its lock file, and nothing but these beside it.
    let names = names(dir)?;
    let built_here = names.iter().any(|name| name == LOCK_NAME);
    let ours = |name: &String| {
        let left = name.starts_with(TEMPORARY_PREFIX) || generation_of_name(name) == Some(1);
        name == LOCK_NAME || (built_here && left)
    };
    match names.into_iter().find(|name| !ours(name)) {
        Some(found) => Err(PublishError::NotAnIndex { dir: dir.to_owned(), found }),
        None => Ok(0),
    }
}

/// Locks `dir` against other builds. The lock file does not pass through the layer: it says
/// nothing after a crash, and the system releases the lock of a dead process.
fn lock(dir: &Path) -> Result<File, PublishError> {
    let path = dir.join(LOCK_NAME);
    let open = || OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = open().map_err(FileError::at("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(PublishError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(FileError::at("lock", &path)(error).into()),
    }
    // A failed first build removes its directory with the lock file in it. Whoever had opened that
    // file before holds a lock that nobody else can see.
    let held = file.metadata().map_err(FileError::at("read metadata of", &path))?;
    match fs::metadata(&path) {
        Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => Ok(file),
        _ => Err(PublishError::Locked { dir: dir.to_owned() }),
    }
}

/// Creates `path` and the directories above it; returns those that did not exist, outermost first.
fn create_dirs(path: &Path, layer: &dyn FileLayer) -> Result<Vec<PathBuf>, FileError> {
    let missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let mut wanted: Vec<&Path> = path.ancestors().take_while(missing).collect();
    wanted.reverse();
    let mut created = Vec::new();
    for dir in wanted {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let made = layer.create_dir(dir).and_then(|()| {
            created.push(dir.to_owned());
            layer.sync_dir(parent.unwrap_or(Path::new(".")))
        });
        if let Err(error) = made {
            remove_dirs(&created, layer);
            return Err(error);
        }
    }
    Ok(created)
}

/// Removes directories that were created, innermost first, as far as they are empty.
fn remove_dirs(created: &[PathBuf], layer: &dyn FileLayer) {
    for dir in created.iter().rev() {
        if layer.remove_dir(dir).is_err() {
            break;
        }
    }
}

/// Removes a file, or a directory of files.
fn remove_all(path: &Path, layer: &dyn FileLayer) -> Result<(), FileError> {
    // Not `is_dir`, which would follow a link out of here.
    let metadata = fs::symlink_metadata(path).map_err(FileError::at("read metadata of", path))?;
    if !metadata.is_dir() {
        return layer.remove_file(path);
    }
    for name in names(path)? {
        layer.remove_file(&path.join(name))?;
    }
    layer.remove_dir(path)
}

/// The names in a directory.
fn names(dir: &Path) -> Result<Vec<String>, FileError> {
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let entries = fs::read_dir(dir).map_err(FileError::at("list", dir))?;
    entries.map(name).collect::<io::Result<_>>().map_err(FileError::at("list", dir))
}
