//! What is refused over HTTP: each case gets its documented status, and a message that says what to do.

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

/// Method and path, body, status, and what the message has in it.
type Case = (&'static str, String, u16, &'static str);

fn post(path: &'static str, cases: &[(&str, u16, &'static str)]) -> Vec<Case> {
    cases.iter().map(|(body, status, part)| (path, body.to_string(), *status, *part)).collect()
}

fn get(cases: &[(&'static str, u16, &'static str)]) -> Vec<Case> {
    cases.iter().map(|(path, status, part)| (*path, String::new(), *status, *part)).collect()
}

/// What no route that takes JSON takes, whatever else it wants.
fn no_json(path: &'static str) -> Vec<Case> {
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

fn searches() -> Vec<Case> {
    let vector = |value: &str| format!("{{\"vector\":[{}{value}]}}", "0.1,".repeat(383));
    let unsaid = vector("0.1").replace('}', ",\"rescore\":true}");
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
            (r#"{"text":"a","vector":[1]}"#, 422, "vector: got 1 values"),
            (r#"{"text":"a","like":[]}"#, 422, "like: got an empty list"),
            (r#"{"like":[7]}"#, 422, "expected an id of a paper, or {\"text\": …}"),
            (r#"{"like":[{"text":"a","id":"b"}]}"#, 422, "like[0].id: unknown field `id`"),
            (r#"{"like":[{"text":" "}]}"#, 422, "text: got an empty text"),
            (r#"{"text":"a","unlike":[{"text":""}]}"#, 422, "text: got an empty text"),
            (&unsaid, 422, "rescore: got true, and a vector, which has no sentences"),
            (r#"{"text":"a","examples":"worst"}"#, 422, "examples: unknown variant"),
            (r#"{"unlike":["a"]}"#, 422, "at least one of"),
            (r#"{"text":null}"#, 422, "at least one of"),
            (r#"{"text":1}"#, 422, "text: invalid type"),
            (r#"{"text":["a"]}"#, 422, "text: invalid type"),
            (r#"{"text":{}}"#, 422, "text: invalid type"),
            (r#"{"text":""}"#, 422, "text: got an empty text"),
            (r#"{"text":" \n\t "}"#, 422, "text: got an empty text"),
            (r#"{"text":"\u00a0\u3000"}"#, 422, "text: got an empty text"),
            (r#"{"text":"\ud800"}"#, 400, "text: half of a character"),
            (r#"{"text":"a","like":"surrogate models"}"#, 422, "like: invalid type"),
            (r#"{"text":"a","surrogate":1}"#, 422, "unknown field `surrogate`"),
            (r#"{"text":"a","like":[{"text":"b"},{"text":" "}]}"#, 422, "like[1].text: got an empty text"),
            (r#"{"text":"a","unlike":["9901.00001",{"text":""}]}"#, 422, "unlike[1].text: got an empty text"),
            (
                r#"{"text":"a","like":["9901.00001",{"text":"\ud83dx"}]}"#,
                400,
                "like[1].text: half of a character",
            ),
            (r#"{"text":"a","text":"b"}"#, 422, "duplicate field"),
            (r#"{"text":"a","k":0}"#, 422, "k: got 0, wanted 1 to 1000"),
            (r#"{"text":"a","k":1001}"#, 422, "k: got 1001, wanted 1 to 1000"),
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
            (r#"{"text":"a","offset":9001}"#, 422, "offset: got 9001, wanted 0 to 9000"),
            (r#"{"text":"a","offset":"1"}"#, 422, "offset: invalid type"),
            (r#"{"text":"a","min_score":"high"}"#, 422, "min_score: invalid type"),
            (r#"{"text":"a","min_score":-0.1}"#, 422, "min_score: got -0.1, wanted 0 to 1"),
            (r#"{"text":"a","explain":"yes"}"#, 422, "explain: invalid type"),
            (r#"{"text":"a","min_score":NaN}"#, 400, "body: "),
            (r#"{"text":"a","mode":"fuzzy"}"#, 422, "mode: unknown variant `fuzzy`"),
            (r#"{"text":"a","diversity":-0.1}"#, 422, "diversity: got -0.1, wanted 0 to 1"),
            (r#"{"text":"a","half_life":0}"#, 422, "half_life: got 0, wanted 0.01 to 1000 years"),
            (r#"{"vector":[1.0],"mode":"lexical"}"#, 422, "a vector, which has no words"),
            (r#"{"text":"a","min_score":Infinity}"#, 400, "body: "),
            (r#"{"text":"a","min_score":1e39}"#, 422, "wanted 0 to 1"),
            (r#"{"text":"a","exact":1}"#, 422, "exact: invalid type"),
            (r#"{"text":"a","exact":"yes"}"#, 422, "exact: invalid type"),
            (r#"{"text":"a","fields":"title"}"#, 422, "fields: invalid type"),
            (r#"{"text":"a","fields":["titel"]}"#, 422, "unknown variant `titel`"),
            (r#"{"text":"a","fields":[1]}"#, 422, "fields[0]"),
            (r#"{"like":[]}"#, 422, "like: got an empty list"),
            (r#"{"like":"2101.11408"}"#, 422, "like: invalid type"),
            (r#"{"like":[1]}"#, 422, "like[0]: invalid type"),
            (r#"{"like":[null]}"#, 422, "like[0]: invalid type"),
            (r#"{"like":[""]}"#, 422, "empty id"),
            (r#"{"like":["  "]}"#, 422, "empty id"),
            (r#"{"like":["nobody"]}"#, 404, "nobody"),
            (r#"{"like":["../../etc/passwd"]}"#, 404, "etc/passwd"),
            (r#"{"like":["a' OR 1=1 --"]}"#, 404, "OR 1=1"),
            (r#"{"like":["9901.00001","nobody"]}"#, 404, "nobody"),
            (r#"{"like":["\u0000"]}"#, 422, "empty id"),
            (&long_id, 422, "301 bytes"),
            (&many_ids, 422, "like: got 1001 examples"),
            (&many_unlike, 422, "unlike: got 1001 examples"),
            (r#"{"text":"a","unlike":["nobody"]}"#, 404, "nobody"),
            (r#"{"text":"a","unlike":"x"}"#, 422, "unlike: invalid type"),
            (r#"{"vector":[]}"#, 422, "got 0 values, wanted 384"),
            (r#"{"vector":[1,2]}"#, 422, "got 2 values, wanted 384"),
            (r#"{"vector":[1e999]}"#, 400, "number out of range"),
            (r#"{"vector":["1"]}"#, 422, "vector[0]: invalid type"),
            (r#"{"vector":[null]}"#, 422, "vector[0]: invalid type"),
            (r#"{"vector":[NaN]}"#, 400, "body: "),
            (r#"{"vector":[Infinity]}"#, 400, "body: "),
            (r#"{"vector":1}"#, 422, "vector: invalid type"),
            (&vector("1e39"), 422, "vector: got NaN, infinity, only zeros"),
            (&vector("0.1,0.1"), 422, "got 385 values"),
            (&zeros, 422, "vector: got NaN, infinity, only zeros"),
            (&long_text, 422, "text: got 125000 bytes, wanted at most 100000 (--max-text-bytes)"),
            (r#"{"text":"a","filter":1}"#, 422, "filter: invalid type"),
            (r#"{"text":"a","filter":[]}"#, 422, "filter: invalid type: sequence, expected an object"),
            (r#"{"text":"a","filter":{"published":["2020"]}}"#, 422, "filter.published: invalid type"),
            (r#"{"text":"a","filter":{"year":2020}}"#, 422, "unknown field `year`"),
            (r#"{"text":"a","filter":{"ids":[""]}}"#, 422, "filter.ids: got an empty id"),
            (r#"{"text":"a","filter":{"ids":"x"}}"#, 422, "filter.ids: invalid type"),
            (r#"{"text":"a","filter":{"categories":[1]}}"#, 422, "filter.categories[0]"),
            (r#"{"text":"a","filter":{"authors":["?!"]}}"#, 422, "filter.authors: got \"?!\", wanted a name"),
            (r#"{"text":"a","filter":{"published":"2020"}}"#, 422, "filter.published: invalid type"),
            (
                r#"{"text":"a","filter":{"published":{"from":"2020-02-31"}}}"#,
                422,
                "filter.published.from: got",
            ),
            (r#"{"text":"a","filter":{"published":{"from":"2021-13"}}}"#, 422, "2021-13"),
            (r#"{"text":"a","filter":{"published":{"from":"2021-00-10"}}}"#, 422, "2021-00-10"),
            (r#"{"text":"a","filter":{"published":{"to":"yesterday"}}}"#, 422, "yesterday"),
            (r#"{"text":"a","filter":{"published":{"to":""}}}"#, 422, "wanted YYYY"),
            (
                r#"{"text":"a","filter":{"published":{"from":2020}}}"#,
                422,
                "filter.published.from: invalid type",
            ),
            (r#"{"text":"a","filter":{"published":{"since":"2020"}}}"#, 422, "unknown field `since`"),
            (r#"{"text":"a","filter":{"withdrawn":"yes"}}"#, 422, "filter.withdrawn: invalid type"),
            (&many_categories, 422, "filter.categories: got 10001 values, wanted at most 10000"),
        ],
    )
}

fn batches() -> Vec<Case> {
    let many = json!({ "queries": vec![json!({"text": "a"}); 65] }).to_string();
    let deep = json!({ "queries": vec![json!({"text": "a", "k": 1000}); 6] }).to_string();
    let wide =
        json!({ "queries": vec![json!({"text": "a", "k": 1000, "fields": ["embedding"]}); 2] }).to_string();
    let explained =
        json!({ "queries": vec![json!({"text": "a", "k": 1000, "explain": true}); 2] }).to_string();
    let rescored = json!({ "queries": vec![json!({"text": "a", "k": 10, "rescore": true}); 6] }).to_string();
    let many_examples = vec![json!({"text": "bees"}); 110];
    let one_by_one = json!({"like": many_examples, "examples": "best", "k": 10});
    let best = json!({ "queries": vec![one_by_one; 2] }).to_string();
    post(
        "POST /v1/search/batch",
        &[
            ("{}", 422, "missing field `queries`"),
            (r#"{"queries":[]}"#, 422, "queries: got an empty list"),
            (r#"{"queries":{}}"#, 422, "queries: invalid type"),
            (r#"{"queries":["knots"]}"#, 422, "queries[0]"),
            (r#"{"queries":[["knots"]]}"#, 422, "queries[0]: invalid type: sequence, expected an object"),
            (r#"{"queries":[{"text":"a"},{"text":"a","k":"x"}]}"#, 422, "queries[1].k: invalid type"),
            (r#"{"queries":[{"text":"a","kk":1}]}"#, 422, "unknown field `kk`"),
            (r#"{"queries":[{"text":"a"}],"k":3}"#, 422, "unknown field `k`"),
            (&many, 422, "queries: got 65, wanted at most 64 (--max-batch)"),
            (
                &deep,
                422,
                "queries: got k of 6000 in all (with embeddings, or explained, times 4; rescored, 1000 more each; 40 more for each example or cluster of them that is searched for), wanted at most 5000 (--max-hits)",
            ),
            (&wide, 422, "queries: got k of 8000 in all"),
            (&explained, 422, "queries: got k of 8000 in all"),
            (&rescored, 422, "queries: got k of 6060 in all"),
            (&best, 422, "queries: got k of 7940 in all"),
        ],
    )
}

fn embeddings() -> Vec<Case> {
    let many = json!({ "input": vec!["a"; 65] }).to_string();
    let long = json!({ "input": "x".repeat(100_001) }).to_string();
    let many_tei = json!({ "inputs": vec!["a"; 65] }).to_string();
    let too_long_to_read = json!({ "inputs": "word ".repeat(300), "truncate": false }).to_string();
    let mut cases = post(
        "POST /v1/embeddings",
        &[
            ("{}", 422, "missing field `input`"),
            (r#"{"input":null}"#, 422, "input: wanted a text"),
            (r#"{"input":{}}"#, 422, "input: wanted a text"),
            (r#"{"input":true}"#, 422, "input: wanted a text"),
            (r#"{"input":5}"#, 422, "token ids"),
            (r#"{"input":[1,2,3]}"#, 422, "check_embedding_ctx_length=False"),
            (r#"{"input":[[1,2]]}"#, 422, "token ids"),
            (r#"{"input":["a",[1]]}"#, 422, "token ids"),
            (r#"{"input":[]}"#, 422, "input: got an empty list"),
            (r#"{"input":""}"#, 422, "input: got an empty text"),
            (r#"{"input":["a"," "]}"#, 422, "input[1]: got an empty text"),
            (r#"{"input":["a","b","x\ud83d"]}"#, 400, "input[2]: half of a character"),
            (r#"{"input":["a","\udc00","b"]}"#, 400, "input[1]: half of a character"),
            (r#"{"input":["a",[1],"b"]}"#, 422, "input[1]: got token ids"),
            (r#"{"input":["a",null]}"#, 422, "input[1]: wanted a text"),
            (r#"{"input":"a","dimensions":0}"#, 422, "dimensions: got 0, wanted 1 to 384"),
            (r#"{"input":"a","dimensions":385}"#, 422, "dimensions: got 385, wanted 1 to 384"),
            (r#"{"input":"a","dimensions":-5}"#, 422, "dimensions: invalid value"),
            (r#"{"input":"a","dimensions":"5"}"#, 422, "dimensions: invalid type"),
            (r#"{"input":"a","encoding_format":"hex"}"#, 422, "encoding_format: unknown variant `hex`"),
            (r#"{"input":"a","encoding_format":1}"#, 422, "encoding_format"),
            (r#"{"input":"a","model":5}"#, 422, "model: invalid type"),
            (&many, 422, "input: got 65, wanted at most 64 (--max-batch)"),
            (&long, 422, "input: got 100001 bytes"),
        ],
    );
    cases.extend(post(
        "POST /embed",
        &[
            ("{}", 422, "missing field `inputs`"),
            (r#"{"inputs":[]}"#, 422, "inputs: got an empty list"),
            (r#"{"inputs":""}"#, 422, "inputs: got an empty text"),
            (r#"{"inputs":[1,2]}"#, 422, "token ids"),
            (r#"{"inputs":"a","truncate":"yes"}"#, 422, "truncate: invalid type"),
            (
                r#"{"inputs":"a","truncation_direction":"up"}"#,
                422,
                "truncation_direction: unknown variant `up`",
            ),
            (r#"{"inputs":"a","prompt_name":"clusters"}"#, 422, "prompt_name: got \"clusters\""),
            (r#"{"inputs":"a","dimensions":1000}"#, 422, "dimensions: got 1000"),
            (r#"{"inputs":"a","normalize":1}"#, 422, "normalize: invalid type"),
            (&many_tei, 422, "inputs: got 65"),
            (&too_long_to_read, 422, "inputs: it has more than the 256 tokens"),
        ],
    ));
    cases.extend(get(&[
        ("GET /v1/models/other", 404, "only \"all-MiniLM-L6-v2\""),
        ("GET /v1/models/%FF", 400, "path"),
        ("GET /v1/embeddings", 405, "does not take that method"),
        ("GET /embed", 405, "does not take that method"),
        ("PUT /info", 405, "does not take that method"),
    ]));
    cases
}

fn reranks() -> Vec<Case> {
    let cohere = [
        ("{}", 422, "missing field"),
        (r#"{"query":"a"}"#, 422, "missing field `documents`"),
        (r#"{"documents":["a"]}"#, 422, "missing field `query`"),
        (r#"{"query":"a","documents":[]}"#, 422, "documents: got an empty list"),
        (r#"{"query":"","documents":["a"]}"#, 422, "query: got an empty text"),
        (r#"{"query":"a","documents":[""]}"#, 422, "documents: got an empty text"),
        (r#"{"query":"a","documents":[1]}"#, 422, "documents: wanted a text"),
        (r#"{"query":"a","documents":["b",{"text":" "}]}"#, 422, "documents[1]: got an empty text"),
        (r#"{"query":"a","documents":["b",{"txt":"c"}]}"#, 422, "documents[1]: got an object without"),
        (r#"{"query":"a","documents":["b","\ud83d"]}"#, 400, "documents[1]: half of a character"),
        (r#"{"query":"a","documents":[{"title":"a"}]}"#, 422, "an object without \"text\""),
        (r#"{"query":"a","documents":"a"}"#, 422, "documents: invalid type"),
        (r#"{"query":"a","documents":["a"],"top_n":0}"#, 422, "top_n: got 0"),
        (r#"{"query":"a","documents":["a"],"top_n":-1}"#, 422, "top_n: invalid value"),
    ];
    let mut cases = post("POST /v1/rerank", &cohere);
    cases.extend(post("POST /v2/rerank", &cohere));
    cases.extend(post(
        "POST /rerank",
        &[
            ("{}", 422, "missing field"),
            (r#"{"query":"a","texts":[]}"#, 422, "texts: got an empty list"),
            (r#"{"query":" ","texts":["a"]}"#, 422, "query: got an empty text"),
            (r#"{"query":"a","texts":[""]}"#, 422, "texts: got an empty text"),
            (r#"{"query":"a","texts":"a"}"#, 422, "texts: invalid type"),
            (r#"{"query":["a"],"texts":["a"]}"#, 422, "query: invalid type"),
        ],
    ));
    cases
}

fn papers() -> Vec<Case> {
    let mut cases = get(&[
        ("GET /v1/papers/2222.99999", 404, "2222.99999"),
        ("GET /v1/papers/2222.99999/similar", 404, "2222.99999"),
        ("GET /v1/papers/%20", 422, "empty id"),
        ("GET /v1/papers/%00", 422, "empty id"),
        ("GET /v1/papers/%FF", 400, "path"),
        ("GET /v1/papers/..%2f..%2fetc%2fpasswd", 404, "../../etc/passwd"),
        ("GET /v1/papers/../../etc/passwd", 404, "../../etc/passwd"),
        ("GET /v1/papers/9901.00001?format=xml", 422, "format: unknown variant `xml`"),
        ("GET /v1/papers/9901.00001?fields=titel", 422, "unknown variant `titel`"),
        ("GET /v1/papers/9901.00001?k=3", 422, "unknown field `k`"),
        ("GET /v1/papers/9901.00001/similar?k=many", 422, "k: "),
        ("GET /v1/papers/9901.00001/similar?k=0", 422, "k: got 0"),
        ("GET /v1/papers/9901.00001/similar?k=1001", 422, "k: got 1001"),
        ("GET /v1/papers/9901.00001/similar?k=1&k=2", 422, "k"),
        ("GET /v1/papers/9901.00001/similar?k=", 422, "k: "),
        ("GET /v1/papers/9901.00001/similar?offset=-1", 422, "offset: "),
        ("GET /v1/papers/9901.00001/similar?min_score=NaN", 422, "wanted 0 to 1"),
        ("GET /v1/papers/9901.00001/similar?mode=all", 422, "mode: unknown variant `all`"),
        ("GET /v1/papers/9901.00001/similar?min_score=inf", 422, "wanted 0 to 1"),
        ("GET /v1/papers/9901.00001/similar?exact=maybe", 422, "exact: "),
        ("GET /v1/papers/9901.00001/similar?year=2020", 422, "unknown field `year`"),
        ("GET /v1/papers/9901.00001/similar?from=2020-02-31", 422, "2020-02-31"),
        ("GET /v1/papers/9901.00001/similar?author=%21", 422, "author: got \"!\""),
        ("GET /v1/papers?limit=0", 422, "limit: got 0, wanted 1 to 1000"),
        ("GET /v1/papers?limit=1001", 422, "limit: got 1001"),
        ("GET /v1/papers?limit=x", 422, "limit: "),
        ("GET /v1/papers?cursor=x", 422, "cursor: got \"x\""),
        ("GET /v1/papers?cursor=2020-01-01_2020-01-01_-4", 422, "cursor: "),
        ("GET /v1/papers?from=2021-02-30", 422, "from: got the date \"2021-02-30\""),
        ("GET /v1/papers?to=tomorrow", 422, "to: got the date \"tomorrow\""),
        ("GET /v1/papers?author=%3F", 422, "author: got \"?\""),
        ("GET /v1/papers/9901.00001/similar?from=2021-02-30", 422, "from: got"),
        ("GET /v1/papers?withdrawn=1", 422, "withdrawn: "),
        ("GET /v1/papers?page=2", 422, "or of a filter: from, to, category"),
        ("GET /v1/papers?limit=-1", 422, "limit: wanted a whole number, 0 or more"),
        ("GET /v1/papers?limit=1&limit=2", 422, "limit: wanted it once"),
        ("GET /graph/v1/paper/search?query=x", 404, "no such route"),
        ("GET /graph/v1/paper/9901.00001/citations", 404, "no such route"),
        ("GET /v1/papers?format=pdf", 422, "format: unknown variant `pdf`"),
        ("PUT /v1/papers", 405, "does not take that method"),
        ("PATCH /v1/papers/9901.00001", 405, "does not take that method"),
        ("DELETE /v1/papers", 405, "does not take that method"),
        ("DELETE /v1/papers/%FF", 400, "path"),
        ("DELETE /v1/papers/%20", 422, "empty id"),
        ("DELETE /v1/papers/2222.99999", 404, "2222.99999"),
    ]);
    let titles = json!({ "title": ["T"], "abstract": "a" }).to_string();
    cases.extend(post(
        "POST /v1/papers",
        &[
            ("", 422, "got no papers"),
            ("\n\n", 422, "got no papers"),
            ("[]", 422, "got no papers"),
            ("{", 400, "body: EOF"),
            ("{\n\"title\":\n", 400, "body: EOF"),
            ("nonsense", 422, "no JSON"),
            ("{}", 422, "no title"),
            ("5", 422, "got a number, wanted an object"),
            ("null", 422, "got null, wanted an object"),
            ("[1]", 422, "got a number, wanted an object"),
            (r#"{"title":"","abstract":"a"}"#, 422, "no title"),
            (r#"{"abstract":"a"}"#, 422, "no title"),
            (&titles, 422, "title: got a list"),
            (r#"{"id":704.001,"title":"t","abstract":"a"}"#, 422, "wanted text in quotes"),
            (r#"{"deleted":true}"#, 422, "deleted without an id"),
        ],
    ));
    cases.extend(get(&[
        ("POST /v1/papers?title_only=maybe", 422, "title_only: "),
        ("POST /v1/papers?dry_run=true", 422, "unknown field `dry_run`"),
    ]));
    cases
}

fn others() -> Vec<Case> {
    let mut cases = get(&[
        ("GET /recommendations/v1/papers/forpaper/ARXIV:2222.99999", 404, "2222.99999"),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?fields=titel", 400, "fields: [titel]"),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?limit=0", 400, "limit: got 0"),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?limit=501", 400, "limit: got 501"),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?limit=x", 422, "limit: "),
        ("GET /recommendations/v1/papers/forpaper/9901.00001?from=old", 422, "from: unknown variant"),
        ("GET /recommendations/v1/papers/forpaper/%FF", 400, "path"),
        ("GET /graph/v1/paper/ARXIV:2222.99999", 404, "2222.99999"),
        ("GET /graph/v1/paper/9901.00001?fields=title,nothing,never", 400, "[nothing, never]"),
        ("GET /graph/v1/paper/9901.00001?limit=5", 422, "unknown field `limit`"),
        ("GET /graph/v1/author/5", 404, "no such route"),
        ("GET /api/papers/search", 422, "missing field `q`"),
        ("GET /api/papers/search?q=", 422, "q: got an empty text"),
        ("GET /api/papers/search?q=a&limit=0", 400, "limit: got 0"),
        ("GET /api/papers/search?q=a&limit=121", 400, "limit: got 121, wanted 1 to 120"),
        ("GET /api/papers/2222.99999", 404, "2222.99999"),
        ("GET /api/daily_papers?date=2021-02-30", 400, "date: got \"2021-02-30\""),
        ("GET /api/daily_papers?date=2021", 400, "date: got \"2021\", wanted YYYY-MM-DD"),
        ("GET /api/daily_papers?date=2021-01-01T00:00:00Z", 400, "date: "),
        ("GET /api/daily_papers?week=2021-W60", 400, "week: "),
        ("GET /api/daily_papers?week=x", 400, "week: "),
        ("GET /api/daily_papers?month=2021-13", 400, "month: "),
        ("GET /api/daily_papers?p=-1", 422, "p: "),
        ("GET /api/daily_papers?p=1001", 400, "p: got 1001"),
        ("GET /api/daily_papers?limit=0", 400, "limit: got 0"),
        ("GET /api/daily_papers?sort=best", 422, "sort: unknown variant"),
        ("GET /v1/nothing", 404, "no such route: \"/v1/nothing\"; there is POST /v1/search, for example"),
        ("GET /V1/search", 404, "there is POST /v1/search"),
        ("GET /openai/embeddings", 404, "there is POST /v1/embeddings"),
        ("GET //v1/search", 405, "does not take that method"),
        ("GET /v1/search/", 405, "does not take that method"),
        ("GET /v1/search", 405, "does not take that method"),
        ("POST /health", 405, "does not take that method"),
        ("DELETE /metrics", 405, "does not take that method"),
        ("POST /v1/stats", 405, "does not take that method"),
    ]);
    cases.extend(post(
        "POST /recommendations/v1/papers/",
        &[
            ("{}", 422, "missing field `positivePaperIds`"),
            (r#"{"positivePaperIds":[]}"#, 422, "positivePaperIds: got an empty list"),
            (r#"{"positivePaperIds":["nobody"]}"#, 404, "nobody"),
            (r#"{"positivePaperIds":["9901.00001"],"negativePaperIds":["nobody"]}"#, 404, "nobody"),
            (r#"{"positivePaperIds":"x"}"#, 422, "positivePaperIds: invalid type"),
            (r#"{"positive":["x"]}"#, 422, "unknown field `positive`"),
        ],
    ));
    cases.extend(post(
        "POST /graph/v1/paper/batch",
        &[
            ("{}", 422, "missing field `ids`"),
            (r#"{"ids":[]}"#, 422, "ids: got 0, wanted 1 to 500"),
            (r#"{"ids":[1]}"#, 422, "ids[0]: invalid type"),
        ],
    ));
    cases
}

#[tokio::test]
async fn each_gets_its_status_and_a_message_that_helps() {
    let mut cases = [searches(), batches(), embeddings(), reranks(), papers(), others()].concat();
    for path in
        ["POST /v1/search", "POST /v1/search/batch", "POST /v1/embeddings", "POST /embed", "POST /v2/rerank"]
    {
        cases.extend(no_json(path));
    }
    cases.extend(no_json("POST /recommendations/v1/papers/"));
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let app = app();
    let mut wrong = Vec::new();
    for (request, body, status, part) in cases {
        let (method, path) = request.split_once(' ').unwrap();
        let shown: String = body.chars().take(80).collect();
        let (got, answer) = send(&app, method, path, body.into_bytes()).await;
        if got != status || !message(&answer).contains(part) {
            wrong.push(format!("{request} {shown}: {got} {answer}, wanted {status} and {part:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is said, in each API's own place.
fn message(answer: &Value) -> &str {
    let places = [&answer["error"]["message"], &answer["error"], &answer["message"]];
    places.into_iter().find_map(Value::as_str).unwrap_or_default()
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
async fn bodies_that_are_no_text_or_too_long() {
    let app = app();
    for path in ["/v1/search", "/v1/embeddings", "/embed", "/v2/rerank", "/recommendations/v1/papers/"] {
        let (status, answer) = send(&app, "POST", path, vec![b' '; 200_001]).await;
        assert_eq!(status, 413, "{path}: {answer}");
        assert!(message(&answer).contains("longer than 200000 bytes (--max-body-bytes)"), "{path}: {answer}");
        let (status, answer) = send(&app, "POST", path, vec![0xff, 0xfe, b'{']).await;
        assert_eq!(status, 400, "{path}: {answer}");
        let (status, answer) = send(&app, "POST", path, b"{\"text\":\"\xff\"}".to_vec()).await;
        assert!([400, 422].contains(&status), "{path}: {answer}");
    }
    let line = format!("{{\"title\":\"{}\"", "x".repeat(200_001));
    let (status, answer) = send(&app, "POST", "/v1/papers", line.into_bytes()).await;
    assert_eq!((status, message(&answer).contains("of one line")), (413, true), "{answer}");
}

#[tokio::test]
async fn a_packed_body_is_refused_and_a_message_that_is_none_is_told_as_json_rpc_has_it() {
    let app = app();
    for path in ["/v1/search", "/v1/papers", "/embed"] {
        let request = Request::post(path).header("content-encoding", "gzip");
        let response = app.clone().oneshot(request.body(Body::from("\x1f")).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
    if !cfg!(feature = "mcp") {
        let (status, answer) = send(&app, "POST", "/mcp", "{}".into()).await;
        assert_eq!((status, &answer["error"]["code"]), (501, &json!("without_mcp")), "{answer}");
        return;
    }
    for (body, code) in [("not json", -32700), ("[]", -32600), ("{\"id\":1}", -32600)] {
        let (status, answer) = send(&app, "POST", "/mcp", body.into()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{body}: {answer}");
    }
}

#[tokio::test]
async fn who_names_no_k_gets_as_many_as_there_may_be() {
    let app = App::new(ServerOptions { max_k: 7, ..ServerOptions::default() });
    app.set_library(sample());
    let app = router(app);
    for (method, path, body, hits) in [
        ("POST", "/v1/search", r#"{"text":"transits of planets"}"#, "/hits"),
        ("GET", "/v1/papers/9901.00001/similar", "", "/hits"),
        ("GET", "/recommendations/v1/papers/forpaper/9901.00001", "", "/recommendedPapers"),
        ("GET", "/api/papers/search?q=transits", "", ""),
    ] {
        let (status, answer) = send(&app, method, path, body.into()).await;
        let count = answer.pointer(hits).and_then(Value::as_array).map(Vec::len);
        assert_eq!((status, count), (200, Some(7)), "{path}: {answer}");
    }
}

#[tokio::test]
async fn each_api_says_it_in_its_own_words() {
    let app = app();
    let (_, answer) = send(&app, "POST", "/v1/embeddings", b"{\"input\":\"\"}".to_vec()).await;
    let error = &answer["error"];
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (&json!("invalid_request_error"), &json!("invalid_request"), &json!("input"))
    );
    let (_, answer) = send(&app, "POST", "/embed", b"{\"inputs\":\"\"}".to_vec()).await;
    assert_eq!(answer["error_type"], "Validation", "{answer}");
    let (_, answer) = send(&app, "POST", "/v2/rerank", b"{".to_vec()).await;
    assert!(answer["message"].is_string() && answer.get("error").is_none(), "{answer}");
    let (_, answer) = send(&app, "GET", "/graph/v1/paper/nobody", Vec::new()).await;
    assert!(answer["error"].is_string(), "{answer}");
}

#[tokio::test]
async fn what_is_odd_but_right_is_answered() {
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
        let (status, answer) = send(&app, method, path, body.as_bytes().to_vec()).await;
        assert_eq!(status, StatusCode::OK.as_u16(), "{request} {body}: {answer}");
    }
}
