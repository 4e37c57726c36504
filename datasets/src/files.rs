//! Several files as one input: those of a directory, or those that match a pattern.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use glob::MatchOptions;

use crate::VectorReader;
use crate::attributes::{AttributeField, SkippedColumn};
use crate::error::ReadError;
use crate::spec::Format;
use crate::table::{TableBatch, TableReader};
use crate::vectors::{Batch, Element, Shape};

/// How many file names an error lists.
const LISTED: usize = 8;

/// The files that an input stands for, in the order in which they are read, and their format.
pub(crate) struct Files {
    pub(crate) format: Format,
    pub(crate) files: Vec<PathBuf>,
    /// Whether the input is one file, and not a directory or pattern.
    pub(crate) is_one: bool,
}

impl Files {
    /// Finds the files of one of the formats `wanted`: `path` itself, or where it is a directory
    /// all of its files, or where there is no such file all that match it as a pattern; sorted by
    /// name. Hidden files and those that begin with `_` are left out, as Spark and Hadoop mark by
    /// them what is not data.
    pub(crate) fn find(path: &Path, wanted: &[Format]) -> Result<Self, ReadError> {
        if path.is_dir() {
            return Self::in_directory(path, wanted);
        }
        let pattern = path.to_str().filter(|path| path.contains(['*', '?', '[']));
        match pattern {
            Some(pattern) if !path.exists() => Self::matching(path, pattern, wanted),
            _ => {
                let format = Format::to_read(path, wanted)?;
                Ok(Self { format, files: vec![path.to_owned()], is_one: true })
            }
        }
    }

    fn in_directory(path: &Path, wanted: &[Format]) -> Result<Self, ReadError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(ReadError::io("read", path))? {
            let file = entry.map_err(ReadError::io("read", path))?.path();
            if !is_marker(&file) {
                files.push(file);
            }
        }
        files.sort();
        let all = files.clone();
        files.retain(|file| Format::of(file).is_some_and(|format| wanted.contains(&format)));
        files.retain(|file| file.is_file());
        let listed = if files.is_empty() { &all } else { &files };
        let found = format!("a directory of {}", names(listed));
        Self::of_one_format(path, files, wanted, found)
    }

    fn matching(path: &Path, pattern: &str, wanted: &[Format]) -> Result<Self, ReadError> {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        let matches = glob::glob_with(pattern, options).map_err(|e| {
            let found = format!("{} at character {}", e.msg, e.pos);
            ReadError::unsuitable(path, "a pattern of file names", found)
        })?;
        let mut files = Vec::new();
        for file in matches {
            let file = file.map_err(|e| {
                let path = e.path().to_owned();
                ReadError::io("read", &path)(e.into())
            })?;
            if file.is_file() && !is_marker(&file) {
                Format::to_read(&file, wanted)?;
                files.push(file);
            }
        }
        files.sort();
        let found = format!("matches of {}", names(&files));
        Self::of_one_format(path, files, wanted, found)
    }

    fn of_one_format(
        path: &Path,
        files: Vec<PathBuf>,
        wanted: &[Format],
        found: String,
    ) -> Result<Self, ReadError> {
        let format = files.first().and_then(|file| Format::of(file));
        match format.filter(|_| files.iter().all(|file| Format::of(file) == format)) {
            Some(format) => Ok(Self { format, files, is_one: false }),
            None => {
                let formats = Format::names(wanted);
                let expected = format!("files of one format, of {formats}");
                Err(ReadError::unsuitable(path, expected, found))
            }
        }
    }
}

/// Whether a name is that of a file which is not data: `.part-0.crc`, `_SUCCESS`.
fn is_marker(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '_']) || name.ends_with(".crc")
}

/// The names of files, for errors.
fn names(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "nothing".to_owned();
    }
    let names = files.iter().take(LISTED).filter_map(|file| file.file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
    let more = files.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// What has to be the same in all files.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schema {
    vectors: Option<(u32, Element)>,
    ids: bool,
    attributes: Vec<AttributeField>,
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vectors {
            Some((dim, element)) => write!(f, "rows of {dim} × {element}")?,
            None => f.write_str("rows")?,
        }
        f.write_str(if self.ids { " with ids" } else { " without ids" })?;
        let attributes: Vec<String> = self
            .attributes
            .iter()
            .map(|field| format!("`{}` ({})", field.name, field.kind))
            .collect();
        match &attributes[..] {
            [] => f.write_str(" and without attributes"),
            _ => write!(f, " and the attributes {}", attributes.join(", ")),
        }
    }
}

/// A reader of one of the files, of vectors or of a table.
pub(crate) trait Part {
    type Batch;
    fn schema(&self) -> Schema;
    fn rows(&self) -> u64;
    fn skipped(&self) -> &[SkippedColumn];
    fn next(&mut self, batch: &mut Self::Batch) -> Result<bool, ReadError>;
    fn first_row(batch: &mut Self::Batch) -> &mut u64;
}

impl Part for Box<dyn VectorReader> {
    type Batch = Batch;

    fn schema(&self) -> Schema {
        let Shape { dim, element, .. } = self.shape();
        let attributes = self.attributes().to_vec();
        Schema { vectors: Some((dim, element)), ids: self.has_ids(), attributes }
    }

    fn rows(&self) -> u64 {
        self.shape().rows
    }

    fn skipped(&self) -> &[SkippedColumn] {
        self.as_ref().skipped()
    }

    fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        self.next_batch(batch)
    }

    fn first_row(batch: &mut Batch) -> &mut u64 {
        &mut batch.first_row
    }
}

impl Part for Box<dyn TableReader> {
    type Batch = TableBatch;

    fn schema(&self) -> Schema {
        let attributes = self.attributes().to_vec();
        Schema { vectors: None, ids: self.has_ids(), attributes }
    }

    fn rows(&self) -> u64 {
        self.as_ref().rows()
    }

    fn skipped(&self) -> &[SkippedColumn] {
        self.as_ref().skipped()
    }

    fn next(&mut self, batch: &mut TableBatch) -> Result<bool, ReadError> {
        self.next_batch(batch)
    }

    fn first_row(batch: &mut TableBatch) -> &mut u64 {
        &mut batch.first_row
    }
}

/// Opens one of the files.
type OpenPart<R> = Box<dyn Fn(&Path) -> Result<R, ReadError> + Send>;

/// Reads files one after the other; one is open at a time.
pub(crate) struct Chain<R> {
    /// The input as it was given, for messages.
    path: PathBuf,
    /// The files that have rows, and how many.
    files: Vec<(PathBuf, u64)>,
    open: OpenPart<R>,
    schema: Schema,
    skipped: Vec<SkippedColumn>,
    rows: u64,
    current: Option<R>,
    next_file: usize,
    next_row: u64,
}

impl<R: Part> Chain<R> {
    /// Opens each of the files, of which there is at least one, and holds it against the first.
    fn new(path: &Path, found: Files, open: OpenPart<R>) -> Result<Self, ReadError> {
        let (mut files, mut rows) = (Vec::new(), 0_u64);
        let mut first: Option<(PathBuf, Schema, Vec<SkippedColumn>)> = None;
        let count = found.files.len();
        for (at, file) in found.files.into_iter().enumerate() {
            // Without rows, it would not say its dim. Where none has any, the last says so.
            let is_last = at + 1 == count && first.is_none();
            if !is_last && crate::has_no_rows(found.format, &file)? {
                continue;
            }
            let part = open(&file)?;
            let schema = part.schema();
            match &first {
                None => first = Some((file.clone(), schema, part.skipped().to_vec())),
                Some((_, same, _)) if *same == schema => {}
                Some((first, expected, _)) => {
                    let expected = format!("{expected}, as in {}", first.display());
                    return Err(ReadError::unsuitable(&file, expected, schema.to_string()));
                }
            }
            rows = rows.saturating_add(part.rows());
            files.push((file, part.rows()));
        }
        let Some((_, schema, skipped)) = first else {
            return Err(ReadError::unsuitable(path, "at least one file", "none"));
        };
        let path = path.to_owned();
        let (current, next_file, next_row) = (None, 0, 0);
        Ok(Self { path, files, open, schema, skipped, rows, current, next_file, next_row })
    }

    fn next(&mut self, batch: &mut R::Batch) -> Result<bool, ReadError> {
        loop {
            if let Some(part) = &mut self.current {
                if part.next(batch)? {
                    *R::first_row(batch) += self.next_row;
                    return Ok(true);
                }
                self.next_row += part.rows();
                self.current = None;
            }
            *R::first_row(batch) = self.next_row;
            let Some((file, rows)) = self.files.get(self.next_file) else { return Ok(false) };
            let part = (self.open)(file)?;
            if (part.schema(), part.rows()) != (self.schema.clone(), *rows) {
                let expected = format!("{rows} {}, as there were", self.schema);
                let found = format!("{} {}", part.rows(), part.schema());
                return Err(ReadError::unsuitable(file, expected, found));
            }
            self.current = Some(part);
            self.next_file += 1;
        }
    }
}

/// Chains files of vectors.
pub(crate) fn vectors(
    path: &Path,
    found: Files,
    open: impl Fn(&Path) -> Result<Box<dyn VectorReader>, ReadError> + Send + 'static,
) -> Result<Box<dyn VectorReader>, ReadError> {
    Ok(Box::new(Chain::new(path, found, Box::new(open))?))
}

/// Chains tables.
pub(crate) fn tables(
    path: &Path,
    found: Files,
    open: impl Fn(&Path) -> Result<Box<dyn TableReader>, ReadError> + Send + 'static,
) -> Result<Box<dyn TableReader>, ReadError> {
    Ok(Box::new(Chain::new(path, found, Box::new(open))?))
}

impl VectorReader for Chain<Box<dyn VectorReader>> {
    fn path(&self) -> &Path {
        &self.path
    }

    fn shape(&self) -> Shape {
        let (dim, element) = self.schema.vectors.unwrap_or((1, Element::F32));
        Shape { rows: self.rows, dim, element }
    }

    fn has_ids(&self) -> bool {
        self.schema.ids
    }

    fn attributes(&self) -> &[AttributeField] {
        &self.schema.attributes
    }

    fn skipped(&self) -> &[SkippedColumn] {
        &self.skipped
    }

    fn next_batch(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        self.next(batch)
    }
}

impl TableReader for Chain<Box<dyn TableReader>> {
    fn path(&self) -> &Path {
        &self.path
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn has_ids(&self) -> bool {
        self.schema.ids
    }

    fn attributes(&self) -> &[AttributeField] {
        &self.schema.attributes
    }

    fn skipped(&self) -> &[SkippedColumn] {
        &self.skipped
    }

    fn next_batch(&mut self, batch: &mut TableBatch) -> Result<bool, ReadError> {
        self.next(batch)
    }
}
