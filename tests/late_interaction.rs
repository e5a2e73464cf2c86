//! Checks that models with late interaction (ColBERT) give the same scores as the reference library. The models are small
//! checkpoints with random weights, made by `tests/golden/make_late_interaction.py`.

use crate::support::{Server, copy_all, data as test_data, likewise, max_score_error, small, small_bert};
use likewise_encoder::model::{ModelFolder, Precision};
use likewise_encoder::{Devices, Engine, Reranker};
use std::path::Path;

/// Folders of the library: with queries that are filled up to a fixed length or to a minimum length, and without
/// expansion, whose score is a mean; then folders of PyLate and of Stanford's ColBERT.
const NAMES: [&str; 5] = ["late_bert", "late_bert_min", "late_modernbert", "late_pylate", "late_stanford"];

fn load(folder: &Path, engine: Engine, precision: Precision) -> likewise_encoder::Result<Reranker> {
    let folder =
        ModelFolder::open_reranker(folder.to_str().unwrap(), Path::new("no-models-here"), precision)?;
    Reranker::load_with(&folder, &Devices::Cpu, engine, 2)
}

fn max_error(name: &str, engine: Engine, precision: Precision) -> f32 {
    let reranker = load(&small(name), engine, precision).unwrap();
    max_score_error(name, &reranker, 1e-4, |pair| pair.truncated)
}

#[test]
fn golden_scores_of_every_model_with_late_interaction() {
    for name in NAMES {
        for engine in [Engine::Candle, Engine::Kernels] {
            let error = max_error(name, engine, Precision::F32);
            println!("{name} {engine:?}: error <= {error:.1e}");
            assert!(error <= 1e-4, "{name} {engine:?}: the error is {error}");
        }
    }
}

/// The score is a sum over up to 48 tokens of a query, so the limit is a thousandth or a hundredth per token.
#[test]
fn late_interaction_in_lower_precisions_stays_close() {
    for (precision, limit) in [(Precision::Bf16, 0.1), (Precision::Int8, 0.5)] {
        let error = max_error("late_bert", Engine::Kernels, precision);
        println!("{precision}: error <= {error:.1e}");
        assert!(error <= limit, "in {precision}: the error is {error}");
    }
}

#[test]
fn a_model_with_late_interaction_is_refused_as_an_embedding_model() {
    for name in NAMES {
        let opened =
            ModelFolder::open(small(name).to_str().unwrap(), Path::new("no-models-here"), Precision::F32);
        let error = opened.unwrap_err().to_string();
        assert!(error.contains("late interaction") && error.contains("--reranker"), "{name}: {error}");
    }
}

/// Copies a model, changes one of its files, and returns the error of loading the copy.
fn error_with(name: &str, file: &str, change: impl Fn(&str) -> String) -> String {
    let folder = tempfile::tempdir().unwrap();
    copy_all(&small(name), folder.path());
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "the file is changed");
    std::fs::write(path, changed).unwrap();
    load(folder.path(), Engine::Kernels, Precision::F32).err().unwrap().to_string()
}

#[test]
fn unsupported_settings_of_late_interaction_are_refused_by_name() {
    let error = error_with("late_stanford", "artifact.metadata", |text| text.replace("32", "9000"));
    assert!(error.contains("expanded queries must be between 1 and 256 (got 9000)"), "{error}");
    let error = error_with("late_stanford", "artifact.metadata", |text| text.replace("16", "17"));
    assert!(error.contains("linear.weight"), "{error}");
    let error =
        error_with("late_bert", "sentence_bert_config.json", |text| text.replace("\"fixed\"", "\"longest\""));
    assert!(error.contains("must be fixed or min (got \"longest\")"), "{error}");
    let error = error_with("late_bert", "modules.json", |text| text.replace("Normalize", "Pooling"));
    assert!(error.contains("the module Pooling is not supported"), "{error}");
    let error = error_with("late_pylate", "modules.json", |text| text.replace("Dense.Dense", "XTRScoring"));
    assert!(error.contains("the module XTRScoring is not supported"), "{error}");
    let error =
        error_with("late_modernbert", "modules.json", |text| text.replace("Normalize", "MultiVectorMask"));
    assert!(error.contains("modules.json: the module MultiVectorMask is not supported"), "{error}");
}

#[test]
fn a_document_has_the_same_score_in_every_place_and_an_empty_text_has_one() {
    let reranker = load(&small("late_bert"), Engine::Kernels, Precision::F32).unwrap();
    assert!(reranker.score("melt", &[]).unwrap().is_empty());
    let same = reranker.score("ice", &["Glaciers melt", "", "Glaciers melt"]).unwrap();
    assert_eq!(same[0].score, same[2].score);
    assert!(reranker.score("", &["Glaciers melt"]).unwrap()[0].score.is_finite());
}

#[test]
fn a_server_and_a_search_rerank_with_late_interaction() {
    let data = tempfile::tempdir().unwrap();
    let (folder, model, late) = (data.path().to_str().unwrap(), small_bert(), small("late_bert"));
    let (model, late, dump) = (model.to_str().unwrap(), late.to_str().unwrap(), test_data("sample.jsonl"));
    let ingested =
        likewise(&["ingest", dump.to_str().unwrap(), "--data", folder, "--model", model]).output().unwrap();
    assert!(ingested.status.success());
    let options = ["--reranker", late, "--reranker-precision", "f32"];
    let server = Server::start_with(data.path(), &options, &[("LIKEWISE_MODEL", model)]);
    server.wait_until_ready();
    let get = |path: &str| -> serde_json::Value {
        ureq::get(format!("{}{path}", server.address)).call().unwrap().body_mut().read_json().unwrap()
    };
    let post = |path: &str, body: serde_json::Value| -> serde_json::Value {
        let url = format!("{}{path}", server.address);
        ureq::post(url).send_json(body).unwrap().body_mut().read_json().unwrap()
    };
    assert_eq!(get("/info")["reranker"]["kind"], "late-interaction");
    let texts = ["Glaciers melt", "We prove that every planar graph has few short cycles.", "ice"];
    let body = serde_json::json!({"query": "melting ice", "texts": texts, "raw_scores": true});
    let ranks = post("/rerank", body);
    let expected =
        load(Path::new(late), Engine::Kernels, Precision::F32).unwrap().score("melting ice", &texts).unwrap();
    for rank in ranks.as_array().unwrap() {
        let score = rank["score"].as_f64().unwrap() as f32;
        assert!((score - expected[rank["index"].as_u64().unwrap() as usize].score).abs() < 1e-3, "{rank}");
    }
    let found = post("/v1/search", serde_json::json!({"text": "melting ice", "k": 5, "rerank": true}));
    let scores: Vec<f64> =
        found["hits"].as_array().unwrap().iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 5 && scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
}
