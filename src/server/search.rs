//! `POST /v1/search`: papers like a text, like papers, or near a vector.

use super::body::Body;
use super::problem::Problem;
use super::{App, Service};
use crate::catalog::Filter;
use crate::search::{Answer, DEFAULT_K, Hit, Like, Query, TextRead};
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The route.
pub fn router() -> Router<App> {
    Router::new().route("/v1/search", post(search))
}

/// Exactly one of `text`, `like` and `vector`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    text: Option<String>,
    like: Option<Vec<String>>,
    vector: Option<Vec<f32>>,
    #[serde(default = "default_k")]
    k: usize,
    #[serde(default)]
    exact: bool,
    #[serde(default)]
    filter: Filter,
}

/// For requests that do not say.
pub(super) fn default_k() -> usize {
    DEFAULT_K
}

/// The answer of this route and of `/v1/papers/{id}/similar`.
#[derive(Serialize)]
pub struct Found {
    model: String,
    took_ms: f64,
    hits: Vec<Hit>,
    /// Of a query by text, how much of it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextRead>,
}

async fn search(State(app): State<App>, Body(request): Body<Request>) -> Result<Json<Found>, Problem> {
    let like = match (request.text, request.like, request.vector) {
        (Some(text), None, None) => Like::Text(text),
        (None, Some(ids), None) => Like::Papers(ids),
        (None, None, Some(vector)) => Like::Vector(vector),
        _ => return Err(Problem::invalid("wanted exactly one of \"text\", \"like\" and \"vector\"")),
    };
    let query = Query { like, k: request.k, exact: request.exact, filter: request.filter };
    let service = app.service()?;
    find(&service, query).await.map(Json)
}

/// Answers a query, timed.
pub(super) async fn find(service: &Service, query: Query) -> Result<Found, Problem> {
    let started = Instant::now();
    let Answer { hits, text } = service.search(query).await?;
    let model = service.library.encoder().model().name.clone();
    Ok(Found { model, took_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3, hits, text })
}
