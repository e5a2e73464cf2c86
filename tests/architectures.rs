//! Checks that every architecture and every setting of a model folder gives the same vectors as the reference library.
//! The models are small checkpoints with random weights, made by `tests/golden/make_architectures.py` and
//! `make_adapters.py`.

use crate::support::{copy_all, cosine, read, small};
use likewise_encoder::model::{InputType, Manifest, ManifestKind, ModelFolder, ModelOptions, Precision};
use likewise_encoder::{Devices, EncodeOptions, Encoder, Engine, TruncationSide};
use serde::Deserialize;
use std::path::Path;

const NAMES: [&str; 24] = [
    "distilbert",
    "roberta",
    "xlm_roberta",
    "mpnet",
    "modernbert",
    "nomic_bert",
    "nomic_bert_hub",
    "jina_bert",
    "qwen3",
    "gemma3",
    "specter2",
    "camembert",
    "gte",
    "electra",
    "albert",
    "t5",
    "deberta_v2",
    "qwen2",
    "mistral",
    "eurobert",
    "qwen3_bidirectional",
    "gemma3_causal",
    "static",
    "model2vec",
];

#[derive(Deserialize)]
struct GoldenFile<T> {
    entries: Vec<T>,
}

#[derive(Deserialize)]
struct ArchitectureEntry {
    side: String,
    text: usize,
    dimensions: Option<usize>,
    tokens: usize,
    truncated: bool,
    vector: Vec<f32>,
}

impl ArchitectureEntry {
    fn input_type(&self) -> InputType {
        if self.side == "query" { InputType::Query } else { InputType::Document }
    }
}

fn texts() -> Vec<String> {
    read("texts.json")
}

fn golden(name: &str) -> Vec<ArchitectureEntry> {
    read::<GoldenFile<ArchitectureEntry>>(&format!("{name}.json")).entries
}

fn open_in(path: &Path, precision: Precision) -> likewise_encoder::Result<ModelFolder> {
    ModelFolder::open(path.to_str().unwrap(), Path::new("no-models-here"), precision)
}

/// Opens a small checkpoint. SPECTER2's folder does not describe its adapters, so this function adds a model.toml that
/// describes the adapters, as the model.toml of the real SPECTER2 does.
fn open(name: &str, precision: Precision) -> ModelFolder {
    if name != "specter2" {
        return open_in(&small(name), precision).unwrap();
    }
    let folder = copy(name);
    let text = "name = \"small\"\narchitecture = \"bert\"\ndimension = 32\nmax_length = 624\npooling = \"cls\"\n\
                normalize = true\nlicense = \"none\"\n[hub]\nrepo = \"a/b\"\nrevision = \"main\"\n\
                [adapters]\npaper = \"proximity\"\nquery = \"adhoc_query\"\n";
    std::fs::write(folder.path().join("model.toml"), text).unwrap();
    // The temporary folder is not deleted, because the encoder reads it later.
    open_in(&folder.keep(), precision).unwrap()
}

/// A copy of a small checkpoint that a test can change.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_all(&small(name), folder.path());
    folder
}

fn load(folder: &ModelFolder, engine: Engine) -> Encoder {
    Encoder::load_with(folder, &Devices::Cpu, engine, 2).unwrap()
}

/// Returns the largest `1 - cosine` between a vector and its reference vector, over all documents and queries, except
/// those with shortened vectors. Also checks that a text has the same vector if it is encoded alone and if it is
/// encoded in a batch.
fn max_distance(name: &str, engine: Engine, precision: Precision) -> f64 {
    let (texts, folder) = (texts(), open(name, precision));
    let encoder = load(&folder, engine);
    let mut max_distance = 0.0_f64;
    for input_type in [InputType::Document, InputType::Query] {
        let entries: Vec<ArchitectureEntry> = golden(name)
            .into_iter()
            .filter(|entry| entry.input_type() == input_type && entry.dimensions.is_none())
            .collect();
        assert!(input_type == InputType::Query || entries.len() == texts.len());
        let read: Vec<&str> = entries.iter().map(|entry| texts[entry.text].as_str()).collect();
        let together = encoder.encode(&read, input_type).unwrap();
        for ((entry, together), text) in entries.iter().zip(together).zip(&read) {
            let alone = encoder.encode_one(text, input_type).unwrap();
            assert_eq!((alone.tokens, alone.truncated), (entry.tokens, entry.truncated), "{name}: {text:?}");
            for (a, b) in alone.vector.iter().zip(&together.vector) {
                assert!((a - b).abs() <= 1e-5, "{name}: {text:?}: {a} alone, {b} in a batch");
            }
            max_distance = max_distance.max(1.0 - cosine(&alone.vector, &entry.vector));
        }
    }
    max_distance
}

