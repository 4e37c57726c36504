//! What the server adds to a search, beside a bare axum echo of the same sizes.
//!
//! `cargo bench --bench serve` (options: `-- --requests N --load N`). For each vector size and
//! notation: one connection, one query a call, the server on one core and the client on another
//! (`taskset`, where the system has it), echo and server taking turns. The added time of a call is
//! the client's time less the engine's own, as the reply tells it; the bar is that its median be
//! at most twice the echo's. Then a load of 16 connections, all of whose calls must succeed.
//!
//! Server, echo and client are processes of this same program, told apart by `--role`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::serve::ListenerExt;
use base64::Engine;
use vicinage::index::{Index, LoadMode};
use vicinage::server::{ServedIndex, ServerConfig, serve};
use vicinage::types::Metric;

#[path = "common/mod.rs"]
mod common;

use common::{make_index, numbers};

/// Items in the index: enough that a search touches memory as it would, few enough to build fast.
const ITEMS: usize = 5_000;
const DIMS: [usize; 3] = [128, 384, 784];
const ROUNDS: usize = 5;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let number = |name: &str, default: usize| value(name).map_or(Ok(default), str::parse);
    match value("--role") {
        None => compare(number("--requests", 4_000)?, number("--load", 200_000)?),
        Some("server") => run_server(Path::new(value("--index").ok_or("no --index")?)),
        Some("echo") => run_echo(number("--reply", 0)?),
        Some("client") => {
            let address = value("--address").ok_or("no --address")?.parse()?;
            run_client(
                address,
                Path::new(value("--request").ok_or("no --request")?),
                number("--requests", 1)?,
            )
        }
        Some(role) => Err(format!("unknown role {role}").into()),
    }
}

// ---- The comparison

fn compare(requests: usize, load: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    println!(
        "added p50: client's time less search time, 1 connection, {requests} calls x {ROUNDS} rounds"
    );
    println!(
        "{:>5} {:>7} {:>8} {:>8} {:>9} {:>10} {:>10} {:>6}",
        "dim", "as", "request", "reply", "search", "echo p50", "added p50", "ratio"
    );
    for dim in DIMS {
        let index = folder.path().join(format!("dim-{dim}"));
        make_index(&index, ITEMS, dim, Metric::Ip)?;
        let server = Process::start(0, &["--role", "server", "--index", path_text(&index)?])?;
        for base64 in [false, true] {
            let request = folder.path().join("request");
            std::fs::write(&request, request_bytes(dim, base64))?;
            let reply = Connection::open(server.address)?.call(&std::fs::read(&request)?)?.to_vec();
            let body = reply.len() - head_length(&reply)?;
            let echo = Process::start(0, &["--role", "echo", "--reply", &body.to_string()])?;
            let (mut echoes, mut added, mut searches) = (vec![], vec![], vec![]);
            for _ in 0..ROUNDS {
                let [total, _, _] = client(echo.address, &request, requests)?;
                echoes.push(total);
                let [_, less_search, search] = client(server.address, &request, requests)?;
                added.push(less_search);
                searches.push(search);
            }
            let (echo, added) = (median(&mut echoes), median(&mut added));
            println!(
                "{dim:>5} {:>7} {:>6} B {body:>6} B {:>6.0} us {echo:>7.1} us {added:>7.1} us {:>6.2}",
                if base64 { "base64" } else { "numbers" },
                std::fs::metadata(&request)?.len(),
                median(&mut searches),
                added / echo
            );
        }
    }
    under_load(folder.path(), load)
}

