//! Checks that cross-encoders of every architecture give the same scores as the reference library. The models are small
//! checkpoints with random weights, made by `tests/golden/make_cross_encoders.py`.

use crate::support::{max_score_error, small};
use likewise_encoder::model::{ModelFolder, Precision};
use likewise_encoder::{Devices, Encoder, Engine, Reranker};
use std::path::Path;

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

fn open(name: &str, precision: Precision) -> ModelFolder {
    let path = small(name);
    ModelFolder::open_reranker(path.to_str().unwrap(), Path::new("no-models-here"), precision).unwrap()
}

fn load(name: &str, engine: Engine, precision: Precision) -> Reranker {
    Reranker::load_with(&open(name, precision), &Devices::Cpu, engine, 2).unwrap()
}

fn max_error(name: &str, engine: Engine, precision: Precision) -> f32 {
    max_score_error(name, &load(name, engine, precision), 1e-5, |pair| {
        pair.truncated && pair.ids.len() == 624
    })
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
