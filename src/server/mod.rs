//! The server: HTTP in front of indexes. The only place that knows tokio or the wire.
//!
//! | file | role |
//! |---|---|
//! | `mod.rs` | [`serve`]: from indexes and a configuration to a running server and its end |
//! | `config.rs` | [`ServeArgs`]: flags and environment; [`run`]: what `vicinage serve` does |
//! | `state.rs` | what handlers share: indexes, limits, search threads, metrics |
//! | `connections.rs` | sockets: accepting, slow clients, draining |
//! | `routes.rs`, `admin.rs` | the two ports; `routes.rs` also makes the OpenAPI document |
//! | `page.rs`, `page/` | the page at `/` |
//! | `request.rs` | bytes to a checked search call |
//! | `pool.rs`, `search.rs` | the search threads, and what one does with a call |
//! | `warm.rs` | reading an index into memory before `/readyz` says yes |
//! | `wire.rs` | what JSON looks like |
//! | `error.rs` | every error and its problem document |
//! | `metrics.rs` | what `/metrics` shows |
//!
//! A search call takes this way: the async side reads the whole body, takes a permit of the one
//! semaphore (or answers 503 at once) and queues the call; a search thread parses, searches and
//! writes the reply; the async side sends it. A client that goes away drops the call's channel,
//! and the search thread passes over it.
//!
//! The server opens no index, follows no path and fetches no URL that a client names: names are
//! looked up among the indexes it was started with.

mod admin;
mod config;
mod connections;
mod error;
mod metrics;
mod page;
mod pool;
mod request;
mod routes;
mod search;
mod state;
mod warm;
mod wire;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

pub use config::{RunError, ServeArgs, run};
pub use routes::openapi;

use crate::index::{Index, LoadMode};
use state::App;

/// How long requests in hand may take after the server was told to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);

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

fn check_indexes(indexes: &[ServedIndex]) -> Result<(), ServeError> {
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

/// Serves `indexes` until `shutdown` completes, then answers what it has accepted, for at most
/// [`DRAIN_TIME`]. Blocks the calling thread, which needs no runtime of its own.
///
/// `ready` is called once both ports accept connections, with the addresses of the data port and
/// the admin port; the indexes are warmed after that. `shutdown` may be [`signals`], the future of
/// a [`Shutdown`], or any other.
pub fn serve(
    config: &ServerConfig,
    indexes: Vec<ServedIndex>,
    ready: impl FnOnce(SocketAddr, SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    config.check()?;
    check_indexes(&indexes)?;
    let app = Arc::new(App::new(config, indexes).map_err(ServeError::System)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.http_threads)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    let warming = {
        let app = Arc::clone(&app);
        move || warm::warm(&app.hosts.values().cloned().collect::<Vec<_>>(), &app.stopping)
    };
    let result = runtime.block_on(async {
        let (data, bind) = listen(config.bind).await?;
        let (admin, admin_address) = listen(config.admin).await?;
        let (stop, stopped) = Shutdown::new();
        let data = tokio::spawn(connections::serve(
            data,
            routes::router(Arc::clone(&app)),
            Arc::clone(&app),
            stopped,
        ));
        // Until the end: probes and scrapes are answered while the data port drains.
        let admin = tokio::spawn(connections::serve(
            admin,
            admin::router(Arc::clone(&app)),
            Arc::clone(&app),
            std::future::pending(),
        ));
        let warming = std::thread::Builder::new()
            .name("warm".to_owned())
            .spawn(warming)
            .map_err(ServeError::System)?;
        tracing::info!(%bind, admin = %admin_address, indexes = app.hosts.len(), "serving");
        ready(bind, admin_address);
        shutdown.await;
        tracing::info!("stopping: no new connections, answering what was asked");
        app.stopping.store(true, Ordering::Release);
        stop.stop();
        if tokio::time::timeout(DRAIN_TIME, data).await.is_err() {
            tracing::warn!(seconds = DRAIN_TIME.as_secs(), "requests were still running; cut off");
        }
        admin.abort();
        // It looks at `stopping` between its steps; how it ended changes nothing here.
        let _ = warming.join();
        Ok(())
    });
    runtime.shutdown_background();
    tracing::info!("stopped");
    result
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Completes at the first SIGTERM or SIGINT. A second one ends the process at once with 130, for
/// those who do not want to wait for the drain. To be awaited inside [`serve`].
pub async fn signals() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process, which also stops the server.
        tracing::warn!("cannot handle signals; the server will stop without draining");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
}

/// Stops a server from another thread.
#[derive(Debug)]
pub struct Shutdown(oneshot::Sender<()>);

impl Shutdown {
    /// The handle, and the future to pass to [`serve`]. Dropping the handle stops the server too.
    pub fn new() -> (Shutdown, impl Future<Output = ()>) {
        let (sender, receiver) = oneshot::channel();
        let stopped = async {
            // An error says that the handle was dropped.
            let _ = receiver.await;
        };
        (Shutdown(sender), stopped)
    }

    /// Tells the server to stop; does not wait for it.
    pub fn stop(self) {
        // An error says that the server is gone already.
        let _ = self.0.send(());
    }
}
