//! Checks LoRA adapters: merged into a model's weights, they give the vectors of the reference libraries. The adapter is
//! made by `tests/golden/make_lora.py`.

use crate::support::{copy_all, cosine, read, small};
use likewise_encoder::model::{InputType, ModelFolder, Precision};
use likewise_encoder::{Devices, Encoder, Engine};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Golden {
    vectors: Vec<Vec<f32>>,
}

/// A copy of the model with the adapter in a folder, which is the model's own folder if `adapter` is empty.
fn adapted(adapter: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_all(&small("roberta"), folder.path());
    copy_all(&small("lora"), &folder.path().join(adapter));
    folder
}

fn open(folder: &Path) -> likewise_encoder::Result<ModelFolder> {
    ModelFolder::open(folder.to_str().unwrap(), Path::new("no-models-here"), Precision::F32)
}

fn load(folder: &Path, engine: Engine) -> likewise_encoder::Result<Encoder> {
    Encoder::load_with(&open(folder)?, &Devices::Cpu, engine, 2)
}

/// The error of loading the model with a change of the adapter's configuration.
fn error_with(from: &str, to: &str) -> String {
    let folder = adapted("");
    let path = folder.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    load(folder.path(), Engine::Kernels).err().unwrap().to_string()
}

#[test]
fn golden_vectors_of_a_lora_adapter() {
    let texts: Vec<String> = read("texts.json");
    let Golden { vectors } = read("lora.json");
    let folder = adapted("");
    for engine in [Engine::Candle, Engine::Kernels] {
        let encoder = load(folder.path(), engine).unwrap();
        for (n, (text, expected)) in texts.iter().zip(&vectors).enumerate() {
            let error =
                1.0 - cosine(&encoder.encode_one(text, InputType::Document).unwrap().vector, expected);
            assert!(error < 1e-5, "{engine:?} {n}: 1 - cosine is {error:.1e}");
        }
    }
}

#[test]
fn model_toml_names_the_lora_adapter_of_a_task() {
    let folder = adapted("adapters/retrieval");
    let from_files = open(folder.path()).unwrap();
    assert_eq!(from_files.config.lora, None, "no file names an adapter in a folder of its own");
    let settings = "name = \"adapted\"\narchitecture = \"roberta\"\ndimension = 32\nmax_length = 128\n\
                    pooling = \"mean\"\nnormalize = true\nlicense = \"none\"\nlora = \"adapters/retrieval\"\n\n[hub]\n\
                    repo = \"none/none\"\nrevision = \"main\"\n";
    std::fs::write(folder.path().join("model.toml"), settings).unwrap();
    let with = open(folder.path()).unwrap();
    std::fs::write(folder.path().join("model.toml"), settings.replace("lora = ", "# lora = ")).unwrap();
    let without = open(folder.path()).unwrap();
    assert_ne!(with.fingerprint.sha256, without.fingerprint.sha256);
    let vector = |model: &ModelFolder| {
        Encoder::load(model).unwrap().encode_one("Glaciers melt", InputType::Document).unwrap().vector
    };
    assert!(cosine(&vector(&with), &vector(&without)) < 0.99);
}

#[test]
fn adapters_that_cannot_be_merged_are_refused_by_name() {
    let error = error_with("\"LORA\"", "\"IA3\"");
    assert!(error.contains("peft_type must be LORA (got \"IA3\"); merge the adapter"), "{error}");
    assert!(error_with("\"use_dora\": false", "\"use_dora\": true").contains("use_dora is not supported"));
    let folder = adapted("");
    std::fs::remove_file(folder.path().join("adapter_model.safetensors")).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("but not adapter_model.safetensors"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    copy_all(&small("distilbert"), folder.path());
    copy_all(&small("lora"), folder.path());
    let error = load(folder.path(), Engine::Kernels).err().unwrap().to_string();
    assert!(error.contains("the model has no layer encoder.layer.0."), "{error}");
}
