//! The JSON notation, read as it comes: no value tree in between, limits held on the way.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::error::{FilterError, FilterPlace, FilterProblem, Step, nearest, pointer};
use super::{Budget, Expression, Literal, Predicate};

const OPERATORS: &str =
    "and, or, not, eq, ne, in, range, has, has_any, has_all, is_null, ids, exclude";
const BOUNDS: &str = "gt, gte, lt, lte";

impl Expression {
    /// Reads the JSON notation. Memory is bounded by the text and [`super::MAX_VALUES`].
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_json(text: &str) -> Result<Self, FilterError> {
        let reader = Reader::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = reader.expression(0).deserialize(&mut json);
        let read = read.and_then(|expression| json.end().map(|()| expression));
        read.map_err(|error| reader.error(&error))
    }

    /// Reads either notation as requests and files hold it: JSON, or the text in a JSON string.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_json_or_text(json: &str) -> Result<Self, FilterError> {
        match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) => Self::from_text(&text),
            Err(_) => Self::from_json(json),
        }
    }

    /// Writes the JSON notation.
    ///
    /// # Errors
    /// NaN or an infinity, which JSON has not.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl<'de> Deserialize<'de> for Expression {
    /// As part of something else; an error has the text of the [`FilterError`].
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let reader = Reader::default();
        reader
            .expression(0)
            .deserialize(json)
            .map_err(|error| D::Error::custom(reader.error(&error)))
    }
}

/// Where reading is, what is left of the limits, and what went wrong. Serde's errors are texts, so
/// the typed one waits here.
#[derive(Default)]
struct Reader {
    path: RefCell<Vec<Step>>,
    budget: RefCell<Budget>,
    problem: Cell<Option<FilterProblem>>,
}

impl Reader {
    fn expression(&self, depth: usize) -> ExpressionSeed<'_> {
        ExpressionSeed { reader: self, depth }
    }

    fn fail<E: serde::de::Error>(&self, problem: FilterProblem) -> E {
        let error = E::custom(&problem);
        self.problem.set(Some(problem));
        error
    }

    fn error(&self, error: &dyn fmt::Display) -> FilterError {
        let problem = self.problem.take();
        let problem = problem.unwrap_or_else(|| FilterProblem::Malformed(error.to_string()));
        let place = FilterPlace::Json { pointer: pointer(&self.path.borrow()) };
        FilterError { place, problem }
    }

    /// Runs `read` one step further down. After an error the path stays where that was.
    fn within<T, E>(&self, step: Step, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.path.borrow_mut().push(step);
        let value = read()?;
        self.path.borrow_mut().pop();
        Ok(value)
    }

    fn take<E: serde::de::Error>(
        &self,
        take: impl FnOnce(&mut Budget) -> Result<(), FilterProblem>,
    ) -> Result<(), E> {
        let taken = take(&mut self.budget.borrow_mut());
        taken.map_err(|problem| self.fail(problem))
    }

    /// `names` are those that can stand there.
    fn unknown<E: serde::de::Error>(
        &self,
        what: &'static str,
        found: &str,
        names: &'static str,
    ) -> E {
        self.fail(FilterProblem::UnknownName {
            what,
            found: found.chars().take(100).collect(),
            nearest: nearest(found, names.split(", ")),
            expected: names,
        })
    }

    /// Refuses a second key in an object that has one.
    fn end<'de, A: MapAccess<'de>>(&self, map: &mut A, of: &str) -> Result<(), A::Error> {
        match map.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => {
                let problem = format!("{of} is an object with one key, and this one has more");
                Err(self.fail(FilterProblem::Malformed(problem)))
            }
        }
    }
}

/// A filter.
struct ExpressionSeed<'r> {
    reader: &'r Reader,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ExpressionSeed<'_> {
    type Value = Expression;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Expression, D::Error> {
        self.reader.take(|budget| budget.part(self.depth))?;
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ExpressionSeed<'_> {
    type Value = Expression;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a filter such as {\"eq\": {\"language\": \"eng\"}}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Expression, A::Error> {
        let reader = self.reader;
        let Some(operator) = map.next_key::<Cow<'de, str>>()? else {
            let problem = "an empty object is no filter; {\"and\": []} passes all".to_owned();
            return Err(reader.fail(FilterProblem::Malformed(problem)));
        };
        let step = Step::Key(operator.to_string());
        let read = || read_operator(reader, &operator, self.depth, &mut map);
        let expression = reader.within(step, read)?;
        reader.end(&mut map, "a filter")?;
        Ok(expression)
    }
}

