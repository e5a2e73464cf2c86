//! Every architecture and every statement of a model folder gives the reference library's vectors, on small random
//! checkpoints that `tests/golden/make_architectures.py` and `make_adapters.py` made.

use crate::support::cosine;
use likewise_encoder::model::{Manifest, ModelFolder, ModelOptions, Precision, Side};
use likewise_encoder::{Devices, Encoder, Engine, Keep, Reading};
use serde::Deserialize;
use std::path::{Path, PathBuf};

const NAMES: [&str; 11] = [
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
];

#[derive(Deserialize)]
struct Golden<T> {
    entries: Vec<T>,
}

#[derive(Deserialize)]
struct Entry {
    side: String,
    text: usize,
    dimensions: Option<usize>,
    tokens: usize,
    truncated: bool,
    vector: Vec<f32>,
}

impl Entry {
    fn side(&self) -> Side {
        if self.side == "query" { Side::Query } else { Side::Paper }
    }
}

fn small(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small").join(name)
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(small(name)).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    read("texts.json")
}

fn golden(name: &str) -> Vec<Entry> {
    read::<Golden<Entry>>(&format!("{name}.json")).entries
}

fn open_in(path: &Path, precision: Precision) -> likewise_encoder::Result<ModelFolder> {
    ModelFolder::open(path.to_str().unwrap(), Path::new("no-models-here"), precision)
}

/// SPECTER2's folder says nothing of its adapters: a model.toml does, as for the real one.
fn open(name: &str, precision: Precision) -> ModelFolder {
    if name != "specter2" {
        return open_in(&small(name), precision).unwrap();
    }
    let folder = copy(name);
    let text = "name = \"small\"\narchitecture = \"bert\"\ndimension = 32\nmax_length = 624\npooling = \"cls\"\n\
                normalize = true\nlicense = \"none\"\n[hub]\nrepo = \"a/b\"\nrevision = \"main\"\n\
                [adapters]\npaper = \"proximity\"\nquery = \"adhoc_query\"\n";
    std::fs::write(folder.path().join("model.toml"), text).unwrap();
    // Kept, because the encoder reads it later.
    open_in(&folder.keep(), precision).unwrap()
}

