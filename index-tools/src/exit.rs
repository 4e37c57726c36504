//! How a verb ends when it cannot do what was asked: an exit code after sysexits(3), and a message
//! that says what was wrong, where, what was expected, what is there, and what to do next.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::iter::successors;

use anstyle::{AnsiColor, Style};
use serde_json::json;
use vicinage::builder::BuildError;
use vicinage::error::{Corruption, FileError};
use vicinage::format::OpenError as SegmentError;
use vicinage::index::{FilterError, FilterProblem, OpenError, SearchError, SpaceError};
use vicinage::segments::manifest::ManifestError;
use vicinage::segments::publish::{CurrentError, PublishError};
use vicinage::server::ServeError;
use vicinage_datasets::generate::GenerateError;
use vicinage_datasets::profile::ProfileError;
use vicinage_datasets::{NarrowError, ReadError, SpecError, WriteError};

use crate::batch::InputError;
use crate::units::bytes;

/// Why the process ends; the number is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A fault of this program.
    Internal = 1,
    /// Arguments that cannot be.
    Usage = 2,
    /// Input that is not what it should be.
    Data = 65,
    /// Something that is needed is taken or missing: an address, a lock.
    Unavailable = 69,
    /// The system refused to read or write.
    Io = 74,
    /// An index that is not as it was written.
    Corrupt = 76,
    /// Ctrl-C.
    Interrupted = 130,
}

/// An error, ready to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    /// Where, expected, found: those that are known.
    details: Vec<(&'static str, String)>,
    next: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), details: Vec::new(), next: None }
    }

    /// From any error: the first of its chain that we know decides.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        successors(Some(error), |&error| error.source())
            .find_map(known)
            .unwrap_or_else(|| Failure::new(Exit::Internal, error.to_string()))
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    pub(crate) fn data(what: impl Into<String>) -> Self {
        Self::new(Exit::Data, what)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted; nothing was written")
    }

    pub(crate) fn at(self, place: impl Into<String>) -> Self {
        self.detail("where", place)
    }

    pub(crate) fn expected(self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.detail("expected", expected).detail("found", found)
    }

    /// What the user can do about it.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds one more thing that is known about it.
    pub(crate) fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// Says what file this is about, where the message itself names none.
    pub(crate) fn about(mut self, file: &str) -> Self {
        self.what = format!("{file}: {}", self.what);
        self
    }

    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// All that is known, in one line.
    pub(crate) fn line(&self) -> String {
        let details = self.details.iter().map(|(name, value)| format!("; {name}: {value}"));
        format!("{}{}", self.what, details.collect::<String>())
    }

    /// For people: the message, then a line for each thing that is known about it.
    pub(crate) fn render(&self) -> String {
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let dim = Style::new().dimmed();
        let mut text = format!("{red}error{red:#}: {}\n", self.what);
        let next = self.next.iter().map(|next| ("next", next));
        for (name, value) in self.details.iter().map(|(name, value)| (*name, value)).chain(next) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {dim}{name:<9}{dim:#}{value}");
        }
        text
    }

    /// For programs: one line of JSON, as `--progress json` promises.
    pub(crate) fn render_json(&self) -> String {
        let mut line = json!({
            "event": "error", "exit_code": self.exit as u8, "message": self.what,
        });
        for (name, value) in &self.details {
            line[*name] = json!(value);
        }
        if let Some(next) = &self.next {
            line["next"] = json!(next);
        }
        format!("{line}\n")
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::of(&error)
    }
}

