//! What a server is told when it starts, and whether it can be served.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::index::{Index, LoadMode, SpacePolicy};

/// Bounds on what one call may ask.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request body, 1 KiB to 1 GiB.
    pub max_body_bytes: usize,
    /// Most items a query may ask for, 1 to 100,000.
    pub max_k: usize,
    /// Most queries in one call, 1 to 65,536.
    pub max_queries: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_body_bytes: 8 << 20, max_k: 10_000, max_queries: 1_024 }
    }
}

/// What a server is told when it starts.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where searches and the page are served; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub admin: SocketAddr,
    /// Allows addresses that other machines can reach. There is no authentication.
    pub allow_remote: bool,
    /// Threads that search, 1 to 1,024.
    pub search_threads: usize,
    /// Threads that move bytes, 1 to 64.
    pub http_threads: usize,
    /// Search calls waiting or running; one more gets 503. 1 to 65,536.
    pub max_concurrent: usize,
    /// What one call may ask.
    pub limits: Limits,
    /// What is done with calls that do not say of what space their vectors are.
    pub space_policy: SpacePolicy,
}

impl Default for ServerConfig {
    /// Loopback only, ports 7700 and 7701, a search thread per core.
    fn default() -> ServerConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        ServerConfig {
            bind: loopback(7700),
            admin: loopback(7701),
            allow_remote: false,
            search_threads: cores.min(1_024),
            http_threads: (cores / 4).clamp(1, 8),
            max_concurrent: (32 * cores).clamp(64, 4_096),
            limits: Limits::default(),
            space_policy: SpacePolicy::default(),
        }
    }
}

/// A query that comes with an index, to be tried on the page.
#[derive(Clone, Debug)]
pub struct Examples {
    /// Short, for a list.
    pub label: String,
    /// What the query stands for, in words.
    pub lines: Vec<String>,
    /// Its vector, as long as the index has dimensions.
    pub vector: Vec<f32>,
}

/// An index to serve.
#[derive(Clone)]
pub struct ServedIndex {
    /// Its name in paths: letters, digits, `.`, `_` and `-`, starting with a letter or digit,
    /// at most 128.
    pub name: String,
    /// The index.
    pub index: Arc<Index>,
    /// How it was opened; decides what warming it means.
    pub load: LoadMode,
    /// Queries to try; may be empty.
    pub examples: Vec<Examples>,
}

/// Why a server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A limit outside its range.
    #[error("{name} is {found}; it must be {min} to {max}")]
    Limit {
        /// The flag that sets it.
        name: &'static str,
        /// The value given.
        found: usize,
        /// Smallest value allowed.
        min: usize,
        /// Largest value allowed.
        max: usize,
    },
    /// An address that other machines can reach, without leave.
    #[error(
        "{name} {address} can be reached from other machines, and there is no authentication; \
         pass --allow-remote if that is wanted"
    )]
    Remote {
        /// The flag that sets it.
        name: &'static str,
        /// The address given.
        address: SocketAddr,
    },
    /// A name that cannot stand in a path.
    #[error(
        "{name:?} cannot name an index: use letters, digits, '.', '_' and '-', starting with a \
         letter or digit, at most 128"
    )]
    Name {
        /// The name given.
        name: String,
    },
    /// Two indexes of one name.
    #[error("two indexes are named {name:?}; rename one of the folders")]
    DuplicateName {
        /// The name both have.
        name: String,
    },
    /// Calls must name the space of an index that has none.
    #[error(
        "calls must name their space (--space-policy required), and index {name:?} was built without \
         one; build it with index-tools build --space"
    )]
    NoSpace {
        /// The index.
        name: String,
    },
    /// An example whose vector cannot be searched for in its index.
    #[error("example {at} of index {name:?} has {found} components; the index has {expected}")]
    Example {
        /// The index.
        name: String,
        /// Position of the example.
        at: usize,
        /// Dimensions of the index.
        expected: usize,
        /// Length of the vector.
        found: usize,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another server running there?")]
    Bind {
        /// The address given.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no threads or signals.
    #[error("cannot start the server: {0}")]
    System(#[source] io::Error),
}

impl ServerConfig {
    /// Checks every limit and address.
    pub fn check(&self) -> Result<(), ServeError> {
        let limits = [
            ("--max-body", self.limits.max_body_bytes, 1 << 10, 1 << 30),
            ("--max-k", self.limits.max_k, 1, 100_000),
            ("--max-queries", self.limits.max_queries, 1, 65_536),
            ("--max-concurrent", self.max_concurrent, 1, 65_536),
            ("--search-threads", self.search_threads, 1, 1_024),
            ("--http-threads", self.http_threads, 1, 64),
        ];
        for (name, found, min, max) in limits {
            if !(min..=max).contains(&found) {
                return Err(ServeError::Limit { name, found, min, max });
            }
        }
        for (name, address) in [("--bind", self.bind), ("--admin", self.admin)] {
            if !self.allow_remote && !address.ip().is_loopback() {
                return Err(ServeError::Remote { name, address });
            }
        }
        Ok(())
    }
}

/// Checks names, examples and spaces.
pub(super) fn check_indexes(
    indexes: &[ServedIndex],
    policy: SpacePolicy,
) -> Result<(), ServeError> {
    let mut seen = HashSet::new();
    for ServedIndex { name, index, examples, .. } in indexes {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=128).contains(&name.len())
            || !name.as_bytes()[0].is_ascii_alphanumeric()
            || !name.bytes().all(legal)
        {
            return Err(ServeError::Name { name: name.clone() });
        }
        if !seen.insert(name) {
            return Err(ServeError::DuplicateName { name: name.clone() });
        }
        if policy == SpacePolicy::Required && index.info().space.is_none() {
            return Err(ServeError::NoSpace { name: name.clone() });
        }
        let expected = index.info().dim;
        for (at, example) in examples.iter().enumerate() {
            let found = example.vector.len();
            if found != expected {
                return Err(ServeError::Example { name: name.clone(), at, expected, found });
            }
        }
    }
    Ok(())
}
