//! Reranking with a cross-encoder: through the library, the API, the pages and the program. The cross-encoder is a small
//! checkpoint with random weights, so its order is arbitrary, but known.

use crate::support::{Server, data, encoder, likewise, sample, small_bert};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use likewise::search::{Examples, Hit, Library, Query};
use likewise::server::{App, router};
use likewise_encoder::model::{ModelFolder, Precision};
use likewise_encoder::{Devices, Reranker};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tower::ServiceExt;

const QUESTION: &str = "How can a knot be untied?";

fn reranker_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small/cross_bert")
}

fn reranker() -> Arc<Reranker> {
    static RERANKER: LazyLock<Arc<Reranker>> = LazyLock::new(|| {
        let folder = ModelFolder::open_reranker(
            reranker_folder().to_str().unwrap(),
            Path::new("models"),
            Precision::F32,
        );
        Arc::new(Reranker::load_on(&folder.unwrap(), &Devices::Cpu).unwrap())
    });
    Arc::clone(&RERANKER)
}

fn library() -> Arc<Library> {
    static LIBRARY: LazyLock<Arc<Library>> = LazyLock::new(|| {
        let library = Library::open(sample().folder().unwrap(), encoder()).unwrap();
        Arc::new(library.with_reranker(Some(reranker())))
    });
    Arc::clone(&LIBRARY)
}

fn app(library: Arc<Library>) -> Router {
    let app = App::default();
    app.set_library(library);
    router(app)
}

