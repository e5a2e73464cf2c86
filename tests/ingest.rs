//! Ingest: counts, interruption, replacement, another model.

use crate::support::{Random, data, encoder, ingest, likewise};
use likewise::Filter;
use likewise::ingest::{Writer, catalog_path};
use likewise::search::{Library, Like, Query};
use likewise::store::catalog::Catalog;
use likewise_papers::{Paper, PaperId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn like(id: &str, k: usize) -> Query {
    Query { k, min_score: Some(0.0), ..Query::of(Like::papers(vec![id.into()])) }
}

/// Every paper of the folder has a vector that equals a fresh one, and is found by it.
fn assert_nothing_lost(folder: &Path, papers: usize) {
    let library = Library::open(folder, encoder()).unwrap();
    let stats = library.stats();
    assert_eq!((stats.papers, stats.without_vector), (papers, 0));
    let catalog = Catalog::open(&catalog_path(folder)).unwrap();
    let numbers: Vec<_> = catalog.matching(&Filter::default()).unwrap().iter().collect();
    for (_, paper) in catalog.get(&numbers).unwrap() {
        let text = likewise::store::text::text_of(&paper);
        let query = Query { k: 1, ..Query::of(Like::text(text.clone())) };
        let hit = &library.search(&query).unwrap().hits[0];
        assert!(hit.cosine() > 0.99, "{}: {}", paper.id, hit.score);
        // Of papers with the same text any may come; of another text, none.
        assert_eq!(likewise::store::text::text_of(&hit.paper), text, "{}", paper.id);
    }
}

#[test]
fn the_second_run_changes_and_encodes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let counts = ingest(folder.path(), &[data("five/plain.jsonl")]);
    assert_eq!((counts.read, counts.added, counts.encoded), (5, 5, 5));
    let counts = ingest(folder.path(), &[data("five/plain.jsonl"), data("five/arxiv.jsonl")]);
    assert_eq!((counts.read, counts.unchanged, counts.encoded), (10, 10, 0));
    // A page's papers have other ids and the same texts: they are the same papers.
    let counts = ingest(folder.path(), &[data("five/daily-dated.txt"), data("five/daily-undated.txt")]);
    assert_eq!((counts.added, counts.folded, counts.unchanged, counts.encoded), (0, 5, 5, 0));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!((library.stats().papers, library.stats().vectors), (5, 5));
}

#[test]
fn the_same_text_by_another_author_is_another_paper_and_shares_the_vector() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let twin = folder.path().join("twin.jsonl");
    let line = r#"{"id":"twin","title":"Bees that count","abstract":"Honey bees separate displays by the number of their elements.","authors":["Another"]}"#;
    std::fs::write(&twin, line).unwrap();
    let counts = ingest(folder.path(), &[twin]);
    assert_eq!((counts.added, counts.encoded), (1, 0));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!((library.stats().papers, library.stats().vectors), (6, 5));
    let hits = library.search(&like("2101.00004", 3)).unwrap().hits;
    assert_eq!((hits[0].paper.id.as_str(), hits.len()), ("twin", 3), "its twin is its nearest");
}

#[test]
fn the_same_id_replaces_and_the_old_text_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let changed = folder.path().join("changed.jsonl");
    let line = r#"{"id":"arXiv:2101.00001v2","title":"Pricing of carbon permits","abstract":"We compare auctions of emission permits."}"#;
    std::fs::write(&changed, line).unwrap();
    let counts = ingest(folder.path(), &[changed]);
    assert_eq!((counts.replaced, counts.encoded), (1, 1));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!(library.paper("2101.00001").unwrap().title, "Pricing of carbon permits");
    let text = Like::text("Tidal heating of icy moons keeps an ocean liquid".into());
    for exact in [false, true] {
        let query = Query { k: 10, exact, min_score: Some(0.0), ..Query::of(text.clone()) };
        let hits = library.search(&query).unwrap().hits;
        assert_eq!(hits.len(), 5);
        assert!(hits.iter().all(|hit| hit.cosine() < 0.5), "the replaced text still answers: {hits:?}");
    }
}

#[test]
fn what_is_in_the_catalog_only_is_caught_up_with_at_start() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    // As if the process had been killed between the catalog and the encoder.
    let catalog = Catalog::create(&catalog_path(folder.path())).unwrap();
    let paper = Paper {
        id: PaperId::parse("late").unwrap(),
        title: "Late paper".into(),
        r#abstract: "It was acknowledged just before the power went.".into(),
        ..Paper::default()
    };
    catalog.upsert(&[paper]).unwrap();
    assert_nothing_lost(folder.path(), 6);
}

