//! Writing and deleting papers over HTTP: the counts and problems in the response, conflicts, and permissions.

use crate::support::{bf16_encoder, data, encoder, ingest};
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use likewise::ingest::reembed::reembed;
use likewise::search::Library;
use likewise::server::{App, Keys, Permission, ServerOptions, router};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tower::ServiceExt;

fn app(folder: &Path, keys: Keys) -> Router {
    ingest(folder, &[data("five/plain.jsonl")]);
    let app = App::new(ServerOptions { keys, ..ServerOptions::default() });
    app.set_library(Arc::new(Library::open(folder, encoder()).unwrap()));
    router(app)
}

/// Returns the routes of a server with the papers of `five/plain.jsonl`. All requests come from 127.0.0.1, which is
/// allowed to write without a key.
fn local_app(folder: &Path) -> Router {
    app(folder, Keys::default()).layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4)))))
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn post(app: &Router, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    send(app, Request::post(path).body(body.into()).unwrap()).await
}

async fn get(app: &Router, path: &str) -> (StatusCode, Value) {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn delete(app: &Router, path: &str) -> (StatusCode, Value) {
    send(app, Request::delete(path).body(Body::empty()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn added_papers_are_found_and_deleted_papers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let app = local_app(folder.path());
    let paper = json!({"id": "2505.00001", "title": "Whales that sing in five voices", "abstract": "We record them.", "year": 2025});
    let (status, response) = post(&app, "/v1/papers", paper.to_string()).await;
    assert_eq!(
        (status, &response["added"], &response["read"]),
        (StatusCode::OK, &json!(1), &json!(1)),
        "{response}"
    );
    let query = json!({"text": "voices of whales", "k": 1}).to_string();
    let (_, found) = post(&app, "/v1/search", query.clone()).await;
    assert_eq!(found["hits"][0]["paper"]["id"], "2505.00001", "{found}");
    let (_, response) = post(&app, "/v1/papers", paper.to_string()).await;
    assert_eq!(response["unchanged"], 1, "{response}");
    let (_, page) = get(&app, "/v1/papers?limit=1&fields=id").await;
    assert_eq!((&page["papers"], &page["total"]), (&json!([{"id": "2505.00001"}]), &json!(6)), "{page}");
    let (status, response) = delete(&app, "/v1/papers/arXiv:2505.00001v3").await;
    assert_eq!((status, &response["deleted"]), (StatusCode::OK, &json!("2505.00001")), "{response}");
    let (_, found) = post(&app, "/v1/search", query).await;
    assert_ne!(found["hits"][0]["paper"]["id"], "2505.00001", "{found}");
    assert_eq!(delete(&app, "/v1/papers/2505.00001").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&app, "/v1/papers/2505.00001").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_other_apis_are_read_with_warnings_for_ignored_values() {
    let folder = tempfile::tempdir().unwrap();
    let app = local_app(folder.path());
    let page = json!({"meta": {"count": 2}, "results": [
        {"id": "https://openalex.org/W1", "doi": "https://doi.org/10.5555/oa.1", "display_name": "Tides of <i>small</i> moons",
            "abstract_inverted_index": {"They": [0], "lock.": [1]}, "authorships": null},
        null,
        {"paperId": "f00", "externalIds": {"DOI": "10.5555/s2.1"}, "title": "Moons", "abstract": "Slow."},
    ]});
    let (status, response) = post(&app, "/v1/papers", page.to_string()).await;
    assert_eq!(
        (status, &response["added"], &response["refused"]),
        (StatusCode::OK, &json!(2), &json!(0)),
        "{response}"
    );
    let (_, paper) = get(&app, "/v1/papers/10.5555/oa.1").await;
    assert_eq!(
        (&paper["title"], &paper["abstract"]),
        (&json!("Tides of small moons"), &json!("They lock.")),
        "{paper}"
    );
    let invalid = json!({"id": "odd/1", "title": "Odd", "abstract": "A.", "published": "2020-02-31", "authors": [7, {"name": "N"}]});
    let (status, response) = post(&app, "/v1/papers", invalid.to_string()).await;
    assert_eq!((status, &response["added"]), (StatusCode::OK, &json!(1)), "{response}");
    let warnings = response["not_read"].to_string();
    assert!(
        warnings.contains("authors: ignored a number in a list") && warnings.contains("2020-02-31"),
        "{warnings}"
    );
    let (_, paper) = get(&app, "/v1/papers/odd/1").await;
    assert_eq!((&paper["published"], &paper["authors"]), (&json!("2020-02"), &json!(["N"])), "{paper}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_arrays_objects_and_lines_are_read_and_invalid_entries_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let app = local_app(folder.path());
    let list = "[\n{\"id\":\"l/1\",\"title\":\"One of a list\",\"abstract\":\"A.\"},\n{\"id\":\"l/2\",\"title\":\"Two\",\"abstract\":\"B.\"}]";
    let (status, response) = post(&app, "/v1/papers", list).await;
    assert_eq!((status, &response["added"]), (StatusCode::OK, &json!(2)), "{response}");
    let pretty =
        serde_json::to_string_pretty(&json!({"id": "l/3", "title": "Pretty", "abstract": "C."})).unwrap();
    let (_, response) = post(&app, "/v1/papers", pretty).await;
    assert_eq!(response["added"], 1, "{response}");
    // JSON Lines in chunks that end in the middle of lines. Some lines are not papers. The last line has no line break.
    let mut lines: String = (0..600)
        .map(|number| {
            format!("{{\"id\":\"n/{number}\",\"title\":\"Number {number}\",\"abstract\":\"A.\"}}\n")
        })
        .collect();
    lines.push_str("{\"title\":\"no end\n\n[3]\n{\"id\":\"t\",\"title\":\"Title alone\"}\n{\"id\":\"l/1\",\"deleted\":true}");
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        lines.as_bytes().chunks(777).map(|chunk| Ok(chunk.to_vec())).collect();
    let body = Body::from_stream(stream_of(chunks));
    let (status, response) = post(&app, "/v1/papers", body).await;
    assert_eq!(status, StatusCode::OK, "{response}");
    assert_eq!(
        [
            &response["read"],
            &response["added"],
            &response["refused"],
            &response["without_abstract"],
            &response["deleted"]
        ],
        [&json!(604), &json!(600), &json!(2), &json!(1), &json!(1)],
        "{response}"
    );
    assert_eq!(response["problems"][0]["entry"], 601, "{response}");
    assert!(
        response["problems"][1]["reason"].as_str().unwrap().contains("must be a JSON object"),
        "{response}"
    );
    let (_, response) =
        post(&app, "/v1/papers?title_only=true", "{\"id\":\"t\",\"title\":\"Title alone\"}").await;
    assert_eq!(response["added"], 1, "{response}");
    let (_, stats) = get(&app, "/v1/stats").await;
    assert_eq!(
        (&stats["papers"], &stats["without_vector"]),
        (&json!(5 + 3 + 600 - 1 + 1), &json!(0)),
        "{stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_line_does_not_affect_other_lines() {
    let folder = tempfile::tempdir().unwrap();
    let app = local_app(folder.path());
    let lines = "\n{\"title\": \"Torn\", \"abst\n{\"title\":\"Twice\n{\"title\":\"Whole\",\"abstract\":\"A.\"}\n{\"title\":\"Also\",\"abstract\":\"B.\"}";
    let (status, response) = post(&app, "/v1/papers", lines).await;
    assert_eq!(
        (status, &response["added"], &response["refused"]),
        (StatusCode::OK, &json!(2), &json!(2)),
        "{response}"
    );
    assert!(
        response["problems"][1]["reason"].as_str().unwrap().starts_with("the line is not valid JSON: EOF"),
        "{response}"
    );
    // Line breaks inside one JSON object do not start new entries.
    let authors =
        "{\"title\": \"Nested\", \"abstract\": \"C.\", \"authors\": [\n{\"name\": \"A. One\"}\n]\n}";
    let (_, response) = post(&app, "/v1/papers", authors).await;
    assert_eq!((&response["added"], &response["read"]), (&json!(1), &json!(1)), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_and_a_long_line_lose_no_other_paper_and_a_broken_upload_reports_its_counts() {
    let folder = tempfile::tempdir().unwrap();
    let app = local_app(folder.path());
    let paper = |name: &str| format!("{{\"id\":\"{name}\",\"title\":\"{name}\",\"abstract\":\"A.\"}}\n");
    let long = format!("{{\"title\":\"long\",\"abstract\":\"{}\"}}\n", "x".repeat(5 << 20));
    let body = format!("\u{feff}{}{long}{}", paper("l/1"), paper("l/2"));
    let (status, response) = post(&app, "/v1/papers", body).await;
    assert_eq!(
        (status, &response["added"], &response["refused"]),
        (StatusCode::OK, &json!(2), &json!(1)),
        "{response}"
    );
    assert_eq!(response["problems"][0]["entry"], 2, "{response}");
    let mut chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        (0..300).map(|number| Ok(paper(&format!("b/{number}")).into_bytes())).collect();
    chunks.push(Err(std::io::Error::other("connection lost")));
    let (status, response) = post(&app, "/v1/papers", Body::from_stream(stream_of(chunks))).await;
    let message = response["error"]["message"].as_str().unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST, "{response}");
    assert!(message.contains("of the 300 entries before this error, 256 were added"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_get_status_503_until_the_server_has_loaded_the_new_model() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let app = App::new(ServerOptions::default());
    app.set_library(Arc::new(Library::open(folder.path(), encoder()).unwrap()));
    let router = router(app.clone()).layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4)))));
    let new_encoder = bf16_encoder();
    reembed(folder.path(), &new_encoder, |_| {}).unwrap();
    let paper = json!({"id": "m/1", "title": "Met", "abstract": "A."}).to_string();
    let (status, response) = post(&router, "/v1/papers", paper.clone()).await;
    assert_eq!(
        (status, &response["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("loading")),
        "{response}"
    );
    app.set_library(Arc::new(Library::open(folder.path(), new_encoder).unwrap()));
    assert_eq!(post(&router, "/v1/papers", paper).await.0, StatusCode::OK);
}

/// Returns a stream of chunks that are already in memory.
fn stream_of(
    chunks: Vec<Result<Vec<u8>, std::io::Error>>,
) -> impl futures_core::Stream<Item = Result<Vec<u8>, std::io::Error>> {
    struct Chunks(std::vec::IntoIter<Result<Vec<u8>, std::io::Error>>);
    impl futures_core::Stream for Chunks {
        type Item = Result<Vec<u8>, std::io::Error>;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(self.0.next())
        }
    }
    Chunks(chunks.into_iter())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_while_another_process_writes_gets_status_409() {
    let folder = tempfile::tempdir().unwrap();
    let app = local_app(folder.path());
    let writer = likewise::ingest::FolderWriter::open(folder.path(), &encoder()).unwrap();
    let paper = json!({"id": "w/1", "title": "Waiting", "abstract": "A."}).to_string();
    let (status, response) = post(&app, "/v1/papers", paper.clone()).await;
    assert_eq!(
        (status, &response["error"]["code"]),
        (StatusCode::CONFLICT, &json!("conflict")),
        "{response}"
    );
    writer.finish().unwrap();
    assert_eq!(post(&app, "/v1/papers", paper).await.0, StatusCode::OK);
    // Soon after the response, the server releases the write lock.
    let started = std::time::Instant::now();
    while likewise::ingest::FolderWriter::try_open(folder.path(), &encoder()).unwrap().is_none() {
        assert!(started.elapsed().as_secs() < 20, "the server still holds the write lock");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_needs_a_write_key_or_without_keys_a_local_client() {
    let folder = tempfile::tempdir().unwrap();
    let remote_app = app(folder.path(), Keys::default())
        .layer(Extension(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4)))));
    assert_eq!(post(&remote_app, "/v1/papers", "{}").await.0, StatusCode::FORBIDDEN);
    assert_eq!(delete(&remote_app, "/v1/papers/2101.00001").await.0, StatusCode::FORBIDDEN);
    assert_eq!(get(&remote_app, "/v1/papers").await.0, StatusCode::OK);

    let mut keys = Keys::default();
    keys.add("the-key-to-read-by", Permission::Read, None).unwrap();
    keys.add("the-key-to-write-by", Permission::Write, None).unwrap();
    let app = app(folder.path(), keys).layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4)))));
    let request = |method: &str, path: &str, key: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.body(Body::from("{\"id\":\"k/1\",\"title\":\"Keys\",\"abstract\":\"A.\"}")).unwrap()
    };
    for (method, path, key, expected) in [
        ("GET", "/v1/papers", None, 401),
        ("GET", "/v1/papers", Some("the-key-to-read-bY"), 401),
        ("GET", "/v1/papers", Some("the-key-to-read-by"), 200),
        ("GET", "/graph/v1/paper/2101.00001", None, 401),
        ("POST", "/mcp", None, 401),
        ("GET", "/nothing", None, 401),
        ("GET", "/health", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/openapi.json", None, 200),
        ("POST", "/v1/papers", None, 401),
        ("POST", "/v1/papers", Some("the-key-to-read-by"), 403),
        ("POST", "/v1/papers", Some("the-key-to-write-by"), 200),
        ("DELETE", "/v1/papers/k/1", Some("the-key-to-read-by"), 403),
        ("DELETE", "/v1/papers/k/1", Some("the-key-to-write-by"), 200),
        ("GET", "/v1/papers", Some("the-key-to-write-by"), 200),
    ] {
        let (status, response) = send(&app, request(method, path, key)).await;
        assert_eq!(status.as_u16(), expected, "{method} {path} {key:?}: {response}");
        assert!(!response.to_string().contains("the-key-to"), "{response}");
    }
}
