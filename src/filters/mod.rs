//! Attributes of items.
//!
//! | file | what |
//! |---|---|
//! | `columns.rs` | [`ColumnSchema`](columns::ColumnSchema), [`AttributeValue`](columns::AttributeValue): kinds and values; the bytes of a column section |
//! | `columns/builder.rs` | [`ColumnBuilder`](columns::ColumnBuilder): values in input order to a section |
//! | `columns/view.rs` | [`ColumnView`](columns::ColumnView): values out of a mapped section |

pub mod columns;
