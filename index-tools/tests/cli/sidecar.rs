//! Attributes that lie in a second file.

use std::path::Path;

use vicinage_datasets::{AttributeValues, SparseMatrix, write_sparse};

use crate::support::{N, components, id, inputs, run, title, titles, write_table};

/// Writes titles for `rows`, in that order, with ids or without. The file has a vector column
/// too, which is no attribute.
fn write(dir: &Path, rows: &[usize], ids: Option<&str>) {
    let ids = ids.map(|name| (name, rows.iter().map(|&row| id(row)).collect()));
    let tags = rows.iter().map(|&row| Some([row as i64, 7])).fold(
        vicinage_datasets::I64ListColumn::default(),
        |mut column, tags| {
            column.push(tags.as_ref().map(|tags| &tags[..]));
            column
        },
    );
    let attributes =
        vec![("title", titles(rows.iter().copied())), ("tags", AttributeValues::I64List(tags))];
    write_table(&dir.join("side.parquet"), 1, components(rows.len(), 3), ids, attributes);
}

/// The title that the index gives an item.
fn title_in_index(dir: &Path, item: u64) -> String {
    let near = format!(
        "query index --vectors items.npy --row 0 --k {N} --exact --attributes title,tags --format json"
    );
    let hits = run(dir, &near).ok().json();
    let hits = hits["hits"].as_array().unwrap().clone();
    let hit = hits.iter().find(|hit| hit["item_id"] == item).expect("the item");
    hit["attributes"]["title"].as_str().unwrap().to_owned()
}

#[test]
fn joins_by_id_in_any_order() {
    let dir = inputs();
    let reversed: Vec<usize> = (0..N).rev().collect();
    write(dir.path(), &reversed, Some("item_id"));
    run(
        dir.path(),
        "build --input items.parquet --attributes-from side.parquet --metric ip --out index",
    )
    .ok();
    for row in [0, 1, 700, N - 1] {
        assert_eq!(title_in_index(dir.path(), id(row)), title(row));
    }
}

#[test]
fn tags_of_a_sparse_matrix_are_an_attribute() {
    let dir = inputs();
    let mut matrix = SparseMatrix::new(N as u64 + 8);
    (0..N as u32).for_each(|row| matrix.push(&[row, row + 7], &[1.0, 1.0]));
    write_sparse(&dir.path().join("tags.spmat"), &matrix).unwrap();
    let words = "build --input items.npy --attributes-from tags.spmat --metric ip --out index";
    run(dir.path(), words).ok();
    let query = "query index --vectors items.npy --row 5 --k 1 --exact --attributes tags";
    let hits = run(dir.path(), &format!("{query} --format json")).ok().json();
    let hit = &hits["hits"][0];
    let row = hit["item_id"].as_u64().unwrap();
    // The index keeps tags as texts, in the order of texts.
    let mut tags = [row, row + 7].map(|tag| tag.to_string());
    tags.sort();
    assert_eq!(hit["attributes"]["tags"], serde_json::json!(tags));
}

#[test]
fn joins_by_row_and_takes_the_ids() {
    let dir = inputs();
    let rows: Vec<usize> = (0..N).collect();
    for (column, words) in [("item_id", ""), ("sku", "--ids sku")] {
        write(dir.path(), &rows, Some(column));
        let words = format!(
            "build --input items.npy --attributes-from side.parquet --metric ip --out index {words}"
        );
        run(dir.path(), &words).ok();
        assert_eq!(title_in_index(dir.path(), id(700)), title(700));
    }
    write(dir.path(), &rows, None);
    run(
        dir.path(),
        "build --input items.npy --attributes-from side.parquet --metric ip --out index",
    )
    .ok();
    assert_eq!(title_in_index(dir.path(), 700), title(700), "ids are rows where there are none");
    let info = run(dir.path(), "inspect index --format json").ok().json();
    assert_eq!(info["info"]["attributes"].as_array().unwrap().len(), 2, "no vector column");
    assert_eq!(info["info"]["attributes"][1]["kind"], "tags");
}

#[test]
fn counts_what_does_not_match_if_asked() {
    let dir = inputs();
    let rows: Vec<usize> = (0..N + 3).rev().filter(|&row| row != 700 && row != 9).collect();
    write(dir.path(), &rows, Some("item_id"));
    let build = "build --input items.parquet --attributes-from side.parquet --metric ip --out index \
                 --unmatched count";
    run(dir.path(), build).ok().says(&["2 items", "3 rows"]);
    let unmatched =
        run(dir.path(), &format!("{build} --format json")).ok().json()["unmatched"].clone();
    assert_eq!(unmatched, serde_json::json!({ "items": 2, "attributes": 3 }));
    assert_eq!(title_in_index(dir.path(), id(701)), title(701));
    let query = format!(
        "query index --vectors items.npy --row 0 --k 1 --filter ids({}) --attributes title,tags --format json",
        id(700)
    );
    let hit = run(dir.path(), &query).ok().json()["hits"][0].clone();
    let none = serde_json::json!({ "title": null, "tags": null });
    assert_eq!((hit["item_id"].as_u64(), &hit["attributes"]), (Some(id(700)), &none));
    run(dir.path(), "build --input items.parquet --metric ip --out other --unmatched count")
        .fails(2, &["--attributes-from"]);
}

#[test]
fn refuses_what_does_not_match() {
    let dir = inputs();
    let by_id =
        "build --input items.parquet --attributes-from side.parquet --metric ip --out index";
    let by_row = "build --input items.npy --attributes-from side.parquet --metric ip --out index";

    let all_but_one: Vec<usize> = (0..N).filter(|&row| row != 700).collect();
    write(dir.path(), &all_but_one, Some("item_id"));
    let missing = format!("item {}, which is row 700 of items.parquet", id(700));
    run(dir.path(), by_id).fails(65, &["side.parquet", "expected", &missing, "found"]);
    run(dir.path(), by_row).fails(65, &["side.parquet", "1500 rows", "1499 rows", "next"]);

    let one_more: Vec<usize> = (0..=N).collect();
    write(dir.path(), &one_more, Some("item_id"));
    run(dir.path(), by_id).fails(65, &["side.parquet", "row 1500", &id(N).to_string()]);

    let twice: Vec<usize> = (0..N).chain([3]).collect();
    write(dir.path(), &twice, Some("item_id"));
    run(dir.path(), by_id).fails(65, &["side.parquet", "row 1500", "row 3"]);

    assert!(!dir.path().join("index").exists());
}
