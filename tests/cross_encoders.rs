//! Checks that cross-encoders of every architecture give the same scores as the reference library. The models are small
//! checkpoints with random weights, made by `tests/golden/make_cross_encoders.py`.

use likewise_encoder::model::{ModelFolder, Precision};
use likewise_encoder::{Devices, Encoder, Engine, Reranker};
use serde::Deserialize;
use std::path::{Path, PathBuf};

const NAMES: [&str; 11] = [
    "cross_bert",
    "cross_bert_untyped",
    "cross_roberta",
    "cross_xlm_roberta",
    "cross_distilbert",
    "cross_mpnet",
    "cross_modernbert",
    "cross_modernbert_cls",
    "cross_deberta_v2",
    "cross_qwen3",
    "cross_qwen3_yes_no",
];

#[derive(Deserialize)]
struct Golden {
    scores: Vec<f32>,
}

fn small(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small").join(name)
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(small(name)).unwrap()).unwrap()
}

fn open(name: &str, precision: Precision) -> ModelFolder {
    let path = small(name);
    ModelFolder::open_reranker(path.to_str().unwrap(), Path::new("no-models-here"), precision).unwrap()
}

fn load(name: &str, engine: Engine, precision: Precision) -> Reranker {
    Reranker::load_with(&open(name, precision), &Devices::Cpu, engine, 2).unwrap()
}

/// The query and the document of each pair, as the script makes them.
fn pairs(texts: &[String]) -> impl Iterator<Item = (&str, &str)> {
    (0..200).map(|n| (texts[n % 20].as_str(), texts[(n * 7 + n / 20) % 20].as_str()))
}

/// Returns the largest difference between a score and its reference score, over all pairs. Also checks that a pair has
/// the same score alone and in a batch.
fn max_error(name: &str, engine: Engine, precision: Precision) -> f32 {
    let texts: Vec<String> = read("texts.json");
    let encoder = load(name, engine, precision);
    let Golden { scores } = read(&format!("{name}.json"));
    let tokenized: Vec<_> =
        pairs(&texts).flat_map(|(query, text)| encoder.tokenize(query, &[text]).unwrap()).collect();
    assert!(
        tokenized.iter().any(|pair| pair.truncated && pair.ids.len() == 624),
        "{name}: some pairs are cut"
    );
    let together = encoder.score_tokenized(&tokenized).unwrap();
    let mut max_error = 0.0_f32;
    for (index, ((query, text), expected)) in pairs(&texts).zip(&scores).enumerate() {
        max_error = max_error.max((together[index].score - expected).abs());
        if index % 10 == 0 {
            let alone = encoder.score(query, &[text]).unwrap()[0];
            let difference = (alone.score - together[index].score).abs();
            assert!(difference < 1e-5, "{name}: pair {index}: {alone:?}, {:?} in a batch", together[index]);
        }
    }
    max_error
}

#[test]
fn golden_scores_of_every_cross_encoder() {
    for name in NAMES {
        for engine in [Engine::Candle, Engine::Kernels] {
            let error = max_error(name, engine, Precision::F32);
            println!("{name} {engine:?}: error <= {error:.1e}");
            assert!(error <= 1e-4, "{name} {engine:?}: the error is {error}");
        }
    }
}

/// The scores of random networks spread over a range of about 1, so an error of a tenth would change the order.
#[test]
fn scores_in_lower_precisions_stay_close() {
    for name in ["cross_bert", "cross_roberta", "cross_distilbert", "cross_modernbert_cls"] {
        for (precision, limit) in [(Precision::Bf16, 0.1), (Precision::Int8, 0.2)] {
            let error = max_error(name, Engine::Kernels, precision);
            println!("{name} {precision}: error <= {error:.1e}");
            assert!(error <= limit, "{name} in {precision}: the error is {error}");
        }
    }
}

#[test]
fn each_kind_of_model_is_refused_where_the_other_is_needed() {
    let models = Path::new("no-models-here");
    let open = |name: &str| ModelFolder::open(small(name).to_str().unwrap(), models, Precision::F32);
    for name in NAMES {
        let error = open(name).unwrap_err().to_string();
        assert!(error.contains("give it to --reranker instead of --model"), "{name}: {error}");
    }
    let embedding = ModelFolder::open_reranker(small("roberta").to_str().unwrap(), models, Precision::F32);
    let error = embedding.unwrap_err().to_string();
    assert!(error.contains("not a cross-encoder") && error.contains("give it to --model"), "{error}");
    let loaded = Reranker::load_on(&open("roberta").unwrap(), &Devices::Cpu).err().unwrap().to_string();
    assert!(loaded.contains("not a reranker"), "{loaded}");
    let _: Encoder = Encoder::load(&open("roberta").unwrap()).unwrap();
}
