//! eval against what users took: by hand, and against naive measures of naive answers.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde_json::Value;
use vicinage_datasets::{
    AttributeBatch, AttributeField, AttributeValues, I64ListColumn, TableBatch, create_table,
};

use crate::measure::nearest;
use crate::support::{
    DIM, N, Ran, components, id, run, titles, with_index, write_table, write_vectors,
};

const QUERIES: usize = 50;

/// How often the item of a row was taken; it is not known of every seventh.
fn taken(row: usize) -> Option<i64> {
    (!row.is_multiple_of(7)).then_some((row * row % 41) as i64)
}

/// Who sells it, if anyone.
fn seller(row: usize) -> Option<&'static str> {
    [Some("north"), Some("south"), Some("south"), None][row % 4]
}

/// What a user takes later: items of some of the 30 nearest rows. Every fifth takes nothing.
fn later(query: usize) -> Vec<usize> {
    let near = nearest("ip", query, 30);
    let kept =
        near.into_iter().enumerate().filter(|(rank, _)| (rank * 7 + query).is_multiple_of(4));
    if query % 5 == 4 { Vec::new() } else { kept.map(|(_, (_, row))| row).collect() }
}

/// What a user had before: the nearest two, and a far one.
fn before(query: usize) -> Vec<usize> {
    let near = nearest("ip", query, N);
    [0, 1, N - 1].map(|rank| near[rank].1).to_vec()
}

/// Writes a table of integers.
fn write_integers(path: &Path, columns: &[(&str, Vec<i64>)]) {
    let (mut fields, mut attributes) = (Vec::new(), Vec::new());
    for (name, values) in columns {
        let values = AttributeValues::I64(values.iter().copied().map(Some).collect());
        fields.push(AttributeField { name: (*name).to_owned(), kind: values.kind() });
        attributes.push(AttributeBatch { name: (*name).to_owned(), values });
    }
    let mut writer = create_table(path, None, &fields).unwrap();
    let rows = columns[0].1.len();
    writer.write(&TableBatch { first_row: 0, rows, ids: None, attributes }).unwrap();
    writer.finish().unwrap();
}

/// Writes interactions, a row each.
fn write_interactions(path: &Path, of: impl Fn(usize) -> Vec<usize>) {
    let pairs = (0..QUERIES).flat_map(|query| of(query).into_iter().map(move |row| (query, row)));
    let (queries, items): (Vec<i64>, Vec<i64>) =
        pairs.map(|(query, row)| (query as i64, id(row) as i64)).unzip();
    write_integers(path, &[("item_id", items), ("query", queries)]);
}

/// A directory with an index whose items have been taken and are sold, and interactions.
fn shop() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let rows = || 0..N;
    let attributes = vec![
        ("title", titles(rows())),
        ("taken", AttributeValues::I64(rows().map(taken).collect())),
        ("seller", AttributeValues::Text(rows().map(seller).collect())),
        ("price", AttributeValues::F64(rows().map(|row| Some(row as f64 - 9.5)).collect())),
    ];
    let path = |name: &str| dir.path().join(name);
    let ids = Some(("item_id", rows().map(id).collect()));
    write_table(&path("items.parquet"), DIM, components(N * DIM, 1), ids, attributes);
    write_vectors(&path("queries.npy"), DIM, components(QUERIES * DIM, 2));
    write_interactions(&path("later.parquet"), later);
    write_interactions(&path("before.parquet"), before);
    let build = "build --input items.parquet --metric ip --out index --alpha 1.1 --backfill true";
    run(dir.path(), build).ok();
    dir
}

fn eval(dir: &tempfile::TempDir, words: &str) -> Ran {
    run(dir.path(), &format!("eval index --queries queries.npy {words}"))
}

/// The JSON of eval but for times.
fn results(dir: &tempfile::TempDir, words: &str) -> Value {
    let mut json = eval(dir, &format!("{words} --format json")).ok().json();
    for line in json["results"].as_array_mut().unwrap() {
        line.as_object_mut().unwrap().remove("speed");
    }
    json
}

