//! Pages, for people: `/`, `/map`, `/papers/{id}`, `/date/{day}`, `/status`.
//!
//! Their own folder because they speak HTML, and cookies. What is found is found as for everybody else, by the same
//! search; how it looks is [`web`](crate::web)'s.

mod day;
pub mod home;
mod paper;
mod question;
mod status;
mod visitor;

use super::App;
use super::dialect::with_headers;
use super::problem::Problem;
use crate::search::Library;
use crate::web::{problem_page, static_file};
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};

/// What a page may do: load its own style and script, and ask this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Longest that a browser may keep a file whose name changes with it.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The pages, but for [`home`], whose path programs ask, too, and which is documented beside theirs.
pub fn router() -> Router<App> {
    Router::new()
        .route("/map", get(home::map))
        .route("/ask", post(question::ask).get(async || Redirect::to("/")))
        .route("/papers/{*id}", get(paper::paper))
        .route("/date", get(day::another))
        .route("/date/{day}", get(day::day))
        .route("/follow", post(visitor::follow))
        .route("/key", post(visitor::key))
        .route("/status", get(status::status))
        .route("/static/{name}", get(file))
}

/// What is wrong, as a page, to an address with this query string: it shows what was asked again.
pub fn problem(problem: &Problem, query: &str) -> Response {
    let html = problem_page(&problem.message, problem.status.as_u16(), &texts_of(query));
    with_headers(page(html), problem)
}

/// The texts that an address asks by.
fn texts_of(query: &str) -> String {
    let texts = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "q");
    texts.map(|(_, text)| text.into_owned()).collect::<Vec<_>>().join("\n\n")
}

/// A page, and what browsers are told about it. Addresses have questions in them, and abstracts may be unpublished: no
/// other site is told where somebody comes from.
pub fn page(html: String) -> Response {
    let mut response = Html(html).into_response();
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn file(Path(name): Path<String>) -> Result<impl IntoResponse, Problem> {
    let file = static_file(&name).ok_or_else(|| Problem::no_route(&format!("/static/{name}"), None))?;
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, file.media_type),
        (header::CACHE_CONTROL, FOR_EVER),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, file.text))
}

/// Back to where somebody was, if that is here.
fn back(headers: &HeaderMap, otherwise: &str) -> Redirect {
    let path = headers.get(header::REFERER).and_then(|referer| {
        let (_, rest) = referer.to_str().ok()?.split_once("://")?;
        Some(rest[rest.find('/')?..].to_string())
    });
    Redirect::to(
        &path.filter(|path| path.starts_with('/') && !path.starts_with("//")).unwrap_or(otherwise.into()),
    )
}

/// The day of the newest paper.
fn newest_day(library: &Library) -> Option<String> {
    library.days_around("9999-12-31").ok()?.0
}