#[test]
fn a_folder_of_another_model_is_refused_with_both_fingerprints() {
    let folder = tempfile::tempdir().unwrap();
    ingest(folder.path(), &[data("five/plain.jsonl")]);
    let mine = encoder().model().fingerprint.sha256.clone();
    let catalog = Catalog::create(&catalog_path(folder.path())).unwrap();
    catalog.set_space("another-fingerprint").unwrap();
    let errors = [
        Library::open(folder.path(), encoder()).err().unwrap().to_string(),
        Writer::open(folder.path(), &encoder()).err().unwrap().to_string(),
    ];
    for message in errors {
        assert!(message.contains("another-fingerprint") && message.contains(&mine), "{message}");
    }
}

#[test]
fn a_second_writer_is_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = encoder();
    let _first = Writer::open(folder.path(), &encoder).unwrap();
    let message = Writer::open(folder.path(), &encoder).err().unwrap().to_string();
    assert!(message.contains("is writing here"), "{message}");
}

/// Lines of a dump in which papers are added, replaced, said twice and deleted; and the papers that are there at the
/// end, each with its text.
fn eventful_dump(papers: usize) -> (String, BTreeMap<String, String>) {
    let (mut lines, mut wanted) = (String::new(), BTreeMap::new());
    let mut say = |wanted: &mut BTreeMap<String, String>, number: usize, item: &str| {
        let _ = writeln!(
            lines,
            r#"{{"id":"p{number}","title":"Paper {number}","abstract":"On item {item}.","doi":"10.1000/{number}"}}"#
        );
        wanted.insert(format!("p{number}"), format!("Paper {number}. On item {item}."));
    };
    let mut others = String::new();
    for number in 0..papers {
        say(&mut wanted, number, &number.to_string());
        match number % 40 {
            7 => say(&mut wanted, number - 3, "of another edition"),
            21 => {
                let _ = writeln!(others, r#"{{"id":"p{}","deleted":true}}"#, number - 5);
                wanted.remove(&format!("p{}", number - 5));
            }
            33 => {
                let _ = writeln!(
                    others,
                    r#"{{"id":"q{number}","title":"The same","abstract":"In other words: {number}.","doi":"10.1000/{number}"}}"#
                );
            }
            _ => {}
        }
    }
    (lines + &others, wanted)
}

#[test]
fn killed_anywhere_and_started_again_it_loses_nothing() {
    let wanted_kills: usize = std::env::var("LIKEWISE_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let work = tempfile::tempdir().unwrap();
    let (dump, folder) = (work.path().join("many.jsonl"), work.path().join("data"));
    let (lines, wanted) = eventful_dump(500 * wanted_kills);
    std::fs::write(&dump, lines).unwrap();
    let arguments =
        ["ingest", dump.to_str().unwrap(), "--data", folder.to_str().unwrap(), "--precision", "f32"];
    let (mut kills, mut random) = (0, Random(5));
    loop {
        let mut command = likewise(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if kills < wanted_kills {
            // What was done is passed over first, and takes longer each time.
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
    assert!(kills >= wanted_kills.min(3), "the run was over after {kills} kills");
    let model = encoder().model().clone();
    assert_eq!(likewise::ingest::precision_of(&folder, &model).unwrap(), Some(model.precision));
    let space = likewise::store::space::Space::open(&folder, &model.fingerprint).unwrap();
    let texts: BTreeSet<_> = space.texts().collect();
    assert_eq!((texts.len(), space.damaged().len()), (space.vectors().len(), 0), "each text once, and whole");
    assert_is(&folder, &wanted);
    println!("{kills} kills, {} papers", wanted.len());
}

/// A folder has these papers, each with the vector of its text, by which it is found.
fn assert_is(folder: &Path, wanted: &BTreeMap<String, String>) {
    let library = Library::open(folder, encoder()).unwrap();
    assert_eq!((library.stats().papers, library.stats().without_vector), (wanted.len(), 0));
    let (ids, texts): (Vec<_>, Vec<_>) = wanted.iter().map(|(id, text)| (id, text.as_str())).unzip();
    for (ids, texts) in ids.chunks(4096).zip(texts.chunks(4096)) {
        for (id, embedding) in
            ids.iter().zip(encoder().encode(texts, likewise_encoder::model::Side::Paper).unwrap())
        {
            let query = Query { k: 1, ..Query::of(Like::vector(embedding.vector)) };
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
fn a_catalog_that_was_only_begun_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let begun = rusqlite::Connection::open(&path).unwrap();
    begun.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(begun);
    assert!(path.metadata().unwrap().len() > 0);
    assert!(likewise::ingest::model_of(folder.path(), Path::new("no-models-here")).unwrap().is_none());
    assert_eq!(likewise::ingest::precision_of(folder.path(), encoder().model()).unwrap(), None);
    drop(Writer::open(folder.path(), &encoder()).unwrap());
    assert!(likewise::ingest::model_of(folder.path(), Path::new("no-models-here")).unwrap().is_some());
}

#[test]
fn what_was_torn_off_the_last_writes_is_done_again() {
    let work = tempfile::tempdir().unwrap();
    let (dump, folder) = (work.path().join("many.jsonl"), work.path().join("data"));
    let (lines, wanted) = eventful_dump(2000);
    std::fs::write(&dump, lines).unwrap();
    let arguments =
        ["ingest", dump.to_str().unwrap(), "--data", folder.to_str().unwrap(), "--precision", "f32"];
    let start = || likewise(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for torn in [7, 1000, 5000] {
        let mut child = start();
        std::thread::sleep(Duration::from_millis(700));
        child.kill().unwrap();
        child.wait().unwrap();
        let space = likewise::store::space::Space::folder(&folder, &encoder().model().fingerprint).unwrap();
        for path in [folder.join("catalog.sqlite-wal"), space.join("vectors.f32"), space.join("keys")] {
            let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) else { continue };
            let length = file.metadata().unwrap().len();
            // A page or less: what was written last, and not synced.
            file.set_len(length.saturating_sub(torn.min(length.saturating_sub(64)))).unwrap();
        }
    }
    let output = start().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_is(&folder, &wanted);
}

/// Fills a small disk, then makes room: in a namespace of its own, where anybody may mount one.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=1800k none "$DISK" || exit 99
    "$LIKEWISE" ingest "$DUMP" --data "$DISK/data" --precision f32 2>"$WORK/full.err"; echo "full: $?"
    "$LIKEWISE" search "item 17" --data "$DISK/data" -k 1 >/dev/null 2>"$WORK/search.err"; echo "search: $?"
    mount -o remount,size=64m "$DISK"
    "$LIKEWISE" ingest "$DUMP" --data "$DISK/data" --precision f32 2>"$WORK/room.err"; echo "room: $?"
    "$LIKEWISE" verify --data "$DISK/data" 2>&1; echo "verify: $?"
    cp -r "$DISK/data" "$WORK/data"
"#;

#[test]
fn a_full_disk_is_said_and_with_room_it_goes_on() {
    let work = tempfile::tempdir().unwrap();
    let (dump, disk) = (work.path().join("many.jsonl"), work.path().join("disk"));
    let (lines, wanted) = eventful_dump(2000);
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
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |name: &str| std::fs::read_to_string(work.path().join(name)).unwrap_or_default();
    let full = read("full.err");
    assert!(
        said.contains("full: 1") && full.contains("make room and run the same command again"),
        "{said}{full}"
    );
    assert!(said.contains("room: 0") && said.contains("verify: 0"), "{said}{}", read("room.err"));
    assert_is(&work.path().join("data"), &wanted);
}

#[test]
fn a_watched_folder_is_taken_in_as_its_files_are_completed() {
    let work = tempfile::tempdir().unwrap();
    let (inbox, folder) = (work.path().join("inbox"), work.path().join("data"));
    std::fs::create_dir(&inbox).unwrap();
    let start = || {
        let arguments = ["ingest", "--watch", inbox.to_str().unwrap(), "--data", folder.to_str().unwrap()];
        likewise(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let wait_for = |papers: usize, files: usize| {
        let has =
            || Catalog::open(&catalog_path(&folder)).and_then(|catalog| catalog.count()).unwrap_or_default();
        let started = Instant::now();
        let taken =
            || Catalog::open(&catalog_path(&folder)).and_then(|catalog| Ok(catalog.files_taken()?.len()));
        while has() != papers || taken().unwrap_or_default() != files {
            assert!(started.elapsed() < Duration::from_secs(60), "{} papers", has());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let mut child = start();
    std::fs::copy(data("five/plain.jsonl"), inbox.join("one.jsonl.partial")).unwrap();
    std::fs::write(inbox.join("notes.md"), "# No dump").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        !Catalog::open(&catalog_path(&folder)).is_ok_and(|catalog| catalog.count().unwrap() > 0),
        "half a file"
    );
    std::fs::rename(inbox.join("one.jsonl.partial"), inbox.join("one.jsonl")).unwrap();
    wait_for(5, 2);
    // While nothing comes, others may write; and what they have taken out stays out.
    let gone = likewise(&["delete", "2101.00001", "--data", folder.to_str().unwrap()]).output().unwrap();
    assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    let line = r#"{"id":"six","title":"A sixth paper","abstract":"It came the next day."}"#;
    std::fs::write(inbox.join("two.jsonl"), line).unwrap();
    wait_for(5, 3);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("one.jsonl").count(), 1, "{said}");
    assert!(said.contains("passed over") || said.contains("notes.md"), "{said}");

    let mut child = start();
    std::thread::sleep(Duration::from_secs(4));
    child.kill().unwrap();
    let said = String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned();
    assert!(!said.contains("taking in"), "they were taken in before: {said}");
}
