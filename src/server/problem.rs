//! What a caller is told when something is wrong: `{"error": {"code", "message"}}` and a status.
//!
//! Its own file so that one match decides every status. The cause of a 500 is logged, never sent.

use crate::error::Error;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Seconds after which a caller who was told 429 or 503 may come back.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A refusal, as it is sent.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
        Problem { status, code, message: message.into() }
    }

    /// The body is no JSON.
    pub fn malformed(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", message)
    }

    /// The path is no text.
    pub fn malformed_path(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_path", message)
    }

    /// It is JSON, but does not ask for something that can be.
    pub fn invalid(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
    }

    /// The body is longer than is taken.
    pub fn too_large(limit: usize) -> Problem {
        let message = format!("the body is longer than {limit} bytes; send less at once");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Too much is waiting.
    pub fn busy() -> Problem {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "busy",
            "too many requests are waiting; try again in a second",
        )
    }

    /// The model or the index is not there yet.
    pub fn loading() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "loading", "the model and the index are being loaded")
    }

    /// No such route.
    pub fn no_route() -> Problem {
        let routes = "POST /v1/search, GET /v1/papers/{id}, GET /v1/papers/{id}/similar, POST /v1/embeddings, \
                      GET /v1/stats, /metrics, /health, /ready";
        Problem::new(StatusCode::NOT_FOUND, "no_route", format!("no such route; there are: {routes}"))
    }

    /// The route is there, for another method.
    pub fn wrong_method() -> Problem {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong_method",
            "got a method that this route does not take, wanted GET, or POST with a body for /v1/search and /v1/embeddings",
        )
    }

    /// Our own mistake; the cause goes into the log.
    pub fn internal(cause: impl std::fmt::Display) -> Problem {
        tracing::error!("{cause}");
        let message = "something went wrong here; the server's log says what";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Invalid(message) => Problem::invalid(message),
            Error::NotFound(message) => Problem::new(StatusCode::NOT_FOUND, "not_found", message),
            Error::Model(_) | Error::Data(_) | Error::Io { .. } | Error::Catalog(_) | Error::Tensor(_) => {
                Problem::internal(error)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
