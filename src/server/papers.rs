//! `GET` and `DELETE /v1/papers/{id}`, `GET /v1/papers/{id}/similar`.
//!
//! Ids have slashes in them, so one route takes the whole rest of the path and looks at its end.

use super::App;
use super::body::{Params, Rest, WithFilter};
use super::dialect::ErrorBody;
use super::filter::FilterParams;
use super::problem::Problem;
use super::ranking::Mode;
use super::shapes;
use super::view::{Field, Fields, Format, FormatParam, Found, ViewSchema, shown_answer};
use super::writes::{Write, Wrote};
use crate::json::given;
use crate::search::{DEFAULT_K, Like, Query};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use likewise_papers::PaperId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// What may be said about one paper.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PaperParams {
    /// `bibtex`, `ris`, `csv` or `jsonl`, in place of JSON; each has fields of its own.
    #[param(inline)]
    format: Option<Format>,
    /// Which fields are shown; all but the embedding, if none is named.
    #[param(inline)]
    fields: Option<Vec<Field>>,
}

/// What may be said about those that are like it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SimilarParams {
    /// How many answers.
    #[serde(default, deserialize_with = "given")]
    #[param(schema_with = shapes::k, required = false)]
    k: Option<usize>,
    /// How many of the best are passed over. Where pages meet, a paper may come twice or not at all, unless `exact` is true; with words, even then beyond the first 1000.
    #[serde(default)]
    #[param(schema_with = shapes::offset, required = false)]
    offset: usize,
    /// Answers of a lower chance are left out or, where the model's are not known, of a lower score, before age counts. With the default model and mode, no chance is above 0.76, or 0.64 where short texts ask. Left out: none is, unless nothing at all is like what was asked.
    #[param(minimum = 0, maximum = 1)]
    min_score: Option<f32>,
    /// Compare with every paper instead of walking the graph.
    #[serde(default)]
    #[param(default = false)]
    exact: bool,
    /// By what papers are alike: semantic, lexical or hybrid. Left out: hybrid, or semantic where there are no words to compare, in a collection and of a vector.
    #[param(inline)]
    mode: Option<Mode>,
    /// How much the difference from hits before counts beside nearness; above 0, papers that say nearly the same as a nearer one stand behind it, as `nearly_the_same`. Beyond the nearest 1000 the order is the plain one.
    #[param(minimum = 0, maximum = 1)]
    diversity: Option<f32>,
    /// Years after which a score is worth half; a paper of unknown age is taken to be two such times old. As with `diversity`, the nearest 200 are put in another order, or 1000 if more than 100 are asked for.
    #[param(minimum = 0.01, maximum = 1000)]
    half_life: Option<f32>,
    /// Score the first 30 once more, by how near their sentences are to the paper's, too: they are read with the model, which takes some 0.4 s on two cores.
    #[serde(default)]
    #[param(default = false)]
    rescore: bool,
    /// Say of the first 100 answers why they are: what its score comes from, the terms it shares, the sentences they stand in.
    #[serde(default)]
    #[param(default = false)]
    explain: bool,
    /// `bibtex`, `ris`, `csv` or `jsonl`, in place of JSON; each has fields of its own.
    #[param(inline)]
    format: Option<Format>,
    /// Which fields of papers are shown; all but the embedding, if none is named.
    #[param(inline)]
    fields: Option<Vec<Field>>,
}

/// One paper, by any of its ids, however that is written.
#[utoipa::path(get, path = "/v1/papers/{*id}", tag = "papers",
    params(("id" = String, Path, description = "An arXiv id, a DOI, any id the paper has; also its URL", example = "9901.00001"), PaperParams),
    responses(
        (status = 200, description = "The paper", content(
            (ViewSchema = "application/json"), (String = "application/x-bibtex"),
            (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 400, description = "The path is no text", body = ErrorBody),
        (status = 404, description = "It is not here", body = ErrorBody),
        (status = 422, description = "That cannot be an id, or a parameter is wrong", body = ErrorBody),
    ))]
