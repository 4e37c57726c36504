//! Finds the messages of a file or stream, without reading their bodies. A message is a marker
//! of four bytes (which old writers leave out), the length of its metadata, the metadata, and
//! the body. A file has the magic at both ends and a footer that says where the messages are; a
//! stream ends with a length of 0, or where the bytes do.

use std::sync::Arc;

use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{Block, Endianness, Footer, Message, MessageHeader};
use arrow_ipc::{root_as_footer_with_opts, root_as_message_with_opts};
use arrow_schema::Schema;
use flatbuffers::VerifierOptions;

use crate::error::ReadError;
use crate::flat::Input;
use crate::ipc::check::check_rows;

/// The magic at both ends of a file.
const MAGIC: [u8; 6] = *b"ARROW1";
/// Where the messages of a file begin.
const FILE_START: u64 = 8;
/// The length of the footer, and the magic behind it.
const TAIL: u64 = 10;
/// What a message begins with.
const MARKER: [u8; 4] = [0xff; 4];
/// The most additions to a dictionary: each one copies what there was before it.
const MOST_ADDITIONS: usize = 4096;

/// Where a message is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Where its metadata begins, and its length.
    pub(super) metadata: (u64, usize),
    /// Where its body begins, and its length.
    pub(super) body: (u64, u64),
    pub(super) kind: Kind,
}

/// What a message brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The values that the keys of columns with this id stand for, or more of them.
    Dictionary(i64),
    /// So many rows.
    Rows(u64),
}

/// The messages of a file.
pub(super) struct Frames {
    pub(super) schema: Arc<Schema>,
    /// Where the schema was found.
    pub(super) schema_at: u64,
    /// In the order in which they have to be read.
    pub(super) frames: Vec<Frame>,
    pub(super) rows: u64,
}

impl Frames {
    pub(super) fn find(input: &mut Input) -> Result<Self, ReadError> {
        let mut start = [0; 6];
        let is_file = input.len >= start.len() as u64 && {
            input.read_at(0, &mut start)?;
            start == MAGIC
        };
        let (schema, schema_at, frames) = if is_file { of_file(input)? } else { of_stream(input)? };
        let mut rows = 0_u64;
        let mut additions = 0;
        for frame in &frames {
            match frame.kind {
                Kind::Rows(count) => {
                    rows = rows.checked_add(count).ok_or_else(|| {
                        let expected = "rows whose number fits 64 bits";
                        input.malformed(frame.metadata.0, expected, format!("{count} more"))
                    })?;
                }
                Kind::Dictionary(_) => additions += 1,
            }
        }
        if additions > MOST_ADDITIONS {
            let expected = format!("at most {MOST_ADDITIONS} dictionary messages");
            return Err(input.malformed(schema_at, expected, additions.to_string()));
        }
        Ok(Self { schema: Arc::new(schema), schema_at, frames, rows })
    }
}

/// Reads the metadata of a message.
pub(super) fn read_metadata(input: &mut Input, frame: &Frame) -> Result<Vec<u8>, ReadError> {
    let (at, len) = frame.metadata;
    let mut bytes = vec![0; len];
    input.read_at(at, &mut bytes)?;
    Ok(bytes)
}

/// Parses the metadata of a message that begins at `at`.
pub(super) fn parse<'a>(input: &Input, at: u64, bytes: &'a [u8]) -> Result<Message<'a>, ReadError> {
    root_as_message_with_opts(&limits(bytes.len()), bytes)
        .map_err(|e| input.malformed(at, "the metadata of an Arrow message", e.to_string()))
}

/// Lets metadata be no larger in memory than a few times what it is in the file: its tables may
/// be shared, so that few bytes could stand for many.
fn limits(len: usize) -> VerifierOptions {
    VerifierOptions {
        max_tables: len / 8 + 16,
        max_apparent_size: len.saturating_mul(4).saturating_add(1 << 16),
        ..VerifierOptions::default()
    }
}

