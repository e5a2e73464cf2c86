//! A library that is open while another writer adds, replaces and deletes.

use crate::support::{Random, encoder, likewise};
use likewise::Filter;
use likewise::ingest::{self, Writer};
use likewise::search::{Library, Like, Query};
use likewise_papers::dump::Entry;
use likewise_papers::{Paper, PaperId};
use std::collections::BTreeMap;
use std::path::Path;

fn paper(id: &str, title: &str) -> Paper {
    Paper {
        id: PaperId::parse(id).unwrap(),
        title: title.into(),
        r#abstract: format!("About {title}."),
        // Two papers of one text are two by their authors.
        authors: vec![id.into()],
        ..Paper::default()
    }
}

fn add(folder: &Path, papers: &[Paper]) {
    let encoder = encoder();
    let mut writer = Writer::open(folder, &encoder).unwrap();
    writer.add(papers.iter().cloned().map(Entry::Paper).map(Ok).collect()).unwrap();
}

fn delete(folder: &Path, id: &str) -> bool {
    ingest::delete(folder, &[PaperId::parse(id).unwrap()]).unwrap()[0]
}

/// Ids and titles of what is like a text, nearest first.
fn ask(library: &Library, text: &str, k: usize) -> Vec<(String, String)> {
    let query = Query { k, min_score: Some(0.0), ..Query::of(Like::text(text.into())) };
    let hits = library.search(&query).unwrap().hits;
    hits.into_iter().map(|hit| (hit.paper.id.to_string(), hit.paper.title)).collect()
}

#[test]
fn what_is_written_is_answered_by_the_next_query() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add(
        folder,
        &[paper("moons", "Oceans under the ice of moons"), paper("knots", "Knots and their volumes")],
    );
    let library = Library::open(folder, encoder()).unwrap();
    let first = |text: &str| ask(&library, text, 1).remove(0).0;
    assert_eq!(first("oceans under the ice"), "moons");
    add(folder, &[paper("bees", "Bees that count")]);
    assert_eq!(first("bees that count"), "bees");
    assert_eq!(library.stats().papers, 3);
    let like = Query { k: 5, min_score: Some(0.0), ..Query::of(Like::papers(vec!["bees".into()])) };
    assert_eq!(library.search(&like).unwrap().hits.len(), 2);

    add(folder, &[paper("bees", "Prices of carbon permits")]);
    assert_eq!(first("carbon prices"), "bees");
    assert!(ask(&library, "bees that count", 3).iter().all(|(_, title)| title != "Bees that count"));

    let filter = Filter { ids: Some(vec!["moons".into(), "moons/2".into()]), ..Filter::default() };
    let filtered = || {
        let like = Like::text("oceans".into());
        library.search(&Query { k: 5, filter: filter.clone(), ..Query::of(like) }).unwrap().hits.len()
    };
    assert_eq!((filtered(), filtered()), (1, 1));
    assert!(delete(folder, "moons") && !delete(folder, "moons"));
    assert_eq!(filtered(), 0);
    assert_eq!(ask(&library, "oceans under the ice of moons", 3).len(), 2);
    assert!(library.paper("moons").is_err());
    // The text is still in the space; the paper comes back without being encoded.
    add(folder, &[paper("moons/2", "Oceans under the ice of moons")]);
    assert_eq!(first("oceans under the ice of moons"), "moons/2");
    assert_eq!(filtered(), 1);
    let encoder = encoder();
    Writer::open(folder, &encoder).unwrap().finish().unwrap();
    assert_eq!(first("oceans under the ice of moons"), "moons/2");
    drop(library);
    assert_eq!(Library::open(folder, encoder).unwrap().stats().papers, 3);
}

#[test]
fn answers_are_those_of_a_model_kept_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let subjects = ["moons", "knots", "bees", "permits", "glaciers", "grammar", "enzymes", "markets"];
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    add(folder, &[paper("p0", "The first paper")]);
    kept.insert("p0".into(), "The first paper".into());
    let library = Library::open(folder, encoder()).unwrap();
    let mut random = Random(17);
    for step in 0..80 {
        let id = format!("p{}", random.below(12));
        // Few texts, so that papers share them.
        let title = format!("On {} and {}", subjects[random.below(8)], subjects[random.below(3)]);
        match random.below(4) {
            0 => assert_eq!(delete(folder, &id), kept.remove(&id).is_some(), "step {step}"),
            1 if step % 3 == 0 => {
                let encoder = encoder();
                Writer::open(folder, &encoder).unwrap().finish().unwrap();
            }
            _ => {
                add(folder, &[paper(&id, &title)]);
                kept.insert(id.clone(), title.clone());
            }
        }
        let mut found = ask(&library, &title, 20);
        let nearest = found.first().map(|(_, title)| title.clone());
        if kept.values().any(|kept| *kept == title) {
            assert_eq!(nearest, Some(title), "step {step}");
        }
        found.sort();
        assert_eq!(found, kept.clone().into_iter().collect::<Vec<_>>(), "step {step}");
        assert_eq!((library.stats().papers, library.stats().without_vector), (kept.len(), 0));
    }
}

