//! Shapes of requests that a Rust type cannot say: a text with words in it, one text or many, a vector.
//!
//! Its own file because `/openapi.json` is held to every word: what it allows is taken, and what it does not is refused.

use crate::paper::MAX_ID_BYTES;
use crate::search::{MAX_K, MAX_OFFSET, MAX_PAPERS};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type};

/// Most texts in one request, if no option says otherwise.
const MAX_BATCH: usize = 2048;

/// A text with words in it.
pub fn text() -> Object {
    // JavaScript's white space, which is Rust's but for these two.
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("[^\\s\\u0085\\uFEFF]")).build()
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

/// Ids of papers.
pub fn ids() -> Schema {
    let id = ObjectBuilder::from(text()).max_length(Some(MAX_ID_BYTES)).build();
    ArrayBuilder::new().items(id).min_items(Some(1)).max_items(Some(MAX_PAPERS)).into()
}

/// Ids of papers, or none.
pub fn ids_or_none() -> Schema {
    let id = ObjectBuilder::from(text()).max_length(Some(MAX_ID_BYTES)).build();
    ArrayBuilder::new().items(id).max_items(Some(MAX_PAPERS)).into()
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
