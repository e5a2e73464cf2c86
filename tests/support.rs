//! Helpers that several test files use.

use likewise::ingest::{Counts, FolderWriter};
use likewise::search::Library;
use likewise_encoder::model::{ModelFolder, Precision};
use likewise_encoder::{Encoder, Reranker, Tokenized};
use likewise_papers::dump::{self, Dump, Entry};
use likewise_papers::{Paper, PaperId};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Returns the folder of the model that the tests encode with: the value of `LIKEWISE_TEST_MODEL`, or by default the
/// folder of the real model.
pub fn model_folder() -> PathBuf {
    let named = std::env::var("LIKEWISE_TEST_MODEL");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(named.as_deref().unwrap_or("models/all-MiniLM-L6-v2"))
}

/// Returns the folder of a small model with random weights, which is in the repository. For tests that must be fast and
/// do not depend on the quality of the vectors.
pub fn small_bert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small-bert")
}

/// Returns the path of a file or model in `tests/golden/small`.
pub fn small(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small").join(name)
}

/// Reads a JSON file in `tests/golden/small`.
pub fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(small(name)).unwrap()).unwrap()
}

/// Returns the largest difference between a reranker's score and its reference score, over the 200 pairs of
/// `make_cross_encoders.py`. Also checks that some pairs are cut, as `is_cut` says, and that a pair has the same score
/// alone and in a batch, up to `tolerance`.
pub fn max_score_error(
    name: &str,
    reranker: &Reranker,
    tolerance: f32,
    is_cut: impl Fn(&Tokenized) -> bool,
) -> f32 {
    #[derive(serde::Deserialize)]
    struct Golden {
        scores: Vec<f32>,
    }
    let (texts, Golden { scores }): (Vec<String>, Golden) =
        (read("texts.json"), read(&format!("{name}.json")));
    let pairs: Vec<(&str, &str)> =
        (0..200).map(|n| (texts[n % 20].as_str(), texts[(n * 7 + n / 20) % 20].as_str())).collect();
    let tokenize = |(query, text): &(&str, &str)| reranker.tokenize(query, &[text]).unwrap();
    let tokenized: Vec<Tokenized> = pairs.iter().flat_map(tokenize).collect();
    assert!(tokenized.iter().any(is_cut), "{name}: some pairs are cut");
    let together = reranker.score_tokenized(&tokenized).unwrap();
    let mut max_error = 0.0_f32;
    for (index, ((query, text), expected)) in pairs.iter().zip(&scores).enumerate() {
        max_error = max_error.max((together[index].score - expected).abs());
        if index % 10 == 0 {
            let alone = reranker.score(query, &[text]).unwrap()[0];
            let difference = (alone.score - together[index].score).abs();
            assert!(
                difference < tolerance,
                "{name}: pair {index}: {alone:?}, {:?} in a batch",
                together[index]
            );
            assert!((0.0..=1.0).contains(&alone.relevance), "{name}: pair {index}: {alone:?}");
        }
    }
    max_error
}

/// Returns the path of a file in `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns the encoder for the model in [`model_folder`], in f32. The encoder is loaded once.
pub fn encoder() -> Arc<Encoder> {
    static ENCODER: LazyLock<Arc<Encoder>> = LazyLock::new(|| {
        let path = model_folder();
        let folder = ModelFolder::open(path.to_str().unwrap(), Path::new("models"), Precision::F32)
            .unwrap_or_else(|error| panic!("{error}; the tests need the model: run `make setup`"));
        Arc::new(Encoder::load(&folder).unwrap())
    });
    Arc::clone(&ENCODER)
}

/// Returns the encoder for the model in [`model_folder`], in bf16. The precision changes the fingerprint, so the
/// vectors of this encoder are in a separate vector store.
pub fn bf16_encoder() -> Arc<Encoder> {
    static ENCODER: LazyLock<Arc<Encoder>> = LazyLock::new(|| {
        let model = encoder().model().clone().in_precision(Precision::Bf16);
        Arc::new(Encoder::load(&model).unwrap())
    });
    Arc::clone(&ENCODER)
}

