//! Converts rows to the columns of a collection, and back.
//!
//! Field names, types and maximum lengths must be the same where a collection is created, written and read.

use super::{DayRange, MAX_DOCUMENT_BYTES, PaperRow, StoredRow};
use milvus::v2::FieldData;
use milvus::v2::prelude::*;

pub(super) const ID: &str = "id";
pub(super) const VECTOR: &str = "vector";

/// The array fields.
pub(super) const ARRAYS: [&str; 7] = ["also", "marks", "categories", "venues", "sources", "names", "pairs"];

/// Maximum number of elements in an array field.
const MAX_ARRAY_LEN: usize = 4096;

/// Maximum number of bytes in an id, and in a string of an array field.
pub(super) const MAX_LABEL_BYTES: usize = 1024;

/// The schema of a collection with vectors of `dimension` values.
pub(super) fn schema(dimension: usize) -> CollectionSchema {
    let field = |name: &str, of| FieldSchema::new().name(name).data_type(of);
    let text = |name: &str, bytes: usize| field(name, DataType::VarChar).max_length(bytes as u32);
    let strings = |name: &str, bytes: usize| {
        let array = field(name, DataType::Array).element_type(DataType::VarChar);
        array.max_length(bytes as u32).max_capacity(MAX_ARRAY_LEN as u32)
    };
    let marks = field("marks", DataType::Array).element_type(DataType::Int64);
    let mut schema = CollectionSchema::new()
        .enable_dynamic_field(false)
        .add_field(text(ID, MAX_LABEL_BYTES).primary_key(true))
        .add_field(field(VECTOR, DataType::FloatVector).dimension(dimension as u32))
        .add_field(text("text", 64))
        .add_field(text("document", MAX_DOCUMENT_BYTES))
        .add_field(marks.max_capacity(MAX_ARRAY_LEN as u32))
        .add_field(field("first", DataType::Int32))
        .add_field(field("last", DataType::Int32))
        .add_field(field("number", DataType::Int64))
        .add_field(field("withdrawn", DataType::Bool));
    for name in ARRAYS.into_iter().filter(|name| *name != "marks") {
        schema = schema.add_field(strings(name, MAX_LABEL_BYTES));
    }
    schema
}

/// Converts rows to columns.
pub(super) fn columns(rows: &[PaperRow]) -> Vec<FieldData> {
    fn of<T>(rows: &[PaperRow], value: impl Fn(&PaperRow) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    let strings = |name: &str, of: fn(&PaperRow) -> &Vec<String>| {
        let label = |label: &String| cut(label, MAX_LABEL_BYTES).to_string();
        let labels = |row: &PaperRow| of(row).iter().take(MAX_ARRAY_LEN).map(label).collect();
        FieldData::array_varchar(name, rows.iter().map(labels).collect())
    };
    let marks = |row: &PaperRow| row.blocking_keys.iter().take(MAX_ARRAY_LEN).copied().collect();
    vec![
        FieldData::varchar(ID, of(rows, |row| row.id.clone())),
        FieldData::float_vector(VECTOR, of(rows, |row| row.vector.clone())),
        FieldData::varchar("text", of(rows, |row| row.text.clone())),
        FieldData::varchar("document", of(rows, |row| row.document.clone())),
        FieldData::array_int64("marks", of(rows, marks)),
        FieldData::int32("first", of(rows, |row| row.days.first)),
        FieldData::int32("last", of(rows, |row| row.days.last)),
        FieldData::int64("number", of(rows, |row| row.number)),
        FieldData::boolean("withdrawn", of(rows, |row| row.withdrawn)),
        strings("also", |row| &row.alternate_ids),
        strings("categories", |row| &row.categories),
        strings("venues", |row| &row.venues),
        strings("sources", |row| &row.sources),
        strings("names", |row| &row.names),
        strings("pairs", |row| &row.pairs),
    ]
}

/// The fields that [`stored_rows`] reads.
pub(super) const STORED_FIELDS: [&str; 4] = [ID, "text", "document", "number"];

/// The rows of an answer that has the [`STORED_FIELDS`].
pub(super) fn stored_rows(fields: &[FieldData]) -> Vec<StoredRow> {
    let documents = strings(fields, "document").into_iter().zip(integers(fields, "number"));
    let ids = strings(fields, ID).into_iter().zip(strings(fields, "text"));
    let row = |((id, text), (document, number))| StoredRow { id, text, document, number };
    ids.zip(documents).map(row).collect()
}

/// The days of an answer that has the fields `first` and `last`.
pub(super) fn days(fields: &[FieldData]) -> impl Iterator<Item = DayRange> {
    let ends = short_integers(fields, "first").into_iter().zip(short_integers(fields, "last"));
    ends.map(|(first, last)| DayRange { first, last })
}

fn field<'a>(fields: &'a [FieldData], name: &str) -> Option<&'a FieldData> {
    fields.iter().find(|field| field.name() == name)
}

/// The strings of a field; empty if the answer lacks the field.
pub(super) fn strings(fields: &[FieldData], name: &str) -> Vec<String> {
    match field(fields, name) {
        Some(FieldData::VarChar { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

/// The 64-bit integers of a field; empty if the answer lacks the field.
pub(super) fn integers(fields: &[FieldData], name: &str) -> Vec<i64> {
    match field(fields, name) {
        Some(FieldData::Int64 { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

fn short_integers(fields: &[FieldData], name: &str) -> Vec<i32> {
    match field(fields, name) {
        Some(FieldData::Int32 { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

/// The vectors of an answer; empty if the answer lacks the vector field.
pub(super) fn vectors(fields: &[FieldData]) -> Vec<Vec<f32>> {
    match field(fields, VECTOR) {
        Some(FieldData::FloatVector { values, .. }) => values.clone(),
        _ => Vec::new(),
    }
}

/// The beginning of a text, at most `bytes` bytes long.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
