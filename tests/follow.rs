//! Queries in a library that stays open while a separate writer adds, replaces and deletes papers.

use crate::support::{TestRng, encoder, likewise};
use likewise::Filter;
use likewise::ingest::{self, FolderWriter};
use likewise::search::{Examples, Library, Query};
use likewise_papers::dump::Entry;
use likewise_papers::{Paper, PaperId};
use std::collections::BTreeMap;
use std::path::Path;

fn paper(id: &str, title: &str) -> Paper {
    Paper {
        id: PaperId::parse(id).unwrap(),
        title: title.into(),
        r#abstract: format!("About {title}."),
        // The authors of papers differ, so that papers with the same text are not merged into one paper.
        authors: vec![id.into()],
        ..Paper::default()
    }
}

fn add(folder: &Path, papers: &[Paper]) {
    let encoder = encoder();
    let mut writer = FolderWriter::open(folder, &encoder).unwrap();
    writer.add(papers.iter().cloned().map(Entry::Paper).map(Ok).collect()).unwrap();
}

fn delete(folder: &Path, id: &str) -> bool {
    ingest::delete(folder, &[PaperId::parse(id).unwrap()]).unwrap()[0]
}

/// Returns ids and titles of the first `k` hits of a hybrid search for a text.
fn search(library: &Library, text: &str, k: usize) -> Vec<(String, String)> {
    let query = Query { k, min_score: Some(0.0), ..Query::of(Examples::text(text.into())) };
    let hits = library.search(&query).unwrap().hits;
    hits.into_iter().map(|hit| (hit.paper.id.to_string(), hit.paper.title)).collect()
}

#[test]
fn the_next_query_sees_every_write() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add(
        folder,
        &[paper("moons", "Oceans under the ice of moons"), paper("knots", "Knots and their volumes")],
    );
    let library = Library::open(folder, encoder()).unwrap();
    let first = |text: &str| search(&library, text, 1).remove(0).0;
    assert_eq!(first("oceans under the ice"), "moons");
    add(folder, &[paper("bees", "Bees that count")]);
    assert_eq!(first("bees that count"), "bees");
    assert_eq!(library.stats().papers, 3);
    let by_paper = Query { k: 5, min_score: Some(0.0), ..Query::of(Examples::papers(vec!["bees".into()])) };
    assert_eq!(library.search(&by_paper).unwrap().hits.len(), 2);

    add(folder, &[paper("bees", "Prices of carbon permits")]);
    assert_eq!(first("carbon prices"), "bees");
    assert!(search(&library, "bees that count", 3).iter().all(|(_, title)| title != "Bees that count"));

    let filter = Filter { ids: Some(vec!["moons".into(), "moons/2".into()]), ..Filter::default() };
    let filtered = || {
        let like = Examples::text("oceans".into());
        library.search(&Query { k: 5, filter: filter.clone(), ..Query::of(like) }).unwrap().hits.len()
    };
    assert_eq!((filtered(), filtered()), (1, 1));
    assert!(delete(folder, "moons") && !delete(folder, "moons"));
    assert_eq!(filtered(), 0);
    assert_eq!(search(&library, "oceans under the ice of moons", 3).len(), 2);
    assert!(library.paper("moons").is_err());
    // The text's vector is still in the vector store, so the paper is added again without encoding.
    add(folder, &[paper("moons/2", "Oceans under the ice of moons")]);
    assert_eq!(first("oceans under the ice of moons"), "moons/2");
    assert_eq!(filtered(), 1);
    let encoder = encoder();
    FolderWriter::open(folder, &encoder).unwrap().finish().unwrap();
    assert_eq!(first("oceans under the ice of moons"), "moons/2");
    drop(library);
    assert_eq!(Library::open(folder, encoder).unwrap().stats().papers, 3);
}

#[test]
fn random_writes_agree_with_an_in_memory_map() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let subjects = ["moons", "knots", "bees", "permits", "glaciers", "grammar", "enzymes", "markets"];
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    add(folder, &[paper("p0", "The first paper")]);
    expected.insert("p0".into(), "The first paper".into());
    let library = Library::open(folder, encoder()).unwrap();
    let mut random = TestRng(17);
    for step in 0..80 {
        let id = format!("p{}", random.below(12));
        // There are few different texts, so that several papers have the same text.
        let title = format!("On {} and {}", subjects[random.below(8)], subjects[random.below(3)]);
        match random.below(4) {
            0 => assert_eq!(delete(folder, &id), expected.remove(&id).is_some(), "step {step}"),
            1 if step % 3 == 0 => {
                let encoder = encoder();
                FolderWriter::open(folder, &encoder).unwrap().finish().unwrap();
            }
            _ => {
                add(folder, &[paper(&id, &title)]);
                expected.insert(id.clone(), title.clone());
            }
        }
        let mut found = search(&library, &title, 20);
        let nearest = found.first().map(|(_, title)| title.clone());
        if expected.values().any(|other| *other == title) {
            assert_eq!(nearest, Some(title), "step {step}");
        }
        found.sort();
        assert_eq!(found, expected.clone().into_iter().collect::<Vec<_>>(), "step {step}");
        assert_eq!((library.stats().papers, library.stats().without_vector), (expected.len(), 0));
    }
}

