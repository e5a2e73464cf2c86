//! `POST /v1/rerank` and `/v2/rerank`, as Cohere has them.

use crate::json::whole_or_null;
use crate::server::App;
use crate::server::body::Body;
use crate::server::dialect::CohereError;
use crate::server::problem::Problem;
use crate::server::rank::relevance;
use crate::server::service::name_of;
use crate::server::shapes;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

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
pub async fn rerank(
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
        return Err(Problem::invalid("top_n: got 0, wanted 1 or more, or nothing for all"));
    }
    let count = documents.len();
    let named = documents.into_iter().enumerate();
    let texts = named.map(|(index, document)| text_of(document, &name_of("documents", index, count)));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
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

/// A document's text; the document is called `name`.
fn text_of(document: Value, name: &str) -> Result<String, Problem> {
    match document {
        Value::String(text) => Ok(text),
        Value::Object(mut fields) => match fields.remove("text") {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Problem::invalid(format!(
                "{name}: got an object without \"text\", wanted a text, or an object with a text"
            ))),
        },
        _ => Err(Problem::invalid(format!("{name}: wanted a text, or an object with a text"))),
    }
}