/// A client process on the other core; medians of total, total less search, and search, in µs.
fn client(address: SocketAddr, request: &Path, requests: usize) -> Result<[f64; 3]> {
    let arguments = [
        "--role",
        "client",
        "--address",
        &address.to_string(),
        "--request",
        path_text(request)?,
        "--requests",
        &requests.to_string(),
    ];
    let output = pinned(1, &arguments)?.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> =
        text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(numbers.try_into().map_err(|_| format!("client said {text:?}"))?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn under_load(folder: &Path, load: usize) -> Result<()> {
    const CONNECTIONS: usize = 16;
    let dim = DIMS[0];
    let index = folder.join(format!("dim-{dim}"));
    let server = Process::start(0, &["--role", "server", "--index", path_text(&index)?])?;
    let request = request_bytes(dim, false);
    let started = Instant::now();
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| -> std::result::Result<Vec<f64>, String> {
                    let mut connection =
                        Connection::open(server.address).map_err(|error| error.to_string())?;
                    (0..load / CONNECTIONS)
                        .map(|_| {
                            let sent = Instant::now();
                            connection.call(&request).map_err(|error| error.to_string())?;
                            Ok(micros(sent))
                        })
                        .collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<std::result::Result<Vec<_>, _>>()
    })?
    .concat();
    let seconds = started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[(part * (times.len() - 1) as f64) as usize];
    println!(
        "{} calls at {CONNECTIONS} connections, {dim} dim: 0 errors, {:.0} calls/s, p50 {:.0} us, p99 {:.0} us",
        times.len(),
        times.len() as f64 / seconds,
        at(0.5),
        at(0.99)
    );
    Ok(())
}

// ---- Processes

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts a role that says its address on the first line.
    fn start(core: usize, arguments: &[&str]) -> Result<Process> {
        let mut child = pinned(core, arguments)?.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        Ok(Process { address: line.trim().parse()?, child })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program on one core, where `taskset` is there to see to it.
fn pinned(core: usize, arguments: &[&str]) -> Result<Command> {
    let program = std::env::current_exe()?;
    let core = core.to_string();
    let can = Command::new("taskset").args(["-c", &core, "true"]).stderr(Stdio::null()).status();
    let mut command = match can {
        Ok(status) if status.success() => {
            let mut command = Command::new("taskset");
            command.args(["-c", &core]).arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.args(arguments).stdin(Stdio::null());
    Ok(command)
}

fn path_text(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or("the temporary folder's name is not UTF-8")?)
}

fn run_server(index: &Path) -> Result<()> {
    let indexes = vec![ServedIndex {
        name: "bench".to_owned(),
        index: Arc::new(Index::open(index, LoadMode::Mmap)?),
        load: LoadMode::Mmap,
        examples: Vec::new(),
    }];
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    // Pinned to one core, more threads than one of each kind would only take turns.
    let config = ServerConfig {
        bind: free,
        admin: free,
        search_threads: 1,
        http_threads: 1,
        ..ServerConfig::default()
    };
    serve(&config, indexes, |data, _| println!("{data}"), std::future::pending())?;
    Ok(())
}

/// Reads the whole body and answers with as many bytes as the server does.
fn run_echo(reply: usize) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let body = Bytes::from(vec![b'x'; reply]);
        let echo = move |request: Bytes| {
            assert!(!request.is_empty());
            std::future::ready(body.clone())
        };
        let router =
            axum::Router::new().route("/v1/indexes/{name}/search", axum::routing::post(echo));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        tokio::spawn(async move { axum::serve(listener, router).await }).await??;
        Ok(())
    })
}

fn run_client(address: SocketAddr, request: &Path, requests: usize) -> Result<()> {
    let request = std::fs::read(request)?;
    let mut connection = Connection::open(address)?;
    let (mut total, mut less, mut search) = (vec![], vec![], vec![]);
    for at in 0..requests + requests / 10 {
        let sent = Instant::now();
        let reply = connection.call(&request)?;
        let time = micros(sent);
        // The echo has none.
        let engine = search_us(reply).unwrap_or(0.0);
        if at >= requests / 10 {
            total.push(time);
            less.push(time - engine);
            search.push(engine);
        }
    }
    println!("{} {} {}", median(&mut total), median(&mut less), median(&mut search));
    Ok(())
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

fn search_us(reply: &[u8]) -> Option<f64> {
    let tail = std::str::from_utf8(&reply[reply.len().saturating_sub(64)..]).ok()?;
    tail.rsplit_once("\"search\":")?.1.split('}').next()?.parse().ok()
}

// ---- HTTP

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; 1 << 20] })
    }

    /// Sends a request and returns the whole reply; anything but 200 is an error.
    fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            let bytes = self.stream.read(&mut self.buffer[filled..])?;
            if bytes == 0 {
                return Err("the server closed the connection".into());
            }
            filled += bytes;
            let reply = &self.buffer[..filled];
            if let Ok(head) = head_length(reply)
                && filled >= head + content_length(&reply[..head])?
            {
                break;
            }
        }
        let reply = &self.buffer[..filled];
        match reply.starts_with(b"HTTP/1.1 200 ") {
            true => Ok(reply),
            false => Err(String::from_utf8_lossy(reply).into()),
        }
    }
}

fn head_length(reply: &[u8]) -> Result<usize> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n");
    Ok(end.ok_or("no end of the head")? + 4)
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(line.ok_or("no content-length")?.parse()?)
}

fn request_bytes(dim: usize, base64: bool) -> Vec<u8> {
    let vector = numbers(2, dim);
    let query = if base64 {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        serde_json::json!({ "vector_b64": text })
    } else {
        serde_json::json!({ "vector": vector })
    };
    let body = serde_json::json!({ "queries": [query], "k": 10 }).to_string();
    let length = body.len();
    format!(
        "POST /v1/indexes/bench/search HTTP/1.1\r\nhost: bench\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