/// Sets the flag when dropped, so that the readers stop even if the writer panics.
struct StopOnDrop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_query_sees_one_consistent_state() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all: Vec<Paper> =
        (0..300).map(|number| paper(&format!("p/{number}"), &format!("{number}"))).collect();
    add(folder, &all);
    let library = Library::open(folder, encoder()).unwrap();
    let moving: Vec<PaperId> = all[200..].iter().map(|paper| paper.id.clone()).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let found = search(&library, "7", 400).len();
                assert!(found == 300 || found == 200, "{found} papers");
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        // Without `StopOnDrop`, the scope would wait for the readers forever if the code below panics.
        let stop_on_drop = StopOnDrop(&stop);
        for _ in 0..40 {
            ingest::delete(folder, &moving).unwrap();
            add(folder, &all[200..]);
        }
        drop(stop_on_drop);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn compaction_removes_the_vectors_of_deleted_papers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all: Vec<Paper> =
        (0..4000).map(|number| paper(&format!("p/{number}"), &format!("{number}"))).collect();
    add(folder, &all);
    let encoder = encoder();
    FolderWriter::open(folder, &encoder).unwrap().finish().unwrap();
    let library = Library::open(folder, encoder.clone()).unwrap();
    assert_eq!((library.stats().vectors, library.stats().index.indexed), (4000, 4000));
    let deleted: Vec<PaperId> = all[1000..2300].iter().map(|paper| paper.id.clone()).collect();
    assert_eq!(ingest::delete(folder, &deleted).unwrap(), [true; 1300]);
    let titles = |library: &Library| {
        let numbers = ["999", "1000", "2299", "2300", "3999"];
        numbers.map(|number| search(library, &format!("{number}. About {number}."), 1).remove(0).1)
    };
    let before = titles(&library);
    assert!(
        before[0] == "999" && before[1] != "1000" && before[2] != "2299" && before[4] == "3999",
        "{before:?}"
    );
    FolderWriter::open(folder, &encoder).unwrap().finish().unwrap();
    let stats = library.stats();
    assert_eq!(
        (stats.papers, stats.vectors, stats.index.indexed, stats.index.segments),
        (2700, 2700, 2700, 1)
    );
    assert_eq!(titles(&library), before, "an open library must switch to the new files");
    assert_eq!(titles(&Library::open(folder, encoder).unwrap()), before);
    add(folder, &all[1000..1001]);
    assert_eq!(titles(&library)[1], "1000");

    ingest::delete(folder, &[paper("p/7", "").id]).unwrap();
    let output =
        likewise(&["compact", "--data", folder.to_str().unwrap(), "--precision", "f32"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "2701 vectors before compaction; now 2700 vectors, 1 index segments\n"
    );
    assert_eq!(library.stats().vectors, 2700);
}

#[test]
fn an_older_copy_of_the_catalog_can_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    let subject = ["moons", "knots", "bees", "permits", "glaciers", "grammar", "enzymes", "markets"];
    let write = |range: std::ops::Range<usize>| {
        range.for_each(|at| add(folder, &[paper(subject[at], &format!("On {}", subject[at]))]));
        FolderWriter::open(folder, &encoder).unwrap().finish().unwrap();
    };
    write(0..2);
    let (catalog, copy) = (ingest::catalog_path(folder), folder.join("copy"));
    std::fs::copy(&catalog, &copy).unwrap();
    write(2..4);
    std::fs::copy(&copy, &catalog).unwrap();
    write(4..8);
    let library = Library::open(folder, encoder.clone()).unwrap();
    assert_eq!((library.stats().papers, library.stats().without_vector), (6, 0));
    for (at, subject) in subject.iter().enumerate() {
        // The query is the paper's own text, so the first hit is this paper if the catalog has it.
        let (id, title) = search(&library, &format!("On {subject}. About On {subject}."), 1).remove(0);
        let is_in_catalog = !(2..=3).contains(&at);
        assert_eq!((id == *subject, title == format!("On {subject}")), (is_in_catalog, is_in_catalog));
    }
}

#[test]
fn files_of_an_interrupted_compaction_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    add(folder, &[paper("moons", "Oceans under the ice of moons")]);
    let store_folder =
        likewise::store::vector_store::VectorStore::folder(folder, &encoder.model().fingerprint).unwrap();
    std::fs::create_dir(store_folder.join("1")).unwrap();
    std::fs::write(store_folder.join("1/vectors.f32"), "half").unwrap();
    FolderWriter::open(folder, &encoder).unwrap().compact().unwrap();
    // As if the process had been killed between the compaction and the removal of the old files.
    std::fs::write(store_folder.join("segment-0-1"), "old").unwrap();
    add(folder, &[paper("bees", "Bees that count")]);
    let mut files: Vec<_> =
        std::fs::read_dir(&store_folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["1", "current", "space.json"]);
    assert_eq!(Library::open(folder, encoder).unwrap().stats().papers, 2);
    std::fs::write(store_folder.join("current"), "?").unwrap();
    let error = Library::open(folder, crate::support::encoder()).err().unwrap().to_string();
    assert!(
        error.contains("current: the content must be the name of a folder beside this file (got \"?\")"),
        "{error}"
    );
}

#[test]
fn the_delete_command_deletes_papers_and_reports_unknown_ids() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    add(folder.path(), &[paper("a", "First"), paper("b", "Second")]);
    let output = likewise(&["delete", "a", "nowhere", "--data", data]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "deleted 1\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("paper \"nowhere\" is not in the library"));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!(search(&library, "first", 5), [("b".to_string(), "Second".to_string())]);
    let output = likewise(&["delete", "a", "--data", "/no/such/folder"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no papers were ingested into this folder"));
}
