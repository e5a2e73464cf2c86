//! Papers that are written over HTTP: what becomes of them, and who may.

use crate::support::{data, encoder, ingest, other};
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use likewise::ingest::reembed::reembed;
use likewise::search::Library;
use likewise::server::{App, Keys, Right, ServerOptions, router};
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

fn here(folder: &Path) -> Router {
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
async fn what_is_added_is_found_and_what_is_deleted_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let app = here(folder.path());
    let paper = json!({"id": "2505.00001", "title": "Whales that sing in five voices", "abstract": "We record them.", "year": 2025});
    let (status, answer) = post(&app, "/v1/papers", paper.to_string()).await;
    assert_eq!(
        (status, &answer["added"], &answer["read"]),
        (StatusCode::OK, &json!(1), &json!(1)),
        "{answer}"
    );
    let question = json!({"text": "voices of whales", "k": 1}).to_string();
    let (_, found) = post(&app, "/v1/search", question.clone()).await;
    assert_eq!(found["hits"][0]["paper"]["id"], "2505.00001", "{found}");
    let (_, answer) = post(&app, "/v1/papers", paper.to_string()).await;
    assert_eq!(answer["unchanged"], 1, "{answer}");
    let (_, page) = get(&app, "/v1/papers?limit=1&fields=id").await;
    assert_eq!((&page["papers"], &page["total"]), (&json!([{"id": "2505.00001"}]), &json!(6)), "{page}");
    let (status, answer) = delete(&app, "/v1/papers/arXiv:2505.00001v3").await;
    assert_eq!((status, &answer["deleted"]), (StatusCode::OK, &json!("2505.00001")), "{answer}");
    let (_, found) = post(&app, "/v1/search", question).await;
    assert_ne!(found["hits"][0]["paper"]["id"], "2505.00001", "{found}");
    assert_eq!(delete(&app, "/v1/papers/2505.00001").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&app, "/v1/papers/2505.00001").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_objects_are_papers_and_what_is_not_read_of_them_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let app = here(folder.path());
    let page = json!({"meta": {"count": 2}, "results": [
        {"id": "https://openalex.org/W1", "doi": "https://doi.org/10.5555/oa.1", "display_name": "Tides of <i>small</i> moons",
            "abstract_inverted_index": {"They": [0], "lock.": [1]}, "authorships": null},
        null,
        {"paperId": "f00", "externalIds": {"DOI": "10.5555/s2.1"}, "title": "Moons", "abstract": "Slow."},
    ]});
    let (status, answer) = post(&app, "/v1/papers", page.to_string()).await;
    assert_eq!(
        (status, &answer["added"], &answer["refused"]),
        (StatusCode::OK, &json!(2), &json!(0)),
        "{answer}"
    );
    let (_, paper) = get(&app, "/v1/papers/10.5555/oa.1").await;
    assert_eq!(
        (&paper["title"], &paper["abstract"]),
        (&json!("Tides of small moons"), &json!("They lock.")),
        "{paper}"
    );
    let odd = json!({"id": "odd/1", "title": "Odd", "abstract": "A.", "published": "2020-02-31", "authors": [7, {"name": "N"}]});
    let (status, answer) = post(&app, "/v1/papers", odd.to_string()).await;
    assert_eq!((status, &answer["added"]), (StatusCode::OK, &json!(1)), "{answer}");
    let told = answer["not_read"].to_string();
    assert!(told.contains("authors: a list with a number") && told.contains("2020-02-31"), "{told}");
    let (_, paper) = get(&app, "/v1/papers/odd/1").await;
    assert_eq!((&paper["published"], &paper["authors"]), (&json!("2020-02"), &json!(["N"])), "{paper}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_lines_are_taken_and_what_is_no_paper_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let app = here(folder.path());
    let list = "[\n{\"id\":\"l/1\",\"title\":\"One of a list\",\"abstract\":\"A.\"},\n{\"id\":\"l/2\",\"title\":\"Two\",\"abstract\":\"B.\"}]";
    let (status, answer) = post(&app, "/v1/papers", list).await;
    assert_eq!((status, &answer["added"]), (StatusCode::OK, &json!(2)), "{answer}");
    let pretty =
        serde_json::to_string_pretty(&json!({"id": "l/3", "title": "Pretty", "abstract": "C."})).unwrap();
    let (_, answer) = post(&app, "/v1/papers", pretty).await;
    assert_eq!(answer["added"], 1, "{answer}");
    // In pieces that end anywhere, some of them no papers; the last line has no end.
    let mut lines: String = (0..600)
        .map(|number| {
            format!("{{\"id\":\"n/{number}\",\"title\":\"Number {number}\",\"abstract\":\"A.\"}}\n")
        })
        .collect();
    lines.push_str("{\"title\":\"no end\n\n[3]\n{\"id\":\"t\",\"title\":\"Title alone\"}\n{\"id\":\"l/1\",\"deleted\":true}");
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        lines.as_bytes().chunks(777).map(|piece| Ok(piece.to_vec())).collect();
    let body = Body::from_stream(futures_stream(pieces));
    let (status, answer) = post(&app, "/v1/papers", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        [
            &answer["read"],
            &answer["added"],
            &answer["refused"],
            &answer["without_abstract"],
            &answer["deleted"]
        ],
        [&json!(604), &json!(600), &json!(2), &json!(1), &json!(1)],
        "{answer}"
    );
    assert_eq!(answer["problems"][0]["entry"], 601, "{answer}");
    assert!(answer["problems"][1]["reason"].as_str().unwrap().contains("wanted an object"), "{answer}");
    let (_, answer) =
        post(&app, "/v1/papers?title_only=true", "{\"id\":\"t\",\"title\":\"Title alone\"}").await;
    assert_eq!(answer["added"], 1, "{answer}");
    let (_, stats) = get(&app, "/v1/stats").await;
    assert_eq!(
        (&stats["papers"], &stats["without_vector"]),
        (&json!(5 + 3 + 600 - 1 + 1), &json!(0)),
        "{stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_line_is_no_loss_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let app = here(folder.path());
    let lines = "\n{\"title\": \"Torn\", \"abst\n{\"title\":\"Twice\n{\"title\":\"Whole\",\"abstract\":\"A.\"}\n{\"title\":\"Also\",\"abstract\":\"B.\"}";
    let (status, answer) = post(&app, "/v1/papers", lines).await;
    assert_eq!(
        (status, &answer["added"], &answer["refused"]),
        (StatusCode::OK, &json!(2), &json!(2)),
        "{answer}"
    );
    assert!(answer["problems"][1]["reason"].as_str().unwrap().starts_with("no JSON: EOF"), "{answer}");
    // Inside of one paper, what looks like a line is none.
    let authors =
        "{\"title\": \"Nested\", \"abstract\": \"C.\", \"authors\": [\n{\"name\": \"A. One\"}\n]\n}";
    let (_, answer) = post(&app, "/v1/papers", authors).await;
    assert_eq!((&answer["added"], &answer["read"]), (&json!(1), &json!(1)), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_and_long_lines_cost_no_paper_and_a_broken_upload_says_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let app = here(folder.path());
    let paper = |name: &str| format!("{{\"id\":\"{name}\",\"title\":\"{name}\",\"abstract\":\"A.\"}}\n");
    let long = format!("{{\"title\":\"long\",\"abstract\":\"{}\"}}\n", "x".repeat(5 << 20));
    let body = format!("\u{feff}{}{long}{}", paper("l/1"), paper("l/2"));
    let (status, answer) = post(&app, "/v1/papers", body).await;
    assert_eq!(
        (status, &answer["added"], &answer["refused"]),
        (StatusCode::OK, &json!(2), &json!(1)),
        "{answer}"
    );
    assert_eq!(answer["problems"][0]["entry"], 2, "{answer}");
    let mut pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        (0..300).map(|number| Ok(paper(&format!("b/{number}")).into_bytes())).collect();
    pieces.push(Err(std::io::Error::other("it was cut")));
    let (status, answer) = post(&app, "/v1/papers", Body::from_stream(futures_stream(pieces))).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(message.contains("of 300 entries that came before, 256 were added"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_model_takes_over_writers_are_told_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let app = App::new(ServerOptions::default());
    app.set_library(Arc::new(Library::open(folder.path(), encoder()).unwrap()));
    let router = router(app.clone()).layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4)))));
    let other = other();
    reembed(folder.path(), &other, |_| {}).unwrap();
    let paper = json!({"id": "m/1", "title": "Met", "abstract": "A."}).to_string();
    let (status, answer) = post(&router, "/v1/papers", paper.clone()).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("loading")),
        "{answer}"
    );
    app.set_library(Arc::new(Library::open(folder.path(), other).unwrap()));
    assert_eq!(post(&router, "/v1/papers", paper).await.0, StatusCode::OK);
}

