//! HTTP routes. The tests call the routes directly, without a socket.

use crate::support::sample;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use likewise::server::{App, router};
use serde_json::{Value, json};
use std::collections::HashSet;
use tower::ServiceExt;

fn app() -> Router {
    let app = App::default();
    app.set_library(sample());
    router(app)
}

async fn send(app: Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn get(path: &str) -> (StatusCode, Value) {
    send(app(), Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    send(app(), Request::post(path).body(body.into()).unwrap()).await
}

#[tokio::test]
async fn search_by_text_papers_and_vector() {
    let (status, found) = post("/v1/search", json!({"text": "a knot", "k": 3}).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(found["model"], "all-MiniLM-L6-v2");
    assert_eq!(found["hits"].as_array().unwrap().len(), 3);
    assert_eq!(found["text"], json!({"tokens": 4, "truncated": false}));
    let hit = &found["hits"][0];
    assert_eq!(hit["rank"], 1);
    for field in ["id", "title", "abstract", "authors", "published", "categories", "venue", "source", "url"] {
        assert!(hit["paper"].get(field).is_some(), "{field}");
    }
    let id = hit["paper"]["id"].as_str().unwrap();
    let (status, found) = post("/v1/search", json!({"like": [id]}).to_string()).await;
    assert_eq!((status, found["hits"].as_array().unwrap().len()), (StatusCode::OK, 10));
    let (_, embedded) = post("/v1/embeddings", json!({"input": "a knot", "model": "any"}).to_string()).await;
    let vector = &embedded["data"][0]["embedding"];
    let (status, found) =
        post("/v1/search", json!({"vector": vector, "k": 1, "exact": true}).to_string()).await;
    assert_eq!((status, found["hits"][0]["paper"]["id"].as_str().unwrap()), (StatusCode::OK, id));
}

/// The body of the response to a search, and its type.
async fn search_text(path: &str, body: Value) -> (String, String) {
    let request = Request::post(path).body(Body::from(body.to_string())).unwrap();
    let response = app().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let media_type = response.headers()["content-type"].to_str().unwrap().to_string();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (String::from_utf8(bytes.to_vec()).unwrap(), media_type)
}

#[tokio::test]
async fn all_papers_above_a_score_are_streamed_best_first() {
    let filter = json!({"published": {"from": "2010"}});
    let all = json!({"text": "a knot", "above": -1, "fields": ["id"], "filter": filter});
    let (text, media_type) = search_text("/v1/search", all).await;
    assert_eq!(media_type, "application/x-ndjson");
    let hits: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let nearest = json!({"text": "a knot", "k": 1000, "mode": "semantic", "exact": true, "min_score": 0, "fields": ["id"],
        "filter": filter});
    let (_, expected) = post("/v1/search", nearest.to_string()).await;
    let expected = expected["hits"].as_array().unwrap();
    assert!((65..120).contains(&expected.len()), "more papers than are read at a time, and fewer than all");
    let ranks_and_scores = |hits: &[Value]| -> Vec<_> {
        hits.iter()
            .map(|hit| (hit["rank"].clone(), hit["score"].clone(), hit["probability"].clone()))
            .collect()
    };
    assert_eq!(ranks_and_scores(&hits), ranks_and_scores(expected));
    let ids =
        |hits: &[Value]| -> HashSet<String> { hits.iter().map(|hit| hit["paper"].to_string()).collect() };
    assert_eq!(ids(&hits), ids(expected));

    // The score of the third hit is a bound that the third hit reaches.
    let above = json!({"text": "a knot", "above": hits[2]["score"], "filter": filter});
    let (csv, media_type) = search_text("/v1/search?format=csv", above.clone()).await;
    assert!(media_type.starts_with("text/csv"));
    assert!(csv.starts_with("rank,score,id,title,"), "{csv}");
    assert_eq!(csv.lines().filter(|line| line.starts_with(['1', '2', '3', '4'])).count(), 3, "{csv}");
    for (format, start) in [("ris", "TY  - "), ("bibtex", "@")] {
        let (text, _) = search_text(&format!("/v1/search?format={format}"), above.clone()).await;
        assert_eq!(text.lines().filter(|line| line.starts_with(start)).count(), 3, "{text}");
    }
    let (none, _) = search_text("/v1/search", json!({"text": "a knot", "above": 1})).await;
    assert_eq!(none, "");
}

#[tokio::test]
async fn the_papers_of_a_query_are_not_above_any_score() {
    let like = json!({"like": ["9901.00001"], "unlike": ["9901.00003"], "above": -1, "fields": ["id"]});
    let (text, _) = search_text("/v1/search", like).await;
    let (all, _) = search_text("/v1/search", json!({"text": "bees", "above": -1, "fields": ["id"]})).await;
    assert_eq!(text.lines().count() + 2, all.lines().count());
    assert!(!text.contains("\"9901.00001\"") && !text.contains("\"9901.00003\""));
    assert!(text.lines().next().unwrap().starts_with("{\"rank\":1,"));
}

#[tokio::test]
async fn hybrid_scores_are_returned_with_parts_and_explanations() {
    let (_, found) =
        post("/v1/search", json!({"text": "a knot", "k": 3, "mode": "hybrid"}).to_string()).await;
    let hit = &found["hits"][0];
    let [score, semantic, lexical] = [&hit["score"], &hit["parts"]["semantic"], &hit["parts"]["lexical"]]
        .map(|part| part.as_f64().unwrap());
    assert!(lexical > 0.0 && score > semantic.min(lexical) && score < semantic.max(lexical), "{hit}");
    let (_, similar) = get("/v1/papers/9901.00001/similar?k=3&mode=lexical").await;
    let hit = &similar["hits"][0];
    assert_eq!((hit["score"].as_f64(), hit["rank"].as_u64()), (hit["parts"]["lexical"].as_f64(), Some(1)));
    let (_, plain) = get("/v1/papers/9901.00001/similar?k=3&mode=semantic").await;
    assert!(plain["hits"][0].get("parts").is_none(), "{plain}");
    // A query with texts and papers as examples gets explanations.
    let mixed = json!({"text": "a knot", "like": ["9901.00001", {"text": "transits"}], "unlike": [{"text": "bees"}], "explain": true});
    let (status, found) = post("/v1/search", mixed.to_string()).await;
    let hit = &found["hits"][0];
    assert_eq!(status, StatusCode::OK, "{found}");
    assert!((0.0..=1.0).contains(&hit["probability"].as_f64().unwrap()), "{hit}");
    let breakdown = hit["explanation"]["score_breakdown"]
        .as_object()
        .unwrap()
        .values()
        .map(|part| part.as_f64().unwrap());
    assert!((breakdown.sum::<f64>() - hit["score"].as_f64().unwrap()).abs() < 1e-5, "{hit}");
    assert!(
        hit["explanation"]["terms"][0]["term"].is_string() && hit["explanation"]["pairs"].is_array(),
        "{hit}"
    );
    let (_, unrelated) =
        post("/v1/search", json!({"text": "cream the butter, bake until golden"}).to_string()).await;
    assert_eq!(
        (unrelated["no_match"].as_bool(), &unrelated["hits"]),
        (Some(true), &json!([])),
        "{unrelated}"
    );
    let (_, diverse) = get("/v1/papers/9901.00001/similar?diversity=0.7&half_life=5").await;
    assert!(diverse["diversity"]["vendi"].as_f64() > diverse["diversity"]["plain"].as_f64(), "{diverse}");
    assert!(diverse["hits"][0]["parts"]["recency"].as_f64() < Some(1.0), "{diverse}");
}

#[tokio::test]
async fn stats_and_metrics_describe_the_library() {
    let (status, stats) = get("/v1/stats").await;
    assert_eq!(
        (status, &stats["papers"], &stats["index"]["unreachable"]),
        (StatusCode::OK, &json!(120), &json!(0))
    );
    let response = app().oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"text/plain; version=0.0.4".parse().unwrap())
    );
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    for line in [
        "# TYPE likewise_papers gauge",
        "likewise_papers{model=\"all-MiniLM-L6-v2\"} 120",
        "likewise_index_repaired{model=\"all-MiniLM-L6-v2\"} 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn papers_are_found_by_every_form_of_their_id() {
    for path in
        ["9901.00001", "arXiv:9901.00001v4", "https://arxiv.org/abs/9901.00001v1", "arXiv%3A9901.00001"]
    {
        let (status, paper) = get(&format!("/v1/papers/{path}")).await;
        assert_eq!((status, paper["id"].as_str()), (StatusCode::OK, Some("9901.00001")), "{path}");
        let (status, found) = get(&format!("/v1/papers/{path}/similar?k=2")).await;
        assert_eq!((status, found["hits"].as_array().unwrap().len()), (StatusCode::OK, 2), "{path}");
    }
    for path in ["10.5555/sample.0705", "10.5555/SAMPLE.0705", "doi:10.5555/sample.0705"] {
        let (status, paper) = get(&format!("/v1/papers/{path}")).await;
        assert_eq!((status, paper["id"].as_str()), (StatusCode::OK, Some("10.5555/sample.0705")), "{path}");
    }
    assert_eq!(get("/v1/papers/2222.99999").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("/v1/papers/2222.99999/similar").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("/v1/papers/9901.00001/similar?k=many").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(get("/v1/papers/%FF").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn embeddings_in_the_format_of_openai() {
    let (status, response) =
        post("/v1/embeddings", json!({"input": ["one", "two words"], "model": "m"}).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(response["object"], "list");
    assert_eq!(response["usage"], json!({"prompt_tokens": 7, "total_tokens": 7}));
    assert_eq!(response["data"][1]["index"], 1);
    let floats: Vec<f32> = serde_json::from_value(response["data"][0]["embedding"].clone()).unwrap();
    let (_, encoded) =
        post("/v1/embeddings", json!({"input": "one", "encoding_format": "base64"}).to_string()).await;
    use base64::Engine;
    let text = encoded["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let decoded: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(decoded.len(), 384);
    assert!(decoded.iter().zip(&floats).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[tokio::test]
async fn health_succeeds_before_the_server_is_ready() {
    let empty = || router(App::default());
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(send(empty(), get("/health")).await.0, StatusCode::OK);
    assert_eq!(send(empty(), get("/ready")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(empty(), get("/v1/stats")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (status, stats) = send(app(), get("/v1/stats")).await;
    assert_eq!((status, &stats["papers"], &stats["dimension"]), (StatusCode::OK, &json!(120), &json!(384)));
    assert_eq!(send(app(), get("/ready")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn concurrent_queries_get_the_same_hits_as_single_ones() {
    let app = app();
    let search = |text: String| {
        let request =
            Request::post("/v1/search").body(Body::from(json!({"text": text, "k": 1}).to_string())).unwrap();
        send(app.clone(), request)
    };
    let texts: Vec<String> =
        (0..40).map(|number| format!("query {number} about {}", "things ".repeat(number))).collect();
    let mut together = tokio::task::JoinSet::new();
    for (index, text) in texts.iter().cloned().enumerate() {
        let response = search(text);
        together.spawn(async move { (index, response.await) });
    }
    while let Some(Ok((index, (status, response)))) = together.join_next().await {
        let (_, alone) = search(texts[index].clone()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(response["hits"][0]["paper"]["id"], alone["hits"][0]["paper"]["id"]);
    }
}

#[tokio::test]
async fn every_list_format_has_a_link_to_the_next_page() {
    let (mut path, mut lines) = (Some("/v1/papers?format=jsonl&limit=50".to_string()), Vec::new());
    while let Some(next) = path.take() {
        let response = app().oneshot(Request::get(next).body(Body::empty()).unwrap()).await.unwrap();
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_string());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        lines.extend(String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_string));
        path = link.map(|link| link.trim_start_matches('<').split('>').next().unwrap().to_string());
    }
    let count = lines.len();
    lines.sort();
    lines.dedup();
    assert_eq!((lines.len(), count), (120, 120));
}

#[tokio::test]
async fn variants_of_paths_that_clients_use_are_accepted() {
    let texts = json!({"inputs": "a knot", "input": "a knot", "text": "a knot", "k": 1}).to_string();
    for path in
        ["//embed", "/embed/", "/v1/embed", "/embeddings", "/v1/v1/embeddings", "/search", "//v1//search/"]
    {
        // /v1/search refuses unknown fields.
        let body = if path.contains("search") {
            json!({"text": "a knot", "k": 1}).to_string()
        } else {
            texts.clone()
        };
        assert_eq!(post(path, body).await.0, StatusCode::OK, "{path}");
    }
    for path in [
        "//v1/papers/9901.00001",
        "/v1/v1/papers/9901.00001",
        "/v1/papers/9901.00001/",
        "/v1/papers/9901.00001/similar/",
    ] {
        assert_eq!(get(path).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reranked_queries_are_refused_when_busy_so_that_others_do_not_wait() {
    let app = app();
    let get = |path: &str| {
        let (app, request) = (app.clone(), Request::get(path).body(Body::empty()).unwrap());
        tokio::spawn(async move { send(app, request).await })
    };
    let reranked: Vec<_> =
        (0..32).map(|_| get("/v1/papers/9901.00001/similar?rerank_sentences=true&k=1")).collect();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let started = std::time::Instant::now();
    let (status, _) = get("/v1/papers/9901.00001/similar?k=1").await.unwrap();
    let (took, mut statuses) = (started.elapsed(), Vec::new());
    for response in reranked {
        statuses.push(response.await.unwrap().0.as_u16());
    }
    let all = started.elapsed();
    assert_eq!(status, StatusCode::OK);
    assert!(took < all / 2, "a plain query took {took:?} of the {all:?} of all queries");
    let answered = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!(answered >= 1 && refused >= 16 && answered + refused == 32, "{statuses:?}");
    // A single reranked query is answered if the server is not busy.
    assert_eq!(
        get("/v1/papers/9901.00001/similar?rerank_sentences=true&k=1").await.unwrap().0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn fields_without_data_are_left_out_of_semantic_scholar_responses() {
    let (status, paper) =
        get("/graph/v1/paper/ARXIV:9901.00001?fields=title,citations,references.title,citationCount,tldr")
            .await;
    assert_eq!(status, StatusCode::OK);
    let fields: Vec<&String> = paper.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["paperId", "title"], "{paper}");
}

#[tokio::test]
async fn old_names_of_fields_and_parameters_are_refused_with_their_new_names() {
    let aggregation = "\"examples\" is now called \"aggregation\"";
    let rerank = "\"rescore\" is now called \"rerank_sentences\"";
    let ids = "\"also\" is now called \"alternate_ids\"";
    let queries = json!({"queries": [{"text": "a"}, {"text": "a", "rescore": true}]});
    for (path, body, expected) in [
        ("/v1/search", json!({"text": "a", "examples": "mean"}), aggregation),
        ("/v1/search", json!({"text": "a", "rescore": true}), rerank),
        ("/v1/search", json!({"text": "a", "fields": ["title", "also"]}), ids),
        ("/v1/search/batch", queries, "queries[1]: \"rescore\" is now called \"rerank_sentences\""),
        ("/v1/search/batch", json!({"queries": [{"text": "a", "examples": "best"}]}), aggregation),
        ("/v1/papers/9901.00001/similar?rescore=true", Value::Null, rerank),
        ("/v1/papers/9901.00001/similar?fields=title&fields=also", Value::Null, ids),
        ("/v1/papers/9901.00001?fields=title,also", Value::Null, ids),
        ("/v1/papers?fields=also", Value::Null, ids),
    ] {
        let (status, response) =
            if body.is_null() { get(path).await } else { post(path, body.to_string()).await };
        let message = response["error"]["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}: {response}");
        assert!(message.contains(expected), "{path} {body}: {response}");
    }
    let (_, response) = post("/v1/search", json!({"text": "a", "rescore": true}).to_string()).await;
    assert_eq!(response["error"]["param"], "rescore", "{response}");
    // A route that never had a field with the old name refuses it like any unknown field, without the new name.
    let unrelated = json!({"positivePaperIds": ["9901.00001"], "rescore": true}).to_string();
    assert_eq!(post("/recommendations/v1/papers/", unrelated).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}
