//! Parquet: a column of vectors, of ids, and of attributes, or attributes alone.
//!
//! | file | what it holds |
//! |---|---|
//! | `source` | opening a file: its magic, footer and claims, held against its length |
//! | `pages` | a look at every page before the library decodes it |
//! | `layout` | which columns are read as what |
//! | `decode` | from Arrow arrays to batches, with every check on the values |
//! | `read` | the readers of vectors and of tables |
//! | `write` | the writer |
//! | `table` | the writer of tables without vectors |
//!
//! The types are Parquet's own; the Arrow schema that some writers leave in the file is not
//! looked at. It says nothing that is needed here (a fixed-size list is a list whose rows happen
//! to agree, which is checked either way), and it is one parser less that bytes from elsewhere
//! reach. Memory is one batch and one page of each column; the library allocates a page by the
//! size in the page's header, which is below 2 GiB.

mod decode;
mod layout;
mod pages;
mod read;
mod source;
mod table;
mod write;

pub use read::{TableBatch, TableReader, open_table};
pub use table::{TableWriter, create_table};

pub(crate) use decode::{Place, list_of_unsigned, unsigned};
pub(crate) use read::open;
pub(crate) use source::Source;
pub(crate) use write::create;
