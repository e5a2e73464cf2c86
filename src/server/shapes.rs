//! Shapes of requests that a Rust type cannot say: a text with words in it, one text or many, a vector.
//!
//! Its own file because `/openapi.json` is held to every word: what it allows is taken, and what it does not is refused.

use crate::search::{MAX_K, MAX_OFFSET, MAX_PAPERS};
use likewise_papers::paper::MAX_ID_BYTES;
use serde_json::json;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, Object, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat,
    SchemaType, Type,
};

/// Most texts in one request, if no option says otherwise.
const MAX_BATCH: usize = 2048;

/// A text with words in it.
pub fn text() -> Object {
    // JavaScript's white space, which is Rust's but for these two.
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("[^\\s\\u0085\\uFEFF]")).build()
}

/// Where texts are tidied: control characters are no words, either.
fn words() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("[^\\s\\u0000-\\u001F\\u007F-\\u009F\\uFEFF]"))
        .build()
}

/// A paper as it is uploaded, as far as that can be said: names that are not here are taken, too.
pub fn paper() -> Schema {
    let text = || ObjectBuilder::new().schema_type(nullable(Type::String));
    let anything =
        |what: &str| ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(what));
    let id = AnyOfBuilder::new()
        .item(text().max_length(Some(MAX_ID_BYTES)))
        .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0)).maximum(Some(MAX_NUMBER)));
    ObjectBuilder::new()
        .description(Some("A paper, with the names people use for its fields, or as arXiv, OpenAlex, Semantic Scholar and BEIR write it. What \
             cannot be read of a field that is not required is left out, and the answer says so in not_read."))
        .property("id", id)
        .property("title", words())
        .required("title")
        .property("abstract", anything("Text."))
        .property("authors", anything("A list of names, or of objects with a name; or one text with semicolons between them."))
        .property("published", anything("YYYY, YYYY-MM or YYYY-MM-DD, or a date as people write it."))
        .property("categories", anything("A list of texts, or one text with semicolons or commas between them."))
        .property("venue", anything("Text."))
        .property("source", anything("Text."))
        .property("url", anything("Text."))
        .property("doi", anything("Text."))
        .examples([json!({
            "id": "2101.11408",
            "title": "Number Parsing at a Gigabyte per Second",
            "abstract": "With disks and networks providing gigabytes per second …",
            "authors": ["Daniel Lemire"],
            "published": "2021-01-11",
        })])
        .into()
}

/// Largest number that is an id.
const MAX_NUMBER: f64 = 1e15;

fn nullable(kind: Type) -> SchemaType {
    SchemaType::from_iter([kind, Type::Null])
}

/// A list of such texts.
pub fn list_of_texts() -> Schema {
    ArrayBuilder::new().items(text()).min_items(Some(1)).max_items(Some(MAX_BATCH)).into()
}

/// One such text, or a list.
pub fn texts() -> Schema {
    OneOfBuilder::new().item(text()).item(list_of_texts()).into()
}

/// A document to be ranked: a text, or an object with one.
pub fn documents() -> Schema {
    let object = ObjectBuilder::new().property("text", text()).required("text");
    let document = OneOfBuilder::new().item(text()).item(object);
    ArrayBuilder::new().items(document).min_items(Some(1)).max_items(Some(MAX_BATCH)).into()
}

fn date_pattern() -> String {
    const DAYS: &str = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])";
    const LEAP_YEARS: &str = "[0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00";
    format!("[0-9]{{4}}(-(0[1-9]|1[0-2]|{DAYS}))?|({LEAP_YEARS})-02-29")
}

/// A day, a month or a year that there is.
pub fn date() -> Object {
    let pattern = format!("^({})$", date_pattern());
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples(["2021-01-11"]).build()
}

/// One day that there is.
pub fn day() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .examples(["2021-01-11"])
        .build()
}

/// Where a page begins.
pub fn cursor() -> Object {
    let pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{4}-[0-9]{2}-[0-9]{2}|_)_[1-9][0-9]{0,17}$";
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

/// Names of authors: each has a letter or a digit.
pub fn names() -> Schema {
    ArrayBuilder::new().items(name()).into()
}

/// A name of an author.
pub fn name() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("[^\\W_]")).build()
}

/// An id of a paper.
pub fn id() -> Object {
    ObjectBuilder::from(words()).max_length(Some(MAX_ID_BYTES)).build()
}

/// Ids of papers.
pub fn ids() -> Schema {
    ArrayBuilder::new().items(id()).min_items(Some(1)).max_items(Some(MAX_PAPERS)).into()
}

/// Ids of papers, or none.
pub fn ids_or_none() -> Schema {
    ArrayBuilder::new().items(id()).max_items(Some(MAX_PAPERS)).into()
}

/// How many answers.
pub fn k() -> Object {
    whole(1, MAX_K, 10)
}

/// How many are passed over.
pub fn offset() -> Object {
    whole(0, MAX_OFFSET, 0)
}

fn whole(least: usize, most: usize, default: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least as f64))
        .maximum(Some(most as f64))
        .default(Some(default.into()))
        .build()
}
