//! Compares tokens and vectors with the reference library, for variants of model folders that exist in practice
//! (`tests/golden/make_folders.py`). Also checks texts with a token for which the model has no vector: the error names
//! such a text, and all other texts are encoded.

use crate::support::{copy_all, cosine, likewise, small};
use axum::Extension;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt;
use likewise::ingest::FolderWriter;
use likewise::ingest::verify::verify;
use likewise::search::{Examples, Library, Mode, Query};
use likewise::server::{App, ServerOptions, router};
use likewise_encoder::model::{InputType, ModelFolder, Precision};
use likewise_encoder::{Encoder, Error};
use likewise_papers::Paper;
use likewise_papers::dump::Entry;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tower::ServiceExt;

#[derive(Deserialize)]
struct GoldenFolders {
    texts: Vec<String>,
    folders: Vec<FolderVariant>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct FolderVariant {
    name: String,
    base: String,
    remove: Vec<String>,
    r#move: BTreeMap<String, String>,
    write: BTreeMap<String, Value>,
    entries: Vec<TokensAndVector>,
}

#[derive(Deserialize)]
struct TokensAndVector {
    ids: Vec<u32>,
    vector: Vec<f32>,
}

/// Writes a variant of a model folder, with the same changes that `make_folders.py` makes.
fn write_variant(folder: &FolderVariant, to: &Path) {
    copy_all(&small(&folder.base), to);
    folder.remove.iter().for_each(|file| fs::remove_file(to.join(file)).unwrap());
    let new = |name: &str| {
        fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        to.join(name)
    };
    folder.r#move.iter().for_each(|(old, name)| fs::rename(to.join(old), new(name)).unwrap());
    folder.write.iter().for_each(|(name, value)| fs::write(new(name), value.to_string()).unwrap());
}

fn open(path: &Path) -> likewise_encoder::Result<ModelFolder> {
    ModelFolder::open(path.to_str().unwrap(), Path::new("no-models-here"), Precision::F32)
}

#[test]
fn golden_tokens_and_vectors_of_folder_variants() {
    let golden: GoldenFolders =
        serde_json::from_str(&fs::read_to_string(small("folders.json")).unwrap()).unwrap();
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    for folder in &golden.folders {
        let copy = tempfile::tempdir().unwrap();
        write_variant(folder, copy.path());
        let encoder = Encoder::load(&open(copy.path()).unwrap()).unwrap();
        let tokens = encoder.tokenize(&texts, &encoder.encode_options(InputType::Document)).unwrap();
        let embeddings = encoder.encode(&texts, InputType::Document).unwrap();
        for (number, expected) in folder.entries.iter().enumerate() {
            let case = format!("{}: {:?}", folder.name, texts[number]);
            assert_eq!(tokens[number].ids, expected.ids, "{case}");
            let distance = 1.0 - cosine(&embeddings[number].vector, &expected.vector);
            assert!(distance < 1e-5, "{case}: 1 - cosine is {distance}");
        }
    }
    assert!(golden.folders.len() > 12, "folders.json must have all variants");
}

#[test]
fn the_subfolder_of_the_network_does_not_change_the_fingerprint() {
    let golden: GoldenFolders =
        serde_json::from_str(&fs::read_to_string(small("folders.json")).unwrap()).unwrap();
    let folder = golden.folders.into_iter().find(|folder| folder.name == "0_Transformer").unwrap();
    let (in_subfolder, at_top) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_variant(&folder, in_subfolder.path());
    copy_all(&small("roberta"), at_top.path());
    fs::write(at_top.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 11}"#).unwrap();
    assert_eq!(open(in_subfolder.path()).unwrap().fingerprint, open(at_top.path()).unwrap().fingerprint);
    fs::remove_file(in_subfolder.path().join("modules.json")).unwrap();
    let message = open(in_subfolder.path()).unwrap_err().to_string();
    assert!(message.contains("contains 0_Transformer, but not modules.json"), "{message}");
}

/// Returns a folder with a small model. The tokenizer of this model has the token `<image>`, but the network has no
/// vector for this token. EmbeddingGemma's tokenizer has such a token.
fn with_an_image_token() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(&small("roberta"), copy.path());
    let path = copy.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let token = json!({"id": 340, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    fs::write(&path, tokenizer.to_string()).unwrap();
    copy
}

#[test]
fn a_text_with_a_token_without_a_vector_is_refused_and_the_others_are_encoded() {
    let folder = with_an_image_token();
    let encoder = Encoder::load(&open(folder.path()).unwrap()).unwrap();
    let texts = ["knots", "an <image> of a knot", "bees", "<image>"];
    let Err(Error::Texts(unreadable)) = encoder.encode(&texts, InputType::Document) else {
        panic!("encoding must fail, because two texts have a token without a vector")
    };
    assert_eq!(unreadable.iter().map(|text| text.index).collect::<Vec<_>>(), [1, 3]);
    assert!(unreadable[0].reason.contains("\"<image>\""), "{}", unreadable[0].reason);
    let read = likewise_encoder::encode_readable(&texts, |texts| encoder.encode(texts, InputType::Document))
        .unwrap();
    assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false]);
    assert_eq!(read[2], Ok(encoder.encode_one("bees", InputType::Document).unwrap()));
}

