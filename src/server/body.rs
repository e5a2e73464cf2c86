//! What a request says: its body, its query string, its path.
//!
//! Its own file because axum's own extractors answer in plain text, and refuse `curl -d` without a header.

use super::App;
use super::filter::FilterParams;
use super::options::ServerOptions;
use super::problem::Problem;
use crate::json::Object;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A JSON body that was understood, whatever its content type says.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Body<T>, Problem> {
        parse(&bytes(request, app.options()).await?).map(Body)
    }
}

/// Refuses a body that is packed: a few bytes can be any number.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    let packed = encodings.iter().find(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    packed.map_or(Ok(()), |value| Err(Problem::packed(&String::from_utf8_lossy(value.as_bytes()))))
}

/// Without the mark of the byte order that some programs begin files with.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A whole body, unpacked, within its limits.
pub async fn bytes(request: Request, options: &ServerOptions) -> Result<Bytes, Problem> {
    check_encoding(request.headers())?;
    let read = axum::body::to_bytes(request.into_body(), options.max_body_bytes);
    let read = tokio::time::timeout(options.body_timeout, read).await;
    read.map_err(|_| Problem::slow(options.body_timeout, "it did not come within"))?
        .map_err(|error| unreadable(&error, options.max_body_bytes, "--max-body-bytes"))
}

/// Parses a JSON object; what is wrong is told with the field it is wrong in.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = without_mark(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer);
    // Whatever was met first: what is no JSON at all is told as that.
    let malformed = |error| Problem::malformed(format!("body: {error}"));
    match read {
        Ok(Object(value)) => deserializer.end().map(|()| value).map_err(malformed),
        Err(error) if is_half_a_character(error.inner()) => Err(half_a_character(&error)),
        Err(error) => {
            serde_json::from_slice::<Value>(bytes).map_err(malformed)?;
            Err(wrong("body", &error))
        }
    }
}

/// Whether a text has one of the two escapes that some characters are written with, and not the other.
fn is_half_a_character(error: &serde_json::Error) -> bool {
    // Of other errors the words are the caller's.
    let said = if error.is_syntax() { error.to_string() } else { String::new() };
    said.contains("surrogate") || said.contains("unexpected end of hex escape")
}

fn half_a_character(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let (path, inner) = (error.path(), error.inner());
    Problem::malformed(format!(
        "{path}: half of a character: an escape like \\ud83d is no character without the one that belongs to it ({inner}); \
         leave it out of the text, or write the characters themselves"
    ))
}

/// Says what is wrong with a field, or with the whole.
fn wrong<E: std::fmt::Display>(whole: &str, error: &serde_path_to_error::Error<E>) -> Problem {
    // What Rust's and the form's parsers say helps nobody.
    let inner = match error.inner().to_string() {
        said if said == "unsupported value" => "wanted it once".into(),
        said if said.contains("invalid digit") || said.contains("cannot parse integer") => {
            "wanted a whole number, 0 or more".into()
        }
        said if said.contains("too large to fit") => "wanted a smaller number".into(),
        said => said,
    };
    Problem::invalid(match error.path().to_string() {
        path if path == "." || path == "?" => format!("{whole}: {inner}"),
        path => format!("{path}: {inner}"),
    })
}

/// A body that could not be read to its end.
pub fn unreadable(error: &axum::Error, limit: usize, option: &str) -> Problem {
    use std::error::Error;
    if error.source().is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
        Problem::too_large(limit, option)
    } else {
        Problem::malformed(format!("body: it could not be read: {error}"))
    }
}

/// A form that a page sent.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Form<T>, Problem> {
        if is_foreign(request.headers()) {
            return Err(Problem::forbidden("got a form of another site's page, wanted one of this server's"));
        }
        let bytes = bytes(request, app.options()).await?;
        let deserializer = serde_html_form::Deserializer::from_bytes(&bytes);
        serde_path_to_error::deserialize(deserializer).map(Form).map_err(|error| wrong("form", &error))
    }
}

/// Whether another site's page sends a form in its reader's name. Browsers say so, but not to a server without TLS that is
/// another machine: there they only say where the page is from.
fn is_foreign(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (said("sec-fetch-site"), said("origin"), said("host")) {
        (Some(site), ..) => site == "cross-site",
        (None, Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, own)| own != host),
        _ => false,
    }
}

/// A query string that was understood.
pub struct Params<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        read_params(parts, |_| true).map(Params)
    }
}

/// A query string in two parts: what is said of the answer, and which papers may be in it. (serde's `flatten` would do,
/// but loses numbers and lists.)
pub struct WithFilter<T>(pub T, pub FilterParams);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for WithFilter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<WithFilter<T>, Problem> {
        let is_filter = |name: &str| FilterParams::NAMES.contains(&name);
        let rest = read_params(parts, |name| !is_filter(name)).map_err(|problem| {
            let is_unknown = problem.message.contains("unknown field");
            if is_unknown {
                problem.and(&format!("or of a filter: {}", FilterParams::NAMES.join(", ")))
            } else {
                problem
            }
        })?;
        Ok(WithFilter(rest, read_params(parts, is_filter)?))
    }
}

/// Reads the fields that are wanted. Lists are written by naming a field several times.
fn read_params<T: DeserializeOwned>(parts: &Parts, is_wanted: impl Fn(&str) -> bool) -> Result<T, Problem> {
    let text = parts.uri.query().unwrap_or_default();
    let mut wanted = form_urlencoded::Serializer::new(String::new());
    wanted.extend_pairs(form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| is_wanted(name)));
    let wanted = wanted.finish();
    let fields = serde_html_form::Deserializer::new(form_urlencoded::parse(wanted.as_bytes()));
    serde_path_to_error::deserialize(fields).map_err(|error| wrong("query string", &error))
}

/// The rest of the path: ids have slashes in them.
pub struct Rest(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Rest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Rest, Problem> {
        let Path(rest) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::malformed_path(format!("path: {}", error.body_text())))?;
        Ok(Rest(rest))
    }
}
