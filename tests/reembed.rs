//! `likewise reembed`: a different model replaces the one in use, while papers are added and queries are answered.

use crate::support::{
    bf16_encoder, data, encoder, ingest, likewise, model_folder, numbered_paper, small_bert,
};
use likewise::ingest::reembed::{ReembedStep, drop_old, reembed};
use likewise::ingest::{EncodeProgress, FolderWriter, model_of, open_catalog};
use likewise::search::{Examples, Library, Query};
use likewise::store::text::text_of;
use likewise::store::vector_store::VectorStore;
use likewise_encoder::Encoder;
use likewise_encoder::model::{Fingerprint, ModelFolder, Precision};
use likewise_papers::dump::Entry;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

fn open(folder: &Path) -> Arc<Encoder> {
    let model = ModelFolder::open(folder.to_str().unwrap(), Path::new(""), Precision::F32).unwrap();
    Arc::new(Encoder::load(&model).unwrap())
}

/// Returns the number of vectors in a data folder that belong to the model with a fingerprint.
fn vector_count(folder: &Path, fingerprint: &Fingerprint) -> usize {
    VectorStore::open(folder, fingerprint).map_or(0, |vector_store| vector_store.vectors().len())
}

fn add(writer: &mut FolderWriter, numbers: std::ops::Range<usize>) {
    let papers = numbers.map(|number| Ok(Entry::Paper(numbered_paper(number, 0)))).collect();
    writer.add(papers).unwrap();
}

/// Checks that each of the made-up papers with these numbers is the first hit of a query with the paper's own text.
fn assert_found(library: &Library, numbers: impl Iterator<Item = usize>) {
    for number in numbers {
        let query = Query { k: 1, ..Query::of(Examples::text(text_of(&numbered_paper(number, 0)))) };
        let hit = library.search(&query).unwrap().hits.remove(0);
        assert!(hit.cosine() > 0.99 && hit.paper.title == number.to_string(), "{number}: {hit:?}");
    }
}

#[test]
fn a_killed_run_continues_and_papers_added_meanwhile_get_both_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (encoder(), bf16_encoder());
    let (path, fingerprint) = (folder.path(), &new.model().fingerprint);
    let mut writer = FolderWriter::open(path, &old).unwrap();
    // The child saves vectors once per chunk, and chunks are larger on machines with more cores. The test needs several
    // chunks, because it kills the child when only a part of the vectors is saved.
    let count = (3 * old.chunk_size()).max(2000);
    let later = count + 10;
    add(&mut writer, 0..count);
    writer.finish().unwrap();
    let arguments = ["reembed", "--precision", "bf16", "--data", path.to_str().unwrap()];
    let mut child = likewise(&arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while vector_count(path, fingerprint) < 500 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let before = vector_count(path, fingerprint);
    assert!((500..count).contains(&before), "{before}");
    let library = Library::open(path, Arc::clone(&old)).unwrap();
    let mut writer = FolderWriter::open(path, &old).unwrap();
    add(&mut writer, count..later);
    drop(writer);
    assert_eq!(vector_count(path, fingerprint), before + 10, "new papers must get vectors in both stores");
    let next = library.stats().next.unwrap();
    assert_eq!((next.vectors, &*next.fingerprint), (before + 10, &*fingerprint.sha256));
    assert_found(&library, (0..later).step_by(401));

    // A vector that is damaged between the two runs is encoded again.
    let file = VectorStore::folder(path, fingerprint).unwrap().join("vectors.f32");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[64 + 4 * 384 * 7 + 1] ^= 0x10;
    std::fs::write(&file, bytes).unwrap();
    let mut first = None;
    let summary = reembed(path, &new, |step| {
        first.get_or_insert(step);
    });
    let summary = summary.unwrap().unwrap();
    assert_eq!(first, Some(ReembedStep::Encoding(EncodeProgress { done: 0, total: count - before })));
    assert_eq!((summary.papers, summary.index.indexed + summary.index.waiting), (later, later));
    assert!(summary.recall > 0.95);

    assert!(library.is_superseded().unwrap() && library.stats().next.is_none());
    assert_found(&library, (0..later).step_by(401));
    let message = Library::open(path, old).err().unwrap().to_string();
    assert!(message.contains("likewise reembed"), "{message}");
    let library = Library::open(path, Arc::clone(&new)).unwrap();
    assert_eq!((library.stats().papers, library.stats().without_vector), (later, 0));
    assert_found(&library, (0..later).step_by(7));
    assert!(reembed(path, &new, |_| {}).unwrap().is_none(), "the new model is already in use");
}

#[test]
fn reembed_waits_for_a_writer_and_encodes_the_papers_it_adds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let old = encoder();
    let mut writer = FolderWriter::open(path, &old).unwrap();
    add(&mut writer, 0..300);
    let small = open(&small_bert());
    std::thread::scope(|scope| {
        let (sender, steps) = mpsc::channel();
        let run = scope.spawn(|| {
            reembed(path, &small, move |step| {
                let _ = sender.send(step);
            })
        });
        let is_waiting = |step: ReembedStep| matches!(step, ReembedStep::Waiting(owner) if owner.contains("is writing to the folder"));
        assert!(steps.iter().any(is_waiting), "reembed did not wait for the writer");
        let fingerprint = &small.model().fingerprint;
        assert_eq!(
            (vector_count(path, fingerprint), vector_count(path, &old.model().fingerprint)),
            (300, 300)
        );
        add(&mut writer, 300..340);
        assert_eq!(
            open_catalog(path).unwrap().space().unwrap().as_ref(),
            Some(&old.model().fingerprint.sha256)
        );
        writer.finish().unwrap();
        assert_eq!(run.join().unwrap().unwrap().unwrap().papers, 340);
        assert_eq!(vector_count(path, fingerprint), 340);
    });
    // The data folder stores which model it uses. The old vectors are kept until `drop_old` is called.
    let model = model_of(path, Path::new("no-models-here")).unwrap().unwrap();
    assert_eq!(model.path, small_bert());
    assert_eq!(Library::open(path, Arc::clone(&small)).unwrap().stats().dimension, 36);
    assert_eq!(VectorStore::folders(path).unwrap().len(), 2);
    let dropped = drop_old(path).unwrap();
    assert_eq!((dropped.len(), &*dropped[0].model), (1, "all-MiniLM-L6-v2"));
    assert_eq!(VectorStore::folders(path).unwrap().len(), 1);
    assert_eq!(Library::open(path, small).unwrap().stats().papers, 340);
}

