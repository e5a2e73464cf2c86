//! Extractors for a request's body, query string and path.
//!
//! These extractors replace axum's, which report errors as plain text and refuse a JSON body unless its content type is
//! JSON. `curl -d` sends JSON with another content type.

use super::App;
use super::filter::FilterParams;
use super::options::ServerOptions;
use super::problem::Problem;
use super::renamed;
use crate::json::StrictObject;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Extracts a JSON object from the body, whatever the request's content type.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Body<T>, Problem> {
        parse(&bytes(request, app.options()).await?).map(Body)
    }
}

/// Refuses a compressed body, because a few compressed bytes can expand to any size.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    let compressed = encodings.iter().find(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    compressed
        .map_or(Ok(()), |value| Err(Problem::compressed_body(&String::from_utf8_lossy(value.as_bytes()))))
}

/// Strips a UTF-8 byte order mark, which some programs write at the start of a file.
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Reads a whole body. Refuses a body that is compressed, is longer than `max_body_bytes`, or takes longer than
/// `body_timeout` to arrive.
pub async fn bytes(request: Request, options: &ServerOptions) -> Result<Bytes, Problem> {
    check_encoding(request.headers())?;
    let read = axum::body::to_bytes(request.into_body(), options.max_body_bytes);
    let read = tokio::time::timeout(options.body_timeout, read).await;
    read.map_err(|_| Problem::slow_body(options.body_timeout, "the whole body did not arrive within"))?
        .map_err(|error| read_error(&error, options.max_body_bytes, "--max-body-bytes"))
}

/// Parses a JSON object. An error message names the field that is wrong.
///
/// # Errors
/// Returns 400 if the body is not JSON or uses the old name of a field, and 422 if the body is not an object or a field
/// is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = without_bom(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize::<_, StrictObject<T>>(&mut deserializer);
    // A body that is not JSON is reported as such, even if a wrong field comes before the place that is not JSON.
    let malformed = |error| Problem::malformed(format!("body: {error}"));
    match read {
        Ok(StrictObject(value)) => deserializer.end().map(|()| value).map_err(malformed),
        Err(error) if has_lone_surrogate(error.inner()) => Err(lone_surrogate(&error)),
        Err(error) => {
            serde_json::from_slice::<Value>(bytes).map_err(malformed)?;
            Err(field_error("body", &error))
        }
    }
}

/// Whether parsing failed at a surrogate escape without the other half of its pair.
fn has_lone_surrogate(error: &serde_json::Error) -> bool {
    // Only syntax errors are searched for the words below: other errors quote the request, which could have the words.
    let message = if error.is_syntax() { error.to_string() } else { String::new() };
    message.contains("surrogate") || message.contains("unexpected end of hex escape")
}

fn lone_surrogate(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let (path, inner) = (error.path(), error.inner());
    Problem::malformed(format!(
        "{path}: the text has half of a surrogate pair: an escape such as \\ud83d is valid only next to the other \
         half ({inner}); remove the escape, or write the character itself"
    ))
}

/// Returns the problem for a field that cannot be read. `whole` is the name that the message uses if the error is not
/// about a field.
fn field_error<E: std::fmt::Display>(whole: &str, error: &serde_path_to_error::Error<E>) -> Problem {
    let path = Some(error.path().to_string()).filter(|path| path != "." && path != "?");
    let message = error.inner().to_string();
    if let Some(message) = renamed::message(path.as_deref(), &message) {
        return Problem::bad_request(message);
    }
    // The messages of the integer parser and of the form parser do not say what to do, so other messages replace them.
    let field = path.as_deref().unwrap_or(whole);
    Problem::invalid(match message {
        text if text == "unsupported value" => format!("{field} must not be repeated"),
        text if text.contains("invalid digit") || text.contains("cannot parse integer") => {
            format!("{field} must be a whole number, 0 or more")
        }
        text if text.contains("too large to fit") => {
            format!("{field} must be a smaller number (got a number that does not fit into 64 bits)")
        }
        text => format!("{field}: {text}"),
    })
}

/// Returns the problem for a body that could not be read to its end: 413 if the body is longer than `limit` bytes, else
/// 400. `option` is the name of the command-line option that sets `limit`.
pub fn read_error(error: &axum::Error, limit: usize, option: &str) -> Problem {
    use std::error::Error;
    if error.source().is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
        Problem::too_large(limit, option)
    } else {
        Problem::malformed(format!("body: the body could not be received to its end: {error}"))
    }
}

/// Extracts the fields of an HTML form. Refuses forms that were sent by pages of other sites.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Form<T>, Problem> {
        if is_foreign(request.headers()) {
            return Err(Problem::forbidden(
                "the form was sent by a page of another site; use this server's own pages",
            ));
        }
        let bytes = bytes(request, app.options()).await?;
        let deserializer = serde_html_form::Deserializer::from_bytes(&bytes);
        serde_path_to_error::deserialize(deserializer).map(Form).map_err(|error| field_error("form", &error))
    }
}

/// Whether a form was sent by a page of another site. Browsers say so in `Sec-Fetch-Site`, except to a server without
/// TLS on another machine. If the header `Sec-Fetch-Site` is missing, `Origin` is compared with `Host`. A form without
/// these headers is accepted, because browsers send at least one of them.
fn is_foreign(headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (header("sec-fetch-site"), header("origin"), header("host")) {
        (Some(site), ..) => site == "cross-site",
        (None, Some(origin), Some(host)) => {
            origin.split_once("://").is_none_or(|(_, origin_host)| origin_host != host)
        }
        _ => false,
    }
}

/// Extracts the query string.
pub struct Params<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        read_params(parts, |_| true).map(Params)
    }
}

/// Extracts the query string in two steps: first the parameters of the route, then the parameters of the filter.
/// serde's `flatten` could not replace the two steps, because it cannot read numbers and lists.
pub struct WithFilter<T>(pub T, pub FilterParams);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for WithFilter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<WithFilter<T>, Problem> {
        let is_filter = |name: &str| FilterParams::NAMES.contains(&name);
        let params = read_params(parts, |name| !is_filter(name)).map_err(|problem| {
            let is_unknown = problem.message.contains("unknown field");
            if is_unknown {
                problem.with_note(&format!(
                    "or one of the filter's parameters: {}",
                    FilterParams::NAMES.join(", ")
                ))
            } else {
                problem
            }
        })?;
        Ok(WithFilter(params, read_params(parts, is_filter)?))
    }
}

/// Reads the parameters whose names `is_included` accepts. A parameter whose value is a list is repeated for each item.
fn read_params<T: DeserializeOwned>(parts: &Parts, is_included: impl Fn(&str) -> bool) -> Result<T, Problem> {
    let text = parts.uri.query().unwrap_or_default();
    let mut included = form_urlencoded::Serializer::new(String::new());
    included.extend_pairs(form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| is_included(name)));
    let included = included.finish();
    let params = serde_html_form::Deserializer::new(form_urlencoded::parse(included.as_bytes()));
    serde_path_to_error::deserialize(params).map_err(|error| field_error("query string", &error))
}

/// Extracts the part of the path that a wildcard matches, percent-decoded. A plain path parameter would not do, because
/// ids can contain slashes.
pub struct WildcardPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for WildcardPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<WildcardPath, Problem> {
        let Path(path) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::malformed_path(format!("path: {}", error.body_text())))?;
        Ok(WildcardPath(path))
    }
}
