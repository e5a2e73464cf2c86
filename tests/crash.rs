//! Checks that a process that is killed at any moment leaves a data folder with every acknowledged paper exactly once.
//!
//! A child process adds, replaces and deletes papers and builds the index until the test kills the child. The child
//! prints each change before it makes the change, and again afterwards. The test applies the finished changes to a map
//! and compares the map with the data folder. The change that the kill interrupted must be in the data folder as a
//! whole or not at all. `LIKEWISE_KILLS` is the number of kills (12 by default).

use crate::support::{TestRng, data, encoder, likewise, numbered_paper};
use likewise::Filter;
use likewise::ingest::{self, FolderWriter, catalog_path};
use likewise::search::{Examples, Library, Query};
use likewise::store::catalog::Catalog;
use likewise::store::text::text_of;
use likewise::store::vector_store::VectorStore;
use likewise_index::{Segment, Segments};
use likewise_papers::PaperId;
use likewise_papers::dump::Entry;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "LIKEWISE_CRASH_FOLDER";
const SEED: &str = "LIKEWISE_CRASH_SEED";

/// Number of different ids. There are so few that changes also replace and delete papers of earlier changes.
const IDS: usize = 6000;

/// Maximum number of papers per change. The ids are random, so a change can have fewer different papers.
const BATCH_SIZE: usize = 250;

/// A change: the new edition of each paper, by paper number. `None`: the paper is deleted.
type Change = BTreeMap<usize, Option<usize>>;