#[test]
fn golden_vectors_of_every_architecture() {
    for name in NAMES {
        for engine in [Engine::Candle, Engine::Kernels] {
            let distance = max_distance(name, engine, Precision::F32);
            println!("{name} {engine:?}: 1 - cosine <= {distance:.1e}");
            assert!(distance <= 1e-5, "{name} {engine:?}: 1 - cosine is {distance}");
        }
    }
}

/// The models that are computed in f32 only: by candle-transformers, or by a table.
const F32_ONLY: [&str; 4] = ["t5", "deberta_v2", "static", "model2vec"];

#[test]
fn models_that_are_computed_in_f32_refuse_other_precisions() {
    for name in F32_ONLY {
        let error = Encoder::load(&open(name, Precision::Bf16)).err().unwrap().to_string();
        assert!(error.contains("computed in f32 only (got bf16); use the precision f32"), "{name}: {error}");
    }
}

#[test]
fn golden_vectors_in_bf16() {
    for name in NAMES.iter().filter(|name| !F32_ONLY.contains(name)) {
        let distance = max_distance(name, Engine::Kernels, Precision::Bf16);
        println!("{name} in bf16: 1 - cosine <= {distance:.1e}");
        assert!(distance <= 2e-3, "{name}: 1 - cosine is {distance}");
    }
}

