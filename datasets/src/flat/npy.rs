//! NumPy's array file: the magic, a version, the length of a header that is a Python dict
//! literal, the dict (`descr`, `fortran_order`, `shape`), then the values. Versions 1 to 3, which
//! differ in the width of the length and in the text encoding; two dimensions, C order,
//! little-endian. Layout: `numpy/lib/format.py`; what is written is byte for byte what NumPy
//! writes.

use std::io::Read;

use crate::error::{ReadError, WriteError};
use crate::flat::{FlatReader, FlatWriter, Input};
use crate::output::Output;
use crate::spec::ReadOptions;
use crate::vectors::{Element, MAX_DIM, Shape};

const MAGIC: [u8; 6] = *b"\x93NUMPY";
/// NumPy itself refuses headers beyond 10,000 bytes; ours of two dimensions have about 120.
const MAX_HEADER: u32 = 65_536;
/// NumPy leaves room in the header for the number of rows to grow to this many digits.
const ROWS_DIGITS: usize = 21;
/// The values start at a multiple of this.
const ALIGN: usize = 64;

/// The element types that are read from npy, vectors and ids alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    F64,
    F32,
    F16,
    I8,
    U8,
    I32,
    U32,
    I64,
    U64,
}

impl Dtype {
    const ALL: [Self; 9] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::I8,
        Self::U8,
        Self::I32,
        Self::U32,
        Self::I64,
        Self::U64,
    ];

    /// NumPy's name.
    pub(crate) fn descr(self) -> &'static str {
        match self {
            Self::F64 => "<f8",
            Self::F32 => "<f4",
            Self::F16 => "<f2",
            Self::I8 => "|i1",
            Self::U8 => "|u1",
            Self::I32 => "<i4",
            Self::U32 => "<u4",
            Self::I64 => "<i8",
            Self::U64 => "<u8",
        }
    }

    /// Bytes of one value.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// The name in this crate's words.
    #[cfg(feature = "hdf5")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
        }
    }

    /// The type as the element of a vector.
    pub(crate) fn element(self) -> Option<Element> {
        Some(match self {
            Self::F64 => Element::F64,
            Self::F32 => Element::F32,
            Self::F16 => Element::F16,
            Self::I8 => Element::I8,
            Self::U8 => Element::U8,
            Self::I32 | Self::U32 | Self::I64 | Self::U64 => return None,
        })
    }
}

impl From<Element> for Dtype {
    fn from(element: Element) -> Self {
        match element {
            Element::F64 => Self::F64,
            Element::F32 => Self::F32,
            Element::F16 => Self::F16,
            Element::I8 => Self::I8,
            Element::U8 => Self::U8,
        }
    }
}

/// What the header says.
pub(crate) struct Header {
    pub(crate) dtype: Dtype,
    pub(crate) rows: u64,
    pub(crate) columns: u32,
    /// Where the values begin.
    pub(crate) start: u64,
}

/// Reads and checks the header of a two-dimensional array. The length of the file is for the
/// caller to check.
pub(crate) fn read_header<R: Read>(input: &mut Input<R>) -> Result<Header, ReadError> {
    let (text_at, text) = read_header_text(input)?;
    let dict = parse(input, text_at, &text)?;
    let at = |key: &Key| text_at + key.at as u64;

    let (order, ref fortran) = dict.fortran_order;
    if order {
        let expected = "rows in C order (numpy.ascontiguousarray makes it so)";
        return Err(input.malformed(at(fortran), expected, "Fortran order"));
    }
    let (descr, ref key) = dict.descr;
    let dtype = Dtype::ALL.into_iter().find(|dtype| dtype.descr() == descr).ok_or_else(|| {
        let names: Vec<&str> = Dtype::ALL.into_iter().map(Dtype::descr).collect();
        let order = if descr.starts_with('>') { " (big-endian)" } else { "" };
        let expected = format!("a little-endian dtype, one of {}", names.join(", "));
        input.malformed(at(key), expected, format!("`{descr}`{order}"))
    })?;
    let (shape, ref key) = dict.shape;
    let [rows, columns] = shape[..] else {
        return Err(input.malformed(
            at(key),
            "an array of two dimensions, [rows, dim]",
            format!("{} dimensions, {shape:?}", shape.len()),
        ));
    };
    let columns = u32::try_from(columns)
        .ok()
        .filter(|columns| (1..=MAX_DIM).contains(columns))
        .ok_or_else(|| {
            let expected = format!("a dim from 1 to {MAX_DIM}");
            input.malformed(at(key), expected, columns.to_string())
        })?;
    Ok(Header { dtype, rows, columns, start: text_at + text.len() as u64 })
}

