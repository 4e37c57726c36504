//! `--ann-benchmarks-out`: the same points as result files of ann-benchmarks, in the folders in
//! which that project looks for them.

use std::path::Path;

use vicinage::types::Metric;
use vicinage_datasets::{AnnResult, DistanceMatrix, IdMatrix, write_ann_result};

use crate::ann;
use crate::exit::Failure;
use crate::measure::Answers;
use crate::results::{Params, Point};

/// Writes `DIR/dataset/k/engine/parameters.hdf5`; `times` has the seconds of each query.
pub(crate) fn write(
    folder: &Path,
    point: &Point,
    metric: Metric,
    answers: &Answers,
    times: &[f32],
) -> Result<(), Failure> {
    let k = point.k as usize;
    let (mut neighbors, mut distances) = (IdMatrix::new(k), DistanceMatrix::new(k));
    for query in 0..times.len() {
        neighbors.push(answers.ids(query, k));
        let theirs = answers.distances(query, k).iter().map(|&d| ann::distance(metric, d));
        distances.push(&theirs.collect::<Vec<_>>());
    }
    let parameters = format!("{} {}", listed(&point.build), listed(&point.search));
    let result = AnnResult {
        algorithm: &point.engine,
        name: &format!("{} ({parameters})", point.engine),
        dataset: &point.dataset,
        metric: ann::metric_name(metric),
        count: point.k as u32,
        build_seconds: point.build_seconds.unwrap_or(0.0),
        index_kib: point.index_bytes_per_vector.unwrap_or(0.0) * point.n as f64 / 1024.0,
        best_search_seconds: 1.0 / point.qps.max(1e-9),
        run_count: point.qps_rounds.len() as u32,
        distances_per_query: point.distances_per_query.unwrap_or(0.0),
        times,
        neighbors: &neighbors,
        distances: &distances,
    };
    let folder = folder.join(&point.dataset).join(point.k.to_string()).join(&point.engine);
    std::fs::create_dir_all(&folder)?;
    let name: String = parameters
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    Ok(write_ann_result(&folder.join(format!("{name}.hdf5")), &result)?)
}

fn listed(params: &Params) -> String {
    let set = params.iter().filter(|(_, value)| !value.is_null());
    let pairs = set.map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"')));
    pairs.collect::<Vec<_>>().join(" ")
}
