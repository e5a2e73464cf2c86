//! Another model takes the place of the one in use, while papers come and questions are answered.

use crate::support::{data, encoder, ingest, likewise, model_folder, numbered, other, small_bert};
use likewise::ingest::reembed::{Step, drop_old, reembed};
use likewise::ingest::{Writer, model_of, open_catalog};
use likewise::search::{Library, Like, Query};
use likewise::store::space::Space;
use likewise::store::text::text_of;
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

fn vectors(folder: &Path, fingerprint: &Fingerprint) -> usize {
    Space::open(folder, fingerprint).map_or(0, |space| space.vectors().len())
}

fn add(writer: &mut Writer, numbers: std::ops::Range<usize>) {
    let papers = numbers.map(|number| Ok(Entry::Paper(numbered(number, 0)))).collect();
    writer.add(papers).unwrap();
}

/// Every one of the numbered papers is found first by its own text.
fn assert_found(library: &Library, numbers: impl Iterator<Item = usize>) {
    for number in numbers {
        let like = Like::text(text_of(&numbered(number, 0)));
        let query = Query { k: 1, ..Query::of(like) };
        let hit = library.search(&query).unwrap().hits.remove(0);
        assert!(hit.cosine() > 0.99 && hit.paper.title == number.to_string(), "{number}: {hit:?}");
    }
}

#[test]
fn cut_short_it_goes_on_and_what_came_meanwhile_is_in_both() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (encoder(), other());
    let (path, fingerprint) = (folder.path(), &new.model().fingerprint);
    let mut writer = Writer::open(path, &old).unwrap();
    // Vectors are kept a chunk at a time: with many cores, more papers.
    let count = (3 * old.chunk()).max(2000);
    let later = count + 10;
    add(&mut writer, 0..count);
    writer.finish().unwrap();
    let arguments = ["reembed", "--precision", "bf16", "--data", path.to_str().unwrap()];
    let mut child = likewise(&arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while vectors(path, fingerprint) < 500 {
        assert!(child.try_wait().unwrap().is_none(), "it was over before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let before = vectors(path, fingerprint);
    assert!((500..count).contains(&before), "{before}");
    let library = Library::open(path, Arc::clone(&old)).unwrap();
    let mut writer = Writer::open(path, &old).unwrap();
    add(&mut writer, count..later);
    drop(writer);
    assert_eq!(vectors(path, fingerprint), before + 10, "a new paper goes to both");
    let next = library.stats().next.unwrap();
    assert_eq!((next.vectors, &*next.fingerprint), (before + 10, &*fingerprint.sha256));
    assert_found(&library, (0..later).step_by(401));

    // What was damaged meanwhile is encoded again.
    let file = Space::folder(path, fingerprint).unwrap().join("vectors.f32");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[64 + 4 * 384 * 7 + 1] ^= 0x10;
    std::fs::write(&file, bytes).unwrap();
    let mut first = None;
    let took_over = reembed(path, &new, |step| {
        first.get_or_insert(step);
    });
    let took_over = took_over.unwrap().unwrap();
    assert_eq!(first, Some(Step::Encoding(0, count - before)));
    assert_eq!((took_over.papers, took_over.index.indexed + took_over.index.waiting), (later, later));
    assert!(took_over.recall > 0.95);

    assert!(library.is_superseded().unwrap() && library.stats().next.is_none());
    assert_found(&library, (0..later).step_by(401));
    let message = Library::open(path, old).err().unwrap().to_string();
    assert!(message.contains("likewise reembed"), "{message}");
    let library = Library::open(path, Arc::clone(&new)).unwrap();
    assert_eq!((library.stats().papers, library.stats().without_vector), (later, 0));
    assert_found(&library, (0..later).step_by(7));
    assert!(reembed(path, &new, |_| {}).unwrap().is_none(), "it is in use already");
}

#[test]
fn it_waits_for_a_writer_and_takes_what_that_adds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let old = encoder();
    let mut writer = Writer::open(path, &old).unwrap();
    add(&mut writer, 0..300);
    let small = open(&small_bert());
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let run = scope.spawn(|| {
            reembed(path, &small, move |step| {
                let _ = tell.send(step);
            })
        });
        let is_waiting =
            |step: Step| matches!(step, Step::Waiting(owner) if owner.contains("is writing here"));
        assert!(told.iter().any(is_waiting), "it went on although somebody writes");
        let fingerprint = &small.model().fingerprint;
        assert_eq!((vectors(path, fingerprint), vectors(path, &old.model().fingerprint)), (300, 300));
        add(&mut writer, 300..340);
        assert_eq!(
            open_catalog(path).unwrap().space().unwrap().as_ref(),
            Some(&old.model().fingerprint.sha256)
        );
        writer.finish().unwrap();
        assert_eq!(run.join().unwrap().unwrap().unwrap().papers, 340);
        assert_eq!(vectors(path, fingerprint), 340);
    });
    // A folder knows its model, and the one before is there until it is dropped.
    let model = model_of(path, Path::new("no-models-here")).unwrap().unwrap();
    assert_eq!(model.path, small_bert());
    assert_eq!(Library::open(path, Arc::clone(&small)).unwrap().stats().dimension, 36);
    assert_eq!(Space::folders(path).unwrap().len(), 2);
    let dropped = drop_old(path).unwrap();
    assert_eq!((dropped.len(), &*dropped[0].model), (1, "all-MiniLM-L6-v2"));
    assert_eq!(Space::folders(path).unwrap().len(), 1);
    assert_eq!(Library::open(path, small).unwrap().stats().papers, 340);
}

