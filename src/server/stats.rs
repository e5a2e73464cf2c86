//! `GET /v1/stats`: what is served.

use super::problem::Problem;
use super::{App, blocking};
use crate::search::Stats;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// What is served.
#[utoipa::path(get, path = "/v1/stats", tag = "operations", responses(
    (status = 200, description = "Papers, vectors, index and model", body = Stats),
))]
pub async fn stats(State(app): State<App>) -> Result<Json<Stats>, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    blocking(move || Ok(library.stats())).await.map(Json)
}
