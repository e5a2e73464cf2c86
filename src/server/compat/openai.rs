//! `POST /v1/embeddings`, `GET /v1/models`: OpenAI's, for the clients that people have.

use crate::json::whole_or_null;
use crate::server::App;
use crate::server::body::{Body, Rest};
use crate::server::dialect::ErrorBody;
use crate::server::problem::Problem;
use crate::server::service::name_of;
use crate::server::shapes;
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use likewise_encoder::Embedding;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Texts whose vectors are wanted. Fields that are not here are taken and change nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"input": ["one text", "another"], "model": "all-MiniLM-L6-v2"}))]
pub struct EmbeddingsRequest {
    /// A text, or a list of texts.
    #[schema(schema_with = shapes::texts)]
    input: Value,
    /// Any name: there is one model, and the answer says which.
    #[serde(default, rename = "model")]
    _model: Option<String>,
    /// `float`, or `base64`: little-endian 32-bit floats.
    #[schema(inline)]
    encoding_format: Option<Encoding>,
    /// The first so many values of each vector, scaled to length 1 again.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 1)]
    dimensions: Option<usize>,
    /// The model's prompt of this name goes before each text: `query`, if they are to be compared with papers. Left out,
    /// they are read as papers are.
    prompt_name: Option<String>,
}

#[derive(Debug, Deserialize, Default, Clone, Copy, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Float,
    Base64,
}

/// Vectors, in the order of the texts.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingsAnswer {
    /// `list`.
    object: &'static str,
    data: Vec<EmbeddingItem>,
    /// The model that made them.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    usage: Usage,
}

/// A text's vector.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingItem {
    /// `embedding`.
    object: &'static str,
    /// The text's place in the list.
    index: usize,
    embedding: Vector,
    /// Tokens that were read.
    tokens: usize,
    /// Whether the text was longer than the model reads.
    truncated: bool,
}

/// A vector, as numbers or in base64.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// Numbers.
    Float(Vec<f32>),
    /// Little-endian 32-bit floats in base64.
    Base64(String),
}

/// What was read.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// The vectors of texts.
#[utoipa::path(post, path = "/v1/embeddings", tag = "OpenAI", request_body = EmbeddingsRequest, responses(
    (status = 200, description = "A vector for each text", body = EmbeddingsAnswer),
    (status = 400, description = "The body is no JSON", body = ErrorBody),
    (status = 422, description = "It has no texts, or token ids of another model's tokenizer", body = ErrorBody),
))]
pub async fn embeddings(
    State(app): State<App>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Json<EmbeddingsAnswer>, Problem> {
    let service = app.service()?;
    let dimensions = dimensions(request.dimensions, service.library.encoder().dimension())?;
    let reading = service.reading(request.prompt_name.as_deref())?;
    let texts = texts("input", request.input)?;
    service.check_texts("input", &texts)?;
    let embeddings = service.embed_field("input", texts, reading).await?;
    let tokens: usize = embeddings.iter().map(|embedding| embedding.tokens).sum();
    let item = |(index, Embedding { vector, tokens, truncated }): (usize, Embedding)| {
        let embedding = shown(shortened(vector, dimensions), request.encoding_format.unwrap_or_default());
        EmbeddingItem { object: "embedding", index, embedding, tokens, truncated }
    };
    Ok(Json(EmbeddingsAnswer {
        object: "list",
        data: embeddings.into_iter().enumerate().map(item).collect(),
        model: service.model().into(),
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    }))
}

/// How many values of a vector are wanted.
pub fn dimensions(wanted: Option<usize>, all: usize) -> Result<usize, Problem> {
    match wanted {
        Some(wanted) if !(1..=all).contains(&wanted) => Err(Problem::invalid(format!(
            "dimensions: got {wanted}, wanted 1 to {all}, which this model has"
        ))),
        wanted => Ok(wanted.unwrap_or(all)),
    }
}

/// The first values of a unit vector, as one again.
pub fn shortened(mut vector: Vec<f32>, dimensions: usize) -> Vec<f32> {
    if dimensions < vector.len() {
        vector.truncate(dimensions);
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// A text, or a list of texts.
pub fn texts(field: &str, input: Value) -> Result<Vec<String>, Problem> {
    let ids = |name: &str| {
        Problem::invalid(format!(
            "{name}: got token ids, which belong to another model's tokenizer; send texts (in LangChain: \
             check_embedding_ctx_length=False)"
        ))
    };
    let text = |name: &str, value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(ids(name)),
        _ => Err(Problem::invalid(format!("{name}: wanted a text or a list of texts"))),
    };
    match input {
        // One text, or many, in ids.
        Value::Array(list) if !list.is_empty() && !list.iter().any(Value::is_string) => match list.first() {
            Some(Value::Number(_) | Value::Array(_)) => Err(ids(field)),
            _ => Err(Problem::invalid(format!("{field}: wanted a text or a list of texts"))),
        },
        Value::Array(list) => {
            let count = list.len();
            let named = list.into_iter().enumerate();
            named.map(|(index, value)| text(&name_of(field, index, count), value)).collect()
        }
        other => Ok(vec![text(field, other)?]),
    }
}

fn shown(vector: Vec<f32>, encoding: Encoding) -> Vector {
    match encoding {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
    }
}

/// The models that are served: one.
#[derive(Debug, Serialize, ToSchema)]
pub struct Models {
    /// `list`.
    object: &'static str,
    data: Vec<Model>,
}

/// The model that is served.
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    /// Its name.
    #[schema(example = "all-MiniLM-L6-v2")]
    id: String,
    /// `model`.
    object: &'static str,
    /// When it was made: not known, so 0.
    created: u64,
    owned_by: &'static str,
    /// Length of its vectors.
    dimension: usize,
    /// Tokens it reads of a text.
    max_tokens: usize,
    /// What tells its vectors from all others'.
    fingerprint: String,
}

fn served(app: &App) -> Result<Model, Problem> {
    let service = app.service()?;
    let (encoder, model) = (service.library.encoder(), service.library.encoder().model());
    Ok(Model {
        id: model.name.clone(),
        object: "model",
        created: 0,
        owned_by: "likewise",
        dimension: encoder.dimension(),
        max_tokens: model.stated.max_length,
        fingerprint: model.fingerprint.sha256.clone(),
    })
}

/// The models that are served.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses(
    (status = 200, description = "One model", body = Models),
))]
pub async fn models(State(app): State<App>) -> Result<Json<Models>, Problem> {
    Ok(Json(Models { object: "list", data: vec![served(&app)?] }))
}

/// One model.
#[utoipa::path(get, path = "/v1/models/{*id}", tag = "OpenAI",
    params(("id" = String, Path, description = "Its name", example = "all-MiniLM-L6-v2")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 400, description = "The path is no text", body = ErrorBody),
        (status = 404, description = "It is not the one that is served", body = ErrorBody),
    ))]
pub async fn model(State(app): State<App>, Rest(id): Rest) -> Result<Json<Model>, Problem> {
    let model = served(&app)?;
    if model.id == id {
        return Ok(Json(model));
    }
    Err(Problem::not_found(format!("no model {id:?} here, only {:?}", model.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_dimensions_are_a_unit_vector_again() {
        assert_eq!(shortened(vec![0.6, 0.0, 0.8], 2), [1.0, 0.0]);
        assert_eq!(shortened(vec![0.6, 0.8], 2), [0.6, 0.8]);
        assert_eq!(shortened(vec![0.0, 1.0], 1), [0.0]);
    }
}
