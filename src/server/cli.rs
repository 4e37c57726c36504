//! `vicinage serve`: flags and environment, opening the indexes, exit codes.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::BoolishValueParser;
use tracing::level_filters::LevelFilter;

use super::config::{Limits, ServeError, ServedIndex, ServerConfig};
use super::{serve, signals};
use crate::error::FileError;
use crate::format::mapping::install_sigbus_handler;
use crate::index::{Index, LoadMode, OpenError, SpacePolicy};

/// The file that makes a directory an index.
const MANIFEST: &str = "MANIFEST.json";

/// Serves indexes over HTTP.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  vicinage serve --root indexes/
      every index below indexes/, each by the name of its folder
  vicinage serve --index indexes/jobs --index /data/items --load mmap
      two indexes, mapped: the ports open at once, pages are read as they are touched
  vicinage serve --root indexes/ --bind 0.0.0.0:7700 --allow-remote
      reachable from other machines; put authentication in front
  curl -s localhost:7700/v1/indexes/jobs/search -H 'content-type: application/json' \\
       -d '{\"queries\":[{\"item_id\":7}],\"k\":10}'

Exit codes: 0 stopped by a signal, 1 internal, 2 usage, 65 no index there, 69 address in use,
74 file cannot be read, 76 corrupt index, 130 interrupted twice.")]
#[group(id = "which", required = true, multiple = true, args = ["root", "index"])]
pub struct ServeArgs {
    /// Serve every index directory directly below DIR, by folder name
    #[arg(long, value_name = "DIR", env = "VICINAGE_ROOT")]
    root: Option<PathBuf>,
    /// Serve the index directory DIR, by folder name; may be repeated
    #[arg(long, value_name = "DIR", env = "VICINAGE_INDEX", value_delimiter = ',')]
    index: Vec<PathBuf>,
    /// Address of the data port: searches and the page
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7700", env = "VICINAGE_BIND")]
    bind: SocketAddr,
    /// Address of the admin port: /livez, /readyz, /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7701", env = "VICINAGE_ADMIN")]
    admin: SocketAddr,
    /// Allow addresses that other machines can reach; there is no authentication
    #[arg(long, env = "VICINAGE_ALLOW_REMOTE", value_parser = BoolishValueParser::new())]
    allow_remote: bool,
    /// How index files get into memory: copy (of its own, in huge pages; the files may then change),
    /// mmap (as touched: for indexes larger than memory), populate (mapped and read at start)
    #[arg(long, value_name = "MODE", default_value = "copy", env = "VICINAGE_LOAD")]
    load: LoadMode,
    /// Threads that search [default: one per core]
    #[arg(long, value_name = "N", env = "VICINAGE_SEARCH_THREADS")]
    search_threads: Option<usize>,
    /// Threads that move bytes [default: a quarter of the cores, 1 to 8]
    #[arg(long, value_name = "N", env = "VICINAGE_HTTP_THREADS")]
    http_threads: Option<usize>,
    /// Search calls waiting or running; one more gets 503 [default: 32 per core, at least 64]
    #[arg(long, value_name = "N", env = "VICINAGE_MAX_CONCURRENT")]
    max_concurrent: Option<usize>,
    /// Largest request body in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_body_bytes,
          env = "VICINAGE_MAX_BODY")]
    max_body: usize,
    /// Most items a query may ask for
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_k,
          env = "VICINAGE_MAX_K")]
    max_k: usize,
    /// Most queries in one call
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_queries,
          env = "VICINAGE_MAX_QUERIES")]
    max_queries: usize,
    /// What is done with calls that do not name the space of their vectors: required (they are
    /// refused), warn (answered with a warning), ignore (answered, also where they name another one)
    #[arg(long, value_name = "POLICY", default_value_t, env = "VICINAGE_SPACE_POLICY")]
    space_policy: SpacePolicy,
    /// What to log to standard error: off, error, warn, info, or debug (a line for every request)
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "VICINAGE_LOG")]
    log: LevelFilter,
}

