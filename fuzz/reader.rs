//! What every target does with its bytes: they are a file of one format, which is read to its end
//! in every role that the format has. It may be refused; it may not panic, hang, or take more than
//! twice its length and 64 MiB of memory.

use std::fs;
use std::path::Path;

use vicinage_datasets::{
    Batch, InputSpec, ReadOptions, TableBatch, describe_hdf5, open, open_table, read_distances,
    read_ids, read_relevance, read_runbook, read_sparse,
};

#[path = "../tests/common/allocator.rs"]
mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Reads `bytes` as a file with this extension.
pub fn read(extension: &str, bytes: &[u8]) {
    thread_local! {
        // In memory where the system has it: a fuzzer writes many thousand files a second.
        static FOLDER: tempfile::TempDir = {
            let shm = Path::new("/dev/shm");
            let folder = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
            tempfile::tempdir_in(folder).expect("a temporary folder")
        };
    }
    let path = FOLDER.with(|folder| folder.path().join(format!("input.{extension}")));
    fs::write(&path, bytes).expect("a temporary file");
    let ((), asked) = allocator::asked(|| read_all(&InputSpec::from(path)));
    let bound = 2 * bytes.len() + (64 << 20);
    assert!(asked.peak as usize <= bound, "{} bytes for an input of {}", asked.peak, bytes.len());
}

fn read_all(input: &InputSpec) {
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
    let _ = describe_hdf5(&input.path);
}
