//! Ingest: counts, interruption, replacement, a different model.

use crate::support::{TestRng, data, encoder, ingest, likewise};
use likewise::Filter;
use likewise::ingest::{FolderWriter, catalog_path};
use likewise::search::{Examples, Library, Query};
use likewise::store::catalog::Catalog;
use likewise_papers::{Paper, PaperId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn similar_to(id: &str, k: usize) -> Query {
    Query { k, min_score: Some(0.0), ..Query::of(Examples::papers(vec![id.into()])) }
}

/// Checks that a data folder has `papers` papers, and that a query with the text of any paper finds this text.
fn assert_all_found(folder: &Path, papers: usize) {
    let library = Library::open(folder, encoder()).unwrap();
    let stats = library.stats();
    assert_eq!((stats.papers, stats.without_vector), (papers, 0));
    let catalog = Catalog::open(&catalog_path(folder)).unwrap();
    let numbers: Vec<_> = catalog.matching(&Filter::default()).unwrap().iter().collect();
    for (_, paper) in catalog.get(&numbers).unwrap() {
        let text = likewise::store::text::text_of(&paper);
        let query = Query { k: 1, ..Query::of(Examples::text(text.clone())) };
        let hit = &library.search(&query).unwrap().hits[0];
        assert!(hit.cosine() > 0.99, "{}: {}", paper.id, hit.score);
        // If several papers have this text, each of these papers can be the first hit.
        assert_eq!(likewise::store::text::text_of(&hit.paper), text, "{}", paper.id);
    }
}

#[test]
fn a_second_run_changes_and_encodes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let counts = ingest(folder.path(), &[data("five/plain.jsonl")]);
    assert_eq!((counts.read, counts.added, counts.encoded), (5, 5, 5));
    let counts = ingest(folder.path(), &[data("five/plain.jsonl"), data("five/arxiv.jsonl")]);
    assert_eq!((counts.read, counts.unchanged, counts.encoded), (10, 10, 0));
    // The papers of the saved pages have other ids, but the same texts, so they are merged with the existing papers.
    let counts = ingest(folder.path(), &[data("five/daily-dated.txt"), data("five/daily-undated.txt")]);
    assert_eq!((counts.added, counts.merged, counts.unchanged, counts.encoded), (0, 5, 5, 0));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!((library.stats().papers, library.stats().vectors), (5, 5));
}

#[test]
fn papers_with_the_same_text_and_other_authors_share_a_vector() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let twin = folder.path().join("twin.jsonl");
    let line = r#"{"id":"twin","title":"Bees that count","abstract":"Honey bees separate displays by the number of their elements.","authors":["Another"]}"#;
    std::fs::write(&twin, line).unwrap();
    let counts = ingest(folder.path(), &[twin]);
    assert_eq!((counts.added, counts.encoded), (1, 0));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!((library.stats().papers, library.stats().vectors), (6, 5));
    let hits = library.search(&similar_to("2101.00004", 3)).unwrap().hits;
    assert_eq!(
        (hits[0].paper.id.as_str(), hits.len()),
        ("twin", 3),
        "the paper with the same text must be nearest"
    );
}

#[test]
fn a_paper_with_the_same_id_replaces_the_old_text() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let changed = folder.path().join("changed.jsonl");
    let line = r#"{"id":"arXiv:2101.00001v2","title":"Pricing of carbon permits","abstract":"We compare auctions of emission permits."}"#;
    std::fs::write(&changed, line).unwrap();
    let counts = ingest(folder.path(), &[changed]);
    assert_eq!((counts.replaced, counts.encoded), (1, 1));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!(library.paper("2101.00001").unwrap().title, "Pricing of carbon permits");
    let text = Examples::text("Tidal heating of icy moons keeps an ocean liquid".into());
    for exact in [false, true] {
        let query = Query { k: 10, exact, min_score: Some(0.0), ..Query::of(text.clone()) };
        let hits = library.search(&query).unwrap().hits;
        assert_eq!(hits.len(), 5);
        assert!(hits.iter().all(|hit| hit.cosine() < 0.5), "the replaced text is still found: {hits:?}");
    }
}

