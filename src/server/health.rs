//! `GET /health`: the process is alive. `GET /ready`: the model and the index are loaded.

use super::App;
use super::dialect::ErrorBody;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// `alive` or `ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// The program's.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

fn status(status: &'static str) -> Json<Status> {
    Json(Status { status, version: env!("CARGO_PKG_VERSION") })
}

/// The process is alive.
#[utoipa::path(get, path = "/health", tag = "operations", responses(
    (status = 200, description = "It is", body = Status),
))]
pub async fn health() -> Json<Status> {
    status("alive")
}

/// The model and the index are loaded.
#[utoipa::path(get, path = "/ready", tag = "operations", responses(
    (status = 200, description = "They are", body = Status),
    (status = 503, description = "Not yet, or what holds the papers cannot be reached", body = ErrorBody),
))]
pub async fn ready(State(app): State<App>) -> Result<Json<Status>, Problem> {
    let library = Arc::clone(&app.service()?.library);
    super::blocking(move || library.check()).await?;
    Ok(status("ready"))
}
