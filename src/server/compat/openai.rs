//! `POST /v1/embeddings` and `GET /v1/models` of OpenAI's API.

use crate::json::whole_number_or_null;
use crate::server::App;
use crate::server::body::{Body, WildcardPath};
use crate::server::error_format::ErrorBody;
use crate::server::problem::Problem;
use crate::server::schemas;
use crate::server::service::text_name;
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use likewise_encoder::Embedding;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Texts to embed. Unknown fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"input": ["one text", "another"], "model": "all-MiniLM-L6-v2"}))]
pub struct EmbeddingsRequest {
    /// A text, or a list of texts.
    #[schema(schema_with = schemas::texts)]
    input: Value,
    /// Ignored: the server has one model, which the response names.
    #[serde(default, rename = "model")]
    _model: Option<String>,
    /// Encoding of the vectors: `float` (the default) for numbers, or `base64` for little-endian 32-bit floats in
    /// base64.
    #[schema(inline)]
    encoding_format: Option<EncodingFormat>,
    /// Number of values to which each vector is truncated; a truncated vector is scaled to norm 1 again. Default: the
    /// model's dimension.
    #[serde(default, deserialize_with = "whole_number_or_null")]
    #[schema(minimum = 1)]
    dimensions: Option<usize>,
    /// Name of the prompt to put before each text, one of the model's prompts: `query` if the texts are queries.
    /// Default: the texts are encoded as documents.
    prompt_name: Option<String>,
}

#[derive(Debug, Deserialize, Default, Clone, Copy, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    #[default]
    Float,
    Base64,
}

/// The embeddings, in the order of the texts.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingsResponse {
    /// Always `list`.
    object: &'static str,
    data: Vec<EmbeddingItem>,
    /// Name of the model.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    usage: Usage,
}

/// The embedding of a text.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingItem {
    /// Always `embedding`.
    object: &'static str,
    /// Index of the text in the request.
    index: usize,
    embedding: EmbeddingValue,
    /// Number of tokens that were encoded.
    tokens: usize,
    /// Whether the text was longer than the model's maximum and was therefore truncated.
    truncated: bool,
}

/// A vector, as numbers or in base64.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingValue {
    /// Numbers.
    Float(Vec<f32>),
    /// Little-endian 32-bit floats in base64.
    Base64(String),
}

