//! Pages, without a browser: what they are, what they forbid, and what is wrong told as one.

use crate::support::sample;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use likewise::server::{App, Keys, Right, ServerOptions, router};
use tower::ServiceExt;

fn app(keys: Keys) -> Router {
    let app = App::new(ServerOptions { keys, ..ServerOptions::default() });
    app.set_library(sample());
    router(app)
}

/// Status, where to, and what is said.
async fn send(request: Request<Body>) -> (StatusCode, String, String) {
    let response = app(Keys::default()).oneshot(request).await.unwrap();
    let status = response.status();
    let to = response.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_string());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, to.unwrap_or_default(), String::from_utf8(bytes.to_vec()).unwrap())
}

async fn get(path: &str) -> (StatusCode, String, String) {
    send(Request::get(path).body(Body::empty()).unwrap()).await
}

async fn ask(text: &str) -> String {
    let form: String = form_urlencoded::Serializer::new(String::new()).append_pair("q", text).finish();
    let (status, to, _) = send(Request::post("/ask").body(Body::from(form)).unwrap()).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    to
}

#[tokio::test]
async fn what_is_asked_is_in_the_address() {
    assert_eq!(ask("knots & bees").await, "/?q=knots+%26+bees");
    assert_eq!(ask("arXiv:9901.00001v3\r\n\r\nAbout stars.").await, "/?q=About+stars.&like=9901.00001");
    assert_eq!(ask("2222.99999").await, "/?missing=2222.99999");
    assert_eq!(ask(" \r\n").await, "/");
    let long = ask(&"many words ".repeat(5000)).await;
    assert!(long.len() < 6000, "{}", long.len());
    let many = ask(&format!("{}\n\n", "word ".repeat(600)).repeat(40)).await;
    assert!(many.len() < 30_000 && many.contains("&left="), "{}", many.len());
    assert_eq!(get("/?q=9901.00001").await.1, "/?like=9901.00001");
    assert_eq!(get("/map").await.1, "/");
    let foreign = Request::post("/follow").header("sec-fetch-site", "cross-site");
    let (status, _, page) = send(foreign.body(Body::from("id=a&follow=yes")).unwrap()).await;
    assert!(status == 403 && page.contains("another site"), "{page}");
}

#[tokio::test]
async fn pages_say_what_was_found_and_what_is_wrong() {
    for (path, status, part) in [
        ("/", 200, "Which papers are like this one?"),
        ("/?q=knots&unknown=1", 200, "Knot"),
        ("/?like=9901.00001&unlike=9901.00002", 200, "Less like this"),
        ("/?missing=2222.99999", 200, "the id or address 2222.99999"),
        ("/?like=2222.99999", 404, "Not here"),
        ("/?q=a&from=soon", 422, "from: got the date"),
        ("/?q=a&order=best", 422, "order: unknown variant"),
        ("/?q=a&offset=-1", 422, "offset: wanted a whole number"),
        ("/?q=a&offset=99999", 422, "offset: got"),
        ("/map?q=knots&colour=category", 200, "figure class=\"map\""),
        ("/papers/9901.00001", 200, "Imre Valdane"),
        ("/papers/arXiv:9901.00001v2", 200, "Imre Valdane"),
        ("/papers/nobody", 404, "Not here"),
        ("/papers/%00", 422, "That cannot be asked"),
        ("/date/2009-03-14", 200, "Detrending"),
        ("/date/1950-01-01", 200, "No paper is known"),
        ("/date/2009-02-30", 422, "2009-02-30"),
        ("/status", 200, "all-MiniLM-L6-v2"),
    ] {
        let (got, _, page) = get(path).await;
        assert_eq!(got.as_u16(), status, "{path}: {page}");
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains(part), "{path}: {page}");
    }
    assert_eq!(get("/date?date=2009-03-14").await.1, "/date/2009-03-14");
    assert_eq!(get("/static/style-0.css").await.0, StatusCode::NOT_FOUND);
    let (status, _, said) = send(Request::post("/").body(Body::from("{}")).unwrap()).await;
    assert!(status == 422 && said.starts_with("{\"error\""), "programs are told in JSON: {said}");
}

#[tokio::test]
async fn a_page_loads_its_own_files_and_nothing_else() {
    let response =
        app(Keys::default()).oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_string();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()[header::REFERRER_POLICY], "same-origin");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(bytes.to_vec()).unwrap();
    let files: Vec<&str> = page.split('"').filter(|part| part.starts_with("/static/")).collect();
    assert_eq!(files.len(), 2, "{page}");
    for file in files {
        let response =
            app(Keys::default()).oneshot(Request::get(file).body(Body::empty()).unwrap()).await.unwrap();
        assert!(
            response.status() == 200
                && response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable")
        );
    }
}

#[tokio::test]
async fn a_key_in_a_cookie_reads_and_does_not_write() {
    let keys = || {
        let mut keys = Keys::default();
        keys.add("a-key-that-may-write", Right::Write, None).unwrap();
        keys.add("a-key-that-may-read", Right::Read, None).unwrap();
        keys
    };
    let status =
        |request: Request<Body>| async { app(keys()).oneshot(request).await.unwrap().status().as_u16() };
    let cookie = |method: &str, path: &str| {
        let request =
            Request::builder().method(method).uri(path).header("cookie", "key=a-key-that-may-write");
        request.body(Body::from("{\"title\":\"a\",\"abstract\":\"b\"}")).unwrap()
    };
    assert_eq!(status(Request::get("/").body(Body::empty()).unwrap()).await, 401);
    assert_eq!(status(cookie("GET", "/")).await, 200);
    assert_eq!(status(cookie("POST", "/v1/papers")).await, 401);
    assert_eq!(status(cookie("DELETE", "/v1/papers/9901.00001")).await, 401);
}
