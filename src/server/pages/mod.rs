//! HTML pages: `/`, `/map`, `/papers/{id}`, `/date/{day}` and `/status`.
//!
//! The pages use the same search as the APIs. [`web`](crate::web) renders the HTML.

mod day;
pub mod home;
mod paper;
mod query;
mod status;
mod visitor;

use super::App;
use super::error_format::with_headers;
use super::problem::Problem;
use crate::search::Library;
use crate::web::{problem_page, static_file};
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};

/// Content security policy of the pages. Allows styles, scripts, images, requests and forms of this server, and `data:`
/// images; nothing else.
const PAGE_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `Cache-Control` of static files. Browsers can cache them for a year, because a file's name changes with its
/// contents.
const STATIC_CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// Returns the routes of the pages, except `/`. API clients use the path `/` too, so its routes are documented together
/// with the API's routes.
pub fn router() -> Router<App> {
    Router::new()
        .route("/map", get(home::map))
        .route("/ask", post(query::ask).get(async || Redirect::to("/")))
        .route("/papers/{*id}", get(paper::paper))
        .route("/date", get(day::redirect))
        .route("/date/{day}", get(day::day))
        .route("/follow", post(visitor::follow))
        .route("/key", post(visitor::key))
        .route("/status", get(status::status))
        .route("/static/{name}", get(static_response))
}

/// Renders an error as a page. `query` is the query string of the request; the form on the page shows its texts again.
pub fn problem(problem: &Problem, query: &str) -> Response {
    let html = problem_page(&problem.message, problem.status.as_u16(), &texts_of(query));
    with_headers(page(html), problem)
}

/// Returns the texts (`q`) in a query string.
fn texts_of(query: &str) -> String {
    let texts = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "q");
    texts.map(|(_, text)| text.into_owned()).collect::<Vec<_>>().join("\n\n")
}

/// Returns a response with a page and its security headers. The referrer policy hides the pages' addresses from other
/// sites, because an address contains the query's texts, which can be unpublished abstracts.
pub fn page(html: String) -> Response {
    let mut response = Html(html).into_response();
    let headers = [
        (header::CONTENT_SECURITY_POLICY, PAGE_CSP),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn static_response(Path(name): Path<String>) -> Result<impl IntoResponse, Problem> {
    let file = static_file(&name).ok_or_else(|| Problem::no_route(&format!("/static/{name}"), None))?;
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, file.media_type),
        (header::CACHE_CONTROL, STATIC_CACHE_CONTROL),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, file.text))
}

/// Redirects back to the page in the request's `Referer` header, or to `default` if the request has no such header. The
/// host in the header is ignored.
fn back(headers: &HeaderMap, default: &str) -> Redirect {
    let path = headers.get(header::REFERER).and_then(|referer| {
        let (_, rest) = referer.to_str().ok()?.split_once("://")?;
        Some(rest[rest.find('/')?..].to_string())
    });
    Redirect::to(
        &path.filter(|path| path.starts_with('/') && !path.starts_with("//")).unwrap_or(default.into()),
    )
}

/// Returns the day of the newest paper. Ignores withdrawn papers, and papers whose date is only a month or a year.
/// `None`: there is no other paper, or the library cannot be read.
fn newest_day(library: &Library) -> Option<String> {
    library.days_around("9999-12-31").ok()?.0
}
