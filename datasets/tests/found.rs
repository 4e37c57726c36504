//! Files that fuzzing found: each once made a reader panic, or take much more memory than its
//! length allows. They are refused now, within twice their length and 64 MiB.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/common/allocator.rs"]
#[allow(unreachable_pub, reason = "other tests have it in a module of theirs")]
mod allocator;
#[path = "common/roles.rs"]
mod roles;

use std::fs;
use std::path::Path;

use vicinage_datasets::InputSpec;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

#[test]
fn what_fuzzing_found_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/found");
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let len = fs::metadata(&path).unwrap().len();
        // Refused or not is the business of other tests.
        let ((), asked) = allocator::asked(|| {
            roles::read_all(&InputSpec::from(path.clone()));
            #[cfg(feature = "hdf5")]
            let _ = vicinage_datasets::describe_hdf5(&path);
        });
        let most = 2 * len + (64 << 20);
        assert!(asked.peak as u64 <= most, "{}: {} bytes", path.display(), asked.peak);
        files += 1;
    }
    assert!(files >= 3);
}