#[track_caller]
fn near(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// The answers to every query, by row, without what the user had before.
fn answers(k: usize) -> Vec<Vec<usize>> {
    let answer = |query| {
        let had = before(query);
        let rows = nearest("ip", query, N).into_iter().map(|(_, row)| row);
        rows.filter(|row| !had.contains(row)).take(k).collect()
    };
    (0..QUERIES).map(answer).collect()
}

/// The share of pairs of a relevant row and another that the user did not have in which it is nearer.
fn naive_auc(query: usize, relevant: &BTreeSet<usize>) -> f64 {
    let (had, all) = (before(query), nearest("ip", query, N));
    let others = || all.iter().filter(|(_, row)| !relevant.contains(row) && !had.contains(row));
    let ones = all.iter().filter(|(_, row)| relevant.contains(row));
    let wins: usize = ones.map(|one| others().filter(|other| one.0 < other.0).count()).sum();
    wins as f64 / (relevant.len() * others().count()) as f64
}

#[test]
fn usefulness_is_that_of_naive_answers() {
    let dir = shop();
    let words = "--relevance later.parquet --exclude before.parquet --k 10 --ef 10 --auc full";
    let json = results(&dir, words);
    let answers = answers(10);
    // By query: the rows that are relevant, where there are some.
    let relevant: Vec<(usize, BTreeSet<usize>)> = (0..QUERIES)
        .map(|query| {
            let had = before(query);
            (query, later(query).into_iter().filter(|row| !had.contains(row)).collect())
        })
        .filter(|(_, rows): &(usize, BTreeSet<usize>)| !rows.is_empty())
        .collect();
    let over = |measure: &dyn Fn(&[usize], &BTreeSet<usize>) -> f64| {
        mean(relevant.iter().map(|(query, rows)| measure(&answers[*query], rows)))
    };
    let hits = |found: &[usize], rows: &BTreeSet<usize>| {
        found.iter().filter(|row| rows.contains(row)).count() as f64
    };
    let exact = &json["results"][0];
    let usefulness = &exact["usefulness"];
    assert_eq!(usefulness["judged_queries"], relevant.len());
    near(&usefulness["precision"]["mean"], over(&|found, rows| hits(found, rows) / 10.0));
    near(
        &usefulness["relevant_recall"]["mean"],
        over(&|found, rows| hits(found, rows) / rows.len() as f64),
    );
    let first = |found: &[usize], rows: &BTreeSet<usize>| {
        found.iter().position(|row| rows.contains(row)).map_or(0.0, |at| 1.0 / (at + 1) as f64)
    };
    near(&usefulness["mrr"]["mean"], over(&first));
    near(&usefulness["hit_rate"]["mean"], over(&|found, rows| first(found, rows).signum()));
    let discount = |at: usize| 1.0 / (at as f64 + 2.0).log2();
    near(
        &usefulness["ndcg"]["mean"],
        over(&|found, rows| {
            let gained = (0..found.len()).filter(|&at| rows.contains(&found[at])).map(discount);
            gained.sum::<f64>() / (0..rows.len().min(10)).map(discount).sum::<f64>()
        }),
    );
    let auc = mean(relevant.iter().map(|(query, rows)| naive_auc(*query, rows)));
    near(&json["auc"]["mean"], auc);
    assert_eq!((&json["auc"]["kind"], &json["auc"]["negatives"]), (&"full".into(), &Value::Null));
    let excluded = (0..QUERIES)
        .map(|query| later(query).into_iter().filter(|row| before(query).contains(row)).count());
    assert_eq!(json["relevance"]["relevant_excluded"], excluded.sum::<usize>());
    assert_eq!(exact["recall"]["id"], 1.0);
    assert!(exact["against_exact"].is_null() && exact["ef"].is_null());
}

#[test]
fn what_lists_are_like_is_that_of_naive_answers() {
    let dir = shop();
    let words = "--relevance later.parquet --exclude before.parquet --k 10 --ef 10 --auc none \
                 --popularity taken --group seller";
    let json = results(&dir, words);
    assert!(json["auc"].is_null());
    let (beyond, answers) = (&json["results"][0]["beyond_accuracy"], answers(10));
    let base = components(N * DIM, 1);
    let cosine = |a: usize, b: usize| {
        let row = |at: usize| base[at * DIM..][..DIM].iter().map(|&x| f64::from(x));
        let dot = |a, b| row(a).zip(row(b)).map(|(x, y)| x * y).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let diversity =
        answers.iter().map(|list| {
            mean(list.iter().enumerate().flat_map(|(at, &one)| {
                list[..at].iter().map(move |&other| 1.0 - cosine(one, other))
            }))
        });
    near(&beyond["diversity"]["mean"], mean(diversity));
    let total: i64 = (0..N).filter_map(taken).sum();
    let bits = |row: &usize| -(taken(*row).unwrap_or(0).max(1) as f64 / total as f64).log2();
    near(&beyond["novelty"]["mean"], mean(answers.iter().flatten().map(bits)));
    let mut exposures = vec![0_i64; N];
    answers.iter().flatten().for_each(|&row| exposures[row] += 1);
    near(&beyond["coverage"], mean(exposures.iter().map(|&x| f64::from(u8::from(x > 0)))));
    let pairs = exposures.iter().flat_map(|a| exposures.iter().map(move |b| (a - b).abs()));
    near(&beyond["gini"], pairs.sum::<i64>() as f64 / (2.0 * N as f64 * (QUERIES * 10) as f64));
    let mut shown: HashMap<Option<&str>, f64> = HashMap::new();
    answers.iter().flatten().for_each(|&row| *shown.entry(seller(row)).or_default() += 1.0);
    let groups = beyond["groups"]["seller"].as_array().unwrap();
    let values: Vec<Option<&str>> = groups.iter().map(|group| group["value"].as_str()).collect();
    assert_eq!(values, [Some("south"), Some("north"), None]);
    for (group, share) in groups.iter().zip([0.5, 0.25, 0.25]) {
        let shown = shown[&group["value"].as_str()] / (QUERIES * 10) as f64;
        near(&group["catalog_share"], share);
        near(&group["exposure_share"], shown);
        near(&group["ratio"], shown / share);
    }
}

#[test]
fn approximation_is_held_against_exact_search() {
    let dir = shop();
    let words = "--relevance later.parquet --k 10 --ef 10,1500";
    let json = results(&dir, words);
    let [exact, walk, all] = [0, 1, 2].map(|at| &json["results"][at]);
    let costs = &walk["against_exact"];
    let lost = 1.0 - walk["recall"]["id"].as_f64().unwrap();
    assert!(lost > 0.0, "{walk}");
    near(&costs["recall_lost"]["mean"], lost);
    for name in ["ndcg", "relevant_recall", "precision", "mrr", "hit_rate"] {
        let mean = |line: &Value| line["usefulness"][name]["mean"].as_f64().unwrap();
        let difference = mean(walk) - mean(exact);
        near(&costs[name]["difference"]["mean"], difference);
        if let Some(part) = costs[name]["per_recall_point"]["mean"].as_f64() {
            assert!((part - difference / lost * 0.01).abs() < 1e-9);
        }
        let bounds = ["low", "mean", "high"].map(|at| costs[name]["difference"][at].as_f64());
        assert!(bounds.is_sorted(), "{costs}");
        // A list of all items loses nothing, of no query.
        let none = &all["against_exact"][name];
        for bound in ["low", "mean", "high"] {
            assert_eq!(none["difference"][bound], 0.0);
        }
        assert!(none["per_recall_point"].is_null());
    }
    assert_eq!(all["usefulness"], exact["usefulness"]);
    assert_eq!(all["beyond_accuracy"], exact["beyond_accuracy"]);
    // Again the same, whatever the threads; another seed draws other items and queries.
    assert_eq!(json, results(&dir, &format!("{words} --threads 3")));
    let other = results(&dir, &format!("{words} --seed 2"));
    assert_ne!(json["auc"], other["auc"]);
    assert_eq!(json["auc"]["negatives"], 1000);
    let (ndcg, other) = (&exact["usefulness"]["ndcg"], &other["results"][0]["usefulness"]["ndcg"]);
    assert_eq!(ndcg["mean"], other["mean"]);
    assert_ne!(ndcg["low"], other["low"]);
}

#[test]
fn tables_show_what_was_measured() {
    let dir = shop();
    let words = "--relevance later.parquet --exclude before.parquet --k 10 --target-recall 0.9 \
                 --popularity taken --group seller --exact";
    let text = eval(&dir, words).ok().says(&[
        "40 queries that have something relevant",
        "rel. recall",
        "MRR",
        "AUC 0.9",
        "1,000 others drawn",
        "are excluded, and count as not relevant",
        "What approximation costs",
        "NDCG a point",
        "novelty, bits",
        "Gini",
        "Exposure by seller at k 10",
        "(none)",
        "recall 0.9 (ef ",
    ]);
    for line in text.out.lines().filter(|line| !line.contains("bootstrap")) {
        assert!(line.chars().count() <= 120, "{line}");
    }
    // Exact search has no time unless it is asked for.
    let json = eval(&dir, "--relevance later.parquet --k 5 --format json").ok().json();
    assert!(json["results"][0]["speed"].is_null() && json["results"][1]["speed"].is_object());
    let json = eval(&dir, "--relevance later.parquet --k 5 --exact --format json").ok().json();
    assert!(json["results"][0]["speed"]["mean_seconds"].is_number());
}

#[test]
fn items_that_the_index_does_not_hold_are_missed_and_counted() {
    let dir = shop();
    let path = dir.path().join("sold-out.parquet");
    let best = id(nearest("ip", 0, 1)[0].1) as i64;
    write_integers(&path, &[("query", vec![1, 0]), ("item_id", vec![1 << 40, best])]);
    let words = "--relevance sold-out.parquet --exclude sold-out.parquet";
    eval(&dir, words).fails(65, &["2 relevant items, all of them excluded"]);
    let json = results(&dir, "--relevance sold-out.parquet --k 10");
    assert_eq!(json["relevance"]["judged_queries"], 2);
    assert_eq!(json["relevance"]["relevant_unknown"], 1);
    assert_eq!(json["results"][0]["usefulness"]["hit_rate"]["mean"], 0.5);
    assert_eq!((&json["auc"]["queries"], &json["auc"]["mean"]), (&1.into(), &1.0.into()));
    eval(&dir, "--relevance sold-out.parquet")
        .ok()
        .says(&["relevant items that are not in the index"]);
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let dir = shop();
    let judged = |words: &str| eval(&dir, &format!("--relevance later.parquet {words}"));
    eval(&dir, "--exclude before.parquet").fails(2, &["--relevance"]);
    eval(&dir, "--auc full").fails(2, &["--relevance"]);
    eval(&dir, "--group seller").fails(2, &["--relevance"]);
    judged("--auc some").fails(2, &["sampled"]);
    judged("--popularity take").fails(2, &["\"take\"", "title, taken, seller, price"]);
    judged("--popularity seller").fails(2, &["i64 or f64", "category"]);
    judged("--popularity price").fails(65, &["where    item ", "a count from 0", "-"]);
    judged("--group price").fails(2, &["category, tags, i64 or bool", "f64"]);
    judged("--group title").fails(2, &["at most 1000 values"]);
    judged("--group shop").fails(2, &["\"shop\""]);
    judged("--exclude later.parquet").fails(65, &["later.parquet", "not excluded"]);
    let path = dir.path().join("more.parquet");
    write_integers(&path, &[("query", vec![0, 50]), ("item_id", vec![1, 2])]);
    let below = ["more.parquet", "row 1", "a query below 50"];
    judged("--exclude more.parquet").fails(65, &below);
    eval(&dir, "--relevance more.parquet").fails(65, &below);
}

#[test]
fn grades_by_hand() {
    let dir = with_index();
    // The best item of each even query is relevant, the second best a little; the odd have none.
    let (mut items, mut grades) = (I64ListColumn::default(), I64ListColumn::default());
    for at in 0..QUERIES {
        let near = nearest("ip", at, 2);
        let mut judged: Vec<(i64, i64)> =
            near.iter().zip([2, 1]).map(|((_, row), grade)| (id(*row) as i64, grade)).collect();
        judged.sort_unstable();
        judged.truncate(if at % 2 == 0 { 2 } else { 0 });
        items.push(Some(&judged.iter().map(|(item, _)| *item).collect::<Vec<_>>()));
        grades.push(Some(&judged.iter().map(|(_, grade)| *grade).collect::<Vec<_>>()));
    }
    let columns = vec![
        ("query", AttributeValues::I64((0..QUERIES as i64).map(Some).collect())),
        ("item_ids", AttributeValues::I64List(items)),
        ("grades", AttributeValues::I64List(grades)),
    ];
    let path = dir.path().join("relevance.parquet");
    write_table(&path, 1, components(QUERIES, 1), None, columns);
    let json = results(&dir, "--relevance relevance.parquet --k 1,10 --ef 10");
    let exact = json["results"].as_array().unwrap().iter().filter(|line| line["ef"].is_null());
    for (line, (precision, recall)) in exact.zip([(1.0, 0.5), (0.2, 1.0)]) {
        let usefulness = &line["usefulness"];
        for (name, mean) in [
            ("ndcg", 1.0),
            ("relevant_recall", recall),
            ("precision", precision),
            ("mrr", 1.0),
            ("hit_rate", 1.0),
        ] {
            // Of all queries alike, so that no sample differs.
            ["mean", "low", "high"].iter().for_each(|at| near(&usefulness[name][at], mean));
        }
        assert_eq!(usefulness["judged_queries"], 25);
    }
    assert_eq!(json["auc"]["mean"], 1.0);
}