/// A copy of a folder, for changing.
fn copy(name: &str) -> tempfile::TempDir {
    fn copy_all(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                std::fs::create_dir(&to).unwrap();
                copy_all(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy_all(&small(name), folder.path());
    folder
}

fn load(folder: &ModelFolder, engine: Engine) -> Encoder {
    Encoder::load_with(folder, &Devices::Cpu, engine, 2).unwrap()
}

/// The largest `1 - cosine` to the reference, over all texts of both sides, alone and all together.
fn farthest(name: &str, engine: Engine, precision: Precision) -> f64 {
    let (texts, folder) = (texts(), open(name, precision));
    let encoder = load(&folder, engine);
    let mut farthest = 0.0_f64;
    for side in [Side::Paper, Side::Query] {
        let entries: Vec<Entry> = golden(name)
            .into_iter()
            .filter(|entry| entry.side() == side && entry.dimensions.is_none())
            .collect();
        assert!(side == Side::Query || entries.len() == texts.len());
        let read: Vec<&str> = entries.iter().map(|entry| texts[entry.text].as_str()).collect();
        let together = encoder.encode(&read, side).unwrap();
        for ((entry, together), text) in entries.iter().zip(together).zip(&read) {
            let alone = encoder.encode_one(text, side).unwrap();
            assert_eq!((alone.tokens, alone.truncated), (entry.tokens, entry.truncated), "{name}: {text:?}");
            for (a, b) in alone.vector.iter().zip(&together.vector) {
                assert!((a - b).abs() <= 1e-5, "{name}: {text:?}: {a} alone, {b} with others");
            }
            farthest = farthest.max(1.0 - cosine(&alone.vector, &entry.vector));
        }
    }
    farthest
}

#[test]
fn golden_vectors_of_every_architecture() {
    for name in NAMES {
        for engine in [Engine::Candle, Engine::Kernels] {
            let farthest = farthest(name, engine, Precision::F32);
            println!("{name} {engine:?}: 1 - cosine <= {farthest:.1e}");
            assert!(farthest <= 1e-5, "{name} {engine:?}: 1 - cosine is {farthest}");
        }
    }
}

#[test]
fn golden_vectors_in_half_precision_are_near() {
    for name in NAMES {
        let farthest = farthest(name, Engine::Kernels, Precision::Bf16);
        println!("{name} in bf16: 1 - cosine <= {farthest:.1e}");
        assert!(farthest <= 2e-3, "{name}: 1 - cosine is {farthest}");
    }
}

#[test]
fn a_network_that_is_read_a_little_wrong_is_seen_to_be() {
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
    ];
    let mut unseen = Vec::new();
    for (name, file, from, to) in cases {
        let folder = copy(name);
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {file} has no {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let texts = texts();
        // Another kind of network may not even find its tensors.
        let Ok(encoder) = Encoder::load(&open_in(folder.path(), Precision::F32).unwrap()) else { continue };
        let mut farthest = 0.0_f64;
        for entry in golden(name).iter().filter(|entry| entry.dimensions.is_none()) {
            let got = encoder.encode_one(&texts[entry.text], entry.side()).unwrap().vector;
            farthest = farthest.max(1.0 - cosine(&got, &entry.vector));
        }
        if farthest <= 1e-5 {
            unseen.push(format!("{name}: {from} as {to} gives the same vectors, to {farthest:.1e}"));
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
}

#[test]
fn golden_vectors_of_every_pooling() {
    #[derive(Deserialize)]
    struct Pooled {
        pooling: String,
        text: usize,
        vector: Vec<f32>,
    }
    let texts = texts();
    for Pooled { pooling, text, vector } in read::<Golden<Pooled>>("poolings.json").entries {
        let folder = copy("mpnet");
        let new = format!("{{\"embedding_dimension\": 32, \"pooling_mode\": \"{pooling}\"}}");
        std::fs::write(folder.path().join("1_Pooling/config.json"), new).unwrap();
        let encoder = load(&open_in(folder.path(), Precision::F32).unwrap(), Engine::Kernels);
        let got = encoder.encode_one(&texts[text], Side::Paper).unwrap().vector;
        assert!(cosine(&got, &vector) >= 0.99999, "{pooling}: {:?}", texts[text]);
    }
}

#[test]
fn golden_vectors_that_are_shortened() {
    let (texts, mut seen) = (texts(), 0);
    for name in NAMES {
        for entry in golden(name) {
            let Some(dimensions) = entry.dimensions else { continue };
            let options = ModelOptions { dimensions: Some(dimensions), ..ModelOptions::default() };
            let folder = open(name, Precision::F32).with_options(options).unwrap();
            assert_eq!(folder.fingerprint.dimension, dimensions);
            let got =
                load(&folder, Engine::Kernels).encode_one(&texts[entry.text], Side::Paper).unwrap().vector;
            assert_eq!(got.len(), dimensions);
            assert!(
                cosine(&got, &entry.vector) >= 0.99999,
                "{name} in {dimensions}: {:?}",
                texts[entry.text]
            );
            seen += 1;
        }
    }
    assert!(seen >= 16, "only {seen}");
    let too_many = ModelOptions { dimensions: Some(33), ..ModelOptions::default() };
    let message = open("mpnet", Precision::F32).with_options(too_many).unwrap_err().to_string();
    assert!(message.contains("--dimensions: got 33, wanted 1 to 32"), "{message}");
}

#[test]
fn a_prompt_can_be_named_for_both_sides() {
    let texts = texts();
    let named = |name: &str| {
        let options = ModelOptions { prompt_name: Some(name.into()), ..ModelOptions::default() };
        open("nomic_bert", Precision::F32).with_options(options)
    };
    let encoder = load(&named("query").unwrap(), Engine::Kernels);
    for entry in golden("nomic_bert").iter().filter(|entry| entry.side == "query") {
        let got = encoder.encode_one(&texts[entry.text], Side::Paper).unwrap().vector;
        assert!(cosine(&got, &entry.vector) >= 0.99999, "{:?}", texts[entry.text]);
    }
    let shortened = ModelOptions { dimensions: Some(8), ..ModelOptions::default() };
    let both = shortened.clone().or(&encoder.model().options);
    assert_eq!((both.dimensions, both.prompt_name.as_deref()), (Some(8), Some("query")));
    let again = encoder.model().clone().with_options(shortened.clone()).unwrap();
    let at_once = open("nomic_bert", Precision::F32).with_options(shortened).unwrap();
    assert_eq!(again.fingerprint, at_once.fingerprint, "what was asked for before is not left behind");
    let message = named("clustering").unwrap_err().to_string();
    assert!(
        message.contains("--prompt-name: got \"clustering\"") && message.contains("\"document\", \"query\""),
        "{message}"
    );
}

#[test]
fn the_end_of_a_text_is_kept_behind_its_prompt() {
    let folder = open("nomic_bert", Precision::F32);
    let encoder = load(&folder, Engine::Kernels);
    let long = format!("{} the very last word", "ice core ".repeat(900));
    let reading = Reading { keep: Keep::End, ..encoder.reading(Side::Query) };
    let read = encoder.tokenize(&[&long], &reading).unwrap().remove(0);
    assert!(
        read.truncated
            && read.ids.len() > folder.stated.max_length - 3
            && read.ids.len() <= folder.stated.max_length
    );
    let beginning = encoder.tokenize(&["ice"], &encoder.reading(Side::Query)).unwrap().remove(0).ids;
    let prompt = &beginning[..beginning.len() - 2];
    assert_eq!(read.ids[..prompt.len()], *prompt, "the prompt is still there");
    let end = encoder.tokenize(&["the very last word"], &encoder.reading(Side::Query)).unwrap().remove(0).ids;
    let end = &end[prompt.len()..];
    assert_eq!(read.ids[read.ids.len() - end.len()..], *end);
    let short = encoder.tokenize(&["ice core"], &reading).unwrap().remove(0);
    assert_eq!(
        (short.truncated, short.ids),
        (false, encoder.tokenize(&["ice core"], &encoder.reading(Side::Query)).unwrap().remove(0).ids)
    );
}

#[test]
fn whatever_changes_a_vector_changes_the_fingerprint() {
    let fingerprint = |folder: &ModelFolder| folder.fingerprint.sha256.clone();
    let mut seen = std::collections::HashSet::new();
    let folder = copy("gemma3");
    let mut note = |what: &str, folder: &ModelFolder| assert!(seen.insert(fingerprint(folder)), "{what}");
    let opened = || open_in(folder.path(), Precision::F32).unwrap();
    note("as it is", &opened());
    let options = |dimensions, name: Option<&str>| ModelOptions {
        dimensions,
        prompt_name: name.map(String::from),
        title: None,
    };
    note("fewer dimensions", &opened().with_options(options(Some(8), None)).unwrap());
    note("a named prompt", &opened().with_options(options(None, Some("query"))).unwrap());
    assert_eq!(
        fingerprint(&opened().with_options(options(Some(24), None)).unwrap()),
        fingerprint(&opened()),
        "all dimensions are no fewer"
    );
    let write = |path: &str, from: &str, to: &str| {
        let path = folder.path().join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    };
    write("config_sentence_transformers.json", "title: none", "title: some");
    note("another prompt for papers", &opened());
    write("config_sentence_transformers.json", "task: search", "task: find");
    note("another prompt for queries", &opened());
    write("3_Dense/config.json", "Identity", "Tanh");
    note("another function", &opened());
    write("sentence_bert_config.json", "{", "{\"do_lower_case\": true,");
    note("lower case", &opened());
    let weights = folder.path().join("2_Dense/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    note("another head", &opened());
    let adapted = open("specter2", Precision::F32);
    let (from, to) = (adapted.path.join("adhoc_query"), adapted.path.join("proximity"));
    note("two adapters", &adapted);
    for file in ["adapter_config.json", "pytorch_adapter.bin"] {
        std::fs::copy(to.join(file), from.join(file)).unwrap();
    }
    note("one adapter twice", &open_in(&adapted.path, Precision::F32).unwrap());
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
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
        ("gemma3", "modules.json", "\"2_Dense\"", "\"../2_Dense\"", "outside the folder"),
        (
            "gemma3",
            "2_Dense/config.json",
            "\"in_features\": 32",
            "\"in_features\": 31",
            "2_Dense, which takes 31",
        ),
        (
            "gemma3",
            "config.json",
            "\"use_bidirectional_attention\": true",
            "\"use_bidirectional_attention\": false",
            "bidirectional",
        ),
        ("mpnet", "config.json", "\"mpnet\"", "\"bart\"", "model_type \"bart\" is not supported"),
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
            "wanted names of files beside it",
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
        ("distilbert", "config.json", "\"n_heads\": 4", "\"n_heads\": 3", "num_attention_heads: got 3"),
        ("modernbert", "config.json", "sliding_attention\",", "near\",", "\"near\" is not supported"),
        ("qwen3", "config.json", "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -1", "rms_norm_eps: got -1"),
        ("qwen3", "config.json", "{", "{\"quantization_config\": {},", "quantised weights"),
        (
            "jina_bert",
            "sentence_bert_config.json",
            "\"max_seq_length\": 624",
            "\"max_seq_length\": 2",
            "reads 2 tokens, of which special ones and the prompt \"\" take 2",
        ),
    ];
    for (name, file, from, to, said) in cases {
        let folder = if name == "specter2" { open(name, Precision::F32).path } else { copy(name).keep() };
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {file} has no {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let refused = open_in(&folder, Precision::F32).and_then(|folder| Encoder::load(&folder).map(drop));
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(said), "{name}: {file}: wanted {said:?}, got {message}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_folder_without_weights_or_with_broken_ones_says_so() {
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
    assert!(message.contains("needs its weights"), "{message}");
}

#[test]
fn folders_that_would_give_other_vectors_are_refused() {
    let refused = |folder: &Path| {
        let loaded = open_in(folder, Precision::F32).and_then(|folder| Encoder::load(&folder).map(drop));
        loaded.unwrap_err().to_string()
    };
    let assert_says = |folder: &Path, said: &str| {
        let message = refused(folder);
        assert!(message.contains(said), "wanted {said:?}, got {message}");
    };
    let folder = copy("mpnet");
    let weights = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let head = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors: serde_json::Value = serde_json::from_slice(&bytes[8..head]).unwrap();
    let query = &tensors["encoder.layer.0.attention.attn.q.weight"]["data_offsets"][0];
    let at = head + query.as_u64().unwrap() as usize;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, bytes).unwrap();
    assert_says(folder.path(), "has values that are no numbers");

    let folder = copy("roberta");
    let weights = folder.path().join("pytorch_model.bin");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&weights, bytes).unwrap();
    assert_says(folder.path(), "pytorch_model.bin");

    let folder = copy("gemma3");
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    assert_says(folder.path(), "2_Dense is there, but no modules.json");

    assert_says(copy("specter2").path(), "nothing says which texts go through which");

    let folder = copy("xlm_roberta");
    let config = folder.path().join("config.json");
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    assert_says(folder.path(), "is no plain file");

    let folder = copy("modernbert");
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let words = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    for more in 0..10_000 {
        words.insert(format!("more{more}"), (words.len()).into());
    }
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    assert_says(folder.path(), "but the model has vectors for");
}

#[test]
fn a_bare_folder_is_read_as_the_reference_library_reads_it() {
    let folder = copy("qwen3");
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    std::fs::remove_dir_all(folder.path().join("1_Pooling")).unwrap();
    let texts = texts();
    let encoder = load(&open_in(folder.path(), Precision::F32).unwrap(), Engine::Kernels);
    for entry in golden("qwen3").iter().filter(|entry| entry.side == "paper" && entry.dimensions.is_none()) {
        let got = encoder.encode_one(&texts[entry.text], Side::Paper).unwrap().vector;
        assert!(cosine(&got, &entry.vector) >= 0.99999, "the last token, where each sees those before it");
    }
}

#[test]
fn models_that_are_known_state_what_the_program_can_do() {
    let known: Vec<Manifest> = Manifest::all_known().collect();
    assert!(known.len() >= 10);
    for manifest in known {
        let architecture = manifest.architecture.as_str();
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "model_type": architecture, "hidden_size": manifest.dense.first().map_or(manifest.dimension, |dense| dense.inputs),
            "max_position_embeddings": manifest.max_length + 2, "use_bidirectional_attention": true,
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
        for dense in &manifest.dense {
            std::fs::create_dir_all(folder.path().join(&dense.folder)).unwrap();
            std::fs::write(folder.path().join(&dense.folder).join("model.safetensors"), "{}").unwrap();
        }
        let stated = Manifest { files: Vec::new(), ..manifest.clone() };
        std::fs::write(folder.path().join("model.toml"), toml::to_string(&stated).unwrap()).unwrap();
        let opened = open_in(folder.path(), Precision::F32).unwrap();
        assert_eq!(
            (opened.stated.max_length, opened.dimension()),
            (manifest.max_length, manifest.dimension),
            "{}",
            manifest.name
        );
    }
}