#[test]
fn every_wrong_setting_changes_the_vectors() {
    let cases = [
        ("distilbert", "config.json", "\"gelu\"", "\"relu\""),
        ("roberta", "config.json", "\"layer_norm_eps\": 1e-05", "\"layer_norm_eps\": 1e-01"),
        ("roberta", "config.json", "\"pad_token_id\": 1", "\"pad_token_id\": 2"),
        ("mpnet", "config.json", "\"mpnet\"", "\"camembert\""),
        ("modernbert", "config.json", "\"local_attention\": 24", "\"local_attention\": 26"),
        ("modernbert", "config.json", "160000.0", "16000.0"),
        ("modernbert", "config.json", "10000.0", "5000.0"),
        ("nomic_bert", "config.json", "1000.0", "500.0"),
        ("nomic_bert", "config.json", "silu", "gelu"),
        ("nomic_bert_hub", "config.json", "\"rotary_emb_base\": 1000", "\"rotary_emb_base\": 500"),
        ("jina_bert", "config.json", "\"gelu\"", "\"relu\""),
        ("qwen3", "config.json", "1000000.0", "10000.0"),
        ("gemma3", "config.json", "\"sliding_window\": 20", "\"sliding_window\": 22"),
        ("gemma3", "config.json", "\"query_pre_attn_scalar\": 20", "\"query_pre_attn_scalar\": 21"),
        ("gemma3", "config.json", "10000.0", "1000.0"),
        ("gemma3", "2_Dense/config.json", "Tanh", "Identity"),
        ("gemma3_causal", "config.json", "\"sliding_window\": 20", "\"sliding_window\": 19"),
        (
            "gemma3_causal",
            "config.json",
            "\"use_bidirectional_attention\": false",
            "\"use_bidirectional_attention\": true",
        ),
        ("qwen3_bidirectional", "config.json", "\"is_causal\": false", "\"is_causal\": true"),
        ("qwen2", "config.json", "1000000.0", "10000.0"),
        ("mistral", "config.json", "10000.0", "100000.0"),
        ("eurobert", "config.json", "eurobert", "mistral"),
        ("gte", "config.json", "160000.0", "10000.0"),
        (
            "gte",
            "config.json",
            "\"rope_parameters\"",
            "\"rope_scaling\": {\"type\": \"ntk\", \"factor\": 2.0}, \"rope_parameters\"",
        ),
        ("electra", "config.json", "\"gelu\"", "\"relu\""),
        ("albert", "config.json", "gelu_new", "relu"),
        (
            "t5",
            "config.json",
            "\"relative_attention_max_distance\": 128",
            "\"relative_attention_max_distance\": 64",
        ),
        ("deberta_v2", "config.json", "\"layer_norm_eps\": 1e-07", "\"layer_norm_eps\": 1e-01"),
    ];
    let mut undetected = Vec::new();
    for (name, file, from, to) in cases {
        let folder = copy(name);
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {file} has no {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let texts = texts();
        // If the changed folder cannot be loaded, the change is detected.
        let Ok(encoder) = Encoder::load(&open_in(folder.path(), Precision::F32).unwrap()) else { continue };
        let mut max_distance = 0.0_f64;
        for entry in golden(name).iter().filter(|entry| entry.dimensions.is_none()) {
            let vector = encoder.encode_one(&texts[entry.text], entry.input_type()).unwrap().vector;
            max_distance = max_distance.max(1.0 - cosine(&vector, &entry.vector));
        }
        if max_distance <= 1e-5 {
            undetected
                .push(format!("{name}: {to} instead of {from} gives the same vectors: {max_distance:.1e}"));
        }
    }
    assert!(undetected.is_empty(), "{undetected:#?}");
}

#[test]
fn golden_vectors_of_every_pooling() {
    #[derive(Deserialize)]
    struct PoolingEntry {
        pooling: String,
        text: usize,
        vector: Vec<f32>,
    }
    let texts = texts();
    for PoolingEntry { pooling, text, vector } in read::<GoldenFile<PoolingEntry>>("poolings.json").entries {
        let folder = copy("mpnet");
        let config = format!("{{\"embedding_dimension\": 32, \"pooling_mode\": \"{pooling}\"}}");
        std::fs::write(folder.path().join("1_Pooling/config.json"), config).unwrap();
        let encoder = load(&open_in(folder.path(), Precision::F32).unwrap(), Engine::Kernels);
        let encoded = encoder.encode_one(&texts[text], InputType::Document).unwrap().vector;
        assert!(cosine(&encoded, &vector) >= 0.99999, "{pooling}: {:?}", texts[text]);
    }
}

#[test]
fn golden_vectors_with_fewer_dimensions() {
    let (texts, mut checked) = (texts(), 0);
    for name in NAMES {
        for entry in golden(name) {
            let Some(dimensions) = entry.dimensions else { continue };
            let options = ModelOptions { dimensions: Some(dimensions), ..ModelOptions::default() };
            let folder = open(name, Precision::F32).with_options(options).unwrap();
            assert_eq!(folder.fingerprint.dimension, dimensions);
            let vector = load(&folder, Engine::Kernels)
                .encode_one(&texts[entry.text], InputType::Document)
                .unwrap()
                .vector;
            assert_eq!(vector.len(), dimensions);
            assert!(
                cosine(&vector, &entry.vector) >= 0.99999,
                "{name} in {dimensions}: {:?}",
                texts[entry.text]
            );
            checked += 1;
        }
    }
    assert!(checked >= 16, "only {checked} vectors checked");
    let too_many = ModelOptions { dimensions: Some(33), ..ModelOptions::default() };
    let message = open("mpnet", Precision::F32).with_options(too_many).unwrap_err().to_string();
    assert!(message.contains("--dimensions must be between 1 and 32"), "{message}");
}

#[test]
fn prompt_name_applies_to_documents_and_queries() {
    let texts = texts();
    let with_prompt = |name: &str| {
        let options = ModelOptions { prompt_name: Some(name.into()), ..ModelOptions::default() };
        open("nomic_bert", Precision::F32).with_options(options)
    };
    let encoder = load(&with_prompt("query").unwrap(), Engine::Kernels);
    for entry in golden("nomic_bert").iter().filter(|entry| entry.side == "query") {
        let vector = encoder.encode_one(&texts[entry.text], InputType::Document).unwrap().vector;
        assert!(cosine(&vector, &entry.vector) >= 0.99999, "{:?}", texts[entry.text]);
    }
    let shortened = ModelOptions { dimensions: Some(8), ..ModelOptions::default() };
    let both = shortened.clone().or(&encoder.model().options);
    assert_eq!((both.dimensions, both.prompt_name.as_deref()), (Some(8), Some("query")));
    let replaced = encoder.model().clone().with_options(shortened.clone()).unwrap();
    let direct = open("nomic_bert", Precision::F32).with_options(shortened).unwrap();
    assert_eq!(replaced.fingerprint, direct.fingerprint, "earlier options must have no effect");
    let message = with_prompt("clustering").unwrap_err().to_string();
    assert!(
        message.contains("--prompt-name: this model has no prompt \"clustering\"")
            && message.contains("\"document\", \"query\""),
        "{message}"
    );
}

#[test]
fn left_truncation_keeps_the_prompt_and_the_end_of_the_text() {
    let folder = open("nomic_bert", Precision::F32);
    let encoder = load(&folder, Engine::Kernels);
    let long = format!("{} the very last word", "ice core ".repeat(900));
    let options =
        EncodeOptions { truncation_side: TruncationSide::Left, ..encoder.encode_options(InputType::Query) };
    let read = encoder.tokenize(&[&long], &options).unwrap().remove(0);
    assert!(
        read.truncated
            && read.ids.len() > folder.config.max_length - 3
            && read.ids.len() <= folder.config.max_length
    );
    let beginning =
        encoder.tokenize(&["ice"], &encoder.encode_options(InputType::Query)).unwrap().remove(0).ids;
    let prompt = &beginning[..beginning.len() - 2];
    assert_eq!(read.ids[..prompt.len()], *prompt, "the prompt must be kept");
    let end = encoder
        .tokenize(&["the very last word"], &encoder.encode_options(InputType::Query))
        .unwrap()
        .remove(0)
        .ids;
    let end = &end[prompt.len()..];
    assert_eq!(read.ids[read.ids.len() - end.len()..], *end);
    let short = encoder.tokenize(&["ice core"], &options).unwrap().remove(0);
    assert_eq!(
        (short.truncated, short.ids),
        (
            false,
            encoder.tokenize(&["ice core"], &encoder.encode_options(InputType::Query)).unwrap().remove(0).ids
        )
    );
}

#[test]
fn every_setting_that_changes_vectors_changes_the_fingerprint() {
    let fingerprint = |folder: &ModelFolder| folder.fingerprint.sha256.clone();
    let mut seen = std::collections::HashSet::new();
    let folder = copy("gemma3");
    let mut assert_new =
        |setting: &str, folder: &ModelFolder| assert!(seen.insert(fingerprint(folder)), "{setting}");
    let opened = || open_in(folder.path(), Precision::F32).unwrap();
    assert_new("unchanged", &opened());
    let options = |dimensions, name: Option<&str>| ModelOptions {
        dimensions,
        prompt_name: name.map(String::from),
        title: None,
    };
    assert_new("fewer dimensions", &opened().with_options(options(Some(8), None)).unwrap());
    assert_new("a prompt by name", &opened().with_options(options(None, Some("query"))).unwrap());
    assert_eq!(
        fingerprint(&opened().with_options(options(Some(24), None)).unwrap()),
        fingerprint(&opened()),
        "the full number of dimensions has the fingerprint of the model"
    );
    let write = |path: &str, from: &str, to: &str| {
        let path = folder.path().join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    };
    write("config_sentence_transformers.json", "title: none", "title: some");
    assert_new("another document prompt", &opened());
    write("config_sentence_transformers.json", "task: search", "task: find");
    assert_new("another query prompt", &opened());
    write("3_Dense/config.json", "Identity", "Tanh");
    assert_new("another activation function", &opened());
    write("sentence_bert_config.json", "{", "{\"do_lower_case\": true,");
    assert_new("lower case", &opened());
    let weights = folder.path().join("2_Dense/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    assert_new("other weights of the head", &opened());
    let adapted = open("specter2", Precision::F32);
    let (from, to) = (adapted.path.join("adhoc_query"), adapted.path.join("proximity"));
    assert_new("two adapters", &adapted);
    for file in ["adapter_config.json", "pytorch_adapter.bin"] {
        std::fs::copy(to.join(file), from.join(file)).unwrap();
    }
    assert_new("the same adapter for both input types", &open_in(&adapted.path, Precision::F32).unwrap());
}

#[test]
fn unsupported_settings_are_refused_by_name() {
    let cases = [
        (
            "gemma3",
            "2_Dense/config.json",
            "Tanh",
            "ReLU",
            "activation_function \"torch.nn.modules.activation.ReLU\"",
        ),
        ("gemma3", "1_Pooling/config.json", "true", "false", "include_prompt"),
        (
            "gemma3",
            "1_Pooling/config.json",
            "\"mean\"",
            "[\"mean\", \"max\"]",
            "pooling_mode [\"mean\",\"max\"]",
        ),
        ("gemma3", "1_Pooling/config.json", "\"mean\"", "\"median\"", "pooling_mode \"median\""),
        (
            "gemma3",
            "modules.json",
            "modules.dense.Dense",
            "modules.layer_norm.LayerNorm",
            "layer_norm.LayerNorm",
        ),
        ("gemma3", "modules.json", "\"2_Dense\"", "\"../2_Dense\"", "outside the model folder"),
        (
            "gemma3",
            "2_Dense/config.json",
            "\"in_features\": 32",
            "\"in_features\": 31",
            "states 2_Dense inputs 31",
        ),
        (
            "mistral",
            "config.json",
            "\"sliding_window\": 4096",
            "\"sliding_window\": 100",
            "sliding_window must be at least",
        ),
        (
            "albert",
            "config.json",
            "\"num_hidden_groups\": 1",
            "\"num_hidden_groups\": 3",
            "num_hidden_groups",
        ),
        (
            "gte",
            "config.json",
            "\"layer_norm_eps\"",
            "\"layer_norm_type\": \"rms_norm\", \"layer_norm_eps\"",
            "layer_norm_type",
        ),
        (
            "gte",
            "config.json",
            "\"layer_norm_eps\"",
            "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2.0}, \"layer_norm_eps\"",
            "rope_scaling must have the type ntk",
        ),
        (
            "deberta_v2",
            "config.json",
            "\"layer_norm_eps\"",
            "\"conv_kernel_size\": 3, \"layer_norm_eps\"",
            "conv_kernel_size must be 0",
        ),
        ("mpnet", "config.json", "\"mpnet\"", "\"bart\"", "model_type \"bart\" is not supported"),
        (
            "albert",
            "config.json",
            "\"num_hidden_layers\": 3",
            "\"num_hidden_layers\": 50000000",
            "num_hidden_layers must be at most 1024 (got 50000000)",
        ),
        (
            "electra",
            "config.json",
            "\"embedding_size\": 16",
            "\"embedding_size\": 0",
            "embedding_size must be between 1",
        ),
        (
            "electra",
            "config.json",
            "\"embedding_size\": 16",
            "\"embedding_size\": 16, \"position_embedding_type\": \"relative_key\"",
            "position_embedding_type \"relative_key\" is not supported",
        ),
        (
            "qwen3",
            "config.json",
            "\"rope_type\": \"default\"",
            "\"rope_type\": \"yarn\"",
            "rope_type \"yarn\"",
        ),
        (
            "modernbert",
            "config.json",
            "\"rope_type\": \"default\"",
            "\"rope_type\": \"linear\"",
            "rope_type \"linear\"",
        ),
        ("nomic_bert_hub", "config.json", "{", "{\"rotary_scaling_factor\": 2.0,", "rotary_scaling_factor"),
        ("jina_bert", "config.json", "\"geglu\"", "\"original\"", "feed_forward_type \"original\""),
        ("jina_bert", "config.json", "alibi", "relative_key", "position_embedding_type \"relative_key\""),
        (
            "distilbert",
            "model.safetensors.index.json",
            "model-00001",
            "../model-00001",
            "must list only files in its own folder",
        ),
        (
            "distilbert",
            "model.safetensors.index.json",
            "model-00001",
            "model-00003",
            "model-00003-of-00002.safetensors",
        ),
        (
            "nomic_bert",
            "config_sentence_transformers.json",
            "null",
            "\"clusters\"",
            "default_prompt_name is \"clusters\"",
        ),
        (
            "specter2",
            "proximity/adapter_config.json",
            "\"mh_adapter\": false",
            "\"mh_adapter\": true",
            "this kind of adapter",
        ),
        (
            "distilbert",
            "config.json",
            "\"n_heads\": 4",
            "\"n_heads\": 3",
            "num_attention_heads must divide hidden_size",
        ),
        ("modernbert", "config.json", "sliding_attention\",", "near\",", "\"near\" is not supported"),
        (
            "qwen3",
            "config.json",
            "\"rms_norm_eps\": 1e-06",
            "\"rms_norm_eps\": -1",
            "rms_norm_eps must be greater than 0 (got -1)",
        ),
        ("qwen3", "config.json", "{", "{\"quantization_config\": {},", "quantised weights"),
        (
            "jina_bert",
            "sentence_bert_config.json",
            "\"max_seq_length\": 624",
            "\"max_seq_length\": 2",
            "reads at most 2 tokens, and the special tokens and the prompt \"\" already take 2",
        ),
    ];
    for (name, file, from, to, expected) in cases {
        let folder = if name == "specter2" { open(name, Precision::F32).path } else { copy(name).keep() };
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {file} has no {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let refused = open_in(&folder, Precision::F32).and_then(|folder| Encoder::load(&folder).map(drop));
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(expected), "{name}: {file}: expected {expected:?}, got {message}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn missing_or_truncated_weights_are_reported() {
    let folder = copy("roberta");
    let weights = folder.path().join("pytorch_model.bin");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let refused = open_in(folder.path(), Precision::F32).and_then(|folder| Encoder::load(&folder).map(drop));
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("pytorch_model.bin") && message.contains("fetch the model folder again"),
        "{message}"
    );
    std::fs::remove_file(&weights).unwrap();
    let message = open_in(folder.path(), Precision::F32).unwrap_err().to_string();
    assert!(message.contains("the folder has no weights"), "{message}");
}

#[test]
fn folders_that_would_give_wrong_vectors_are_refused() {
    let refused = |folder: &Path| {
        let loaded = open_in(folder, Precision::F32).and_then(|folder| Encoder::load(&folder).map(drop));
        loaded.unwrap_err().to_string()
    };
    let assert_refused = |folder: &Path, expected: &str| {
        let message = refused(folder);
        assert!(message.contains(expected), "expected {expected:?}, got {message}");
    };
    // candle-transformers computes DeBERTa.
    let damaged = [
        ("mpnet", "encoder.layer.0.attention.attn.q.weight"),
        ("deberta_v2", "embeddings.word_embeddings.weight"),
    ];
    for (name, tensor) in damaged {
        let folder = copy(name);
        let weights = folder.path().join("model.safetensors");
        let mut bytes = std::fs::read(&weights).unwrap();
        let head = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let tensors: serde_json::Value = serde_json::from_slice(&bytes[8..head]).unwrap();
        let at = head + tensors[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&weights, bytes).unwrap();
        assert_refused(folder.path(), "has values that are not finite");
    }

    let folder = copy("qwen3");
    let weights = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let norm = b"layers.0.self_attn.q_norm";
    let at = bytes.windows(norm.len()).position(|window| window == norm).unwrap();
    bytes[at + norm.len() - 1] = b'x';
    std::fs::write(&weights, bytes).unwrap();
    assert_refused(folder.path(), "q_norm");

    let folder = copy("roberta");
    let weights = folder.path().join("pytorch_model.bin");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&weights, bytes).unwrap();
    assert_refused(folder.path(), "pytorch_model.bin");

    let folder = copy("gemma3");
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    assert_refused(folder.path(), "contains 2_Dense, but not modules.json");

    assert_refused(copy("specter2").path(), "does not state which texts they are for");

    let folder = copy("xlm_roberta");
    let config = folder.path().join("config.json");
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    assert_refused(folder.path(), "not a regular file");

    let folder = copy("modernbert");
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let words = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    for number in 0..10_000 {
        words.insert(format!("more{number}"), (words.len()).into());
    }
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    assert_refused(folder.path(), "but the model has vectors for");
}

#[test]
fn a_folder_without_pooling_files_gets_the_default_pooling_of_the_reference_library() {
    let folder = copy("qwen3");
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    std::fs::remove_dir_all(folder.path().join("1_Pooling")).unwrap();
    let texts = texts();
    let encoder = load(&open_in(folder.path(), Precision::F32).unwrap(), Engine::Kernels);
    for entry in golden("qwen3").iter().filter(|entry| entry.side == "paper" && entry.dimensions.is_none()) {
        let vector = encoder.encode_one(&texts[entry.text], InputType::Document).unwrap().vector;
        assert!(cosine(&vector, &entry.vector) >= 0.99999, "a causal model must have last-token pooling");
    }
}

/// A safetensors file with a table of one vector of `width` values.
fn table(width: usize) -> Vec<u8> {
    let header = serde_json::json!({
        "embedding.weight": { "dtype": "F32", "shape": [1, width], "data_offsets": [0, 4 * width] },
    });
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; 4 * width]].concat()
}

