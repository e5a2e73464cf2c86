//! JSON formats of error responses. Each emulated API has its own format, so the format depends on the request's path.
//!
//! The middleware applies the format, because errors also come from layers around the routes, such as access control.

use super::problem::Problem;
use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The API whose error format a route uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorFormat {
    /// likewise's own API and OpenAI's, which have the same format. Also used for all paths that belong to no other
    /// API.
    Native,
    /// text-embeddings-inference.
    Tei,
    /// Cohere.
    Cohere,
    /// Semantic Scholar and Hugging Face papers.
    Plain,
    /// An HTML page.
    Page,
}

impl ErrorFormat {
    /// Returns the format for a request.
    pub fn for_request(method: &Method, path: &str) -> ErrorFormat {
        if is_page(method, path) { ErrorFormat::Page } else { ErrorFormat::for_api_path(path) }
    }

    /// Returns the format for a path that does not belong to an HTML page.
    pub fn for_api_path(path: &str) -> ErrorFormat {
        match path {
            "/" | "/embed" | "/embed_sparse" | "/info" | "/rerank" => ErrorFormat::Tei,
            "/v1/rerank" | "/v2/rerank" => ErrorFormat::Cohere,
            _ if ["/recommendations/", "/graph/", "/api/"].iter().any(|start| path.starts_with(start)) => {
                ErrorFormat::Plain
            }
            _ => ErrorFormat::Native,
        }
    }

    /// Returns the problem as a response in this format. For [`ErrorFormat::Page`] that is the native JSON format,
    /// because the middleware renders error pages itself.
    pub fn response(self, problem: &Problem) -> Response {
        with_headers(Json(self.body(problem)).into_response(), problem)
    }

    fn body(self, problem: &Problem) -> Value {
        let Problem { status, message, .. } = problem;
        match self {
            ErrorFormat::Native | ErrorFormat::Page => json!(ErrorBody { error: ErrorDetail::of(problem) }),
            ErrorFormat::Tei => {
                json!(TeiError { error: message.clone(), error_type: tei_error_type(*status).into() })
            }
            ErrorFormat::Cohere => json!(CohereError { message: message.clone() }),
            ErrorFormat::Plain => json!(PlainError { error: message.clone(), message: message.clone() }),
        }
    }
}

/// Sets the status and the headers of an error response: `Retry-After`, and `WWW-Authenticate` for 401.
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
        let mut response = ErrorFormat::Native.response(&self);
        // The middleware takes the problem out of the response again and writes it in the format of the request's API.
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether a request is for an HTML page. The errors of such a request are HTML pages too.
fn is_page(method: &Method, path: &str) -> bool {
    let is_read = [Method::GET, Method::HEAD].contains(method);
    let is_form = *method == Method::POST && ["/ask", "/follow", "/key"].contains(&path);
    let is_listed = ["/", "/map", "/date", "/status"].contains(&path);
    is_form || is_read && (is_listed || path.starts_with("/papers/") || path.starts_with("/date/"))
}

impl ErrorDetail {
    /// Returns the error object of a problem.
    pub fn of(problem: &Problem) -> ErrorDetail {
        ErrorDetail {
            code: problem.code.into(),
            message: problem.message.clone(),
            r#type: openai_error_type(problem.status).into(),
            param: problem.field().map(Into::into),
        }
    }
}

fn openai_error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

fn tei_error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "Overloaded",
        StatusCode::SERVICE_UNAVAILABLE => "Unhealthy",
        status if status.is_server_error() => "Backend",
        _ => "Validation",
    }
}

/// An error in likewise's own format, which is also OpenAI's.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// The error object of an error response.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// The kind of the error, for programs: `invalid_request`, `not_found`, `busy`, …
    #[schema(example = "invalid_request")]
    code: String,
    /// Message for people: which value is wrong and why, what is allowed, and what to do.
    #[schema(example = "k must be between 1 and 1000 (got 0)")]
    message: String,
    /// The kind of the error in OpenAI's terms.
    #[schema(example = "invalid_request_error")]
    r#type: String,
    /// Name of the field that is wrong; null if the error is not about a field.
    #[schema(example = "k")]
    param: Option<String>,
}

/// An error in text-embeddings-inference's format.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeiError {
    error: String,
    error_type: String,
}

/// An error in Cohere's format.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohereError {
    message: String,
}

/// An error in the format of Semantic Scholar and Hugging Face papers.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlainError {
    error: String,
    /// The same text as in `error`, for clients that read `message`.
    message: String,
}
