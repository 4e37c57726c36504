//! The metadata of a file that is written front to back: the superblock, the root group with its
//! attributes and links, and the header of each array, whose values follow in one piece each.
//! hdf5-pure would hold the values in memory until the file is complete.
//!
//! Layout: "HDF5 File Format Specification Version 3.0", with superblock version 2 and object
//! headers version 2, which HDF5 reads since 1.8.

use crate::flat::npy::Dtype;

/// "No address".
const NOWHERE: u64 = u64::MAX;
const SUPERBLOCK: usize = 48;
/// A heap of texts is no smaller than this.
const HEAP: usize = 4096;
/// Values begin at a multiple of this.
const ALIGN: u64 = 64;

/// Types of header messages.
const DATASPACE: u8 = 0x01;
const LINK_INFO: u8 = 0x02;
const DATATYPE: u8 = 0x03;
const FILL: u8 = 0x05;
const LINK: u8 = 0x06;
const LAYOUT: u8 = 0x08;
const GROUP_INFO: u8 = 0x0a;
const ATTRIBUTE: u8 = 0x0c;

/// An array of two dimensions.
pub(super) struct Entry<'a> {
    /// At most 255 bytes.
    pub(super) name: &'a str,
    pub(super) dtype: Dtype,
    pub(super) rows: u64,
    pub(super) columns: u32,
}

impl Entry<'_> {
    /// Bytes of the values.
    fn bytes(&self) -> u64 {
        self.rows * u64::from(self.columns) * self.dtype.size() as u64
    }
}

/// The value of an attribute of the file.
pub(super) enum Value<'a> {
    Text(&'a str),
    Integer(i64),
}

/// The metadata of a file, and how many zeros go before the values of each array, and behind the
/// last; the values follow it in the order of `entries`. Their bytes together fit 63 bits.
pub(super) fn metadata(entries: &[Entry], attributes: &[(&str, Value)]) -> (Vec<u8>, Vec<usize>) {
    // Lengths do not depend on addresses, so the first pass finds where everything is.
    let nowhere = vec![0; entries.len()];
    let root_len = root(entries, attributes, &nowhere, 0).len();
    let heap_at = (SUPERBLOCK + root_len).next_multiple_of(8);
    let heap = heap(attributes);
    let mut at = (heap_at + heap.len()) as u64;
    let mut headers = Vec::new();
    for entry in entries {
        headers.push(at);
        at += array(entry, 0).len() as u64;
    }
    let metadata_end = at;
    let mut gaps = Vec::new();
    let mut values = Vec::new();
    for entry in entries {
        let start = at.next_multiple_of(ALIGN);
        gaps.push((start - at) as usize);
        values.push(start);
        at = start + entry.bytes();
    }
    let mut bytes = superblock(at, SUPERBLOCK as u64);
    bytes.extend(root(entries, attributes, &headers, heap_at as u64));
    bytes.resize(heap_at, 0);
    bytes.extend(heap);
    for (entry, &values) in entries.iter().zip(&values) {
        bytes.extend(array(entry, values));
    }
    debug_assert_eq!(bytes.len() as u64, metadata_end);
    (bytes, gaps)
}

