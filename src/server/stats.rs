//! `GET /v1/stats`: what is served.

use super::problem::Problem;
use super::{App, blocking};
use crate::search::Stats;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;

/// The route.
pub fn router() -> Router<App> {
    Router::new().route("/v1/stats", get(stats))
}

async fn stats(State(app): State<App>) -> Result<Json<Stats>, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    blocking(move || Ok(library.stats())).await.map(Json)
}
