//! What happens around every route: an id for the request, who may in, how long it may take, and what is noted of it.
//!
//! Its own file because a route that forgot one of these would be a hole; here none can.

use super::App;
use super::access::Right;
use super::dialect::Dialect;
use super::pages;
use super::problem::Problem;
use super::stages::{gather, server_timing};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Longest id of a request that is taken from its caller.
const MAX_ID_BYTES: usize = 128;

/// Where there are no secrets and nothing is changed: who looks whether a server is there has no key, nor who is asked for
/// one.
const OPEN: [&str; 6] = ["/health", "/ready", "/metrics", "/openapi.json", "/docs", "/key"];

/// Answers a request, or says why not; notes both.
pub async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let query = request.uri().query().unwrap_or_default().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_string();
    let id = id_of(&request);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let id_text = id.to_str().unwrap_or_default().to_string();
    let span = tracing::info_span!("request", id = %id_text, method = known(&method), route = %route, status = tracing::field::Empty);
    let answered = async {
        let response = answer(&app, request, &path, next).await;
        let held = app.unread().hold(response, app.options().max_unread_bytes).await;
        held.unwrap_or_else(IntoResponse::into_response)
    };
    let (response, stages) = gather(answered).instrument(span.clone()).await;
    let mut response = in_dialect(response, Dialect::of(&method, &path), &query);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    span.record("status", status);
    app.metrics().answered(&route, known(&method), status, took, &stages);
    // Never what it said: abstracts may be unpublished. Nor its query string, which may have one in it.
    tracing::debug!(
        parent: &span, path = %path, status, ms = took.as_secs_f64() * 1e3, "answered"
    );
    let headers = response.headers_mut();
    if status == StatusCode::METHOD_NOT_ALLOWED.as_u16() && path.ends_with("/similar") {
        // Its route is that of the paper, which can be deleted, too.
        headers.insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
    }
    headers.insert(REQUEST_ID, id);
    if let Ok(timing) = HeaderValue::from_str(&server_timing(&stages, took)) {
        headers.insert(SERVER_TIMING, timing);
    }
    response
}

async fn answer(app: &App, request: Request, path: &str, next: Next) -> Response {
    let options = app.options();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let wanted = right_for(request.method(), path);
    if let Some(right) = wanted
        && let Err(problem) = options.keys.check(right, request.headers(), peer)
    {
        return problem.into_response();
    }
    if has_no_limit(request.method(), path) {
        return next.run(request).await;
    }
    match tokio::time::timeout(options.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout(options.request_timeout).into_response(),
    }
}

/// What a request needs; `None` if nothing.
fn right_for(method: &Method, path: &str) -> Option<Right> {
    let is_open = OPEN.contains(&path) || path.starts_with("/docs/") || path.starts_with("/static/");
    let is_papers = path == "/v1/papers" || path.starts_with("/v1/papers/");
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    match (is_open, is_papers && !reads) {
        (true, _) => None,
        (_, true) => Some(Right::Write),
        (_, false) => Some(Right::Read),
    }
}

/// An upload takes as long as pieces of it come.
fn has_no_limit(method: &Method, path: &str) -> bool {
    method == Method::POST && path == "/v1/papers"
}

/// A method as metrics have it: anybody can send any word for one.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Its caller's, if that can be one, or a new one.
fn id_of(request: &Request) -> HeaderValue {
    let is_id = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_graphic())
    };
    request.headers().get(REQUEST_ID).filter(is_id).cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        HeaderValue::from_str(&id).expect("it is hexadecimal")
    })
}

/// Says what is wrong in the language of whoever asked.
fn in_dialect(mut response: Response, dialect: Dialect, query: &str) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) if dialect != Dialect::Own => {
            let mut answer = match dialect {
                Dialect::Page => pages::problem(&problem, query),
                other => other.answer(&problem),
            };
            // What others have added, such as Allow, stays.
            for (name, value) in response.headers() {
                if !answer.headers().contains_key(name) {
                    answer.headers_mut().append(name, value.clone());
                }
            }
            answer
        }
        _ => response,
    }
}
