//! A file that appears whole or not at all: bytes go to a temporary sibling, which is flushed to
//! the disk and takes the file's name at the end. Dropped before that, it is removed.

use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::WriteError;
use crate::zip::ZipMember;

#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    /// The member of a zip file that is written.
    member: Option<ZipMember>,
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
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            member: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.write_all(bytes).map_err(WriteError::io("write", &self.path))
    }

    /// Makes of this file, which has no bytes yet, a zip file of one stored member: what is put
    /// from now on are the member's bytes.
    pub(crate) fn begin_zip(&mut self, name: &str) -> Result<(), WriteError> {
        let member = ZipMember::new(name);
        self.put(&member.header())?;
        self.member = Some(member);
        Ok(())
    }

    /// Writes the zip file's directory, and its member's size and checksum to where it begins.
    fn end_zip(&mut self, member: &ZipMember) -> std::io::Result<()> {
        self.file.write_all(&member.directory())?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&member.header())
    }

    pub(crate) fn finish(mut self) -> Result<(), WriteError> {
        if let Some(member) = self.member.take() {
            self.end_zip(&member).map_err(WriteError::io("write", &self.path))?;
        }
        let Self { path, file, .. } = self;
        let file = file.into_inner().map_err(|e| WriteError::io("write", &path)(e.into_error()))?;
        file.as_file().sync_all().map_err(WriteError::io("flush", &path))?;
        file.persist(&path).map_err(|e| WriteError::io("rename to", &path)(e.error))?;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(member) = &mut self.member {
            member.add(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
