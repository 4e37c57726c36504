//! `convert`: nothing is lost on the way through the formats, and nothing silently.

use std::path::Path;

use vicinage_datasets::{
    AttributeBatch, Batch, DistanceMatrix, IdMatrix, InputSpec, ReadOptions, VectorData, open,
    read_distances, read_ids, write_distances, write_ids,
};

use crate::support::{DIM, N, components, inputs, run};

/// Vectors, ids and attributes of a file.
fn whole(path: &Path) -> (Vec<f32>, Option<Vec<u64>>, Vec<AttributeBatch>) {
    let spec: InputSpec = path.to_str().unwrap().parse().unwrap();
    let options = ReadOptions { batch_bytes: 1 << 30, ..ReadOptions::default() };
    let mut reader = open(&spec, &options).unwrap();
    let mut batch = Batch::default();
    assert!(reader.next_batch(&mut batch).unwrap());
    assert_eq!(batch.rows as u64, reader.shape().rows);
    (batch.to_f32().unwrap().into_owned(), batch.ids.clone(), batch.attributes.clone())
}

#[test]
fn vectors_survive_every_format() {
    let dir = inputs();
    let mut from = "items.npy".to_owned();
    for extension in ["fbin", "npz", "fvecs", "parquet", "hdf5", "arrow", "jsonl", "arrows", "npy"]
    {
        let to = format!("step.{extension}");
        run(dir.path(), &format!("convert --input {from} --out {to}"))
            .ok()
            .says(&[&to, "1,500 vectors of 12 × f32"]);
        from = to;
    }
    let bytes = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(bytes("items.npy") == bytes("step.npy"));
}

#[test]
fn ids_and_attributes_go_along() {
    let dir = inputs();
    let expected = whole(&dir.path().join("items.parquet"));
    assert_eq!((expected.1.as_ref().map(Vec::len), expected.2.len()), (Some(N), 2));
    for (from, to) in [
        ("items.parquet", "a.arrow"),
        ("a.arrow", "a.jsonl.zst"),
        ("a.jsonl.zst", "a.jsonl.gz"),
        ("a.jsonl.gz", "b.parquet"),
    ] {
        run(dir.path(), &format!("convert --input {from} --out {to}")).ok();
        assert!(whole(&dir.path().join(to)) == expected, "{to}");
    }
    run(dir.path(), "convert --input a.arrow --out few.parquet --attributes year --limit 7").ok();
    let few = whole(&dir.path().join("few.parquet"));
    assert_eq!((few.0.len(), few.1.unwrap().len()), (7 * DIM, 7));
    assert_eq!((few.2.len(), few.2[0].name.as_str(), few.2[0].values.len()), (1, "year", 7));
}

#[test]
fn what_an_output_cannot_hold_is_left_out_by_name() {
    let dir = inputs();
    let convert = |words: &str| run(dir.path(), &format!("convert {words}"));
    convert("--input items.parquet --out a.fbin")
        .fails(2, &["a.fbin would lose the item ids and 2 attributes", "--no-ids --no-attributes"]);
    assert!(!dir.path().join("a.fbin").exists());
    convert("--input items.parquet --out a.fbin --no-ids").fails(2, &["2 attributes"]);
    convert("--input items.parquet --out a.fbin --no-ids --no-attributes").ok();
    assert_eq!(whole(&dir.path().join("a.fbin")).0, components(N * DIM, 1));
    convert("--input items.npy --out a.u8bin").fails(2, &["a.u8bin", "f32", "--element u8"]);
    convert("--input items.npy --out a.u8bin --element u8")
        .fails(65, &["items.npy", "row 0, component", "a whole number from 0 to 255"]);
    convert("--input items.npy --out half.npy --element f16").ok();
    convert("--input half.npy --out single.fbin").ok().says(&["f32"]);
    convert("--input items.npy --out items.csv").fails(2, &["items.csv", ".csv"]);
    convert("--input items.npy --out a.ibin --kind neighbors").fails(65, &["items.npy", "<f4"]);
    convert("--input a.npy --out b.npy --kind distances --limit 3").fails(2, &["--limit"]);
}

