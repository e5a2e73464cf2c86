//! `GET /v1/papers`: what is here, the newest first.

use super::App;
use super::body::WithFilter;
use super::dialect::ErrorBody;
use super::filter::FilterParams;
use super::problem::Problem;
use super::shapes;
use super::view::{Field, Fields, Format, View, ViewSchema};
use crate::store::catalog::Place;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Papers on a page, when nobody says how many.
const DEFAULT_LIMIT: usize = 50;

/// Most papers on a page.
const MAX_LIMIT: usize = 1000;

fn default_limit() -> usize {
    DEFAULT_LIMIT
}

/// What may be said about a page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// How many papers.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: usize,
    /// The `next` of the page before.
    #[param(schema_with = shapes::cursor)]
    cursor: Option<String>,
    /// `bibtex`, `ris`, `csv` or `jsonl`, in place of JSON; each has fields of its own.
    #[param(inline)]
    format: Option<Format>,
    /// Which fields of papers are shown; all but the embedding, if none is named.
    #[param(inline)]
    fields: Option<Vec<Field>>,
}

/// A page of papers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page {
    /// Newest first; those without a date are the last.
    #[schema(value_type = Vec<ViewSchema>)]
    papers: Vec<View>,
    /// Papers on all pages.
    total: usize,
    /// The `cursor` of the next page; null on the last.
    #[schema(example = "2021-01-11_2021-01-11_7")]
    next: Option<String>,
}

/// The next page, for programs that read a format which has no room to say it (RFC 8288).
fn link_to(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let asked = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.filter(|(name, _)| name != "cursor")).append_pair("cursor", cursor);
    HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())).ok()
}

/// What is here, the newest first, a page at a time; the header `Link` has the next one's address.
#[utoipa::path(get, path = "/v1/papers", tag = "papers", params(ListParams, FilterParams), responses(
    (status = 200, description = "A page", content(
        (Page = "application/json"), (String = "application/x-bibtex"),
        (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
    )),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn list(
    State(app): State<App>,
    uri: Uri,
    WithFilter(params, filter): WithFilter<ListParams>,
) -> Result<Response, Problem> {
    let service = app.service()?;
    let ListParams { limit, cursor, format, fields } = params;
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid(format!("limit: got {limit}, wanted 1 to {MAX_LIMIT}")));
    }
    let after: Option<Place> = cursor.map(|cursor| cursor.parse()).transpose()?;
    let (library, filter) = (Arc::clone(&service.library), filter.filter());
    let listed = service.searches.run(move || library.list(&filter, after.as_ref(), limit)).await;
    let listed = listed.map_err(|problem| problem.named(&FilterParams::CALLED))?;
    let next = listed.next.map(|next| next.to_string());
    let link = next.as_deref().and_then(|next| link_to(&uri, next));
    let mut response = match format {
        Some(format) => format.show(listed.papers.iter()),
        None => {
            let papers = service.views(listed.papers, &Fields::of(fields)).await?;
            Json(Page { papers, total: listed.total, next }).into_response()
        }
    };
    link.map(|link| response.headers_mut().insert(header::LINK, link));
    Ok(response)
}