fn entry(id: &str, title: &str, text: &str) -> Entry {
    let paper = Paper {
        id: likewise_papers::PaperId::parse(id).unwrap(),
        title: title.into(),
        r#abstract: text.into(),
        ..Paper::default()
    };
    Entry::Paper(paper)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_that_cannot_be_encoded_is_ingested_and_found_by_lexical_search() {
    let (model, data) = (with_an_image_token(), tempfile::tempdir().unwrap());
    let encoder = Arc::new(Encoder::load(&open(model.path()).unwrap()).unwrap());
    let mut writer = FolderWriter::open(data.path(), &encoder).unwrap();
    let added = writer
        .add(vec![
            Ok(entry("a/1", "Knots", "We knot.")),
            Ok(entry("a/2", "Zebras", "We draw an <image> of zebras.")),
            Ok(entry("a/3", "Bees", "They count.")),
        ])
        .unwrap();
    assert_eq!((added.added, added.encoded, added.without_vector), (3, 2, 1));
    writer.finish().unwrap();
    let mut writer = FolderWriter::open(data.path(), &encoder).unwrap();
    assert_eq!(writer.catch_up(|_| {}).unwrap(), 0, "the next run must not try to encode this paper again");
    assert_eq!(writer.add(vec![Ok(entry("a/4", "Graphs", "They have cycles."))]).unwrap().encoded, 1);
    writer.finish().unwrap();

    let library = Arc::new(Library::open(data.path(), Arc::clone(&encoder)).unwrap());
    assert_eq!(
        (library.stats().without_vector, library.lacks_vectors()),
        (1, false),
        "a paper that cannot be encoded must not count as waiting to be encoded"
    );
    assert!(verify(data.path(), &encoder).unwrap().is_empty(), "verify must not report damage");
    let query = Query {
        mode: Some(Mode::Lexical),
        rerank_sentences: true,
        explain: true,
        ..Query::of(Examples::text("zebras".into()))
    };
    assert_eq!(library.search(&query).unwrap().hits[0].paper.title, "Zebras");

    let app = App::new(ServerOptions::default());
    app.set_library(library);
    let app = router(app).layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4)))));
    let post = async |path: &str, body: Value| {
        let request = Request::post(path).body(Body::from(body.to_string())).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    };
    let cases = [
        (
            "/embed",
            json!({"inputs": ["knots", "an <image>"]}),
            "inputs[1]: the model has no vector for the token",
        ),
        ("/embed", json!({"inputs": "an <image>"}), "inputs: the model has no vector for the token"),
        ("/v1/embeddings", json!({"input": ["a", "b", "<image>"]}), "input[2]: the model has no vector for"),
        (
            "/rerank",
            json!({"query": "a", "texts": ["b", "<image>"]}),
            "texts[1]: the model has no vector for",
        ),
        ("/rerank", json!({"query": "<image>", "texts": ["b"]}), "query: the model has no vector for"),
        (
            "/v2/rerank",
            json!({"query": "a", "documents": ["b", {"text": "<image>"}]}),
            "documents[1]: the model",
        ),
        (
            "/v1/search",
            json!({"like": ["a/1", {"text": "an <image> of bees"}]}),
            "text \\\"an <image> of bees\\\": the",
        ),
        (
            "/v1/search/batch",
            json!({"queries": [{"text": "knots"}, {"text": "<image>"}]}),
            "queries[1].text \\\"<image>\\\": the",
        ),
        ("/v1/search", json!({"like": ["a/2"]}), "like: paper \\\"a/2\\\" has no vector: the model has"),
    ];
    for (path, body, part) in cases {
        let (status, answer) = post(path, body.clone()).await;
        assert!(status == 422 && answer.contains(part), "{path} {body}: {status} {answer}");
    }
    let page = Request::get("/papers/a/2").body(Body::empty()).unwrap();
    assert_eq!(
        app.clone().oneshot(page).await.unwrap().status(),
        200,
        "its page is shown without similar papers"
    );
    let (_, answer) =
        post("/v1/papers", json!({"id": "a/1", "title": "Knots", "abstract": "We knot."})).await;
    assert!(answer.contains("\"not_read\":[]") && answer.contains("\"unchanged\":1"), "{answer}");
    let papers = json!([{"id": "a/5", "title": "Owls", "abstract": "An <image> of owls."}, {"id": "a/6", "title": "Larks", "abstract": "They sing."}]);
    let (status, answer) = post("/v1/papers", papers).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, &answer["added"], &answer["without_vector"]),
        (200, &json!(2), &json!(1)),
        "{answer}"
    );
    assert!(answer["not_read"][0].as_str().unwrap().contains("a/5"), "{answer}");
}

