//! What every target does with its bytes: they are a file of one format, which is read to its end
//! in every role that the format has. It may be refused; it may not panic, hang, or take more than
//! twice its length and 64 MiB of memory.

use std::fs;
use std::path::Path;

use vicinage_datasets::{InputSpec, describe_hdf5};

#[path = "../tests/common/allocator.rs"]
mod allocator;
#[path = "../datasets/tests/common/roles.rs"]
mod roles;

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
    let ((), asked) = allocator::asked(|| {
        roles::read_all(&InputSpec::from(path.clone()));
        let _ = describe_hdf5(&path);
    });
    let bound = 2 * bytes.len() + (64 << 20);
    assert!(asked.peak as usize <= bound, "{} bytes for an input of {}", asked.peak, bytes.len());
}