pub async fn paper(
    State(app): State<App>,
    Rest(path): Rest,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let path = path.strip_suffix('/').unwrap_or(&path);
    match path.strip_suffix("/similar") {
        Some(id) => similar(app, id, WithFilter::from_request_parts(&mut parts, &()).await?).await,
        None => one(app, path.into(), Params::from_request_parts(&mut parts, &()).await?).await,
    }
}

async fn one(app: App, id: String, Params(params): Params<PaperParams>) -> Result<Response, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let paper = service.searches.run(move || library.paper(&id)).await?;
    if let Some(format) = params.format {
        return Ok(format.show([&paper].into_iter()));
    }
    let mut views = service.views(vec![paper], &Fields::of(params.fields)).await?;
    Ok(Json(views.pop()).into_response())
}

/// The papers that are like one.
#[utoipa::path(get, path = "/v1/papers/{id}/similar", tag = "search",
    params(("id" = String, Path, description = "Any id the paper has", example = "9901.00001"), SimilarParams, FilterParams),
    responses(
        (status = 200, description = "The nearest papers, best first", content(
            (Found = "application/json"), (String = "application/x-bibtex"),
            (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 400, description = "The path is no text", body = ErrorBody),
        (status = 404, description = "It is not here", body = ErrorBody),
        (status = 422, description = "That cannot be an id, or a parameter is wrong", body = ErrorBody),
    ))]
async fn similar(
    app: App,
    id: &str,
    WithFilter(params, filter): WithFilter<SimilarParams>,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let service = app.service()?;
    let SimilarParams { k, offset, min_score, exact, mode, .. } = params;
    let SimilarParams { diversity, half_life, rescore, explain, format, fields, .. } = params;
    let k = k.unwrap_or_else(|| service.default_k(DEFAULT_K));
    let like = Like::papers(vec![id.to_string()]);
    let (diversity, filter) = (diversity.unwrap_or_default(), filter.filter());
    let mode = mode.map(Into::into);
    let query = Query { k, offset, min_score, exact, mode, ..Query::of(like) };
    let query = Query { diversity, half_life, rescore, explain, filter, ..query };
    let answer = service.search(query).await.map_err(|problem| problem.named(&FilterParams::CALLED))?;
    let found = service.found(answer, &Fields::of(fields), started).await?;
    Ok(shown_answer(Params(FormatParam { format }), found))
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// The id it was asked for by, normalised.
    #[schema(example = "9901.00001")]
    deleted: String,
}

/// Takes a paper out, by any of its ids. It is no answer from now on.
#[utoipa::path(delete, path = "/v1/papers/{*id}", tag = "papers",
    params(("id" = String, Path, description = "Any id the paper has", example = "9901.00001")),
    responses(
        (status = 200, description = "It was here, and is no more", body = Deleted),
        (status = 400, description = "The path is no text", body = ErrorBody),
        (status = 401, description = "The key is missing or not known", body = ErrorBody),
        (status = 403, description = "The key may only read, or there is none and the request is from elsewhere", body = ErrorBody),
        (status = 404, description = "It is not here", body = ErrorBody),
        (status = 409, description = "Another process is writing", body = ErrorBody),
        (status = 422, description = "That cannot be an id", body = ErrorBody),
    ))]
pub async fn delete(State(app): State<App>, Rest(id): Rest) -> Result<Json<Deleted>, Problem> {
    if id.ends_with("/similar") {
        return Err(Problem::wrong_method());
    }
    let service = app.service()?;
    let id = PaperId::parse(&id).map_err(Problem::invalid)?;
    match service.writes.write(Write::Delete(vec![id.clone()])).await? {
        Wrote::Deleted(were_here) if were_here.contains(&true) => {
            Ok(Json(Deleted { deleted: id.to_string() }))
        }
        _ => Err(Problem::not_found(format!(
            "no paper {:?} here; it may have been deleted before",
            id.as_str()
        ))),
    }
}

/// For `/openapi.json`: the path that [`paper`] answers too.
#[derive(utoipa::OpenApi)]
#[openapi(paths(similar))]
pub struct Similar;
