//! Words, signs, numbers and texts of the text notation, and what is said where none of those that
//! can stand there does.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use winnow::combinator::{alt, delimited, opt, preceded, repeat};
use winnow::error::{ErrMode, ParserError};
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{any, one_of, take, take_while};
use winnow::{ModalResult, Parser};

use super::super::super::error::{FilterProblem, nearest};
use super::super::{Budget, Literal};
use crate::types::ItemId;

/// What is left of the text, and of the limits.
pub(super) type Input<'a> = Stateful<LocatingSlice<&'a str>, Budget>;
/// What was read, or where reading cannot go on: `Backtrack` says that something else may stand
/// there, `Cut` that nothing can.
pub(super) type Read<T> = ModalResult<T, Failure>;

/// Words that are no attribute's name unless they stand in backticks.
pub(super) const RESERVED: &[&str] =
    &["and", "or", "not", "in", "has", "is", "null", "true", "false", "inf", "nan"];

/// What other notations have for what ours has.
const FOREIGN: &[(&str, &str)] = &[
    ("&", "and"),
    ("&&", "and"),
    ("|", "or"),
    ("||", "or"),
    ("!", "not"),
    ("===", "=="),
    ("eq", "=="),
    ("equals", "=="),
    ("!==", "!="),
    ("<>", "!="),
    ("ne", "!="),
    ("=<", "<="),
    ("lte", "<="),
    ("lt", "<"),
    ("=>", ">="),
    ("gte", ">="),
    ("gt", ">"),
    ("contains", "has"),
    ("includes", "has"),
];

/// What is wrong, and at which byte.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) offset: usize,
    pub(super) problem: FilterProblem,
}

impl ParserError<Input<'_>> for Failure {
    type Inner = Self;

    /// Something did not fit; whoever asked for it knows what else may.
    fn from_input(input: &Input<'_>) -> Self {
        let problem = FilterProblem::Unexpected { expected: "", found: String::new() };
        Self { offset: input.current_token_start(), problem }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

/// Where something begins: at which byte, and what is left from there.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    offset: usize,
    rest: &'a str,
}

/// Where the next thing begins.
pub(super) fn here<'a>(input: &Input<'a>) -> Spot<'a> {
    let (rest, offset) = (**input.as_ref(), input.current_token_start());
    let next = rest.trim_start();
    Spot { offset: offset + (rest.len() - next.len()), rest: next }
}

impl Spot<'_> {
    pub(super) fn fail(self, problem: FilterProblem) -> ErrMode<Failure> {
        ErrMode::Cut(Failure { offset: self.offset, problem })
    }

    /// That what stands here is none of what is expected.
    pub(super) fn refuse(self, expected: &'static str) -> ErrMode<Failure> {
        self.unknown("", "", expected)
    }

    /// The same. If it is nearly one of `names`, that is what it says; `what` these are.
    pub(super) fn unknown(
        self,
        what: &'static str,
        names: &str,
        expected: &'static str,
    ) -> ErrMode<Failure> {
        let found = lexeme(self.rest);
        let short: String = found.chars().take(40).collect();
        if let nearest @ Some(_) = meant(found, names) {
            let problem = FilterProblem::UnknownName { what, found: short, nearest, expected };
            return self.fail(problem);
        }
        let more = if short.len() < found.len() { "…" } else { "" };
        let found = match found.chars().next() {
            None => "the end".to_owned(),
            Some('"' | '\'' | '`') => format!("{short}{more}"),
            Some(_) => format!("\"{short}{more}\""),
        };
        self.fail(FilterProblem::Unexpected { expected, found })
    }

    /// Whether a word, or a name in backticks, begins here.
    pub(super) fn is_name(self) -> bool {
        self.rest.starts_with(|c| is_first(c) || c == '`')
    }
}

/// What a reader sees as one thing at the start of `rest`.
fn lexeme(rest: &str) -> &str {
    let until = |stop: &dyn Fn(char) -> bool| rest.find(stop).unwrap_or(rest.len());
    let Some(first) = rest.chars().next() else { return "" };
    let length = match first {
        '"' | '\'' | '`' => {
            let inner = rest.get(1..).unwrap_or_default();
            inner.find(first).map_or(rest.len(), |at| at + 2)
        }
        first if is_inner(first) => until(&|c| !is_inner(c)),
        first if is_operator(first) => until(&|c| !is_operator(c)),
        first => first.len_utf8(),
    };
    rest.get(..length).unwrap_or(rest)
}