/// Stops readers.
struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn an_answer_is_of_one_state() {
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
                let found = ask(&library, "7", 400).len();
                assert!(found == 300 || found == 200, "{found} papers");
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        // Also where this fails: they would be waited for.
        let stopping = Stop(&stop);
        for _ in 0..40 {
            ingest::delete(folder, &moving).unwrap();
            add(folder, &all[200..]);
        }
        drop(stopping);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn room_comes_back_when_many_papers_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all: Vec<Paper> =
        (0..4000).map(|number| paper(&format!("p/{number}"), &format!("{number}"))).collect();
    add(folder, &all);
    let encoder = encoder();
    Writer::open(folder, &encoder).unwrap().finish().unwrap();
    let library = Library::open(folder, encoder.clone()).unwrap();
    assert_eq!((library.stats().vectors, library.stats().index.indexed), (4000, 4000));
    let gone: Vec<PaperId> = all[1000..2300].iter().map(|paper| paper.id.clone()).collect();
    assert_eq!(ingest::delete(folder, &gone).unwrap(), [true; 1300]);
    let titles = |library: &Library| {
        let numbers = ["999", "1000", "2299", "2300", "3999"];
        numbers.map(|number| ask(library, &format!("{number}. About {number}."), 1).remove(0).1)
    };
    let before = titles(&library);
    assert!(
        before[0] == "999" && before[1] != "1000" && before[2] != "2299" && before[4] == "3999",
        "{before:?}"
    );
    Writer::open(folder, &encoder).unwrap().finish().unwrap();
    let stats = library.stats();
    assert_eq!(
        (stats.papers, stats.vectors, stats.index.indexed, stats.index.segments),
        (2700, 2700, 2700, 1)
    );
    assert_eq!(titles(&library), before, "what is open goes on with the new files");
    assert_eq!(titles(&Library::open(folder, encoder).unwrap()), before);
    add(folder, &all[1000..1001]);
    assert_eq!(titles(&library)[1], "1000");

    ingest::delete(folder, &[paper("p/7", "").id]).unwrap();
    let output =
        likewise(&["compact", "--data", folder.to_str().unwrap(), "--precision", "f32"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2701 vectors before, 2700 after, in 1 segments\n");
    assert_eq!(library.stats().vectors, 2700);
}

#[test]
fn an_older_copy_of_the_catalog_may_be_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    let subject = ["moons", "knots", "bees", "permits", "glaciers", "grammar", "enzymes", "markets"];
    let write = |range: std::ops::Range<usize>| {
        range.for_each(|at| add(folder, &[paper(subject[at], &format!("On {}", subject[at]))]));
        Writer::open(folder, &encoder).unwrap().finish().unwrap();
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
        let (id, title) = ask(&library, &format!("On {subject}. About On {subject}."), 1).remove(0);
        let is_here = !(2..=3).contains(&at);
        assert_eq!((id == *subject, title == format!("On {subject}")), (is_here, is_here));
    }
}

#[test]
fn what_a_killed_compaction_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    add(folder, &[paper("moons", "Oceans under the ice of moons")]);
    let space = likewise::store::space::Space::folder(folder, &encoder.model().fingerprint).unwrap();
    std::fs::create_dir(space.join("1")).unwrap();
    std::fs::write(space.join("1/vectors.f32"), "half").unwrap();
    Writer::open(folder, &encoder).unwrap().compact().unwrap();
    // As if it had been killed after its last step.
    std::fs::write(space.join("segment-0-1"), "old").unwrap();
    add(folder, &[paper("bees", "Bees that count")]);
    let mut left: Vec<_> =
        std::fs::read_dir(&space).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["1", "current", "space.json"]);
    assert_eq!(Library::open(folder, encoder).unwrap().stats().papers, 2);
    std::fs::write(space.join("current"), "?").unwrap();
    let error = Library::open(folder, crate::support::encoder()).err().unwrap().to_string();
    assert!(error.contains("current: got \"?\""), "{error}");
}

#[test]
fn papers_are_deleted_from_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    add(folder.path(), &[paper("a", "First"), paper("b", "Second")]);
    let output = likewise(&["delete", "a", "nowhere", "--data", data]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "deleted 1\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no paper \"nowhere\" here"));
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!(ask(&library, "first", 5), [("b".to_string(), "Second".to_string())]);
    let output = likewise(&["delete", "a", "--data", "/no/such/folder"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no papers here"));
}
