//! A table of requests that the server refuses, each with the documented status and a part of the error message.

use crate::support::sample;
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use likewise::server::{App, ServerOptions, router};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tower::ServiceExt;

fn app() -> Router {
    let options = ServerOptions {
        max_text_bytes: 100_000,
        max_batch: 64,
        max_body_bytes: 200_000,
        max_hits: 5000,
        ..ServerOptions::default()
    };
    let app = App::new(options);
    app.set_library(sample());
    router(app).layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4)))))
}

/// A refused request: method and path, body, expected status, and a part of the expected message.
type RefusedCase = (&'static str, String, u16, &'static str);

fn post(path: &'static str, cases: &[(&str, u16, &'static str)]) -> Vec<RefusedCase> {
    cases.iter().map(|(body, status, part)| (path, body.to_string(), *status, *part)).collect()
}

fn get(cases: &[(&'static str, u16, &'static str)]) -> Vec<RefusedCase> {
    cases.iter().map(|(path, status, part)| (*path, String::new(), *status, *part)).collect()
}

/// Returns requests with bodies that are not JSON objects. Every route that expects a JSON object refuses these bodies.
fn invalid_json(path: &'static str) -> Vec<RefusedCase> {
    post(
        path,
        &[
            ("", 400, "body: EOF"),
            (" \n", 400, "body: EOF"),
            ("{", 400, "body: EOF"),
            ("{\"a\":", 400, "body: EOF"),
            ("{]", 400, "body: "),
            ("{'text':1}", 400, "body: "),
            ("{} {}", 400, "body: trailing characters"),
            ("nonsense", 400, "body: "),
            ("\0", 400, "body: "),
            ("[]", 422, "expected an object"),
            ("[\"a text\"]", 422, "expected an object"),
            ("3", 422, "body: invalid type"),
            ("null", 422, "body: invalid type"),
            ("\"text\"", 422, "body: invalid type"),
            (&"[".repeat(1000), 400, "recursion limit"),
            (&format!("{{\"x\":{}", "[".repeat(1000)), 400, "recursion limit"),
        ],
    )
}