#[test]
fn papers_added_while_reembed_runs_get_both_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (old, small) = (encoder(), open(&small_bert()));
    let mut writer = FolderWriter::open(path, &old).unwrap();
    add(&mut writer, 0..1000);
    writer.finish().unwrap();
    let (mut encodings, mut checks) = (0, 0);
    // Each call opens a separate writer, as another process would.
    let add_now = |numbers| add(&mut FolderWriter::open(path, &old).unwrap(), numbers);
    let summary = reembed(path, &small, |step| {
        match step {
            ReembedStep::Encoding(..) if encodings == 0 => add_now(1000..1010),
            ReembedStep::Checking if checks == 0 => add_now(1010..1020),
            _ => {}
        }
        encodings += usize::from(matches!(step, ReembedStep::Encoding(..)));
        checks += usize::from(step == ReembedStep::Checking);
    });
    assert_eq!(summary.unwrap().unwrap().papers, 1020);
    assert_eq!(vector_count(path, &small.model().fingerprint), 1020);
}

#[test]
fn a_model_that_cannot_encode_papers_does_not_replace_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let broken = folder.path().join("broken");
    std::fs::create_dir_all(broken.join("1_Pooling")).unwrap();
    for name in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ] {
        std::fs::copy(small_bert().join(name), broken.join(name)).unwrap();
    }
    // The embedding of the full stop overflows f32, so texts with a full stop cannot be encoded.
    let mut weights = std::fs::read(small_bert().join("model.safetensors")).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(weights[..8].try_into().unwrap())).unwrap();
    let tensors: serde_json::Value = serde_json::from_slice(&weights[8..header]).unwrap();
    let words = &tensors["embeddings.word_embeddings.weight"];
    let width = words["shape"][1].as_u64().unwrap() as usize * 4;
    let tokenizer = std::fs::read(broken.join("tokenizer.json")).unwrap();
    let tokenizer: serde_json::Value = serde_json::from_slice(&tokenizer).unwrap();
    let stop = tokenizer["model"]["vocab"]["."].as_u64().unwrap() as usize;
    let row = header + words["data_offsets"][0].as_u64().unwrap() as usize + stop * width;
    for value in weights[row..row + width].chunks_exact_mut(4) {
        value.copy_from_slice(&3e38_f32.to_le_bytes());
    }
    std::fs::write(broken.join("model.safetensors"), weights).unwrap();
    let message = reembed(folder.path(), &open(&broken), |_| {}).unwrap_err().to_string();
    assert!(message.contains("5 papers have no vector") && message.contains("stays in use"), "{message}");
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!((library.stats().papers, library.stats().without_vector), (5, 0));
    // `reembed` with the model that is in use cancels the unfinished change to the other model.
    assert!(reembed(folder.path(), &encoder(), |_| {}).unwrap().is_none());
    assert!(library.stats().next.is_none());
    assert_eq!(drop_old(folder.path()).unwrap().len(), 1);
}

#[test]
fn a_server_answers_queries_all_the_time_and_switches_to_the_new_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let ingested =
        likewise(&["ingest", data("sample.jsonl").to_str().unwrap(), "--data", path]).output().unwrap();
    assert!(ingested.status.success());
    let server = crate::support::Server::start(folder.path());
    server.wait_until_ready();
    let served_model = || {
        let body = serde_json::json!({"text": "knots and volumes", "k": 3});
        let mut response = ureq::post(format!("{}/v1/search", server.address)).send_json(&body).unwrap();
        let response: serde_json::Value = response.body_mut().read_json().unwrap();
        assert_eq!(response["hits"].as_array().unwrap().len(), 3);
        response["model"].as_str().unwrap().to_string()
    };
    let change_model = |model: &Path, name: &str| {
        let arguments = ["reembed", "--model", model.to_str().unwrap(), "--data", path];
        let mut child = likewise(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while served_model() != name {
            let has_failed = child.try_wait().unwrap().is_some_and(|status| !status.success());
            assert!(!has_failed && started.elapsed() < Duration::from_secs(60), "{name} is not served");
        }
        assert!(child.wait().unwrap().success());
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut stdout).unwrap();
        assert!(stdout.contains("switched to ") && stdout.contains(": 120 papers"), "{stdout}");
        let dropped = likewise(&["reembed", "--drop-old", "--data", path]).output().unwrap();
        assert!(String::from_utf8_lossy(&dropped.stdout).starts_with("deleted the vectors of"));
        assert_eq!(served_model(), name);
    };
    assert_eq!(served_model(), "all-MiniLM-L6-v2");
    change_model(&small_bert(), "small-bert");
    // A new process without the option --model uses the model of the data folder.
    let found = likewise(&["search", "knots", "--json", "--data", path]).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    change_model(&model_folder(), "all-MiniLM-L6-v2");
}
