//! `POST /rerank` as text-embeddings-inference has it, `POST /v1/rerank` and `/v2/rerank` as Cohere has them.
//!
//! A text's relevance to a query is the cosine of their vectors.

use super::App;
use super::body::Body;
use super::dialect::{CohereError, TeiError};
use super::problem::Problem;
use super::queue::Priority;
use super::service::Service;
use super::shapes;
use crate::index::dot;
use crate::json::whole_or_null;
use crate::model::Side;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

impl Service {
    /// How near each text is to a query, nearest first, by its place; and the tokens that were read.
    async fn rerank(
        &self,
        query: String,
        field: &str,
        texts: Vec<String>,
    ) -> Result<(Vec<(usize, f32)>, usize), Problem> {
        self.check_text("query", &query)?;
        self.check_count(field, texts.len())?;
        texts.iter().try_for_each(|text| self.check_text(field, text))?;
        let encoder = self.library.encoder();
        let priority = Priority::of(1 + texts.len());
        self.queue.check_room(texts.iter().chain([&query]), priority)?;
        let mut tokenized = self.queue.tokenize(vec![query], encoder.reading(Side::Query)).await?;
        tokenized.extend(self.queue.tokenize(texts, encoder.reading(Side::Paper)).await?);
        let embeddings = self.queue.embed(tokenized, priority).await?;
        let tokens = embeddings.iter().map(|embedding| embedding.tokens).sum();
        let Some((query, texts)) = embeddings.split_first() else {
            return Err(Problem::internal("the queue gave no embedding"));
        };
        let score = |text: &crate::encoder::Embedding| dot(&query.vector, &text.vector).clamp(-1.0, 1.0);
        let mut ranked: Vec<(usize, f32)> = texts.iter().map(score).enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok((ranked, tokens))
    }
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
pub async fn tei(
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

/// A cosine, moved into 0 to 1.
fn relevance(cosine: f32) -> f32 {
    (1.0 + cosine) / 2.0
}

/// Documents to be ranked.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"query": "insects and numbers", "documents": ["Bees that count", "Knots"], "top_n": 1}))]
pub struct CohereRerankRequest {
    /// Any name: there is one model.
    #[serde(default, rename = "model")]
    _model: Option<String>,
    #[schema(schema_with = shapes::text)]
    query: String,
    /// Texts, or objects with a `text`.
    #[schema(schema_with = shapes::documents)]
    documents: Vec<Value>,
    /// How many of the best; all, if it is left out.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 1, maximum = 9007199254740992_u64)]
    top_n: Option<usize>,
    /// Documents are given back.
    #[serde(default)]
    return_documents: Option<bool>,
}

/// A document's text.
#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentText {
    text: String,
}

/// Documents, ranked.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereRanks {
    id: String,
    results: Vec<CohereRank>,
    meta: CohereMeta,
}

/// A document's rank.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereRank {
    /// Its place among the documents.
    index: usize,
    /// From 0 to 1.
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<DocumentText>,
}

/// What it was made by and of.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereMeta {
    api_version: ApiVersion,
    billed_units: Units,
    tokens: Tokens,
}

/// Which of Cohere's APIs is spoken.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiVersion {
    version: &'static str,
}

/// What Cohere would count.
#[derive(Debug, Serialize, ToSchema)]
pub struct Units {
    search_units: u32,
}

/// What was read.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tokens {
    input_tokens: usize,
}

/// Documents, the nearest to a query first.
#[utoipa::path(post, path = "/v1/rerank", tag = "Cohere", request_body = CohereRerankRequest, responses(
    (status = 200, description = "The documents' places and scores, best first", body = CohereRanks),
    (status = 400, description = "The body is no JSON", body = CohereError),
    (status = 422, description = "There is no query, or no documents", body = CohereError),
))]
pub async fn cohere(
    State(app): State<App>,
    Body(request): Body<CohereRerankRequest>,
) -> Result<Json<CohereRanks>, Problem> {
    ranks(&app, request, "1").await
}

/// Documents, the nearest to a query first.
#[utoipa::path(post, path = "/v2/rerank", tag = "Cohere", request_body = CohereRerankRequest, responses(
    (status = 200, description = "The documents' places and scores, best first", body = CohereRanks),
    (status = 400, description = "The body is no JSON", body = CohereError),
    (status = 422, description = "There is no query, or no documents", body = CohereError),
))]
pub async fn cohere_v2(
    State(app): State<App>,
    Body(request): Body<CohereRerankRequest>,
) -> Result<Json<CohereRanks>, Problem> {
    ranks(&app, request, "2").await
}

async fn ranks(
    app: &App,
    request: CohereRerankRequest,
    version: &'static str,
) -> Result<Json<CohereRanks>, Problem> {
    let service = app.service()?;
    let CohereRerankRequest { query, documents, top_n, return_documents, .. } = request;
    if top_n == Some(0) {
        return Err(Problem::invalid("top_n: got 0, wanted 1 or more, or nothing for all"));
    }
    let texts = documents.into_iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
    let kept = if return_documents == Some(true) { texts.clone() } else { Vec::new() };
    let (ranked, tokens) = service.rerank(query, "documents", texts).await?;
    let rank = |(index, score)| CohereRank {
        index,
        relevance_score: relevance(score),
        document: kept.get(index).map(|text| DocumentText { text: text.clone() }),
    };
    Ok(Json(CohereRanks {
        id: uuid::Uuid::new_v4().to_string(),
        results: ranked.into_iter().take(top_n.unwrap_or(usize::MAX)).map(rank).collect(),
        meta: CohereMeta {
            api_version: ApiVersion { version },
            billed_units: Units { search_units: 1 },
            tokens: Tokens { input_tokens: tokens },
        },
    }))
}

fn text_of(document: Value) -> Result<String, Problem> {
    match document {
        Value::String(text) => Ok(text),
        Value::Object(mut fields) => match fields.remove("text") {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Problem::invalid(
                "documents: got an object without \"text\", wanted texts, or objects with a text",
            )),
        },
        _ => Err(Problem::invalid("documents: wanted texts, or objects with a text")),
    }
}
