//! `space.toml`: of what embedding space vectors are, as whoever exports them says.
//!
//! ```toml
//! family = "jobs-two-tower"
//! checkpoint = "2026-11-25"
//! dim = 64
//! normalization = "none"      # or "unit"
//! metric = "ip"
//! tower = "user"              # or "item", "shared"
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use vicinage::index::{Index, Space, SpacePolicy};

use crate::datasets::io;
use crate::exit::Failure;

/// The longest file.
const MOST_BYTES: u64 = 1 << 16;

/// `--space` of the verbs that ask an index.
#[derive(Args, Clone, Debug)]
pub(crate) struct SpaceArgs {
    /// The space.toml that was exported with the queries: they must be of the space of the index
    #[arg(long, value_name = "FILE")]
    space: Option<PathBuf>,
}

impl SpaceArgs {
    /// Holds the space of the queries, if it is known, against that of the index.
    pub(crate) fn check(&self, index: &Index) -> Result<(), Failure> {
        let Some(path) = &self.space else { return Ok(()) };
        let (space, info) = (read(path)?, index.info());
        let about = |error| Failure::of(&error).about(&path.display().to_string());
        space.check(info.dim, info.metric).map_err(about)?;
        let (of_index, of_queries) = (info.space_id.as_deref(), space.id());
        SpacePolicy::Required.check(of_index, Some(&of_queries)).map_err(about)?;
        Ok(())
    }
}

/// Reads a `space.toml`.
pub(crate) fn read(path: &Path) -> Result<Space, Failure> {
    let unfit = || Failure::data(format!("{} does not describe a space", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| io("open", path, &error))?;
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| io("read", path, &error))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(unfit().expected(format!("at most {MOST_BYTES} bytes"), "more"));
    }
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        unfit().at(format!("line {line}")).detail("error", error.message()).next(
            "it has family, checkpoint, dim, normalization (none, unit), metric and tower (item, \
             user, shared)",
        )
    })
}
