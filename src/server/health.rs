//! `GET /health`: whether the process is alive. `GET /ready`: whether the model and the index are loaded.

use super::App;
use super::error_format::ErrorBody;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The state of the server.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthStatus {
    /// `alive` or `ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// The program's version.
    #[schema(example = "0.2.0")]
    version: &'static str,
}

fn status(status: &'static str) -> Json<HealthStatus> {
    Json(HealthStatus { status, version: env!("CARGO_PKG_VERSION") })
}

/// Liveness check: the process is running.
#[utoipa::path(get, path = "/health", tag = "operations", responses(
    (status = 200, description = "The process is running", body = HealthStatus),
))]
pub async fn health() -> Json<HealthStatus> {
    status("alive")
}

/// Readiness check: the model and the index are loaded and, if a search engine holds the papers, it can be reached.
#[utoipa::path(get, path = "/ready", tag = "operations", responses(
    (status = 200, description = "The server is ready", body = HealthStatus),
    (status = 503, description = "The server is still loading, or the search engine that holds the papers cannot be reached", body = ErrorBody),
))]
pub async fn ready(State(app): State<App>) -> Result<Json<HealthStatus>, Problem> {
    let library = Arc::clone(&app.service()?.library);
    super::blocking(move || library.check()).await?;
    Ok(status("ready"))
}