#[test]
fn neighbors_and_distances_change_format() {
    let dir = inputs();
    let (mut ids, mut distances) = (IdMatrix::new(3), DistanceMatrix::new(3));
    for row in 0..20_u64 {
        ids.push(&[row, row + 1, 1000 + row]);
        distances.push(&[0.5, row as f32, f32::MAX]);
    }
    write_ids(&dir.path().join("near.npy"), &ids).unwrap();
    write_distances(&dir.path().join("far.npy"), &distances).unwrap();
    let convert = |words: &str| run(dir.path(), &format!("convert {words}"));
    let spec = |name: &str| InputSpec::from(dir.path().join(name));
    convert("--kind neighbors --input near.npy --out near.ivecs")
        .ok()
        .says(&["20 queries, 3 each"]);
    convert("--kind neighbors --input near.ivecs --out truth.bin --distances far.npy").ok();
    assert_eq!(read_ids(&spec("truth.bin")).unwrap(), ids);
    convert("--kind distances --input truth.bin --out far.fvecs").ok();
    assert_eq!(read_distances(&spec("far.fvecs")).unwrap(), distances);
}

#[test]
fn a_folder_is_one_input() {
    let dir = inputs();
    std::fs::create_dir(dir.path().join("parts")).unwrap();
    for (part, rows) in [("a", 1000), ("b", 500)] {
        let words = format!("convert --input items.npy --limit {rows} --out parts/{part}.arrow");
        run(dir.path(), &words).ok();
    }
    run(dir.path(), "convert --input parts/ --out all.npy").ok();
    let all = components(N * DIM, 1);
    let expected = [&all[..1000 * DIM], &all[..500 * DIM]].concat();
    let spec = InputSpec::from(dir.path().join("all.npy"));
    let options = ReadOptions { batch_bytes: 1 << 30, ..ReadOptions::default() };
    let mut batch = Batch::default();
    assert!(open(&spec, &options).unwrap().next_batch(&mut batch).unwrap());
    assert_eq!(batch.vectors, VectorData::F32(expected));
}

#[test]
fn a_set_is_packed_into_one_file() {
    let dir = inputs();
    let pack =
        |words: &str| run(dir.path(), &format!("datasets pack --queries queries.npy {words}"));
    // The rows of the items, though they have ids.
    pack("--input items.parquet --metric l2 --k 5 --out set.hdf5").ok().says(&[
        "1,500 × 12 f32",
        "50, 5 neighbors each, l2",
        "train, test, neighbors, distances",
    ]);
    run(dir.path(), "truth --input items.npy --queries queries.npy --metric l2 --k 5 --out near.npy --distances far.npy").ok();
    let spec =
        |name: &str| -> InputSpec { dir.path().join(name).to_str().unwrap().parse().unwrap() };
    assert_eq!(read_ids(&spec("set.hdf5")).unwrap(), read_ids(&spec("near.npy")).unwrap());
    let (set, far) =
        (read_distances(&spec("set.hdf5")).unwrap(), read_distances(&spec("far.npy")).unwrap());
    for (set, far) in set.iter().flatten().zip(far.iter().flatten()) {
        assert_eq!(*set, far.sqrt());
    }
    assert_eq!(whole(&dir.path().join("set.hdf5")).0, components(N * DIM, 1));
    // One file has all that measuring takes.
    run(dir.path(), "build --input set.hdf5 --metric l2 --out index --progress none").ok();
    run(dir.path(), "eval index --queries set.hdf5 --truth set.hdf5 --k 5 --ef 200")
        .ok()
        .says(&["50 queries", "recall by id"]);
    run(dir.path(), "datasets describe set.hdf5 --queries set.hdf5 --progress none")
        .ok()
        .says(&["50 queries: "]);
    pack("--input items.npy --metric l2 --out set.hdf5").fails(2, &["set.hdf5", "--overwrite"]);
    pack("--input items.npy --metric l2 --overwrite --neighbors near.npy --distances far.npy --out set.hdf5").ok();
    assert_eq!(read_distances(&spec("set.hdf5")).unwrap(), far);
    pack("--input items.npy --metric l2 --learn near.npy --out other.hdf5")
        .fails(65, &["near.npy"]);
    run(
        dir.path(),
        "datasets pack --input items.npy --queries set.hdf5#distances --metric l2 --out b.hdf5",
    )
    .fails(65, &["distances", "12 components", "5"]);
}
