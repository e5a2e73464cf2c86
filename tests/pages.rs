//! Web pages, without a browser: their content, redirects, errors, security headers and cookies.

use crate::support::sample;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use likewise::server::{App, Keys, Permission, ServerOptions, router};
use tower::ServiceExt;

fn app(keys: Keys) -> Router {
    let app = App::new(ServerOptions { keys, ..ServerOptions::default() });
    app.set_library(sample());
    router(app)
}

/// Sends a request. Returns the status, the `Location` header (empty if the response has none) and the body.
async fn send(request: Request<Body>) -> (StatusCode, String, String) {
    let response = app(Keys::default()).oneshot(request).await.unwrap();
    let status = response.status();
    let location = response.headers().get(header::LOCATION).map(|url| url.to_str().unwrap().to_string());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, location.unwrap_or_default(), String::from_utf8(bytes.to_vec()).unwrap())
}

async fn get(path: &str) -> (StatusCode, String, String) {
    send(Request::get(path).body(Body::empty()).unwrap()).await
}

/// Submits a text to the search form and returns the URL that the response redirects to.
async fn submit(text: &str) -> String {
    let form: String = form_urlencoded::Serializer::new(String::new()).append_pair("q", text).finish();
    let (status, location, _) = send(Request::post("/ask").body(Body::from(form)).unwrap()).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    location
}

#[tokio::test]
async fn the_search_form_redirects_to_a_url_with_the_query() {
    assert_eq!(submit("knots & bees").await, "/?q=knots+%26+bees");
    assert_eq!(submit("arXiv:9901.00001v3\r\n\r\nAbout stars.").await, "/?q=About+stars.&like=9901.00001");
    assert_eq!(submit("2222.99999").await, "/?missing=2222.99999");
    assert_eq!(submit(" \r\n").await, "/");
    let long = submit(&"many words ".repeat(5000)).await;
    assert!(long.len() < 6000, "{}", long.len());
    let many = submit(&format!("{}\n\n", "word ".repeat(600)).repeat(40)).await;
    assert!(many.len() < 30_000 && many.contains("&left="), "{}", many.len());
    assert_eq!(get("/?q=9901.00001").await.1, "/?like=9901.00001");
    assert_eq!(get("/map").await.1, "/");
    assert_eq!(get("/map?q=2222.99999").await.1, "/?missing=2222.99999");
    assert_eq!(get("/ask").await.1, "/");
    let cross_site = Request::post("/follow").header("sec-fetch-site", "cross-site");
    let (status, _, page) = send(cross_site.body(Body::from("id=a&follow=yes")).unwrap()).await;
    assert!(status == 403 && page.contains("another site"), "{page}");
    for (origin, expected) in [("http://evil.test", 403), ("http://papers.test:8080", 303), ("null", 403)] {
        let form = Request::post("/follow").header("host", "papers.test:8080").header("origin", origin);
        let (status, ..) = send(form.body(Body::from("id=a&follow=yes")).unwrap()).await;
        assert_eq!(status.as_u16(), expected, "{origin}");
    }
}

#[tokio::test]
async fn a_new_text_keeps_the_other_parameters() {
    let body = "q=9901.00002&like=9901.00001&unlike=9901.00003&from=2000&category=a&order=newest&offset=20";
    let (_, location, _) = send(Request::post("/ask").body(Body::from(body)).unwrap()).await;
    assert_eq!(
        location,
        "/?like=9901.00001&like=9901.00002&unlike=9901.00003&category=a&from=2000&order=newest"
    );
    let bib: String =
        (0..300).map(|number| format!("@misc{{b{number}, title={{Bee {number}}}}}\n")).collect();
    assert!(submit(&bib).await.contains("left=100"));
    assert_eq!(submit("@misc{a, title={Bees}, crossref={a}, xdata={a}}").await, "/?q=Bees");
}

#[tokio::test]
async fn max_k_does_not_limit_the_pages() {
    let app = App::new(ServerOptions { max_k: 5, ..ServerOptions::default() });
    app.set_library(sample());
    let app = router(app);
    for path in ["/?q=stars", "/map?q=stars", "/papers/9901.00001"] {
        let response = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn pages_have_the_expected_status_and_content() {
    for (path, expected, part) in [
        ("/", 200, "Which papers are like this one?"),
        ("/?q=knots&unknown=1", 200, "Knot"),
        ("/?like=9901.00001&unlike=9901.00002", 200, "Less like this"),
        ("/?missing=2222.99999", 200, "the id or address 2222.99999"),
        ("/?like=2222.99999", 404, "Not found"),
        ("/?q=a&from=soon", 422, "from: the date must be"),
        ("/?q=a&order=best", 422, "order: unknown variant"),
        ("/?q=a&offset=-1", 422, "offset must be a whole number"),
        ("/?q=a&offset=99999", 422, "offset must be between"),
        ("/map?q=knots&colour=category", 200, "figure class=\"map\""),
        ("/papers/9901.00001", 200, "Imre Valdane"),
        ("/papers/arXiv:9901.00001v2", 200, "Imre Valdane"),
        ("/papers/no-such-id", 404, "Not found"),
        ("/papers/%00", 422, "Invalid request"),
        ("/date/2009-03-14", 200, "Detrending"),
        ("/date/1950-01-01", 200, "No paper is known"),
        ("/date/2009-02-30", 422, "2009-02-30"),
        ("/status", 200, "all-MiniLM-L6-v2"),
        (&format!("/?q=a{}", "&venue=x".repeat(51)), 422, "venue must have at most 50 values (got 51)"),
        (
            &format!("/?missing=x{}", "&unlike=x".repeat(201)),
            422,
            "unlike must have at most 200 values (got 201)",
        ),
        (
            &format!("/map?q=a{}", "&like=9901.00001".repeat(201)),
            422,
            "like must have at most 200 values (got 201)",
        ),
        ("/?q=stars&offset=40&order=newest&from=2024&to=2001", 200, "2001 – 2024"),
    ] {
        let (status, _, page) = get(path).await;
        assert_eq!(status.as_u16(), expected, "{path}: {page}");
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains(part), "{path}: {page}");
    }
    assert_eq!(get("/date?date=2009-03-14").await.1, "/date/2009-03-14");
    assert_eq!(get("/static/style-0.css").await.0, StatusCode::NOT_FOUND);
    let (status, _, body) = send(Request::post("/").body(Body::from("{}")).unwrap()).await;
    assert!(status == 422 && body.starts_with("{\"error\""), "clients other than browsers get JSON: {body}");
}

#[tokio::test]
async fn pages_load_only_their_own_files() {
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
async fn a_key_in_a_cookie_allows_reading_but_not_writing() {
    let keys = || {
        let mut keys = Keys::default();
        keys.add("a-key-that-may-write", Permission::Write, None).unwrap();
        keys.add("a-key-that-may-read", Permission::Read, None).unwrap();
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
