//! Answers to one query with their attributes, as a table or as JSON.

use serde_json::{Value, json};
use vicinage::index::{AttributeValue, Hit, Index};
use vicinage::server::rfc3339;

use crate::exit::Failure;
use crate::text::Table;

/// The attributes to show with each answer: names and column numbers.
pub(crate) struct Columns(Vec<(String, usize)>);

impl Columns {
    /// Looks the names up.
    pub(crate) fn find(index: &Index, names: &[String]) -> Result<Self, Failure> {
        let find = |name: &String| match index.attribute(name) {
            Some(column) => Ok((name.clone(), column)),
            None => Err(Failure::usage(format!("the index has no attribute {name:?}"))
                .expected(attribute_names(index), name)),
        };
        names.iter().map(find).collect::<Result<_, _>>().map(Self)
    }
}

/// The names of all attributes, in one line.
pub(crate) fn attribute_names(index: &Index) -> String {
    let attributes = &index.info().attributes;
    let names: Vec<&str> = attributes.iter().map(|one| one.schema.name.as_str()).collect();
    if names.is_empty() { "no attributes at all".to_owned() } else { names.join(", ") }
}

/// Appends a table: rank, item, score, attributes.
pub(crate) fn write(
    text: &mut String,
    index: &Index,
    hits: &[Hit],
    Columns(columns): &Columns,
) -> Result<(), Failure> {
    let names = columns.iter().map(|(name, _)| format!("{name}<"));
    let head = ["rank", "item_id", "score"].map(str::to_owned);
    let mut table = Table::new(head.into_iter().chain(names));
    for (at, hit) in hits.iter().enumerate() {
        let mut cells = vec![(at + 1).to_string(), hit.item_id.to_string(), score(hit.score)];
        for (_, column) in columns {
            cells.push(plain(&index.attribute_value(*column, hit.node)?));
        }
        table.row(cells);
    }
    table.write(text);
    Ok(())
}

/// The answers as JSON.
pub(crate) fn to_json(
    index: &Index,
    hits: &[Hit],
    Columns(columns): &Columns,
) -> Result<Vec<Value>, Failure> {
    let mut answers = Vec::with_capacity(hits.len());
    for hit in hits {
        let mut answer = json!({ "item_id": hit.item_id, "score": hit.score });
        if !columns.is_empty() {
            let mut attributes = serde_json::Map::new();
            for (name, column) in columns {
                let value = value_json(&index.attribute_value(*column, hit.node)?);
                attributes.insert(name.clone(), value);
            }
            answer["attributes"] = Value::Object(attributes);
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// Seven figures are what f32 has.
pub(crate) fn score(score: f32) -> String {
    format!("{score:.4}")
}

/// An attribute for a table.
pub(crate) fn plain(value: &AttributeValue<'_>) -> String {
    match value {
        AttributeValue::Null => "–".to_owned(),
        AttributeValue::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        AttributeValue::I64(value) => value.to_string(),
        AttributeValue::F64(value) => value.to_string(),
        AttributeValue::Timestamp(micros) => rfc3339(*micros),
        AttributeValue::Text(text) => (*text).to_owned(),
        AttributeValue::Tags(tags) => tags.join(", "),
    }
}

/// An attribute for programs.
pub(crate) fn value_json(value: &AttributeValue<'_>) -> Value {
    match value {
        AttributeValue::Null => Value::Null,
        AttributeValue::Bool(value) => json!(value),
        AttributeValue::I64(value) => json!(value),
        AttributeValue::F64(value) => json!(value),
        AttributeValue::Timestamp(micros) => json!(rfc3339(*micros)),
        AttributeValue::Text(text) => json!(text),
        AttributeValue::Tags(tags) => json!(tags),
    }
}
