//! A look at Thrift structures before the library decodes them. parquet 60.1 sets memory aside for
//! as many entries as a list or a group says that it has, recurses as deep as groups are nested,
//! and unpacks a page into as many bytes as its header says (found by fuzzing).
//!
//! Thrift's compact protocol: a structure is fields up to a zero byte, a field is a byte with its
//! type and the step from the number of the field before, then the value; numbers are varints.
//! The numbers of the fields are those of `parquet.thrift`.

/// Structures in structures, and groups in groups.
const DEEPEST: usize = 64;

/// Fields of `FileMetaData` and `SchemaElement`.
const SCHEMA: i64 = 2;
const NUM_CHILDREN: i64 = 5;
/// Fields of `PageHeader`.
const UNCOMPRESSED_SIZE: i64 = 2;
const COMPRESSED_SIZE: i64 = 3;

pub(super) type Checked<T> = Result<T, &'static str>;

/// The bytes end within a structure.
pub(super) const CUT_OFF: &str = "metadata that is cut off";

/// Sizes of a page, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageSizes {
    pub(super) header: u64,
    pub(super) compressed: u64,
    pub(super) uncompressed: u64,
}

/// Checks the metadata of a file: lists that have as many entries as they say, a schema whose
/// groups have as many members as they say.
pub(super) fn check_footer(bytes: &[u8]) -> Checked<()> {
    let mut walk = Walk { bytes, at: 0 };
    let mut children = Vec::new();
    walk.fields(0, &mut |walk, field, kind, depth| {
        if field != SCHEMA || kind != LIST {
            return walk.skip(kind, depth);
        }
        let (count, entry) = walk.list()?;
        for _ in 0..count {
            if entry != STRUCT {
                return Err("a schema of other things than columns");
            }
            let mut members = 0;
            walk.fields(depth, &mut |walk, field, kind, depth| {
                if field == NUM_CHILDREN && kind == I32 {
                    members = walk.zigzag()?;
                    return Ok(());
                }
                walk.skip(kind, depth)
            })?;
            children.push(members);
        }
        Ok(())
    })?;
    check_groups(&children)
}

/// Checks the numbers of members, of groups and columns from the root on, each before its members.
fn check_groups(children: &[i64]) -> Checked<()> {
    // Members that are still to come, of each group that is open.
    let mut open: Vec<u64> = Vec::new();
    for (at, &members) in children.iter().enumerate() {
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        let left = (children.len() - at - 1) as u64;
        let members = u64::try_from(members).ok().filter(|&members| members <= left);
        open.push(members.ok_or("a group with more members than the schema")?);
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > DEEPEST {
            return Err("groups within groups without end");
        }
    }
    Ok(())
}

/// Reads the sizes in the header of a page; [`CUT_OFF`] where there are not enough bytes.
pub(super) fn page_sizes(bytes: &[u8]) -> Checked<PageSizes> {
    let mut walk = Walk { bytes, at: 0 };
    let (mut compressed, mut uncompressed) = (0, 0);
    walk.fields(0, &mut |walk, field, kind, depth| {
        match (field, kind) {
            (COMPRESSED_SIZE, I32) => compressed = walk.zigzag()?,
            (UNCOMPRESSED_SIZE, I32) => uncompressed = walk.zigzag()?,
            _ => walk.skip(kind, depth)?,
        }
        Ok(())
    })?;
    let size = |size: i64| u64::try_from(size).map_err(|_| "a page of negative size");
    Ok(PageSizes {
        header: walk.at as u64,
        compressed: size(compressed)?,
        uncompressed: size(uncompressed)?,
    })
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Called with the number and type of a field, to read its value.
type Field<'a> = dyn FnMut(&mut Walk<'_>, i64, u8, usize) -> Checked<()> + 'a;

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn byte(&mut self) -> Checked<u8> {
        let byte = *self.bytes.get(self.at).ok_or(CUT_OFF)?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, count: u64) -> Checked<()> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(CUT_OFF);
        }
        self.at += count as usize;
        Ok(())
    }

    fn varint(&mut self) -> Checked<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of more than 64 bits")
    }

    fn zigzag(&mut self) -> Checked<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The number and type of the entries of a list. An entry takes a byte at least.
    fn list(&mut self) -> Checked<(u64, u8)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        if count > (self.bytes.len() - self.at) as u64 {
            return Err("a list of more entries than there are bytes");
        }
        Ok((count, head & 15))
    }

    /// Reads the fields of a structure that lies in `depth` others.
    fn fields(&mut self, depth: usize, read: &mut Field<'_>) -> Checked<()> {
        if depth > DEEPEST {
            return Err("structures within structures without end");
        }
        let mut number = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            number = match head >> 4 {
                0 => self.zigzag()?,
                step => number.wrapping_add(step.into()),
            };
            read(self, number, head & 15, depth + 1)?;
        }
    }

    /// Passes over the value of a field.
    fn skip(&mut self, kind: u8, depth: usize) -> Checked<()> {
        match kind {
            TRUE | FALSE => Ok(()),
            _ => self.skip_entry(kind, depth),
        }
    }

    /// Passes over an entry of a list, where a bool is a byte.
    fn skip_entry(&mut self, kind: u8, depth: usize) -> Checked<()> {
        match kind {
            TRUE | FALSE | I8 => self.pass(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.pass(8),
            BINARY => {
                let len = self.varint()?;
                self.pass(len)
            }
            LIST | SET => {
                let (count, entry) = self.list()?;
                self.entries(count, &[entry], depth)
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                self.entries(count, &[kinds >> 4, kinds & 15], depth)
            }
            STRUCT => self.fields(depth, &mut |walk, _, kind, depth| walk.skip(kind, depth)),
            _ => Err("a value of no type"),
        }
    }

    fn entries(&mut self, count: u64, kinds: &[u8], depth: usize) -> Checked<()> {
        if depth > DEEPEST {
            return Err("lists within lists without end");
        }
        for _ in 0..count {
            for &kind in kinds {
                self.skip_entry(kind, depth + 1)?;
            }
        }
        Ok(())
    }
}
