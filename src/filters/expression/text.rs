//! The text notation, read in one pass: nothing is read twice but a word or a sign ahead, and the
//! limits are held on the way.
//!
//! ```text
//! filter      = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation    = "not" negation | operand
//! operand     = "(" filter ")"
//!             | ("all" | "any") "(" [filter { "," filter }] ")"
//!             | ("ids" | "exclude") "(" [id { "," id }] ")"
//!             | attribute comparison
//!             | value relation attribute [relation value]
//! comparison  = ("==" | "=" | "!=" | relation) value
//!             | ["not"] "in" "(" [value { "," value }] ")"
//!             | "has" tag | ("has any" | "has all") "(" [tag { "," tag }] ")"
//!             | "is" ["not"] "null"
//! relation    = "<" | "<=" | ">" | ">="
//! ```

mod print;
mod tokens;

use std::ops::Bound;
use std::str::FromStr;

use winnow::Parser;
use winnow::combinator::{opt, peek, preceded, separated, terminated};
use winnow::error::ErrMode;
use winnow::stream::LocatingSlice;

use self::tokens::{Failure, Input, RESERVED, Read, Spot, attribute, bare, given, here, id};
use self::tokens::{keyword, literal, meant, operator, sign, space, take_value, text};
use super::super::error::{FilterError, FilterPlace, FilterProblem};
use super::{Budget, Expression, Literal, MAX_DEPTH, Predicate};

const OPERATORS: &str = "==, !=, <, <=, >, >=, in, not in, has, is";
const FUNCTIONS: &str = "all, any, ids, exclude";
const A_FILTER: &str = "a filter such as year >= 1990";

impl Expression {
    /// Reads the text notation. Memory is bounded by the text and [`super::MAX_VALUES`].
    ///
    /// ```
    /// # use vicinage::index::Expression;
    /// let text = r#"language in ("eng", "deu") and year >= 1990 and not tags has "dnf""#;
    /// assert_eq!(Expression::from_text(text)?.to_string(), text);
    /// # Ok::<(), vicinage::index::FilterError>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_text(text: &str) -> Result<Self, FilterError> {
        let mut input = Input { input: LocatingSlice::new(text), state: Budget::default() };
        let read = filter(&mut input, 0).and_then(|part| match space(&mut input) {
            Ok(()) if input.is_empty() => Ok(part.expression),
            _ => Err(joint(&input, "\"and\", \"or\" or the end")),
        });
        read.map_err(|error| {
            // Only input that comes piece by piece can be incomplete, and this is all there is.
            let failure = error.into_inner().unwrap_or_else(|_| Failure {
                offset: text.len(),
                problem: FilterProblem::Malformed("incomplete".to_owned()),
            });
            let place = FilterPlace::in_text(text, failure.offset);
            FilterError { place, problem: failure.problem }
        })
    }
}

impl FromStr for Expression {
    type Err = FilterError;

    /// Reads either notation: JSON where the text begins with `{`, which nothing in the text
    /// notation does.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.trim_start().starts_with('{') {
            Self::from_json(text)
        } else {
            Self::from_text(text)
        }
    }
}

/// An expression, and how many levels it has.
struct Part {
    expression: Expression,
    levels: usize,
}

/// An expression that begins at `start` and has parts of so many levels.
fn part(
    input: &mut Input<'_>,
    start: Spot<'_>,
    below: usize,
    expression: Expression,
) -> Read<Part> {
    if below >= MAX_DEPTH {
        return Err(start.fail(FilterProblem::TooDeep { limit: MAX_DEPTH }));
    }
    // What this is part of is not read yet: depth is counted from below, not as the budget does.
    input.state.part(0).map_err(|problem| start.fail(problem))?;
    Ok(Part { expression, levels: below + 1 })
}

fn leaf(input: &mut Input<'_>, start: Spot<'_>, expression: Expression) -> Read<Part> {
    part(input, start, 0, expression)
}

fn negate(input: &mut Input<'_>, start: Spot<'_>, negated: Part) -> Read<Part> {
    part(input, start, negated.levels, Expression::Not(Box::new(negated.expression)))
}

fn compose(
    input: &mut Input<'_>,
    start: Spot<'_>,
    parts: Vec<Part>,
    make: impl FnOnce(Vec<Expression>) -> Expression,
) -> Read<Part> {
    let below = parts.iter().map(|part| part.levels).max().unwrap_or(0);
    let expression = make(parts.into_iter().map(|part| part.expression).collect());
    part(input, start, below, expression)
}

/// One level further into brackets: they are read by recursion, whether they mean a level or not.
fn deeper(nesting: usize, start: Spot<'_>) -> Read<usize> {
    if nesting >= MAX_DEPTH {
        return Err(start.fail(FilterProblem::TooDeep { limit: MAX_DEPTH }));
    }
    Ok(nesting + 1)
}

