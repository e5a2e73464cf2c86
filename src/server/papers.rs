//! `GET` and `DELETE /v1/papers/{id}`, `GET /v1/papers/{id}/similar`.
//!
//! Ids can contain slashes. So one route matches everything after `/v1/papers/`, and its handler checks whether the
//! path ends with `/similar`.

use super::App;
use super::body::{Params, WildcardPath, WithFilter};
use super::error_format::ErrorBody;
use super::filter::FilterParams;
use super::problem::Problem;
use super::ranking::Mode;
use super::schemas;
use super::view::{
    ExportFormat, FormatParam, PaperField, PaperFields, SearchResponse, ViewSchema, field_list, in_format,
};
use super::writes::{Write, WriteOutcome};
use crate::json::non_empty;
use crate::search::{DEFAULT_K, Examples, Query};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use likewise_papers::PaperId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// Query parameters of `GET /v1/papers/{id}`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PaperParams {
    /// Format of the response: `bibtex`, `ris`, `csv` or `jsonl`. Default: JSON. Each of the four formats has a fixed
    /// set of fields and ignores `fields`.
    #[param(inline)]
    format: Option<ExportFormat>,
    /// Fields of the paper in the response. Default: all except `embedding`.
    #[serde(default, deserialize_with = "field_list")]
    #[param(inline)]
    fields: Option<Vec<PaperField>>,
}

/// Query parameters of `GET /v1/papers/{id}/similar`, besides the filter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SimilarParams {
    /// Maximum number of hits.
    #[serde(default, deserialize_with = "non_empty")]
    #[param(schema_with = schemas::k, required = false)]
    k: Option<usize>,
    /// Number of hits to skip, best first. Unless `exact` is true, consecutive pages can repeat or miss a paper. Even
    /// if `exact` is true, pages after the first 3000 hits can do so in lexical and hybrid mode, and pages after the
    /// first 100 hits can do so with `diversity` or `half_life`.
    #[serde(default)]
    #[param(schema_with = schemas::offset, required = false)]
    offset: usize,
    /// Minimum probability, 0 to 1, that a hit is related to the query; hits below the minimum are left out. If the
    /// model has no calibration, `min_score` is the minimum score, before `half_life` and `rerank_sentences` change the
    /// score. With the default model and mode, no probability is above 0.76, or above 0.64 for short texts. Default: no
    /// minimum. But if the request has neither `min_score` nor a filter, and nothing in the library is related to the
    /// query, no hits are returned.
    #[param(minimum = 0, maximum = 1)]
    min_score: Option<f32>,
    /// Compare the query with every paper instead of searching the graph of the index. In a Milvus collection, such a
    /// query is refused if more than 250,000 papers pass the filter.
    #[serde(default)]
    #[param(default = false)]
    exact: bool,
    /// How papers are compared: `semantic`, `lexical` or `hybrid`. Default: `hybrid`, but `semantic` in a Milvus
    /// collection, which has no terms to compare.
    #[param(inline)]
    mode: Option<Mode>,
    /// Weight, 0 to 1, of a hit's difference from the hits before it; the similarity to the query has the remaining
    /// weight. If `diversity` is above 0, a near duplicate of a better hit is not a hit of its own: it is listed in the
    /// better hit's `near_duplicates`. The hits are chosen from the best 200 papers, or from the best 1000 if
    /// `offset` + `k` is over 100. Papers after the best 1000 are neither reordered nor merged.
    #[param(minimum = 0, maximum = 1)]
    diversity: Option<f32>,
    /// Age in years at which a paper's score is halved. A paper without a date counts as two half-lives old. The hits
    /// are chosen from the papers that are best without `half_life`: the best 200 or, if `offset` + `k` is over 100,
    /// the best 1000 or, if `offset` + `k` is over 1000, the best `offset` + `k`.
    #[param(minimum = 0.01, maximum = 1000)]
    half_life: Option<f32>,
    /// Rerank the first 30 hits of the ranking: add to a hit's score how similar the hit's sentences are to the
    /// sentences of the paper in the path. The model encodes these sentences, which takes about 0.4 s on two cores.
    #[serde(default)]
    #[param(default = false)]
    rerank_sentences: bool,
    /// Explain the first 100 hits of the response: return the parts of each score, up to 10 terms that the paper shares
    /// with the query, and up to 3 pairs of sentences that share terms.
    #[serde(default)]
    #[param(default = false)]
    explain: bool,
    /// Format of the response: `bibtex`, `ris`, `csv` or `jsonl`. Default: JSON. Each of the four formats has a fixed
    /// set of fields and ignores `fields`.
    #[param(inline)]
    format: Option<ExportFormat>,
    /// Fields of each paper in the response. Default: all except `embedding`.
    #[serde(default, deserialize_with = "field_list")]
    #[param(inline)]
    fields: Option<Vec<PaperField>>,
}

