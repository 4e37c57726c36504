//! Reading the folder of a workload. It may be anybody's: everything is held against everything.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use vicinage_datasets::{
    AttributeColumns, AttributeValues, I64ListColumn, ReadOptions, TableBatch, open_table, read_ids,
};

use super::{
    EXCLUDED, EXCLUDED_COLUMN, FILTERS, Line, MANIFEST, MATCHES, Manifest, SCHEMA, TRUTH_IDS,
    Workload,
};
use crate::datasets::io;
use crate::exit::Failure;

/// The longest manifest.
const MOST_MANIFEST: u64 = 4 << 20;
/// The most bytes of filters.
pub(crate) const FILTER_BYTES: u64 = 1 << 30;
/// The most groups: figures of more are read by nobody.
const MOST_GROUPS: usize = 1000;

impl Workload {
    /// Reads a folder, and checks that its parts belong together.
    pub(crate) fn read(dir: &Path) -> Result<Self, Failure> {
        let manifest = read_manifest(&dir.join(MANIFEST))?;
        let path = dir.join(FILTERS);
        let lines = parse_lines(&path, &read_text(&path, FILTER_BYTES)?, &manifest)?;
        let truth_path = dir.join(TRUTH_IDS);
        let truth = read_ids(&truth_path.clone().into())?;
        let matches_path = dir.join(MATCHES);
        let matches = read_ids(&matches_path.clone().into())?;
        let mut starts = Vec::with_capacity(lines.len());
        let mut pairs = 0;
        for line in &lines {
            starts.push(pairs);
            pairs += line.queries.len();
        }
        for (path, rows) in [(&truth_path, truth.rows()), (&matches_path, matches.rows())] {
            if rows != pairs {
                let expected = format!("{pairs} rows, one for each query of each line");
                return Err(unfit(path).expected(expected, rows.to_string()));
            }
        }
        let excluded = match lines.iter().any(|line| line.excluded.is_some()) {
            true => read_excluded(&dir.join(EXCLUDED))?,
            false => I64ListColumn::default(),
        };
        let mut workload = Self {
            dir: dir.to_owned(),
            manifest,
            lines,
            starts,
            truth,
            matches: Vec::with_capacity(pairs),
            excluded,
        };
        for row in 0..pairs {
            workload.matches.push(matches.row(row).first().copied().unwrap_or(0));
        }
        workload.check(&truth_path, &path)?;
        Ok(workload)
    }

    /// Holds the truth against the numbers of matches, and the lines against the lists.
    fn check(&self, truth: &Path, filters: &Path) -> Result<(), Failure> {
        let Manifest { k, n, .. } = self.manifest;
        for (row, &matches) in self.matches.iter().enumerate() {
            let (expected, found) = (matches.min(k), self.truth.row(row).len() as u64);
            if matches > n || expected != found {
                let expected = format!("{expected} neighbors, of {matches} items of {n} that pass");
                return Err(unfit(truth)
                    .at(format!("row {row}"))
                    .expected(expected, found.to_string()));
            }
        }
        for (at, line) in self.lines.iter().enumerate() {
            let end = line.excluded.map(|first| first.saturating_add(line.queries.len() as u64));
            if end.is_some_and(|end| end > self.excluded.len() as u64) {
                let expected = format!("rows of {EXCLUDED}, which has {}", self.excluded.len());
                let found = format!("up to {}", end.unwrap_or(0));
                return Err(unfit(filters).at(place(at)).expected(expected, found));
            }
        }
        match self.groups().count() {
            0..=MOST_GROUPS => Ok(()),
            count => {
                Err(unfit(filters)
                    .expected(format!("at most {MOST_GROUPS} groups"), count.to_string()))
            }
        }
    }
}

/// A file of a workload that is not what it has to be.
fn unfit(path: &Path) -> Failure {
    Failure::data(format!("{} is not of a workload", path.display()))
}

/// Blank lines are refused, so that this is also the number that editors show.
pub(crate) fn place(line: usize) -> String {
    format!("line {}", line + 1)
}

/// A text file of at most `most` bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| io("open", path, &error))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| io("read", path, &error))?;
    if bytes.len() as u64 > most {
        return Err(unfit(path).expected(format!("at most {most} bytes"), "more"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unfit(path).at(format!("byte {at}")).expected("UTF-8 text", "other bytes")
    })
}

fn read_manifest(path: &Path) -> Result<Manifest, Failure> {
    #[derive(serde::Deserialize)]
    struct Version {
        schema: u32,
    }
    let text = read_text(path, MOST_MANIFEST)?;
    let refused = |error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count());
        unfit(path).at(place(line)).detail("error", error.message())
    };
    let Version { schema } = toml::from_str(&text).map_err(refused)?;
    if schema != SCHEMA {
        return Err(unfit(path).expected(format!("schema {SCHEMA}"), schema.to_string()));
    }
    toml::from_str(&text).map_err(refused)
}

fn parse_lines(path: &Path, text: &str, manifest: &Manifest) -> Result<Vec<Line>, Failure> {
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| parse_line(path, at, line, manifest)).collect()
}

fn parse_line(path: &Path, at: usize, text: &str, manifest: &Manifest) -> Result<Line, Failure> {
    let unfit = || unfit(path).at(place(at));
    let line: Line =
        serde_json::from_str(text).map_err(|error| unfit().detail("error", error.to_string()))?;
    line.expression()
        .map_err(|error| error.about(&format!("{}, {}", path.display(), place(at))))?;
    if !(line.selectivity > 0.0 && line.selectivity <= 1.0) {
        return Err(unfit().expected("a selectivity up to 1", line.selectivity.to_string()));
    }
    if line.shape.is_empty() || line.queries.is_empty() {
        return Err(unfit().expected("a shape and at least one query", "none"));
    }
    match line.queries.iter().find(|&&query| u64::from(query) >= manifest.queries) {
        None => Ok(line),
        Some(query) => {
            Err(unfit().expected(format!("queries below {}", manifest.queries), query.to_string()))
        }
    }
}

fn read_excluded(path: &Path) -> Result<I64ListColumn, Failure> {
    let attributes = AttributeColumns::Named(vec![EXCLUDED_COLUMN.to_owned()]);
    let mut reader = open_table(path, &ReadOptions { attributes, ..ReadOptions::default() })?;
    let (mut batch, mut lists) = (TableBatch::default(), I64ListColumn::default());
    while reader.next_batch(&mut batch)? {
        let Some(AttributeValues::I64List(column)) = batch.attributes.first().map(|a| &a.values)
        else {
            return Err(unfit(path).expected("lists of integers", "another column"));
        };
        for row in 0..column.len() {
            let list = column.get(row).filter(|list| list.iter().all(|&id| id >= 0));
            let Some(list) = list else {
                let at = format!("row {}", batch.first_row + row as u64);
                return Err(unfit(path).at(at).expected("a list of ids from 0", "another value"));
            };
            lists.push(Some(list));
        }
    }
    Ok(lists)
}