fn read_schema(input: &Input, at: u64, schema: arrow_ipc::Schema) -> Result<Schema, ReadError> {
    if schema.endianness() != Endianness::Little {
        return Err(input.malformed(at, "little-endian values", "big-endian ones"));
    }
    try_fb_to_schema(schema)
        .map_err(|e| input.malformed(at, "a readable Arrow schema", e.to_string()))
}

type Found = (Schema, u64, Vec<Frame>);

fn of_file(input: &mut Input) -> Result<Found, ReadError> {
    let least = FILE_START + TAIL;
    if input.len < least {
        let expected = format!("an Arrow file of at least {least} bytes");
        return Err(input.malformed(0, expected, format!("{} bytes", input.len)));
    }
    let tail_at = input.len - TAIL;
    let mut tail = [0; TAIL as usize];
    input.read_at(tail_at, &mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    if magic != MAGIC {
        let found = magic.escape_ascii().to_string();
        return Err(input.malformed(tail_at + 4, "the magic ARROW1 at the end", found));
    }
    let len = u32::from_le_bytes([a, b, c, d]);
    let most = tail_at - FILE_START;
    if u64::from(len) > most {
        let expected = format!("a footer of at most {most} bytes");
        return Err(input.malformed(tail_at, expected, len.to_string()));
    }
    let footer_at = tail_at - u64::from(len);
    let mut bytes = vec![0; len as usize];
    input.read_at(footer_at, &mut bytes)?;
    let footer = root_as_footer_with_opts(&limits(bytes.len()), &bytes)
        .map_err(|e| input.malformed(footer_at, "an Arrow footer", e.to_string()))?;
    let Some(schema) = footer.schema() else {
        return Err(input.malformed(footer_at, "a schema in the footer", "none"));
    };
    let schema = read_schema(input, footer_at, schema)?;
    let frames = of_footer(input, footer_at, &footer)?;
    Ok((schema, footer_at, frames))
}

/// The messages that a footer names: dictionaries, then rows. No two may overlap, so that what is
/// read in all is no more than the file.
fn of_footer(input: &mut Input, footer_at: u64, footer: &Footer) -> Result<Vec<Frame>, ReadError> {
    let dictionaries = footer.dictionaries().into_iter().flatten().map(|block| (true, block));
    let rows = footer.recordBatches().into_iter().flatten().map(|block| (false, block));
    let mut frames = Vec::new();
    let mut taken = Vec::new();
    for (is_dictionary, block) in dictionaries.chain(rows) {
        let (start, end) = extent(block)
            .filter(|&(start, end)| start >= FILE_START && end <= footer_at)
            .ok_or_else(|| {
                let expected = format!("a message within bytes {FILE_START} to {footer_at}");
                let [metadata, body] = [i64::from(block.metaDataLength()), block.bodyLength()];
                let found = format!("{metadata} and {body} bytes from {}", block.offset());
                input.malformed(footer_at, expected, found)
            })?;
        taken.push((start, end));
        let Some(Next::Frame(frame)) = next(input, start, end)? else {
            return Err(input.malformed(start, "a message of rows or a dictionary", "another"));
        };
        if matches!(frame.kind, Kind::Dictionary(_)) != is_dictionary {
            let expected = if is_dictionary { "a dictionary" } else { "rows" };
            return Err(input.malformed(start, expected, format!("{:?}", frame.kind)));
        }
        frames.push(frame);
    }
    taken.sort_unstable();
    match taken.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        None => Ok(frames),
        Some(pair) => {
            let found = format!("one to byte {}", pair[0].1);
            Err(input.malformed(pair[1].0, "a message behind the one before", found))
        }
    }
}

