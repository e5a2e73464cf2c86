//! Vectors equal the reference library's; `tests/golden/make.py` and `make_small.py` made the files.

use crate::support::{cosine, encoder, model_folder, small_bert};
use likewise_encoder::model::{ModelFolder, Pooling, Precision, Side};
use likewise_encoder::{Devices, Encoder, Engine};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Golden {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    text: String,
    tokens: usize,
    truncated: bool,
    vector: Vec<f32>,
}

fn golden() -> Vec<Entry> {
    let golden: Golden = serde_json::from_str(include_str!("golden/all-MiniLM-L6-v2.json")).unwrap();
    assert_eq!(golden.entries.len(), 30);
    golden.entries
}

fn assert_equals_golden(encoder: &Encoder, entry: &Entry) {
    let got = encoder.encode_one(&entry.text, Side::Paper).unwrap();
    let shown: String = entry.text.chars().take(40).collect();
    assert_eq!((got.tokens, got.truncated), (entry.tokens, entry.truncated), "{shown:?}");
    let cosine = cosine(&got.vector, &entry.vector);
    assert!(cosine >= 0.99999, "{shown:?}: cosine {cosine}");
    let length: f32 = got.vector.iter().map(|value| value * value).sum();
    assert!((length - 1.0).abs() < 1e-5, "{shown:?}: squared length {length}");
}

#[test]
fn every_vector_equals_the_references() {
    golden().iter().for_each(|entry| assert_equals_golden(&encoder(), entry));
}

#[test]
fn another_bert_saved_by_the_reference_library_gives_its_vectors() {
    let folder =
        ModelFolder::open(small_bert().to_str().unwrap(), Path::new("no-models-here"), Precision::F32)
            .unwrap();
    assert_eq!(
        (folder.stated.pooling, folder.stated.max_length, folder.fingerprint.dimension),
        (Pooling::Cls, 24, 36)
    );
    let encoder = Encoder::load(&folder).unwrap();
    let golden: Golden = serde_json::from_str(include_str!("golden/small-bert.json")).unwrap();
    golden.entries.iter().for_each(|entry| assert_equals_golden(&encoder, entry));
    let texts: Vec<&str> = golden.entries.iter().map(|entry| entry.text.as_str()).collect();
    for (entry, together) in golden.entries.iter().zip(encoder.encode(&texts, Side::Paper).unwrap()) {
        // Closer than a cosine would ask: the two kinds of GELU differ by less than 1e-3.
        let close = entry.vector.iter().zip(&together.vector).all(|(a, b)| (a - b).abs() <= 1e-5);
        assert!(close, "{:?}: got {:?}, wanted {:?}", entry.text, together.vector, entry.vector);
    }
}

#[test]
fn every_engine_and_precision_is_as_near_to_the_reference_as_it_promises() {
    let promises = [
        (Engine::Candle, Precision::F32, 0.99999),
        (Engine::Kernels, Precision::Bf16, 0.9999),
        (Engine::Kernels, Precision::Int8, 0.995),
    ];
    for (engine, precision, least) in promises {
        let folder =
            ModelFolder::open(model_folder().to_str().unwrap(), Path::new("models"), precision).unwrap();
        let encoder = Encoder::load_with(&folder, &Devices::Cpu, engine, 2).unwrap();
        let golden = golden();
        let texts: Vec<&str> = golden.iter().map(|entry| entry.text.as_str()).collect();
        for (got, entry) in encoder.encode(&texts, Side::Paper).unwrap().iter().zip(&golden) {
            let cosine = cosine(&got.vector, &entry.vector);
            assert!(cosine >= least, "{engine:?} {precision}: {:?}: cosine {cosine}", entry.text);
        }
    }
}

#[test]
fn precisions_are_spaces_of_their_own() {
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
    let together = encoder().encode(&texts, Side::Paper).unwrap();
    for (text, together) in texts.iter().zip(together) {
        let alone = encoder().encode_one(text, Side::Paper).unwrap();
        assert_eq!((alone.tokens, alone.truncated), (together.tokens, together.truncated));
        for (a, b) in alone.vector.iter().zip(&together.vector) {
            assert!((a - b).abs() <= 1e-5, "{a} and {b}");
        }
    }
}

#[test]
fn only_the_beginning_of_a_book_is_looked_at() {
    let book = "The aquifer refreezes in winter. ".repeat(20_000);
    let beginning = encoder().encode_one(&book[..10_000], Side::Paper).unwrap();
    assert_eq!(encoder().encode_one(&book, Side::Paper).unwrap(), beginning);
    let padded = format!("aquifer{}winter", " ".repeat(300_000));
    let read = encoder().encode_one(&padded, Side::Paper).unwrap();
    assert_eq!(
        (read.tokens, read.truncated),
        (encoder().encode_one("aquifer", Side::Paper).unwrap().tokens, true)
    );
}

#[test]
fn no_texts_give_no_vectors() {
    assert!(encoder().encode(&[], Side::Paper).unwrap().is_empty());
}
