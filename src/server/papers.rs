//! `GET /v1/papers/{id}` and `GET /v1/papers/{id}/similar?k=`.
//!
//! Ids have slashes in them, so one route takes the whole rest of the path and looks at its end.

use super::problem::Problem;
use super::search::{default_k, find};
use super::{App, blocking};
use crate::catalog::Filter;
use crate::search::{Like, Query};
use axum::Json;
use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use std::sync::Arc;

/// The routes.
pub fn router() -> Router<App> {
    Router::new().route("/v1/papers/{*id}", get(paper))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "default_k")]
    k: usize,
    #[serde(default)]
    exact: bool,
}

async fn paper(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    options: Result<axum::extract::Query<Options>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(path) = path.map_err(|error| Problem::malformed_path(format!("path: {}", error.body_text())))?;
    let service = app.service()?;
    let Some(id) = path.strip_suffix("/similar") else {
        let library = Arc::clone(&service.library);
        return Ok(Json(blocking(move || library.paper(&path)).await?).into_response());
    };
    let axum::extract::Query(options) =
        options.map_err(|error| Problem::invalid(format!("query string: {}", error.body_text())))?;
    let query = Query {
        like: Like::Papers(vec![id.to_string()]),
        k: options.k,
        exact: options.exact,
        filter: Filter::default(),
    };
    Ok(Json(find(&service, query).await?).into_response())
}
