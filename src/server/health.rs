//! `GET /health`: the process is alive. `GET /ready`: the model and the index are loaded.

use super::App;
use super::problem::Problem;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};

/// The routes.
pub fn router() -> Router<App> {
    Router::new().route("/health", get(health)).route("/ready", get(ready))
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

async fn ready(State(app): State<App>) -> Result<Json<Value>, Problem> {
    app.service()?;
    Ok(Json(json!({ "status": "ready" })))
}
