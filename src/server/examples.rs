//! The lists `like` and `unlike` of a search request. The items of a list are ids of papers and texts, in any order.
//!
//! The items have a hand-written deserializer because serde's untagged enums do not report what is wrong with an item.

use super::schemas;
use crate::search::{Examples, MAX_PAPERS};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema};

/// An item of `like` or `unlike`.
#[derive(Debug, Clone, PartialEq)]
pub enum ExampleItem {
    /// A paper in the library, by any of its ids.
    Paper(String),
    /// A text.
    Text(String),
}

/// The JSON object of a text example.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TextObject {
    text: String,
}

impl<'de> Deserialize<'de> for ExampleItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ExampleItem, D::Error> {
        deserializer.deserialize_any(ExampleVisitor)
    }
}

struct ExampleVisitor;

impl<'de> Visitor<'de> for ExampleVisitor {
    type Value = ExampleItem;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id of a paper, or an object {\"text\": …}")
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<ExampleItem, E> {
        Ok(ExampleItem::Paper(id.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExampleItem, A::Error> {
        let TextObject { text } = serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ExampleItem::Text(text))
    }
}

/// Converts a list of examples to the search's type.
pub fn to_examples(items: Vec<ExampleItem>) -> Examples {
    let mut examples = Examples::default();
    for item in items {
        match item {
            ExampleItem::Paper(id) => examples.papers.push(id),
            ExampleItem::Text(text) => examples.texts.push(text),
        }
    }
    examples
}

fn list_schema() -> ArrayBuilder {
    let text = ObjectBuilder::new().property("text", schemas::text()).required("text");
    let text = text.additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let example = OneOfBuilder::new().item(schemas::id()).item(text);
    ArrayBuilder::new().items(example).max_items(Some(MAX_PAPERS))
}

/// Returns the schema of a list with at least one example.
pub fn non_empty_list_schema() -> Schema {
    list_schema().min_items(Some(1)).into()
}

/// Returns the schema of a list of examples that can be empty.
pub fn any_list_schema() -> Schema {
    list_schema().into()
}
