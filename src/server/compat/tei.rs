//! `POST /embed`, `POST /`, `GET /info` and `POST /rerank` of text-embeddings-inference (TEI). Hugging Face's clients
//! use these routes too.

use super::openai::{dimensions, shortened, texts};
use crate::json::whole_number_or_null;
use crate::search::Library;
use crate::server::App;
use crate::server::body::Body;
use crate::server::error_format::TeiError;
use crate::server::problem::Problem;
use crate::server::queue::Priority;
use crate::server::rank::{RankedTexts, TextScore};
use crate::server::schemas;
use crate::server::service::text_name;
use axum::Json;
use axum::extract::State;
use likewise_encoder::{SparseVector, TruncationSide};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Texts to embed. Unknown fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"inputs": ["one text", "another"]}))]
pub struct EmbedRequest {
    /// A text, or a list of up to 2048 texts (`--max-batch`); a longer list is refused.
    #[schema(schema_with = schemas::texts)]
    inputs: Value,
    /// Ignored: vectors always have norm 1.
    #[serde(default, rename = "normalize")]
    _normalize: Option<bool>,
    /// Whether to truncate texts that are longer than the model's maximum; if false, such texts are refused. Default:
    /// true.
    truncate: Option<bool>,
    /// The end at which texts are truncated. Default: right.
    #[serde(default)]
    #[schema(inline)]
    truncation_direction: Option<TruncationDirection>,
    /// Name of the prompt to put before each text, one of the model's prompts: `query` if the texts are queries.
    /// Default: the texts are encoded as documents.
    prompt_name: Option<String>,
    /// Number of values to which each vector is truncated; a truncated vector is scaled to norm 1 again. Default: the
    /// model's dimension.
    #[serde(default, deserialize_with = "whole_number_or_null")]
    #[schema(minimum = 1)]
    dimensions: Option<usize>,
}

/// The end at which a text is truncated.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq, ToSchema)]
pub enum TruncationDirection {
    #[serde(alias = "left")]
    Left,
    #[serde(alias = "right")]
    Right,
}

/// Returns the embeddings of texts.
#[utoipa::path(post, path = "/embed", tag = "text-embeddings-inference", request_body = EmbedRequest, responses(
    (status = 200, description = "An embedding for each text", body = Vec<Vec<f32>>),
    (status = 400, description = "The body is not valid JSON", body = TeiError),
    (status = 422, description = "The texts are missing or invalid, or a text is too long", body = TeiError),
))]
pub async fn embed(
    State(app): State<App>,
    Body(request): Body<EmbedRequest>,
) -> Result<Json<Vec<Vec<f32>>>, Problem> {
    let service = app.service()?;
    let dimensions = dimensions(request.dimensions, service.library.encoder().dimension())?;
    let mut options = service.encode_options(request.prompt_name.as_deref())?;
    let texts = texts("inputs", request.inputs)?;
    service.check_texts("inputs", &texts)?;
    let count = texts.len();
    let priority = Priority::of(count);
    if request.truncation_direction == Some(TruncationDirection::Left) {
        options.truncation_side = TruncationSide::Left;
    }
    let tokenized = service.queue.tokenize(texts, options).await;
    let tokenized =
        tokenized.map_err(|problem| problem.with_text_name(|index| text_name("inputs", index, count)))?;
    if request.truncate == Some(false)
        && let Some(index) = tokenized.iter().position(|text| text.truncated)
    {
        let max = service.library.encoder().model().config.max_length;
        return Err(Problem::invalid(format!(
            "{} must have at most {max} tokens, the model's maximum; send \"truncate\": true to truncate it",
            text_name("inputs", index, count)
        )));
    }
    let embeddings = service.queue.embed(tokenized, priority).await?;
    Ok(Json(embeddings.into_iter().map(|embedding| shortened(embedding.vector, dimensions)).collect()))
}

