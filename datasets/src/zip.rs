//! Writes the frame of a zip file that has one member, stored. Sizes are written in the 64-bit
//! form always, so that what is known only at the end fits where the header left room for it.
//! Layout: PKWARE's APPNOTE, sections 4.3 and 4.5.3.

use flate2::Crc;

/// The version that a reader needs for 64-bit sizes: 4.5.
const VERSION: u16 = 45;
/// 1980-01-01, the first day that there is, so that equal arrays make equal files.
const DATE: u16 = 0x21;
/// In place of a size or an offset: it is found in the 64-bit form.
const ELSEWHERE: u32 = u32::MAX;

/// The one member, as far as it is written.
#[derive(Debug)]
pub(crate) struct ZipMember {
    name: Vec<u8>,
    size: u64,
    crc: Crc,
}

impl ZipMember {
    /// No bytes yet. `name` is no longer than a column's name is, and cut off at 64 KiB.
    pub(crate) fn new(name: &str) -> Self {
        let mut name = name.as_bytes().to_vec();
        name.truncate(usize::from(u16::MAX));
        Self { name, size: 0, crc: Crc::new() }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// What comes before the member: of the same length whatever the member holds.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut header = b"PK\x03\x04".to_vec();
        header.extend(VERSION.to_le_bytes());
        self.common(&mut header);
        header.extend(&self.name);
        self.sizes(&mut header);
        header
    }

    /// What comes after the member: the directory of one entry, and where it is.
    pub(crate) fn directory(&self) -> Vec<u8> {
        let start = self.header().len() as u64 + self.size;
        let mut bytes = b"PK\x01\x02".to_vec();
        bytes.extend([VERSION; 2].map(u16::to_le_bytes).as_flattened());
        self.common(&mut bytes);
        // Comment, disk, two of attributes, and the header's offset: all zero.
        bytes.extend([0; 14]);
        bytes.extend(&self.name);
        self.sizes(&mut bytes);
        let len = bytes.len() as u64;

        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([VERSION; 2].map(u16::to_le_bytes).as_flattened());
        bytes.extend([0; 8]);
        bytes.extend([1, 1, len, start].map(u64::to_le_bytes).as_flattened());
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend((start + len).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([1_u16; 2].map(u16::to_le_bytes).as_flattened());
        bytes.extend([ELSEWHERE; 2].map(u32::to_le_bytes).as_flattened());
        bytes.extend([0; 2]);
        bytes
    }

    /// From the flags to the lengths of name and sizes.
    fn common(&self, bytes: &mut Vec<u8>) {
        // The flag says that the name is UTF-8; method 0 is stored; midnight.
        bytes.extend([1 << 11, 0, 0, DATE].map(u16::to_le_bytes).as_flattened());
        bytes.extend([self.crc.sum(), ELSEWHERE, ELSEWHERE].map(u32::to_le_bytes).as_flattened());
        bytes.extend([self.name.len() as u16, 20].map(u16::to_le_bytes).as_flattened());
    }

    /// The size and the packed size, which is the same.
    fn sizes(&self, bytes: &mut Vec<u8>) {
        bytes.extend([1_u16, 16].map(u16::to_le_bytes).as_flattened());
        bytes.extend([self.size; 2].map(u64::to_le_bytes).as_flattened());
    }
}