/// The one of `names` that was probably meant. Words are short here, so one slip is what there can
/// be before any word is near to any other.
pub(super) fn meant(found: &str, names: &str) -> Option<String> {
    let lower = found.get(..found.len().min(16)).unwrap_or_default().to_lowercase();
    let names = || names.split(", ");
    let foreign = FOREIGN.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
    if let Some(ours) = foreign.filter(|ours| names().any(|name| name == *ours)) {
        return Some(ours.to_owned());
    }
    if found.len() < 2 || !found.starts_with(char::is_alphabetic) {
        return None;
    }
    let words = names().filter(|name| name.starts_with(char::is_alphabetic));
    nearest(found, words).filter(|name| strsim::osa_distance(&lower, name) == 1)
}

pub(super) fn space(input: &mut Input<'_>) -> Read<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

/// Whether this stands next, and takes it if so.
pub(super) fn given<'a, T>(
    input: &mut Input<'a>,
    parser: impl Parser<Input<'a>, T, ErrMode<Failure>>,
) -> Read<bool> {
    Ok(opt(parser).parse_next(input)?.is_some())
}

pub(super) fn sign<'a>(sign: char) -> impl Parser<Input<'a>, (), ErrMode<Failure>> {
    preceded(space, sign).void()
}

/// A word in upper or lower case.
pub(super) fn keyword<'a>(word: &'static str) -> impl Parser<Input<'a>, (), ErrMode<Failure>> {
    let same = move |found: &str| found.eq_ignore_ascii_case(word);
    preceded(space, bare.verify(same)).void()
}

fn is_first(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_inner(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn is_operator(c: char) -> bool {
    matches!(c, '=' | '!' | '<' | '>' | '&' | '|' | '~')
}

/// Whether a name can stand without backticks.
pub(super) fn is_bare(name: &str) -> bool {
    name.starts_with(is_first)
        && name.chars().all(is_inner)
        && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

/// A word, whatever it means.
pub(super) fn bare<'a>(input: &mut Input<'a>) -> Read<&'a str> {
    (one_of(is_first), take_while(0.., is_inner)).take().parse_next(input)
}

/// A run of operator signs, or a word.
pub(super) fn operator<'a>(input: &mut Input<'a>) -> Read<&'a str> {
    let one = alt((take_while(1.., is_operator), bare, "".take()));
    preceded(space, one).parse_next(input)
}

/// The name of an attribute, if one stands next.
pub(super) fn attribute(input: &mut Input<'_>) -> Read<Option<String>> {
    space(input)?;
    if input.starts_with('`') {
        return quoted(input, '`').map(Some);
    }
    Ok(opt(bare.verify(is_bare)).parse_next(input)?.map(str::to_owned))
}

/// A text, if one stands next.
pub(super) fn text(input: &mut Input<'_>) -> Read<Option<String>> {
    space(input)?;
    match input.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(input, quote).map(Some),
        _ => Ok(None),
    }
}

/// A value, if one stands next.
pub(super) fn literal(input: &mut Input<'_>) -> Read<Option<Literal>> {
    if let Some(text) = text(input)? {
        return Ok(Some(Literal::Text(text)));
    }
    if input.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return number(input).map(Some);
    }
    let (start, before) = (here(input), input.checkpoint());
    let Some(word) = opt(bare).parse_next(input)? else { return Ok(None) };
    let literal = match word.to_ascii_lowercase().as_str() {
        "true" => Literal::Bool(true),
        "false" => Literal::Bool(false),
        "inf" => Literal::F64(f64::INFINITY),
        "nan" => return Err(start.fail(FilterProblem::NotANumber)),
        "time" if given(input, sign('('))? => time(input)?,
        _ => {
            input.reset(&before);
            return Ok(None);
        }
    };
    Ok(Some(literal))
}

