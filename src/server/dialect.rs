//! Whose API a route speaks, and how that one says what is wrong.
//!
//! Its own file because errors are said around all routes, by whoever refuses a key as by whoever finds no paper, and a
//! client understands only its own kind.

use super::problem::Problem;
use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Whose API a route speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Our own, and OpenAI's, which has the same shape.
    Own,
    /// text-embeddings-inference.
    Tei,
    /// Cohere.
    Cohere,
    /// Semantic Scholar, and Hugging Face papers.
    Plain,
    /// Pages, for people.
    Page,
}

impl Dialect {
    /// By a request's method and path.
    pub fn of(method: &Method, path: &str) -> Dialect {
        if is_page(method, path) { Dialect::Page } else { Dialect::of_api(path) }
    }

    /// By the path of what is no page.
    pub fn of_api(path: &str) -> Dialect {
        match path {
            "/" | "/embed" | "/info" | "/rerank" => Dialect::Tei,
            "/v1/rerank" | "/v2/rerank" => Dialect::Cohere,
            _ if ["/recommendations/", "/graph/", "/api/"].iter().any(|start| path.starts_with(start)) => {
                Dialect::Plain
            }
            _ => Dialect::Own,
        }
    }

    /// What is wrong, as an answer.
    pub fn answer(self, problem: &Problem) -> Response {
        with_headers(Json(self.body(problem)).into_response(), problem)
    }

    fn body(self, problem: &Problem) -> Value {
        let Problem { status, message, .. } = problem;
        match self {
            Dialect::Own | Dialect::Page => json!(ErrorBody { error: ErrorDetail::of(problem) }),
            Dialect::Tei => json!(TeiError { error: message.clone(), error_type: tei_kind(*status).into() }),
            Dialect::Cohere => json!(CohereError { message: message.clone() }),
            Dialect::Plain => json!(PlainError { error: message.clone(), message: message.clone() }),
        }
    }
}

/// An answer that says what is wrong, with its status, and what clients look for in its headers.
pub fn with_headers(mut response: Response, problem: &Problem) -> Response {
    *response.status_mut() = problem.status;
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Dialect::Own.answer(&self);
        // For the layer that knows whom it is said to.
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether a request is for a page, so that what is wrong is told as one.
fn is_page(method: &Method, path: &str) -> bool {
    let is_read = [Method::GET, Method::HEAD].contains(method);
    let is_form = *method == Method::POST && ["/ask", "/follow", "/key"].contains(&path);
    let is_named = ["/", "/map", "/date", "/status"].contains(&path);
    is_form || is_read && (is_named || path.starts_with("/papers/") || path.starts_with("/date/"))
}

impl ErrorDetail {
    /// What is wrong, for an answer or a part of one.
    pub fn of(problem: &Problem) -> ErrorDetail {
        ErrorDetail {
            code: problem.code.into(),
            message: problem.message.clone(),
            r#type: kind(problem.status).into(),
            param: problem.field().map(Into::into),
        }
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

fn tei_kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "Overloaded",
        StatusCode::SERVICE_UNAVAILABLE => "Unhealthy",
        status if status.is_server_error() => "Backend",
        _ => "Validation",
    }
}

/// What is wrong, in our own shape, which is also OpenAI's.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// What kind it is, for programs: `invalid_request`, `not_found`, `busy`, …
    #[schema(example = "invalid_request")]
    code: String,
    /// What was got, what was wanted, and what to do.
    #[schema(example = "k: got 0, wanted 1 to 1000")]
    message: String,
    /// OpenAI's word for the kind.
    #[schema(example = "invalid_request_error")]
    r#type: String,
    /// The field that is wrong, where it is one.
    #[schema(example = "k")]
    param: Option<String>,
}

/// What is wrong, in text-embeddings-inference's shape.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeiError {
    error: String,
    error_type: String,
}

/// What is wrong, in Cohere's shape.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereError {
    message: String,
}

/// What is wrong, in the shape of Semantic Scholar and of Hugging Face papers.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlainError {
    error: String,
    /// The same, for clients that look for it here.
    message: String,
}
