//! One file over HTTP, into `NAME.part` until it is whole. What was fetched before is kept and gone
//! on from, where the server can say that the file is still the same; otherwise it begins anew.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Agent, Body};
use vicinage::progress::Progress;

use super::checksums::{io, write_whole};
use crate::exit::{Exit, Failure};
use crate::progress::Reporter;
use crate::text::printable;
use crate::units;

/// Broken connections in a row that brought something and are gone on from at once.
const ATTEMPTS: usize = 5;
const REDIRECTS: u32 = 5;
const CONNECT: Duration = Duration::from_secs(20);
/// A server that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// What is fetched, and where to.
pub(crate) struct Download<'a> {
    pub(crate) url: &'a str,
    /// `NAME.part`.
    pub(crate) part: PathBuf,
    /// The length, where the catalog knows it.
    pub(crate) bytes: Option<u64>,
}

/// Beside a part: what it is part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartOf {
    url: String,
    /// A strong ETag, or the time of the last change: with it the server can tell whether the file
    /// is still the same.
    validator: String,
}

/// How one connection ended.
enum Ended {
    Whole,
    /// Broken off, and why.
    Broken(String),
}

/// A client with our limits.
pub(crate) fn client() -> Agent {
    Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .max_redirects(REDIRECTS)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("index-tools/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

impl Download<'_> {
    /// Fetches the file, as a stage of `report`. The part is then whole, and not yet checked.
    pub(crate) fn run(&self, client: &Agent, report: &Reporter) -> Result<(), Failure> {
        let mut attempt = 0;
        loop {
            let before = self.have();
            let ended = self.connect(client, report)?;
            report.finish();
            let Ended::Broken(why) = ended else { break };
            attempt = if self.have() > before { attempt + 1 } else { ATTEMPTS };
            if attempt >= ATTEMPTS {
                return Err(self.broken(&why));
            }
        }
        let _ = fs::remove_file(self.part_of());
        Ok(())
    }

    /// The file beside the part that says what it is part of.
    fn part_of(&self) -> PathBuf {
        let mut name = self.part.clone().into_os_string();
        name.push(".toml");
        name.into()
    }

    /// Bytes of the part that there is.
    fn have(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    /// Removes the part and what is beside it.
    pub(crate) fn discard(&self) {
        for path in [&self.part, &self.part_of()] {
            // What is not there need not be removed.
            let _ = fs::remove_file(path);
        }
    }

    /// One connection: asks for what is missing, and appends it.
    fn connect(&self, client: &Agent, report: &Reporter) -> Result<Ended, Failure> {
        let known = self.known();
        let have = if known.is_some() { self.have() } else { 0 };
        let mut request = client.get(self.url);
        if let (Some(known), true) = (&known, have > 0) {
            request = request
                .header(header::RANGE, format!("bytes={have}-"))
                .header(header::IF_RANGE, &known.validator);
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error @ (ureq::Error::Io(_) | ureq::Error::Timeout(_))) if have > 0 => {
                return Ok(Ended::Broken(error.to_string()));
            }
            Err(error) => return Err(self.unreachable(&error)),
        };
        match response.status() {
            StatusCode::PARTIAL_CONTENT if have > 0 => {
                let range = content_range(response.headers());
                let Some((_, total)) = range.filter(|&(start, _)| start == have) else {
                    self.discard();
                    let found = header(response.headers(), header::CONTENT_RANGE);
                    return Err(self
                        .refused("the server sent another part of the file than was asked for")
                        .expected(format!("bytes from {have} on"), found)
                        .next("run the same command again: it begins anew"));
                };
                self.receive(response, have, Some(total), report)
            }
            StatusCode::OK => {
                let total = response.body().content_length();
                self.begin(response.headers())?;
                self.receive(response, 0, total, report)
            }
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                // The part is longer than the file: it is of another file, or was whole.
                self.discard();
                self.connect(client, report)
            }
            status => Err(self.status(status)),
        }
    }

    /// What the part on disk is part of, if that is what is fetched.
    fn known(&self) -> Option<PartOf> {
        let text = fs::read_to_string(self.part_of()).ok()?;
        toml::from_str::<PartOf>(&text).ok().filter(|part| part.url == self.url)
    }

    /// Begins a part anew.
    fn begin(&self, headers: &HeaderMap) -> Result<(), Failure> {
        self.discard();
        let strong = |tag: &String| !tag.starts_with("W/");
        let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        let validator = text(header::ETAG).filter(strong).or_else(|| text(header::LAST_MODIFIED));
        if let Some(validator) = validator {
            let part = PartOf { url: self.url.to_owned(), validator };
            let text = toml::to_string(&part)
                .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
            write_whole(&self.part_of(), text.as_bytes())?;
        }
        Ok(())
    }

    /// Appends a body to the `have` bytes of the part; `total` is the length of the whole file,
    /// where the server tells it.
    fn receive(
        &self,
        response: Response<Body>,
        have: u64,
        total: Option<u64>,
        report: &Reporter,
    ) -> Result<Ended, Failure> {
        if let (Some(expected), Some(total)) = (self.bytes, total)
            && expected != total
        {
            self.discard();
            return Err(self.wrong_length(expected, total));
        }
        let total = total.or(self.bytes);
        report.start("fetch", total, "bytes");
        report.advance(have);
        let failed = |error| io("write", &self.part, &error);
        let mut file = open(&self.part, have).map_err(failed)?;
        let mut body = response.into_body().into_reader();
        let (mut buffer, mut received) = (vec![0; 1 << 18], have);
        let ended = loop {
            if report.interrupt().asked() {
                let what = "interrupted; what was fetched is kept";
                return Err(Failure::new(Exit::Interrupted, what)
                    .next("run the same command again to go on"));
            }
            match body.read(&mut buffer) {
                Ok(0) => break Ended::Whole,
                Ok(read) => {
                    file.write_all(&buffer[..read]).map_err(failed)?;
                    received += read as u64;
                    report.advance(read as u64);
                    if let Some(total) = total.filter(|&total| received > total) {
                        self.discard();
                        return Err(self.wrong_length(total, received));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Ended::Broken(error.to_string()),
            }
        };
        file.sync_all().map_err(failed)?;
        match (ended, total) {
            (Ended::Whole, Some(total)) if received < total => {
                Ok(Ended::Broken("the connection was closed".to_owned()))
            }
            (ended, _) => Ok(ended),
        }
    }

    fn refused(&self, what: impl Into<String>) -> Failure {
        Failure::new(Exit::Unavailable, what).at(printable(self.url))
    }

    fn wrong_length(&self, expected: u64, found: u64) -> Failure {
        Failure::data("the file has another length than expected")
            .at(printable(self.url))
            .expected(format!("{expected} bytes"), found.to_string())
            .next("the publisher or a mirror changed it: pass --from with another mirror's URL")
    }

    fn broken(&self, why: &str) -> Failure {
        let failure = self.refused("the connection broke off").detail("found", printable(why));
        match (self.have(), self.known()) {
            (0, _) | (_, None) => failure.next("run the same command again: it begins anew"),
            (have, Some(_)) => failure.next(format!(
                "run the same command again: it goes on from {}",
                units::bytes(have)
            )),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let next = match error {
            ureq::Error::TooManyRedirects => "pass --from with the URL of a mirror",
            ureq::Error::BadUri(_) => "pass --from as http://HOST/FOLDER or https://HOST/FOLDER",
            _ => "check the network (HTTPS_PROXY is heeded), or pass --from with a mirror's URL",
        };
        self.refused("the file cannot be fetched")
            .detail("found", printable(&error.to_string()))
            .next(next)
    }

    fn status(&self, status: StatusCode) -> Failure {
        let next = match status.as_u16() {
            404 | 410 => "the file has moved: pass --from with the URL of a mirror",
            401 | 403 => "the server wants to know who asks: fetch it with a browser, by hand",
            429 | 500.. => "run the same command again later",
            _ => "pass --from with the URL of a mirror",
        };
        self.refused("the server does not give the file")
            .expected("status 200", status.to_string())
            .next(next)
    }
}

/// Opens a part to append to its first `have` bytes.
fn open(part: &Path, have: u64) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(part)?;
    file.set_len(have)?;
    Ok(file)
}

fn header(headers: &HeaderMap, name: header::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    printable(value.unwrap_or("no such header"))
}

/// First byte and length of the whole from `bytes FIRST-LAST/LENGTH`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (span, total) = range.split_once('/')?;
    let (first, _) = span.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()?))
}
