//! Checks that vectors equal the vectors of the reference library. The reference vectors are in files made by
//! `tests/golden/make.py` and `make_small.py`.

use crate::support::{cosine, encoder, model_folder, small_bert};
use likewise_encoder::model::{InputType, ModelFolder, Pooling, Precision};
use likewise_encoder::{Devices, Encoder, Engine};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct GoldenVectors {
    entries: Vec<GoldenEntry>,
}

#[derive(Deserialize)]
struct GoldenEntry {
    text: String,
    tokens: usize,
    truncated: bool,
    vector: Vec<f32>,
}

fn golden() -> Vec<GoldenEntry> {
    let golden: GoldenVectors = serde_json::from_str(include_str!("golden/all-MiniLM-L6-v2.json")).unwrap();
    assert_eq!(golden.entries.len(), 30);
    golden.entries
}

fn assert_equals_golden(encoder: &Encoder, entry: &GoldenEntry) {
    let embedding = encoder.encode_one(&entry.text, InputType::Document).unwrap();
    let shown: String = entry.text.chars().take(40).collect();
    assert_eq!((embedding.tokens, embedding.truncated), (entry.tokens, entry.truncated), "{shown:?}");
    let cosine = cosine(&embedding.vector, &entry.vector);
    assert!(cosine >= 0.99999, "{shown:?}: cosine {cosine}");
    let length: f32 = embedding.vector.iter().map(|value| value * value).sum();
    assert!((length - 1.0).abs() < 1e-5, "{shown:?}: squared length {length}");
}

#[test]
fn every_vector_equals_the_reference() {
    golden().iter().for_each(|entry| assert_equals_golden(&encoder(), entry));
}

#[test]
fn a_small_bert_with_other_settings_equals_the_reference() {
    let folder =
        ModelFolder::open(small_bert().to_str().unwrap(), Path::new("no-models-here"), Precision::F32)
            .unwrap();
    assert_eq!(
        (folder.config.pooling, folder.config.max_length, folder.fingerprint.dimension),
        (Pooling::Cls, 24, 36)
    );
    let encoder = Encoder::load(&folder).unwrap();
    let golden: GoldenVectors = serde_json::from_str(include_str!("golden/small-bert.json")).unwrap();
    golden.entries.iter().for_each(|entry| assert_equals_golden(&encoder, entry));
    let texts: Vec<&str> = golden.entries.iter().map(|entry| entry.text.as_str()).collect();
    for (entry, together) in golden.entries.iter().zip(encoder.encode(&texts, InputType::Document).unwrap()) {
        // Each value is compared, because the results of the tanh GELU and the exact GELU differ by less than 1e-3.
        let is_close = entry.vector.iter().zip(&together.vector).all(|(a, b)| (a - b).abs() <= 1e-5);
        assert!(is_close, "{:?}: expected {:?}, got {:?}", entry.text, entry.vector, together.vector);
    }
}

#[test]
fn every_engine_and_precision_is_near_the_reference() {
    let cases = [
        (Engine::Candle, Precision::F32, 0.99999),
        (Engine::Kernels, Precision::Bf16, 0.9999),
        (Engine::Kernels, Precision::Int8, 0.995),
    ];
    for (engine, precision, min_cosine) in cases {
        let folder =
            ModelFolder::open(model_folder().to_str().unwrap(), Path::new("models"), precision).unwrap();
        let encoder = Encoder::load_with(&folder, &Devices::Cpu, engine, 2).unwrap();
        let golden = golden();
        let texts: Vec<&str> = golden.iter().map(|entry| entry.text.as_str()).collect();
        for (embedding, entry) in encoder.encode(&texts, InputType::Document).unwrap().iter().zip(&golden) {
            let cosine = cosine(&embedding.vector, &entry.vector);
            assert!(cosine >= min_cosine, "{engine:?} {precision}: {:?}: cosine {cosine}", entry.text);
        }
    }
}

#[test]
fn every_precision_has_its_own_fingerprint() {
    let open =
        |precision| ModelFolder::open(model_folder().to_str().unwrap(), Path::new("models"), precision);
    let fingerprint = |precision| open(precision).unwrap().fingerprint.sha256;
    assert_ne!(fingerprint(Precision::F32), fingerprint(Precision::Bf16));
    assert_ne!(fingerprint(Precision::Bf16), fingerprint(Precision::Int8));
    for precision in Precision::ALL {
        let same = open(Precision::Bf16).unwrap().in_precision(precision).fingerprint;
        assert_eq!(same, open(precision).unwrap().fingerprint);
    }
}

#[test]
fn a_batch_equals_single_texts() {
    let entries = golden();
    let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    let together = encoder().encode(&texts, InputType::Document).unwrap();
    for (text, together) in texts.iter().zip(together) {
        let alone = encoder().encode_one(text, InputType::Document).unwrap();
        assert_eq!((alone.tokens, alone.truncated), (together.tokens, together.truncated));
        for (a, b) in alone.vector.iter().zip(&together.vector) {
            assert!((a - b).abs() <= 1e-5, "{a} and {b}");
        }
    }
}

#[test]
fn only_the_beginning_of_a_long_text_is_read() {
    let long_text = "The aquifer refreezes in winter. ".repeat(20_000);
    let beginning = encoder().encode_one(&long_text[..10_000], InputType::Document).unwrap();
    assert_eq!(encoder().encode_one(&long_text, InputType::Document).unwrap(), beginning);
    let padded = format!("aquifer{}winter", " ".repeat(300_000));
    let read = encoder().encode_one(&padded, InputType::Document).unwrap();
    assert_eq!(
        (read.tokens, read.truncated),
        (encoder().encode_one("aquifer", InputType::Document).unwrap().tokens, true)
    );
}

#[test]
fn no_texts_give_no_vectors() {
    assert!(encoder().encode(&[], InputType::Document).unwrap().is_empty());
}

/// The model is not in the repository: `make test` fetches it.
#[test]
fn the_static_model_of_a_python_package_equals_the_golden_vectors_of_the_package() {
    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vec<f32>>,
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let folder = ModelFolder::open("wordllama-256", &models, Precision::F32).unwrap();
    let encoder = Encoder::load(&folder).unwrap();
    let texts: Vec<String> = serde_json::from_str(include_str!("golden/small/texts.json")).unwrap();
    let golden: Vectors = serde_json::from_str(include_str!("golden/wordllama-256.json")).unwrap();
    for ((text, expected), embedding) in
        texts.iter().zip(&golden.vectors).zip(encoder.encode_documents(&texts).unwrap())
    {
        let cosine = cosine(&embedding.vector, expected);
        assert!(cosine >= 0.99999, "{text:?}: cosine {cosine}");
    }
}
