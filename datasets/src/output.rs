//! A file that appears whole or not at all: bytes go to a temporary sibling, which is flushed to
//! the disk and takes the file's name at the end. Dropped before that, it is removed.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::WriteError;

#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl Output {
    pub(crate) fn create(path: &Path) -> Result<Self, WriteError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".writing-").suffix(".tmp");
        #[cfg(unix)]
        {
            // The umask still applies. Temporary files are otherwise for their owner only.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).map_err(WriteError::io("create", path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 18, file) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.file.write_all(bytes).map_err(WriteError::io("write", &self.path))
    }

    pub(crate) fn finish(self) -> Result<(), WriteError> {
        let Self { path, file } = self;
        let file = file.into_inner().map_err(|e| WriteError::io("write", &path)(e.into_error()))?;
        file.as_file().sync_all().map_err(WriteError::io("flush", &path))?;
        file.persist(&path).map_err(|e| WriteError::io("rename to", &path)(e.error))?;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
