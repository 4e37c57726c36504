//! A look at Thrift structures before the library decodes them. parquet 60.1 sets memory aside for
//! as many entries as a list or a group says that it has, recurses as deep as groups are nested,
//! unpacks a page into as many bytes as its header says, and reads a field of another type as if it
//! were of its own, and so from there on other things than are there (found by fuzzing).
//!
//! Thrift's compact protocol: a structure is fields up to a zero byte, a field is a byte with its
//! type and the step from the number of the field before, then the value; numbers are varints.
//! What the structures are is in `fields`.

use crate::parquet::fields::{FILE, PAGE, Value};

/// Structures in structures, and groups in groups.
const DEEPEST: usize = 64;

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

/// Checks the metadata of a file: fields of the types that they have to be, lists that have as many
/// entries as they say, a schema whose groups have as many members as they say.
pub(super) fn check_footer(bytes: &[u8]) -> Checked<()> {
    let mut walk = Walk::new(bytes);
    walk.structure(FILE, 0)?;
    check_groups(&walk.members)
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
    let mut walk = Walk::new(bytes);
    walk.structure(PAGE, 0)?;
    let size = |size: i64| u64::try_from(size).map_err(|_| "a page of negative size");
    Ok(PageSizes {
        header: walk.at as u64,
        compressed: size(walk.compressed)?,
        uncompressed: size(walk.uncompressed)?,
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

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Of each element of the schema, how many members it says that it has.
    members: Vec<i64>,
    /// Sizes that a page header has.
    compressed: i64,
    uncompressed: i64,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, members: Vec::new(), compressed: 0, uncompressed: 0 }
    }
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

    /// Reads a structure of these fields that lies in `depth` others. Fields of other numbers are
    /// passed over, as the library does.
    fn structure(&mut self, fields: &[(i16, Value)], depth: usize) -> Checked<()> {
        self.fields(depth, |walk, number, kind, depth| {
            match fields.iter().find(|(known, _)| *known == number) {
                Some((_, value)) => walk.value(value, kind, depth),
                None => walk.skip(kind, depth),
            }
        })
    }

    /// Reads a value, which has to be of its type.
    fn value(&mut self, value: &Value, kind: u8, depth: usize) -> Checked<()> {
        let fits = match value {
            Value::Bool => matches!(kind, TRUE | FALSE),
            Value::I8 => kind == I8,
            Value::I16 => kind == I16,
            Value::I32 | Value::Members | Value::Compressed | Value::Uncompressed => kind == I32,
            Value::I64 => kind == I64,
            Value::Double => kind == DOUBLE,
            Value::Binary => kind == BINARY,
            Value::List(_) => kind == LIST,
            Value::Column(_) | Value::Struct(_) => kind == STRUCT,
        };
        if !fits {
            return Err("a field of another type than it has to be");
        }
        match value {
            Value::Members => {
                let members = self.zigzag()?;
                if let Some(last) = self.members.last_mut() {
                    *last = members;
                }
                Ok(())
            }
            Value::Compressed => self.zigzag().map(|size| self.compressed = size),
            Value::Uncompressed => self.zigzag().map(|size| self.uncompressed = size),
            Value::Column(fields) => {
                self.members.push(0);
                self.structure(fields, depth)
            }
            Value::Struct([]) => match self.byte()? {
                0 => Ok(()),
                _ => Err("something in a structure of nothing"),
            },
            Value::Struct(fields) => self.structure(fields, depth),
            Value::List(entry) => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.value(entry, kind, depth + 1))
            }
            _ => self.skip(kind, depth),
        }
    }

    /// Reads the fields of a structure that lies in `depth` others.
    fn fields(
        &mut self,
        depth: usize,
        mut read: impl FnMut(&mut Self, i16, u8, usize) -> Checked<()>,
    ) -> Checked<()> {
        if depth > DEEPEST {
            return Err("structures within structures without end");
        }
        const NUMBER: &str = "a field whose number is beyond 16 bits";
        let mut number = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            number = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| NUMBER)?,
                step => number.checked_add(step.into()).ok_or(NUMBER)?,
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
            STRUCT => self.structure(&[], depth),
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