#[test]
fn the_built_in_manifests_can_all_be_opened() {
    let manifests: Vec<Manifest> = Manifest::all_built_in().collect();
    assert!(manifests.len() >= 20);
    for manifest in manifests {
        let architecture = manifest.architecture.as_str();
        let folder = tempfile::tempdir().unwrap();
        let has_vectors = manifest.kind.has_vectors();
        let width = if has_vectors { manifest.dimension } else { 32 };
        let config = serde_json::json!({
            "model_type": architecture, "hidden_size": manifest.dense.first().map_or(width, |dense| dense.inputs),
            "max_position_embeddings": manifest.max_length + 2, "use_bidirectional_attention": true,
            "architectures": [if has_vectors { "BertModel" } else { "BertForSequenceClassification" }],
            "id2label": { "0": "LABEL_0" },
        });
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let files = manifest.files.iter().map(|file| file.path.clone());
        for file in files
            .chain(["tokenizer.json".into(), "model.safetensors".into()])
            .filter(|file| file != "config.json")
        {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        if manifest.kind == ManifestKind::Static {
            std::fs::write(folder.path().join("model.safetensors"), table(width)).unwrap();
        }
        for dense in &manifest.dense {
            std::fs::create_dir_all(folder.path().join(&dense.folder)).unwrap();
            std::fs::write(folder.path().join(&dense.folder).join("model.safetensors"), "{}").unwrap();
        }
        let without_files = Manifest { files: Vec::new(), ..manifest.clone() };
        std::fs::write(folder.path().join("model.toml"), toml::to_string(&without_files).unwrap()).unwrap();
        let path = folder.path().to_str().unwrap();
        let opened = ModelFolder::open_any(path, Path::new("no-models-here"), Precision::F32).unwrap();
        assert_eq!(
            (opened.config.max_length, opened.dimension()),
            (manifest.max_length, width),
            "{}",
            manifest.name
        );
    }
}