#[test]
fn ingest_and_embed_report_papers_that_cannot_be_encoded_with_status_2() {
    let (model, folder) = (with_an_image_token(), tempfile::tempdir().unwrap());
    let dump = folder.path().join("dump.jsonl");
    fs::write(
        &dump,
        "{\"id\":\"a/1\",\"title\":\"Knots\",\"abstract\":\"We knot.\"}\n{\"id\":\"a/2\",\"title\":\"Zebras\",\"abstract\":\"An <image>.\"}\n",
    )
    .unwrap();
    let (dump, data, out) =
        (dump.to_str().unwrap(), folder.path().join("data"), folder.path().join("v.jsonl"));
    let with_model = ["--model", model.path().to_str().unwrap(), "--precision", "f32"];
    for (command, counts, warning) in [
        (["ingest", dump, "--data", data.to_str().unwrap()], "without vector 1", "paper a/2 has no vector"),
        (
            ["embed", dump, "--out", out.to_str().unwrap()],
            "refused 1",
            "refused: paper a/2: the model has no vector",
        ),
    ] {
        let output = likewise(&command).args(with_model).output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{command:?}: {stdout}{stderr}");
        assert!(stdout.contains(counts) && stderr.contains(warning), "{command:?}: {stdout}{stderr}");
    }
}

#[test]
fn a_tokenizer_without_an_unknown_token_is_refused() {
    let cases = [
        // A WordPiece tokenizer whose unknown token is not in its vocabulary.
        ("distilbert", "unk_token", json!("[NONE]")),
        // A BPE tokenizer whose unknown token is not in its vocabulary.
        ("roberta", "unk_token", json!("[NONE]")),
        ("xlm_roberta", "unk_id", json!(null)),
    ];
    for (base, field, value) in cases {
        let copy = tempfile::tempdir().unwrap();
        copy_all(&small(base), copy.path());
        let path = copy.path().join("tokenizer.json");
        let mut tokenizer: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(tokenizer["model"].get(field).is_some(), "{base} has {field}");
        tokenizer["model"][field] = value;
        fs::write(&path, tokenizer.to_string()).unwrap();
        let refused = Encoder::load(&open(copy.path()).unwrap()).err().map(|error| error.to_string());
        let message = refused.unwrap_or_else(|| panic!("{base} was loaded"));
        assert!(
            message.contains("tokenizer.json") && message.contains("has no token for unknown characters"),
            "{message}"
        );
    }
}
