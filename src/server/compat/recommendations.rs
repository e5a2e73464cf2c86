//! `/recommendations/v1/papers/…` of Semantic Scholar's recommendations API.
//!
//! Semantic Scholar recommends from one of two pools, recent papers or all papers in computer science. On this server,
//! each pool has all papers in the library.

use super::semantic_scholar::{RequestedFields, S2PaperSchema, fields_schema, plain_id};
use crate::json::non_empty;
use crate::search::{Examples, Query};
use crate::server::App;
use crate::server::body::{Body, Params, WildcardPath};
use crate::server::error_format::PlainError;
use crate::server::problem::{Problem, check_range};
use crate::server::schemas;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Pairs of a field of [`Query`] and its name in this API. Error messages about a field use the name in this API.
const FIELD_NAMES: [(&str, &str); 3] =
    [("like", "positivePaperIds"), ("unlike", "negativePaperIds"), ("k", "limit")];

/// Default number of recommendations; `--max-k` can make it smaller.
const DEFAULT_LIMIT: usize = 100;

/// Maximum number of recommendations.
const MAX_LIMIT: usize = 500;

/// Query parameters of recommendations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecommendParams {
    /// Names of the fields of each paper in the response, separated by commas. Default: `paperId` and `title`.
    #[param(schema_with = fields_schema)]
    fields: Option<String>,
    /// Maximum number of recommendations.
    #[serde(default, deserialize_with = "non_empty")]
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// `recent` or `all-cs`. Each of the two means all papers in the library.
    #[serde(rename = "from")]
    #[param(rename = "from", inline)]
    _from: Option<PaperPool>,
}

/// A pool of papers in Semantic Scholar's API.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PaperPool {
    Recent,
    AllCs,
}

/// The recommended papers.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecommendResponse {
    #[serde(rename = "recommendedPapers")]
    #[schema(value_type = Vec<S2PaperSchema>)]
    recommended_papers: Vec<Value>,
}

/// Recommends papers that are similar to one paper.
#[utoipa::path(get, path = "/recommendations/v1/papers/forpaper/{*id}", tag = "Semantic Scholar",
    params(("id" = String, Path, description = "An id in Semantic Scholar's syntax: `ARXIV:…`, `DOI:…`, `CorpusId:…`, `PMID:…`, `ACL:…`, `URL:…`", example = "ARXIV:9901.00001"), RecommendParams),
    responses(
        (status = 200, description = "The most similar papers, best first", body = RecommendResponse),
        (status = 400, description = "A field is unknown, a number is out of range, or the path is not valid UTF-8", body = PlainError),
        (status = 404, description = "No paper has this id", body = PlainError),
        (status = 422, description = "The id or a parameter is invalid", body = PlainError),
    ))]
pub async fn for_paper(
    State(app): State<App>,
    WildcardPath(id): WildcardPath,
    Params(params): Params<RecommendParams>,
) -> Result<Json<RecommendResponse>, Problem> {
    recommend(&app, RecommendRequest { positive: vec![id], negative: None }, params).await
}

/// Papers that the recommendations should be similar to, and papers that they should not be similar to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"positivePaperIds": ["ARXIV:9901.00001"], "negativePaperIds": []}))]
pub struct RecommendRequest {
    #[serde(rename = "positivePaperIds")]
    #[schema(schema_with = schemas::ids)]
    positive: Vec<String>,
    #[serde(rename = "negativePaperIds")]
    #[schema(schema_with = schemas::optional_ids)]
    negative: Option<Vec<String>>,
}

/// Recommends papers that are similar to some papers and not similar to other papers.
#[utoipa::path(post, path = "/recommendations/v1/papers/", tag = "Semantic Scholar", params(RecommendParams),
    request_body = RecommendRequest,
    responses(
        (status = 200, description = "The most similar papers, best first", body = RecommendResponse),
        (status = 400, description = "A field is unknown, a number is out of range, or the body is not valid JSON", body = PlainError),
        (status = 404, description = "A paper in the request is not in the library", body = PlainError),
        (status = 422, description = "There are no ids or too many ids, or an id or a parameter is invalid", body = PlainError),
    ))]
pub async fn for_papers(
    State(app): State<App>,
    Params(params): Params<RecommendParams>,
    Body(request): Body<RecommendRequest>,
) -> Result<Json<RecommendResponse>, Problem> {
    recommend(&app, request, params).await
}

async fn recommend(
    app: &App,
    request: RecommendRequest,
    params: RecommendParams,
) -> Result<Json<RecommendResponse>, Problem> {
    let service = app.service()?;
    let fields = RequestedFields::parse(params.fields.as_deref())?;
    let limit = params.limit.unwrap_or_else(|| service.default_k(DEFAULT_LIMIT));
    check_range("limit", limit, 1..=MAX_LIMIT).map_err(Problem::bad_request)?;
    let ids = |ids: Vec<String>| ids.iter().map(|id| plain_id(id).to_string()).collect::<Vec<_>>();
    let like = Examples::papers(ids(request.positive));
    let unlike = Examples::papers(ids(request.negative.unwrap_or_default()));
    let answer = service.search(Query { k: limit, unlike, ..Query::of(like) }).await;
    let answer = answer.map_err(|problem| problem.with_field_names(&FIELD_NAMES))?;
    let papers = answer.hits.into_iter().map(|hit| hit.paper).collect();
    Ok(Json(RecommendResponse { recommended_papers: service.s2_papers(papers, &fields).await? }))
}
