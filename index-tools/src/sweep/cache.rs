//! What a sweep makes and keeps: indexes and true neighbors, so that it goes on where it was cut
//! off, and that the next one need not make them again.
//!
//! ```text
//! CACHE/NAME-FINGERPRINT/truth-k100.npy, truth-k100-distances.npy
//! CACHE/NAME-FINGERPRINT/BUILD/index, built.json
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vicinage_datasets::{
    DistanceMatrix, IdMatrix, Runbook, read_distances, read_ids, write_distances, write_ids,
};

use super::builds::BuildSpec;
use super::set::{Set, file_state, short};
use crate::exit::{Exit, Failure};
use crate::machine::COMMIT;
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::results::Params;
use crate::runbook::{Base, LiveTruth, write_truth};
use crate::truth::{Wanted, find, thread_pool};
use crate::units::as_written;

/// Names in the folder of a build.
const INDEX: &str = "index";
const RECORD: &str = "built.json";

/// What a folder is called in which something is made, before the number of the process that makes it.
const MAKING: &str = ".making-";

/// The folder of one set.
pub(crate) struct Cache {
    folder: PathBuf,
    set: Set,
}

/// An index, and what building it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    /// Its directory.
    #[serde(skip)]
    pub(crate) index: PathBuf,
    /// Parameters as they were asked for, with those that the build found by itself.
    pub(crate) build: Params,
    pub(crate) seconds: f64,
    pub(crate) peak_mib: Option<f64>,
    pub(crate) bytes_per_vector: f64,
    /// Who built it.
    pub(crate) writer: String,
    pub(crate) commit: Option<String>,
}

impl Built {
    /// All that is kept of it.
    pub(crate) fn folder(&self) -> &Path {
        self.index.parent().unwrap_or(&self.index)
    }
}

impl Cache {
    pub(crate) fn open(folder: &Path, set: &Set) -> Result<Self, Failure> {
        let folder = folder.join(format!("{}-{}", set.name, set.fingerprint()?));
        fs::create_dir_all(&folder).map_err(|e| {
            Failure::new(Exit::Io, format!("cannot create {}: {e}", folder.display()))
        })?;
        let cache = Self { folder, set: set.clone() };
        cache.remove_left_over()?;
        Ok(cache)
    }

    /// The index of a build: the one that this program at this commit made here, or a new one,
    /// built in a process of its own so that its memory is its own.
    /// Items get the attributes of the file, where one is named.
    pub(crate) fn index(
        &self,
        spec: &BuildSpec,
        attributes: Option<&Path>,
        report: &Reporter,
    ) -> Result<Built, Failure> {
        let state = attributes.map(file_state).transpose()?;
        let learned = spec.learned()?.map(|file| file_state(&file.path)).transpose()?;
        let key = serde_json::to_string(&(spec, state, learned, env!("CARGO_PKG_VERSION"), COMMIT))
            .map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
        let folder = self.folder.join(short(&Sha256::digest(key)));
        let (record, index) = (folder.join(RECORD), folder.join(INDEX));
        if let Some(built) = recorded(&record, &index)? {
            return Ok(built);
        }
        report.start("build", None, "");
        let building = self.make_room()?;
        let told = self.build(spec, attributes, &building.join(INDEX))?;
        report.finish();
        let built = read_report(spec, &told)?;
        let text = serde_json::to_vec_pretty(&built)
            .map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
        fs::write(building.join(RECORD), text)?;
        if let Err(error) = fs::rename(&building, &folder) {
            // Another process built the same meanwhile.
            let theirs = recorded(&record, &index)?.ok_or(error)?;
            fs::remove_dir_all(&building)?;
            return Ok(theirs);
        }
        Ok(Built { index, ..built })
    }

