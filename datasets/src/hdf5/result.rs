//! The result files of ann-benchmarks, which its own `plot.py` and `data_export.py` read.

use std::path::Path;

use hdf5_pure::{AttrValue, FileBuilder};

use crate::error::WriteError;
use crate::matrix::{DistanceMatrix, IdMatrix};
use crate::output::Output;

/// One run of one algorithm with one set of parameters.
#[derive(Clone, Debug)]
pub struct AnnResult<'a> {
    /// The algorithm, which names a curve.
    pub algorithm: &'a str,
    /// The algorithm with its parameters, which names a point.
    pub name: &'a str,
    /// The set.
    pub dataset: &'a str,
    /// Its attribute `distance`: `euclidean`, `angular` …
    pub metric: &'a str,
    /// Neighbors asked for.
    pub count: u32,
    /// Seconds of the build.
    pub build_seconds: f64,
    /// Size of the index in KiB.
    pub index_kib: f64,
    /// Mean seconds a query in the best run.
    pub best_search_seconds: f64,
    /// Runs.
    pub run_count: u32,
    /// Distances computed for each query, on average.
    pub distances_per_query: f64,
    /// `[q]` seconds of each query.
    pub times: &'a [f32],
    /// `[q, count]` rows of the items.
    pub neighbors: &'a IdMatrix,
    /// `[q, count]` their distances as ann-benchmarks has them: Euclidean (not squared), 1 minus
    /// the cosine, minus the inner product.
    pub distances: &'a DistanceMatrix,
}

/// Writes a result file, whole or not at all. Cost: the file is held in memory.
///
/// # Errors
/// Matrices of another shape, ids beyond i32, or what the system refuses.
pub fn write_ann_result(path: &Path, result: &AnnResult<'_>) -> Result<(), WriteError> {
    let (queries, count) = (result.times.len(), result.count as usize);
    let shapes = [
        (result.neighbors.rows(), result.neighbors.k()),
        (result.distances.rows(), result.distances.k()),
    ];
    for (rows, k) in shapes {
        if (rows, k) != (queries, count) {
            let expected = format!("{queries} rows of {count}, one for each time");
            return Err(WriteError::mismatch(path, expected, format!("{rows} rows of {k}")));
        }
    }
    let mut neighbors = Vec::with_capacity(queries * count);
    for row in result.neighbors.iter() {
        for &id in row {
            neighbors.push(i32::try_from(id).map_err(|_| {
                WriteError::mismatch(path, format!("ids up to {}", i32::MAX), id.to_string())
            })?);
        }
        neighbors.resize(neighbors.len() + count - row.len(), -1);
    }
    let mut distances = Vec::with_capacity(queries * count);
    for row in result.distances.iter() {
        distances.extend_from_slice(row);
        distances.resize(distances.len() + count - row.len(), f32::INFINITY);
    }

    let mut file = FileBuilder::new();
    for (name, text) in [
        ("algo", result.algorithm),
        ("name", result.name),
        ("dataset", result.dataset),
        ("distance", result.metric),
    ] {
        file.set_attr(name, AttrValue::VarLenString(text.to_owned()));
    }
    for (name, value) in [
        ("batch_mode", 0),
        ("expect_extra", 0),
        ("count", result.count.into()),
        ("run_count", result.run_count.into()),
    ] {
        file.set_attr(name, AttrValue::I64(value));
    }
    for (name, value) in [
        ("build_time", result.build_seconds),
        ("index_size", result.index_kib),
        ("best_search_time", result.best_search_seconds),
        ("candidates", f64::from(result.count)),
        ("dist_comps", result.distances_per_query * queries as f64 * f64::from(result.run_count)),
    ] {
        file.set_attr(name, AttrValue::F64(value));
    }
    let shape = [queries as u64, count as u64];
    file.create_dataset("times").with_f32_data(result.times);
    file.create_dataset("neighbors").with_i32_data(&neighbors).with_shape(&shape);
    file.create_dataset("distances").with_f32_data(&distances).with_shape(&shape);
    let bytes = file
        .finish()
        .map_err(|e| WriteError::mismatch(path, "a result that HDF5 can hold", e.to_string()))?;
    let mut output = Output::create(path)?;
    output.put(&bytes)?;
    output.finish()
}
