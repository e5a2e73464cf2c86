//! Examples as a question has them: ids of papers, and texts, in one list.
//!
//! Its own file because serde's own way to read one thing or another says of neither what is wrong.

use super::shapes;
use crate::search::{Like, MAX_PAPERS};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema};

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Example {
    /// A paper that is here, by any of its ids.
    Paper(String),
    /// A text.
    Text(String),
}

/// A text, as it is written among ids.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OfText {
    text: String,
}

impl<'de> Deserialize<'de> for Example {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Example, D::Error> {
        deserializer.deserialize_any(OfExample)
    }
}

struct OfExample;

impl<'de> Visitor<'de> for OfExample {
    type Value = Example;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id of a paper, or {\"text\": …}")
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<Example, E> {
        Ok(Example::Paper(id.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Example, A::Error> {
        let OfText { text } = serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Example::Text(text))
    }
}

/// As a search takes them.
pub fn like(examples: Vec<Example>) -> Like {
    let mut like = Like::default();
    for example in examples {
        match example {
            Example::Paper(id) => like.papers.push(id),
            Example::Text(text) => like.texts.push(text),
        }
    }
    like
}

fn list() -> ArrayBuilder {
    let text = ObjectBuilder::new().property("text", shapes::text()).required("text");
    let text = text.additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let example = OneOfBuilder::new().item(shapes::id()).item(text);
    ArrayBuilder::new().items(example).max_items(Some(MAX_PAPERS))
}

/// Examples.
pub fn examples() -> Schema {
    list().min_items(Some(1)).into()
}

/// Examples, or none.
pub fn examples_or_none() -> Schema {
    list().into()
}
