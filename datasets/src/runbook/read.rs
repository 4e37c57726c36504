//! Reading the YAML: mappings of scalars, three deep, and nothing else of the language.
//!
//! ```yaml
//! msturing-1M:
//!   max_pts: 1000000
//!   1: {operation: insert, start: 0, end: 1000000}
//!   2: {operation: replace, tags_start: 0, tags_end: 10, ids_start: 900, ids_end: 910}
//!   3: {operation: delete, start: 10, end: 20}
//!   4: {operation: search}
//!   gt_url: https://…
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, StrInput};

use super::{Runbook, StepError, Tags, Update};
use crate::error::{Position, ReadError};
use crate::flat::Input;

/// A longer file is refused: ten times the steps of any runbook that is known would fit it.
const MAX_BYTES: u64 = 16 << 20;

/// The largest number of a row or a tag; ids in truth files are of 31 bits.
const MAX_TAG: u64 = i32::MAX as u64;

/// Reads the runbook of the set `name`, which may be left out where the file has one alone. The
/// others in the file are checked too.
///
/// # Errors
/// What is wrong with the file: more of YAML than mappings of plain values, keys that are unknown,
/// missing or there twice, steps that leave out a number, and all that [`Runbook::new`] refuses.
pub fn read_runbook(path: &Path, name: Option<&str>) -> Result<Runbook, ReadError> {
    let mut input = Input::open(path)?;
    if input.len > MAX_BYTES {
        let expected = format!("a runbook of at most {MAX_BYTES} bytes");
        return Err(ReadError::unsuitable(path, expected, format!("{} bytes", input.len)));
    }
    let mut bytes = vec![0; input.len as usize];
    input.fill(&mut bytes, 0)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = Position::byte(error.utf8_error().valid_up_to() as u64);
        ReadError::malformed(path, at, "UTF-8", "other bytes")
    })?;
    let mut found = parse(&text).map_err(|error| error.in_file(path))?;
    let at = match name {
        Some(name) => found.iter().position(|runbook| runbook.name == name),
        None => (found.len() == 1).then_some(0),
    };
    let Some(at) = at else {
        let names: Vec<&str> = found.iter().map(|runbook| runbook.name.as_str()).collect();
        let expected = match name {
            Some(name) => format!("a runbook of `{name}`"),
            None => "the name of one of its sets".to_owned(),
        };
        return Err(ReadError::unsuitable(path, expected, shown(&names.join(", "))));
    };
    Ok(found.swap_remove(at))
}

/// What is wrong with the text of a runbook.
enum RunbookError {
    /// It is not of the form of runbooks. Lines count from 1.
    Form { line: u64, expected: String, found: String },
    /// A step cannot be done.
    Step(StepError),
}

impl From<StepError> for RunbookError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl RunbookError {
    fn in_file(self, path: &Path) -> ReadError {
        match self {
            Self::Form { line, expected, found } => {
                ReadError::malformed(path, Position::line(line), expected, found)
            }
            Self::Step(StepError { step, expected, found }) => {
                ReadError::malformed(path, Position::step(step), expected, found)
            }
        }
    }
}

fn form<T>(line: u64, expected: &str, found: impl Into<String>) -> Result<T, RunbookError> {
    Err(RunbookError::Form { line, expected: expected.to_owned(), found: found.into() })
}

fn parse(text: &str) -> Result<Vec<Runbook>, RunbookError> {
    if let Some(at) = text.lines().position(|line| line.starts_with('%')) {
        return form(at as u64 + 1, "no directive", "%");
    }
    let mut events = Events(Parser::new_from_str(text));
    events.skip_to_document()?;
    events.expect_mapping("a mapping from names of sets to runbooks")?;
    let mut runbooks: Vec<Runbook> = Vec::new();
    while let Some((name, line)) = events.key()? {
        if runbooks.iter().any(|runbook| runbook.name == name) {
            return form(line, "each set once", format!("{} again", shown(&name)));
        }
        runbooks.push(runbook(&mut events, name, line)?);
    }
    if runbooks.is_empty() {
        return form(1, "the runbook of a set", "none");
    }
    events.expect_end()?;
    Ok(runbooks)
}

fn runbook(events: &mut Events<'_>, name: String, line: u64) -> Result<Runbook, RunbookError> {
    events.expect_mapping("a mapping: max_pts, and steps from 1")?;
    let (mut max_pts, mut gt_url, mut steps) = (None, None, BTreeMap::new());
    while let Some((key, line)) = events.key()? {
        let again = match key.as_str() {
            "max_pts" => max_pts.replace(events.number("max_pts", u64::from(u32::MAX))?).is_some(),
            "gt_url" => gt_url.replace(events.text("an address")?.0).is_some(),
            number => match number.parse::<u32>() {
                Ok(step @ 1..) if !number.starts_with('+') => {
                    steps.insert(step, update(events, line)?).is_some()
                }
                _ => return form(line, "max_pts, gt_url or a step from 1", shown(&key)),
            },
        };
        if again {
            return form(line, "each key once", format!("{} again", shown(&key)));
        }
    }
    let Some(max_pts) = max_pts else {
        return form(line, "max_pts", format!("none in {}", shown(&name)));
    };
    // In a map whose keys differ, the last is the number of entries exactly where none is left out.
    let last = steps.last_key_value().map_or(0, |(&last, _)| last);
    if last as usize != steps.len() {
        let expected = format!("steps 1 to {last} of {}", shown(&name));
        return form(line, &expected, format!("{} of them", steps.len()));
    }
    let mut runbook = Runbook::new(name, Some(max_pts), steps.into_values().collect())?;
    runbook.gt_url = gt_url;
    Ok(runbook)
}