/// Returns the embeddings of texts, like `/embed`. This route is for clients that take the server's address for the
/// address of a model.
#[utoipa::path(post, path = "/", tag = "text-embeddings-inference", request_body = EmbedRequest, responses(
    (status = 200, description = "An embedding for each text", body = Vec<Vec<f32>>),
    (status = 400, description = "The body is not valid JSON", body = TeiError),
    (status = 422, description = "The texts are missing or invalid, or a text is too long", body = TeiError),
))]
pub async fn embed_at_root(
    app: State<App>,
    body: Body<EmbedRequest>,
) -> Result<Json<Vec<Vec<f32>>>, Problem> {
    embed(app, body).await
}

/// The model and the limits of the server, in text-embeddings-inference's format.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerInfo {
    #[schema(example = "all-MiniLM-L6-v2")]
    model_id: String,
    /// Fingerprint of the model.
    model_sha: String,
    /// Number format that the model computes with.
    #[schema(example = "float32")]
    model_dtype: String,
    model_type: TeiModelType,
    /// Maximum number of searches that run or wait, taken together. Requests for embeddings are not counted.
    max_concurrent_requests: usize,
    /// Maximum number of tokens of a text that are encoded; the rest of a longer text is cut off by default.
    max_input_length: usize,
    /// Maximum number of tokens in a batch.
    max_batch_tokens: usize,
    /// Maximum number of texts in a request.
    max_client_batch_size: usize,
    /// Maximum size of a request's body in bytes, except for uploads of papers.
    payload_limit: usize,
    auto_truncate: bool,
    tokenization_workers: usize,
    /// The model behind `/rerank`, `/v1/rerank` and `/v2/rerank`.
    reranker: RerankerInfo,
    version: &'static str,
}

/// The model that ranks texts.
#[derive(Debug, Serialize, ToSchema)]
pub struct RerankerInfo {
    /// `cross-encoder`, `late-interaction` (ColBERT), or `embedding` if texts are ranked by the cosine similarity of embeddings.
    #[schema(example = "embedding")]
    kind: &'static str,
    #[schema(example = "all-MiniLM-L6-v2")]
    model_id: String,
    /// Maximum number of tokens that the model reads: of a query and a text together, or of each alone.
    max_input_length: usize,
}

impl RerankerInfo {
    fn of(library: &Library) -> RerankerInfo {
        let (kind, model) = match library.reranker() {
            Some(reranker) if reranker.is_late_interaction() => ("late-interaction", reranker.model()),
            Some(reranker) => ("cross-encoder", reranker.model()),
            None => ("embedding", library.encoder().model()),
        };
        RerankerInfo { kind, model_id: model.name.clone(), max_input_length: model.max_input_length() }
    }
}

/// The type of the model.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeiModelType {
    embedding: PoolingInfo,
}

/// How the vectors of a text's tokens are combined.
#[derive(Debug, Serialize, ToSchema)]
pub struct PoolingInfo {
    #[schema(example = "mean")]
    pooling: String,
}

