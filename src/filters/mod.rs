//! Attributes of items, and what filters say of them.
//!
//! | file | what |
//! |---|---|
//! | `columns.rs` | [`ColumnSchema`](columns::ColumnSchema), [`AttributeValue`](columns::AttributeValue): kinds and values; the bytes of a column section |
//! | `columns/builder.rs` | [`ColumnBuilder`](columns::ColumnBuilder): values in input order to a section |
//! | `columns/view.rs` | [`ColumnView`](columns::ColumnView): values out of a mapped section |
//! | `indexes.rs` | [`ColumnIndex`](indexes::ColumnIndex): what makes a column fast to filter by |
//! | `indexes/postings.rs` | [`Postings`](indexes::Postings): the nodes of each text |
//! | `indexes/sorted.rs` | [`Sorted`](indexes::Sorted): the nodes by value |
//! | `nodes.rs` | [`NodeSet`](nodes::NodeSet): the items that pass |
//! | `error.rs` | [`FilterError`](error::FilterError): what is wrong with a filter, and where in it |
//! | `expression.rs` | [`Expression`](expression::Expression): the tree of a filter, and what it means |
//! | `expression/canonical.rs` | one form for what says the same |
//! | `expression/json.rs` | its JSON notation |
//! | `expression/text.rs` | its text notation: the grammar |
//! | `expression/text/tokens.rs` | words, numbers and texts, and what is said of those that do not fit |
//! | `expression/text/print.rs` | the text notation, written |
//! | `evaluate.rs` | [`Bound`](evaluate::Bound): an expression over columns, asked of one item after the other |
//! | `lookup.rs` | [`IdLookup`](lookup::IdLookup): nodes of items, by their ids |
//! | `select.rs` | [`Bound::select`](evaluate::Bound::select): all items that pass, from the indexes |
//! | `cache.rs` | [`FilterCache`](cache::FilterCache): what filters passed, for those who ask again |

pub mod cache;
pub mod columns;
pub mod error;
pub mod evaluate;
pub mod expression;
pub mod indexes;
pub mod lookup;
pub mod nodes;
pub mod select;
