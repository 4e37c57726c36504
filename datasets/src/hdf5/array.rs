//! One array of a file: what it is, held against the file before any of it is read, and its rows.

use std::io::{self, Read};
use std::path::Path;

use hdf5_pure::{Chunk, Dataset, Datatype, DatatypeByteOrder, FloatingPointLayout, Layout};

use crate::error::{Position, ReadError};
use crate::flat::Input;
use crate::flat::npy::Dtype;
use crate::hdf5::source::Source;
use crate::spec::ReadOptions;
use crate::vectors::MAX_DIM;

/// A chunk may be larger than the file by this much.
const GROWTH: u64 = 32 << 20;
/// A chunk takes this many bytes of a file on average, if there are more than so many chunks.
const LEAST_CHUNK: u64 = 128;
const FEW_CHUNKS: u64 = 1 << 16;
/// The filters that a chunk may have gone through: deflate, shuffle, checksum, LZF.
const FILTERS: [u16; 4] = [1, 2, 3, 32_000];

/// IEEE 754 half precision.
const BINARY16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

/// An array of two dimensions, all of which is there.
pub(crate) struct Array {
    source: Source,
    dataset: Dataset,
    name: String,
    pub(crate) dtype: Dtype,
    pub(crate) rows: u64,
    pub(crate) columns: u32,
    storage: Storage,
}

/// How the values lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    /// In one piece from this byte on.
    Contiguous(u64),
    /// In chunks of so many rows each, or inside of the metadata.
    Chunked(u64),
}

impl Array {
    /// Opens array `name` of the file.
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self, ReadError> {
        let source = Source::open(path)?;
        let dataset = source.dataset(name, 0, 0).map_err(|e| missing(&source, name, &e))?;
        let checked = Checked { source: &source, dataset: &dataset, name };
        let dtype = checked.dtype()?;
        let (rows, columns) = checked.shape()?;
        let value_bytes = dtype.size() as u64;
        let row_bytes = u64::from(columns) * value_bytes;
        let total = rows.checked_mul(row_bytes).ok_or_else(|| {
            checked.malformed("an array whose bytes can be counted", format!("{rows} rows"))
        })?;
        let layout = dataset.layout().map_err(|e| checked.unreadable(&e))?;
        let storage = match layout {
            Layout::Contiguous { address, size } => checked.contiguous(address, size, total)?,
            Layout::Compact { size } if size == total => Storage::Chunked(1),
            Layout::Chunked { chunk_shape, .. } => {
                let (storage, band) =
                    checked.chunked([rows, columns.into()], &chunk_shape, value_bytes)?;
                let (bytes, slots) = band;
                let dataset =
                    source.dataset(name, bytes, slots).map_err(|e| checked.unreadable(&e))?;
                let name = name.to_owned();
                return Ok(Self { dataset, name, dtype, rows, columns, storage, source });
            }
            other => {
                let expected = format!("{total} bytes of values in this file");
                return Err(checked.malformed(&expected, other.to_string()));
            }
        };
        let name = name.to_owned();
        Ok(Self { dataset, name, dtype, rows, columns, storage, source })
    }

    /// The file at the byte where the values begin, and that byte, if they lie in one piece.
    pub(super) fn into_flat(self) -> Result<(Input, u64), Box<Self>> {
        match self.storage {
            Storage::Contiguous(start) => {
                let array = Some(self.name);
                Ok((Input { array, ..self.source.input }, start))
            }
            Storage::Chunked(_) => Err(Box::new(self)),
        }
    }

    /// The bytes of all rows, read in batches as `options` say.
    pub(crate) fn into_rows(self, options: &ReadOptions) -> Input<Rows> {
        let row_bytes = self.columns as usize * self.dtype.size();
        let batch = self.rows_per_batch(options.rows_per_batch(row_bytes));
        let path = self.path().to_owned();
        let array = Some(self.name.clone());
        let len = self.rows * row_bytes as u64;
        let file = Rows { array: self, batch, next_row: 0, bytes: Vec::new(), taken: 0 };
        Input { path, file, len, array, looks_like: "" }
    }