async fn send(library: Arc<Library>, request: Request<Body>) -> (u16, String) {
    let response = app(library).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn post(library: Arc<Library>, path: &str, body: Value) -> (u16, Value) {
    let (status, body) = send(library, Request::post(path).body(Body::from(body.to_string())).unwrap()).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn get(library: Arc<Library>, path: &str) -> (u16, String) {
    send(library, Request::get(path).body(Body::empty()).unwrap()).await
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.paper.id.as_str()).collect()
}

/// The text of a paper that a cross-encoder reads.
fn text_of(hit: &Hit) -> String {
    format!("{}. {}", hit.paper.title.trim_end_matches('.'), hit.paper.r#abstract)
}

#[test]
fn the_first_candidates_are_in_the_order_of_the_cross_encoder_and_the_others_follow() {
    let plain = Query { k: 12, ..Query::of(Examples::text(QUESTION.into())) };
    let retrieved = library().search(&plain).unwrap().hits;
    let reranked = library().search(&Query { rerank: Some(8), explain: true, ..plain }).unwrap().hits;
    let mut expected: Vec<(f32, &str)> = retrieved[..8]
        .iter()
        .map(|hit| (reranker().score(QUESTION, &[&text_of(hit)]).unwrap()[0].logit, hit.paper.id.as_str()))
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    let expected: Vec<&str> = expected.into_iter().map(|(_, id)| id).collect();
    assert_ne!(expected, ids(&retrieved[..8]), "the order changes");
    assert_eq!(ids(&reranked[..8]), expected);
    assert_eq!(ids(&reranked[8..]), ids(&retrieved[8..]));
    for hit in &reranked[..8] {
        let breakdown = hit.explanation.as_ref().unwrap().score_breakdown;
        assert_eq!(hit.parts.unwrap().cross_encoder, Some(hit.score));
        assert_eq!((breakdown.cross_encoder, breakdown.semantic), (Some(hit.score), 0.0));
        assert!(hit.cosine() < 1.0 && hit.parts.unwrap().lexical.is_some(), "the other parts are kept");
    }
    assert!(reranked[8..].iter().all(|hit| hit.parts.unwrap().cross_encoder.is_none()));
}

#[test]
fn more_candidates_than_hits_can_be_reranked() {
    let query = Query { k: 2, ..Query::of(Examples::text(QUESTION.into())) };
    let one = Query { rerank: Some(30), ..query.clone() };
    let all = Query { k: 30, rerank: Some(30), ..query };
    assert_eq!(ids(&library().search(&one).unwrap().hits), ids(&library().search(&all).unwrap().hits)[..2]);
}

#[test]
fn a_long_query_is_not_tokenised_as_a_whole_for_each_text() {
    let long = "knots and bees ".repeat(30_000);
    let start = &long[..20_000];
    let texts = vec!["Untie it."; 400];
    let started = std::time::Instant::now();
    let tokenized = reranker().tokenize(&long, &texts).unwrap();
    // 180 MB are tokenised in about a minute.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    let of_start = reranker().tokenize(start, &texts[..1]).unwrap();
    assert_eq!(tokenized[0].ids, of_start[0].ids);
    assert!(tokenized.iter().all(|pair| pair.truncated && pair.ids == tokenized[0].ids));
}

#[tokio::test]
async fn the_server_reranks_like_the_library() {
    let query = Query { k: 5, rerank: Some(30), ..Query::of(Examples::text(QUESTION.into())) };
    let expected = library().search(&query).unwrap().hits;
    for rerank in [json!(true), json!({"top": 30}), json!({"top": 30.0})] {
        let body = json!({"text": QUESTION, "k": 5, "rerank": rerank, "explain": true});
        let (status, found) = post(library(), "/v1/search", body).await;
        let hits = found["hits"].as_array().unwrap();
        let found_ids: Vec<&str> = hits.iter().map(|hit| hit["paper"]["id"].as_str().unwrap()).collect();
        assert_eq!((status, found_ids), (200, ids(&expected)));
        assert!(hits[0]["parts"]["cross_encoder"].is_number() && hits[0]["parts"]["semantic"].is_number());
        assert!(hits[0]["explanation"]["score_breakdown"]["cross_encoder"].is_number());
    }
    let (_, plain) = post(library(), "/v1/search", json!({"text": QUESTION, "k": 5, "rerank": false})).await;
    assert!(plain["hits"][0]["parts"].get("cross_encoder").is_none(), "{plain}");
}

#[tokio::test]
async fn rerank_routes_use_the_cross_encoder_and_say_so() {
    let texts = ["A knot is untied by its ends.", "Bees count to four.", "Untie it."];
    let scores = reranker().score(QUESTION, &texts).unwrap();
    let mut order: Vec<usize> = vec![0, 1, 2];
    order.sort_by(|a, b| scores[*b].logit.total_cmp(&scores[*a].logit));
    for raw_scores in [false, true] {
        let body = json!({"query": QUESTION, "texts": texts, "raw_scores": raw_scores});
        let (status, ranks) = post(library(), "/rerank", body).await;
        let ranks = ranks.as_array().unwrap();
        let indices: Vec<u64> = ranks.iter().map(|rank| rank["index"].as_u64().unwrap()).collect();
        assert_eq!((status, indices), (200, order.iter().map(|index| *index as u64).collect()));
        let best = scores[order[0]];
        let expected = if raw_scores { best.logit } else { best.relevance };
        assert!((ranks[0]["score"].as_f64().unwrap() - f64::from(expected)).abs() < 1e-5);
    }
    for path in ["/v1/rerank", "/v2/rerank"] {
        let (status, ranks) = post(library(), path, json!({"query": QUESTION, "documents": texts})).await;
        assert_eq!((status, &ranks["results"][0]["index"]), (200, &json!(order[0])));
    }
    let info = |library| async { serde_json::from_str::<Value>(&get(library, "/info").await.1).unwrap() };
    let (with, without) = (info(library()).await, info(sample()).await);
    assert_eq!(with["reranker"]["kind"], "cross-encoder");
    assert_eq!(
        (&with["reranker"]["model_id"], &with["reranker"]["max_input_length"]),
        (&json!("cross_bert"), &json!(624))
    );
    assert_eq!(
        (&without["reranker"]["kind"], &without["reranker"]["model_id"]),
        (&json!("embedding"), &json!("all-MiniLM-L6-v2"))
    );
    let (_, api) = get(library(), "/openapi.json").await;
    let api: Value = serde_json::from_str(&api).unwrap();
    let description = api["paths"]["/rerank"]["post"]["description"].as_str().unwrap();
    assert!(description.contains("Texts are ranked by the cross-encoder cross_bert."), "{description}");
    assert!(api["components"]["schemas"]["SearchByText"]["properties"]["rerank"]["oneOf"].is_array());
}

#[tokio::test]
async fn wrong_requests_for_reranking_are_refused_with_the_reason() {
    let vector = vec![0.1; 384];
    for (library, body, expected) in [
        (sample(), json!({"text": "a", "rerank": true}), "rerank needs a reranker"),
        (
            library(),
            json!({"text": "a", "rerank": {"top": 101}}),
            "rerank.top must be between 1 and 100 (got 101)",
        ),
        (
            library(),
            json!({"text": "a", "rerank": {"top": 0}}),
            "rerank.top must be between 1 and 100 (got 0)",
        ),
        (library(), json!({"text": "a", "rerank": 30}), "rerank: must be true, false, or an object"),
        (
            library(),
            json!({"text": "a", "rerank": {"top": 3, "k": 1}}),
            "rerank: must be true, false, or an object",
        ),
        (library(), json!({"vector": vector, "rerank": true}), "rerank must be false for a query of vectors"),
        (library(), json!({"text": "a", "rerank": true, "rerank_sentences": true}), "reranked only once"),
    ] {
        let (status, answer) = post(library, "/v1/search", body.clone()).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 422 && message.contains(expected), "{body}: {status} {message}");
    }
}

#[tokio::test]
async fn the_page_offers_the_order_of_the_cross_encoder_if_there_is_one() {
    let link = "order=reranked";
    let (_, page) = get(library(), "/?q=How+is+a+knot+untied").await;
    assert!(page.contains(link), "the order is offered");
    let (status, page) = get(library(), "/?q=How+is+a+knot+untied&order=reranked").await;
    assert!(status == 200 && page.contains("reading both together"), "{page}");
    let (status, page) = get(sample(), "/?q=How+is+a+knot+untied&order=reranked").await;
    assert!(status == 200 && !page.contains("reading both together") && !page.contains("Reranked"), "{page}");
}

#[test]
fn the_program_searches_serves_and_evaluates_with_a_reranker() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, model) = (folder.path().to_str().unwrap(), small_bert());
    let (model, reranker) = (model.to_str().unwrap(), reranker_folder());
    let reranker = reranker.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = likewise(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let at = ["--data", folder, "--model", model];
    assert_eq!(run(&[&["ingest", data("sample.jsonl").to_str().unwrap()][..], &at].concat()).0, Some(0));
    let search = |more: &[&str]| run(&[&["search", QUESTION, "--json", "-k", "5"][..], &at, more].concat());
    let plain: Value = serde_json::from_str(&search(&[]).1).unwrap();
    assert!(plain["hits"][0]["parts"].get("cross_encoder").is_none());
    for more in [
        &["--reranker", reranker][..],
        &["--reranker", reranker, "--rerank"],
        &["--reranker", reranker, "--rerank", "7"],
    ] {
        let (_, found, error) = search(more);
        let found: Value = serde_json::from_str(&found).expect(&error);
        assert!(found["hits"][0]["parts"]["cross_encoder"].is_number(), "{more:?}: {found}");
    }
    let (status, _, error) = search(&["--rerank"]);
    assert!(status == Some(2) && error.contains("--reranker"), "{error}");
    let (status, _, error) = search(&["--reranker", model]);
    assert!(status == Some(1) && error.contains("the model is not a cross-encoder"), "{error}");
    let (status, _, error) = run(&["search", "a", "--data", folder, "--model", reranker]);
    assert!(status == Some(1) && error.contains("give it to --reranker instead of --model"), "{error}");
    let server =
        Server::start_with(Path::new(folder), &["--reranker", reranker], &[("LIKEWISE_MODEL", model)]);
    server.wait_until_ready();
    let info: Value =
        ureq::get(format!("{}/info", server.address)).call().unwrap().body_mut().read_json().unwrap();
    assert_eq!(info["reranker"]["kind"], "cross-encoder");
}