/// Number of tokens that were encoded.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// Returns the embeddings of texts.
#[utoipa::path(post, path = "/v1/embeddings", tag = "OpenAI", request_body = EmbeddingsRequest, responses(
    (status = 200, description = "An embedding for each text", body = EmbeddingsResponse),
    (status = 400, description = "The body is not valid JSON", body = ErrorBody),
    (status = 422, description = "The texts are missing or invalid, or are token ids of another model's tokenizer", body = ErrorBody),
))]
pub async fn embeddings(
    State(app): State<App>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Json<EmbeddingsResponse>, Problem> {
    let service = app.service()?;
    let dimensions = dimensions(request.dimensions, service.library.encoder().dimension())?;
    let options = service.encode_options(request.prompt_name.as_deref())?;
    let texts = texts("input", request.input)?;
    service.check_texts("input", &texts)?;
    let embeddings = service.embed_field("input", texts, options).await?;
    let tokens: usize = embeddings.iter().map(|embedding| embedding.tokens).sum();
    let item = |(index, Embedding { vector, tokens, truncated }): (usize, Embedding)| {
        let embedding = encoded(shortened(vector, dimensions), request.encoding_format.unwrap_or_default());
        EmbeddingItem { object: "embedding", index, embedding, tokens, truncated }
    };
    Ok(Json(EmbeddingsResponse {
        object: "list",
        data: embeddings.into_iter().enumerate().map(item).collect(),
        model: service.model().into(),
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    }))
}

/// Returns the dimension of the vectors in the response. `requested` is the dimension in the request; `None`: the
/// model's dimension.
///
/// # Errors
/// Returns 422 if `requested` is not between 1 and `dimension`.
pub fn dimensions(requested: Option<usize>, dimension: usize) -> Result<usize, Problem> {
    match requested {
        Some(value) if !(1..=dimension).contains(&value) => Err(Problem::invalid(format!(
            "dimensions must be between 1 and {dimension}, the model's dimension (got {value})"
        ))),
        value => Ok(value.unwrap_or(dimension)),
    }
}

/// Truncates a unit vector to `dimensions` values and scales it to norm 1 again.
pub fn shortened(mut vector: Vec<f32>, dimensions: usize) -> Vec<f32> {
    if dimensions < vector.len() {
        vector.truncate(dimensions);
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// Reads a text, or a list of texts. `field` is the name of the field in error messages.
pub fn texts(field: &str, input: Value) -> Result<Vec<String>, Problem> {
    let token_ids = |name: &str| {
        Problem::invalid(format!(
            "{name} must be text (got token ids, which belong to another model's tokenizer); in LangChain, set \
             check_embedding_ctx_length=False"
        ))
    };
    let text = |name: &str, value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(token_ids(name)),
        _ => Err(Problem::invalid(format!("{name} must be a text or a list of texts"))),
    };
    match input {
        // The list has no text: it has the token ids of one text or of several texts, or values of another kind.
        Value::Array(list) if !list.is_empty() && !list.iter().any(Value::is_string) => match list.first() {
            Some(Value::Number(_) | Value::Array(_)) => Err(token_ids(field)),
            _ => Err(Problem::invalid(format!("{field} must be a text or a list of texts"))),
        },
        Value::Array(list) => {
            let count = list.len();
            let named = list.into_iter().enumerate();
            named.map(|(index, value)| text(&text_name(field, index, count), value)).collect()
        }
        other => Ok(vec![text(field, other)?]),
    }
}

fn encoded(vector: Vec<f32>, encoding: EncodingFormat) -> EmbeddingValue {
    match encoding {
        EncodingFormat::Float => EmbeddingValue::Float(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            EmbeddingValue::Base64(STANDARD.encode(bytes))
        }
    }
}

/// The list of models, which has one item.
#[derive(Debug, Serialize, ToSchema)]
pub struct Models {
    /// Always `list`.
    object: &'static str,
    data: Vec<Model>,
}

/// The served model.
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    /// Name of the model.
    #[schema(example = "all-MiniLM-L6-v2")]
    id: String,
    /// Always `model`.
    object: &'static str,
    /// Time of creation; unknown, so always 0.
    created: u64,
    owned_by: &'static str,
    /// Dimension of the vectors.
    dimension: usize,
    /// Maximum number of tokens of a text that are encoded; the rest of a longer text is cut off.
    max_tokens: usize,
    /// Fingerprint of the model. Only embeddings of models with the same fingerprint can be compared.
    fingerprint: String,
}

fn served_model(app: &App) -> Result<Model, Problem> {
    let service = app.service()?;
    let (encoder, model) = (service.library.encoder(), service.library.encoder().model());
    Ok(Model {
        id: model.name.clone(),
        object: "model",
        created: 0,
        owned_by: "likewise",
        dimension: encoder.dimension(),
        max_tokens: model.config.max_length,
        fingerprint: model.fingerprint.sha256.clone(),
    })
}

/// Lists the served models.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses(
    (status = 200, description = "The list of models", body = Models),
))]
pub async fn models(State(app): State<App>) -> Result<Json<Models>, Problem> {
    Ok(Json(Models { object: "list", data: vec![served_model(&app)?] }))
}

/// Returns the served model.
#[utoipa::path(get, path = "/v1/models/{*id}", tag = "OpenAI",
    params(("id" = String, Path, description = "Name of the model", example = "all-MiniLM-L6-v2")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 400, description = "The path is not valid UTF-8", body = ErrorBody),
        (status = 404, description = "The served model has another name", body = ErrorBody),
    ))]
pub async fn model(State(app): State<App>, WildcardPath(id): WildcardPath) -> Result<Json<Model>, Problem> {
    let model = served_model(&app)?;
    if model.id == id {
        return Ok(Json(model));
    }
    Err(Problem::not_found(format!(
        "the server does not have the model {id:?}; its only model is {:?}",
        model.id
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_vectors_have_norm_1() {
        assert_eq!(shortened(vec![0.6, 0.0, 0.8], 2), [1.0, 0.0]);
        assert_eq!(shortened(vec![0.6, 0.8], 2), [0.6, 0.8]);
        assert_eq!(shortened(vec![0.0, 1.0], 1), [0.0]);
    }
}
