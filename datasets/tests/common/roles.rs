//! Reading a file in every role that a file can have; shared with the fuzz targets.

use vicinage_datasets::{
    Batch, InputSpec, ReadOptions, TableBatch, open, open_table, read_distances, read_ids,
    read_relevance, read_runbook, read_sparse,
};

/// Reads to the end, or to the refusal.
pub(crate) fn read_all(input: &InputSpec) {
    let options = ReadOptions::default();
    if let Ok(mut reader) = open(input, &options) {
        let mut batch = Batch::default();
        while let Ok(true) = reader.next_batch(&mut batch) {
            assert_eq!(batch.vectors.len(), batch.rows * batch.dim);
        }
    }
    if let Ok(mut reader) = open_table(&input.path, &options) {
        let mut batch = TableBatch::default();
        while let Ok(true) = reader.next_batch(&mut batch) {}
    }
    let _ = read_ids(input);
    let _ = read_distances(input);
    let _ = read_sparse(&input.path);
    let _ = read_relevance(&input.path, 5);
    let _ = read_runbook(&input.path, None);
}