/// Ingests dumps into a data folder, and returns the counts.
pub fn ingest(folder: &Path, files: &[PathBuf]) -> Counts {
    let encoder = encoder();
    let mut writer = FolderWriter::open(folder, &encoder).unwrap();
    writer.catch_up(|_| {}).unwrap();
    for file in files {
        let mut entries = dump::read(file, None).unwrap().entries;
        loop {
            let chunk: Vec<_> = entries.by_ref().take(writer.chunk_size()).collect();
            if chunk.is_empty() {
                break;
            }
            writer.add(chunk).unwrap();
        }
    }
    let counts = *writer.counts();
    writer.finish().unwrap();
    counts
}

/// Returns the papers of a dump. Panics if an entry is refused or is not a paper.
pub fn papers_of(dump: Dump) -> Vec<Paper> {
    let paper = |entry| match entry {
        Ok(Entry::Paper(paper) | Entry::Encoded(paper, _)) => paper,
        unexpected => panic!("{unexpected:?}"),
    };
    dump.entries.map(paper).collect()
}

/// Returns a library of the sample's papers. The sample is ingested once. All tests that only read share the library.
pub fn sample() -> Arc<Library> {
    static SAMPLE: LazyLock<(tempfile::TempDir, Arc<Library>)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        ingest(folder.path(), &[data("sample.jsonl")]);
        let library = Library::open(folder.path(), encoder()).unwrap();
        (folder, Arc::new(library))
    });
    Arc::clone(&SAMPLE.1)
}

/// Returns a command that runs the program, without the `LIKEWISE_` variables of the environment (except
/// `LIKEWISE_CPU`). If `LIKEWISE_TEST_MODEL` is set, the program's default model is the one in [`model_folder`].
pub fn likewise(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likewise"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("LIKEWISE_") && name != "LIKEWISE_CPU")
    {
        command.env_remove(name);
    }
    if std::env::var_os("LIKEWISE_TEST_MODEL").is_some() {
        command.env("LIKEWISE_MODEL", model_folder());
    }
    command
}

/// A running server. The server is killed when this value is dropped.
pub struct Server {
    pub child: Child,
    /// Address of the server, with `http://`.
    pub address: String,
    /// Standard error of the server so far.
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Serves a data folder on a free port.
    pub fn start(folder: &Path) -> Server {
        Server::start_with(folder, &[], &[])
    }

    /// Serves a data folder on a free port, with additional arguments and environment variables.
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        let required = ["serve", "--listen", "127.0.0.1:0", "--data", folder.to_str().unwrap()];
        let mut command = likewise(&[&required, arguments].concat());
        command.envs(environment.iter().copied());
        Server::from_command(command)
    }

    /// Runs a command that starts a server, and waits until the server listens.
    pub fn from_command(mut command: Command) -> Server {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut first = String::new();
        while !first.contains("listening on") {
            first = lines.next().expect("the server must print a line when it listens").unwrap();
        }
        let address = first.split("://").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        let log = Arc::new(Mutex::new(format!("{first}\n")));
        let server = Server { address: format!("http://{address}"), child, log: Arc::clone(&log) };
        // The server would block on a full pipe, so a thread reads the server's standard error.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                log.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        server
    }

    /// Waits until `/ready` answers with 200. Panics after 30 seconds.
    pub fn wait_until_ready(&self) {
        let started = Instant::now();
        while ureq::get(format!("{}/ready", self.address)).call().is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the server is not ready after 30 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the standard error of the server so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pseudo-random generator. The same seed gives the same numbers in every run.
pub struct TestRng(pub u64);

impl TestRng {
    /// Returns the next number, from 0 to `limit - 1`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Returns the paper `p/NUMBER`, whose title is the number and whose abstract is the edition.
pub fn numbered_paper(number: usize, edition: usize) -> Paper {
    Paper {
        id: PaperId::parse(&format!("p/{number}")).unwrap(),
        title: number.to_string(),
        r#abstract: edition.to_string(),
        ..Paper::default()
    }
}

/// Copies the files of a folder, and those of its subfolders.
pub fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Returns the cosine of two vectors, computed in f64.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let sum = |pairs: &mut dyn Iterator<Item = (f32, f32)>| {
        pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let dot = |a: &[f32], b: &[f32]| sum(&mut a.iter().copied().zip(b.iter().copied()));
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
