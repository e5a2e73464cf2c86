//! The JSON schemas of a query in the OpenAPI document.
//!
//! The Rust type of a query cannot express which of its fields can be given together. So its one schema is replaced by
//! several, of which exactly one matches a request.

use crate::search::{Library, Mode};
use serde_json::{Value, json};

/// A query has at least one of these fields.
const EXAMPLE_FIELDS: [&str; 3] = ["text", "like", "vector"];

/// For each of [`EXAMPLE_FIELDS`], the schema of a query that has this field and none of the fields before it.
const RANKED: [&str; 3] = ["SearchByText", "SearchByExamples", "SearchByVector"];

/// The same for queries with `above`.
const ABOVE: [&str; 3] = ["AboveByText", "AboveByExamples", "AboveByVector"];

/// The fields of a query with `above`.
const ABOVE_FIELDS: [&str; 7] = ["text", "like", "vector", "unlike", "filter", "fields", "above"];

/// Replaces the schema `SearchRequest` by schemas for queries with and without `above`. A batch has queries without.
/// `dimension` is the number of values in a vector; `None`: any number.
pub fn split_search_request(schemas: &mut Value, dimension: Option<usize>) {
    let request = schemas["SearchRequest"].take();
    for (index, required) in EXAMPLE_FIELDS.into_iter().enumerate() {
        let variant = with_required_field(request.clone(), index, dimension);
        let mut above = variant.clone();
        if let Some(properties) = above["properties"].as_object_mut() {
            properties.retain(|name, _| ABOVE_FIELDS.contains(&name.as_str()));
        }
        above["properties"]["above"]["type"] = json!("number");
        above["required"] = json!([required, "above"]);
        above["description"] = json!(format!("A query that has the fields `{required}` and `above`."));
        if let Some(above) = above.as_object_mut() {
            above.remove("example");
        }
        schemas[ABOVE[index]] = above;
        schemas[RANKED[index]] = variant;
        schemas[RANKED[index]]["properties"]["above"] = json!({ "type": "null" });
    }
    let any_of = |names: &[&str]| -> Vec<Value> { names.iter().map(|name| reference(name)).collect() };
    schemas["SearchRequest"] = json!({
        "description": request["description"],
        "oneOf": any_of(&[RANKED, ABOVE].concat()),
        "example": request["example"],
    });
    schemas["SearchBatchRequest"]["properties"]["queries"]["items"] = json!({ "oneOf": any_of(&RANKED) });
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schema of a query that has the field `EXAMPLE_FIELDS[index]` and none of the fields before it.
fn with_required_field(mut request: Value, index: usize, dimension: Option<usize>) -> Value {
    let required = EXAMPLE_FIELDS[index];
    for other in &EXAMPLE_FIELDS[..index] {
        request["properties"][other] = json!({ "type": "null" });
    }
    request["properties"]["vector"] = match required {
        "vector" => vector(dimension),
        _ => json!({ "oneOf": [vector(dimension), { "type": "null" }] }),
    };
    request["required"] = json!([required]);
    request["description"] = json!(format!("A query that has the field `{required}`."));
    if required != "text"
        && let Some(request) = request.as_object_mut()
    {
        request.remove("example");
    }
    if required == "text" {
        request["properties"]["like"] =
            json!({ "oneOf": [request["properties"]["like"], { "type": "null" }] });
    }
    if required == "vector" {
        // A vector has no terms, so `mode` cannot be `lexical`. It has no sentences, so `rerank_sentences` cannot be
        // true.
        request["properties"]["mode"] = json!({
            "type": ["string", "null"],
            "enum": [json!(Mode::Semantic), json!(Mode::Hybrid), Value::Null],
            "description": request["properties"]["mode"]["description"],
        });
        request["properties"]["rerank_sentences"]["enum"] = json!([false]);
    }
    request
}

/// Without a cross-encoder, `rerank` can only be false; a vector alone cannot be reranked in any case.
pub fn limit_rerank(schemas: &mut Value, library: &Library) {
    for schema in RANKED {
        if library.reranker().is_none() || schema == "SearchByVector" {
            let rerank = &mut schemas[schema]["properties"]["rerank"];
            *rerank = json!({
                "type": ["boolean", "null"],
                "enum": [false, null],
                "description": rerank["description"],
            });
        }
    }
}

/// Returns the schema of a vector that is not all 0. `dimension` is the number of values in the vector; `None`: any
/// number.
fn vector(dimension: Option<usize>) -> Value {
    let mut vector = json!({
        "type": "array",
        "description": "A vector from the model of this server. It can have any norm except 0.",
        "items": { "type": "number", "minimum": -1e30, "maximum": 1e30 },
        "contains": { "anyOf": [{ "minimum": 1e-30 }, { "maximum": -1e-30 }] },
    });
    if let Some(dimension) = dimension {
        vector["minItems"] = json!(dimension);
        vector["maxItems"] = json!(dimension);
    }
    vector
}
