//! Checks that sparse encoders (SPLADE) give the same vectors as the reference library. The models are small checkpoints
//! with random weights, made by `tests/golden/make_sparse.py`.

use crate::support::{Server, data as test_data, likewise, papers_of, read, small, small_bert};
use likewise_encoder::model::{Document, InputType, ModelFolder, Precision};
use likewise_encoder::{Devices, Engine, SparseEncoder, SparseVector};
use likewise_papers::dump;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

const NAMES: [&str; 4] = ["sparse_bert", "sparse_distilbert", "sparse_roberta", "sparse_modernbert"];

/// Number of special tokens at the beginning of the vocabularies, at most. Their values are left out.
const SPECIAL: u32 = 5;

#[derive(Deserialize)]
struct Golden {
    vectors: Vec<HashMap<u32, f32>>,
}

fn load(name: &str, engine: Engine, precision: Precision) -> SparseEncoder {
    let folder =
        ModelFolder::open_sparse(small(name).to_str().unwrap(), Path::new("no-models-here"), precision);
    SparseEncoder::load_with(&folder.unwrap(), &Devices::Cpu, engine, 2).unwrap()
}

/// Returns the largest difference between a value and its reference value, relative to values above 1. (The sum over all
/// tokens of a long text has values of some thousands.)
fn max_error(vector: &SparseVector, expected: &HashMap<u32, f32>) -> f32 {
    let values: HashMap<u32, f32> =
        vector.indices.iter().copied().zip(vector.values.iter().copied()).collect();
    assert!(vector.indices.is_sorted() && values.keys().all(|index| *index + 1 >= SPECIAL));
    let all = values.keys().chain(expected.keys()).filter(|index| **index >= SPECIAL);
    let value = |values: &HashMap<u32, f32>, index: &u32| values.get(index).copied().unwrap_or_default();
    let error =
        |index| (value(&values, index) - value(expected, index)).abs() / value(expected, index).max(1.0);
    all.map(error).fold(0.0, f32::max)
}

#[test]
fn golden_sparse_vectors_of_every_architecture() {
    let texts: Vec<String> = read("texts.json");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for name in NAMES {
        let Golden { vectors } = read(&format!("{name}.json"));
        for engine in [Engine::Candle, Engine::Kernels] {
            let encoder = load(name, engine, Precision::F32);
            let encoded = encoder.encode(&texts, InputType::Document).unwrap();
            let errors = encoded.iter().zip(&vectors).map(|(vector, expected)| max_error(vector, expected));
            let error = errors.fold(0.0, f32::max);
            println!("{name} {engine:?}: error <= {error:.1e}");
            assert!(error <= 1e-4, "{name} {engine:?}: the error is {error}");
        }
    }
}

#[test]
fn sparse_vectors_in_lower_precisions_stay_close() {
    let texts: Vec<String> = read("texts.json");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let Golden { vectors } = read("sparse_bert.json");
    for (precision, limit) in [(Precision::Bf16, 0.1), (Precision::Int8, 0.6)] {
        let encoded =
            load("sparse_bert", Engine::Kernels, precision).encode(&texts, InputType::Document).unwrap();
        let errors = encoded.iter().zip(&vectors).map(|(vector, expected)| max_error(vector, expected));
        let error = errors.fold(0.0, f32::max);
        println!("{precision}: error <= {error:.1e}");
        assert!(error <= limit, "{precision}: the error is {error}");
    }
}

#[test]
fn a_server_with_a_sparse_model_answers_embed_sparse() {
    let data = tempfile::tempdir().unwrap();
    let (folder, model, sparse) = (data.path().to_str().unwrap(), small_bert(), small("sparse_bert"));
    let (model, sparse) = (model.to_str().unwrap(), sparse.to_str().unwrap());
    let ingested = likewise(&[
        "ingest",
        test_data("sample.jsonl").to_str().unwrap(),
        "--data",
        folder,
        "--model",
        model,
    ]);
    assert!({ ingested }.output().unwrap().status.success());
    let environment = [("LIKEWISE_MODEL", model)];
    let server = Server::start_with(data.path(), &["--sparse-model", sparse], &environment);
    server.wait_until_ready();
    let post = |address: &str, body: serde_json::Value| -> serde_json::Value {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent.post(format!("{address}/embed_sparse")).send_json(body).unwrap().body_mut().read_json().unwrap()
    };
    let answer = post(&server.address, serde_json::json!({"inputs": ["Glaciers melt", "a"]}));
    let folder = ModelFolder::open_sparse(sparse, Path::new("no-models-here"), Precision::F32).unwrap();
    let encoder = SparseEncoder::load_on(&folder, &Devices::Cpu).unwrap();
    let expected = encoder.encode(&["Glaciers melt", "a"], InputType::Document).unwrap();
    for (values, expected) in answer.as_array().unwrap().iter().zip(expected) {
        let indices: Vec<u64> =
            values.as_array().unwrap().iter().map(|value| value["index"].as_u64().unwrap()).collect();
        // The server computes in a lower precision, so values near 0 can be on the other side of it.
        let common = expected.indices.iter().filter(|index| indices.contains(&u64::from(**index))).count();
        assert!(common * 10 >= expected.indices.len() * 8, "{indices:?}, expected {:?}", expected.indices);
        assert!(values[0]["value"].as_f64().unwrap() > 0.0);
    }
    let wrong = post(&server.address, serde_json::json!({"inputs": ["fine", " "]}));
    assert!(wrong["error"].as_str().unwrap().contains("inputs[1]"), "{wrong}");
    let without = Server::start_with(data.path(), &[], &environment);
    without.wait_until_ready();
    let refused = post(&without.address, serde_json::json!({"inputs": "a"}));
    assert!(refused["error"].as_str().unwrap().contains("start it with --sparse-model"), "{refused}");
}