fn read_operator<'de, A: MapAccess<'de>>(
    reader: &Reader,
    operator: &str,
    depth: usize,
    map: &mut A,
) -> Result<Expression, A::Error> {
    let field = |(field, predicate): (String, Predicate)| Expression::attribute(field, predicate);
    let texts = || List { reader, of: PhantomData::<String> };
    Ok(match operator {
        "and" => Expression::And(map.next_value_seed(Parts { reader, depth })?),
        "or" => Expression::Or(map.next_value_seed(Parts { reader, depth })?),
        "not" => Expression::Not(Box::new(map.next_value_seed(reader.expression(depth + 1))?)),
        "eq" => field(map.next_value_seed(Fielded(reader, One::new(reader), Predicate::Eq))?),
        "ne" => field(map.next_value_seed(Fielded(reader, One::new(reader), Predicate::Ne))?),
        "in" => {
            let values = List { reader, of: PhantomData::<Literal> };
            field(map.next_value_seed(Fielded(reader, values, Predicate::In))?)
        }
        "range" => {
            let range = |(low, high)| Predicate::Range(low, high);
            field(map.next_value_seed(Fielded(reader, Range(reader), range))?)
        }
        "has" => field(map.next_value_seed(Fielded(reader, One::new(reader), Predicate::Has))?),
        "has_any" => field(map.next_value_seed(Fielded(reader, texts(), Predicate::HasAny))?),
        "has_all" => field(map.next_value_seed(Fielded(reader, texts(), Predicate::HasAll))?),
        "is_null" => field((map.next_value_seed(One::new(reader))?, Predicate::IsNull)),
        "ids" => Expression::Ids(map.next_value_seed(List { reader, of: PhantomData })?),
        "exclude" => {
            let ids = List { reader, of: PhantomData };
            let (what, ids) = map.next_value_seed(Fielded(reader, ids, |ids| ids))?;
            if what != "ids" {
                return Err(reader.unknown("list", &what, "ids"));
            }
            Expression::Exclude(ids)
        }
        other => return Err(reader.unknown("operator", other, OPERATORS)),
    })
}

/// A list of filters.
struct Parts<'r> {
    reader: &'r Reader,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Parts<'_> {
    type Value = Vec<Expression>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = Vec<Expression>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of filters")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        loop {
            let read = || seq.next_element_seed(self.reader.expression(self.depth + 1));
            match self.reader.within(Step::At(parts.len()), read)? {
                Some(part) => parts.push(part),
                None => return Ok(parts),
            }
        }
    }
}

/// One value.
struct One<'r, T>(&'r Reader, PhantomData<T>);

impl<'r, T> One<'r, T> {
    fn new(reader: &'r Reader) -> Self {
        Self(reader, PhantomData)
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for One<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        self.0.take(|budget| budget.value(1))?;
        T::deserialize(json)
    }
}

/// A list of values.
struct List<'r, T> {
    reader: &'r Reader,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<T>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        loop {
            let read = || seq.next_element();
            match self.reader.within(Step::At(values.len()), read)? {
                Some(value) => values.push(value),
                None => return Ok(values),
            }
            self.reader.take(|budget| budget.value(1))?;
        }
    }
}

/// An object of one attribute and what is read by `S`, made into something by `F`.
struct Fielded<'r, S, F>(&'r Reader, S, F);

impl<'de, S: DeserializeSeed<'de>, T, F: FnOnce(S::Value) -> T> DeserializeSeed<'de>
    for Fielded<'_, S, F>
{
    type Value = (String, T);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de>, T, F: FnOnce(S::Value) -> T> Visitor<'de> for Fielded<'_, S, F> {
    type Value = (String, T);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of an attribute's name and what is asked of it")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self(reader, seed, make) = self;
        let Some(field) = map.next_key::<String>()? else {
            let problem = "an empty object names no attribute".to_owned();
            return Err(reader.fail(FilterProblem::Malformed(problem)));
        };
        let value = reader.within(Step::Key(field.clone()), || map.next_value_seed(seed))?;
        reader.end(&mut map, "what an operator is asked of")?;
        Ok((field, make(value)))
    }
}

