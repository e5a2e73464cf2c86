//! `POST /v1/embeddings`, in OpenAI's shape.

use super::App;
use super::body::Body;
use super::problem::Problem;
use super::queue::Priority;
use crate::encoder::Embedding;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Most texts in one request, as in OpenAI's own.
const MAX_INPUTS: usize = 2048;

/// The route.
pub fn router() -> Router<App> {
    Router::new().route("/v1/embeddings", post(embeddings))
}

/// Fields that are not here (`model`, `user`) are taken and change nothing: there is one model.
#[derive(Deserialize)]
struct Request {
    input: Value,
    #[serde(default)]
    encoding_format: Format,
    dimensions: Option<usize>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Float,
    Base64,
}

async fn embeddings(State(app): State<App>, Body(request): Body<Request>) -> Result<Json<Value>, Problem> {
    let service = app.service()?;
    let dimension = service.library.encoder().dimension();
    if let Some(other) = request.dimensions.filter(|&wanted| wanted != dimension) {
        return Err(Problem::invalid(format!(
            "dimensions: got {other}; this model has {dimension} and no fewer"
        )));
    }
    let texts = texts(request.input)?;
    let priority = if texts.len() == 1 { Priority::Interactive } else { Priority::Bulk };
    let embeddings = service.queue.encode(texts, priority).await?;
    let tokens: usize = embeddings.iter().map(|embedding| embedding.tokens).sum();
    let item = |(index, embedding): (usize, &Embedding)| {
        json!({
            "object": "embedding",
            "index": index,
            "embedding": shown(&embedding.vector, request.encoding_format),
            "tokens": embedding.tokens,
            "truncated": embedding.truncated,
        })
    };
    Ok(Json(json!({
        "object": "list",
        "data": embeddings.iter().enumerate().map(item).collect::<Vec<_>>(),
        "model": service.library.encoder().model().name,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })))
}

/// A text, or a list of texts.
fn texts(input: Value) -> Result<Vec<String>, Problem> {
    let text = |value: Value| match value {
        Value::String(text) if text.trim().is_empty() => Err(Problem::invalid("input: got an empty text")),
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(Problem::invalid(
            "input: got token ids, which belong to another model's tokenizer; send texts (in LangChain: \
             check_embedding_ctx_length=False)",
        )),
        _ => Err(Problem::invalid("input: wanted a text or a list of texts")),
    };
    match input {
        Value::Array(list) if list.is_empty() => Err(Problem::invalid("input: got an empty list")),
        Value::Array(list) if list.len() > MAX_INPUTS => {
            Err(Problem::invalid(format!("input: got {} texts, wanted at most {MAX_INPUTS}", list.len())))
        }
        Value::Array(list) => list.into_iter().map(text).collect(),
        other => Ok(vec![text(other)?]),
    }
}

/// A vector as numbers, or as its little-endian bytes in base64.
fn shown(vector: &[f32], format: Format) -> Value {
    match format {
        Format::Float => json!(vector),
        Format::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Value::String(STANDARD.encode(bytes))
        }
    }
}
