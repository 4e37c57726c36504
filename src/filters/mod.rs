//! Attributes of items, and what filters say of them.
//!
//! | file | what |
//! |---|---|
//! | `columns.rs` | [`ColumnSchema`](columns::ColumnSchema), [`AttributeValue`](columns::AttributeValue): kinds and values; the bytes of a column section |
//! | `columns/builder.rs` | [`ColumnBuilder`](columns::ColumnBuilder): values in input order to a section |
//! | `columns/view.rs` | [`ColumnView`](columns::ColumnView): values out of a mapped section |
//! | `nodes.rs` | [`NodeSet`](nodes::NodeSet): the items that pass |
//! | `error.rs` | [`FilterError`](error::FilterError): what is wrong with a filter, and where in it |
//! | `expression.rs` | [`Expression`](expression::Expression): the tree of a filter, and what it means |
//! | `expression/json.rs` | its JSON notation |
//! | `evaluate.rs` | [`Bound`](evaluate::Bound): an expression over columns, asked of one item after the other |

pub mod columns;
pub mod error;
pub mod evaluate;
pub mod expression;
pub mod nodes;
