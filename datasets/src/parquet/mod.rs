//! Parquet: how its pages become the Arrow arrays that `columns` reads, and how it is written.
//!
//! | file | what it holds |
//! |---|---|
//! | `source` | opening a file: its magic, footer and claims, held against its length |
//! | `pages` | a look at every page before the library decodes it |
//! | `runs` | a look at values that are packed by runs or differences |
//! | `thrift`, `fields` | a look at footer and page headers before the library decodes them; what is in them |
//! | `write` | the writer |
//! | `table` | the writer of tables without vectors |
//!
//! The types are Parquet's own; the Arrow schema that some writers leave in the file is not
//! looked at. It says nothing that is needed here (a fixed-size list is a list whose rows happen
//! to agree, which is checked either way), and it is one parser less that bytes from elsewhere
//! reach. Memory is one batch and one page of each column; the library allocates a page by the
//! size in the page's header, which is below 2 GiB.

mod fields;
mod pages;
mod runs;
mod source;
mod table;
mod thrift;
mod write;

pub use table::{TableWriter, create_table};

pub(crate) use source::Source;
pub(crate) use write::create;
