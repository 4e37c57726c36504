//! Looks at every page before the library decodes it. parquet 60.1 trusts things in a page, and
//! panics or takes any amount of memory if they are not so (found by mutating files and by
//! fuzzing): that a page of dictionary keys comes after a dictionary, that the keys of fixed-length
//! values are within it, that a page or dictionary of plain texts has no more of them than it
//! announces and nothing behind, that a dictionary has as many values as it announces, that the
//! bytes of a byte-stream-split page are as many as its values need, and that packed levels and
//! numbers are whole (`runs`). What else it finds wrong is an error.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use crate::parquet::runs::{check_key_runs, check_keys, check_runs, take_deltas};
use crate::parquet::thrift::{CUT_OFF, Checked, page_sizes};

/// How much larger than the file a page may become.
const GROWTH: u64 = 32 << 20;
/// What is read of a page to find its header, and the most; statistics can make it long.
const HEADER_BYTES: u64 = 256;
const MOST_HEADER_BYTES: u64 = 1 << 20;

/// Entries of lists that a page may have whatever its size.
const MOST_ENTRIES: usize = 1 << 20;

/// All row groups of a file.
pub(super) struct CheckedRowGroups {
    pub(super) file: Arc<File>,
    pub(super) metadata: Arc<ParquetMetaData>,
}

