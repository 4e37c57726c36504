//! datasets fetch, from a server of our own on the loopback interface.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Ran, command, finish};

/// A set of one file whose length the catalog does not know, and that file.
const SET: &str = "movielens-32m";
const FILE: &str = "ml-32m.zip";

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Whole,
    /// Closes each connection after so many bytes of body.
    Cut(usize),
    /// Closes each connection after so many bytes, and sends everything whatever was asked for.
    CutAndIgnoreRange(usize),
    IgnoreRange,
    /// Answers a range with another one.
    WrongRange,
    NotFound,
    /// Says that the file has changed since.
    Changed,
    RedirectForEver,
}

struct Server {
    address: String,
    way: Arc<Mutex<Way>>,
    /// The `Range` of each request; empty for one without.
    asked: Arc<Mutex<Vec<String>>>,
}

fn body() -> Vec<u8> {
    (0..100_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

impl Server {
    /// Serves until the test ends.
    fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/sets", listener.local_addr().unwrap());
        let (way, asked) = (Arc::new(Mutex::new(way)), Arc::new(Mutex::new(Vec::new())));
        let server = Self { address, way: way.clone(), asked: asked.clone() };
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is part of the tests.
                let way = *way.lock().unwrap();
                let _ = answer(&mut stream.unwrap(), way, &asked);
            }
        });
        server
    }

    fn turn(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn fetch(&self, dir: &Path, name: &str) -> Ran {
        let words =
            format!("datasets fetch {name} --to set --from {} --progress none", self.address);
        let mut command = command(dir, &words);
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        finish(command.spawn().unwrap())
    }
}

fn answer(stream: &mut TcpStream, way: Way, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (mut range, mut condition, mut path) = (String::new(), String::new(), String::new());
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("range: ") {
            range = value.to_owned();
        } else if let Some(value) = line.split_once(": ").filter(|_| lower.starts_with("if-range"))
        {
            condition = value.1.to_owned();
        } else if line.starts_with("GET ") {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        } else if line.is_empty() {
            break;
        }
    }
    asked.lock().unwrap().push(range.clone());
    let etag = if way == Way::Changed { "\"second\"" } else { "\"first\"" };
    let mut body = body();
    if way == Way::Changed {
        body.reverse();
    }
    let from: Option<usize> = range
        .strip_prefix("bytes=")
        .and_then(|range| range.trim_end_matches('-').parse().ok())
        .filter(|_| {
            condition == etag && !matches!(way, Way::IgnoreRange | Way::CutAndIgnoreRange(_))
        });
    if way == Way::NotFound || !path.ends_with(&format!("/{FILE}")) && !path.ends_with(".zip") {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    }
    if way == Way::RedirectForEver {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return stream.write_all(head.as_bytes());
    }
    let total = body.len();
    let first = from.unwrap_or(0);
    let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
    let said = if way == Way::WrongRange { 0 } else { first };
    let range = match from {
        Some(_) => format!("Content-Range: bytes {said}-{}/{total}\r\n", total - 1),
        None => String::new(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: {etag}\r\n{range}Connection: close\r\n\r\n",
        total - first
    );
    stream.write_all(head.as_bytes())?;
    let end = match way {
        Way::Cut(bytes) | Way::CutAndIgnoreRange(bytes) => (first + bytes).min(total),
        _ => total,
    };
    stream.write_all(&body[first..end])
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("set")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_whole(dir: &Path) {
    assert_eq!(names(dir), ["checksums.toml", FILE]);
    assert!(fs::read(dir.join("set").join(FILE)).unwrap() == body());
}

#[test]
fn a_file_is_fetched_once_and_put_on_record() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Way::Whole));
    server.fetch(dir.path(), SET).ok().says(&[FILE, "97.7 KiB", "put on record", "research only"]);
    assert_whole(dir.path());
    assert_eq!(server.asked(), [""]);
    let record = fs::read_to_string(dir.path().join("set/checksums.toml")).unwrap();
    assert!(record.contains("bytes = 100000") && record.contains(&server.address), "{record}");
    server.fetch(dir.path(), SET).ok().says(&["against the first fetch"]);
    assert!(server.asked().is_empty());
}

