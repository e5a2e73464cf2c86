//! Ingest: counts, interruption, replacement, another model.

use crate::support::{data, encoder, ingest, likewise};
use likewise::Filter;
use likewise::catalog::Catalog;
use likewise::ingest::{Writer, catalog_path};
use likewise::paper::{Paper, PaperId};
use likewise::search::{Library, Like, Query};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

fn like(id: &str, k: usize) -> Query {
    Query { like: Like::Papers(vec![id.into()]), k, exact: false, filter: Filter::default() }
}

/// Every paper of the folder has a vector that equals a fresh one, and is found by it.
fn assert_nothing_lost(folder: &Path, papers: usize) {
    let library = Library::open(folder, encoder()).unwrap();
    let stats = library.stats();
    assert_eq!((stats.papers, stats.without_vector), (papers, 0));
    let catalog = Catalog::open(&catalog_path(folder)).unwrap();
    let numbers: Vec<_> = catalog.matching(&Filter::default()).unwrap().iter().collect();
    for (_, paper) in catalog.get(&numbers).unwrap() {
        let text = likewise::text::text_of(&paper);
        let query = Query { like: Like::Text(text.clone()), k: 1, exact: false, filter: Filter::default() };
        let hit = &library.search(&query).unwrap().hits[0];
        assert!(hit.score > 0.9999, "{}: {}", paper.id, hit.score);
        // Of papers with the same text any may come; of another text, none.
        assert_eq!(likewise::text::text_of(&hit.paper), text, "{}", paper.id);
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
    let text = Like::Text("Tidal heating of icy moons keeps an ocean liquid".into());
    for exact in [false, true] {
        let query = Query { like: text.clone(), k: 10, exact, filter: Filter::default() };
        let hits = library.search(&query).unwrap().hits;
        assert_eq!(hits.len(), 5);
        assert!(hits.iter().all(|hit| hit.score < 0.5), "the replaced text still answers: {hits:?}");
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

#[test]
fn killed_anywhere_and_started_again_it_loses_nothing() {
    let papers = 1500;
    let work = tempfile::tempdir().unwrap();
    let dump = work.path().join("many.jsonl");
    let lines = (0..papers).fold(String::new(), |mut lines, number| {
        let _ = writeln!(
            lines,
            r#"{{"id":"p{number}","title":"Paper {number}","abstract":"On item {number}."}}"#
        );
        lines
    });
    std::fs::write(&dump, lines).unwrap();
    let folder = work.path().join("data");
    let [dump, data] = [&dump, &folder].map(|path| path.to_str().unwrap());
    let arguments = ["ingest", dump, "--data", data, "--precision", "f32"];
    let mut kills = 0;
    for attempt in 0.. {
        let mut child = likewise(&arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + attempt * 97 % 700));
        if child.try_wait().unwrap().is_none() && attempt < 8 {
            child.kill().unwrap();
            kills += 1;
        }
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            break;
        }
    }
    assert!(kills > 0, "the run was over before it could be killed");
    let model = encoder().model().clone();
    assert_eq!(likewise::ingest::precision_of(&folder, &model).unwrap(), Some(model.precision));
    let space = likewise::space::Space::open(&folder, &model.fingerprint).unwrap();
    assert_eq!(space.vectors().len(), papers, "each text once");
    assert_nothing_lost(&folder, papers);
}