#[test]
fn papers_without_a_vector_are_encoded_when_the_library_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    // As if the process had been killed after it wrote a paper to the catalog and before it encoded the paper.
    let catalog = Catalog::create(&catalog_path(folder.path())).unwrap();
    let paper = Paper {
        id: PaperId::parse("late").unwrap(),
        title: "Late paper".into(),
        r#abstract: "It was acknowledged just before the power failed.".into(),
        ..Paper::default()
    };
    catalog.upsert(&[paper]).unwrap();
    assert_all_found(folder.path(), 6);
}

#[test]
fn a_folder_of_another_model_is_refused_with_both_fingerprints() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let fingerprint = encoder().model().fingerprint.sha256.clone();
    let catalog = Catalog::create(&catalog_path(folder.path())).unwrap();
    catalog.set_space("another-fingerprint").unwrap();
    let errors = [
        Library::open(folder.path(), encoder()).err().unwrap().to_string(),
        FolderWriter::open(folder.path(), &encoder()).err().unwrap().to_string(),
    ];
    for message in errors {
        assert!(message.contains("another-fingerprint") && message.contains(&fingerprint), "{message}");
    }
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = encoder();
    let _first = FolderWriter::open(folder.path(), &encoder).unwrap();
    let message = FolderWriter::open(folder.path(), &encoder).err().unwrap().to_string();
    assert!(message.contains("is writing to the folder"), "{message}");
}