fn superblock(file_end: u64, root: u64) -> Vec<u8> {
    let mut bytes = b"\x89HDF\r\n\x1a\n".to_vec();
    // Version, bytes of an address and of a length, and that no writer is at work.
    bytes.extend([2, 8, 8, 0]);
    for address in [0, NOWHERE, file_end, root] {
        bytes.extend(address.to_le_bytes());
    }
    let sum = checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// Messages between the head and the checksum of an object header.
struct Header(Vec<u8>);

impl Header {
    fn add(&mut self, kind: u8, body: &[u8]) {
        self.0.push(kind);
        self.0.extend((body.len() as u16).to_le_bytes());
        // The type of an array may not be changed.
        self.0.push(u8::from(kind == DATATYPE));
        self.0.extend(body);
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = b"OHDR".to_vec();
        // Version 2, with a length of four bytes.
        bytes.extend([2, 2]);
        bytes.extend((self.0.len() as u32).to_le_bytes());
        bytes.extend(self.0);
        let sum = checksum(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }
}

/// The root group: links to `headers`, and attributes whose texts are in the heap at `heap`.
fn root(entries: &[Entry], attributes: &[(&str, Value)], headers: &[u64], heap: u64) -> Vec<u8> {
    let mut header = Header(Vec::new());
    let mut info = vec![0, 0];
    info.extend([NOWHERE.to_le_bytes(); 2].as_flattened());
    header.add(LINK_INFO, &info);
    header.add(GROUP_INFO, &[0, 0]);
    for (entry, address) in entries.iter().zip(headers) {
        // Version 1, with the character set: UTF-8.
        let mut link = vec![1, 0x10, 1, entry.name.len() as u8];
        link.extend(entry.name.as_bytes());
        link.extend(address.to_le_bytes());
        header.add(LINK, &link);
    }
    let mut texts = 0_u32;
    for (name, value) in attributes {
        let (datatype, data) = match value {
            Value::Integer(value) => (datatype(Dtype::I64), value.to_le_bytes().to_vec()),
            Value::Text(text) => {
                texts += 1;
                let mut data = (text.len() as u32).to_le_bytes().to_vec();
                data.extend(heap.to_le_bytes());
                data.extend(texts.to_le_bytes());
                (text_datatype(), data)
            }
        };
        // A dataspace of one value.
        let scalar = [2, 0, 0, 0];
        let mut attribute = vec![3, 0];
        for len in [name.len() + 1, datatype.len(), scalar.len()] {
            attribute.extend((len as u16).to_le_bytes());
        }
        attribute.push(0);
        attribute.extend(name.as_bytes());
        attribute.push(0);
        attribute.extend(datatype);
        attribute.extend(scalar);
        attribute.extend(data);
        header.add(ATTRIBUTE, &attribute);
    }
    header.finish()
}

/// The header of an array whose values are at `values`.
fn array(entry: &Entry, values: u64) -> Vec<u8> {
    let mut header = Header(Vec::new());
    let mut space = vec![2, 2, 0, 1];
    space.extend(entry.rows.to_le_bytes());
    space.extend(u64::from(entry.columns).to_le_bytes());
    header.add(DATASPACE, &space);
    header.add(DATATYPE, &datatype(entry.dtype));
    // Room is made late, and filled only with a value that somebody sets.
    header.add(FILL, &[3, 0x0a]);
    let mut layout = vec![3, 1];
    // An array without values has no place.
    let address = if entry.bytes() == 0 { NOWHERE } else { values };
    layout.extend(address.to_le_bytes());
    layout.extend(entry.bytes().to_le_bytes());
    header.add(LAYOUT, &layout);
    header.finish()
}

/// The type of little-endian numbers.
fn datatype(dtype: Dtype) -> Vec<u8> {
    let size = dtype.size() as u32;
    let bits = (size * 8) as u16;
    // Where the exponent begins, its bits, and its bias.
    let float = match dtype {
        Dtype::F16 => Some((10, 5, 15_u32)),
        Dtype::F32 => Some((23, 8, 127)),
        Dtype::F64 => Some((52, 11, 1023)),
        _ => None,
    };
    let is_signed = matches!(dtype, Dtype::I8 | Dtype::I32 | Dtype::I64);
    let mut bytes = match float {
        // The mantissa's first bit is not stored, and the sign is the last bit.
        Some(_) => vec![0x11, 0x20, (bits - 1) as u8, 0],
        None => vec![0x10, u8::from(is_signed) << 3, 0, 0],
    };
    bytes.extend(size.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(bits.to_le_bytes());
    if let Some((exponent, exponent_bits, bias)) = float {
        bytes.extend([exponent, exponent_bits, 0, exponent]);
        bytes.extend(bias.to_le_bytes());
    }
    bytes
}

/// The type of texts of any length, which is what Python reads as `str`.
fn text_datatype() -> Vec<u8> {
    let mut bytes = vec![0x19, 1, 1, 0];
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend(datatype(Dtype::U8));
    bytes
}

/// The heap of the texts among the attributes, which are numbered from 1.
fn heap(attributes: &[(&str, Value)]) -> Vec<u8> {
    let mut objects = Vec::new();
    let texts = attributes.iter().filter_map(|(_, value)| match value {
        Value::Text(text) => Some(text),
        Value::Integer(_) => None,
    });
    for (number, text) in (1_u16..).zip(texts) {
        objects.extend(number.to_le_bytes());
        objects.extend([0; 6]);
        objects.extend((text.len() as u64).to_le_bytes());
        objects.extend(text.as_bytes());
        objects.resize(objects.len().next_multiple_of(8), 0);
    }
    let head = 16;
    // Behind the objects, one of number 0 stands for the free bytes.
    let size = (head + objects.len() + 16).max(HEAP);
    let mut bytes = b"GCOL\x01\0\0\0".to_vec();
    bytes.extend((size as u64).to_le_bytes());
    bytes.extend(objects);
    let free = (size - bytes.len()) as u64;
    bytes.extend([0; 8]);
    bytes.extend(free.to_le_bytes());
    bytes.resize(size, 0);
    bytes
}

/// Bob Jenkins' lookup3, which is HDF5's checksum of metadata.
fn checksum(bytes: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let mut state = [start; 3];
    let add = |state: &mut [u32; 3], block: &[u8]| {
        for (at, &byte) in block.iter().enumerate() {
            let word = &mut state[at / 4];
            *word = word.wrapping_add(u32::from(byte) << (at % 4 * 8));
        }
    };
    let mut rest = bytes;
    while rest.len() > 12 {
        let (block, behind) = rest.split_at(12);
        add(&mut state, block);
        let [mut a, mut b, mut c] = state;
        for [one, two, three] in [[4, 6, 8], [16, 19, 4]] {
            a = a.wrapping_sub(c) ^ c.rotate_left(one);
            c = c.wrapping_add(b);
            b = b.wrapping_sub(a) ^ a.rotate_left(two);
            a = a.wrapping_add(c);
            c = c.wrapping_sub(b) ^ b.rotate_left(three);
            b = b.wrapping_add(a);
        }
        state = [a, b, c];
        rest = behind;
    }
    if rest.is_empty() {
        return state[2];
    }
    add(&mut state, rest);
    let [mut a, mut b, mut c] = state;
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}