#[test]
fn a_broken_connection_is_gone_on_from() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Way::Cut(40_000)));
    server.fetch(dir.path(), SET).ok();
    assert_whole(dir.path());
    assert_eq!(server.asked(), ["", "bytes=40000-", "bytes=80000-"]);
}

#[test]
fn a_fetch_that_was_given_up_goes_on_later() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Way::Cut(5_000)));
    server.fetch(dir.path(), SET).fails(69, &["broke off", "goes on from 24.4 KiB"]);
    assert_eq!(names(dir.path()), [format!("{FILE}.part"), format!("{FILE}.part.toml")]);
    server.turn(Way::Whole);
    server.asked();
    server.fetch(dir.path(), SET).ok();
    assert_whole(dir.path());
    assert_eq!(server.asked(), ["bytes=25000-"]);
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_for_everything_again() {
    let (dir, server) =
        (tempfile::tempdir().unwrap(), Server::start(Way::CutAndIgnoreRange(5_000)));
    // The second connection brings no more than the first: it is given up.
    server.fetch(dir.path(), SET).fails(69, &["broke off"]);
    server.turn(Way::IgnoreRange);
    server.fetch(dir.path(), SET).ok();
    assert_whole(dir.path());
}

#[test]
fn a_file_that_changed_meanwhile_begins_anew() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Way::Cut(5_000)));
    server.fetch(dir.path(), SET).fails(69, &[]);
    server.turn(Way::Changed);
    server.fetch(dir.path(), SET).ok();
    let mut other = body();
    other.reverse();
    assert!(fs::read(dir.path().join("set").join(FILE)).unwrap() == other);
}

#[test]
fn a_wrong_part_is_refused_and_forgotten() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Way::Cut(5_000)));
    server.fetch(dir.path(), SET).fails(69, &[]);
    server.turn(Way::WrongRange);
    server.fetch(dir.path(), SET).fails(69, &["another part", "bytes from 25000", "begins anew"]);
    assert!(names(dir.path()).is_empty());
    server.fetch(dir.path(), SET).ok();
    assert_whole(dir.path());
}

#[test]
fn lengths_and_checksums_that_differ_are_refused() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Way::Whole));
    // The catalog knows the length of this one.
    server
        .fetch(dir.path(), "movielens-20m")
        .fails(65, &["length", "198702078", "100000", "--from"]);
    assert!(names(dir.path()).is_empty());

    server.fetch(dir.path(), SET).ok();
    let file = dir.path().join("set").join(FILE);
    fs::write(&file, b"something else").unwrap();
    server.fetch(dir.path(), SET).fails(65, &[FILE, "sha256", "fetch again"]);
    fs::remove_file(&file).unwrap();
    server.turn(Way::Changed);
    server.fetch(dir.path(), SET).fails(65, &[FILE, "sha256", "checksums.toml"]);
    assert_eq!(names(dir.path()), ["checksums.toml"]);
    server.turn(Way::Whole);
    server.fetch(dir.path(), SET).ok();
    assert_whole(dir.path());
}

#[test]
fn what_is_not_there_is_said() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(Way::NotFound));
    server.fetch(dir.path(), SET).fails(69, &["404", FILE, "--from"]);
    server.turn(Way::RedirectForEver);
    server.fetch(dir.path(), SET).fails(69, &["redirect", "mirror"]);
    server.fetch(dir.path(), "movielens").fails(2, &["movielens", "datasets list"]);
    server.fetch(dir.path(), "onet-jobs").fails(2, &["source tree"]);
    // The port of a protocol that nobody speaks any more.
    let gone = Server { address: "http://127.0.0.1:1".to_owned(), ..server };
    gone.fetch(dir.path(), SET).fails(69, &["cannot be fetched", "network"]);
}