/// Returns the model and the limits of the server.
#[utoipa::path(get, path = "/info", tag = "text-embeddings-inference", responses(
    (status = 200, description = "The model and the limits", body = ServerInfo),
))]
pub async fn info(State(app): State<App>) -> Result<Json<ServerInfo>, Problem> {
    let service = app.service()?;
    let (encoder, options) = (service.library.encoder(), app.options());
    let model = encoder.model();
    Ok(Json(ServerInfo {
        model_id: model.name.clone(),
        model_sha: model.fingerprint.sha256.clone(),
        model_dtype: match model.precision.to_string().as_str() {
            "f32" => "float32".into(),
            "bf16" => "bfloat16".into(),
            other => other.into(),
        },
        model_type: TeiModelType {
            embedding: PoolingInfo { pooling: format!("{:?}", model.config.pooling).to_lowercase() },
        },
        max_concurrent_requests: options.max_searches,
        max_input_length: model.config.max_length,
        max_batch_tokens: options.queue.batch,
        max_client_batch_size: options.max_batch,
        payload_limit: options.max_body_bytes,
        auto_truncate: true,
        tokenization_workers: encoder.threads(),
        reranker: RerankerInfo::of(&service.library),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// Texts to encode as sparse vectors. Unknown fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"inputs": ["one text", "another"]}))]
pub struct EmbedSparseRequest {
    /// A text, or a list of up to 2048 texts (`--max-batch`); a longer list is refused.
    #[schema(schema_with = schemas::texts)]
    inputs: Value,
}

/// A value of a sparse vector.
#[derive(Debug, Serialize, ToSchema)]
pub struct SparseValue {
    /// Id of a token in the model's vocabulary.
    index: u32,
    /// How much the text is about this token, greater than 0.
    value: f32,
}

/// Returns sparse vectors of texts (SPLADE): the values that are not 0, with ascending indices. Only if the server has a
/// sparse model (`--sparse-model`).
#[utoipa::path(post, path = "/embed_sparse", tag = "text-embeddings-inference", request_body = EmbedSparseRequest, responses(
    (status = 200, description = "A sparse vector for each text", body = Vec<Vec<SparseValue>>),
    (status = 400, description = "The body is not valid JSON", body = TeiError),
    (status = 422, description = "The texts are missing or invalid, or the server has no sparse model", body = TeiError),
))]
pub async fn embed_sparse(
    State(app): State<App>,
    Body(EmbedSparseRequest { inputs }): Body<EmbedSparseRequest>,
) -> Result<Json<Vec<Vec<SparseValue>>>, Problem> {
    let service = app.service()?;
    let Some(encoder) = service.queue.sparse_encoder() else {
        return Err(Problem::invalid(
            "the server has no sparse model; start it with --sparse-model, or use /embed for dense vectors",
        ));
    };
    let texts = texts("inputs", inputs)?;
    service.check_texts("inputs", &texts)?;
    let count = texts.len();
    let vectors = service.queue.sparse(encoder, texts).await;
    let vectors =
        vectors.map_err(|problem| problem.with_text_name(|index| text_name("inputs", index, count)))?;
    let value = |(index, value): (u32, f32)| SparseValue { index, value };
    let values = |SparseVector { indices, values }: SparseVector| {
        indices.into_iter().zip(values).map(value).collect::<Vec<_>>()
    };
    Ok(Json(vectors.into_iter().map(values).collect()))
}

/// A query and the texts to rank.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"query": "insects and numbers", "texts": ["Bees that count", "Knots"]}))]
pub struct TeiRerankRequest {
    #[schema(schema_with = schemas::text)]
    query: String,
    #[schema(schema_with = schemas::list_of_texts)]
    texts: Vec<String>,
    /// Return the model's own scores: logits of a cross-encoder, sums (or means) of cosines of late interaction, or cosine similarities from -1 to 1. By default, scores
    /// are mapped to the range 0 to 1.
    #[serde(default)]
    raw_scores: bool,
    /// Include the texts in the response.
    #[serde(default)]
    return_text: bool,
}

/// A ranked text.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeiRank {
    /// Index of the text in the request.
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Ranks texts by their relevance to a query: with the server's cross-encoder or, if it has none, by the cosine
/// similarity of embeddings. `GET /info` says which model ranks.
#[utoipa::path(post, path = "/rerank", tag = "text-embeddings-inference", request_body = TeiRerankRequest, responses(
    (status = 200, description = "Indices and scores of the texts, best first", body = Vec<TeiRank>),
    (status = 400, description = "The body is not valid JSON", body = TeiError),
    (status = 422, description = "The query or the texts are missing or invalid", body = TeiError),
))]
pub async fn rerank(
    State(app): State<App>,
    Body(request): Body<TeiRerankRequest>,
) -> Result<Json<Vec<TeiRank>>, Problem> {
    let service = app.service()?;
    let TeiRerankRequest { query, texts, raw_scores, return_text } = request;
    let kept = if return_text { texts.clone() } else { Vec::new() };
    let RankedTexts { scores, .. } = service.rerank(query, "texts", texts).await?;
    let rank = |(index, score): (usize, TextScore)| TeiRank {
        index,
        score: if raw_scores { score.raw() } else { score.relevance() },
        text: kept.get(index).cloned(),
    };
    Ok(Json(scores.into_iter().map(rank).collect()))
}
