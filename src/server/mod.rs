//! The server: HTTP in front of indexes. The only place that knows tokio or the wire.
//!
//! | file | role |
//! |---|---|
//! | `mod.rs` | [`serve`]: from indexes and a configuration to a running server and its end |
//! | `cli.rs` | [`ServeArgs`]: flags and environment; [`run`]: what `vicinage serve` does |
//! | `config.rs` | [`ServerConfig`], [`ServedIndex`]: what a server is told, and whether it can be |
//! | `host.rs` | one served index, and how warm it is |
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
mod cli;
mod config;
mod connections;
mod error;
mod host;
mod metrics;
mod page;
mod pool;
mod request;
mod routes;
mod search;
mod state;
mod warm;
mod wire;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

pub use cli::{RunError, ServeArgs, run};
pub use config::{Examples, Limits, ServeError, ServedIndex, ServerConfig};
pub use routes::openapi;
pub use wire::rfc3339;

use config::check_indexes;
use state::App;

/// How long requests in hand may take after the server was told to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Serves `indexes` until `shutdown` completes, then answers what it has accepted, for at most
/// [`DRAIN_TIME`]. Blocks the calling thread, which needs no runtime of its own.
///
/// `ready` is called once both ports accept connections, with the addresses of the data port and
/// the admin port; the indexes are warmed after that. `shutdown` may be [`signals`], the future of
/// a [`Shutdown`], or any other; it is polled before `ready` is called.
pub fn serve(
    config: &ServerConfig,
    indexes: Vec<ServedIndex>,
    ready: impl FnOnce(SocketAddr, SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    config.check()?;
    check_indexes(&indexes, config.space_policy)?;
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
        // A future such as `signals` takes hold when it is first polled: who reads that the server is ready
        // may stop it at once.
        let mut shutdown = std::pin::pin!(shutdown);
        let stopped = poll_fn(|context| Poll::Ready(shutdown.as_mut().poll(context))).await;
        ready(bind, admin_address);
        if stopped.is_pending() {
            shutdown.await;
        }
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