    /// A folder to make something in, beside its place, which it takes when it is complete: nothing that a
    /// kill leaves is in the way of the next.
    fn make_room(&self) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(format!("{MAKING}{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Removes what processes left that are no more; what bears the number of this one, which has made
    /// nothing yet, was another's.
    fn remove_left_over(&self) -> Result<(), Failure> {
        let own = std::process::id().to_string();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(MAKING));
            let gone = |process: &str| process == own || !Path::new("/proc").join(process).exists();
            if process.is_some_and(gone) {
                match fs::remove_dir_all(entry.path()) {
                    // Another process was as quick.
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn build(
        &self,
        spec: &BuildSpec,
        attributes: Option<&Path>,
        index: &Path,
    ) -> Result<Value, Failure> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.args(["build", "--format", "json", "--progress", "none"]);
        command.arg("--with-parent").arg(std::process::id().to_string());
        match attributes {
            Some(file) => command.arg("--attributes-from").arg(file),
            None => command.arg("--no-attributes"),
        };
        command.arg("--input").arg(self.set.base.to_string());
        command.arg("--metric").arg(self.set.metric.name()).arg("--out").arg(index);
        command.args(spec.arguments());
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            let exit = if output.status.code() == Some(Exit::Interrupted as i32) {
                Exit::Interrupted
            } else {
                Exit::Data
            };
            return Err(Failure::new(exit, format!("the build ended with {}", output.status)));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|e| Failure::new(Exit::Internal, format!("the build told no JSON: {e}")))
    }

    /// The ids of the true `k` nearest, with their distances where they were found here: those of
    /// the set where it has as many and `own` does not ask for ours, else `most` are found, once for
    /// all smaller `k`, and kept.
    pub(crate) fn truth(
        &self,
        k: usize,
        most: usize,
        own: bool,
        report: &Reporter,
    ) -> Result<(IdMatrix, Option<DistanceMatrix>), Failure> {
        if let Some(spec) = self.set.truth.as_ref().filter(|_| !own) {
            let ids = read_ids(spec)?;
            if ids.k() >= k {
                return Ok((ids, None));
            }
        }
        let [ids, distances] = ["", "-distances"].map(|what| format!("truth-k{most}{what}.npy"));
        let path = self.folder.join(&ids);
        if !path.is_file() {
            let k = u32::try_from(most).map_err(|_| Failure::usage("--k is too large"))?;
            let wanted = Wanted {
                input: &self.set.base,
                queries: &self.set.queries,
                metric: self.set.metric,
                k,
                ids: None,
                threads: 0,
            };
            let neighbors = find(&wanted, report)?;
            let room = self.make_room()?;
            write_distances(&room.join(&distances), &neighbors.distances)?;
            write_ids(&room.join(&ids), &neighbors.ids)?;
            // Whoever finds the ids finds the distances, too.
            fs::rename(room.join(&distances), self.folder.join(&distances))?;
            fs::rename(room.join(&ids), &path)?;
            fs::remove_dir(&room)?;
        }
        let distances = self.folder.join(distances);
        Ok((read_ids(&path.into())?, Some(read_distances(&distances.into())?)))
    }
}

impl Cache {
    /// The folder of the true `k` nearest at each search step of a runbook, found once and kept.
    pub(crate) fn runbook_truth(
        &self,
        path: &Path,
        runbook: &Runbook,
        base: &Base,
        queries: &Queries,
        k: usize,
        report: &Reporter,
    ) -> Result<PathBuf, Failure> {
        let key = format!("{} k{k}", file_state(path)?);
        let folder = self.folder.join(format!("runbook-{}", short(&Sha256::digest(key))));
        if !folder.is_dir() {
            let pool = thread_pool(0)?;
            let mut truth = LiveTruth::new(base, queries, self.set.metric, k, &pool);
            let partial = self.make_room()?;
            write_truth(runbook, &mut truth, &partial, report)?;
            fs::rename(&partial, &folder)?;
        }
        Ok(folder)
    }
}

/// What a record says of the index beside it, if there is one.
fn recorded(record: &Path, index: &Path) -> Result<Option<Built>, Failure> {
    let Ok(text) = fs::read(record) else { return Ok(None) };
    let built: Built = serde_json::from_slice(&text).map_err(|e| {
        Failure::data(format!("{} cannot be read: {e}", record.display())).next("remove its folder")
    })?;
    Ok(Some(Built { index: index.to_owned(), ..built }))
}

/// What the building process told.
fn read_report(spec: &BuildSpec, told: &Value) -> Result<Built, Failure> {
    let incomplete = || Failure::new(Exit::Internal, "the build did not tell all that it should");
    let report = &told["build"];
    let number = |value: &Value| value.as_f64().ok_or_else(incomplete);
    let stages = report["seconds"].as_array().ok_or_else(incomplete)?;
    let mut seconds = 0.0;
    for stage in stages {
        seconds += number(&stage[1])?;
    }
    let made = &report["meta"]["build"];
    let mut build = spec.params();
    let alpha = made["alpha"].as_f64().map(|alpha| as_written(alpha as f32));
    build.insert("alpha".to_owned(), json!(alpha));
    build.insert("backfill".to_owned(), made["backfill"].clone());
    build.insert("threads".to_owned(), json!(spec.threads));
    Ok(Built {
        index: PathBuf::new(),
        build,
        seconds,
        peak_mib: told["peak_resident_mib"].as_f64(),
        bytes_per_vector: number(&report["file_bytes"])? / number(&report["n"])?.max(1.0),
        writer: report["meta"]["writer"].as_str().ok_or_else(incomplete)?.to_owned(),
        commit: COMMIT.map(str::to_owned),
    })
}