/// Reads the header of an array of any type and order, and gives the size of each dimension.
pub(crate) fn read_sizes<R: Read>(input: &mut Input<R>) -> Result<Vec<u64>, ReadError> {
    let (text_at, text) = read_header_text(input)?;
    Ok(parse(input, text_at, &text)?.shape.0)
}

fn parse<'a, R>(input: &Input<R>, text_at: u64, text: &'a str) -> Result<Dict<'a>, ReadError> {
    Parser { text, at: 0 }.dict().map_err(|(at, expected)| {
        let rest: String = text[at..].chars().take(24).collect();
        let found = if rest.is_empty() { "its end".to_owned() } else { format!("`{rest}`") };
        input.malformed(text_at + at as u64, format!("in the header, {expected}"), found)
    })
}

/// Reads up to the values: where the dict begins, and its text.
fn read_header_text<R: Read>(input: &mut Input<R>) -> Result<(u64, String), ReadError> {
    if input.len < 10 {
        let expected = "an npy header of at least 10 bytes";
        return Err(input.malformed(0, expected, format!("{} bytes", input.len)));
    }
    let mut start = [0; 8];
    input.fill(&mut start, 0)?;
    if start[..6] != MAGIC {
        let found = format!("{}{}", start[..6].escape_ascii(), input.looks_like);
        return Err(input.malformed(0, "the npy magic \\x93NUMPY", found));
    }
    let [major, minor] = [start[6], start[7]];
    let (text_at, len) = match (major, minor) {
        (1, 0) => {
            let mut len = [0; 2];
            input.fill(&mut len, 8)?;
            (10, u32::from(u16::from_le_bytes(len)))
        }
        (2 | 3, 0) => {
            let mut len = [0; 4];
            input.fill(&mut len, 8)?;
            (12, u32::from_le_bytes(len))
        }
        _ => {
            let expected = "npy format version 1.0, 2.0 or 3.0";
            return Err(input.malformed(6, expected, format!("{major}.{minor}")));
        }
    };
    if len > MAX_HEADER || text_at + u64::from(len) > input.len {
        let most = u64::from(MAX_HEADER).min(input.len - text_at);
        let expected = format!("a header of at most {most} bytes");
        return Err(input.malformed(8, expected, len.to_string()));
    }
    let mut text = vec![0; len as usize];
    input.fill(&mut text, text_at)?;
    // Versions 1 and 2 are Latin-1, but every header that is of use here is ASCII.
    let text = String::from_utf8(text).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let found = format!("byte {:#04x}", e.as_bytes()[at]);
        input.malformed(text_at + at as u64, "header text in UTF-8", found)
    })?;
    Ok((text_at, text))
}

/// Where in the header text a value begins.
struct Key {
    at: usize,
}

/// The header's dict. The shape has as many entries as there are dimensions.
struct Dict<'a> {
    descr: (&'a str, Key),
    fortran_order: (bool, Key),
    shape: (Vec<u64>, Key),
}

/// Reads the one Python dict literal that NumPy writes: three known keys in any order, each once,
/// with a string (or, for structured types, anything bracketed), a bool and a tuple. Errors are
/// the offset in the text and what was expected there.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Parsed<T> = Result<T, (usize, &'static str)>;

