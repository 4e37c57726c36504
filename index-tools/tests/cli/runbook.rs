//! `datasets generate runbook` and `truth --runbook`.

use vicinage_datasets::{IdMatrix, Update, read_distances, read_ids, read_runbook};

use crate::support::{DIM, N, components, inputs, run, write_vectors};

const GENERATE: &str = "datasets generate runbook --n 1500 --rounds 8 --clusters 4";
const TRUTH: &str = "truth --runbook book.yaml --input items.npy --queries queries.npy";

#[test]
fn a_runbook_is_made_and_has_its_truth() {
    let dir = inputs();
    for kind in ["sliding-window", "expiration", "mixed"] {
        let words = format!("{GENERATE} --kind {kind} --name items --overwrite --out book.yaml");
        run(dir.path(), &words).ok().says(&["book.yaml", kind, "searches", "at most"]);
        let runbook = read_runbook(&dir.path().join("book.yaml"), None).unwrap();
        assert_eq!(runbook.name(), "items");
        let words = format!("{TRUTH} --set items --metric l2 --k 7 --out {kind} --threads 2");
        run(dir.path(), &words).ok().says(&[kind, "items, ", "7 each"]);
        let folder = dir.path().join(kind);
        let searches: Vec<usize> = (1..)
            .zip(runbook.steps())
            .filter(|(_, step)| **step == Update::Search)
            .map(|(number, _)| number)
            .collect();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), searches.len());
        for step in searches {
            let path = folder.join(format!("step{step}.gt100"));
            // As DiskANN writes it: u32 rows, u32 k, u32 tags, f32 distances.
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes.len(), 8 + 50 * 7 * 8);
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!((word(0), word(4)), (50, 7));
            let ids: IdMatrix = read_ids(&path.clone().into()).unwrap();
            assert_eq!(u64::from(word(8)), ids.row(0)[0]);
            assert!(ids.iter().flatten().all(|&tag| tag < N as u64));
            let distances = read_distances(&path.into()).unwrap();
            assert!(distances.iter().all(|row| row.is_sorted()));
        }
    }
}

#[test]
fn runbooks_that_do_not_fit_are_refused() {
    let dir = inputs();
    run(dir.path(), &format!("{GENERATE} --out book.yaml")).ok();
    run(dir.path(), &format!("{GENERATE} --out book.yaml")).fails(2, &["there already"]);
    run(dir.path(), "datasets generate runbook --n 5 --out a.yaml").fails(2, &["--n", "from 20"]);
    write_vectors(&dir.path().join("few.npy"), DIM, components(100 * DIM, 1));
    let words = TRUTH.replace("items.npy", "few.npy") + " --metric l2 --out truth";
    run(dir.path(), &words).fails(65, &["few.npy", "step", "rows below 100"]);
    let truth = |words: &str| run(dir.path(), &format!("{TRUTH} --metric l2 --out truth {words}"));
    truth("--set other").fails(65, &["a runbook of `other`", "book"]);
    truth("--ids id").fails(2, &["--runbook"]);
    std::fs::write(dir.path().join("book.yaml"), "s:\n  max_pts: 1\n  1: {operation: x}\n")
        .unwrap();
    truth("").fails(65, &["book.yaml", "line 3", "insert, delete, replace or search"]);
}
