//! Routes, without a socket.

use crate::support::sample;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use likewise::server::{App, router};
use serde_json::{Value, json};
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

#[tokio::test]
async fn a_score_of_words_and_meaning_says_what_it_is_made_of() {
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
    // Texts and papers together, and why each is there.
    let mixed = json!({"text": "a knot", "like": ["9901.00001", {"text": "transits"}], "unlike": [{"text": "bees"}], "explain": true});
    let (status, found) = post("/v1/search", mixed.to_string()).await;
    let hit = &found["hits"][0];
    assert_eq!(status, StatusCode::OK, "{found}");
    assert!((0.0..=1.0).contains(&hit["chance"].as_f64().unwrap()), "{hit}");
    let shares = hit["why"]["shares"].as_object().unwrap().values().map(|share| share.as_f64().unwrap());
    assert!((shares.sum::<f64>() - hit["score"].as_f64().unwrap()).abs() < 1e-5, "{hit}");
    assert!(hit["why"]["terms"][0]["term"].is_string() && hit["why"]["pairs"].is_array(), "{hit}");
    let (_, noise) =
        post("/v1/search", json!({"text": "cream the butter, bake until golden"}).to_string()).await;
    assert_eq!((noise["nothing_like_it"].as_bool(), &noise["hits"]), (Some(true), &json!([])), "{noise}");
    let (_, diverse) = get("/v1/papers/9901.00001/similar?diversity=0.7&half_life=5").await;
    assert!(diverse["diversity"]["vendi"].as_f64() > diverse["diversity"]["plain"].as_f64(), "{diverse}");
    assert!(diverse["hits"][0]["parts"]["recency"].as_f64() < Some(1.0), "{diverse}");
}

#[tokio::test]
async fn what_is_served_is_told_to_people_and_to_prometheus() {
    let (status, stats) = get("/v1/stats").await;
    assert_eq!(
        (status, &stats["papers"], &stats["index"]["stragglers"]),
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
async fn papers_by_id_however_it_is_written() {
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
async fn embeddings_in_openais_shape() {
    let (status, answer) =
        post("/v1/embeddings", json!({"input": ["one", "two words"], "model": "m"}).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 7, "total_tokens": 7}));
    assert_eq!(answer["data"][1]["index"], 1);
    let floats: Vec<f32> = serde_json::from_value(answer["data"][0]["embedding"].clone()).unwrap();
    let (_, packed) =
        post("/v1/embeddings", json!({"input": "one", "encoding_format": "base64"}).to_string()).await;
    use base64::Engine;
    let text = packed["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let unpacked: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(unpacked.len(), 384);
    assert!(unpacked.iter().zip(&floats).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[tokio::test]
async fn alive_before_ready() {
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
async fn many_at_once_get_the_answers_they_get_alone() {
    let app = app();
    let ask = |text: String| {
        let request =
            Request::post("/v1/search").body(Body::from(json!({"text": text, "k": 1}).to_string())).unwrap();
        send(app.clone(), request)
    };
    let texts: Vec<String> =
        (0..40).map(|number| format!("question {number} about {}", "things ".repeat(number))).collect();
    let mut together = tokio::task::JoinSet::new();
    for (place, text) in texts.iter().cloned().enumerate() {
        let answer = ask(text);
        together.spawn(async move { (place, answer.await) });
    }
    while let Some(Ok((place, (status, answer)))) = together.join_next().await {
        let (_, alone) = ask(texts[place].clone()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["hits"][0]["paper"]["id"], alone["hits"][0]["paper"]["id"]);
    }
}

#[tokio::test]
async fn a_list_says_where_its_next_page_is_in_any_format() {
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
async fn paths_as_clients_write_them_are_answered() {
    let texts = json!({"inputs": "a knot", "input": "a knot", "text": "a knot", "k": 1}).to_string();
    for path in
        ["//embed", "/embed/", "/v1/embed", "/embeddings", "/v1/v1/embeddings", "/search", "//v1//search/"]
    {
        // Our own search takes no field that it does not know.
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
async fn questions_that_are_rescored_are_refused_before_others_wait_for_them() {
    let app = app();
    let get = |path: &str| {
        let (app, request) = (app.clone(), Request::get(path).body(Body::empty()).unwrap());
        tokio::spawn(async move { send(app, request).await })
    };
    let rescored: Vec<_> = (0..32).map(|_| get("/v1/papers/9901.00001/similar?rescore=true&k=1")).collect();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let started = std::time::Instant::now();
    let (status, _) = get("/v1/papers/9901.00001/similar?k=1").await.unwrap();
    let (took, mut statuses) = (started.elapsed(), Vec::new());
    for answer in rescored {
        statuses.push(answer.await.unwrap().0.as_u16());
    }
    let all = started.elapsed();
    assert_eq!(status, StatusCode::OK);
    assert!(took < all / 2, "another question waited {took:?} of {all:?}");
    let answered = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!(answered >= 1 && refused >= 16 && answered + refused == 32, "{statuses:?}");
    // One that is alone has its turn.
    assert_eq!(get("/v1/papers/9901.00001/similar?rescore=true&k=1").await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_never_held_is_left_out_of_what_semantic_scholars_clients_get() {
    let (status, paper) =
        get("/graph/v1/paper/ARXIV:9901.00001?fields=title,citations,references.title,citationCount,tldr")
            .await;
    assert_eq!(status, StatusCode::OK);
    let fields: Vec<&String> = paper.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["paperId", "title"], "{paper}");
}