impl<'a> Parser<'a> {
    fn dict(&mut self) -> Parsed<Dict<'a>> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect('{', "`{`")?;
        while !self.skip('}') {
            let key_at = self.at;
            let key = self.string()?;
            self.expect(':', "`:`")?;
            self.spaces();
            let value = Key { at: self.at };
            let fresh = match key {
                "descr" => descr.replace((self.descr()?, value)).is_none(),
                "fortran_order" => fortran_order.replace((self.bool()?, value)).is_none(),
                "shape" => shape.replace((self.tuple()?, value)).is_none(),
                _ => false,
            };
            if !fresh {
                return Err((key_at, "each of `descr`, `fortran_order` and `shape` once"));
            }
            if !self.skip(',') {
                self.expect('}', "`,` or `}`")?;
                break;
            }
        }
        self.spaces();
        if self.at != self.text.len() {
            return Err((self.at, "nothing after `}`"));
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                Ok(Dict { descr, fortran_order, shape })
            }
            _ => Err((self.at, "all of `descr`, `fortran_order` and `shape`")),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_ascii_start().len();
    }

    fn skip(&mut self, wanted: char) -> bool {
        self.spaces();
        let there = self.rest().starts_with(wanted);
        self.at += if there { wanted.len_utf8() } else { 0 };
        there
    }

    fn expect(&mut self, wanted: char, name: &'static str) -> Parsed<()> {
        if self.skip(wanted) { Ok(()) } else { Err((self.at, name)) }
    }

    fn string(&mut self) -> Parsed<&'a str> {
        self.spaces();
        let quote = self.rest().chars().next().filter(|quote| matches!(quote, '\'' | '"'));
        let quote = quote.ok_or((self.at, "a quoted text"))?;
        let inner = &self.rest()[1..];
        let end = inner.find(quote).ok_or((self.at, "a text with a closing quote"))?;
        self.at += end + 2;
        Ok(&inner[..end])
    }

    /// A dtype: a string, or for a structured type the list that describes it, as it stands.
    fn descr(&mut self) -> Parsed<&'a str> {
        if !self.rest().starts_with('[') {
            return self.string();
        }
        let begin = self.at;
        let mut depth = 0_usize;
        for (at, character) in self.rest().char_indices() {
            match character {
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                self.at += at + 1;
                return Ok(&self.text[begin..self.at]);
            }
        }
        Err((begin, "a list with a closing bracket"))
    }

    fn bool(&mut self) -> Parsed<bool> {
        for (word, value) in [("False", false), ("True", true)] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err((self.at, "True or False"))
    }

    fn tuple(&mut self) -> Parsed<Vec<u64>> {
        let mut sizes = Vec::new();
        self.expect('(', "`(`")?;
        while !self.skip(')') {
            let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            let size = self.rest()[..digits].parse();
            sizes.push(size.map_err(|_| (self.at, "a size that fits 64 bits"))?);
            self.at += digits;
            if !self.skip(',') {
                self.expect(')', "`,` or `)`")?;
                break;
            }
        }
        Ok(sizes)
    }
}

pub(crate) fn open<R: Read>(
    mut input: Input<R>,
    options: &ReadOptions,
) -> Result<FlatReader<R>, ReadError> {
    let header = read_header(&mut input)?;
    let element = header.dtype.element().ok_or_else(|| {
        ReadError::unsuitable(
            &input.path,
            "vectors of f64, f32, f16, i8 or u8",
            format!("an array of {}, as ids have it", header.dtype.descr()),
        )
    })?;
    let shape = Shape { rows: header.rows, dim: header.columns, element };
    FlatReader::new(input, header.start, shape, options)
}

/// Writes the header of a `[rows, columns]` array, version 1.0.
pub(crate) fn write_header(
    output: &mut Output,
    dtype: Dtype,
    rows: u64,
    columns: u32,
) -> Result<(), WriteError> {
    let rows = rows.to_string();
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}",
        dtype.descr()
    );
    text.extend(std::iter::repeat_n(' ', ROWS_DIGITS - rows.len()));
    let before = MAGIC.len() + 4;
    let end = (before + text.len() + 1).next_multiple_of(ALIGN);
    text.extend(std::iter::repeat_n(' ', end - before - text.len() - 1));
    text.push('\n');
    output.put(&MAGIC)?;
    output.put(&[1, 0])?;
    // At most 128 bytes, whatever the sizes.
    output.put(&(text.len() as u16).to_le_bytes())?;
    output.put(text.as_bytes())
}

pub(crate) fn create(mut output: Output, shape: Shape) -> Result<FlatWriter, WriteError> {
    write_header(&mut output, shape.element.into(), shape.rows, shape.dim)?;
    Ok(FlatWriter::new(output, shape))
}