/// A stream of what is there already.
fn futures_stream(
    pieces: Vec<Result<Vec<u8>, std::io::Error>>,
) -> impl futures_core::Stream<Item = Result<Vec<u8>, std::io::Error>> {
    struct Pieces(std::vec::IntoIter<Result<Vec<u8>, std::io::Error>>);
    impl futures_core::Stream for Pieces {
        type Item = Result<Vec<u8>, std::io::Error>;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(self.0.next())
        }
    }
    Pieces(pieces.into_iter())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_that_writes_is_waited_for_by_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let app = here(folder.path());
    let writer = likewise::ingest::Writer::open(folder.path(), &encoder()).unwrap();
    let paper = json!({"id": "w/1", "title": "Waiting", "abstract": "A."}).to_string();
    let (status, answer) = post(&app, "/v1/papers", paper.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::CONFLICT, &json!("conflict")), "{answer}");
    writer.finish().unwrap();
    assert_eq!(post(&app, "/v1/papers", paper).await.0, StatusCode::OK);
    // The server gives the folder back soon after.
    let begun = std::time::Instant::now();
    while likewise::ingest::Writer::try_open(folder.path(), &encoder()).unwrap().is_none() {
        assert!(begun.elapsed().as_secs() < 20, "the server keeps the folder");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_write_and_who_may_ask() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = app(folder.path(), Keys::default())
        .layer(Extension(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4)))));
    assert_eq!(post(&elsewhere, "/v1/papers", "{}").await.0, StatusCode::FORBIDDEN);
    assert_eq!(delete(&elsewhere, "/v1/papers/2101.00001").await.0, StatusCode::FORBIDDEN);
    assert_eq!(get(&elsewhere, "/v1/papers").await.0, StatusCode::OK);

    let mut keys = Keys::default();
    keys.add("the-key-to-read-by", Right::Read, None).unwrap();
    keys.add("the-key-to-write-by", Right::Write, None).unwrap();
    let app = app(folder.path(), keys).layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4)))));
    let ask = |method: &str, path: &str, key: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.body(Body::from("{\"id\":\"k/1\",\"title\":\"Keys\",\"abstract\":\"A.\"}")).unwrap()
    };
    for (method, path, key, status) in [
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
        let (got, answer) = send(&app, ask(method, path, key)).await;
        assert_eq!(got.as_u16(), status, "{method} {path} {key:?}: {answer}");
        assert!(!answer.to_string().contains("the-key-to"), "{answer}");
    }
}