/// What we say of an error that we know. Several enums of the library are transparent: what they
/// hold is not in the chain of sources, so they are opened here.
fn known(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<ReadError>() {
        return Some(read_error(error));
    }
    if let Some(error) = error.downcast_ref::<WriteError>() {
        return Some(write_error(error));
    }
    if let Some(error) = error.downcast_ref::<InputError>() {
        return Some(input_error(error));
    }
    if let Some(error) = error.downcast_ref::<Corruption>() {
        return Some(corruption(error));
    }
    if let Some(error) = error.downcast_ref::<FilterError>() {
        return Some(match &error.problem {
            FilterProblem::Corrupt(damage) => corruption(damage),
            _ => Failure::data(error.to_string()),
        });
    }
    if let Some(error) = error.downcast_ref::<ServeError>() {
        return Some(serve_error(error));
    }
    if let Some(error) = error.downcast_ref::<BuildError>() {
        return Some(build_error(error));
    }
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return Some(open_error(error));
    }
    if let Some(error) = error.downcast_ref::<GenerateError>() {
        return Some(generate_error(error));
    }
    if let Some(error) = error.downcast_ref::<ProfileError>() {
        return match error {
            ProfileError::Read(error) => Some(read_error(error)),
            ProfileError::Stopped => Some(Failure::interrupted()),
            _ => Some(Failure::data(error.to_string())),
        };
    }
    let exit = if error.is::<FileError>() || error.is::<io::Error>() {
        Exit::Io
    } else if error.is::<NarrowError>() || error.is::<SpaceError>() {
        Exit::Data
    } else if error.is::<SpecError>() || error.is::<SearchError>() {
        Exit::Usage
    } else {
        return None;
    };
    Some(Failure::new(exit, error.to_string()))
}

fn read_error(error: &ReadError) -> Failure {
    match error {
        ReadError::Io { .. } => Failure::new(Exit::Io, error.to_string()),
        ReadError::UnknownFormat { path, expected, found } => {
            Failure::data(format!("the name of {} tells no format", path.display()))
                .expected(format!("a name that ends in {expected}"), found)
        }
        ReadError::Unsuitable { path, expected, found } => {
            Failure::data(format!("{} is not the file that is needed", path.display()))
                .expected(expected, found)
        }
        ReadError::Malformed { path, at, expected, found } => {
            Failure::data(format!("{} is malformed", path.display()))
                .at(at.to_string())
                .expected(expected, found)
        }
        other => Failure::data(other.to_string()),
    }
}

fn write_error(error: &WriteError) -> Failure {
    match error {
        WriteError::Io { .. } => Failure::new(Exit::Io, error.to_string()),
        WriteError::UnknownFormat { path, expected, found } => {
            Failure::usage(format!("the name of {} tells no format", path.display()))
                .expected(format!("a name that ends in {expected}"), found)
        }
        WriteError::Mismatch { path, expected, found } => {
            Failure::data(format!("{} cannot hold what it was given", path.display()))
                .expected(expected, found)
        }
        other => Failure::data(other.to_string()),
    }
}

fn generate_error(error: &GenerateError) -> Failure {
    match error {
        GenerateError::Parameter { name, expected, found } => {
            Failure::usage(format!("--{name} cannot be that")).expected(*expected, found)
        }
        GenerateError::Read(error) => read_error(error),
        GenerateError::Write(error) => write_error(error),
        GenerateError::Stopped => Failure::interrupted(),
        _ => Failure::new(Exit::Internal, error.to_string()),
    }
}

fn input_error(error: &InputError) -> Failure {
    Failure::data(format!("{} does not fit", error.path.display()))
        .at(error.place.clone())
        .expected(&error.expected, &error.found)
}

fn corruption(error: &Corruption) -> Failure {
    let dir = index_of(&error.path);
    Failure::new(Exit::Corrupt, format!("{} is corrupt", error.path.display()))
        .at(format!("{}, byte {}", error.section, error.offset))
        .expected(&error.expected, &error.found)
        .next(format!("index-tools verify --deep {dir}, then build the index again"))
}

/// The index that a file `INDEX/000001/base.vcg` or `INDEX/MANIFEST.json` belongs to.
fn index_of(file: &std::path::Path) -> String {
    let manifest = |dir: &&std::path::Path| dir.join("MANIFEST.json").is_file();
    file.ancestors().skip(1).find(manifest).unwrap_or(file).display().to_string()
}

