//! The structures of Parquet's metadata: numbers and types of their fields, as `parquet.thrift` of
//! the format has them. What is not here (encryption) is passed over.

/// The type of a field, or of the entries of a list.
pub(super) enum Value {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List(&'static Value),
    Struct(&'static [(i16, Value)]),
    /// An element of the schema.
    Column(&'static [(i16, Value)]),
    /// `num_children` of an element of the schema.
    Members,
    /// The sizes of a page.
    Compressed,
    Uncompressed,
}

use Value::{
    Binary, Bool, Column, Compressed, Double, I8, I16, I32, I64, List, Members, Struct,
    Uncompressed,
};

const NOTHING: Value = Struct(&[]);

/// `FileMetaData`.
pub(super) const FILE: &[(i16, Value)] = &[
    (1, I32),
    (2, List(&Column(SCHEMA_ELEMENT))),
    (3, I64),
    (4, List(&Struct(ROW_GROUP))),
    (5, List(&Struct(KEY_VALUE))),
    (6, Binary),
    (7, List(&Struct(&[(1, NOTHING)]))),
];

const SCHEMA_ELEMENT: &[(i16, Value)] = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, Members),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, Struct(LOGICAL_TYPE)),
];

const LOGICAL_TYPE: &[(i16, Value)] = &[
    (1, NOTHING),
    (2, NOTHING),
    (3, NOTHING),
    (4, NOTHING),
    (5, Struct(&[(1, I32), (2, I32)])),
    (6, NOTHING),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, I8), (2, Bool)])),
    (11, NOTHING),
    (12, NOTHING),
    (13, NOTHING),
    (14, NOTHING),
    (15, NOTHING),
    (16, Struct(&[(1, I8)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, I32)])),
];

const TIME: Value = Struct(&[(1, Bool), (2, Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]))]);

const ROW_GROUP: &[(i16, Value)] = &[
    (1, List(&Struct(COLUMN_CHUNK))),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (6, I64),
    (7, I16),
];

const COLUMN_CHUNK: &[(i16, Value)] =
    &[(1, Binary), (2, I64), (3, Struct(COLUMN_METADATA)), (4, I64), (5, I32), (6, I64), (7, I32)];

const COLUMN_METADATA: &[(i16, Value)] = &[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&Struct(KEY_VALUE))),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, Struct(STATISTICS)),
    (13, List(&Struct(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
    (17, Struct(&[(1, Struct(BOX)), (2, List(&I32))])),
];

const BOX: &[(i16, Value)] = &[
    (1, Double),
    (2, Double),
    (3, Double),
    (4, Double),
    (5, Double),
    (6, Double),
    (7, Double),
    (8, Double),
];

const KEY_VALUE: &[(i16, Value)] = &[(1, Binary), (2, Binary)];

const STATISTICS: &[(i16, Value)] = &[
    (1, Binary),
    (2, Binary),
    (3, I64),
    (4, I64),
    (5, Binary),
    (6, Binary),
    (7, Bool),
    (8, Bool),
    (9, I64),
];

/// `PageHeader`.
pub(super) const PAGE: &[(i16, Value)] = &[
    (1, I32),
    (2, Uncompressed),
    (3, Compressed),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, Struct(STATISTICS))])),
    (6, NOTHING),
    (7, Struct(&[(1, I32), (2, I32), (3, Bool)])),
    (
        8,
        Struct(&[
            (1, I32),
            (2, I32),
            (3, I32),
            (4, I32),
            (5, I32),
            (6, I32),
            (7, Bool),
            (8, Struct(STATISTICS)),
        ]),
    ),
];
