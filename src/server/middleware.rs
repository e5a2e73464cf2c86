//! Middleware that runs around every route: request id, access control, time limit, tracing and metrics.

use super::App;
use super::access::Permission;
use super::error_format::ErrorFormat;
use super::pages;
use super::problem::Problem;
use super::stages::{collect_stages, server_timing};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Maximum length in bytes of a client's `x-request-id`. A longer id is replaced by a new one.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Paths that never need a key: health checks do not send a key, a visitor enters a key at `/key`, and the other paths
/// reveal nothing secret.
const PUBLIC_PATHS: [&str; 6] = ["/health", "/ready", "/metrics", "/openapi.json", "/docs", "/key"];

/// Runs a request through access control, the time limit and its route, and records the response.
pub async fn handle_request(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let query = request.uri().query().unwrap_or_default().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_string();
    let id = request_id(&request);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let id_text = id.to_str().unwrap_or_default().to_string();
    let span = tracing::info_span!("request", id = %id_text, method = method_label(&method), route = %route, status = tracing::field::Empty);
    let respond = async {
        let response = check_and_run(&app, request, &path, next).await;
        let counted = app.response_budget().count(response, app.options().max_unread_bytes).await;
        counted.unwrap_or_else(IntoResponse::into_response)
    };
    let (response, stages) = collect_stages(respond).instrument(span.clone()).await;
    let mut response = in_format(response, ErrorFormat::for_request(&method, &path), &query);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    span.record("status", status);
    app.metrics().record_response(&route, method_label(&method), status, took, &stages);
    // The body and the query string are never logged: they can contain unpublished abstracts.
    tracing::debug!(
        parent: &span, path = %path, status, ms = took.as_secs_f64() * 1e3, "responded"
    );
    let headers = response.headers_mut();
    if status == StatusCode::METHOD_NOT_ALLOWED.as_u16() && path.ends_with("/similar") {
        // The paper's route handles `/similar` too, so the `Allow` header would list DELETE, which `/similar` does not
        // support.
        headers.insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
    }
    headers.insert(REQUEST_ID, id);
    if let Ok(timing) = HeaderValue::from_str(&server_timing(&stages, took)) {
        headers.insert(SERVER_TIMING, timing);
    }
    response
}

async fn check_and_run(app: &App, request: Request, path: &str, next: Next) -> Response {
    let options = app.options();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if let Some(permission) = required_permission(request.method(), path)
        && let Err(problem) = options.keys.check(permission, request.headers(), peer)
    {
        return problem.into_response();
    }
    if has_no_time_limit(request.method(), path) {
        return next.run(request).await;
    }
    match tokio::time::timeout(options.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout(options.request_timeout).into_response(),
    }
}

/// Returns the permission that a request needs. `None`: the request needs no key.
fn required_permission(method: &Method, path: &str) -> Option<Permission> {
    let is_public =
        PUBLIC_PATHS.contains(&path) || path.starts_with("/docs/") || path.starts_with("/static/");
    let is_papers = path == "/v1/papers" || path.starts_with("/v1/papers/");
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    match (is_public, is_papers && !reads) {
        (true, _) => None,
        (_, true) => Some(Permission::Write),
        (_, false) => Some(Permission::Read),
    }
}

/// Whether a request has no time limit. An upload has none, as long as its chunks keep arriving.
fn has_no_time_limit(method: &Method, path: &str) -> bool {
    method == Method::POST && path == "/v1/papers"
}

/// Returns the method's name for metrics and traces. Clients can send arbitrary method names, so unusual methods are
/// counted as `other`.
fn method_label(method: &Method) -> &'static str {
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

/// Returns the client's `x-request-id` if it is valid, else a new id.
fn request_id(request: &Request) -> HeaderValue {
    let is_valid = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_graphic())
    };
    request.headers().get(REQUEST_ID).filter(is_valid).cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        HeaderValue::from_str(&id).expect("hexadecimal digits are valid in a header")
    })
}

/// Rewrites an error response into the format of the API that the request's path belongs to.
fn in_format(mut response: Response, format: ErrorFormat, query: &str) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) if format != ErrorFormat::Native => {
            let mut rewritten = match format {
                ErrorFormat::Page => pages::problem(&problem, query),
                other => other.response(&problem),
            };
            // Keep headers that other layers have added, such as `Allow`.
            for (name, value) in response.headers() {
                if !rewritten.headers().contains_key(name) {
                    rewritten.headers_mut().append(name, value.clone());
                }
            }
            rewritten
        }
        _ => response,
    }
}