fn build_error(error: &BuildError) -> Failure {
    let data = || Failure::data(error.to_string());
    match error {
        BuildError::Cancelled => Failure::interrupted(),
        BuildError::Parameter { name, expected, found } => {
            Failure::usage(format!("--{} cannot be that", name.replace('_', "-")))
                .expected(expected, found)
        }
        BuildError::MemoryLimit { needed, limit } => {
            Failure::usage("the build does not fit the memory that it may use")
                .expected(format!("--memory-limit {}", bytes(*needed)), bytes(*limit))
                .next("raise --memory-limit, lower --max-degree, or split the items")
        }
        BuildError::Source(source) => known(source.as_ref()).unwrap_or_else(data),
        BuildError::NotFinite { row, component, value, element } => {
            Failure::data("a component cannot be stored")
                .at(format!("row {row}, component {component}"))
                .expected(format!("a finite {element}"), value.to_string())
        }
        BuildError::NotIntegral { row, component, value, element } => {
            Failure::data("a component cannot be stored")
                .at(format!("row {row}, component {component}"))
                .expected(format!("a whole number that {element} holds"), value.to_string())
        }
        BuildError::ZeroVector { row } => Failure::data("a zero vector has no direction")
            .at(format!("row {row}"))
            .expected("a vector that cosine can compare", "all components 0")
            .next("leave the item out, or build with --metric l2 or ip"),
        BuildError::TooLarge { .. } => data().next("scale the vectors down, all by one number"),
        BuildError::DuplicateId { id, first_row, row } => Failure::data("two items have one id")
            .at(format!("row {row}"))
            .expected("an id that no other row has", format!("{id}, as in row {first_row}")),
        BuildError::File(_) | BuildError::Write(_) => Failure::new(Exit::Io, error.to_string()),
        BuildError::Publish(error) => publish_error(error),
        BuildError::Current(error) => current_error(error),
        BuildError::Reread(error) => segment_error(error),
        BuildError::Corrupt(damage) => corruption(damage),
        BuildError::Threads { .. } => Failure::new(Exit::Unavailable, error.to_string()),
        BuildError::Announced { .. } => Failure::new(Exit::Internal, error.to_string()),
        _ => data(),
    }
}

fn publish_error(error: &PublishError) -> Failure {
    match error {
        PublishError::File(_) => Failure::new(Exit::Io, error.to_string()),
        PublishError::Locked { .. } => Failure::new(Exit::Unavailable, error.to_string()),
        PublishError::NotAnIndex { .. } => Failure::data(error.to_string()),
        PublishError::Unreadable(source) => manifest_error(source)
            .next("build into another directory, or remove this one if nothing needs it"),
        _ => Failure::new(Exit::Internal, error.to_string()),
    }
}

fn open_error(error: &OpenError) -> Failure {
    match error {
        OpenError::Current(error) => current_error(error),
        OpenError::Segment(error) => segment_error(error),
        _ => Failure::new(Exit::Corrupt, error.to_string()),
    }
}

fn current_error(error: &CurrentError) -> Failure {
    match error {
        CurrentError::Manifest(error) => manifest_error(error),
        CurrentError::Segment(error) => segment_error(error),
        _ => Failure::new(Exit::Corrupt, error.to_string()),
    }
}

fn manifest_error(error: &ManifestError) -> Failure {
    match error {
        ManifestError::NoIndex { dir } => {
            Failure::data(format!("{} is not an index", dir.display()))
                .expected("a directory with MANIFEST.json", "none in it")
                .next(format!(
                    "index-tools build --input FILE --metric METRIC --out {}",
                    dir.display()
                ))
        }
        ManifestError::File(_) => Failure::new(Exit::Io, error.to_string()),
        ManifestError::Corrupt(damage) => corruption(damage),
        _ => Failure::new(Exit::Corrupt, error.to_string()),
    }
}

fn segment_error(error: &SegmentError) -> Failure {
    match error {
        SegmentError::File(_) => Failure::new(Exit::Io, error.to_string()),
        SegmentError::Corrupt(damage) => corruption(damage),
        _ => Failure::new(Exit::Corrupt, error.to_string()),
    }
}

fn serve_error(error: &ServeError) -> Failure {
    let exit = match error {
        ServeError::Bind { address, .. } => {
            let next = "pass --bind with another port, such as --bind 127.0.0.1:7710";
            return Failure::new(Exit::Unavailable, format!("cannot listen on {address}"))
                .detail("found", error.to_string())
                .next(next);
        }
        ServeError::System(_) => Exit::Internal,
        _ => Exit::Usage,
    };
    Failure::new(exit, error.to_string())
}