/// The keys of a step besides `operation`, in pairs of start and end.
const KEYS: [&str; 6] = ["start", "end", "tags_start", "tags_end", "ids_start", "ids_end"];

fn update(events: &mut Events<'_>, line: u64) -> Result<Update, RunbookError> {
    events.expect_mapping("a mapping with the key operation")?;
    let (mut operation, mut numbers) = (None, [None; KEYS.len()]);
    while let Some((key, line)) = events.key()? {
        let again = match KEYS.iter().position(|name| *name == key) {
            Some(at) => numbers[at].replace(events.number(KEYS[at], MAX_TAG)? as u32).is_some(),
            None if key == "operation" => {
                operation.replace(events.text("an operation")?.0).is_some()
            }
            None => {
                let expected = format!("operation, {}", KEYS.join(", "));
                return form(line, &expected, shown(&key));
            }
        };
        if again {
            return form(line, "each key once", format!("{} again", shown(&key)));
        }
    }
    let range = |at: usize| -> Option<Tags> { Some(numbers[at]?..numbers[at + 1]?) };
    let given = numbers.iter().filter(|number| number.is_some()).count();
    let (update, wanted) = match operation.as_deref() {
        Some("insert") => (range(0).map(Update::Insert), "start and end"),
        Some("delete") => (range(0).map(Update::Delete), "start and end"),
        Some("replace") => {
            let both = range(2).zip(range(4));
            let replace = both.map(|(tags, rows)| Update::Replace { tags, rows });
            (replace, "tags_start, tags_end, ids_start and ids_end")
        }
        Some("search") => (Some(Update::Search), "no further keys"),
        other => {
            let found = other.map_or("none".to_owned(), shown);
            return form(line, "operation insert, delete, replace or search", found);
        }
    };
    let keys = match update {
        Some(Update::Insert(_) | Update::Delete(_)) => 2,
        Some(Update::Replace { .. }) => 4,
        _ => 0,
    };
    match update {
        Some(update) if given == keys => Ok(update),
        _ => {
            let there = KEYS.iter().zip(numbers).filter(|(_, number)| number.is_some());
            let there: Vec<&str> = there.map(|(name, _)| *name).collect();
            let found = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            form(line, wanted, found)
        }
    }
}

/// The parts of the text, with what a runbook can hold.
struct Events<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Events<'a> {
    /// The next part and its line. Anchors, aliases, tags and sequences are refused here.
    fn next(&mut self) -> Result<(Event<'a>, u64), RunbookError> {
        let (event, span) = match self.0.next_event() {
            Some(Ok(event)) => event,
            Some(Err(error)) => {
                return form(error.marker().line() as u64, "YAML", error.info());
            }
            None => (Event::StreamEnd, saphyr_parser::Span::default()),
        };
        let line = span.start.line() as u64;
        match event {
            Event::Alias(_) => form(line, "a value", "an alias"),
            Event::SequenceStart(..) => form(line, "a mapping or a plain value", "a sequence"),
            Event::Scalar(_, _, anchor, ref tag) | Event::MappingStart(anchor, ref tag)
                if anchor != 0 || tag.is_some() =>
            {
                form(line, "a mapping or a plain value", "an anchor or a tag")
            }
            event => Ok((event, line)),
        }
    }

    fn skip_to_document(&mut self) -> Result<(), RunbookError> {
        loop {
            match self.next()? {
                (Event::StreamStart, _) => {}
                (Event::DocumentStart(_), _) => return Ok(()),
                (_, line) => return form(line, "a document", "none"),
            }
        }
    }

    fn expect_end(&mut self) -> Result<(), RunbookError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, line) => return form(line, "one document", "another"),
            }
        }
    }

    fn expect_mapping(&mut self, what: &str) -> Result<(), RunbookError> {
        match self.next()? {
            (Event::MappingStart(..), _) => Ok(()),
            (Event::Scalar(text, ..), line) => form(line, what, shown(&text)),
            (_, line) => form(line, what, "something else"),
        }
    }

    /// The next key of a mapping, and its line; none at the mapping's end.
    fn key(&mut self) -> Result<Option<(String, u64)>, RunbookError> {
        match self.next()? {
            (Event::MappingEnd, _) => Ok(None),
            (Event::Scalar(text, ..), line) => Ok(Some((text.into_owned(), line))),
            (_, line) => form(line, "a plain key", "something else"),
        }
    }

    /// A value, and its line.
    fn text(&mut self, what: &str) -> Result<(String, u64), RunbookError> {
        match self.next()? {
            (Event::Scalar(text, ..), line) => Ok((text.into_owned(), line)),
            (_, line) => form(line, what, "a mapping"),
        }
    }

    /// A whole number from 0 to `most`.
    fn number(&mut self, key: &str, most: u64) -> Result<u64, RunbookError> {
        let (text, line) = self.text("a number")?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && number <= most => Ok(number),
            _ => form(line, &format!("{key} from 0 to {most}"), shown(&text)),
        }
    }
}

/// The beginning of a text, for errors.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(200).collect();
    format!("{start:?}")
}
