//! Tests of the model files: download, verification, and the errors for wrong files.

use crate::support::{likewise, model_folder, small, small_bert};
use likewise_encoder::Encoder;
use likewise_encoder::model::{ModelFolder, Pooling, Precision};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const REPO: &str = "sentence-transformers/all-MiniLM-L6-v2";
const REVISION: &str = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41";
const FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];

fn open(folder: &Path) -> likewise_encoder::Result<ModelFolder> {
    ModelFolder::open(folder.to_str().unwrap(), Path::new("no-models-here"), Precision::F32)
}

/// Returns a folder with copies of the real model's main files, which a test can change.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES.into_iter().chain(["model.toml"]) {
        std::fs::copy(model_folder().join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn wrong_files_are_reported_with_their_name_and_the_remedy() {
    let folder = copy();
    let config = folder.path().join("config.json");
    let original = std::fs::read(&config).unwrap();
    let mut changed = original.clone();
    changed[100] ^= 1;
    std::fs::write(&config, &changed).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("config.json: the SHA-256 must be") && message.contains("likewise pull"),
        "{message}"
    );
    std::fs::write(&config, &original[..50]).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json: the size must be 612 bytes (got 50)"), "{message}");
    std::fs::remove_file(&config).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json") && message.contains("likewise pull"), "{message}");
}

#[test]
fn a_sentence_transformers_folder_needs_no_manifest() {
    let folder = copy();
    std::fs::remove_file(folder.path().join("model.toml")).unwrap();
    assert_eq!(
        open(folder.path()).unwrap().config.pooling,
        Pooling::Mean,
        "mean pooling is sentence-transformers' default for a folder without pooling files"
    );
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(folder.path().join("1_Pooling/config.json"), r#"{"pooling_mode_mean_tokens": true}"#)
        .unwrap();
    std::fs::write(folder.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 256}"#).unwrap();
    let opened = open(folder.path()).unwrap();
    assert_eq!((opened.config.pooling, opened.config.max_length), (Pooling::Mean, 256));
    let with_manifest = open(&model_folder()).unwrap();
    let without_titles = with_manifest.clone().as_before_titles();
    assert_eq!(opened.fingerprint, without_titles.fingerprint, "the manifest must describe the same model");
    let shorter = r#"{"max_seq_length": 128}"#;
    std::fs::write(folder.path().join("sentence_bert_config.json"), shorter).unwrap();
    assert_ne!(open(folder.path()).unwrap().fingerprint, with_manifest.fingerprint);
}

#[test]
fn prompts_are_found_under_the_names_that_models_use() {
    let folder = copy();
    std::fs::remove_file(folder.path().join("model.toml")).unwrap();
    let config = r#"{"prompts": {"both": "both: ", "passage": "passage: "}, "default_prompt_name": "both"}"#;
    std::fs::write(folder.path().join("config_sentence_transformers.json"), config).unwrap();
    let opened = open(folder.path()).unwrap();
    assert_eq!((opened.prompt.document.as_str(), opened.prompt.query.as_str()), ("passage: ", ""));
}

#[test]
fn a_manifest_that_contradicts_the_model_is_refused() {
    for (from, to, expected) in [
        ("max_length = 256", "max_length = 1024", "the model has 512, but"),
        ("dimension = 384", "dimension = 385", "states dimension 385"),
    ] {
        let folder = copy();
        let manifest = folder.path().join("model.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(&manifest, text.replace(from, to)).unwrap();
        let message = open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let small = small_bert();
    for name in ["config.json", "model.safetensors", "modules.json"] {
        std::fs::copy(small.join(name), folder.path().join(name)).unwrap();
    }
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::copy(small.join("1_Pooling/config.json"), folder.path().join("1_Pooling/config.json")).unwrap();
    std::fs::copy(model_folder().join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let message = Encoder::load(&open(folder.path()).unwrap()).map(drop).unwrap_err().to_string();
    assert!(message.contains("has 30522 tokens, but the model has vectors for 147"), "{message}");
}

#[test]
fn an_unknown_architecture_is_refused_by_name() {
    let folder = copy();
    std::fs::remove_file(folder.path().join("model.toml")).unwrap();
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(folder.path().join("1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#)
        .unwrap();
    let mamba = r#"{"model_type": "mamba", "d_model": 768, "num_layers": 6}"#;
    std::fs::write(folder.path().join("config.json"), mamba).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json: model_type \"mamba\" is not supported"), "{message}");
}

#[test]
fn a_missing_model_is_reported_with_the_remedy() {
    let message = ModelFolder::open("all-MiniLM-L6-v2", Path::new("no-models-here"), Precision::F32)
        .unwrap_err()
        .to_string();
    assert!(message.contains("run `likewise pull all-MiniLM-L6-v2`"), "{message}");
    let message =
        ModelFolder::open("no-such-model", Path::new("models"), Precision::F32).unwrap_err().to_string();
    assert!(message.contains("no-such-model"), "{message}");
}

/// A model hub that serves some files and counts the connections to it.
struct Hub {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Hub {
    fn start(files: HashMap<String, Vec<u8>>) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                let files = files.clone();
                std::thread::spawn(move || respond(stream, &files));
            }
        });
        Hub { address, connections }
    }
}

/// Answers requests as the Hugging Face hub does: the headers have the commit and an ETag, and a request can ask for a
/// range of a file. Returns `None` when the client closes the connection.
fn respond(stream: TcpStream, files: &HashMap<String, Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let path = head.split_whitespace().nth(1)?;
        let (status, range, body) = match files.get(path) {
            None => ("404 Not Found", String::new(), &[][..]),
            Some(file) => {
                let lower = head.to_lowercase();
                match lower
                    .split("range: bytes=")
                    .nth(1)
                    .and_then(|range| range.lines().next()?.split_once('-'))
                {
                    None => ("200 OK", String::new(), &file[..]),
                    Some((from, to)) => {
                        let from: usize = from.parse().ok()?;
                        let to = to.trim().parse().unwrap_or(file.len() - 1).min(file.len() - 1);
                        let range = format!("Content-Range: bytes {from}-{to}/{}\r\n", file.len());
                        ("206 Partial Content", range, &file[from..=to])
                    }
                }
            }
        };
        let mut tag = DefaultHasher::new();
        path.hash(&mut tag);
        let tag = tag.finish();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{range}x-repo-commit: {REVISION}\r\netag: \"tag{tag}\"\r\n\r\n",
            body.len()
        )
        .ok()?;
        stream.write_all(body).ok()?;
    }
}

