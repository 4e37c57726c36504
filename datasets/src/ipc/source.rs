//! The rows of a file or stream as Arrow arrays.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_schema::{ArrowError, DataType, Field, Fields};

use crate::columns::{self, Batches};
use crate::error::{Position, ReadError};
use crate::flat::Input;
use crate::ipc::check::{check_sizes, widths};
use crate::ipc::frames::{Frame, Frames, Kind, parse, read_metadata};

/// An Arrow file or stream whose messages have been found and checked.
pub(crate) struct Source {
    input: Input,
    frames: Arc<Frames>,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let mut input = Input::open(path)?;
        let frames = Arc::new(Frames::find(&mut input)?);
        let source = Self { input, frames };
        columns::Source::check_names(&source, source.frames.schema_at)?;
        Ok(source)
    }
}

impl columns::Source for Source {
    fn path(&self) -> &Path {
        &self.input.path
    }

    fn fields(&self) -> &Fields {
        self.frames.schema.fields()
    }

    fn rows(&self) -> u64 {
        self.frames.rows
    }

    /// The bytes of all columns: what each one takes is known from the buffers only, and a batch
    /// that is somewhat too small does no harm.
    fn row_bytes(&self, columns: &[usize]) -> usize {
        if columns.is_empty() {
            return 0;
        }
        let fixed = |&at: &usize| match self.fields()[at].data_type() {
            DataType::FixedSizeList(item, size) => Some(
                item.data_type().primitive_width()?.saturating_mul(size.unsigned_abs() as usize),
            ),
            other => other.primitive_width(),
        };
        let known: Option<Vec<usize>> = columns.iter().map(fixed).collect();
        if let Some(widths) = known {
            return widths.into_iter().fold(0, usize::saturating_add);
        }
        let total =
            self.frames.frames.iter().map(|frame| frame.body.1).fold(0, u64::saturating_add);
        usize::try_from(total / self.frames.rows.max(1)).unwrap_or(usize::MAX)
    }

    fn read(&self, columns: &[usize], rows: usize) -> Result<Batches, ReadError> {
        let fields = self.fields();
        if let Some(&at) = columns.iter().find(|&&at| !is_readable(fields[at].data_type())) {
            let expected =
                format!("numbers, times, text or lists in column `{}`", fields[at].name());
            let found = fields[at].data_type().to_string();
            return Err(ReadError::unsuitable(self.path(), expected, found));
        }
        let input = self.input.again()?;
        let mut columns = columns.to_vec();
        columns.sort_unstable();
        let wanted = columns.iter().filter_map(|&at| dictionary_id(&fields[at])).collect();
        Ok(Box::new(Rows {
            input,
            frames: self.frames.clone(),
            columns,
            wanted,
            rows,
            dictionaries: HashMap::new(),
            next_frame: 0,
            next_row: 0,
            rest: None,
        }))
    }
}

/// Whether a column is of a type that `columns` can use. The others are never decoded.
fn is_readable(data_type: &DataType) -> bool {
    let is_text =
        |text: &DataType| matches!(text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_primitive() || is_text(item.data_type())
        }
        DataType::Dictionary(_, values) => is_text(values),
        other => other.is_primitive() || is_text(other) || *other == DataType::Boolean,
    }
}

/// The id by which messages name the dictionary of a column.
fn dictionary_id(field: &Field) -> Option<i64> {
    // The library has no other way to ask for it, and its own decoder uses this one.
    #[expect(deprecated)]
    field.dict_id()
}

/// The rows of a file, from front to back.
struct Rows {
    input: Input,
    frames: Arc<Frames>,
    /// The columns that are read, ascending.
    columns: Vec<usize>,
    /// The dictionaries of those columns.
    wanted: HashSet<i64>,
    /// The most rows of a batch.
    rows: usize,
    dictionaries: HashMap<i64, ArrayRef>,
    next_frame: usize,
    /// The first row that has not been given out.
    next_row: u64,
    /// What has been read and not been given out.
    rest: Option<RecordBatch>,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.read().transpose()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            },
        };
        let count = batch.num_rows().min(self.rows);
        self.next_row += count as u64;
        if count == batch.num_rows() {
            return Some(Ok(batch));
        }
        self.rest = Some(batch.slice(count, batch.num_rows() - count));
        Some(Ok(batch.slice(0, count)))
    }
}

impl Rows {
    /// The next message that has rows, whole; `None` at the end.
    fn read(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        while let Some(&frame) = self.frames.frames.get(self.next_frame) {
            self.next_frame += 1;
            match frame.kind {
                Kind::Rows(0) => {}
                Kind::Rows(_) => return self.read_rows(&frame).map(Some),
                Kind::Dictionary(id) if self.wanted.contains(&id) => self.add_dictionary(&frame)?,
                Kind::Dictionary(_) => {}
            }
        }
        Ok(None)
    }

    fn read_body(&mut self, frame: &Frame) -> Result<Buffer, ReadError> {
        // No longer than the file, as its place was checked.
        let (at, len) = frame.body;
        let mut body = MutableBuffer::from_len_zeroed(len as usize);
        self.input.read_at(at, &mut body)?;
        Ok(body.into())
    }

    fn read_rows(&mut self, frame: &Frame) -> Result<RecordBatch, ReadError> {
        let metadata = read_metadata(&mut self.input, frame)?;
        let body = self.read_body(frame)?;
        let message = parse(&self.input, frame.metadata.0, &metadata)?;
        let Some(rows) = message.header_as_record_batch() else {
            return Err(self.changed(frame));
        };
        let schema = self.frames.schema.clone();
        let widths = widths(schema.fields().iter().map(|f| f.data_type()), rows, message.version());
        check_sizes(&self.input, frame.body.0, rows, &body, &widths)?;
        RecordBatchDecoder::try_new(&body, rows, schema, &self.dictionaries, &message.version())
            .and_then(|decoder| decoder.with_projection(Some(&self.columns)).read_record_batch())
            .map_err(|e| self.unreadable(e))
    }

    fn add_dictionary(&mut self, frame: &Frame) -> Result<(), ReadError> {
        let metadata = read_metadata(&mut self.input, frame)?;
        let body = self.read_body(frame)?;
        let message = parse(&self.input, frame.metadata.0, &metadata)?;
        let dictionary = message.header_as_dictionary_batch();
        let Some((dictionary, values)) = dictionary.and_then(|some| Some((some, some.data()?)))
        else {
            return Err(self.changed(frame));
        };
        let schema = self.frames.schema.clone();
        let version = message.version();
        let of_id =
            schema.fields().iter().find(|field| dictionary_id(field) == Some(dictionary.id()));
        let value_type = of_id.and_then(|field| match field.data_type() {
            DataType::Dictionary(_, values) => Some(values.as_ref()),
            _ => None,
        });
        let widths = widths(value_type.into_iter(), values, version);
        check_sizes(&self.input, frame.body.0, values, &body, &widths)?;
        read_dictionary(&body, dictionary, &schema, &mut self.dictionaries, &version)
            .map_err(|e| self.unreadable(e))
    }

    fn unreadable(&self, error: ArrowError) -> ReadError {
        let expected = "a readable Arrow message from this row on";
        let at = Position::row(self.next_row);
        ReadError::malformed(&self.input.path, at, expected, error.to_string())
    }

    /// The message was another when the file was opened.
    fn changed(&self, frame: &Frame) -> ReadError {
        let expected = "the message that was there when the file was opened";
        self.input.malformed(frame.metadata.0, expected, "another")
    }
}