#[test]
fn what_comes_while_it_is_at_work_is_in_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (old, small) = (encoder(), open(&small_bert()));
    let mut writer = Writer::open(path, &old).unwrap();
    add(&mut writer, 0..1000);
    writer.finish().unwrap();
    let (mut encodings, mut checks) = (0, 0);
    // In another process, as far as both can tell.
    let add_now = |numbers| add(&mut Writer::open(path, &old).unwrap(), numbers);
    let took_over = reembed(path, &small, |step| {
        match step {
            Step::Encoding(..) if encodings == 0 => add_now(1000..1010),
            Step::Checking if checks == 0 => add_now(1010..1020),
            _ => {}
        }
        encodings += usize::from(matches!(step, Step::Encoding(..)));
        checks += usize::from(step == Step::Checking);
    });
    assert_eq!(took_over.unwrap().unwrap().papers, 1020);
    assert_eq!(vectors(path, &small.model().fingerprint), 1020);
}

#[test]
fn a_model_that_loses_papers_does_not_take_over() {
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
    // Whatever has a full stop in it comes to more than numbers can hold.
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
    // It is given up by naming the one in use.
    assert!(reembed(folder.path(), &encoder(), |_| {}).unwrap().is_none());
    assert!(library.stats().next.is_none());
    assert_eq!(drop_old(folder.path()).unwrap().len(), 1);
}

#[test]
fn a_server_goes_on_answering_and_changes_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let ingested =
        likewise(&["ingest", data("sample.jsonl").to_str().unwrap(), "--data", path]).output().unwrap();
    assert!(ingested.status.success());
    let server = crate::support::Server::start(folder.path());
    server.wait_until_ready();
    let ask = || {
        let body = serde_json::json!({"text": "knots and volumes", "k": 3});
        let mut answer = ureq::post(format!("{}/v1/search", server.address)).send_json(&body).unwrap();
        let answer: serde_json::Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer["hits"].as_array().unwrap().len(), 3);
        answer["model"].as_str().unwrap().to_string()
    };
    let change = |model: &Path, name: &str| {
        let arguments = ["reembed", "--model", model.to_str().unwrap(), "--data", path];
        let mut child = likewise(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while ask() != name {
            let is_failed = child.try_wait().unwrap().is_some_and(|status| !status.success());
            assert!(!is_failed && started.elapsed() < Duration::from_secs(60), "{name} is not served");
        }
        assert!(child.wait().unwrap().success());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
        assert!(said.contains("took over: 120 papers"), "{said}");
        let dropped = likewise(&["reembed", "--drop-old", "--data", path]).output().unwrap();
        assert!(String::from_utf8_lossy(&dropped.stdout).starts_with("dropped the vectors of"));
        assert_eq!(ask(), name);
    };
    assert_eq!(ask(), "all-MiniLM-L6-v2");
    change(&small_bert(), "small-bert");
    // The server was started before, and this process knows of no model at all.
    let found = likewise(&["search", "knots", "--json", "--data", path]).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    change(&model_folder(), "all-MiniLM-L6-v2");
}
