//! `GET /v1/stats`: what is served.

use super::App;
use super::problem::Problem;
use crate::search::Stats;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;

/// The route.
pub fn router() -> Router<App> {
    Router::new().route("/v1/stats", get(stats))
}

async fn stats(State(app): State<App>) -> Result<Json<Stats>, Problem> {
    Ok(Json(app.service()?.library.stats()))
}
