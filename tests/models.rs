//! The model's files: where they come from, and what is said when they are wrong.

use crate::support::{likewise, model_folder};
use likewise::encoder::Encoder;
use likewise::model::{ModelFolder, Pooling, Precision};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const REPO: &str = "sentence-transformers/all-MiniLM-L6-v2";
const REVISION: &str = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41";
const FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];

fn open(folder: &Path) -> likewise::Result<ModelFolder> {
    ModelFolder::open(folder.to_str().unwrap(), Path::new("no-models-here"), Precision::F32)
}

/// A copy of the model's folder, for spoiling.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES.into_iter().chain(["model.toml"]) {
        std::fs::copy(model_folder().join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn wrong_files_are_named_with_what_was_got_and_what_to_do() {
    let folder = copy();
    let config = folder.path().join("config.json");
    let right = std::fs::read(&config).unwrap();
    let mut wrong = right.clone();
    wrong[100] ^= 1;
    std::fs::write(&config, &wrong).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json: got SHA-256") && message.contains("likewise pull"), "{message}");
    std::fs::write(&config, &right[..50]).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json: got 50 bytes, wanted 612"), "{message}");
    std::fs::remove_file(&config).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json") && message.contains("likewise pull"), "{message}");
}

#[test]
fn a_sentence_transformers_folder_is_taken_as_it_is() {
    let folder = copy();
    std::fs::remove_file(folder.path().join("model.toml")).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("1_Pooling/config.json"), "{message}");
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(folder.path().join("1_Pooling/config.json"), r#"{"pooling_mode_mean_tokens": true}"#)
        .unwrap();
    std::fs::write(folder.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 256}"#).unwrap();
    let opened = open(folder.path()).unwrap();
    assert_eq!((opened.pooling, opened.max_length), (Pooling::Mean, 256));
    let ours = open(&model_folder()).unwrap();
    assert_eq!(opened.fingerprint, ours.fingerprint, "the same model, whoever describes it");
    let shorter = r#"{"max_seq_length": 128}"#;
    std::fs::write(folder.path().join("sentence_bert_config.json"), shorter).unwrap();
    assert_ne!(open(folder.path()).unwrap().fingerprint, ours.fingerprint);
}

#[test]
fn a_model_that_puts_a_prompt_before_every_text_is_refused() {
    let folder = copy();
    std::fs::remove_file(folder.path().join("model.toml")).unwrap();
    let stated = r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#;
    std::fs::write(folder.path().join("config_sentence_transformers.json"), stated).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("the default prompt \"query\" is not supported"), "{message}");
}

#[test]
fn a_statement_that_the_model_contradicts_is_refused() {
    for (right, wrong, said) in [
        ("max_length = 256", "max_length = 1024", "maximum length of 1024, but the model has 512"),
        ("dimension = 384", "dimension = 385", "dimension 385, but the model has 384"),
    ] {
        let folder = copy();
        let manifest = folder.path().join("model.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(&manifest, text.replace(right, wrong)).unwrap();
        let message = open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small-bert");
    for name in ["config.json", "model.safetensors", "modules.json"] {
        std::fs::copy(small.join(name), folder.path().join(name)).unwrap();
    }
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::copy(small.join("1_Pooling/config.json"), folder.path().join("1_Pooling/config.json")).unwrap();
    std::fs::copy(model_folder().join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let encoder = Encoder::load(&open(folder.path()).unwrap()).unwrap();
    let message = encoder.encode_one("glacier").unwrap_err().to_string();
    assert!(message.contains("not in the model's vocabulary"), "{message}");
}

#[test]
fn an_unknown_architecture_is_refused_by_name() {
    let folder = copy();
    std::fs::remove_file(folder.path().join("model.toml")).unwrap();
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(folder.path().join("1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#)
        .unwrap();
    let distilbert = r#"{"model_type": "distilbert", "dim": 768, "n_layers": 6}"#;
    std::fs::write(folder.path().join("config.json"), distilbert).unwrap();
    let message = open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("config.json: model_type \"distilbert\" is not supported"), "{message}");
}

#[test]
fn a_name_that_is_nowhere_says_what_to_do() {
    let message = ModelFolder::open("all-MiniLM-L6-v2", Path::new("no-models-here"), Precision::F32)
        .unwrap_err()
        .to_string();
    assert!(message.contains("run `likewise pull all-MiniLM-L6-v2`"), "{message}");
    let message =
        ModelFolder::open("no-such-model", Path::new("models"), Precision::F32).unwrap_err().to_string();
    assert!(message.contains("no-such-model"), "{message}");
}

/// A model hub of three files, which counts its visitors.
struct Hub {
    address: String,
    visits: Arc<AtomicUsize>,
}

impl Hub {
    fn start(files: HashMap<String, Vec<u8>>) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&visits);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                let files = files.clone();
                std::thread::spawn(move || answer(stream, &files));
            }
        });
        Hub { address, visits }
    }
}

/// Answers as the hub does: the commit and a tag in the headers, parts of files on demand.
fn answer(stream: TcpStream, files: &HashMap<String, Vec<u8>>) -> Option<()> {
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
        let tag: usize = path.len();
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
    let output = likewise(&["pull", "--models", models.to_str().unwrap()])
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", home)
        .env("HF_HUB_OFFLINE", if offline { "1" } else { "0" })
        .env("PYTHON", "/no/python/here")
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_hub_then_its_cache_then_the_folder_itself() {
    let hub = Hub::start(hub_files());
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (success, said) = pull(models.path(), &hub.address, home.path(), false);
    assert!(success && said.contains("from the hub"), "{said}");
    let visits = hub.visits.load(Ordering::Relaxed);
    assert!(visits > 0);
    assert!(open(&models.path().join("all-MiniLM-L6-v2")).is_ok());

    let (success, said) = pull(models.path(), &hub.address, home.path(), false);
    assert!(success && said.contains("from the folder itself"), "{said}");

    let elsewhere = tempfile::tempdir().unwrap();
    let (success, said) = pull(elsewhere.path(), &hub.address, home.path(), true);
    assert!(success && said.contains("from the hub's local cache"), "{said}");
    assert_eq!(hub.visits.load(Ordering::Relaxed), visits, "a local copy needs no request");
}

#[test]
fn a_hub_with_other_bytes_is_not_believed() {
    let mut files = hub_files();
    files.values_mut().for_each(|bytes| bytes[60] ^= 1);
    let hub = Hub::start(files);
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (success, said) = pull(models.path(), &hub.address, home.path(), false);
    assert!(!success && said.contains("got SHA-256"), "{said}");
    let left = std::fs::read_dir(models.path().join("all-MiniLM-L6-v2")).unwrap().count();
    assert_eq!(left, 0, "nothing unverified is left behind");
}

#[test]
fn where_no_source_works_every_reason_is_told() {
    let (models, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (success, said) = pull(models.path(), "http://127.0.0.1:9", home.path(), true);
    assert!(!success);
    for part in ["the hub's local cache: ", "HF_HUB_OFFLINE=1", "/no/python/here", "model.safetensors"] {
        assert!(said.contains(part), "{part} not in {said}");
    }
}
