//! A file layer that records, and a model of what a disk can hold when the power fails.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use vicinage::error::FileError;
use vicinage::format::{Disk, FileLayer, LayerFile};

use super::assert_clean;

/// One change, with paths relative to the directory that holds the index.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    CreateDir(PathBuf),
    CreateFile(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Seal(PathBuf),
    Rename(PathBuf, PathBuf),
    SyncDir(PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
}

/// Writes every change down, fails the one that it is told to, and passes the others on.
#[derive(Clone, Debug)]
pub struct Recorder {
    root: PathBuf,
    log: Arc<Mutex<Vec<Change>>>,
    /// Number of the change that fails, half done if it is a write.
    fail_at: Option<usize>,
}

#[derive(Debug)]
struct RecordedFile {
    recorder: Recorder,
    path: PathBuf,
    file: Box<dyn LayerFile>,
}

impl Recorder {
    pub fn new(root: &Path, fail_at: Option<usize>) -> Recorder {
        Recorder { root: root.to_owned(), log: Arc::default(), fail_at }
    }

    fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    fn note(&self, path: &Path, change: Change) -> Result<(), FileError> {
        let mut log = self.log.lock().unwrap();
        log.push(change);
        if self.fail_at == Some(log.len() - 1) {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(FileError::at("pretend to change", path)(full));
        }
        Ok(())
    }

    pub fn take_log(&self) -> Vec<Change> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl FileLayer for Recorder {
    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        self.note(path, Change::CreateDir(self.inside(path)))?;
        Disk.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> Result<Box<dyn LayerFile>, FileError> {
        self.note(path, Change::CreateFile(self.inside(path)))?;
        let file = Disk.create_file(path)?;
        Ok(Box::new(RecordedFile { recorder: self.clone(), path: path.to_owned(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.note(to, Change::Rename(self.inside(from), self.inside(to)))?;
        Disk.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), FileError> {
        self.note(path, Change::SyncDir(self.inside(path)))?;
        Disk.sync_dir(path)
    }

    fn remove_file(&self, path: &Path) -> Result<(), FileError> {
        // The lock file is not created through the layer: it means nothing after a crash.
        if !path.ends_with(".lock") {
            self.note(path, Change::RemoveFile(self.inside(path)))?;
        }
        Disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), FileError> {
        self.note(path, Change::RemoveDir(self.inside(path)))?;
        Disk.remove_dir(path)
    }
}

/// A crash may leave any part of a long write behind.
const WRITTEN_AT_ONCE: usize = 8 << 10;

impl LayerFile for RecordedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        for (number, bytes) in (0..).zip(bytes.chunks(WRITTEN_AT_ONCE)) {
            let offset = offset + number * WRITTEN_AT_ONCE as u64;
            let change = Change::Write(self.recorder.inside(&self.path), offset, bytes.to_vec());
            if let Err(error) = self.recorder.note(&self.path, change) {
                self.file.write_at(offset, &bytes[..bytes.len() / 2])?;
                return Err(error);
            }
            self.file.write_at(offset, bytes)?;
        }
        Ok(())
    }

    fn seal(self: Box<Self>) -> Result<(), FileError> {
        self.recorder.note(&self.path, Change::Seal(self.recorder.inside(&self.path)))?;
        self.file.seal()
    }
}

/// The disk without waiting for it: what runs after a crash was chosen needs no durability.
#[derive(Debug)]
pub struct Hasty;

#[derive(Debug)]
struct HastyFile(Box<dyn LayerFile>);

impl FileLayer for Hasty {
    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        Disk.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> Result<Box<dyn LayerFile>, FileError> {
        Ok(Box::new(HastyFile(Disk.create_file(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        Disk.rename(from, to)
    }

    fn sync_dir(&self, _path: &Path) -> Result<(), FileError> {
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), FileError> {
        Disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), FileError> {
        Disk.remove_dir(path)
    }
}

impl LayerFile for HastyFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.0.write_at(offset, bytes)
    }

    fn seal(self: Box<Self>) -> Result<(), FileError> {
        Ok(())
    }
}

/// What happened to bytes that were written and not synced.
#[derive(Clone, Copy, Debug)]
enum Bytes {
    There,
    Gone,
    Zero,
    Torn,
    OnlyTheLastWrite,
}

const BYTES: [Bytes; 5] =
    [Bytes::There, Bytes::Gone, Bytes::Zero, Bytes::Torn, Bytes::OnlyTheLastWrite];

type NodeNumber = usize;

/// A change of names within one directory; a rename is one change.
#[derive(Clone, Debug)]
enum NameChange {
    Link(String, NodeNumber),
    Unlink(String),
    Move(String, String, NodeNumber),
}

#[derive(Clone, Debug)]
enum Node {
    File { durable: Vec<u8>, pending: Vec<(u64, Vec<u8>)> },
    Dir { durable: BTreeMap<String, NodeNumber>, pending: Vec<NameChange> },
}

/// A file system that knows what is durable. Node 0 is the directory that holds the index.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: Vec<Node>,
}

fn change_names(names: &mut BTreeMap<String, NodeNumber>, change: &NameChange) {
    match change.clone() {
        NameChange::Link(name, node) => drop(names.insert(name, node)),
        NameChange::Unlink(name) => drop(names.remove(&name)),
        NameChange::Move(from, to, node) => {
            names.remove(&from);
            names.insert(to, node);
        }
    }
}

fn write_bytes(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    file.resize(file.len().max(end), 0);
    file[offset as usize..end].copy_from_slice(bytes);
}

impl Model {
    pub fn new() -> Model {
        Model { nodes: vec![Node::Dir { durable: BTreeMap::new(), pending: Vec::new() }] }
    }

    /// All names arrive on the disk, as they do in time.
    pub fn settle(&mut self) {
        for node in &mut self.nodes {
            if let Node::Dir { durable, pending } = node {
                pending.drain(..).for_each(|change| change_names(durable, &change));
            }
        }
    }

    fn add(&mut self, node: Node) -> NodeNumber {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The names that a running process sees in a directory.
    fn seen(&self, dir: NodeNumber) -> BTreeMap<String, NodeNumber> {
        let Node::Dir { durable, pending } = &self.nodes[dir] else { panic!("not a directory") };
        let mut names = durable.clone();
        pending.iter().for_each(|change| change_names(&mut names, change));
        names
    }

    fn find(&self, path: &Path) -> NodeNumber {
        path.iter().fold(0, |dir, name| self.seen(dir)[name.to_str().unwrap()])
    }

    fn name_change(&mut self, dir: &Path, change: NameChange) {
        let dir = self.find(dir);
        let Node::Dir { pending, .. } = &mut self.nodes[dir] else { panic!("not a directory") };
        pending.push(change);
    }

    pub fn apply(&mut self, change: &Change) {
        let split = |path: &Path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (path.parent().unwrap().to_owned(), name)
        };
        match change {
            Change::CreateDir(path) => {
                let node = Node::Dir { durable: BTreeMap::new(), pending: Vec::new() };
                let (dir, name) = split(path);
                let node = self.add(node);
                self.name_change(&dir, NameChange::Link(name, node));
            }
            Change::CreateFile(path) => {
                let (dir, name) = split(path);
                let node = self.add(Node::File { durable: Vec::new(), pending: Vec::new() });
                self.name_change(&dir, NameChange::Link(name, node));
            }
            Change::Write(path, offset, bytes) => {
                let node = self.find(path);
                if let Node::File { pending, .. } = &mut self.nodes[node] {
                    pending.push((*offset, bytes.clone()));
                }
            }
            Change::Seal(path) => {
                let node = self.find(path);
                if let Node::File { durable, pending } = &mut self.nodes[node] {
                    for (offset, bytes) in pending.drain(..) {
                        write_bytes(durable, offset, &bytes);
                    }
                }
            }
            Change::SyncDir(path) => {
                let node = self.find(path);
                if let Node::Dir { durable, pending } = &mut self.nodes[node] {
                    pending.drain(..).for_each(|change| change_names(durable, &change));
                }
            }
            Change::Rename(from, to) => {
                let node = self.find(from);
                let ((dir, from), (same, to)) = (split(from), split(to));
                assert_eq!(dir, same, "renames stay within a directory");
                self.name_change(&dir, NameChange::Move(from, to, node));
            }
            Change::RemoveFile(path) | Change::RemoveDir(path) => {
                let (dir, name) = split(path);
                self.name_change(&dir, NameChange::Unlink(name));
            }
        }
    }

    fn pending_names(&self) -> usize {
        let pending = |node: &Node| match node {
            Node::Dir { pending, .. } => pending.len(),
            Node::File { .. } => 0,
        };
        self.nodes.iter().map(pending).sum()
    }

    /// What the disk holds if `bytes` happened to unsynced bytes, and of the unsynced changes of
    /// names those whose bit is set in `names` arrived.
    fn image(&self, bytes: Bytes, names: u32) -> Image {
        let mut tables = Vec::new();
        let mut number = 0;
        for node in &self.nodes {
            let mut table = BTreeMap::new();
            if let Node::Dir { durable, pending } = node {
                table = durable.clone();
                for change in pending {
                    if names >> number & 1 == 1 {
                        change_names(&mut table, change);
                    }
                    number += 1;
                }
            }
            tables.push(table);
        }
        let mut image = Image::new();
        let mut open = vec![(PathBuf::new(), 0)];
        while let Some((path, node)) = open.pop() {
            let entries = tables[node].iter().map(|(name, &node)| (path.join(name), node));
            open.extend(entries);
            let file = match &self.nodes[node] {
                Node::Dir { .. } => None,
                Node::File { durable, pending } => Some(after_crash(durable, pending, bytes)),
            };
            image.insert(path, file);
        }
        image
    }
}

/// Every path of a disk with the bytes of a file, or `None` for a directory.
type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn build(image: &Image, disk: &Path) {
    for (path, file) in image {
        match file {
            None => fs::create_dir(disk.join(path)).unwrap(),
            Some(bytes) => fs::write(disk.join(path), bytes).unwrap(),
        }
    }
}

fn after_crash(durable: &[u8], pending: &[(u64, Vec<u8>)], bytes: Bytes) -> Vec<u8> {
    let mut file = durable.to_vec();
    match bytes {
        Bytes::Gone => {}
        Bytes::There => pending.iter().for_each(|(at, part)| write_bytes(&mut file, *at, part)),
        Bytes::Zero => {
            pending.iter().for_each(|(at, part)| write_bytes(&mut file, *at, &vec![0; part.len()]));
        }
        Bytes::Torn => {
            for (at, part) in &pending[..pending.len() / 2] {
                write_bytes(&mut file, *at, part);
            }
            if let Some((at, part)) = pending.get(pending.len() / 2) {
                write_bytes(&mut file, *at, &part[..part.len() / 2]);
            }
        }
        Bytes::OnlyTheLastWrite => {
            pending.last().iter().for_each(|(at, part)| write_bytes(&mut file, *at, part));
        }
    }
    file
}

/// What is asked of an index that was found after a crash.
pub struct Check<'a> {
    /// Opens and fully verifies the index; the generation that it holds, 0 for no index.
    pub generation: &'a dyn Fn(&Path) -> Result<u64, String>,
    /// Publishes one more generation through [`Hasty`]; its number.
    pub next: &'a dyn Fn(&Path) -> Result<u64, String>,
}

/// What a crash after some prefix of `log` breaks, or the number of different disks that were
/// tried. Before the log the index, `jobs`, is at generation `old`; once it is over, only the next
/// one will do.
pub fn first_failure(
    start: &Model,
    log: &[Change],
    old: u64,
    check: &Check<'_>,
) -> Result<usize, String> {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    let index = disk.join("jobs");
    let mut model = start.clone();
    let mut tried = HashSet::new();
    for done in 0..=log.len() {
        if done > 0 {
            model.apply(&log[done - 1]);
        }
        let changes = model.pending_names();
        assert!(changes <= 10, "{changes} unsynced names make too many combinations");
        for (names, bytes) in (0..1u32 << changes).flat_map(|names| BYTES.map(|b| (names, b))) {
            // Many crashes leave the same disk. After the last change it must hold the new index.
            let image = model.image(bytes, names);
            if !tried.insert((done == log.len(), image.clone())) {
                continue;
            }
            build(&image, &disk);
            if image.keys().any(|path| path.parent() == Some(Path::new("jobs"))) {
                // The lock file is not made through the layer, and is durable before anything else.
                fs::write(index.join(".lock"), "").unwrap();
            }
            let case = || format!("after {done} of {} changes, {bytes:?}, {names:b}", log.len());
            let found =
                (check.generation)(&index).map_err(|error| format!("{}: {error}", case()))?;
            if found != old + 1 && (found != old || done == log.len()) {
                return Err(format!("{}: generation {found}", case()));
            }
            let next = (check.next)(&index).map_err(|error| format!("{}: {error}", case()))?;
            assert_eq!(next, found + 1, "{}", case());
            assert_clean(&index);
            fs::remove_dir_all(&disk).unwrap();
        }
    }
    Ok(tried.len())
}