/// Prints a change with its state: `will` before the change is made, `did` after the change was made.
fn print_change(state: &str, change: &Change) {
    // The line is written with a single call, so that a kill cannot leave a part of the line.
    let line = format!("\n{state} {}\n", serde_json::to_string(change).unwrap());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

#[test]
#[ignore = "the child process of the test below, which starts and kills it"]
fn child_that_writes_until_killed() {
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let mut random = TestRng(std::env::var(SEED).unwrap().parse().unwrap());
    let encoder = encoder();
    loop {
        match random.below(6) {
            0 => {
                let change: Change = (0..BATCH_SIZE).map(|_| (random.below(IDS), None)).collect();
                let ids: Vec<PaperId> = change.keys().map(|number| numbered_paper(*number, 0).id).collect();
                print_change("will", &change);
                ingest::delete(folder, &ids).unwrap();
                print_change("did", &change);
            }
            1 | 2 => drop(FolderWriter::open(folder, &encoder).unwrap().finish().unwrap()),
            _ => {
                let change: Change =
                    (0..BATCH_SIZE).map(|_| (random.below(IDS), Some(random.below(2)))).collect();
                let papers = change
                    .iter()
                    .map(|(number, edition)| Ok(Entry::Paper(numbered_paper(*number, edition.unwrap()))));
                let mut writer = FolderWriter::open(folder, &encoder).unwrap();
                print_change("will", &change);
                writer.add(papers.collect()).unwrap();
                print_change("did", &change);
            }
        }
    }
}

/// Runs the child for the given time and kills the child. Returns the finished changes, and the change that the child
/// was making when it was killed (`None`: the child was not making a change).
fn run_and_kill(folder: &Path, seed: usize, time: Duration) -> (Vec<Change>, Option<Change>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_that_writes_until_killed", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The child would block on a full pipe, so a thread reads the child's output.
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    std::thread::sleep(time);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(status.code().is_none(), "the child ended before it was killed: {stderr}");
    let (mut finished, mut unfinished) = (Vec::new(), None);
    for line in reader.join().unwrap().lines() {
        let change = |json| serde_json::from_str::<Change>(json).unwrap();
        if let Some(json) = line.strip_prefix("will ") {
            unfinished = Some(change(json));
        } else if let Some(json) = line.strip_prefix("did ") {
            finished.push(change(json));
            unfinished = None;
        }
    }
    (finished, unfinished)
}

fn apply(expected: &mut BTreeMap<usize, usize>, change: &Change) {
    for (number, edition) in change {
        match edition {
            Some(edition) => expected.insert(*number, *edition),
            None => expected.remove(number),
        };
    }
}

/// Returns the edition of every paper in a data folder, by paper number.
fn papers(folder: &Path) -> BTreeMap<usize, usize> {
    let catalog = Catalog::open(&catalog_path(folder)).unwrap();
    let all: Vec<_> = catalog.matching(&Filter::default()).unwrap().iter().collect();
    let papers = catalog.get(&all).unwrap();
    let count = papers.len();
    let papers: BTreeMap<usize, usize> = papers
        .into_iter()
        .map(|(_, paper)| (paper.title.parse().unwrap(), paper.r#abstract.parse().unwrap()))
        .collect();
    assert_eq!(papers.len(), count, "a paper is in the catalog twice");
    papers
}

#[test]
fn a_killed_writer_neither_loses_nor_doubles_acknowledged_papers() {
    let kills: usize = std::env::var("LIKEWISE_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    drop(FolderWriter::open(folder, &encoder).unwrap());
    let (mut expected, mut random, mut slowest) = (BTreeMap::new(), TestRng(23), Duration::ZERO);
    for kill in 0..kills {
        let time = Duration::from_millis(200 + random.below(900) as u64);
        let (finished, unfinished) = run_and_kill(folder, kill * 7 + 1, time);
        finished.iter().for_each(|change| apply(&mut expected, change));
        let started = Instant::now();
        let library = Library::open(folder, encoder.clone()).unwrap();
        slowest = slowest.max(started.elapsed());
        let found = papers(folder);
        if found != expected {
            // The unfinished change is allowed to be committed, but only as a whole.
            apply(&mut expected, &unfinished.unwrap_or_default());
        }
        assert!(found == expected, "kill {kill}");
        let stats = library.stats();
        assert_eq!((stats.papers, stats.without_vector), (expected.len(), 0), "kill {kill}");
        let vector_store = VectorStore::open(folder, &encoder.model().fingerprint).unwrap();
        assert!(vector_store.damaged().is_empty(), "kill {kill}");
        Segments::files(vector_store.path()).unwrap().iter().for_each(|path| Segment::verify(path).unwrap());
        for (number, edition) in expected.iter().step_by((expected.len() / 20).max(1)) {
            let examples = Examples::text(text_of(&numbered_paper(*number, *edition)));
            let query = Query { k: 1, ..Query::of(examples) };
            let hit = library.search(&query).unwrap().hits.remove(0);
            assert!(hit.cosine() > 0.99, "kill {kill}: {} finds {}", number, hit.paper.title);
        }
    }
    println!("{kills} kills, {} papers at the end, opened in {slowest:?} at most", expected.len());
    assert!(!expected.is_empty());
}

#[test]
fn verify_reports_damage_and_repair_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let verify =
        |options: &[&str]| likewise(&[&["verify", "--data", path], options].concat()).output().unwrap();
    let encoder = encoder();
    let mut writer = FolderWriter::open(folder.path(), &encoder).unwrap();
    writer.add((0..1200).map(|number| Ok(Entry::Paper(numbered_paper(number, 0)))).collect()).unwrap();
    writer.finish().unwrap();
    let output = verify(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let opened_before = Library::open(folder.path(), encoder.clone()).unwrap();
    let store_folder = VectorStore::folder(folder.path(), &encoder.model().fingerprint).unwrap();
    let damage = |name: &str, at: usize| {
        let mut bytes = std::fs::read(store_folder.join(name)).unwrap();
        bytes[at] ^= 0x10;
        std::fs::write(store_folder.join(name), bytes).unwrap();
    };
    damage("vectors.f32", 64 + 4 * 384 * 5 + 2);
    damage("segment-0-1200", 100_000);
    damage("vectors.f32", 64 + 4 * 384 * 1199 + 2);
    damage("directory", 500);
    let output = verify(&[]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        printed.contains("the vector in slot 5 ")
            && printed.contains("segment-0-1200: the CRC-32 of the quantized vectors"),
        "{printed}"
    );
    let output = verify(&["--repair"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("4 problems repaired"), "{printed}");
    assert!(verify(&[]).status.success());
    let library = Library::open(folder.path(), encoder).unwrap();
    assert_eq!(
        (library.stats().papers, library.stats().vectors, library.stats().without_vector),
        (1200, 1200, 0)
    );
    for number in [4, 5, 6, 1199] {
        let examples = Examples::text(text_of(&numbered_paper(number, 0)));
        let query = Query { k: 1, ..Query::of(examples) };
        for library in [&library, &opened_before] {
            assert_eq!(library.search(&query).unwrap().hits[0].paper.title, number.to_string());
        }
    }

    // The end of a file is missing.
    drop((library, opened_before));
    let store_folder =
        VectorStore::folder(folder.path(), &crate::support::encoder().model().fingerprint).unwrap();
    let keys = std::fs::OpenOptions::new().write(true).open(store_folder.join("keys")).unwrap();
    keys.set_len(64 + 20 * 1000).unwrap();
    let output = verify(&[]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && printed.contains("200 papers have no vector"), "{printed}");
    assert!(verify(&["--repair"]).status.success() && verify(&[]).status.success());

    // The description of the vector store is missing. The repair keeps the vectors.
    let description =
        VectorStore::base(folder.path(), &crate::support::encoder().model().fingerprint).join("space.json");
    std::fs::remove_file(&description).unwrap();
    let output = verify(&[]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && printed.contains("space.json is missing"), "{printed}");
    let output = verify(&["--repair"]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !printed.contains("encoded"), "{printed}");
    assert!(verify(&[]).status.success());

    // A file is empty.
    for name in ["keys", "vectors.f32", "space.json", "directory"] {
        let store_folder =
            VectorStore::folder(folder.path(), &crate::support::encoder().model().fingerprint).unwrap();
        // An earlier repair can have moved the files to a new subfolder. space.json stays in the parent folder.
        let path = if name == "space.json" {
            store_folder.ancestors().find(|path| path.join(name).is_file()).unwrap()
        } else {
            &store_folder
        }
        .join(name);
        std::fs::write(&path, "").unwrap();
        let output = verify(&[]);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.code() == Some(1) && printed.contains(name), "{name}: {printed}");
        assert!(verify(&["--repair"]).status.success() && verify(&[]).status.success(), "{name}");
        let library = Library::open(folder.path(), crate::support::encoder()).unwrap();
        let query = Query { k: 1, ..Query::of(Examples::text(text_of(&numbered_paper(7, 0)))) };
        assert_eq!(library.search(&query).unwrap().hits[0].paper.title, "7", "{name}");
        assert_eq!((library.stats().papers, library.stats().without_vector), (1200, 0), "{name}");
    }

    std::fs::copy(data("sample.jsonl"), folder.path().join("catalog.sqlite")).unwrap();
    let output = verify(&["--repair"]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains("catalog.sqlite"), "{printed}");
}
