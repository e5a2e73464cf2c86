//! Reads a request's JSON body, whatever its content type says.
//!
//! Its own file because axum's own extractor answers in plain text, and refuses `curl -d` without a
//! header.

use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Longest body that is taken, in bytes.
pub const MAX_BODY_BYTES: usize = 4 << 20;

/// A body that was understood.
pub struct Body<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Body<T>, Problem> {
        let bytes: Bytes =
            axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(unreadable)?;
        parse(&bytes)
    }
}

/// Parses JSON; what is wrong is told with the field it is wrong in.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Body<T>, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let message = format!("body: {error}");
        match error.inner().classify() {
            Category::Data => Problem::invalid(message),
            Category::Io | Category::Syntax | Category::Eof => Problem::malformed(message),
        }
    })?;
    deserializer.end().map_err(|error| Problem::malformed(format!("body: {error}")))?;
    Ok(Body(value))
}

fn unreadable(error: axum::Error) -> Problem {
    use std::error::Error;
    let over_limit = error.source().is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
    if over_limit {
        Problem::too_large(MAX_BODY_BYTES)
    } else {
        Problem::malformed(format!("body: it could not be read: {error}"))
    }
}