fn number(input: &mut Input<'_>) -> Read<Literal> {
    const SHAPE: &str = "a number such as 12, -0.5 or 1e6, or time(\"2024-01-31\")";
    const F64: &str = "a number that f64 holds";
    const I64: &str =
        "an integer from -9223372036854775808 to 9223372036854775807, or a number with a point";
    let start = here(input);
    let digits = || take_while(1.., |c: char| c.is_ascii_digit());
    let point = ('.', digits());
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digits());
    let finite = (opt('-'), digits(), opt(point), opt(exponent)).take();
    let infinite = ('-', bare.verify(|word: &str| word.eq_ignore_ascii_case("inf"))).value("-inf");
    let found: Option<&str> = opt(alt((infinite, finite))).parse_next(input)?;
    // What goes on is no number: 12a, 1.2.3, 2024-01-31.
    let Some(found) = found.filter(|_| !input.starts_with(is_inner)) else {
        return Err(start.refuse(SHAPE));
    };
    if found.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        return found.parse().map(Literal::I64).map_err(|_| start.refuse(I64));
    }
    let number = found.parse::<f64>().ok();
    let number = number.filter(|number| number.is_finite() || found == "-inf");
    number.map(Literal::F64).ok_or_else(|| start.refuse(F64))
}

/// An item's id.
pub(super) fn id(input: &mut Input<'_>) -> Read<ItemId> {
    let start = here(input);
    take_value(input)?;
    let digits = take_while(1.., |c: char| c.is_ascii_digit());
    let id: Option<ItemId> = opt(preceded(space, digits).parse_to()).parse_next(input)?;
    id.filter(|_| !input.starts_with(is_inner))
        .ok_or_else(|| start.refuse("the id of an item, an integer from 0 to 18446744073709551615"))
}

/// The inside of `time(…)`: microseconds since 1970.
fn time(input: &mut Input<'_>) -> Read<Literal> {
    const TIME: &str =
        "a time to the microsecond in quotes, such as \"2024-01-31T23:59:59Z\" or \"2024-01-31\"";
    let start = here(input);
    let micros = text(input)?.and_then(|text| microseconds(&text));
    let micros = micros.ok_or_else(|| start.refuse(TIME))?;
    match given(input, sign(')'))? {
        true => Ok(Literal::I64(micros)),
        false => Err(here(input).refuse("\")\"")),
    }
}

/// An RFC 3339 time, or a day, which stands for its first moment in UTC.
fn microseconds(text: &str) -> Option<i64> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let time: Option<Timestamp> = text.parse().ok();
    let time = time.or_else(|| day().map(|day| day.timestamp()))?;
    (time.subsec_nanosecond() % 1000 == 0).then(|| time.as_microsecond())
}

/// A text in quotes, or a name in backticks, which stand next.
fn quoted(input: &mut Input<'_>, quote: char) -> Read<String> {
    let start = here(input);
    let plain = take_while(1.., move |c| c != quote && c != '\\').map(str::to_owned);
    let escaped = preceded('\\', escape).map(String::from);
    let inner = repeat(0.., alt((plain, escaped))).fold(String::new, |text, part| text + &part);
    match opt(delimited(quote, inner, quote)).parse_next(input)? {
        Some(text) => Ok(text),
        None => {
            let problem = format!("what begins with {quote} here does not end with {quote}");
            Err(start.fail(FilterProblem::Malformed(problem)))
        }
    }
}

/// What stands behind a backslash: the escapes of JSON, and those of our other quotes.
fn escape(input: &mut Input<'_>) -> Read<char> {
    const ESCAPES: &str = "an escape: \\\", \\', \\`, \\\\, \\/, \\b, \\f, \\n, \\r, \\t or \\u and four hexadecimal digits";
    let start = here(input);
    let unit = || preceded('u', take(4_usize)).verify_map(code_unit);
    let pair = (unit(), preceded('\\', unit()));
    let wide = pair.verify_map(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
    // Two units that are a character each are read one by one.
    let wide = wide.verify(|c| *c > '\u{ffff}');
    let narrow = unit().verify_map(|unit| char::from_u32(unit.into()));
    let one = any.verify_map(|c| {
        Some(match c {
            '"' | '\'' | '`' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            _ => return None,
        })
    });
    let read = opt(alt((one, wide, narrow))).parse_next(input)?;
    read.ok_or_else(|| start.refuse(ESCAPES))
}

fn code_unit(digits: &str) -> Option<u16> {
    // `from_str_radix` would take a sign, too.
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    u16::from_str_radix(digits, 16).ok()
}

/// Takes a value of the limits.
pub(super) fn take_value(input: &mut Input<'_>) -> Read<()> {
    let place = here(input);
    input.state.value(1).map_err(|problem| place.fail(problem))
}
