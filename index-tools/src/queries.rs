//! Query vectors, held whole as f32.

use std::io::Read;

use vicinage_datasets::{Batch, Format, InputSpec, ReadOptions, VectorReader, open};

use crate::exit::Failure;

/// Most queries that a calibration asks: more of them cost time and say little more.
pub(crate) const CALIBRATED: usize = 2_000;

/// Most queries that an index learns from: time and gain grow with them, and the gain ever less.
pub(crate) const LEARNED: usize = 50_000;

/// Queries `[rows, dim]`, row-major.
pub(crate) struct Queries {
    pub(crate) vectors: Vec<f32>,
    pub(crate) dim: usize,
}

impl Queries {
    /// Reads all rows of a file of vectors.
    pub(crate) fn read(spec: &InputSpec) -> Result<Self, Failure> {
        let mut reader = open(&or_array(spec, "test"), &ReadOptions::without_attributes())?;
        let dim = reader.shape().dim as usize;
        let mut vectors = Vec::new();
        let mut batch = Batch::default();
        while reader.next_batch(&mut batch)? {
            vectors.extend_from_slice(&batch.to_f32()?);
        }
        if vectors.is_empty() {
            return Err(Failure::data(format!("{spec} holds no vectors"))
                .expected("at least one query", "0 rows"));
        }
        Ok(Self { vectors, dim })
    }

    /// Reads at most so many queries, evenly spread over the file. Also how many that has.
    pub(crate) fn spread(spec: &InputSpec, most: usize) -> Result<(Self, usize), Failure> {
        let mut queries = Self::read(spec)?;
        let rows = queries.rows();
        if rows > most {
            let spread = |at| queries.row(at * rows / most);
            queries.vectors = (0..most).flat_map(spread).copied().collect();
        }
        Ok((queries, rows))
    }

    pub(crate) fn rows(&self) -> usize {
        self.vectors.len() / self.dim
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.vectors[row * self.dim..][..self.dim]
    }

    /// Checks that the queries can be asked of vectors of `dim` components.
    pub(crate) fn check_dim(&self, spec: &InputSpec, dim: usize, of: &str) -> Result<(), Failure> {
        check_dim(spec, self.dim, dim, of)
    }
}

fn check_dim(spec: &InputSpec, found: usize, dim: usize, of: &str) -> Result<(), Failure> {
    if found == dim {
        return Ok(());
    }
    Err(Failure::data(format!("{spec} cannot be asked of {of}"))
        .expected(format!("vectors of {dim} components"), found.to_string()))
}

/// Opens queries to be read batch by batch, and checks that they can be asked of the vectors of
/// `items`. In a file that has items and queries they are `array`, where none is named.
pub(crate) fn open_queries(
    spec: &InputSpec,
    array: &str,
    items: &dyn VectorReader,
    of: &InputSpec,
) -> Result<Box<dyn VectorReader>, Failure> {
    let reader = open(&or_array(spec, array), &ReadOptions::without_attributes())?;
    check_dim(spec, reader.shape().dim as usize, items.shape().dim as usize, &of.to_string())?;
    Ok(reader)
}

/// An input, or `array` of it where it is a file of several arrays and none is named.
fn or_array(spec: &InputSpec, array: &str) -> InputSpec {
    let mut spec = spec.clone();
    if spec.column.is_none() && Format::of(&spec.path) == Some(Format::Hdf5) {
        spec.column = Some(array.to_owned());
    }
    spec
}

/// A vector written as numbers with commas or spaces between them, in brackets or not.
pub(crate) fn parse_vector(text: &str) -> Result<Vec<f32>, Failure> {
    let separator = |c: char| c == ',' || c.is_whitespace();
    let numbers = text.trim().trim_start_matches('[').trim_end_matches(']');
    let mut vector = Vec::new();
    for number in numbers.split(separator).filter(|number| !number.is_empty()) {
        match number.parse::<f32>() {
            Ok(value) if value.is_finite() => vector.push(value),
            _ => {
                return Err(Failure::usage("the vector cannot be read")
                    .at(format!("component {}", vector.len()))
                    .expected("a finite number", format!("{number:?}")));
            }
        }
    }
    if vector.is_empty() {
        return Err(Failure::usage("the vector is empty")
            .expected("numbers, such as 0.1,-0.2,0.3", format!("{:?}", text.trim())));
    }
    Ok(vector)
}

/// A vector from standard input, up to its end.
pub(crate) fn vector_from_stdin() -> Result<Vec<f32>, Failure> {
    /// The numbers of a vector of the largest dimension, generously.
    const MOST: u64 = 32 << 20;
    let mut text = String::new();
    std::io::stdin().lock().take(MOST).read_to_string(&mut text)?;
    parse_vector(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_read_in_every_usual_notation() {
        for text in ["1,-2.5,3e-1", "[1, -2.5, 3e-1]\n", "1 -2.5\t3e-1", "1,\n-2.5,\n0.3,"] {
            assert_eq!(parse_vector(text).unwrap(), [1.0, -2.5, 0.3], "{text:?}");
        }
        for text in ["", "[]", "1,x", "1,nan", "1,inf", "1;2", "1e99"] {
            assert!(parse_vector(text).is_err(), "{text:?}");
        }
    }
}