impl RowGroups for CheckedRowGroups {
    fn num_rows(&self) -> usize {
        self.row_groups().map(|group| group.num_rows().max(0) as usize).sum()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let (file, metadata) = (self.file.clone(), self.metadata.clone());
        Ok(Box::new(Chunks { file, metadata, column, group: 0 }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.metadata.row_groups().iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The chunks of one column, row group by row group.
struct Chunks {
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
    column: usize,
    group: usize,
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.metadata.row_groups().get(self.group)?;
        self.group += 1;
        let chunk = group.column(self.column);
        let rows = group.num_rows().max(0) as usize;
        let pages = SerializedPageReader::new(self.file.clone(), chunk, rows, None);
        let column = chunk.column_descr_ptr();
        let (at, len) = chunk.byte_range();
        let headers = Headers { file: self.file.clone(), at, end: at.saturating_add(len) };
        Some(pages.map(|pages| {
            let dictionary = None;
            Box::new(CheckedPages { pages, headers, column, dictionary }) as Box<dyn PageReader>
        }))
    }
}

impl PageIterator for Chunks {}

/// The pages of one chunk.
struct CheckedPages {
    pages: SerializedPageReader<File>,
    headers: Headers,
    column: ColumnDescPtr,
    /// Values in the dictionary, once it has come.
    dictionary: Option<u32>,
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.headers.check_next().map_err(ParquetError::General)?;
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page).map_err(|what| ParquetError::General(what.to_owned()))?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.headers.check_next().map_err(ParquetError::General)?;
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

/// The headers of the pages of a chunk, each looked at before the library unpacks its page.
struct Headers {
    file: Arc<File>,
    /// Where the next one begins.
    at: u64,
    /// Where the chunk ends.
    end: u64,
}

impl Headers {
    /// Checks the next header, if the chunk has one more.
    fn check_next(&mut self) -> std::result::Result<(), String> {
        let mut bytes = Vec::new();
        let mut want = HEADER_BYTES.min(self.end.saturating_sub(self.at));
        if want == 0 {
            return Ok(());
        }
        let sizes = loop {
            let mut file = self.file.get_read(self.at).map_err(|e| e.to_string())?;
            bytes.clear();
            file.by_ref().take(want).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
            match page_sizes(&bytes) {
                Err(CUT_OFF) if want < self.end - self.at && want < MOST_HEADER_BYTES => {
                    want = (want * 16).min(self.end - self.at);
                }
                sizes => break sizes?,
            }
        };
        let most = self.file.len().saturating_add(GROWTH);
        if sizes.uncompressed > most {
            return Err(format!("a page of {} bytes, beyond {most}", sizes.uncompressed));
        }
        self.at = self.at.saturating_add(sizes.header).saturating_add(sizes.compressed);
        Ok(())
    }
}

/// The parts of a data page that are looked at.
struct DataPage<'a> {
    encoding: Encoding,
    /// The levels that are packed by their runs, each with the most that one can be.
    levels: [Option<(&'a [u8], i16)>; 2],
    /// Number of levels of each kind.
    level_count: usize,
    values: &'a [u8],
    /// The most values that there can be.
    value_count: usize,
}

impl CheckedPages {
    fn check(&mut self, page: &Page) -> Checked<()> {
        let is_text = self.column.physical_type() == Type::BYTE_ARRAY;
        if let Page::DictionaryPage { buf, num_values, .. } = page {
            self.dictionary = Some(*num_values);
            if buf.len() / self.least_value_bytes() < *num_values as usize {
                return Err("a dictionary with fewer values than it announces");
            }
            return if is_text { check_texts(buf, *num_values as usize) } else { Ok(()) };
        }
        let page = self.split(page)?;
        // A list takes all of its entries into memory at once, and a run of them takes no bytes.
        if self.column.max_rep_level() > 0
            && page.level_count > MOST_ENTRIES.max(8 * page.values.len())
        {
            return Err("a page with more entries of lists than its bytes can be");
        }
        for (levels, max) in page.levels.into_iter().flatten() {
            check_runs(levels, level_bits(max), page.level_count, true)?;
        }
        // Levels decide how many values are read, not what a page says of its nulls.
        match page.encoding {
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                let size =
                    self.dictionary.ok_or("a page of dictionary keys before a dictionary")?;
                check_key_runs(page.values, page.level_count)?;
                if self.column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY {
                    check_keys(page.values, page.level_count, size)?;
                }
            }
            Encoding::RLE => {
                let runs = page.values.get(4..).unwrap_or_default();
                check_runs(runs, 1, page.level_count, false)?;
            }
            Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                take_deltas(&mut { page.values })?;
            }
            Encoding::DELTA_BYTE_ARRAY => {
                // The lengths of what is shared with the text before, then those of the rest.
                let mut rest = page.values;
                take_deltas(&mut rest)?;
                take_deltas(&mut rest)?;
            }
            Encoding::PLAIN if is_text => check_texts(page.values, page.value_count)?,
            Encoding::BYTE_STREAM_SPLIT
                if page.values.len() / self.least_value_bytes() < page.value_count =>
            {
                return Err("a byte-stream-split page with fewer values than it announces");
            }
            _ => {}
        }
        Ok(())
    }

    /// The bytes that a plain value takes at least: a text has its length before it.
    fn least_value_bytes(&self) -> usize {
        match self.column.physical_type() {
            Type::BOOLEAN => 1,
            Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
            Type::INT64 | Type::DOUBLE => 8,
            Type::INT96 => 12,
            Type::FIXED_LEN_BYTE_ARRAY => self.column.type_length().max(1) as usize,
        }
    }

    /// Finds the levels and the values of a data page.
    fn split<'a>(&self, page: &'a Page) -> Checked<DataPage<'a>> {
        const SHORT: &str = "a page that is shorter than its levels";
        match page {
            Page::DictionaryPage { .. } => Err("a dictionary in place of a data page"),
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                ..
            } => {
                let count = *num_values as usize;
                let mut rest = &buf[..];
                let mut levels = [None; 2];
                let kinds = [
                    (self.column.max_rep_level(), *rep_level_encoding),
                    (self.column.max_def_level(), *def_level_encoding),
                ];
                for (levels, (max, encoding)) in levels.iter_mut().zip(kinds) {
                    if max > 0 {
                        let taken = take_levels(&mut rest, encoding, max, count).ok_or(SHORT)?;
                        *levels = Some((taken, max)).filter(|_| encoding == Encoding::RLE);
                    }
                }
                Ok(DataPage {
                    encoding: *encoding,
                    levels,
                    level_count: count,
                    values: rest,
                    value_count: count,
                })
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let (rep, rest) =
                    buf.split_at_checked(*rep_levels_byte_len as usize).ok_or(SHORT)?;
                let (def, values) =
                    rest.split_at_checked(*def_levels_byte_len as usize).ok_or(SHORT)?;
                let levels =
                    [(rep, self.column.max_rep_level()), (def, self.column.max_def_level())];
                let values_left = num_values.checked_sub(*num_nulls);
                Ok(DataPage {
                    encoding: *encoding,
                    levels: levels.map(|levels| Some(levels).filter(|&(_, max)| max > 0)),
                    level_count: *num_values as usize,
                    values,
                    value_count: values_left.ok_or("a page of more nulls than values")? as usize,
                })
            }
        }
    }
}

/// Bits of a level of at most `max`.
fn level_bits(max: i16) -> usize {
    (16 - max.leading_zeros()) as usize
}

/// Takes the levels of a page of version 1 off the front.
fn take_levels<'a>(
    rest: &mut &'a [u8],
    encoding: Encoding,
    max: i16,
    count: usize,
) -> Option<&'a [u8]> {
    let len = if encoding == Encoding::RLE {
        let (len, behind) = rest.split_first_chunk::<4>()?;
        *rest = behind;
        u32::from_le_bytes(*len) as usize
    } else {
        (count * level_bits(max)).div_ceil(8)
    };
    let (levels, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(levels)
}

/// Checks that the bytes are at most `count` texts, each behind its length, and nothing else.
fn check_texts(mut values: &[u8], count: usize) -> Checked<()> {
    for _ in 0..count {
        let Some((len, rest)) = values.split_first_chunk::<4>() else { break };
        let len = u32::from_le_bytes(*len) as usize;
        values = rest.get(len..).ok_or("a text that is longer than its page")?;
    }
    if values.is_empty() { Ok(()) } else { Err("bytes behind the last text of a page") }
}