/// Returns a dump in which papers are added, replaced, repeated with another id, and deleted. Also returns the text of
/// every paper that must exist after the whole dump is ingested, by paper id.
fn dump_with_changes(papers: usize) -> (String, BTreeMap<String, String>) {
    let (mut lines, mut expected) = (String::new(), BTreeMap::new());
    let mut add = |expected: &mut BTreeMap<String, String>, number: usize, item: &str| {
        let _ = writeln!(
            lines,
            r#"{{"id":"p{number}","title":"Paper {number}","abstract":"On item {item}.","doi":"10.1000/{number}"}}"#
        );
        expected.insert(format!("p{number}"), format!("Paper {number}. On item {item}."));
    };
    let mut last_lines = String::new();
    for number in 0..papers {
        add(&mut expected, number, &number.to_string());
        match number % 40 {
            7 => add(&mut expected, number - 3, "of another edition"),
            21 => {
                let _ = writeln!(last_lines, r#"{{"id":"p{}","deleted":true}}"#, number - 5);
                expected.remove(&format!("p{}", number - 5));
            }
            33 => {
                let _ = writeln!(
                    last_lines,
                    r#"{{"id":"q{number}","title":"The same","abstract":"In other words: {number}.","doi":"10.1000/{number}"}}"#
                );
            }
            _ => {}
        }
    }
    (lines + &last_lines, expected)
}

#[test]
fn a_killed_ingest_continues_without_losing_papers() {
    let max_kills: usize = std::env::var("LIKEWISE_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let work = tempfile::tempdir().unwrap();
    let (dump, folder) = (work.path().join("many.jsonl"), work.path().join("data"));
    let (lines, expected) = dump_with_changes(500 * max_kills);
    std::fs::write(&dump, lines).unwrap();
    let arguments =
        ["ingest", dump.to_str().unwrap(), "--data", folder.to_str().unwrap(), "--precision", "f32"];
    let (mut kills, mut random) = (0, TestRng(5));
    loop {
        let mut command = likewise(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if kills < max_kills {
            // Each run first skips the entries that earlier runs ingested. This takes longer from run to run.
            std::thread::sleep(Duration::from_millis(100 + random.below(600 + 12 * kills) as u64));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
        }
        if child.wait().unwrap().success() {
            break;
        }
    }
    assert!(kills >= max_kills.min(3), "the run ended after {kills} kills");
    let model = encoder().model().clone();
    assert_eq!(likewise::ingest::precision_of(&folder, &model).unwrap(), Some(model.precision));
    let vector_store = likewise::store::vector_store::VectorStore::open(&folder, &model.fingerprint).unwrap();
    let texts: BTreeSet<_> = vector_store.texts().collect();
    assert_eq!(
        (texts.len(), vector_store.damaged().len()),
        (vector_store.vectors().len(), 0),
        "each text must have one undamaged vector"
    );
    assert_papers(&folder, &expected);
    println!("{kills} kills, {} papers", expected.len());
}

/// Checks that a data folder has exactly the expected papers (text by id), and that the vector of each text finds the
/// paper with this text.
fn assert_papers(folder: &Path, expected: &BTreeMap<String, String>) {
    let library = Library::open(folder, encoder()).unwrap();
    assert_eq!((library.stats().papers, library.stats().without_vector), (expected.len(), 0));
    let (ids, texts): (Vec<_>, Vec<_>) = expected.iter().map(|(id, text)| (id, text.as_str())).unzip();
    for (ids, texts) in ids.chunks(4096).zip(texts.chunks(4096)) {
        for (id, embedding) in
            ids.iter().zip(encoder().encode(texts, likewise_encoder::model::InputType::Document).unwrap())
        {
            let query = Query { k: 1, ..Query::of(Examples::vector(embedding.vector)) };
            let hit = library.search(&query).unwrap().hits.remove(0);
            assert!(
                hit.paper.id.as_str() == *id && hit.cosine() > 0.99,
                "{id}: {} {}",
                hit.paper.id,
                hit.score
            );
        }
    }
}

#[test]
fn an_unfinished_new_catalog_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(connection);
    assert!(path.metadata().unwrap().len() > 0);
    assert!(likewise::ingest::model_of(folder.path(), Path::new("no-models-here")).unwrap().is_none());
    assert_eq!(likewise::ingest::precision_of(folder.path(), encoder().model()).unwrap(), None);
    drop(FolderWriter::open(folder.path(), &encoder()).unwrap());
    assert!(likewise::ingest::model_of(folder.path(), Path::new("no-models-here")).unwrap().is_some());
}

#[test]
fn writes_that_were_cut_off_are_repeated() {
    let work = tempfile::tempdir().unwrap();
    let (dump, folder) = (work.path().join("many.jsonl"), work.path().join("data"));
    let (lines, expected) = dump_with_changes(2000);
    std::fs::write(&dump, lines).unwrap();
    let arguments =
        ["ingest", dump.to_str().unwrap(), "--data", folder.to_str().unwrap(), "--precision", "f32"];
    let start = || likewise(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for lost_bytes in [7, 1000, 5000] {
        let mut child = start();
        std::thread::sleep(Duration::from_millis(700));
        child.kill().unwrap();
        child.wait().unwrap();
        let store_folder =
            likewise::store::vector_store::VectorStore::folder(&folder, &encoder().model().fingerprint)
                .unwrap();
        for path in
            [folder.join("catalog.sqlite-wal"), store_folder.join("vectors.f32"), store_folder.join("keys")]
        {
            let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) else { continue };
            let length = file.metadata().unwrap().len();
            // A power failure can cut off the end of a file like this, if the last bytes are not synced to disk.
            file.set_len(length.saturating_sub(lost_bytes.min(length.saturating_sub(64)))).unwrap();
        }
    }
    let output = start().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_papers(&folder, &expected);
}

/// Ingests to a disk that is too small, enlarges the disk, and ingests again. The script runs in a mount namespace,
/// which needs no root.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=1800k none "$DISK" || exit 99
    "$LIKEWISE" ingest "$DUMP" --data "$DISK/data" --precision f32 2>"$WORK/full.err"; echo "full: $?"
    "$LIKEWISE" search "item 17" --data "$DISK/data" -k 1 >/dev/null 2>"$WORK/search.err"; echo "search: $?"
    mount -o remount,size=64m "$DISK"
    "$LIKEWISE" ingest "$DUMP" --data "$DISK/data" --precision f32 2>"$WORK/enlarged.err"; echo "enlarged: $?"
    "$LIKEWISE" verify --data "$DISK/data" 2>&1; echo "verify: $?"
    cp -r "$DISK/data" "$WORK/data"
"#;

#[test]
fn an_ingest_to_a_full_disk_fails_and_continues_when_space_is_free() {
    let work = tempfile::tempdir().unwrap();
    let (dump, disk) = (work.path().join("many.jsonl"), work.path().join("disk"));
    let (lines, expected) = dump_with_changes(2000);
    std::fs::write(&dump, lines).unwrap();
    std::fs::create_dir(&disk).unwrap();
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK])
        .env("LIKEWISE", env!("CARGO_BIN_EXE_likewise"))
        .env("DUMP", &dump)
        .env("DISK", &disk)
        .env("WORK", work.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |name: &str| std::fs::read_to_string(work.path().join(name)).unwrap_or_default();
    let full = read("full.err");
    assert!(
        printed.contains("full: 1") && full.contains("free some disk space and run the same command again"),
        "{printed}{full}"
    );
    assert!(
        printed.contains("enlarged: 0") && printed.contains("verify: 0"),
        "{printed}{}",
        read("enlarged.err")
    );
    assert_papers(&work.path().join("data"), &expected);
}

#[test]
fn the_complete_files_of_a_watched_folder_are_ingested_once() {
    let work = tempfile::tempdir().unwrap();
    let (inbox, folder) = (work.path().join("inbox"), work.path().join("data"));
    std::fs::create_dir(&inbox).unwrap();
    let start = || {
        let arguments = ["ingest", "--watch", inbox.to_str().unwrap(), "--data", folder.to_str().unwrap()];
        likewise(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let wait_for = |papers: usize, files: usize| {
        let paper_count =
            || Catalog::open(&catalog_path(&folder)).and_then(|catalog| catalog.count()).unwrap_or_default();
        let started = Instant::now();
        let file_count =
            || Catalog::open(&catalog_path(&folder)).and_then(|catalog| Ok(catalog.ingested_files()?.len()));
        while paper_count() != papers || file_count().unwrap_or_default() != files {
            assert!(started.elapsed() < Duration::from_secs(60), "{} papers after 60 s", paper_count());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let mut child = start();
    std::fs::copy(data("five/plain.jsonl"), inbox.join("one.jsonl.partial")).unwrap();
    std::fs::write(inbox.join("notes.md"), "# No dump").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        !Catalog::open(&catalog_path(&folder)).is_ok_and(|catalog| catalog.count().unwrap() > 0),
        "an incomplete file was ingested"
    );
    std::fs::rename(inbox.join("one.jsonl.partial"), inbox.join("one.jsonl")).unwrap();
    wait_for(5, 2);
    // While the watching process reads no file, other processes can write. A paper that another process deletes is not
    // ingested again.
    let deleted = likewise(&["delete", "2101.00001", "--data", folder.to_str().unwrap()]).output().unwrap();
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let line = r#"{"id":"six","title":"A sixth paper","abstract":"It came the next day."}"#;
    std::fs::write(inbox.join("two.jsonl"), line).unwrap();
    wait_for(5, 3);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(stderr.matches("one.jsonl").count(), 1, "{stderr}");
    assert!(stderr.contains("skipped") || stderr.contains("notes.md"), "{stderr}");

    let mut child = start();
    std::thread::sleep(Duration::from_secs(4));
    child.kill().unwrap();
    let stderr = String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned();
    assert!(!stderr.contains("ingesting"), "files were ingested a second time: {stderr}");
}
