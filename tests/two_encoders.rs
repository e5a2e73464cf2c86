//! Checks a model with one encoder for papers and another for queries, like MedCPT. It is a small checkpoint with random
//! weights, made by `tests/golden/make_two_encoders.py`.

use crate::support::{copy_all, cosine, read, small};
use likewise_encoder::model::{Document, InputType, ModelFolder, Precision};
use likewise_encoder::{Devices, Encoder, Engine};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Golden {
    document: Vec<Vec<f32>>,
    query: Vec<Vec<f32>>,
}

fn open(folder: &Path) -> likewise_encoder::Result<ModelFolder> {
    ModelFolder::open(folder.to_str().unwrap(), Path::new("no-models-here"), Precision::F32)
}

/// A copy of the model with a change of its model.toml.
fn changed(from: &str, to: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_all(&small("two_encoders"), folder.path());
    let path = folder.path().join("model.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    std::fs::write(path, text.replace(from, to)).unwrap();
    folder
}

#[test]
fn golden_vectors_of_two_encoders() {
    let texts: Vec<String> = read("texts.json");
    let golden: Golden = read("two_encoders.json");
    for engine in [Engine::Candle, Engine::Kernels] {
        let folder = open(&small("two_encoders")).unwrap();
        let encoder = Encoder::load_with(&folder, &Devices::Cpu, engine, 2).unwrap();
        let paper = |n: usize| Document { title: &texts[n], body: &texts[(n + 7) % 20] };
        let documents = encoder.encode_titled((0..20).map(paper)).unwrap();
        let queries = encoder.encode_queries(&texts).unwrap();
        assert!(queries.iter().all(|query| query.tokens <= 64) && queries[19].truncated);
        for (kind, encoded, expected) in
            [("document", &documents, &golden.document), ("query", &queries, &golden.query)]
        {
            for (n, (encoded, expected)) in encoded.iter().zip(expected).enumerate() {
                // Of a title that is longer than the maximum length, the library keeps less, to read some of the abstract.
                if kind == "document" && n == 19 {
                    continue;
                }
                let error = 1.0 - cosine(&encoded.vector, expected);
                assert!(error < 1e-5, "{engine:?} {kind} {n}: 1 - cosine is {error:.1e}");
            }
        }
    }
}

#[test]
fn documents_and_queries_in_one_batch_get_the_vectors_of_their_own_encoder() {
    let encoder = Encoder::load(&open(&small("two_encoders")).unwrap()).unwrap();
    let tokenized = |input_type| {
        encoder.tokenize(&["Glaciers melt"], &encoder.encode_options(input_type)).unwrap().remove(0)
    };
    let kinds = [InputType::Query, InputType::Document, InputType::Query];
    let together = encoder.embed(kinds.map(tokenized).to_vec()).unwrap();
    for (embedding, kind) in together.iter().zip(kinds) {
        let alone = encoder.encode_one("Glaciers melt", kind).unwrap();
        assert!(cosine(&embedding.vector, &alone.vector) > 0.99999, "{kind:?}");
    }
    assert!(cosine(&together[0].vector, &together[1].vector) < 0.99);
}

#[test]
fn the_fingerprint_covers_both_encoders() {
    let original = open(&small("two_encoders")).unwrap().fingerprint.sha256;
    let folder = changed("max_length = 64", "max_length = 32");
    let shorter = open(folder.path()).unwrap().fingerprint.sha256;
    assert_ne!(original, shorter);
    let config = folder.path().join("query/config.json");
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + " ").unwrap();
    assert_ne!(shorter, open(folder.path()).unwrap().fingerprint.sha256);
    let bf16 = open(&small("two_encoders")).unwrap().in_precision(Precision::Bf16);
    assert_eq!(bf16.query.unwrap().precision, Precision::Bf16);
}

#[test]
fn wrong_settings_of_two_encoders_are_refused() {
    let error = |from, to| open(changed(from, to).path()).unwrap_err().to_string();
    let missing = error("folder = \"query\"", "folder = \"queries\"");
    assert!(missing.contains("queries/config.json"), "{missing}");
    assert!(error("folder = \"query\"", "folder = \"../query\"").contains("inside the model folder"));
    assert!(error("join = \"[SEP]\"\n", "").contains("pair = true needs the separator"));
    assert!(error("max_length = 64", "max_length = 9999").contains("max_length 9999"));
    let unknown = changed("join = \"[SEP]\"", "join = \"[NONE]\"");
    let error = Encoder::load(&open(unknown.path()).unwrap()).err().unwrap().to_string();
    assert!(error.contains("has no token \"[NONE]\""), "{error}");
}