/// The bounds of a range.
struct Range<'r>(&'r Reader);

impl<'de> DeserializeSeed<'de> for Range<'_> {
    type Value = (Bound<Literal>, Bound<Literal>);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Range<'_> {
    type Value = (Bound<Literal>, Bound<Literal>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bounds such as {\"gte\": 1, \"lt\": 5}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self(reader) = self;
        let (mut low, mut high) = (Bound::Unbounded, Bound::Unbounded);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let step = Step::Key(name.to_string());
            let (side, bound): (_, fn(Literal) -> Bound<Literal>) = match &*name {
                "gt" => (&mut low, Bound::Excluded),
                "gte" => (&mut low, Bound::Included),
                "lt" => (&mut high, Bound::Excluded),
                "lte" => (&mut high, Bound::Included),
                other => return Err(reader.unknown("bound", other, BOUNDS)),
            };
            if *side != Bound::Unbounded {
                return Err(reader.fail(FilterProblem::Bounds));
            }
            let read = || map.next_value_seed(One::new(reader));
            *side = bound(reader.within(step, read)?);
        }
        match (&low, &high) {
            (Bound::Unbounded, Bound::Unbounded) => Err(reader.fail(FilterProblem::Bounds)),
            _ => Ok((low, high)),
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(LiteralVisitor)
    }
}

struct LiteralVisitor;

impl Visitor<'_> for LiteralVisitor {
    type Value = Literal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, a number or a text")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Literal, E> {
        Ok(Literal::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Literal, E> {
        Ok(Literal::I64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Literal, E> {
        let expected = &"an integer up to 9223372036854775807";
        let found = serde::de::Unexpected::Unsigned(value);
        i64::try_from(value).map(Literal::I64).map_err(|_| E::invalid_value(found, expected))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Literal, E> {
        Ok(Literal::F64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Literal, E> {
        Ok(Literal::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Literal, E> {
        Ok(Literal::Text(value))
    }
}

/// An object of one key.
struct Pair<'a, T: ?Sized>(&'a str, &'a T);

impl<T: Serialize + ?Sized> Serialize for Pair<'_, T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::And(parts) => Pair("and", parts).serialize(out),
            Self::Or(parts) => Pair("or", parts).serialize(out),
            Self::Not(part) => Pair("not", part).serialize(out),
            Self::Ids(ids) => Pair("ids", ids).serialize(out),
            Self::Exclude(ids) => Pair("exclude", &Pair("ids", ids)).serialize(out),
            Self::Attribute { field, predicate: Predicate::IsNull } => {
                Pair("is_null", field).serialize(out)
            }
            Self::Attribute { field, predicate } => {
                Pair(predicate.operator(), &Pair(field, &Asked(predicate))).serialize(out)
            }
        }
    }
}

/// What a predicate asks of its attribute.
struct Asked<'a>(&'a Predicate);

impl Serialize for Asked<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Predicate::Eq(value) | Predicate::Ne(value) => value.serialize(out),
            Predicate::In(values) => values.serialize(out),
            Predicate::Has(tag) => tag.serialize(out),
            Predicate::HasAny(tags) | Predicate::HasAll(tags) => tags.serialize(out),
            Predicate::IsNull => out.serialize_unit(),
            Predicate::Range(low, high) => {
                let mut map = out.serialize_map(None)?;
                for (bound, names) in [(low, ["gt", "gte"]), (high, ["lt", "lte"])] {
                    match bound {
                        Bound::Excluded(value) => map.serialize_entry(names[0], value)?,
                        Bound::Included(value) => map.serialize_entry(names[1], value)?,
                        Bound::Unbounded => {}
                    }
                }
                map.end()
            }
        }
    }
}

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => out.serialize_bool(*value),
            Self::I64(value) => out.serialize_i64(*value),
            Self::F64(value) if !value.is_finite() => {
                Err(serde::ser::Error::custom(format!("{value} has no place in JSON")))
            }
            Self::F64(value) => out.serialize_f64(*value),
            Self::Text(value) => out.serialize_str(value),
        }
    }
}