fn hub_files() -> HashMap<String, Vec<u8>> {
    let file = |name: &str| {
        let path = format!("/{REPO}/resolve/{REVISION}/{name}");
        (path, std::fs::read(model_folder().join(name)).unwrap())
    };
    FILES.into_iter().map(file).collect()
}

fn pull(models: &Path, hub: &str, home: &Path, offline: bool) -> (bool, String) {
    run(&["pull", "--models", models.to_str().unwrap()], hub, home, offline)
}

fn run(arguments: &[&str], hub: &str, home: &Path, offline: bool) -> (bool, String) {
    let output = likewise(arguments)
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", home)
        .env("HF_HUB_OFFLINE", if offline { "1" } else { "0" })
        .env("PYTHON", "/no/python/here")
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_pull_prefers_the_folder_then_the_cache_then_the_hub() {
    let hub = Hub::start(hub_files());
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (success, stderr) = pull(models.path(), &hub.address, home.path(), false);
    assert!(success && stderr.contains("from the hub"), "{stderr}");
    let connections = hub.connections.load(Ordering::Relaxed);
    assert!(connections > 0);
    assert!(open(&models.path().join("all-MiniLM-L6-v2")).is_ok());

    let (success, stderr) = pull(models.path(), &hub.address, home.path(), false);
    assert!(success && stderr.contains("from the folder itself"), "{stderr}");

    let other_models = tempfile::tempdir().unwrap();
    let (success, stderr) = pull(other_models.path(), &hub.address, home.path(), true);
    assert!(success && stderr.contains("from the hub's local cache"), "{stderr}");
    assert_eq!(hub.connections.load(Ordering::Relaxed), connections, "a local copy must need no request");
}

#[test]
fn files_with_a_wrong_checksum_are_not_installed() {
    let mut files = hub_files();
    files.values_mut().for_each(|bytes| bytes[60] ^= 1);
    let hub = Hub::start(files);
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (success, stderr) = pull(models.path(), &hub.address, home.path(), false);
    assert!(!success && stderr.contains("the SHA-256 must be"), "{stderr}");
    assert!(!models.path().join("all-MiniLM-L6-v2").exists(), "unverified files must be removed");
}

#[test]
fn if_no_source_works_every_reason_is_reported() {
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (success, stderr) = pull(models.path(), "http://127.0.0.1:9", home.path(), true);
    assert!(!success);
    for part in ["the hub's local cache: ", "HF_HUB_OFFLINE=1", "/no/python/here", "model.safetensors"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

/// Adds a repository to the files of a hub: the list of files, the files of a folder, and `extra` files with dummy
/// content.
fn add_repository(files: &mut HashMap<String, Vec<u8>>, repo: &str, folder: &Path, extra: &[&str]) {
    let mut names: Vec<String> = extra.iter().map(|name| (*name).into()).collect();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        match std::fs::read_dir(entry.path()) {
            Ok(inner) => names
                .extend(inner.flatten().map(|file| format!("{name}/{}", file.file_name().to_str().unwrap()))),
            Err(_) => names.push(name),
        }
    }
    for name in &names {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_else(|_| vec![7; 9]);
        files.insert(format!("/{repo}/resolve/main/{name}"), bytes);
    }
    let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({"rfilename": name})).collect();
    let listing = serde_json::json!({"siblings": siblings, "sha": REVISION});
    files.insert(format!("/api/models/{repo}/revision/main"), listing.to_string().into_bytes());
}

#[test]
fn any_repository_can_be_pulled_and_ingest_pulls_the_model_it_needs() {
    let mut files = HashMap::new();
    add_repository(&mut files, "owner/gemma", &small("gemma3"), &["onnx/model.onnx", "tf_model.h5"]);
    let hub = Hub::start(files);
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = ["--models", models.path().to_str().unwrap()];
    let (success, stderr) =
        run(&[&["pull", "owner/gemma"], &options[..]].concat(), &hub.address, home.path(), false);
    assert!(success && stderr.contains("from the hub"), "{stderr}");
    let folder = models.path().join("owner/gemma");
    assert!(
        open(&folder)
            .is_ok_and(|opened| opened.config.dense.len() == 2 && opened.prompt.query.contains("query: "))
    );
    assert!(
        !folder.join("tf_model.h5").exists() && !folder.join("onnx").exists(),
        "files that are not needed must not be downloaded"
    );
    let connections = hub.connections.load(Ordering::Relaxed);
    let (success, stderr) =
        run(&[&["pull", "owner/gemma"], &options[..]].concat(), &hub.address, home.path(), false);
    assert!(success && stderr.contains("from the folder itself"), "{stderr}");

    std::fs::remove_dir_all(&folder).unwrap();
    let data = tempfile::tempdir().unwrap();
    let dump = data.path().join("dump.jsonl");
    std::fs::write(&dump, r#"{"id": "a", "title": "Bees", "abstract": "They count to four."}"#).unwrap();
    let ingest =
        ["ingest", dump.to_str().unwrap(), "--data", data.path().to_str().unwrap(), "--model", "owner/gemma"];
    let (success, stderr) = run(&[&ingest[..], &options[..]].concat(), &hub.address, home.path(), true);
    assert!(
        success
            && stderr.contains("owner/gemma is neither a folder nor installed in")
            && stderr.contains("\nowner/gemma in "),
        "{stderr}"
    );
    assert_eq!(hub.connections.load(Ordering::Relaxed), connections, "the model must come from the cache");
}

#[test]
fn an_unsupported_repository_is_refused_before_its_weights_are_downloaded() {
    let mut files = HashMap::new();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("config.json", r#"{"model_type": "mamba", "d_model": 8}"#), ("tokenizer.json", "{}")]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    add_repository(&mut files, "owner/mamba", folder.path(), &["model.safetensors"]);
    files.remove("/owner/mamba/resolve/main/model.safetensors");
    let hub = Hub::start(files);
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arguments = ["pull", "owner/mamba", "--models", models.path().to_str().unwrap()];
    let (success, stderr) = run(&arguments, &hub.address, home.path(), false);
    assert!(!success && stderr.contains("model_type \"mamba\" is not supported"), "{stderr}");
    assert!(!models.path().join("owner/mamba").exists());
}

#[test]
fn pulling_a_built_in_model_records_checksums_and_gets_adapters_from_their_own_repositories() {
    let (base, adapters) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        std::fs::copy(small("specter2").join(file), base.path().join(file)).unwrap();
    }
    let mut files = HashMap::new();
    add_repository(&mut files, "allenai/specter2_base", base.path(), &[]);
    for (repo, adapter) in
        [("allenai/specter2", "proximity"), ("allenai/specter2_adhoc_query", "adhoc_query")]
    {
        add_repository(&mut files, repo, &small("specter2").join(adapter), &[]);
    }
    drop(adapters);
    let hub = Hub::start(files);
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arguments = ["pull", "specter2", "--models", models.path().to_str().unwrap()];
    let (success, stderr) = run(&arguments, &hub.address, home.path(), false);
    assert!(success, "{stderr}");
    let folder = models.path().join("specter2");
    let written = std::fs::read_to_string(folder.join("model.toml")).unwrap();
    assert_eq!(written.matches("sha256").count(), 8, "{written}");
    // The manifest is of the real SPECTER2, but the files are of a small model.
    let message = open(&folder).unwrap_err().to_string();
    assert!(message.contains("the model has 32") && message.contains("states dimension 768"), "{message}");
    let (success, stderr) = run(&arguments, &hub.address, home.path(), true);
    assert!(success && stderr.contains("from the folder itself"), "{stderr}");
    std::fs::write(folder.join("proximity/pytorch_adapter.bin"), "swapped").unwrap();
    let message = open(&folder).unwrap_err().to_string();
    assert!(message.contains("pytorch_adapter.bin: the size must be"), "{message}");
}

#[test]
fn a_manifest_with_a_path_outside_its_folder_is_refused() {
    for (from, to) in [
        ("path = \"config.json\"", "path = \"../config.json\""),
        ("path = \"config.json\"", "path = \"/etc/config.json\""),
        ("name = \"all-MiniLM-L6-v2\"", "name = \"../elsewhere\""),
    ] {
        let folder = copy();
        let manifest = folder.path().join("model.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        assert!(text.contains(from));
        std::fs::write(&manifest, text.replace(from, to)).unwrap();
        let message = open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("must be inside the model folder"), "{message}");
    }
}
