//! Rows ↔ the engine's columns.
//!
//! Its own file because every field has a type and a longest value, which must be the same where a collection is made, where
//! rows are written, and where they are read.

use super::{MAX_BYTES, Row, Stored};
use milvus::v2::FieldData;
use milvus::v2::prelude::*;

pub(super) const ID: &str = "id";
pub(super) const VECTOR: &str = "vector";

/// Fields that are lists of words.
pub(super) const LISTS: [&str; 7] = ["also", "marks", "categories", "venues", "sources", "names", "pairs"];

/// Longest list of a field.
const MAX_LIST: usize = 4096;

/// Longest id, and longest label, in bytes.
pub(super) const MAX_LABEL: usize = 1024;

/// The fields of a collection whose vectors have so many values.
pub(super) fn schema(dimension: usize) -> CollectionSchema {
    let field = |name: &str, of| FieldSchema::new().name(name).data_type(of);
    let text = |name: &str, bytes: usize| field(name, DataType::VarChar).max_length(bytes as u32);
    let list = |name: &str, bytes: usize| {
        let list = field(name, DataType::Array).element_type(DataType::VarChar);
        list.max_length(bytes as u32).max_capacity(MAX_LIST as u32)
    };
    let marks = field("marks", DataType::Array).element_type(DataType::Int64).max_capacity(MAX_LIST as u32);
    let mut schema = CollectionSchema::new()
        .enable_dynamic_field(false)
        .add_field(text(ID, MAX_LABEL).primary_key(true))
        .add_field(field(VECTOR, DataType::FloatVector).dimension(dimension as u32))
        .add_field(text("text", 64))
        .add_field(text("document", MAX_BYTES))
        .add_field(marks)
        .add_field(field("first", DataType::Int32))
        .add_field(field("last", DataType::Int32))
        .add_field(field("number", DataType::Int64))
        .add_field(field("withdrawn", DataType::Bool));
    for name in LISTS.into_iter().filter(|name| *name != "marks") {
        schema = schema.add_field(list(name, MAX_LABEL));
    }
    schema
}

/// Rows as the engine takes them.
pub(super) fn columns(rows: &[Row]) -> Vec<FieldData> {
    fn of<T>(rows: &[Row], value: impl Fn(&Row) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    let list = |name: &str, of: fn(&Row) -> &Vec<String>| {
        let label = |label: &String| cut(label, MAX_LABEL).to_string();
        let labels = |row: &Row| of(row).iter().take(MAX_LIST).map(label).collect();
        FieldData::array_varchar(name, rows.iter().map(labels).collect())
    };
    vec![
        FieldData::varchar(ID, of(rows, |row| row.id.clone())),
        FieldData::float_vector(VECTOR, of(rows, |row| row.vector.clone())),
        FieldData::varchar("text", of(rows, |row| row.text.clone())),
        FieldData::varchar("document", of(rows, |row| row.document.clone())),
        FieldData::array_int64("marks", of(rows, |row| row.marks.iter().take(MAX_LIST).copied().collect())),
        FieldData::int32("first", of(rows, |row| row.days.0)),
        FieldData::int32("last", of(rows, |row| row.days.1)),
        FieldData::int64("number", of(rows, |row| row.number)),
        FieldData::boolean("withdrawn", of(rows, |row| row.withdrawn)),
        list("also", |row| &row.also),
        list("categories", |row| &row.categories),
        list("venues", |row| &row.venues),
        list("sources", |row| &row.sources),
        list("names", |row| &row.names),
        list("pairs", |row| &row.pairs),
    ]
}

/// The columns that [`stored`] reads.
pub(super) const OF_STORED: [&str; 4] = [ID, "text", "document", "number"];

/// Rows without their vectors.
pub(super) fn stored(fields: &[FieldData]) -> Vec<Stored> {
    let documents = strings(fields, "document").into_iter().zip(numbers(fields, "number"));
    let named = strings(fields, ID).into_iter().zip(strings(fields, "text"));
    let row = |((id, text), (document, number))| Stored { id, text, document, number };
    named.zip(documents).map(row).collect()
}

fn named<'a>(fields: &'a [FieldData], name: &str) -> Option<&'a FieldData> {
    fields.iter().find(|field| field.name() == name)
}

pub(super) fn strings(fields: &[FieldData], name: &str) -> Vec<String> {
    match named(fields, name) {
        Some(FieldData::VarChar { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

pub(super) fn numbers(fields: &[FieldData], name: &str) -> Vec<i64> {
    match named(fields, name) {
        Some(FieldData::Int64 { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

pub(super) fn small_numbers(fields: &[FieldData], name: &str) -> Vec<i32> {
    match named(fields, name) {
        Some(FieldData::Int32 { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

pub(super) fn vectors(fields: &[FieldData]) -> Vec<Vec<f32>> {
    match named(fields, VECTOR) {
        Some(FieldData::FloatVector { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
