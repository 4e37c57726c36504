//! NumPy's archive: a zip file whose members are npy arrays, stored or deflated. An array is
//! unpacked while it is read, so none is in memory as a whole, whatever the archive claims. The
//! size that the archive's directory gives is held against the array's own header, and its
//! checksum is verified when the last byte is read.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipFileHeaderRecord};

use crate::error::{ReadError, WriteError};
use crate::flat::{FlatReader, FlatWriter, Input, no_columns, npy};
use crate::output::Output;
use crate::spec::{InputSpec, ReadOptions};
use crate::vectors::Shape;

/// What a zip file begins with, its first member or, where it has none, its end.
const MAGICS: [[u8; 4]; 2] = [*b"PK\x03\x04", *b"PK\x05\x06"];
/// How the name of a member that is an array ends.
const SUFFIX: &str = ".npy";
/// More arrays than this in one file are damage, or an attack.
const MOST_ARRAYS: usize = 65_536;

/// One array, as the archive's directory has it.
struct Entry {
    name: String,
    /// Where the packed bytes are.
    packed: Range<u64>,
    method: CompressionMethod,
    encrypted: bool,
    size: u64,
    crc: u32,
}

impl Entry {
    /// Starts to unpack the array.
    fn open(&self, archive: &Input) -> Result<Input<Member>, ReadError> {
        let unsuitable = |found: String| {
            let expected = format!("array `{}` stored or deflated", self.name);
            ReadError::unsuitable(&archive.path, expected, found)
        };
        if self.encrypted {
            return Err(unsuitable("an encrypted one".to_owned()));
        }
        // A handle of its own, as duplicates of one share their position.
        let mut file = File::open(&archive.path).map_err(ReadError::io("open", &archive.path))?;
        file.seek(SeekFrom::Start(self.packed.start))
            .map_err(ReadError::io("read", &archive.path))?;
        let packed = file.take(self.packed.end - self.packed.start);
        let unpacked: Box<dyn Read + Send> = match self.method {
            CompressionMethod::STORE => Box::new(packed),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(packed)),
            other => return Err(unsuitable(format!("compression method {other:?}"))),
        };
        Ok(Input {
            path: archive.path.clone(),
            file: Member { unpacked, left: self.size, crc: Crc::new(), expected_crc: self.crc },
            len: self.size,
            array: Some(self.name.clone()),
            looks_like: "",
        })
    }
}

/// The bytes of one array. Reading the last one fails if there are more, or if they are not those
/// of the checksum.
pub(crate) struct Member {
    unpacked: Box<dyn Read + Send>,
    left: u64,
    crc: Crc,
    expected_crc: u32,
}

impl Read for Member {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let damaged = |found: String| io::Error::new(ErrorKind::InvalidData, found);
        let unpack = |unpacked: &mut dyn Read, into: &mut [u8]| {
            unpacked.read(into).map_err(|e| match e.kind() {
                // What the decoder makes of bytes that are not deflated.
                ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => damaged(e.to_string()),
                _ => e,
            })
        };
        let count = unpack(&mut self.unpacked, &mut into[..wanted])?;
        if count == 0 {
            return Err(damaged(format!("the end of what is packed, {} bytes early", self.left)));
        }
        self.crc.update(&into[..count]);
        self.left -= count as u64;
        if self.left > 0 {
            return Ok(count);
        }
        if unpack(&mut self.unpacked, &mut [0])? > 0 {
            return Err(damaged("more bytes than the archive's directory says".to_owned()));
        }
        if self.crc.sum() != self.expected_crc {
            let (sum, expected) = (self.crc.sum(), self.expected_crc);
            let found =
                format!("bytes of checksum {sum:08x}, where the archive has {expected:08x}");
            return Err(damaged(found));
        }
        Ok(count)
    }
}

