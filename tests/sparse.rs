//! Checks that sparse encoders (SPLADE) give the same vectors as the reference library. The models are small checkpoints
//! with random weights, made by `tests/golden/make_sparse.py`.

use likewise_encoder::model::{InputType, ModelFolder, Precision};
use likewise_encoder::{Devices, Engine, SparseEncoder, SparseVector};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const NAMES: [&str; 4] = ["sparse_bert", "sparse_distilbert", "sparse_roberta", "sparse_modernbert"];

/// Number of special tokens at the beginning of the vocabularies, at most. Their values are left out.
const SPECIAL: u32 = 5;

#[derive(Deserialize)]
struct Golden {
    vectors: Vec<HashMap<u32, f32>>,
}

fn small(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small").join(name)
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(small(name)).unwrap()).unwrap()
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
    for (precision, limit) in [(Precision::Bf16, 0.1), (Precision::Int8, 0.4)] {
        let encoded =
            load("sparse_bert", Engine::Kernels, precision).encode(&texts, InputType::Document).unwrap();
        let errors = encoded.iter().zip(&vectors).map(|(vector, expected)| max_error(vector, expected));
        let error = errors.fold(0.0, f32::max);
        println!("{precision}: error <= {error:.1e}");
        assert!(error <= limit, "{precision}: the error is {error}");
    }
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