/// Returns the paper with this id. Any id of the paper works, in any spelling.
#[utoipa::path(get, path = "/v1/papers/{*id}", tag = "papers",
    params(("id" = String, Path, description = "An arXiv id, a DOI, any other id of the paper, or the paper's URL", example = "9901.00001"), PaperParams),
    responses(
        (status = 200, description = "The paper", content(
            (ViewSchema = "application/json"), (String = "application/x-bibtex"),
            (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 400, description = "The path is not valid UTF-8, or the request uses the old name of a parameter", body = ErrorBody),
        (status = 404, description = "No paper has this id", body = ErrorBody),
        (status = 422, description = "The id or a parameter is invalid", body = ErrorBody),
    ))]
pub async fn paper(
    State(app): State<App>,
    WildcardPath(path): WildcardPath,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let path = path.strip_suffix('/').unwrap_or(&path);
    match path.strip_suffix("/similar") {
        Some(id) => similar(app, id, WithFilter::from_request_parts(&mut parts, &()).await?).await,
        None => one_paper(app, path.into(), Params::from_request_parts(&mut parts, &()).await?).await,
    }
}

async fn one_paper(app: App, id: String, Params(params): Params<PaperParams>) -> Result<Response, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let paper = service.searches.run(move || library.paper(&id)).await?;
    if let Some(format) = params.format {
        return Ok(format.response([&paper].into_iter()));
    }
    let mut views = service.views(vec![paper], &PaperFields::of(params.fields)).await?;
    Ok(Json(views.pop()).into_response())
}

/// Returns the papers that are most similar to a paper.
#[utoipa::path(get, path = "/v1/papers/{id}/similar", tag = "search",
    params(("id" = String, Path, description = "Any id of the paper", example = "9901.00001"), SimilarParams, FilterParams),
    responses(
        (status = 200, description = "The most similar papers, best first", content(
            (SearchResponse = "application/json"), (String = "application/x-bibtex"),
            (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 400, description = "The path is not valid UTF-8, or the request uses the old name of a parameter", body = ErrorBody),
        (status = 404, description = "No paper has this id", body = ErrorBody),
        (status = 422, description = "The id or a parameter is invalid", body = ErrorBody),
    ))]
async fn similar(
    app: App,
    id: &str,
    WithFilter(params, filter): WithFilter<SimilarParams>,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let service = app.service()?;
    let SimilarParams { k, offset, min_score, exact, mode, .. } = params;
    let SimilarParams { diversity, half_life, rerank_sentences, explain, format, fields, .. } = params;
    let k = k.unwrap_or_else(|| service.default_k(DEFAULT_K));
    let like = Examples::papers(vec![id.to_string()]);
    let (diversity, filter) = (diversity.unwrap_or_default(), filter.into_filter());
    let mode = mode.map(Into::into);
    let query = Query { k, offset, min_score, exact, mode, ..Query::of(like) };
    let query = Query { diversity, half_life, rerank_sentences, explain, filter, ..query };
    let answer = service
        .search(query)
        .await
        .map_err(|problem| problem.with_field_names(&FilterParams::FIELD_NAMES))?;
    let response = service.search_response(answer, &PaperFields::of(fields), started).await?;
    Ok(in_format(Params(FormatParam { format }), response))
}

/// The response to a deletion.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedPaper {
    /// The id from the request, normalised.
    #[schema(example = "9901.00001")]
    deleted: String,
}

/// Deletes the paper with this id. Any id of the paper works. When the response arrives, searches no longer find the
/// paper.
#[utoipa::path(delete, path = "/v1/papers/{*id}", tag = "papers",
    params(("id" = String, Path, description = "Any id of the paper", example = "9901.00001")),
    responses(
        (status = 200, description = "The paper was deleted", body = DeletedPaper),
        (status = 400, description = "The path is not valid UTF-8", body = ErrorBody),
        (status = 401, description = "The key is missing or unknown", body = ErrorBody),
        (status = 403, description = "The key does not allow writing, or the server has no write key and the request comes from another machine", body = ErrorBody),
        (status = 404, description = "No paper has this id", body = ErrorBody),
        (status = 409, description = "Another process is writing to the data folder", body = ErrorBody),
        (status = 422, description = "The id is invalid", body = ErrorBody),
    ))]
pub async fn delete(
    State(app): State<App>,
    WildcardPath(id): WildcardPath,
) -> Result<Json<DeletedPaper>, Problem> {
    if id.ends_with("/similar") {
        return Err(Problem::wrong_method());
    }
    let service = app.service()?;
    let id = PaperId::parse(&id).map_err(Problem::invalid)?;
    match service.writes.write(Write::Delete(vec![id.clone()])).await? {
        WriteOutcome::Deleted(deleted) if deleted.contains(&true) => {
            Ok(Json(DeletedPaper { deleted: id.to_string() }))
        }
        _ => Err(Problem::not_found(format!(
            "paper {:?} is not in the library; it might already have been deleted",
            id.as_str()
        ))),
    }
}

/// Documents the path `/similar` in `/openapi.json`; [`paper`] handles it.
#[derive(utoipa::OpenApi)]
#[openapi(paths(similar))]
pub struct SimilarRoute;