fn filter(input: &mut Input<'_>, nesting: usize) -> Read<Part> {
    joined(input, nesting, "or", Expression::Or, |input, nesting| {
        joined(input, nesting, "and", Expression::And, negation)
    })
}

/// Parts with a word in between; one part is itself.
fn joined<'a>(
    input: &mut Input<'a>,
    nesting: usize,
    word: &'static str,
    make: fn(Vec<Expression>) -> Expression,
    part: fn(&mut Input<'a>, usize) -> Read<Part>,
) -> Read<Part> {
    let start = here(input);
    let one = |input: &mut Input<'a>| part(input, nesting);
    let mut parts: Vec<Part> = separated(1.., one, keyword(word)).parse_next(input)?;
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        last => {
            parts.extend(last);
            compose(input, start, parts, make)
        }
    }
}

fn negation(input: &mut Input<'_>, nesting: usize) -> Read<Part> {
    let start = here(input);
    if !given(input, keyword("not"))? {
        return operand(input, nesting);
    }
    let part = negation(input, deeper(nesting, start)?)?;
    negate(input, start, part)
}

fn operand(input: &mut Input<'_>, nesting: usize) -> Read<Part> {
    let start = here(input);
    if given(input, sign('('))? {
        let part = filter(input, deeper(nesting, start)?)?;
        return match given(input, sign(')'))? {
            true => Ok(part),
            false => Err(joint(input, "\"and\", \"or\" or \")\"")),
        };
    }
    if let Some(first) = literal(input)? {
        return range(input, start, first);
    }
    let call = terminated(preceded(space, bare), peek(sign('(')));
    if let Some(name) = opt(call).parse_next(input)? {
        return function(input, start, nesting, name);
    }
    match attribute(input)? {
        Some(field) => comparison(input, start, field),
        None => Err(here(input).unknown("word", "not", A_FILTER)),
    }
}

/// What is called `name`, with the bracket ahead.
fn function(input: &mut Input<'_>, start: Spot<'_>, nesting: usize, name: &str) -> Read<Part> {
    match name.to_ascii_lowercase().as_str() {
        name @ ("all" | "any") => {
            let nesting = deeper(nesting, start)?;
            let refuse = |input: &Input<'_>| joint(input, "\"and\", \"or\", \",\" or \")\"");
            let parts = list(input, |input| filter(input, nesting), refuse)?;
            let make = if name == "all" { Expression::And } else { Expression::Or };
            compose(input, start, parts, make)
        }
        "ids" => {
            let ids = values(input, id)?;
            leaf(input, start, Expression::Ids(ids))
        }
        "exclude" => {
            let ids = values(input, id)?;
            leaf(input, start, Expression::Exclude(ids))
        }
        // A word of the notation, out of place.
        lower if RESERVED.contains(&lower) => Err(start.refuse(A_FILTER)),
        _ => {
            let nearest = meant(name, FUNCTIONS);
            let found = name.chars().take(100).collect();
            let (what, expected) = ("function", FUNCTIONS);
            Err(start.fail(FilterProblem::UnknownName { what, found, nearest, expected }))
        }
    }
}

/// What is asked of an attribute, whose name began at `start`.
fn comparison(input: &mut Input<'_>, start: Spot<'_>, field: String) -> Read<Part> {
    let place = here(input);
    let found = operator(input)?.to_ascii_lowercase();
    let mut not = false;
    let predicate = match found.as_str() {
        "==" | "=" => Predicate::Eq(value(input)?),
        "!=" => Predicate::Ne(value(input)?),
        "<" | "<=" | ">" | ">=" => {
            let mut bounds = Bounds::default();
            let value = value(input)?;
            bounds.add(&found, value).map_err(|problem| place.fail(problem))?;
            bounds.predicate()
        }
        "in" => Predicate::In(values(input, value)?),
        "not" => {
            not = true;
            if !given(input, keyword("in"))? {
                return Err(here(input).unknown("operator", "in", "\"in\" behind \"not\""));
            }
            Predicate::In(values(input, value)?)
        }
        "has" => has(input)?,
        "has_any" => Predicate::HasAny(values(input, tag)?),
        "has_all" => Predicate::HasAll(values(input, tag)?),
        "is" => {
            not = given(input, keyword("not"))?;
            if !given(input, keyword("null"))? {
                return Err(here(input).unknown("word", "null", "\"null\" or \"not null\""));
            }
            Predicate::IsNull
        }
        _ => {
            // Two words in a row: if the first is nearly `not`, the second is an attribute.
            if let (true, nearest @ Some(_)) = (place.is_name(), meant(&field, "not")) {
                let (what, expected) = ("word", OPERATORS);
                let problem = FilterProblem::UnknownName { what, found: field, nearest, expected };
                return Err(start.fail(problem));
            }
            return Err(place.unknown("operator", OPERATORS, OPERATORS));
        }
    };
    let part = leaf(input, start, Expression::Attribute { field, predicate })?;
    if not { negate(input, start, part) } else { Ok(part) }
}