/// Opens an archive and in it the array `name`, or the only one of two dimensions.
pub(crate) fn open_array(path: &Path, name: Option<&str>) -> Result<Input<Member>, ReadError> {
    let mut archive = Input::open(path)?;
    let mut magic = [0; 4];
    if archive.len < magic.len() as u64 {
        return Err(archive.malformed(0, "a zip file", format!("{} bytes", archive.len)));
    }
    archive.fill(&mut magic, 0)?;
    if !MAGICS.contains(&magic) {
        let found = format!("{}{}", magic.escape_ascii(), archive.looks_like);
        return Err(archive.malformed(0, "the zip magic PK\\x03\\x04", found));
    }
    let mut entries = read_directory(&archive)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let found = format!("`{}` twice", pair[0].name);
        return Err(ReadError::unsuitable(path, "every array name once", found));
    }
    if let Some(name) = name {
        let entry = entries.iter().find(|entry| entry.name == name).ok_or_else(|| {
            let names = entries.iter().map(|entry| entry.name.as_str());
            ReadError::unsuitable(path, format!("an array `{name}`"), arrays(names))
        })?;
        return entry.open(&archive);
    }
    let mut matrices = Vec::new();
    for entry in &entries {
        if npy::read_sizes(&mut entry.open(&archive)?)?.len() == 2 {
            matrices.push(entry);
        }
    }
    let (expected, those) = match matrices[..] {
        [only] => return only.open(&archive),
        [] => ("an array of two dimensions", entries.iter().collect()),
        _ => (
            "one array of two dimensions, or the name of one behind the file name (FILE#array)",
            matrices,
        ),
    };
    let names = those.iter().map(|entry| entry.name.as_str());
    Err(ReadError::unsuitable(path, expected, arrays(names)))
}

/// The names of arrays, for errors.
fn arrays<'a>(names: impl Iterator<Item = &'a str>) -> String {
    /// How many are listed.
    const LISTED: usize = 16;
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    names.extend((more > 0).then(|| format!("{more} more")));
    if names.is_empty() { "none".to_owned() } else { format!("the arrays {}", names.join(", ")) }
}

/// Reads the archive's directory: the members that are arrays.
fn read_directory(archive: &Input) -> Result<Vec<Entry>, ReadError> {
    let broken = |e: rawzip::Error| match e.into_kind() {
        rawzip::ErrorKind::IO(e) if e.kind() != ErrorKind::UnexpectedEof => {
            ReadError::io("read", &archive.path)(e)
        }
        kind => {
            let found = rawzip::Error::from(kind).to_string();
            archive.malformed(archive.len, "the directory of a zip file before its end", found)
        }
    };
    let file = archive.file.try_clone().map_err(ReadError::io("open", &archive.path))?;
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let zip = ZipArchive::from_file(file, &mut buffer).map_err(broken)?;
    let mut entries = Vec::new();
    let mut records = zip.entries(&mut buffer);
    while let Some(record) = records.next_entry().map_err(broken)? {
        let Some(name) = array_name(&record) else { continue };
        if entries.len() == MOST_ARRAYS {
            let expected = format!("at most {MOST_ARRAYS} arrays");
            return Err(ReadError::unsuitable(&archive.path, expected, "more"));
        }
        let (start, end) =
            zip.get_entry(record.wayfinder()).map_err(broken)?.compressed_data_range();
        if end > archive.len {
            let at = record.central_directory_offset();
            let expected = format!("array `{name}` within the {} bytes of the file", archive.len);
            return Err(archive.malformed(at, expected, format!("bytes {start} to {end}")));
        }
        entries.push(Entry {
            name,
            packed: start..end,
            method: record.compression_method(),
            encrypted: record.flags().is_encrypted(),
            size: record.uncompressed_size_hint(),
            crc: record.crc32(),
        });
    }
    Ok(entries)
}

fn array_name(record: &ZipFileHeaderRecord<'_>) -> Option<String> {
    let path = record.file_path();
    let name = std::str::from_utf8(path.as_ref()).ok()?.strip_suffix(SUFFIX)?;
    Some(name.to_owned())
}

/// Opens the array of an archive that holds the vectors.
pub(crate) fn open(
    spec: &InputSpec,
    options: &ReadOptions,
) -> Result<FlatReader<Member>, ReadError> {
    no_columns(&InputSpec::from(spec.path.clone()), options)?;
    npy::open(open_array(&spec.path, spec.column.as_deref())?, options)
}

/// Makes of a new file an archive of one array, which what is written next is: its npy header,
/// then its values.
pub(crate) fn begin_array(output: &mut Output, name: &str) -> Result<(), WriteError> {
    output.begin_zip(&format!("{name}{SUFFIX}"))
}

/// Creates an archive of one array, the vectors.
pub(crate) fn create(
    mut output: Output,
    shape: Shape,
    name: &str,
) -> Result<FlatWriter, WriteError> {
    begin_array(&mut output, name)?;
    npy::create(output, shape)
}