fn searches() -> Vec<RefusedCase> {
    let vector = |value: &str| format!("{{\"vector\":[{}{value}]}}", "0.1,".repeat(383));
    let reranked_vector = vector("0.1").replace('}', ",\"rerank_sentences\":true}");
    let zeros = format!("{{\"vector\":[{}0]}}", "0,".repeat(383));
    let long_text = json!({ "text": "long ".repeat(25_000) }).to_string();
    let long_id = json!({ "like": ["x".repeat(301)] }).to_string();
    let many_ids = json!({ "like": vec!["x"; 1001] }).to_string();
    let many_unlike = json!({ "text": "a", "unlike": vec!["x"; 1001] }).to_string();
    let many_categories = json!({ "text": "a", "filter": { "categories": vec!["x"; 10_001] } }).to_string();
    post(
        "POST /v1/search",
        &[
            ("{}", 422, "at least one of"),
            (r#"{"text":"a","like":["b"]}"#, 404, "\"b\""),
            (r#"{"text":"a","vector":[1]}"#, 422, "vector must have 384 values (got 1)"),
            (r#"{"text":"a","like":[]}"#, 422, "like must have at least one example (got an empty list)"),
            (r#"{"like":[7]}"#, 422, "expected an id of a paper, or an object {\"text\": …}"),
            (r#"{"like":[{"text":"a","id":"b"}]}"#, 422, "like[0].id: unknown field `id`"),
            (r#"{"like":[{"text":" "}]}"#, 422, "text must not be empty or blank"),
            (r#"{"text":"a","unlike":[{"text":""}]}"#, 422, "text must not be empty or blank"),
            (&reranked_vector, 422, "rerank_sentences must be false for a query of vectors"),
            (r#"{"text":"a","aggregation":"worst"}"#, 422, "aggregation: unknown variant"),
            (r#"{"unlike":["a"]}"#, 422, "at least one of"),
            (r#"{"text":null}"#, 422, "at least one of"),
            (r#"{"text":1}"#, 422, "text: invalid type"),
            (r#"{"text":["a"]}"#, 422, "text: invalid type"),
            (r#"{"text":{}}"#, 422, "text: invalid type"),
            (r#"{"text":""}"#, 422, "text must not be empty or blank"),
            (r#"{"text":" \n\t "}"#, 422, "text must not be empty or blank"),
            (r#"{"text":"\u00a0\u3000"}"#, 422, "text must not be empty or blank"),
            (r#"{"text":"\ud800"}"#, 400, "text: the text has half of a surrogate pair"),
            (r#"{"text":"a","like":"surrogate models"}"#, 422, "like: invalid type"),
            (r#"{"text":"a","surrogate":1}"#, 422, "unknown field `surrogate`"),
            (
                r#"{"text":"a","like":[{"text":"b"},{"text":" "}]}"#,
                422,
                "like[1].text must not be empty or blank",
            ),
            (
                r#"{"text":"a","unlike":["9901.00001",{"text":""}]}"#,
                422,
                "unlike[1].text must not be empty or blank",
            ),
            (
                r#"{"text":"a","like":["9901.00001",{"text":"\ud83dx"}]}"#,
                400,
                "like[1].text: the text has half of a surrogate pair",
            ),
            (r#"{"text":"a","text":"b"}"#, 422, "duplicate field"),
            (r#"{"text":"a","k":0}"#, 422, "k must be between 1 and 1000 (got 0)"),
            (r#"{"text":"a","k":1001}"#, 422, "k must be between 1 and 1000 (got 1001)"),
            (r#"{"text":"a","k":18446744073709551615}"#, 422, "k: invalid value"),
            (r#"{"text":"a","k":99999999999999999999999}"#, 422, "k: invalid"),
            (r#"{"text":"a","k":-1}"#, 422, "k: invalid value"),
            (r#"{"text":"a","k":1.5}"#, 422, "k: invalid type"),
            (r#"{"text":"a","k":"5"}"#, 422, "k: invalid type"),
            (r#"{"text":"a","k":null}"#, 422, "k: invalid type"),
            (r#"{"text":"a","k":true}"#, 422, "k: invalid type"),
            (r#"{"text":"a","kk":5}"#, 422, "unknown field `kk`"),
            (r#"{"text":"a","K":5}"#, 422, "unknown field `K`"),
            (r#"{"text":"a","offset":-1}"#, 422, "offset: invalid value"),
            (r#"{"text":"a","offset":9001}"#, 422, "offset must be between 0 and 9000 (got 9001)"),
            (r#"{"text":"a","offset":"1"}"#, 422, "offset: invalid type"),
            (r#"{"text":"a","min_score":"high"}"#, 422, "min_score: invalid type"),
            (r#"{"text":"a","min_score":-0.1}"#, 422, "min_score must be between 0 and 1 (got -0.1)"),
            (r#"{"text":"a","above":1.01}"#, 422, "above must be between -1 and 1 (got 1.01)"),
            (r#"{"text":"a","above":"0.5"}"#, 422, "above: invalid type"),
            (r#"{"above":0.5}"#, 422, "at least one of"),
            (r#"{"text":"a","above":0.5,"k":10}"#, 422, "k must be left out of a search with above"),
            (
                r#"{"text":"a","above":0.5,"mode":"lexical"}"#,
                422,
                "mode must be left out of a search with above",
            ),
            (
                r#"{"text":"a","above":0.5,"explain":true}"#,
                422,
                "explain must be left out of a search with above",
            ),
            (r#"{"text":"a","above":0.5,"like":["b"]}"#, 404, "\"b\""),
            (r#"{"text":"a","explain":"yes"}"#, 422, "explain: invalid type"),
            (r#"{"text":"a","min_score":NaN}"#, 400, "body: "),
            (r#"{"text":"a","mode":"fuzzy"}"#, 422, "mode: unknown variant `fuzzy`"),
            (r#"{"text":"a","diversity":-0.1}"#, 422, "diversity must be between 0 and 1 (got -0.1)"),
            (r#"{"text":"a","half_life":0}"#, 422, "half_life must be between 0.01 and 1000 years (got 0)"),
            (r#"{"vector":[1.0],"mode":"lexical"}"#, 422, "mode must be semantic for a query of vectors"),
            (r#"{"text":"a","min_score":Infinity}"#, 400, "body: "),
            (r#"{"text":"a","min_score":1e39}"#, 422, "min_score must be between 0 and 1"),
            (r#"{"text":"a","exact":1}"#, 422, "exact: invalid type"),
            (r#"{"text":"a","exact":"yes"}"#, 422, "exact: invalid type"),
            (r#"{"text":"a","fields":"title"}"#, 422, "fields: invalid type"),
            (r#"{"text":"a","fields":["titel"]}"#, 422, "unknown variant `titel`"),
            (r#"{"text":"a","fields":[1]}"#, 422, "fields[0]"),
            (r#"{"like":[]}"#, 422, "like must have at least one example (got an empty list)"),
            (r#"{"like":"2101.11408"}"#, 422, "like: invalid type"),
            (r#"{"like":[1]}"#, 422, "like[0]: invalid type"),
            (r#"{"like":[null]}"#, 422, "like[0]: invalid type"),
            (r#"{"like":[""]}"#, 422, "the id is empty"),
            (r#"{"like":["  "]}"#, 422, "the id is empty"),
            (r#"{"like":["no-such-id"]}"#, 404, "no-such-id"),
            (r#"{"like":["../../etc/passwd"]}"#, 404, "etc/passwd"),
            (r#"{"like":["a' OR 1=1 --"]}"#, 404, "OR 1=1"),
            (r#"{"like":["9901.00001","no-such-id"]}"#, 404, "no-such-id"),
            (r#"{"like":["\u0000"]}"#, 422, "the id is empty"),
            (&long_id, 422, "at most 300 bytes (got 301)"),
            (&many_ids, 422, "like must have at most 1000 examples (got 1001)"),
            (&many_unlike, 422, "unlike must have at most 1000 examples (got 1001)"),
            (r#"{"text":"a","unlike":["no-such-id"]}"#, 404, "no-such-id"),
            (r#"{"text":"a","unlike":"x"}"#, 422, "unlike: invalid type"),
            (r#"{"vector":[]}"#, 422, "vector must have 384 values (got 0)"),
            (r#"{"vector":[1,2]}"#, 422, "vector must have 384 values (got 2)"),
            (r#"{"vector":[1e999]}"#, 400, "number out of range"),
            (r#"{"vector":["1"]}"#, 422, "vector[0]: invalid type"),
            (r#"{"vector":[null]}"#, 422, "vector[0]: invalid type"),
            (r#"{"vector":[NaN]}"#, 400, "body: "),
            (r#"{"vector":[Infinity]}"#, 400, "body: "),
            (r#"{"vector":1}"#, 422, "vector: invalid type"),
            (&vector("1e39"), 422, "is between 1e-30 and 1e30"),
            (&vector("0.1,0.1"), 422, "vector must have 384 values (got 385)"),
            (&zeros, 422, "is between 1e-30 and 1e30"),
            (&long_text, 422, "text must be at most 100000 bytes (got 125000); --max-text-bytes"),
            (r#"{"text":"a","filter":1}"#, 422, "filter: invalid type"),
            (r#"{"text":"a","filter":[]}"#, 422, "filter: invalid type: sequence, expected an object"),
            (r#"{"text":"a","filter":{"published":["2020"]}}"#, 422, "filter.published: invalid type"),
            (r#"{"text":"a","filter":{"year":2020}}"#, 422, "unknown field `year`"),
            (r#"{"text":"a","filter":{"ids":[""]}}"#, 422, "filter.ids: the id is empty"),
            (r#"{"text":"a","filter":{"ids":"x"}}"#, 422, "filter.ids: invalid type"),
            (r#"{"text":"a","filter":{"categories":[1]}}"#, 422, "filter.categories[0]"),
            (
                r#"{"text":"a","filter":{"authors":["?!"]}}"#,
                422,
                "filter.authors: a name must have at least one word (got \"?!\")",
            ),
            (r#"{"text":"a","filter":{"published":"2020"}}"#, 422, "filter.published: invalid type"),
            (
                r#"{"text":"a","filter":{"published":{"from":"2020-02-31"}}}"#,
                422,
                "filter.published.from: the date must be",
            ),
            (r#"{"text":"a","filter":{"published":{"from":"2021-13"}}}"#, 422, "2021-13"),
            (r#"{"text":"a","filter":{"published":{"from":"2021-00-10"}}}"#, 422, "2021-00-10"),
            (r#"{"text":"a","filter":{"published":{"to":"yesterday"}}}"#, 422, "yesterday"),
            (r#"{"text":"a","filter":{"published":{"to":""}}}"#, 422, "must be YYYY"),
            (
                r#"{"text":"a","filter":{"published":{"from":2020}}}"#,
                422,
                "filter.published.from: invalid type",
            ),
            (r#"{"text":"a","filter":{"published":{"since":"2020"}}}"#, 422, "unknown field `since`"),
            (r#"{"text":"a","filter":{"withdrawn":"yes"}}"#, 422, "filter.withdrawn: invalid type"),
            (&many_categories, 422, "filter.categories: must have at most 10000 values (got 10001)"),
        ],
    )
}

fn batches() -> Vec<RefusedCase> {
    let many = json!({ "queries": vec![json!({"text": "a"}); 65] }).to_string();
    let deep = json!({ "queries": vec![json!({"text": "a", "k": 1000}); 6] }).to_string();
    let wide =
        json!({ "queries": vec![json!({"text": "a", "k": 1000, "fields": ["embedding"]}); 2] }).to_string();
    let explained =
        json!({ "queries": vec![json!({"text": "a", "k": 1000, "explain": true}); 2] }).to_string();
    let reranked =
        json!({ "queries": vec![json!({"text": "a", "k": 10, "rerank_sentences": true}); 6] }).to_string();
    let many_examples = vec![json!({"text": "bees"}); 110];
    let by_best_example = json!({"like": many_examples, "aggregation": "best", "k": 10});
    let best = json!({ "queries": vec![by_best_example; 2] }).to_string();
    post(
        "POST /v1/search/batch",
        &[
            ("{}", 422, "missing field `queries`"),
            (r#"{"queries":[]}"#, 422, "queries must have at least one item (got an empty list)"),
            (r#"{"queries":{}}"#, 422, "queries: invalid type"),
            (r#"{"queries":["knots"]}"#, 422, "queries[0]"),
            (r#"{"queries":[["knots"]]}"#, 422, "queries[0]: invalid type: sequence, expected an object"),
            (r#"{"queries":[{"text":"a"},{"text":"a","k":"x"}]}"#, 422, "queries[1].k: invalid type"),
            (r#"{"queries":[{"text":"a","kk":1}]}"#, 422, "unknown field `kk`"),
            (r#"{"queries":[{"text":"a"}],"k":3}"#, 422, "unknown field `k`"),
            (&many, 422, "queries must have at most 64 items (got 65); --max-batch"),
            (
                &deep,
                422,
                "queries must have a total k of at most 5000 (got 6000); --max-hits sets the maximum; embeddings or explanations multiply a query's k by 4, rerank or rerank_sentences adds 1000, and each example or cluster after the first that is searched for separately adds 40",
            ),
            (&wide, 422, "queries must have a total k of at most 5000 (got 8000"),
            (&explained, 422, "queries must have a total k of at most 5000 (got 8000"),
            (&reranked, 422, "queries must have a total k of at most 5000 (got 6060"),
            (&best, 422, "queries must have a total k of at most 5000 (got 7940"),
        ],
    )
}

fn embeddings() -> Vec<RefusedCase> {
    let many = json!({ "input": vec!["a"; 65] }).to_string();
    let long = json!({ "input": "x".repeat(100_001) }).to_string();
    let many_tei = json!({ "inputs": vec!["a"; 65] }).to_string();
    let too_many_tokens = json!({ "inputs": "word ".repeat(300), "truncate": false }).to_string();
    let mut cases = post(
        "POST /v1/embeddings",
        &[
            ("{}", 422, "missing field `input`"),
            (r#"{"input":null}"#, 422, "input must be a text or a list of texts"),
            (r#"{"input":{}}"#, 422, "input must be a text or a list of texts"),
            (r#"{"input":true}"#, 422, "input must be a text or a list of texts"),
            (r#"{"input":5}"#, 422, "token ids"),
            (r#"{"input":[1,2,3]}"#, 422, "check_embedding_ctx_length=False"),
            (r#"{"input":[[1,2]]}"#, 422, "token ids"),
            (r#"{"input":["a",[1]]}"#, 422, "token ids"),
            (r#"{"input":[]}"#, 422, "input must have at least one item (got an empty list)"),
            (r#"{"input":""}"#, 422, "input must not be empty or blank"),
            (r#"{"input":["a"," "]}"#, 422, "input[1] must not be empty or blank"),
            (r#"{"input":["a","b","x\ud83d"]}"#, 400, "input[2]: the text has half of a surrogate pair"),
            (r#"{"input":["a","\udc00","b"]}"#, 400, "input[1]: the text has half of a surrogate pair"),
            (r#"{"input":["a",[1],"b"]}"#, 422, "input[1] must be text (got token ids"),
            (r#"{"input":["a",null]}"#, 422, "input[1] must be a text"),
            (
                r#"{"input":"a","dimensions":0}"#,
                422,
                "dimensions must be between 1 and 384, the model's dimension (got 0)",
            ),
            (
                r#"{"input":"a","dimensions":385}"#,
                422,
                "dimensions must be between 1 and 384, the model's dimension (got 385)",
            ),
            (r#"{"input":"a","dimensions":-5}"#, 422, "dimensions: invalid value"),
            (r#"{"input":"a","dimensions":"5"}"#, 422, "dimensions: invalid type"),
            (r#"{"input":"a","encoding_format":"hex"}"#, 422, "encoding_format: unknown variant `hex`"),
            (r#"{"input":"a","encoding_format":1}"#, 422, "encoding_format"),
            (r#"{"input":"a","model":5}"#, 422, "model: invalid type"),
            (&many, 422, "input must have at most 64 items (got 65); --max-batch"),
            (&long, 422, "input must be at most 100000 bytes (got 100001); --max-text-bytes"),
        ],
    );
    cases.extend(post(
        "POST /embed",
        &[
            ("{}", 422, "missing field `inputs`"),
            (r#"{"inputs":[]}"#, 422, "inputs must have at least one item (got an empty list)"),
            (r#"{"inputs":""}"#, 422, "inputs must not be empty or blank"),
            (r#"{"inputs":[1,2]}"#, 422, "token ids"),
            (r#"{"inputs":"a","truncate":"yes"}"#, 422, "truncate: invalid type"),
            (
                r#"{"inputs":"a","truncation_direction":"up"}"#,
                422,
                "truncation_direction: unknown variant `up`",
            ),
            (
                r#"{"inputs":"a","prompt_name":"clusters"}"#,
                422,
                "prompt_name: this model has no prompt \"clusters\"",
            ),
            (
                r#"{"inputs":"a","dimensions":1000}"#,
                422,
                "dimensions must be between 1 and 384, the model's dimension (got 1000)",
            ),
            (r#"{"inputs":"a","normalize":1}"#, 422, "normalize: invalid type"),
            (&many_tei, 422, "inputs must have at most 64 items (got 65); --max-batch"),
            (&too_many_tokens, 422, "inputs must have at most 256 tokens"),
        ],
    ));
    cases.extend(get(&[
        ("GET /v1/models/other", 404, "its only model is \"all-MiniLM-L6-v2\""),
        ("GET /v1/models/%FF", 400, "path"),
        ("GET /v1/embeddings", 405, "does not support this method"),
        ("GET /embed", 405, "does not support this method"),
        ("PUT /info", 405, "does not support this method"),
    ]));
    cases
}

fn reranks() -> Vec<RefusedCase> {
    let cohere = [
        ("{}", 422, "missing field"),
        (r#"{"query":"a"}"#, 422, "missing field `documents`"),
        (r#"{"documents":["a"]}"#, 422, "missing field `query`"),
        (r#"{"query":"a","documents":[]}"#, 422, "documents must have at least one item (got an empty list)"),
        (r#"{"query":"","documents":["a"]}"#, 422, "query must not be empty or blank"),
        (r#"{"query":"a","documents":[""]}"#, 422, "documents must not be empty or blank"),
        (r#"{"query":"a","documents":[1]}"#, 422, "documents must be a text"),
        (r#"{"query":"a","documents":["b",{"text":" "}]}"#, 422, "documents[1] must not be empty or blank"),
        (
            r#"{"query":"a","documents":["b",{"txt":"c"}]}"#,
            422,
            "documents[1] must be a text, or an object with a text in the field \"text\" (got an object without",
        ),
        (
            r#"{"query":"a","documents":["b","\ud83d"]}"#,
            400,
            "documents[1]: the text has half of a surrogate pair",
        ),
        (r#"{"query":"a","documents":[{"title":"a"}]}"#, 422, "(got an object without such a field)"),
        (r#"{"query":"a","documents":"a"}"#, 422, "documents: invalid type"),
        (r#"{"query":"a","documents":["a"],"top_n":0}"#, 422, "top_n must be at least 1 (got 0)"),
        (r#"{"query":"a","documents":["a"],"top_n":-1}"#, 422, "top_n: invalid value"),
    ];
    let mut cases = post("POST /v1/rerank", &cohere);
    cases.extend(post("POST /v2/rerank", &cohere));
    cases.extend(post(
        "POST /rerank",
        &[
            ("{}", 422, "missing field"),
            (r#"{"query":"a","texts":[]}"#, 422, "texts must have at least one item (got an empty list)"),
            (r#"{"query":" ","texts":["a"]}"#, 422, "query must not be empty or blank"),
            (r#"{"query":"a","texts":[""]}"#, 422, "texts must not be empty or blank"),
            (r#"{"query":"a","texts":"a"}"#, 422, "texts: invalid type"),
            (r#"{"query":["a"],"texts":["a"]}"#, 422, "query: invalid type"),
        ],
    ));
    cases
}

fn papers() -> Vec<RefusedCase> {
    let mut cases = get(&[
        ("GET /v1/papers/2222.99999", 404, "2222.99999"),
        ("GET /v1/papers/2222.99999/similar", 404, "2222.99999"),
        ("GET /v1/papers/%20", 422, "the id is empty"),
        ("GET /v1/papers/%00", 422, "the id is empty"),
        ("GET /v1/papers/%FF", 400, "path"),
        ("GET /v1/papers/..%2f..%2fetc%2fpasswd", 404, "../../etc/passwd"),
        ("GET /v1/papers/../../etc/passwd", 404, "../../etc/passwd"),
        ("GET /v1/papers/9901.00001?format=xml", 422, "format: unknown variant `xml`"),
        ("GET /v1/papers/9901.00001?fields=titel", 422, "unknown variant `titel`"),
        ("GET /v1/papers/9901.00001?k=3", 422, "unknown field `k`"),
        ("GET /v1/papers/9901.00001/similar?k=many", 422, "k must be a whole number"),
        ("GET /v1/papers/9901.00001/similar?k=0", 422, "k must be between 1 and 1000 (got 0)"),
        ("GET /v1/papers/9901.00001/similar?k=1001", 422, "k must be between 1 and 1000 (got 1001)"),
        ("GET /v1/papers/9901.00001/similar?k=1&k=2", 422, "k"),
        ("GET /v1/papers/9901.00001/similar?k=", 422, "k must be a whole number"),
        ("GET /v1/papers/9901.00001/similar?offset=-1", 422, "offset must be a whole number"),
        ("GET /v1/papers/9901.00001/similar?min_score=NaN", 422, "min_score must be between 0 and 1"),
        ("GET /v1/papers/9901.00001/similar?mode=all", 422, "mode: unknown variant `all`"),
        ("GET /v1/papers/9901.00001/similar?min_score=inf", 422, "min_score must be between 0 and 1"),
        ("GET /v1/papers/9901.00001/similar?exact=maybe", 422, "exact: "),
        ("GET /v1/papers/9901.00001/similar?year=2020", 422, "unknown field `year`"),
        ("GET /v1/papers/9901.00001/similar?from=2020-02-31", 422, "2020-02-31"),
        (
            "GET /v1/papers/9901.00001/similar?author=%21",
            422,
            "author: a name must have at least one word (got \"!\")",
        ),
        ("GET /v1/papers?limit=0", 422, "limit must be between 1 and 1000 (got 0)"),
        ("GET /v1/papers?limit=1001", 422, "limit must be between 1 and 1000 (got 1001)"),
        ("GET /v1/papers?limit=x", 422, "limit must be a whole number"),
        ("GET /v1/papers?cursor=x", 422, "cursor must be"),
        ("GET /v1/papers?cursor=2020-01-01_2020-01-01_-4", 422, "cursor must be"),
        (
            "GET /v1/papers?from=2021-02-30",
            422,
            "from: the date must be YYYY, YYYY-MM or YYYY-MM-DD (got \"2021-02-30\")",
        ),
        (
            "GET /v1/papers?to=tomorrow",
            422,
            "to: the date must be YYYY, YYYY-MM or YYYY-MM-DD (got \"tomorrow\")",
        ),
        ("GET /v1/papers?author=%3F", 422, "author: a name must have at least one word (got \"?\")"),
        ("GET /v1/papers/9901.00001/similar?from=2021-02-30", 422, "from: the date must be"),
        ("GET /v1/papers?withdrawn=1", 422, "withdrawn: "),
        ("GET /v1/papers?page=2", 422, "or one of the filter's parameters: from, to, category"),
        ("GET /v1/papers?limit=-1", 422, "limit must be a whole number, 0 or more"),
        ("GET /v1/papers?limit=1&limit=2", 422, "limit must not be repeated"),
        ("GET /graph/v1/paper/search?query=x", 404, "no such route"),
        ("GET /graph/v1/paper/9901.00001/citations", 404, "no such route"),
        ("GET /v1/papers?format=pdf", 422, "format: unknown variant `pdf`"),
        ("PUT /v1/papers", 405, "does not support this method"),
        ("PATCH /v1/papers/9901.00001", 405, "does not support this method"),
        ("DELETE /v1/papers", 405, "does not support this method"),
        ("DELETE /v1/papers/%FF", 400, "path"),
        ("DELETE /v1/papers/%20", 422, "the id is empty"),
        ("DELETE /v1/papers/2222.99999", 404, "2222.99999"),
    ]);
    let title_list = json!({ "title": ["T"], "abstract": "a" }).to_string();
    cases.extend(post(
        "POST /v1/papers",
        &[
            ("", 422, "got no papers"),
            ("\n\n", 422, "got no papers"),
            ("[]", 422, "got no papers"),
            ("{", 400, "body: EOF"),
            ("{\n\"title\":\n", 400, "body: EOF"),
            ("nonsense", 422, "not valid JSON"),
            ("{}", 422, "no title"),
            ("5", 422, "a paper must be a JSON object (got a number)"),
            ("null", 422, "a paper must be a JSON object (got null)"),
            ("[1]", 422, "a paper must be a JSON object (got a number)"),
            (r#"{"title":"","abstract":"a"}"#, 422, "no title"),
            (r#"{"abstract":"a"}"#, 422, "no title"),
            (&title_list, 422, "title must be text (got a list)"),
            (r#"{"id":704.001,"title":"t","abstract":"a"}"#, 422, "id must be text in quotes"),
            (r#"{"deleted":true}"#, 422, "must have the paper's id"),
        ],
    ));
    cases.extend(get(&[
        ("POST /v1/papers?title_only=maybe", 422, "title_only: "),
        ("POST /v1/papers?dry_run=true", 422, "unknown field `dry_run`"),
    ]));
    cases
}

fn other_apis_and_unknown_routes() -> Vec<RefusedCase> {
    let mut cases = get(&[
        ("GET /recommendations/v1/papers/forpaper/ARXIV:2222.99999", 404, "2222.99999"),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?fields=titel", 400, "fields: [titel]"),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?limit=0", 400, "limit must be between 1 and"),
        (
            "GET /recommendations/v1/papers/forpaper/9901.00001?limit=501",
            400,
            "limit must be between 1 and 500 (got 501)",
        ),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?limit=x", 422, "limit must be a whole number"),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?from=old", 422, "from: unknown variant"),
        ("GET /recommendations/v1/papers/forpaper/%FF", 400, "path"),
        ("GET /graph/v1/paper/ARXIV:2222.99999", 404, "2222.99999"),
        ("GET /graph/v1/paper/9901.00001?fields=title,nothing,never", 400, "[nothing, never]"),
        ("GET /graph/v1/paper/9901.00001?limit=5", 422, "unknown field `limit`"),
        ("GET /graph/v1/author/5", 404, "no such route"),
        ("GET /api/papers/search", 422, "missing field `q`"),
        ("GET /api/papers/search?q=", 422, "q must not be empty"),
        ("GET /api/papers/search?q=a&limit=0", 400, "limit must be between 1 and"),
        ("GET /api/papers/search?q=a&limit=121", 400, "limit must be between 1 and 120 (got 121)"),
        ("GET /api/papers/2222.99999", 404, "2222.99999"),
        (
            "GET /api/daily_papers?date=2021-02-30",
            400,
            "date must be an existing date in the format YYYY-MM-DD (got \"2021-02-30\")",
        ),
        (
            "GET /api/daily_papers?date=2021",
            400,
            "date must be an existing date in the format YYYY-MM-DD (got \"2021\")",
        ),
        ("GET /api/daily_papers?date=2021-01-01T00:00:00Z", 400, "date must be"),
        ("GET /api/daily_papers?week=2021-W60", 400, "week must be"),
        ("GET /api/daily_papers?week=x", 400, "week must be"),
        ("GET /api/daily_papers?month=2021-13", 400, "month must be"),
        ("GET /api/daily_papers?date=2021-01-11&week=", 400, "week must be"),
        ("GET /api/daily_papers?p=-1", 422, "p must be a whole number"),
        ("GET /api/daily_papers?p=1001", 400, "p must be between 0 and 1000 (got 1001)"),
        ("GET /api/daily_papers?limit=0", 400, "limit must be between 1 and"),
        ("GET /api/daily_papers?sort=best", 422, "sort: unknown variant"),
        ("GET /v1/nothing", 404, "no such route: \"/v1/nothing\"; try POST /v1/search, for example"),
        ("GET /V1/search", 404, "try POST /v1/search"),
        ("GET /openai/embeddings", 404, "try POST /v1/embeddings"),
        ("GET //v1/search", 405, "does not support this method"),
        ("GET /v1/search/", 405, "does not support this method"),
        ("GET /v1/search", 405, "does not support this method"),
        ("POST /health", 405, "does not support this method"),
        ("DELETE /metrics", 405, "does not support this method"),
        ("POST /v1/stats", 405, "does not support this method"),
    ]);
    cases.extend(post(
        "POST /recommendations/v1/papers/",
        &[
            ("{}", 422, "missing field `positivePaperIds`"),
            (
                r#"{"positivePaperIds":[]}"#,
                422,
                "positivePaperIds must have at least one example (got an empty list)",
            ),
            (r#"{"positivePaperIds":["no-such-id"]}"#, 404, "no-such-id"),
            (r#"{"positivePaperIds":["9901.00001"],"negativePaperIds":["no-such-id"]}"#, 404, "no-such-id"),
            (r#"{"positivePaperIds":"x"}"#, 422, "positivePaperIds: invalid type"),
            (r#"{"positive":["x"]}"#, 422, "unknown field `positive`"),
        ],
    ));
    cases.extend(post(
        "POST /graph/v1/paper/batch",
        &[
            ("{}", 422, "missing field `ids`"),
            (r#"{"ids":[]}"#, 422, "ids must have between 1 and 500 items (got 0)"),
            (r#"{"ids":[1]}"#, 422, "ids[0]: invalid type"),
        ],
    ));
    cases
}

#[tokio::test]
async fn refused_requests_get_the_documented_status_and_message() {
    let mut cases =
        [searches(), batches(), embeddings(), reranks(), papers(), other_apis_and_unknown_routes()].concat();
    for path in
        ["POST /v1/search", "POST /v1/search/batch", "POST /v1/embeddings", "POST /embed", "POST /v2/rerank"]
    {
        cases.extend(invalid_json(path));
    }
    cases.extend(invalid_json("POST /recommendations/v1/papers/"));
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let app = app();
    let mut failures = Vec::new();
    for (request, body, expected, part) in cases {
        let (method, path) = request.split_once(' ').unwrap();
        let shown: String = body.chars().take(80).collect();
        let (status, response) = send(&app, method, path, body.into_bytes()).await;
        if status != expected || !message(&response).contains(part) {
            failures.push(format!(
                "{request} {shown}: expected {expected} and {part:?}, got {status} {response}"
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Returns the error message of a response in any of the error formats of the supported APIs.
fn message(response: &Value) -> &str {
    let candidates = [&response["error"]["message"], &response["error"], &response["message"]];
    candidates.into_iter().find_map(Value::as_str).unwrap_or_default()
}

async fn send(app: &Router, method: &str, path: &str, body: Vec<u8>) -> (u16, Value) {
    let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    let response = app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"), "{method} {path}");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn bodies_that_are_too_long_or_not_utf8_are_refused() {
    let app = app();
    for path in ["/v1/search", "/v1/embeddings", "/embed", "/v2/rerank", "/recommendations/v1/papers/"] {
        let (status, response) = send(&app, "POST", path, vec![b' '; 200_001]).await;
        assert_eq!(status, 413, "{path}: {response}");
        assert!(message(&response).contains("at most 200000 bytes (--max-body-bytes)"), "{path}: {response}");
        let (status, response) = send(&app, "POST", path, vec![0xff, 0xfe, b'{']).await;
        assert_eq!(status, 400, "{path}: {response}");
        let (status, response) = send(&app, "POST", path, b"{\"text\":\"\xff\"}".to_vec()).await;
        assert!([400, 422].contains(&status), "{path}: {response}");
    }
    let line = format!("{{\"title\":\"{}\"", "x".repeat(200_001));
    let (status, response) = send(&app, "POST", "/v1/papers", line.into_bytes()).await;
    assert_eq!((status, message(&response).contains("per line")), (413, true), "{response}");
}

#[tokio::test]
async fn compressed_bodies_and_invalid_json_rpc_messages_are_refused() {
    let app = app();
    for path in ["/v1/search", "/v1/papers", "/embed"] {
        let request = Request::post(path).header("content-encoding", "gzip");
        let response = app.clone().oneshot(request.body(Body::from("\x1f")).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
    if !cfg!(feature = "mcp") {
        let (status, response) = send(&app, "POST", "/mcp", "{}".into()).await;
        assert_eq!((status, &response["error"]["code"]), (501, &json!("without_mcp")), "{response}");
        return;
    }
    for (body, code) in [("not json", -32700), ("[]", -32600), ("{\"id\":1}", -32600)] {
        let (status, response) = send(&app, "POST", "/mcp", body.into()).await;
        assert_eq!((status, &response["error"]["code"]), (400, &json!(code)), "{body}: {response}");
    }
}

#[tokio::test]
async fn the_default_k_is_limited_by_max_k() {
    let app = App::new(ServerOptions { max_k: 7, ..ServerOptions::default() });
    app.set_library(sample());
    let app = router(app);
    for (method, path, body, hits) in [
        ("POST", "/v1/search", r#"{"text":"transits of planets"}"#, "/hits"),
        ("GET", "/v1/papers/9901.00001/similar", "", "/hits"),
        ("GET", "/recommendations/v1/papers/forpaper/9901.00001", "", "/recommendedPapers"),
        ("GET", "/api/papers/search?q=transits", "", ""),
    ] {
        let (status, response) = send(&app, method, path, body.into()).await;
        let count = response.pointer(hits).and_then(Value::as_array).map(Vec::len);
        assert_eq!((status, count), (200, Some(7)), "{path}: {response}");
    }
}

#[tokio::test]
async fn each_api_uses_its_own_error_format() {
    let app = app();
    let (_, response) = send(&app, "POST", "/v1/embeddings", b"{\"input\":\"\"}".to_vec()).await;
    let error = &response["error"];
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (&json!("invalid_request_error"), &json!("invalid_request"), &json!("input"))
    );
    let (_, response) = send(&app, "POST", "/embed", b"{\"inputs\":\"\"}".to_vec()).await;
    assert_eq!(response["error_type"], "Validation", "{response}");
    let (_, response) = send(&app, "POST", "/v2/rerank", b"{".to_vec()).await;
    assert!(response["message"].is_string() && response.get("error").is_none(), "{response}");
    let (_, response) = send(&app, "GET", "/graph/v1/paper/unknown", Vec::new()).await;
    assert!(response["error"].is_string(), "{response}");
}

#[tokio::test]
async fn unusual_but_valid_requests_are_answered() {
    let app = app();
    for (request, body) in [
        ("POST /v1/search", r#"{"text":"a\u0000b"}"#),
        ("POST /v1/search", "\u{feff}{\"text\":\"a\"}"),
        ("POST /v1/embeddings", r#"{"input":"a","encoding_format":null}"#),
        ("POST /recommendations/v1/papers", r#"{"positivePaperIds":["9901.00001"]}"#),
        ("POST /v1/search", r#"{"text":"💥 ελληνικά 漢字 \u202e"}"#),
        ("POST /v1/search", r#"{"text":"a","k":1000,"offset":9000}"#),
        ("POST /v1/search", r#"{"text":"a","filter":{}}"#),
        ("POST /v1/search", r#"{"text":"a","filter":{"categories":[]}}"#),
        ("POST /v1/search", r#"{"text":"a","filter":{"published":{"from":"2021","to":"1999"}}}"#),
        ("POST /v1/search", r#"{"text":"a","fields":[]}"#),
        ("POST /v1/search", r#"{"text":"a","min_score":0.0}"#),
        ("POST /v1/search", r#"{"like":["9901.00001","9901.00001"]}"#),
        ("POST /v1/search", r#"{"like":["9901.00001"],"unlike":["9901.00001"]}"#),
        ("POST /v1/embeddings", r#"{"input":"a","anything":{"else":1}}"#),
        ("POST /embed", r#"{"inputs":"a","prompt_name":null,"truncate":null}"#),
        ("GET /api/daily_papers?p=1000", ""),
        ("GET /v1/papers?category=nothing", ""),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let (status, response) = send(&app, method, path, body.as_bytes().to_vec()).await;
        assert_eq!(status, StatusCode::OK.as_u16(), "{request} {body}: {response}");
    }
}
