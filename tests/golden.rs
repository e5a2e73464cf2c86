//! Vectors equal the reference library's; `tests/golden/make.py` made the file.

use crate::support::encoder;
use serde::Deserialize;

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

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let sum = |pairs: &mut dyn Iterator<Item = (f32, f32)>| {
        pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let dot = |a: &[f32], b: &[f32]| sum(&mut a.iter().copied().zip(b.iter().copied()));
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn every_vector_equals_the_references() {
    for entry in golden() {
        let got = encoder().encode_one(&entry.text).unwrap();
        let shown: String = entry.text.chars().take(40).collect();
        assert_eq!((got.tokens, got.truncated), (entry.tokens, entry.truncated), "{shown:?}");
        let cosine = cosine(&got.vector, &entry.vector);
        assert!(cosine >= 0.99999, "{shown:?}: cosine {cosine}");
        let length: f32 = got.vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{shown:?}: squared length {length}");
    }
}

#[test]
fn a_batch_equals_single_texts() {
    let entries = golden();
    let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    let together = encoder().encode(&texts).unwrap();
    for (text, together) in texts.iter().zip(together) {
        let alone = encoder().encode_one(text).unwrap();
        assert_eq!((alone.tokens, alone.truncated), (together.tokens, together.truncated));
        for (a, b) in alone.vector.iter().zip(&together.vector) {
            assert!((a - b).abs() <= 1e-5, "{a} and {b}");
        }
    }
}

#[test]
fn no_texts_give_no_vectors() {
    assert!(encoder().encode(&[]).unwrap().is_empty());
}