    pub(crate) fn path(&self) -> &Path {
        self.source.path()
    }

    /// Refuses an array that is much larger than the file, for who gathers all of its rows.
    pub(crate) fn check_fits_memory(&self) -> Result<(), ReadError> {
        let bytes = self.rows * u64::from(self.columns) * self.dtype.size() as u64;
        let most = self.source.input.len + GROWTH;
        if bytes <= most {
            return Ok(());
        }
        let expected = format!("at most {most} bytes of values");
        let at = Position::column(&self.name);
        Err(ReadError::malformed(self.path(), at, expected, bytes.to_string()))
    }

    /// The number of rows to read at a time, of at most `rows`: whole chunks where they fit.
    fn rows_per_batch(&self, rows: usize) -> usize {
        match self.storage {
            Storage::Chunked(chunk) => match usize::try_from(chunk) {
                Ok(chunk) if chunk <= rows => rows / chunk * chunk,
                _ => rows,
            },
            Storage::Contiguous(_) => rows,
        }
    }

    /// The bytes of `count` rows, little-endian.
    fn read(&self, first: u64, count: usize) -> io::Result<Vec<u8>> {
        let malformed = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        // Chunks that the rows are in are read whole.
        self.source.allow(self.source.input.len);
        let bytes = self.dataset.read_raw_rows(first, count as u64);
        let bytes = bytes.map_err(|e| malformed(e.to_string()))?;
        let expected = count * self.columns as usize * self.dtype.size();
        if bytes.len() == expected {
            return Ok(bytes);
        }
        Err(malformed(format!("{} bytes in place of {expected}", bytes.len())))
    }
}

/// The bytes of the rows of an array, a batch in memory at a time.
pub(crate) struct Rows {
    array: Array,
    /// Rows that are read at a time.
    batch: usize,
    next_row: u64,
    bytes: Vec<u8>,
    /// How many of the bytes have been given out.
    taken: usize,
}