#[test]
fn sparse_encoders_are_refused_where_other_models_are_needed() {
    let (path, models) = (small("sparse_bert"), Path::new("no-models-here"));
    let path = path.to_str().unwrap();
    let error = ModelFolder::open(path, models, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("a sparse encoder, whose vectors cannot be indexed"), "{error}");
    let error = ModelFolder::open_reranker(path, models, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("not a cross-encoder"), "{error}");
    let other = small("roberta");
    let error =
        ModelFolder::open_sparse(other.to_str().unwrap(), models, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("not a sparse encoder"), "{error}");
}

/// The sparse vectors in a file of `likewise embed --sparse`, by the id of the paper.
fn parquet_vectors(path: &Path) -> HashMap<String, SparseVector> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, UInt32Type};
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut vectors = HashMap::new();
    for batch in reader {
        let batch = batch.unwrap();
        let ids = batch["id"].as_string::<i32>();
        let sparse = batch["sparse_embedding"].as_struct();
        let (indices, values) = (sparse["indices"].as_list::<i32>(), sparse["values"].as_list::<i32>());
        for row in 0..batch.num_rows() {
            let indices = indices.value(row).as_primitive::<UInt32Type>().values().to_vec();
            let values = values.value(row).as_primitive::<Float32Type>().values().to_vec();
            vectors.insert(ids.value(row).to_string(), SparseVector { indices, values });
        }
    }
    vectors
}

#[test]
fn embed_sparse_writes_the_vectors_of_the_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let (parquet, jsonl) = (folder.path().join("v.parquet"), folder.path().join("v.jsonl"));
    let (sample, sparse) = (test_data("sample.jsonl"), small("sparse_bert"));
    let run = |out: &Path, model: &Path| {
        let paths = [sample.as_path(), out, model].map(|path| path.to_str().unwrap());
        let [dump, out, model] = paths;
        likewise(&["embed", dump, "--out", out, "--sparse", "--model", model, "--precision", "f32"])
            .output()
            .unwrap()
    };
    for out in [&parquet, &jsonl] {
        assert!(run(out, &sparse).status.success());
    }
    let vectors = parquet_vectors(&parquet);
    let encoder = load("sparse_bert", Engine::Kernels, Precision::F32);
    let papers = papers_of(dump::read(&sample, None).unwrap());
    let lines = std::fs::read_to_string(&jsonl).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty() && lines.len() == vectors.len());
    for (paper, line) in papers.iter().filter(|paper| !paper.r#abstract.is_empty()).zip(&lines) {
        let text = encoder.model().text_of(Document { title: &paper.title, body: &paper.r#abstract });
        let expected = &encoder.encode(&[&text], InputType::Document).unwrap()[0];
        let written = &vectors[paper.id.as_str()];
        assert_eq!(written.indices, expected.indices, "{}", paper.id);
        let difference = written.values.iter().zip(&expected.values).map(|(one, other)| (one - other).abs());
        assert!(difference.fold(0.0, f32::max) < 1e-4, "{}", paper.id);
        assert_eq!(line["id"], paper.id.as_str());
        assert_eq!(line["sparse_embedding"]["indices"], serde_json::json!(written.indices));
    }
    // The file has no vectors that can be indexed, so its papers are encoded.
    let data = folder.path().join("data");
    let (parquet, data, model) = (parquet.to_str().unwrap(), data.to_str().unwrap(), small_bert());
    let ingest =
        likewise(&["ingest", parquet, "--data", data, "--model", model.to_str().unwrap()]).output().unwrap();
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
}

#[test]
fn embed_sparse_refuses_other_models_and_numpy_arrays() {
    let folder = tempfile::tempdir().unwrap();
    let (dump, roberta, sparse) = (test_data("sample.jsonl"), small("roberta"), small("sparse_bert"));
    let error = |out: &str, options: &[&str]| {
        let out = folder.path().join(out);
        let given = ["embed", dump.to_str().unwrap(), "--out", out.to_str().unwrap(), "--sparse"];
        let output = likewise(&[&given, options].concat()).env_remove("LIKEWISE_MODEL").output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (roberta, sparse) = (roberta.to_str().unwrap(), sparse.to_str().unwrap());
    assert!(error("v.parquet", &["--model", roberta]).contains("not a sparse encoder"));
    assert!(error("v.parquet", &[]).contains("name one with --model"));
    assert!(error("v.npy", &["--model", sparse]).contains("--out must end in .parquet or .jsonl"));
    assert!(error("v.parquet", &["--model", sparse, "--dimensions", "8"]).contains("do not apply"));
}