/// Where a message begins and ends, as the footer has it.
fn extent(block: &Block) -> Option<(u64, u64)> {
    let start = u64::try_from(block.offset()).ok()?;
    let metadata = u64::try_from(block.metaDataLength()).ok()?;
    let body = u64::try_from(block.bodyLength()).ok()?;
    Some((start, start.checked_add(metadata)?.checked_add(body)?))
}

fn of_stream(input: &mut Input) -> Result<Found, ReadError> {
    let first = next(input, 0, input.len)?;
    let Some(Next::Schema(schema, mut at)) = first else {
        let expected = format!("an Arrow file or stream{}", input.looks_like);
        return Err(input.malformed(0, expected, "a stream that does not begin with its schema"));
    };
    let mut frames = Vec::new();
    while let Some(found) = next(input, at, input.len)? {
        let Next::Frame(frame) = found else {
            return Err(input.malformed(at, "one schema", "a second"));
        };
        at = frame.body.0 + frame.body.1;
        frames.push(frame);
    }
    Ok((schema, 0, frames))
}

/// A message, or the schema and where it ends.
enum Next {
    Schema(Schema, u64),
    Frame(Frame),
}

/// The message at `at`, which must be over at `end`; `None` at the end of a stream.
fn next(input: &mut Input, at: u64, end: u64) -> Result<Option<Next>, ReadError> {
    if at == end {
        return Ok(None);
    }
    let mut metadata_at = at;
    let mut word = || -> Result<[u8; 4], ReadError> {
        let mut word = [0; 4];
        input.read_at(metadata_at, &mut word)?;
        metadata_at += 4;
        Ok(word)
    };
    let mut len = word()?;
    if len == MARKER {
        len = word()?;
    }
    let len = u32::from_le_bytes(len);
    if len == 0 {
        return if metadata_at == end {
            Ok(None)
        } else {
            let found = format!("{} more bytes", end - metadata_at);
            Err(input.malformed(metadata_at, "nothing behind the end of the stream", found))
        };
    }
    let most = end.saturating_sub(metadata_at);
    if u64::from(len) > most {
        let expected = format!("the metadata of an Arrow message, of at most {most} bytes");
        let found = format!("{len}{}", input.looks_like);
        return Err(input.malformed(metadata_at - 4, expected, found));
    }
    let mut bytes = vec![0; len as usize];
    input.read_at(metadata_at, &mut bytes)?;
    let message = parse(input, metadata_at, &bytes)?;
    let body_at = metadata_at + u64::from(len);
    let body = u64::try_from(message.bodyLength()).ok().filter(|&body| body <= end - body_at);
    let body = body.ok_or_else(|| {
        let expected = format!("a body of at most {} bytes", end - body_at);
        input.malformed(metadata_at, expected, message.bodyLength().to_string())
    })?;
    let missing = |what: &str| input.malformed(metadata_at, what, "none");
    let kind = match message.header_type() {
        MessageHeader::Schema => {
            let schema = message.header_as_schema().ok_or_else(|| missing("a schema"))?;
            let schema = read_schema(input, metadata_at, schema)?;
            return Ok(Some(Next::Schema(schema, body_at + body)));
        }
        MessageHeader::DictionaryBatch => {
            let dictionary = message.header_as_dictionary_batch();
            let dictionary = dictionary.ok_or_else(|| missing("a dictionary"))?;
            let values = dictionary.data().ok_or_else(|| missing("the values of a dictionary"))?;
            check_rows(input, metadata_at, values, body)?;
            Kind::Dictionary(dictionary.id())
        }
        MessageHeader::RecordBatch => {
            let rows = message.header_as_record_batch().ok_or_else(|| missing("rows"))?;
            Kind::Rows(check_rows(input, metadata_at, rows, body)?)
        }
        other => {
            let expected = "a message of rows or a dictionary";
            return Err(input.malformed(metadata_at, expected, format!("{other:?}")));
        }
    };
    let metadata = (metadata_at, len as usize);
    Ok(Some(Next::Frame(Frame { metadata, body: (body_at, body), kind })))
}