/// Why `vicinage serve` ended with an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The root cannot be listed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The root holds no index.
    #[error("no index below {}: none of its folders holds a MANIFEST.json; build one with index-tools build --out {}/NAME", path.display(), path.display())]
    NoIndex {
        /// The root given.
        path: PathBuf,
    },
    /// A directory given with `--index` is none.
    #[error("{} is not an index: it holds no MANIFEST.json; build one with index-tools build", path.display())]
    NotAnIndex {
        /// The directory given.
        path: PathBuf,
    },
    /// An index cannot be opened.
    #[error("cannot open the index {}: {source}", path.display())]
    Open {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        source: Box<OpenError>,
    },
    /// The instruction set asked for cannot be used.
    #[error(transparent)]
    Isa(#[from] crate::kernels::IsaError),
    /// The server could not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl RunError {
    /// The exit code of the process, after sysexits(3).
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::File(_) => 74,
            RunError::Isa(_) => 2,
            RunError::NoIndex { .. } | RunError::NotAnIndex { .. } => 65,
            // What is no system error is a fault in the bytes.
            RunError::Open { source, .. } => match system_error(source.as_ref()) {
                true => 74,
                false => 76,
            },
            RunError::Serve(error) => match error {
                ServeError::Limit { .. }
                | ServeError::Remote { .. }
                | ServeError::Name { .. }
                | ServeError::DuplicateName { .. }
                | ServeError::NoSpace { .. }
                | ServeError::Example { .. } => 2,
                ServeError::Bind { .. } => 69,
                ServeError::System(_) => 1,
            },
        }
    }
}

fn system_error(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<std::io::Error>())
}

/// Opens the indexes and serves them until a signal; logs to standard error.
pub fn run(args: &ServeArgs) -> Result<(), RunError> {
    tracing_subscriber::fmt()
        .with_max_level(args.log)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let config = args.config();
    // Before the indexes are opened, which may take long.
    config.check()?;
    let isa = crate::kernels::active()?;
    tracing::info!(isa = isa.name(), "distance kernels");
    if let Err(error) = install_sigbus_handler() {
        tracing::warn!(%error, "a truncated index file will end the process without naming it");
    }
    let mut indexes = Vec::new();
    for path in args.directories()? {
        indexes.push(open(&path, args.load)?);
    }
    let ready = |data: SocketAddr, _| tracing::info!("the page is at http://{data}/");
    Ok(serve(&config, indexes, ready, signals())?)
}

impl ServeArgs {
    fn config(&self) -> ServerConfig {
        let default = ServerConfig::default();
        ServerConfig {
            bind: self.bind,
            admin: self.admin,
            allow_remote: self.allow_remote,
            search_threads: self.search_threads.unwrap_or(default.search_threads),
            http_threads: self.http_threads.unwrap_or(default.http_threads),
            max_concurrent: self.max_concurrent.unwrap_or(default.max_concurrent),
            limits: Limits {
                max_body_bytes: self.max_body,
                max_k: self.max_k,
                max_queries: self.max_queries,
            },
            space_policy: self.space_policy,
        }
    }

    /// The index directories asked for, those below the root by name.
    fn directories(&self) -> Result<Vec<PathBuf>, RunError> {
        let mut directories = Vec::new();
        for path in &self.index {
            if !path.join(MANIFEST).is_file() {
                return Err(RunError::NotAnIndex { path: path.clone() });
            }
            directories.push(path.clone());
        }
        if let Some(root) = &self.root {
            let entries = std::fs::read_dir(root).map_err(FileError::at("list", root))?;
            let mut found = Vec::new();
            for entry in entries {
                let path = entry.map_err(FileError::at("list", root))?.path();
                if path.join(MANIFEST).is_file() {
                    found.push(path);
                }
            }
            if found.is_empty() {
                return Err(RunError::NoIndex { path: root.clone() });
            }
            found.sort();
            directories.append(&mut found);
        }
        Ok(directories)
    }
}

fn open(path: &Path, load: LoadMode) -> Result<ServedIndex, RunError> {
    let name = match path.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        // "." and ".." have no name of their own.
        None => {
            let path = path.canonicalize().map_err(FileError::at("open", path))?;
            path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned()
        }
    };
    let index = Index::open(path, load)
        .map_err(|source| RunError::Open { path: path.to_owned(), source: Box::new(source) })?;
    let info = index.info();
    tracing::info!(index = name, n = info.n, dim = info.dim, metric = %info.metric, "opened");
    Ok(ServedIndex { name, index: Arc::new(index), load, examples: Vec::new() })
}
