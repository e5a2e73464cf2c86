//! `POST /embed`, `POST /`, `GET /info`, `POST /rerank`: those of text-embeddings-inference, which its clients and Hugging Face's speak.

use super::openai::{dimensions, shortened, texts};
use crate::json::whole_or_null;
use crate::server::App;
use crate::server::body::Body;
use crate::server::dialect::TeiError;
use crate::server::problem::Problem;
use crate::server::queue::Priority;
use crate::server::rank::relevance;
use crate::server::service::name_of;
use crate::server::shapes;
use axum::Json;
use axum::extract::State;
use likewise_encoder::Keep;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Texts whose vectors are wanted. Fields that are not here are taken and change nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"inputs": ["one text", "another"]}))]
pub struct EmbedRequest {
    /// A text, or a list of texts, of any length: they are batched here.
    #[schema(schema_with = shapes::texts)]
    inputs: Value,
    /// Scale vectors to length 1; they have it here in any case.
    #[serde(default, rename = "normalize")]
    _normalize: Option<bool>,
    /// Cut texts that are longer than the model reads; else they are refused. Left out, they are cut.
    truncate: Option<bool>,
    /// At which end.
    #[serde(default)]
    #[schema(inline)]
    truncation_direction: Option<Direction>,
    /// The model's prompt of this name goes before each text: `query`, if they are to be compared with papers. Left out,
    /// they are read as papers are.
    prompt_name: Option<String>,
    /// The first so many values of each vector, scaled to length 1 again.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 1)]
    dimensions: Option<usize>,
}

/// Which end of a text is cut.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq, ToSchema)]
pub enum Direction {
    #[serde(alias = "left")]
    Left,
    #[serde(alias = "right")]
    Right,
}

/// The vectors of texts.
#[utoipa::path(post, path = "/embed", tag = "text-embeddings-inference", request_body = EmbedRequest, responses(
    (status = 200, description = "A vector for each text", body = Vec<Vec<f32>>),
    (status = 400, description = "The body is no JSON", body = TeiError),
    (status = 422, description = "It has no texts, or one is too long", body = TeiError),
))]
pub async fn embed(
    State(app): State<App>,
    Body(request): Body<EmbedRequest>,
) -> Result<Json<Vec<Vec<f32>>>, Problem> {
    let service = app.service()?;
    let dimensions = dimensions(request.dimensions, service.library.encoder().dimension())?;
    let mut reading = service.reading(request.prompt_name.as_deref())?;
    let texts = texts("inputs", request.inputs)?;
    service.check_texts("inputs", &texts)?;
    let count = texts.len();
    let priority = Priority::of(count);
    if request.truncation_direction == Some(Direction::Left) {
        reading.keep = Keep::End;
    }
    let tokenized = service.queue.tokenize(texts, reading).await;
    let tokenized = tokenized.map_err(|problem| problem.of_text(|index| name_of("inputs", index, count)))?;
    if request.truncate == Some(false)
        && let Some(place) = tokenized.iter().position(|text| text.truncated)
    {
        let most = service.library.encoder().model().stated.max_length;
        return Err(Problem::invalid(format!(
            "{}: it has more than the {most} tokens that the model reads; send \"truncate\": true",
            name_of("inputs", place, count)
        )));
    }
    let embeddings = service.queue.embed(tokenized, priority).await?;
    Ok(Json(embeddings.into_iter().map(|embedding| shortened(embedding.vector, dimensions)).collect()))
}

/// The vectors of texts, for clients that are given this server's address as a model's.
#[utoipa::path(post, path = "/", tag = "text-embeddings-inference", request_body = EmbedRequest, responses(
    (status = 200, description = "A vector for each text", body = Vec<Vec<f32>>),
    (status = 400, description = "The body is no JSON", body = TeiError),
    (status = 422, description = "It has no texts, or one is too long", body = TeiError),
))]
pub async fn embed_here(app: State<App>, body: Body<EmbedRequest>) -> Result<Json<Vec<Vec<f32>>>, Problem> {
    embed(app, body).await
}

