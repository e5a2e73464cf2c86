//! `GET /v1/papers`: the papers in the library that match a filter, newest first.

use super::App;
use super::body::WithFilter;
use super::error_format::ErrorBody;
use super::filter::FilterParams;
use super::problem::{Problem, check_range};
use super::schemas;
use super::view::{ExportFormat, PaperField, PaperFields, View, ViewSchema, field_list};
use crate::store::catalog::Cursor;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Default number of papers on a page.
const DEFAULT_PAGE_SIZE: usize = 50;

/// Maximum number of papers on a page.
const MAX_PAGE_SIZE: usize = 1000;

fn default_page_size() -> usize {
    DEFAULT_PAGE_SIZE
}

/// Query parameters of `GET /v1/papers`, besides the filter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Maximum number of papers on a page.
    #[serde(default = "default_page_size")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: usize,
    /// The value of `next` in the response with the previous page. Default: the first page.
    #[param(schema_with = schemas::cursor)]
    cursor: Option<String>,
    /// Format of the response: `bibtex`, `ris`, `csv` or `jsonl`. Default: JSON. Each of the four formats has a fixed
    /// set of fields and ignores `fields`.
    #[param(inline)]
    format: Option<ExportFormat>,
    /// Fields of each paper in the response. Default: all except `embedding`.
    #[serde(default, deserialize_with = "field_list")]
    #[param(inline)]
    fields: Option<Vec<PaperField>>,
}

/// A page of papers.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaperListResponse {
    /// The papers, newest first. Papers without a date come last.
    #[schema(value_type = Vec<ViewSchema>)]
    papers: Vec<View>,
    /// Number of papers that match the filter, on all pages together.
    total: usize,
    /// The value of `cursor` for the next page; null on the last page.
    #[schema(example = "2021-01-11_2021-01-11_7")]
    next: Option<String>,
}

/// Returns the value of a `Link` header (RFC 8288) with the address of the next page. Export formats need the header,
/// because they have no field `next`.
fn link_to(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let params = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(params.filter(|(name, _)| name != "cursor")).append_pair("cursor", cursor);
    HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())).ok()
}

/// Lists all papers that match a filter, newest first, one page at a time. The header `Link` has the address of the
/// next page, if there is one.
#[utoipa::path(get, path = "/v1/papers", tag = "papers", params(ListParams, FilterParams), responses(
    (status = 200, description = "A page of papers", content(
        (PaperListResponse = "application/json"), (String = "application/x-bibtex"),
        (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
    )),
    (status = 400, description = "The request uses the old name of a parameter", body = ErrorBody),
    (status = 422, description = "A parameter is invalid", body = ErrorBody),
))]
pub async fn list(
    State(app): State<App>,
    uri: Uri,
    WithFilter(params, filter): WithFilter<ListParams>,
) -> Result<Response, Problem> {
    let service = app.service()?;
    let ListParams { limit, cursor, format, fields } = params;
    check_range("limit", limit, 1..=MAX_PAGE_SIZE).map_err(Problem::invalid)?;
    let after: Option<Cursor> = cursor.map(|cursor| cursor.parse()).transpose()?;
    let (library, filter) = (Arc::clone(&service.library), filter.into_filter());
    let listed = service.searches.run(move || library.list(&filter, after.as_ref(), limit)).await;
    let listed = listed.map_err(|problem| problem.with_field_names(&FilterParams::FIELD_NAMES))?;
    let next = listed.next.map(|next| next.to_string());
    let link = next.as_deref().and_then(|next| link_to(&uri, next));
    let mut response = match format {
        Some(format) => format.response(listed.papers.iter()),
        None => {
            let papers = service.views(listed.papers, &PaperFields::of(fields)).await?;
            Json(PaperListResponse { papers, total: listed.total, next }).into_response()
        }
    };
    link.map(|link| response.headers_mut().insert(header::LINK, link));
    Ok(response)
}
