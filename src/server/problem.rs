//! The error that handlers return: HTTP status, code and message.
//!
//! The statuses of all errors are decided here, except of those that `/mcp` returns as JSON-RPC errors. The JSON shape
//! depends on the API of the route (`error_format.rs`). The cause of a 500 is logged, never sent.

use crate::error::Error;
use axum::http::StatusCode;
use std::ops::RangeInclusive;
use std::time::Duration;

/// An error response.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The kind of the error, for programs.
    pub code: &'static str,
    /// Message for people: which value is wrong and why, what is allowed, and what to do.
    pub message: String,
    /// Seconds after which the client can try again.
    pub retry_after: Option<u64>,
    /// Index of the wrong text, if the problem is a text that the model cannot encode. The message begins with `text`,
    /// followed by this index.
    pub text_index: Option<usize>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
        Problem { status, code, message: message.into(), retry_after: None, text_index: None }
    }

    fn retry_in(self, seconds: u64) -> Problem {
        Problem { retry_after: Some(seconds), ..self }
    }

    /// 400: the body is not valid JSON, or was not received to its end.
    pub fn malformed(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_body", message)
    }

    /// 400: the path is not valid UTF-8.
    pub fn malformed_path(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_path", message)
    }

    /// 422: the request can be parsed, but a value in it is invalid.
    pub fn invalid(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
    }

    /// 400: the request uses an old name, or a value is invalid and the emulated API returns 400 for invalid values.
    pub fn bad_request(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// 404: a paper or model that the request names does not exist.
    pub fn not_found(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 415: the body is compressed.
    pub fn compressed_body(encoding: &str) -> Problem {
        let message = format!("the body must not be compressed (got Content-Encoding: {encoding})");
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "packed_body", message)
    }

    /// 413: the body, or one line or JSON value in an upload, is longer than `limit` bytes. `option` is the name of the
    /// command-line option that sets `limit`.
    pub fn too_large(limit: usize, option: &str) -> Problem {
        let message =
            format!("the body must be at most {limit} bytes ({option}); split it into smaller requests");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// 408: the body, or the next chunk of an upload, did not arrive in time. `event` is the part of the message that
    /// comes before the duration: what did not arrive.
    pub fn slow_body(limit: Duration, event: &str) -> Problem {
        let message = format!(
            "body: {event} {} s (--body-timeout); send it faster, or in smaller requests",
            limit.as_secs_f64()
        );
        Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message)
    }

    /// 503: the response took longer than `limit`.
    pub fn timeout(limit: Duration) -> Problem {
        let message = format!(
            "the response took longer than {} s (--request-timeout); request less at once",
            limit.as_secs_f64()
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message).retry_in(1)
    }

    /// 429: a queue is full, or too many bytes of responses wait to be read. `reason` names the limit.
    pub fn busy(reason: impl std::fmt::Display) -> Problem {
        let message = format!("the server is busy: {reason}; try again in 1 s");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).retry_in(1)
    }

    /// 429: a key exceeds its rate limit.
    pub fn rate_limited(per_second: u32, wait: Duration) -> Problem {
        let seconds = wait.as_secs() + 1;
        let message =
            format!("this key is limited to {per_second} requests per second; try again in {seconds} s");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_often", message).retry_in(seconds)
    }

    /// 409: another process is writing to the data folder.
    pub fn conflict(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "conflict", message).retry_in(5)
    }

    /// 401: the key is missing or unknown.
    pub fn unauthorized(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403: the request is not allowed.
    pub fn forbidden(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 503: the search engine that holds the papers cannot be reached, or refused a request.
    pub fn engine_unreachable(message: impl std::fmt::Display) -> Problem {
        tracing::warn!("{message}");
        let message =
            format!("the search engine that holds the papers cannot be reached: {message}; try again in 5 s");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "engine_away", message).retry_in(5)
    }

    /// 503: the model and the index are still being loaded.
    pub fn loading() -> Problem {
        let message = "the model and the index are being loaded; try again in 1 s";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "loading", message).retry_in(1)
    }

    /// 503: the server is switching to another model.
    pub fn switching_model() -> Problem {
        let message = "this data folder is switching to another model; try again in 1 s";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "loading", message).retry_in(1)
    }

    /// 404: no route has this path. `nearest` is the route that was probably meant.
    pub fn no_route(path: &str, nearest: Option<&str>) -> Problem {
        let nearest = nearest.unwrap_or("POST /v1/search, for example");
        let message = format!("no such route: {path:?}; try {nearest}, or see /docs for all routes");
        Problem::new(StatusCode::NOT_FOUND, "no_route", message)
    }

    /// 501: the program was built without the MCP server.
    #[cfg(not(feature = "mcp"))]
    pub fn without_mcp() -> Problem {
        let message =
            "this program was built without the Model Context Protocol; build it with --features mcp";
        Problem::new(StatusCode::NOT_IMPLEMENTED, "without_mcp", message)
    }

    /// 405: the route does not support the method.
    pub fn wrong_method() -> Problem {
        let message = "this route does not support this method; see the header Allow for its methods, and /docs for what they do";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
    }

    /// 507: the disk is full.
    pub fn disk_full(cause: impl std::fmt::Display) -> Problem {
        tracing::error!("{cause}");
        let message = "the server's disk is full, and nothing more was written; free disk space (the server's log names \
                       the file), then send the papers again; papers that are already stored stay as they are";
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message).retry_in(60)
    }

    /// 500: an internal error. The cause is logged.
    pub fn internal(cause: impl std::fmt::Display) -> Problem {
        tracing::error!("{cause}");
        let message = "internal error; the server's log has the cause under this response's x-request-id";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// Adds to the message which query of a batch the problem is about, if the message is about the request.
    pub fn in_query(self, index: usize) -> Problem {
        let of_body = self.message.strip_prefix("body").filter(|rest| is_after_field(rest));
        let message = match of_body {
            Some(rest) => format!("queries[{index}]{rest}"),
            None if self.code == "invalid_request" => format!("queries[{index}].{}", self.message),
            None => self.message,
        };
        Problem { message, ..self }
    }

    /// Appends a note to the message.
    pub fn with_note(self, note: &str) -> Problem {
        Problem { message: format!("{}; {note}", self.message), ..self }
    }

    /// Replaces the name of a field at the start of the message by the name that the request's API has for the field.
    /// Each pair in `names` is the name in the search and the name in the API.
    pub fn with_field_names(self, names: &[(&str, &str)]) -> Problem {
        let renamed = |(name, api_name): &(&str, &str)| {
            let rest = self.message.strip_prefix(name).filter(|rest| is_after_field(rest))?;
            Some(format!("{api_name}{rest}"))
        };
        match names.iter().find_map(renamed) {
            Some(message) => Problem { message, ..self },
            None => self,
        }
    }

    /// Replaces the index of the wrong text in the message by the text's name in the request. `name` returns the name
    /// for an index.
    pub fn with_text_name(self, name: impl Fn(usize) -> String) -> Problem {
        let Some(index) = self.text_index else { return self };
        let reason = self.message.strip_prefix(&format!("text {index}: ")).unwrap_or(&self.message);
        Problem { message: format!("{}: {reason}", name(index)), text_index: None, ..self }
    }

    /// Returns the field that is wrong. `None` if the code is not `invalid_request`, or the message does not begin with
    /// a field's name.
    pub fn field(&self) -> Option<&str> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
        let message = self.message.strip_prefix('"').unwrap_or(&self.message);
        let (field, rest) = message.split_at(message.bytes().position(|byte| !is_name(byte))?);
        (self.code == "invalid_request" && !field.is_empty() && is_after_field(rest)).then_some(field)
    }
}

/// Checks that a field or parameter is in its range.
///
/// # Errors
/// Returns the message for a [`Problem`]; the status depends on the API.
pub fn check_range(field: &str, value: usize, range: RangeInclusive<usize>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(format!("{field} must be between {min} and {max} (got {value})"))
}

/// Whether `rest` is what follows a field's name at the start of a message.
fn is_after_field(rest: &str) -> bool {
    [": ", " must ", "\" is now called "].iter().any(|text| rest.starts_with(text))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            error if error.is_disk_full() => Problem::disk_full(error),
            Error::Invalid(message) => Problem::invalid(message),
            Error::Texts(ref texts) => {
                let text_index = texts.first().map(|text| text.index);
                Problem { text_index, ..Problem::invalid(error.to_string()) }
            }
            Error::NotFound(message) => Problem::not_found(message),
            Error::Engine(message) => Problem::engine_unreachable(message),
            Error::Model(_)
            | Error::Data(_)
            | Error::Io(_)
            | Error::Catalog(_)
            | Error::Encoder(_)
            | Error::Dump(_) => Problem::internal(error),
        }
    }
}
