//! Which columns of a file are read, and as what.

use arrow_schema::DataType;

use crate::attributes::{AttributeField, AttributeKind, SkippedColumn};
use crate::columns::Source;
use crate::columns::lists::{entry_of, is_text};
use crate::error::ReadError;
use crate::spec::{AttributeColumns, ReadOptions};
use crate::vectors::Element;

/// The columns by their position in the schema.
pub(super) struct Layout {
    /// The vectors, if the file is read for them.
    pub(super) vector: Option<usize>,
    pub(super) id: Option<usize>,
    /// One for each of `fields`.
    pub(super) attributes: Vec<usize>,
    pub(super) fields: Vec<AttributeField>,
    pub(super) skipped: Vec<SkippedColumn>,
}

impl Layout {
    /// Columns for vectors, and which one has them and of what type: `column`, or the only one
    /// that can be it.
    pub(super) fn of_vectors(
        source: &dyn Source,
        column: Option<&str>,
        options: &ReadOptions,
    ) -> Result<(Self, usize, Element), ReadError> {
        let (vector, element) = vector_column(source, column)?;
        Ok((Self::new(source, Some(vector), options)?, vector, element))
    }

    /// Columns without vectors.
    pub(super) fn of_table(source: &dyn Source, options: &ReadOptions) -> Result<Self, ReadError> {
        Self::new(source, None, options)
    }

    fn new(
        source: &dyn Source,
        vector: Option<usize>,
        options: &ReadOptions,
    ) -> Result<Self, ReadError> {
        let id = id_column(source, options.id_column.as_deref(), vector)?;
        let mut layout =
            Self { vector, id, attributes: Vec::new(), fields: Vec::new(), skipped: Vec::new() };
        match &options.attributes {
            AttributeColumns::None => {}
            AttributeColumns::All => layout.take_all(source),
            AttributeColumns::Named(names) => layout.take_named(source, names)?,
        }
        Ok(layout)
    }

    fn take_all(&mut self, source: &dyn Source) {
        let taken = [self.vector, self.id];
        for (position, field) in source.fields().iter().enumerate() {
            if taken.contains(&Some(position)) {
                continue;
            }
            let name = field.name().clone();
            match attribute_kind(field.data_type()) {
                Some(kind) => {
                    self.attributes.push(position);
                    self.fields.push(AttributeField { name, kind });
                }
                None => {
                    let data_type = field.data_type().to_string();
                    self.skipped.push(SkippedColumn { name, data_type });
                }
            }
        }
    }

    fn take_named(&mut self, source: &dyn Source, names: &[String]) -> Result<(), ReadError> {
        for (at, name) in names.iter().enumerate() {
            let unsuitable = |expected: &str, found: String| {
                Err(ReadError::unsuitable(source.path(), format!("{expected} `{name}`"), found))
            };
            if names[..at].contains(name) {
                return unsuitable("one mention of the attribute", "several".to_owned());
            }
            let Some(position) = source.position(name) else {
                return unsuitable("the attribute column", source.columns());
            };
            let data_type = source.fields()[position].data_type();
            let Some(kind) = attribute_kind(data_type) else {
                let found = format!("its type {data_type}, which no attribute can have");
                return unsuitable("an attribute column", found);
            };
            self.attributes.push(position);
            self.fields.push(AttributeField { name: name.clone(), kind });
        }
        Ok(())
    }

    /// The positions of all columns that are read, each once, ascending; batches have their
    /// columns in this order.
    pub(super) fn columns(&self) -> Vec<usize> {
        let mut columns = self.attributes.clone();
        columns.extend(self.vector);
        columns.extend(self.id);
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

fn vector_column(source: &dyn Source, name: Option<&str>) -> Result<(usize, Element), ReadError> {
    let fields = source.fields();
    let element = |position: usize| vector_element(fields[position].data_type());
    if let Some(name) = name {
        let position = source.position(name);
        return position.and_then(|at| Some((at, element(at)?))).ok_or_else(|| {
            let expected = format!("a vector column `{name}` (a list of f64, f32, f16, i8 or u8)");
            ReadError::unsuitable(source.path(), expected, source.columns())
        });
    }
    let candidates: Vec<(usize, Element)> =
        (0..fields.len()).filter_map(|at| Some((at, element(at)?))).collect();
    match candidates[..] {
        [only] => Ok(only),
        [] => Err(ReadError::unsuitable(
            source.path(),
            "a vector column (a list of f64, f32, f16, i8 or u8)",
            source.columns(),
        )),
        _ => {
            let names: Vec<String> =
                candidates.iter().map(|&(at, _)| format!("`{}`", fields[at].name())).collect();
            Err(ReadError::unsuitable(
                source.path(),
                "one vector column, or the name of one behind the file name (FILE#column)",
                format!("several: {}", names.join(", ")),
            ))
        }
    }
}

fn id_column(
    source: &dyn Source,
    name: Option<&str>,
    vector: Option<usize>,
) -> Result<Option<usize>, ReadError> {
    let is_id = |&at: &usize| source.fields()[at].data_type().is_integer() && vector != Some(at);
    match name {
        None => {
            Ok(["item_id", "id"].into_iter().find_map(|usual| source.position(usual).filter(is_id)))
        }
        Some(name) => source.position(name).filter(is_id).map(Some).ok_or_else(|| {
            let expected = format!("an integer column `{name}` of ids");
            ReadError::unsuitable(source.path(), expected, source.columns())
        }),
    }
}

/// The element type of a vector column, or `None` for another type of column.
fn vector_element(data_type: &DataType) -> Option<Element> {
    match entry_of(data_type)?.data_type() {
        DataType::Float64 => Some(Element::F64),
        DataType::Float32 => Some(Element::F32),
        DataType::Float16 => Some(Element::F16),
        DataType::Int8 => Some(Element::I8),
        DataType::UInt8 => Some(Element::U8),
        _ => None,
    }
}

/// The attribute kind of a column, or `None` if no attribute can have its type.
fn attribute_kind(data_type: &DataType) -> Option<AttributeKind> {
    Some(match data_type {
        DataType::Boolean => AttributeKind::Bool,
        integer if integer.is_integer() => AttributeKind::I64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => AttributeKind::F64,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => AttributeKind::Timestamp,
        text if is_text(text) => AttributeKind::Text,
        DataType::Dictionary(_, values) if is_text(values) => AttributeKind::Text,
        list => match entry_of(list)?.data_type() {
            text if is_text(text) => AttributeKind::TextList,
            integer if integer.is_integer() => AttributeKind::I64List,
            _ => return None,
        },
    })
}
