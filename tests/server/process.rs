//! The program itself: flags, environment, signals, exit codes.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::Client;
use crate::fixture::{LONG, SEARCH, id, long_call, metric, root, wait_inflight};

fn vicinage(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vicinage"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn root_text() -> &'static str {
    root().to_str().unwrap()
}

/// A running `vicinage serve`; killed when dropped.
struct Process {
    child: Child,
    /// Kept open, so that the server can go on logging.
    _log: BufReader<ChildStderr>,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    fn start(mut command: Command) -> Process {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        // serving bind=ADDRESS admin=ADDRESS
        while !seen.contains(" serving ") || !seen.ends_with('\n') {
            assert_ne!(log.read_line(&mut seen).unwrap(), 0, "ended early: {seen}");
        }
        let after = |key: &str| -> SocketAddr {
            let rest = seen.rsplit_once(key).unwrap().1;
            rest.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (data, admin) = (after("bind="), after("admin="));
        Process { child, _log: log, data, admin }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PORTS: [&str; 4] = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

fn start(arguments: &[&str]) -> Process {
    Process::start(vicinage(&[&["serve"], arguments, &PORTS].concat()))
}

fn output(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = vicinage(arguments).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn a_stopped_server_answers_what_it_was_asked_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let queries = (LONG + 1).to_string();
        let mut server =
            start(&["--root", root_text(), "--search-threads", "2", "--max-queries", &queries]);
        let (data, admin) = (server.data, server.admin);
        let json = [("content-type", "application/json")];
        let mut long = Client::connect(data);
        long.send("POST", SEARCH, &json, long_call(LONG).as_bytes()).unwrap();
        wait_inflight(admin, 1);
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| load_until_closed(data, &answered));
            }
            while answered.load(Ordering::Relaxed) < 100 {
                std::thread::yield_now();
            }
            server.signal(signal);
            // Probes learn of it while the long call is still running.
            let stopping = loop {
                let reply = Client::connect(admin).get("/readyz");
                if reply.status == 503 && reply.json()["status"] == "stopping" {
                    break reply;
                }
                std::thread::yield_now();
            };
            assert_eq!(stopping.status, 503);
        });
        assert_eq!(metric(admin, "vicinage_inflight"), 1.0);
        let reply = long.receive().unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["results"].as_array().unwrap().len(), LONG);
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        assert!(TcpStream::connect(data).is_err());
    }
}

/// Sends one request after the other until the server closes the connection between two of them.
fn load_until_closed(address: SocketAddr, answered: &AtomicUsize) {
    let mut client = Client::connect(address);
    let body = format!("{{\"queries\":[{{\"item_id\":{}}}],\"k\":5}}", id(0));
    loop {
        let reply = client
            .send("POST", SEARCH, &[("content-type", "application/json")], body.as_bytes())
            .and_then(|()| client.receive());
        match reply {
            Ok(reply) => assert_eq!(reply.status, 200, "{}", reply.text()),
            // Closed with nothing answered: HTTP lets the client send it again elsewhere.
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        io::ErrorKind::UnexpectedEof
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::BrokenPipe
                    ),
                    "{error}"
                );
                return;
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once_with_130() {
    let queries = (LONG + 1).to_string();
    let mut server =
        start(&["--root", root_text(), "--search-threads", "1", "--max-queries", &queries]);
    let mut long = Client::connect(server.data);
    long.send("POST", SEARCH, &[("content-type", "application/json")], long_call(LONG).as_bytes())
        .unwrap();
    wait_inflight(server.admin, 1);
    server.signal("INT");
    while Client::connect(server.admin).get("/readyz").json()["status"] != "stopping" {
        std::thread::yield_now();
    }
    server.signal("INT");
    assert_eq!(server.child.wait().unwrap().code(), Some(130));
}

#[test]
fn indexes_are_found_by_root_by_folder_and_by_environment() {
    let toy = root().join("toy");
    let toy = toy.to_str().unwrap();
    let mut by_environment = vicinage(&["serve"]);
    by_environment.envs([
        ("VICINAGE_ROOT", root_text()),
        ("VICINAGE_BIND", "127.0.0.1:0"),
        ("VICINAGE_ADMIN", "127.0.0.1:0"),
        ("VICINAGE_MAX_K", "3"),
        ("VICINAGE_ALLOW_REMOTE", "1"),
    ]);
    for (process, max_k) in [
        (start(&["--root", root_text()]), 10_000),
        (start(&["--index", toy, "--load", "copy"]), 10_000),
        (start(&["--index", toy, "--load", "populate", "--max-k", "7"]), 7),
        (Process::start(by_environment), 3),
    ] {
        let mut client = Client::connect(process.data);
        assert_eq!(client.get("/v1/indexes").json()["indexes"][0]["name"], "toy");
        let ask = |k| format!("{{\"queries\":[{{\"item_id\":{}}}],\"k\":{k}}}", id(0));
        assert_eq!(client.post(SEARCH, &ask(max_k)).status, 200);
        assert_eq!(client.post(SEARCH, &ask(max_k + 1)).status, 422);
    }
}

#[test]
fn every_way_to_fail_has_its_exit_code() {
    let toy = root().join("toy");
    let toy = toy.to_str().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["serve"], 2, "--root"),
        (vec!["serve", "--root", root_text(), "--load", "magic"], 2, "mmap, populate, copy"),
        (vec!["serve", "--root", root_text(), "--max-k", "0"], 2, "--max-k is 0"),
        (vec!["serve", "--root", root_text(), "--search-threads", "0"], 2, "--search-threads"),
        (vec!["serve", "--root", root_text(), "--bind", "0.0.0.0:0"], 2, "--allow-remote"),
        (
            vec!["serve", "--root", root_text(), "--index", toy, "--bind", "127.0.0.1:0"],
            2,
            "two indexes",
        ),
        (vec!["serve", "--root", empty], 65, "no index below"),
        (vec!["serve", "--index", empty], 65, "is not an index"),
        (vec!["serve", "--root", root_text(), "--bind", &taken], 69, "cannot listen"),
        (vec!["serve", "--root", "/nonexistent"], 74, "cannot list /nonexistent"),
    ];
    for (arguments, code, words) in cases {
        let (found, text) = output(&arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

#[test]
fn a_damaged_index_is_refused_with_76() {
    let damaged = tempfile::tempdir().unwrap();
    let index = damaged.path().join("toy");
    std::fs::create_dir(&index).unwrap();
    std::fs::write(index.join("MANIFEST.json"), "{\"this is\": no manifest").unwrap();
    let (code, text) = output(&["serve", "--root", damaged.path().to_str().unwrap()]);
    assert_eq!(code, Some(76), "{text}");
    assert!(text.contains(index.to_str().unwrap()), "{text}");
}

#[test]
fn help_shows_examples() {
    let (code, text) = output(&["serve", "--help"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("Examples:") && text.contains("VICINAGE_BIND"), "{text}");
}
