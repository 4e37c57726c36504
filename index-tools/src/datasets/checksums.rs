//! `checksums.toml` in the folder of a fetched set: what each file was at its first fetch. Few
//! publishers state checksums; so a later fetch is at least held against the first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vicinage::progress::Progress;

use crate::exit::{Exit, Failure};
use crate::progress::Reporter;

/// The file's name.
pub(crate) const NAME: &str = "checksums.toml";

/// What a file was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) url: String,
}

/// The sums on record in a folder.
pub(crate) struct Checksums {
    path: PathBuf,
    files: BTreeMap<String, Recorded>,
}

impl Checksums {
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io("read", &path, &error)),
        };
        let files = toml::from_str(&text).map_err(|error| {
            Failure::data(format!("{} cannot be read", path.display()))
                .detail("found", error.to_string().trim_end())
                .next("repair it, or remove it to take the files as they are")
        })?;
        Ok(Self { path, files })
    }

    pub(crate) fn get(&self, file: &str) -> Option<&Recorded> {
        self.files.get(file)
    }

    /// Puts a file on record.
    pub(crate) fn record(&mut self, file: &str, recorded: Recorded) -> Result<(), Failure> {
        self.files.insert(file.to_owned(), recorded);
        let text = toml::to_string(&self.files)
            .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        write_whole(&self.path, text.as_bytes())
    }
}

/// Writes a small file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            // As the files beside it: the umask decides. Temporary files are otherwise for their
            // owner only.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error| io("write", path, &error))
}

/// The SHA-256 of a file, as a stage of `report`.
pub(crate) fn sha256(path: &Path, report: &Reporter) -> Result<String, Failure> {
    let failed = |error| io("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    report.start_step("checksum", bytes, "bytes");
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        report.interrupt().check()?;
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        report.advance(read as u64);
    }
    report.finish();
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the system refused.
pub(crate) fn io(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("cannot {action} {}: {error}", path.display()))
}