impl Read for Rows {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.bytes.len() {
            let left = self.array.rows - self.next_row;
            let count = left.min(self.batch as u64) as usize;
            if count == 0 {
                return Ok(0);
            }
            self.bytes = self.array.read(self.next_row, count)?;
            self.taken = 0;
            self.next_row += count as u64;
        }
        let count = into.len().min(self.bytes.len() - self.taken);
        into[..count].copy_from_slice(&self.bytes[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// The array is not there: says what is.
fn missing(source: &Source, name: &str, error: &hdf5_pure::Error) -> ReadError {
    source.allow(0);
    let found = match source.file.root().datasets() {
        Ok(mut names) => {
            names.sort_unstable();
            let listed: Vec<String> =
                names.iter().take(32).map(|name| format!("`{name}`")).collect();
            let more = if names.len() > 32 { " …" } else { "" };
            format!("{error}; at the top are the arrays [{}{more}]", listed.join(", "))
        }
        Err(_) => error.to_string(),
    };
    ReadError::unsuitable(source.path(), format!("an array `{name}`"), found)
}

/// An array while it is held against the file.
struct Checked<'a> {
    source: &'a Source,
    dataset: &'a Dataset,
    name: &'a str,
}

impl Checked<'_> {
    fn malformed(&self, expected: &str, found: String) -> ReadError {
        ReadError::malformed(self.source.path(), Position::column(self.name), expected, found)
    }

    fn unreadable(&self, error: &hdf5_pure::Error) -> ReadError {
        self.malformed("readable HDF5 metadata", error.to_string())
    }

    fn unsuitable(&self, expected: &str, found: String) -> ReadError {
        let expected = format!("{expected} in array `{}`", self.name);
        ReadError::unsuitable(self.source.path(), expected, found)
    }

    fn dtype(&self) -> Result<Dtype, ReadError> {
        let datatype = self.dataset.datatype().map_err(|e| self.unreadable(&e))?;
        if let Some(dtype) = dtype_of(&datatype) {
            return Ok(dtype);
        }
        let found = match &datatype {
            Datatype::Enumeration { size: 1, .. } | Datatype::BitField { .. } => {
                "booleans, as the sets for Hamming and Jaccard distance have".to_owned()
            }
            Datatype::FixedPoint { byte_order: DatatypeByteOrder::BigEndian, .. }
            | Datatype::FloatingPoint { byte_order: DatatypeByteOrder::BigEndian, .. } => {
                "big-endian ones".to_owned()
            }
            other => type_name(self.dataset, other),
        };
        let expected = "little-endian numbers (f16, f32, f64, i8, u8; ids i32, u32, i64, u64)";
        Err(self.unsuitable(expected, found))
    }

    fn shape(&self) -> Result<(u64, u32), ReadError> {
        let shape = self.dataset.shape().map_err(|e| self.unreadable(&e))?;
        let [rows, columns] = shape[..] else {
            let flat = if shape.len() == 1 {
                ", as the sparse sets for Jaccard distance have"
            } else {
                ""
            };
            let found = format!("{}{flat}", dimensions(shape.len()));
            return Err(self.unsuitable("two dimensions, [rows, dim],", found));
        };
        let dim = u32::try_from(columns).ok().filter(|dim| (1..=MAX_DIM).contains(dim));
        let expected = format!("a dim from 1 to {MAX_DIM}");
        Ok((rows, dim.ok_or_else(|| self.malformed(&expected, columns.to_string()))?))
    }

    fn contiguous(
        &self,
        address: Option<u64>,
        size: u64,
        total: u64,
    ) -> Result<Storage, ReadError> {
        let len = self.source.input.len;
        match address {
            None if total == 0 => Ok(Storage::Contiguous(0)),
            None => Err(self.malformed("values", "none that were ever written".to_owned())),
            Some(at) if size == total && at.checked_add(size).is_some_and(|end| end <= len) => {
                Ok(Storage::Contiguous(at))
            }
            Some(at) => {
                let expected = format!("{total} bytes of values within a file of {len}");
                Err(self.malformed(&expected, format!("{size} from byte {at}")))
            }
        }
    }

    /// Checks that every chunk of the array is there, and gives the bytes and number of those
    /// that lie beside each other.
    fn chunked(
        &self,
        shape: [u64; 2],
        chunk: &[u64],
        value_bytes: u64,
    ) -> Result<(Storage, (usize, usize)), ReadError> {
        let len = self.source.input.len;
        let filters = self.dataset.filters();
        if let Some(other) = filters.iter().find(|filter| !FILTERS.contains(filter)) {
            let expected = "chunks that are plain, or packed with deflate or LZF,";
            return Err(self.unsuitable(expected, format!("filter {other}")));
        }
        let (chunk_rows, chunk_columns) = match *chunk {
            [rows, columns] if rows > 0 && columns > 0 => (rows, columns),
            _ => {
                let expected = "chunks of two dimensions, neither of them 0";
                return Err(self.malformed(expected, format!("{chunk:?}")));
            }
        };
        let bytes = chunk_rows.checked_mul(chunk_columns).and_then(|n| n.checked_mul(value_bytes));
        let grid = [shape[0].div_ceil(chunk_rows), shape[1].div_ceil(chunk_columns)];
        let band = bytes.and_then(|bytes| bytes.checked_mul(grid[1]));
        let most = len + GROWTH;
        let Some((bytes, band)) = bytes.zip(band.filter(|&band| band <= most)) else {
            let expected = format!("chunks of at most {most} bytes beside each other");
            return Err(self.malformed(&expected, format!("chunks of {chunk:?} values")));
        };
        let most = len / LEAST_CHUNK + FEW_CHUNKS;
        let count = grid[0].checked_mul(grid[1]).filter(|&count| count <= most);
        let Some(count) = count else {
            let expected = format!("at most {most} chunks");
            return Err(self.malformed(&expected, format!("{} times {}", grid[0], grid[1])));
        };
        self.source.allow(0);
        let chunks = self.dataset.chunks().map_err(|e| self.unreadable(&e))?;
        self.check_chunks(&chunks, [chunk_rows, chunk_columns], grid, count)?;
        if filters.is_empty()
            && let Some(other) = chunks.iter().find(|chunk| chunk.storage_size != bytes)
        {
            let expected = format!("chunks of {bytes} bytes");
            return Err(self.malformed(&expected, other.storage_size.to_string()));
        }
        // Both are no more than the file's length and a bound.
        Ok((Storage::Chunked(chunk_rows), (band as usize, grid[1] as usize)))
    }

    fn check_chunks(
        &self,
        chunks: &[Chunk],
        chunk: [u64; 2],
        grid: [u64; 2],
        count: u64,
    ) -> Result<(), ReadError> {
        let len = self.source.input.len;
        let mut places = Vec::with_capacity(chunks.len());
        let mut bytes = 0_u64;
        for found in chunks {
            let end = found.address.checked_add(found.storage_size);
            bytes = bytes.saturating_add(found.storage_size);
            // Together no more than the file, so that no bytes are unpacked again and again.
            if end.is_none_or(|end| end > len) || bytes > len {
                let expected = format!("chunks within a file of {len} bytes");
                let found = format!("{} bytes from {}", found.storage_size, found.address);
                return Err(self.malformed(&expected, found));
            }
            if let [row, column] = found.offset[..] {
                let place = [row / chunk[0], column / chunk[1]];
                if place[0] < grid[0] && place[1] < grid[1] {
                    places.push(place[0] * grid[1] + place[1]);
                }
            }
        }
        places.sort_unstable();
        places.dedup();
        if places.len() as u64 == count {
            return Ok(());
        }
        let expected = format!("{count} chunks, for all rows");
        Err(self.malformed(&expected, format!("{} that were ever written", places.len())))
    }
}

/// The type of numbers that are stored as their bytes lie in memory; `None` for another.
pub(super) fn dtype_of(datatype: &Datatype) -> Option<Dtype> {
    match *datatype {
        Datatype::FixedPoint { size, byte_order, layout } => {
            let is_plain =
                layout.bit_offset == 0 && u64::from(layout.bit_precision) == u64::from(size) * 8;
            if !is_plain || (size > 1 && byte_order != DatatypeByteOrder::LittleEndian) {
                return None;
            }
            match (size, layout.signed) {
                (1, true) => Some(Dtype::I8),
                (1, false) => Some(Dtype::U8),
                (4, true) => Some(Dtype::I32),
                (4, false) => Some(Dtype::U32),
                (8, true) => Some(Dtype::I64),
                (8, false) => Some(Dtype::U64),
                _ => None,
            }
        }
        Datatype::FloatingPoint { size, byte_order: DatatypeByteOrder::LittleEndian, layout } => {
            match size {
                2 if layout == BINARY16 => Some(Dtype::F16),
                4 if layout == FloatingPointLayout::IEEE754_BINARY32 => Some(Dtype::F32),
                8 if layout == FloatingPointLayout::IEEE754_BINARY64 => Some(Dtype::F64),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The name of another type, for messages.
pub(super) fn type_name(dataset: &Dataset, datatype: &Datatype) -> String {
    match datatype {
        Datatype::Enumeration { size: 1, .. } => "bool".to_owned(),
        Datatype::Compound { .. } => "a compound".to_owned(),
        _ => dataset.dtype().map_or("an unknown type".to_owned(), |dtype| dtype.to_string()),
    }
}

fn dimensions(count: usize) -> String {
    if count == 1 { "1 dimension".to_owned() } else { format!("{count} dimensions") }
}