/// What stands behind `has`.
fn has(input: &mut Input<'_>) -> Read<Predicate> {
    if given(input, keyword("any"))? {
        return Ok(Predicate::HasAny(values(input, tag)?));
    }
    if given(input, keyword("all"))? {
        return Ok(Predicate::HasAll(values(input, tag)?));
    }
    Ok(Predicate::Has(tag(input)?))
}

/// A range that began with a value.
fn range(input: &mut Input<'_>, start: Spot<'_>, first: Literal) -> Read<Part> {
    const RELATIONS: &str = "\"<\", \"<=\", \">\" or \">=\" (only a range begins with a value)";
    take_value(input)?;
    let mut bounds = Bounds::default();
    let place = here(input);
    // Seen from the attribute, a value before it stands on the other side.
    let turned = match opt(relation).parse_next(input)? {
        Some("<") => ">",
        Some("<=") => ">=",
        Some(">") => "<",
        Some(_) => "<=",
        None => return Err(place.unknown("operator", "<, <=, >, >=", RELATIONS)),
    };
    bounds.add(turned, first).map_err(|problem| place.fail(problem))?;
    let Some(field) = attribute(input)? else {
        return Err(here(input).refuse("an attribute, in backticks if it is no plain word"));
    };
    let place = here(input);
    if let Some(found) = opt(relation).parse_next(input)? {
        let value = value(input)?;
        bounds.add(found, value).map_err(|problem| place.fail(problem))?;
    }
    leaf(input, start, Expression::Attribute { field, predicate: bounds.predicate() })
}

fn relation<'a>(input: &mut Input<'a>) -> Read<&'a str> {
    let is_one = |found: &str| matches!(found, "<" | "<=" | ">" | ">=");
    operator.verify(is_one).parse_next(input)
}

struct Bounds(Bound<Literal>, Bound<Literal>);

impl Default for Bounds {
    fn default() -> Self {
        Self(Bound::Unbounded, Bound::Unbounded)
    }
}

impl Bounds {
    fn add(&mut self, relation: &str, value: Literal) -> Result<(), FilterProblem> {
        let Self(low, high) = self;
        let (side, bound) = match relation {
            "<" => (high, Bound::Excluded(value)),
            "<=" => (high, Bound::Included(value)),
            ">" => (low, Bound::Excluded(value)),
            _ => (low, Bound::Included(value)),
        };
        if *side != Bound::Unbounded {
            return Err(FilterProblem::Bounds);
        }
        *side = bound;
        Ok(())
    }

    fn predicate(self) -> Predicate {
        Predicate::Range(self.0, self.1)
    }
}

/// Things in brackets with commas in between; each takes what it needs of the limits itself.
/// Where neither comma nor bracket follows, `refuse` says what can.
fn list<'a, T>(
    input: &mut Input<'a>,
    item: impl Fn(&mut Input<'a>) -> Read<T>,
    refuse: impl Fn(&Input<'a>) -> ErrMode<Failure>,
) -> Read<Vec<T>> {
    if !given(input, sign('('))? {
        return Err(here(input).refuse("a list in brackets, ( … )"));
    }
    if given(input, sign(')'))? {
        return Ok(Vec::new());
    }
    let items = separated(1.., item, sign(',')).parse_next(input)?;
    if given(input, sign(')'))? { Ok(items) } else { Err(refuse(input)) }
}

/// A list of values.
fn values<'a, T>(input: &mut Input<'a>, value: impl Fn(&mut Input<'a>) -> Read<T>) -> Read<Vec<T>> {
    list(input, value, |input| here(input).refuse("\",\" or \")\""))
}

/// What stands where one filter has ended, and goes on with no other.
fn joint(input: &Input<'_>, expected: &'static str) -> ErrMode<Failure> {
    here(input).unknown("word", "and, or", expected)
}

fn value(input: &mut Input<'_>) -> Read<Literal> {
    take_value(input)?;
    if let Some(literal) = literal(input)? {
        return Ok(literal);
    }
    let null = given(input, peek(keyword("null")))?;
    let expected = match null {
        true => "a value (\"is null\" asks for items without)",
        false => "a value (texts stand in quotes)",
    };
    Err(here(input).refuse(expected))
}

fn tag(input: &mut Input<'_>) -> Read<String> {
    take_value(input)?;
    match text(input)? {
        Some(tag) => Ok(tag),
        None => Err(here(input).refuse("a text in quotes")),
    }
}