/// What is served, in the words of text-embeddings-inference.
#[derive(Debug, Serialize, ToSchema)]
pub struct Info {
    #[schema(example = "all-MiniLM-L6-v2")]
    model_id: String,
    /// The fingerprint of its vectors.
    model_sha: String,
    /// The numbers it computes in.
    #[schema(example = "float32")]
    model_dtype: String,
    model_type: ModelType,
    /// Requests that may wait to be searched.
    max_concurrent_requests: usize,
    /// Tokens it reads of a text.
    max_input_length: usize,
    /// Tokens encoded at once.
    max_batch_tokens: usize,
    /// Texts in one request.
    max_client_batch_size: usize,
    /// Bytes in one request.
    payload_limit: usize,
    auto_truncate: bool,
    tokenization_workers: usize,
    version: &'static str,
}

/// What kind of model it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelType {
    embedding: Pooling,
}

/// How a text's vector is made of its tokens'.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pooling {
    #[schema(example = "mean")]
    pooling: String,
}

/// What is served.
#[utoipa::path(get, path = "/info", tag = "text-embeddings-inference", responses(
    (status = 200, description = "The model and the limits", body = Info),
))]
pub async fn info(State(app): State<App>) -> Result<Json<Info>, Problem> {
    let service = app.service()?;
    let (encoder, options) = (service.library.encoder(), app.options());
    let model = encoder.model();
    Ok(Json(Info {
        model_id: model.name.clone(),
        model_sha: model.fingerprint.sha256.clone(),
        model_dtype: match model.precision.to_string().as_str() {
            "f32" => "float32".into(),
            "bf16" => "bfloat16".into(),
            other => other.into(),
        },
        model_type: ModelType {
            embedding: Pooling { pooling: format!("{:?}", model.stated.pooling).to_lowercase() },
        },
        max_concurrent_requests: options.max_searches,
        max_input_length: model.stated.max_length,
        max_batch_tokens: options.queue.batch,
        max_client_batch_size: options.max_batch,
        payload_limit: options.max_body_bytes,
        auto_truncate: true,
        tokenization_workers: encoder.threads(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// Texts to be ranked.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"query": "insects and numbers", "texts": ["Bees that count", "Knots"]}))]
pub struct TeiRerankRequest {
    #[schema(schema_with = shapes::text)]
    query: String,
    #[schema(schema_with = shapes::list_of_texts)]
    texts: Vec<String>,
    /// Cosines, from -1 to 1; else they are moved into 0 to 1.
    #[serde(default)]
    raw_scores: bool,
    /// Texts are given back.
    #[serde(default)]
    return_text: bool,
}

/// A text's rank.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeiRank {
    /// Its place among the texts.
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Texts, the nearest to a query first.
#[utoipa::path(post, path = "/rerank", tag = "text-embeddings-inference", request_body = TeiRerankRequest, responses(
    (status = 200, description = "The texts' places and scores, best first", body = Vec<TeiRank>),
    (status = 400, description = "The body is no JSON", body = TeiError),
    (status = 422, description = "There is no query, or no texts", body = TeiError),
))]
pub async fn rerank(
    State(app): State<App>,
    Body(request): Body<TeiRerankRequest>,
) -> Result<Json<Vec<TeiRank>>, Problem> {
    let service = app.service()?;
    let TeiRerankRequest { query, texts, raw_scores, return_text } = request;
    let kept = if return_text { texts.clone() } else { Vec::new() };
    let (ranked, _) = service.rerank(query, "texts", texts).await?;
    let rank = |(index, score): (usize, f32)| TeiRank {
        index,
        score: if raw_scores { score } else { relevance(score) },
        text: kept.get(index).cloned(),
    };
    Ok(Json(ranked.into_iter().map(rank).collect()))
}
