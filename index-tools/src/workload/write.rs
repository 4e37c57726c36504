//! Writing the folder of a workload.

use std::io::{BufWriter, Write};
use std::path::Path;

use vicinage_datasets::{
    AttributeBatch, AttributeField, AttributeKind, AttributeValues, DistanceMatrix, I64ListColumn,
    IdMatrix, TableBatch, create_table, write_distances, write_ids,
};

use super::{
    EXCLUDED, EXCLUDED_COLUMN, FILTERS, Line, MANIFEST, MATCHES, Manifest, TRUTH_DISTANCES,
    TRUTH_IDS,
};
use crate::datasets::io;
use crate::exit::{Exit, Failure};

/// Ids of lists that are written together.
const IDS_AT_A_TIME: usize = 1 << 20;

/// All of a workload but the attributes.
pub(crate) struct Contents {
    pub(crate) manifest: Manifest,
    pub(crate) lines: Vec<Line>,
    /// One row for each query of each line, as the next two.
    pub(crate) truth: IdMatrix,
    pub(crate) distances: DistanceMatrix,
    pub(crate) matches: Vec<u64>,
    /// One list for each query of each line that has lists.
    pub(crate) excluded: Vec<Vec<u64>>,
}

/// Writes the files into a folder that has none of them, and gives their names.
pub(crate) fn write(folder: &Path, contents: &Contents) -> Result<Vec<&'static str>, Failure> {
    let path = folder.join(FILTERS);
    write_lines(&path, &contents.lines).map_err(|error| io("write", &path, &error))?;
    write_ids(&folder.join(TRUTH_IDS), &contents.truth)?;
    write_distances(&folder.join(TRUTH_DISTANCES), &contents.distances)?;
    let mut matches = IdMatrix::new(1);
    contents.matches.iter().for_each(|&count| matches.push(&[count]));
    write_ids(&folder.join(MATCHES), &matches)?;
    let mut names = vec![FILTERS, TRUTH_IDS, TRUTH_DISTANCES, MATCHES];
    if !contents.excluded.is_empty() {
        write_excluded(&folder.join(EXCLUDED), &contents.excluded)?;
        names.push(EXCLUDED);
    }
    let text = toml::to_string(&contents.manifest)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot write TOML: {error}")))?;
    let path = folder.join(MANIFEST);
    std::fs::write(&path, text).map_err(|error| io("write", &path, &error))?;
    names.push(MANIFEST);
    Ok(names)
}

fn write_lines(path: &Path, lines: &[Line]) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

fn write_excluded(path: &Path, lists: &[Vec<u64>]) -> Result<(), Failure> {
    let name = EXCLUDED_COLUMN.to_owned();
    let field = AttributeField { name: name.clone(), kind: AttributeKind::I64List };
    let mut writer = create_table(path, None, &[field])?;
    let (mut column, mut ids, mut first_row) = (I64ListColumn::default(), 0, 0);
    for (at, list) in lists.iter().enumerate() {
        let signed: Result<Vec<i64>, _> = list.iter().map(|&id| i64::try_from(id)).collect();
        let signed = signed.map_err(|_| {
            Failure::data("ids are too large for lists of them")
                .expected("ids below 2^63", list.iter().max().copied().unwrap_or(0).to_string())
        })?;
        column.push(Some(&signed));
        ids += list.len();
        if ids >= IDS_AT_A_TIME || at + 1 == lists.len() {
            let rows = column.len();
            let values = AttributeValues::I64List(std::mem::take(&mut column));
            let attributes = vec![AttributeBatch { name: name.clone(), values }];
            writer.write(&TableBatch { first_row, rows, ids: None, attributes })?;
            (ids, first_row) = (0, first_row + rows as u64);
        }
    }
    Ok(writer.finish()?)
}
