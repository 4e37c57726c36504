//! The narrow door to the file system through which writing and publishing go.
//!
//! Reading does not pass here. That the door is narrow is what lets `tests/crash_replay.rs` record
//! every operation and rebuild what a crash after any of them could leave behind.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::FileError;

/// Changes to a file system. Nothing is durable before the matching sync: a file's bytes before
/// [`LayerFile::seal`], a name before [`FileLayer::sync_dir`] of the directory that holds it.
pub trait FileLayer: fmt::Debug + Send + Sync {
    /// Creates one directory; its parent exists, it does not.
    ///
    /// # Errors
    /// What the system said.
    fn create_dir(&self, path: &Path) -> Result<(), FileError>;

    /// Creates a file that does not exist yet.
    ///
    /// # Errors
    /// What the system said.
    fn create_file(&self, path: &Path) -> Result<Box<dyn LayerFile>, FileError>;

    /// Renames a file or directory, atomically replacing a file (or empty directory) at `to`.
    ///
    /// # Errors
    /// What the system said.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system said.
    fn sync_dir(&self, path: &Path) -> Result<(), FileError>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system said.
    fn remove_file(&self, path: &Path) -> Result<(), FileError>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the system said.
    fn remove_dir(&self, path: &Path) -> Result<(), FileError>;
}

/// A file being written.
pub trait LayerFile: fmt::Debug + Send {
    /// Writes all of `bytes` at `offset`; a gap before it reads as zero.
    ///
    /// # Errors
    /// What the system said; part of `bytes` may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileError>;

    /// Makes the file read-only and its bytes durable, then closes it. This happens on the
    /// descriptor that wrote, because that is where errors of delayed writes are reported.
    ///
    /// # Errors
    /// What the system said; how much is durable is then unknown.
    fn seal(self: Box<Self>) -> Result<(), FileError>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

#[derive(Debug)]
struct DiskFile {
    file: File,
    path: PathBuf,
}

impl FileLayer for Disk {
    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        fs::create_dir(path).map_err(FileError::at("create directory", path))
    }

    fn create_file(&self, path: &Path) -> Result<Box<dyn LayerFile>, FileError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(FileError::at("create", path))?;
        Ok(Box::new(DiskFile { file, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        fs::rename(from, to).map_err(FileError::at("rename to", to))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), FileError> {
        let dir = File::open(path).map_err(FileError::at("open", path))?;
        dir.sync_all().map_err(FileError::at("sync", path))
    }

    fn remove_file(&self, path: &Path) -> Result<(), FileError> {
        fs::remove_file(path).map_err(FileError::at("remove", path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), FileError> {
        fs::remove_dir(path).map_err(FileError::at("remove directory", path))
    }
}

impl LayerFile for DiskFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all_at(bytes, offset).map_err(FileError::at("write", &self.path))
    }

    fn seal(self: Box<Self>) -> Result<(), FileError> {
        let metadata =
            self.file.metadata().map_err(FileError::at("read metadata of", &self.path))?;
        let mut permissions = metadata.permissions();
        permissions.set_readonly(true);
        self.file
            .set_permissions(permissions)
            .map_err(FileError::at("make read-only", &self.path))?;
        self.file.sync_all().map_err(FileError::at("sync", &self.path))
    }
}
