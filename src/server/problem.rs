//! What a caller is told when something is wrong.
//!
//! Its own file so that one match decides every status. How it is written down depends on whose API the caller speaks
//! (`dialect.rs`). The cause of a 500 is logged, never sent.

use crate::error::Error;
use axum::http::StatusCode;
use std::time::Duration;

/// A refusal.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What kind it is, for programs.
    pub code: &'static str,
    /// What was got, what was wanted, and what to do.
    pub message: String,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// Which of several texts is wrong, by its index: the message begins with it.
    pub text: Option<usize>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
        Problem { status, code, message: message.into(), retry_after: None, text: None }
    }

    fn later(self, seconds: u64) -> Problem {
        Problem { retry_after: Some(seconds), ..self }
    }

    /// The body is no JSON.
    pub fn malformed(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_body", message)
    }

    /// The path is no text.
    pub fn malformed_path(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_path", message)
    }

    /// It can be read, but does not ask for something that can be.
    pub fn invalid(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
    }

    /// The same, of whoever answers 400 to it.
    pub fn refused(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// What was named is not here.
    pub fn not_found(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The body is packed.
    pub fn packed(encoding: &str) -> Problem {
        let message = format!("body: got Content-Encoding: {encoding}, wanted none; send it unpacked");
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "packed_body", message)
    }

    /// The body is longer than is taken.
    pub fn too_large(limit: usize, option: &str) -> Problem {
        let message = format!("body: it is longer than {limit} bytes ({option}); send less at once");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// The body did not come, or nothing more of an upload did.
    pub fn slow(limit: Duration, what: &str) -> Problem {
        let message = format!(
            "body: {what} {} s (--body-timeout); send it faster, or in smaller requests",
            limit.as_secs_f64()
        );
        Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message)
    }

    /// The answer took too long.
    pub fn timeout(limit: Duration) -> Problem {
        let message = format!(
            "the answer took longer than {} s (--request-timeout); ask for less at once",
            limit.as_secs_f64()
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message).later(1)
    }

    /// Too much is waiting.
    pub fn busy(what: impl std::fmt::Display) -> Problem {
        let message = format!("too much is waiting: {what}; try again in a second");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).later(1)
    }

    /// A key was used more often than it may.
    pub fn too_often(per_second: u32, wait: Duration) -> Problem {
        let seconds = wait.as_secs() + 1;
        let message = format!("this key may ask {per_second} times a second; try again in {seconds} s");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_often", message).later(seconds)
    }

    /// Another process writes.
    pub fn conflict(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "conflict", message).later(5)
    }

    /// There is no key, or a wrong one.
    pub fn unauthorized(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Who asks may not do this.
    pub fn forbidden(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// What holds the papers cannot be reached.
    pub fn away(message: impl std::fmt::Display) -> Problem {
        tracing::warn!("{message}");
        let message = format!("the papers cannot be reached: {message}; try again in a few seconds");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "engine_away", message).later(5)
    }

    /// The model or the index is not there yet.
    pub fn loading() -> Problem {
        let message = "the model and the index are being loaded; try again in a second";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "loading", message).later(1)
    }

    /// Another model is taking over.
    pub fn superseded() -> Problem {
        let message = "another model is taking over in this data folder; try again in a second";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "loading", message).later(1)
    }

    /// No such route.
    pub fn no_route(path: &str, nearest: Option<&str>) -> Problem {
        let nearest = nearest.unwrap_or("POST /v1/search, for example");
        let message = format!("no such route: {path:?}; there is {nearest}, and /docs has all of them");
        Problem::new(StatusCode::NOT_FOUND, "no_route", message)
    }

    /// The program was built without the tools for agents.
    #[cfg(not(feature = "mcp"))]
    pub fn without_mcp() -> Problem {
        let message =
            "this program was built without the Model Context Protocol; build it with --features mcp";
        Problem::new(StatusCode::NOT_IMPLEMENTED, "without_mcp", message)
    }

    /// The route is there, for another method.
    pub fn wrong_method() -> Problem {
        let message =
            "this route does not take that method; the header Allow says which it takes, /docs what for";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
    }

    /// There is no room for what was to be written.
    pub fn disk_full(cause: impl std::fmt::Display) -> Problem {
        tracing::error!("{cause}");
        let message = "the server's disk is full, and nothing more was written; make room there (its log says where), and \
                       send the papers again: those that are here already are told apart";
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message).later(60)
    }

    /// Our own mistake; the cause goes into the log.
    pub fn internal(cause: impl std::fmt::Display) -> Problem {
        tracing::error!("{cause}");
        let message =
            "something went wrong here; the server's log says what, under this answer's x-request-id";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// As a part of many questions: which of them is wrong.
    pub fn of(self, place: usize) -> Problem {
        let message = match self.message.strip_prefix("body: ") {
            Some(message) => format!("queries[{place}]: {message}"),
            None if self.code == "invalid_request" => format!("queries[{place}].{}", self.message),
            None => self.message,
        };
        Problem { message, ..self }
    }

    /// With more said.
    pub fn and(self, more: &str) -> Problem {
        Problem { message: format!("{}; {more}", self.message), ..self }
    }

    /// With a field's name as it is in the request: one API's is not another's.
    pub fn named(self, names: &[(&str, &str)]) -> Problem {
        let name = |(ours, theirs): &(&str, &str)| {
            let rest = self.message.strip_prefix(ours).filter(|rest| rest.starts_with(": "))?;
            Some(format!("{theirs}{rest}"))
        };
        match names.iter().find_map(name) {
            Some(message) => Problem { message, ..self },
            None => self,
        }
    }

    /// With the text that is wrong called as the request has it.
    pub fn of_text(self, name: impl Fn(usize) -> String) -> Problem {
        let Some(index) = self.text else { return self };
        let reason = self.message.strip_prefix(&format!("text {index}: ")).unwrap_or(&self.message);
        Problem { message: format!("{}: {reason}", name(index)), text: None, ..self }
    }

    /// The field that is wrong, where the message begins with it.
    pub fn field(&self) -> Option<&str> {
        let (field, _) = self.message.split_once(": ")?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
        (self.code == "invalid_request" && field.bytes().all(is_name)).then_some(field)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            error if error.is_disk_full() => Problem::disk_full(error),
            Error::Invalid(message) => Problem::invalid(message),
            Error::Texts(ref texts) => {
                let text = texts.first().map(|text| text.index);
                Problem { text, ..Problem::invalid(error.to_string()) }
            }
            Error::NotFound(message) => Problem::not_found(message),
            Error::Engine(message) => Problem::away(message),
            Error::Model(_)
            | Error::Data(_)
            | Error::Io(_)
            | Error::Catalog(_)
            | Error::Encoder(_)
            | Error::Dump(_) => Problem::internal(error),
        }
    }
}
