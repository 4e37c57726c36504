//! Running the binary, and small inputs for it.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use vicinage_datasets::{
    AttributeBatch, AttributeField, AttributeValues, Batch, Shape, VectorData, WriteOptions, create,
};

/// Items of the usual input, and their dimension.
pub(crate) const N: usize = 1500;
pub(crate) const DIM: usize = 12;

/// What a run of the binary left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Asserts that it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }

    /// Asserts that it failed with `code`, saying all of `words`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in\n{}", self.err);
        }
        self
    }

    /// Asserts that standard output has all of `words`.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word), "no {word:?} in\n{}", self.out);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in\n{}", self.out))
    }

    /// Standard error as lines of JSON.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        self.err.lines().map(parse).collect()
    }
}

/// The binary, in `dir`, with `words` split at spaces.
pub(crate) fn command(dir: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_index-tools"));
    command.current_dir(dir).args(words.split_whitespace()).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(dir: &Path, words: &str) -> Ran {
    finish(command(dir, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Runs the binary with `input` on standard input.
pub(crate) fn run_with_input(dir: &Path, words: &str, input: &str) -> Ran {
    let mut command = command(dir, words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    finish(child)
}

pub(crate) fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains('\u{1b}'), "an escape sequence in a pipe: {text:?}");
        text
    };
    let code = output.status.code().unwrap_or(-1);
    Ran { code, out: text(output.stdout), err: text(output.stderr) }
}

/// Components in -1..1, the same for the same seed.
pub(crate) fn components(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Writes vectors alone.
pub(crate) fn write_vectors(path: &Path, dim: usize, vectors: Vec<f32>) {
    write_table(path, dim, vectors, None, Vec::new());
}

/// Writes vectors with ids (in column `item_id`) and attributes, as far as there are some.
pub(crate) fn write_table(
    path: &Path,
    dim: usize,
    vectors: Vec<f32>,
    ids: Option<(&str, Vec<u64>)>,
    attributes: Vec<(&str, AttributeValues)>,
) {
    let mut batch = Batch::of_vectors(dim, VectorData::F32(vectors));
    let shape = Shape {
        rows: batch.rows as u64,
        dim: dim as u32,
        element: vicinage_datasets::Element::F32,
    };
    let field = |(name, values): &(&str, AttributeValues)| AttributeField {
        name: (*name).to_owned(),
        kind: values.kind(),
    };
    let options = WriteOptions {
        id_column: ids.as_ref().map(|(name, _)| (*name).to_owned()),
        attributes: attributes.iter().map(field).collect(),
        ..WriteOptions::default()
    };
    batch.ids = ids.map(|(_, ids)| ids);
    batch.attributes = attributes
        .into_iter()
        .map(|(name, values)| AttributeBatch { name: name.to_owned(), values })
        .collect();
    let mut writer = create(path, shape, &options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

/// The text attribute of a row.
pub(crate) fn title(row: usize) -> String {
    format!("title of row {row}")
}

/// Titles of rows.
pub(crate) fn titles(rows: impl IntoIterator<Item = usize>) -> AttributeValues {
    let titles: Vec<String> = rows.into_iter().map(title).collect();
    AttributeValues::Text(titles.iter().map(|title| Some(title.as_str())).collect())
}

/// The id of a row where a file has ids: spread out and not ascending.
pub(crate) fn id(row: usize) -> u64 {
    (row as u64 * 7919) % 100_003
}

/// A directory with `items.npy`, `items.parquet` (ids, titles, years), `queries.npy`.
pub(crate) fn inputs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let vectors = components(N * DIM, 1);
    write_vectors(&dir.path().join("items.npy"), DIM, vectors.clone());
    let years =
        AttributeValues::I64((0..N).map(|row| (row % 3 > 0).then_some(row as i64)).collect());
    let attributes = vec![("title", titles(0..N)), ("year", years)];
    let ids = Some(("item_id", (0..N).map(id).collect()));
    write_table(&dir.path().join("items.parquet"), DIM, vectors, ids, attributes);
    write_vectors(&dir.path().join("queries.npy"), DIM, components(50 * DIM, 2));
    dir
}

/// Builds `index` from `items.parquet` in a directory of [`inputs`].
pub(crate) fn with_index() -> tempfile::TempDir {
    let dir = inputs();
    run(
        dir.path(),
        "build --input items.parquet --metric ip --out index --alpha 1.1 --backfill true",
    )
    .ok();
    dir
}
