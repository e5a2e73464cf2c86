//! `POST /v1/rerank` and `/v2/rerank` of Cohere's API.

use crate::json::whole_number_or_null;
use crate::server::App;
use crate::server::body::Body;
use crate::server::error_format::CohereError;
use crate::server::problem::Problem;
use crate::server::rank::{RankedTexts, TextScore};
use crate::server::schemas;
use crate::server::service::text_name;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A query and the documents to rank.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"query": "insects and numbers", "documents": ["Bees that count", "Knots"], "top_n": 1}))]
pub struct CohereRerankRequest {
    /// Ignored: the server has one model that ranks.
    #[serde(default, rename = "model")]
    _model: Option<String>,
    #[schema(schema_with = schemas::text)]
    query: String,
    /// Texts, or objects with a field `text`.
    #[schema(schema_with = schemas::documents)]
    documents: Vec<Value>,
    /// Maximum number of documents in the response, best first. Default: all documents.
    #[serde(default, deserialize_with = "whole_number_or_null")]
    #[schema(minimum = 1, maximum = 9007199254740992_u64)]
    top_n: Option<usize>,
    /// Include the documents' texts in the response.
    #[serde(default)]
    return_documents: Option<bool>,
}

/// A document's text.
#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentText {
    text: String,
}

/// The ranked documents.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereRanks {
    id: String,
    results: Vec<CohereRank>,
    meta: CohereMeta,
}

/// A ranked document.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereRank {
    /// Index of the document in the request.
    index: usize,
    /// Relevance to the query, 0 to 1: the sigmoid function of the cross-encoder's logit, the mean cosine of late interaction or, if the
    /// server has no reranker, the cosine similarity, mapped from the range -1 to 1 to the range 0 to 1.
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<DocumentText>,
}

/// Version and usage, as in Cohere's responses.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereMeta {
    api_version: ApiVersion,
    billed_units: Units,
    tokens: Tokens,
}

/// Version of Cohere's API that was used.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiVersion {
    version: &'static str,
}

/// The units that Cohere would bill; always 1 search unit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Units {
    search_units: u32,
}

/// Number of tokens that were encoded, of the query and of all documents.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tokens {
    input_tokens: usize,
}

/// Ranks documents by their relevance to a query: with the server's cross-encoder or, if it has none, by the cosine
/// similarity of embeddings. `GET /info` says which model ranks.
#[utoipa::path(post, path = "/v1/rerank", tag = "Cohere", request_body = CohereRerankRequest, responses(
    (status = 200, description = "Indices and scores of the documents, best first", body = CohereRanks),
    (status = 400, description = "The body is not valid JSON", body = CohereError),
    (status = 422, description = "The query or the documents are missing or invalid", body = CohereError),
))]
pub async fn rerank(
    State(app): State<App>,
    Body(request): Body<CohereRerankRequest>,
) -> Result<Json<CohereRanks>, Problem> {
    ranks(&app, request, "1").await
}

/// Ranks documents by their relevance to a query: with the server's cross-encoder or, if it has none, by the cosine
/// similarity of embeddings. `GET /info` says which model ranks.
#[utoipa::path(post, path = "/v2/rerank", tag = "Cohere", request_body = CohereRerankRequest, responses(
    (status = 200, description = "Indices and scores of the documents, best first", body = CohereRanks),
    (status = 400, description = "The body is not valid JSON", body = CohereError),
    (status = 422, description = "The query or the documents are missing or invalid", body = CohereError),
))]
pub async fn rerank_v2(
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
        return Err(Problem::invalid("top_n must be at least 1 (got 0); leave it out to get all documents"));
    }
    let count = documents.len();
    let named = documents.into_iter().enumerate();
    let texts = named.map(|(index, document)| text_of(document, &text_name("documents", index, count)));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let kept = if return_documents == Some(true) { texts.clone() } else { Vec::new() };
    let RankedTexts { scores, tokens } = service.rerank(query, "documents", texts).await?;
    let rank = |(index, score): (usize, TextScore)| CohereRank {
        index,
        relevance_score: score.relevance(),
        document: kept.get(index).map(|text| DocumentText { text: text.clone() }),
    };
    Ok(Json(CohereRanks {
        id: uuid::Uuid::new_v4().to_string(),
        results: scores.into_iter().take(top_n.unwrap_or(usize::MAX)).map(rank).collect(),
        meta: CohereMeta {
            api_version: ApiVersion { version },
            billed_units: Units { search_units: 1 },
            tokens: Tokens { input_tokens: tokens },
        },
    }))
}

/// Returns the text of a document. `name` is the document's name in error messages.
fn text_of(document: Value, name: &str) -> Result<String, Problem> {
    match document {
        Value::String(text) => Ok(text),
        Value::Object(mut fields) => match fields.remove("text") {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Problem::invalid(format!(
                "{name} must be a text, or an object with a text in the field \"text\" (got an object without such a field)"
            ))),
        },
        _ => Err(Problem::invalid(format!(
            "{name} must be a text, or an object with a text in the field \"text\""
        ))),
    }
}
