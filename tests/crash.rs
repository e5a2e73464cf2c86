//! Killed at any moment, a data folder opens again with everything that was acknowledged, once.
//!
//! A child process adds, replaces and deletes papers, and builds the index, until it is killed. It says what it is
//! about to do, and what was done; a model of the folder is kept from that. `LIKEWISE_KILLS` says how often.

use crate::support::{Random, data, encoder, likewise, numbered};
use likewise::Filter;
use likewise::ingest::{self, Writer, catalog_path};
use likewise::search::{Library, Like, Query};
use likewise::store::catalog::Catalog;
use likewise::store::space::Space;
use likewise::store::text::text_of;
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

/// Ids that there are; fewer than papers that are written, so that they are replaced and deleted too.
const IDS: usize = 6000;

/// Papers that are written in one go.
const BATCH: usize = 250;

/// What is done: papers by number with the edition they are in afterwards, or none.
type Act = BTreeMap<usize, Option<usize>>;

fn say(what: &str, act: &Act) {
    // In one write, so that it is there whole or not at all.
    let line = format!("\n{what} {}\n", serde_json::to_string(act).unwrap());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

#[test]
#[ignore = "the child of the test below, which runs it until it kills it"]
fn writes_until_it_is_killed() {
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let mut random = Random(std::env::var(SEED).unwrap().parse().unwrap());
    let encoder = encoder();
    loop {
        match random.below(6) {
            0 => {
                let act: Act = (0..BATCH).map(|_| (random.below(IDS), None)).collect();
                let ids: Vec<PaperId> = act.keys().map(|number| numbered(*number, 0).id).collect();
                say("will", &act);
                ingest::delete(folder, &ids).unwrap();
                say("did", &act);
            }
            1 | 2 => drop(Writer::open(folder, &encoder).unwrap().finish().unwrap()),
            _ => {
                let act: Act = (0..BATCH).map(|_| (random.below(IDS), Some(random.below(2)))).collect();
                let papers =
                    act.iter().map(|(number, edition)| Ok(Entry::Paper(numbered(*number, edition.unwrap()))));
                let mut writer = Writer::open(folder, &encoder).unwrap();
                say("will", &act);
                writer.add(papers.collect()).unwrap();
                say("did", &act);
            }
        }
    }
}

/// Runs the child for a while; gives what it did, and what it may have done at the end.
fn run_and_kill(folder: &Path, seed: usize, time: Duration) -> (Vec<Act>, Option<Act>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Read meanwhile: a full pipe would stop it where it speaks.
    let mut out = child.stdout.take().unwrap();
    let heard = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    std::thread::sleep(time);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.code().is_none(), "it ended by itself: {said}");
    let (mut did, mut will) = (Vec::new(), None);
    for line in heard.join().unwrap().lines() {
        let act = |json| serde_json::from_str::<Act>(json).unwrap();
        if let Some(json) = line.strip_prefix("will ") {
            will = Some(act(json));
        } else if let Some(json) = line.strip_prefix("did ") {
            did.push(act(json));
            will = None;
        }
    }
    (did, will)
}

fn apply(model: &mut BTreeMap<usize, usize>, act: &Act) {
    for (number, edition) in act {
        match edition {
            Some(edition) => model.insert(*number, *edition),
            None => model.remove(number),
        };
    }
}

/// The papers of a folder, by number.
fn papers(folder: &Path) -> BTreeMap<usize, usize> {
    let catalog = Catalog::open(&catalog_path(folder)).unwrap();
    let all: Vec<_> = catalog.matching(&Filter::default()).unwrap().iter().collect();
    let papers = catalog.get(&all).unwrap();
    let count = papers.len();
    let papers: BTreeMap<usize, usize> = papers
        .into_iter()
        .map(|(_, paper)| (paper.title.parse().unwrap(), paper.r#abstract.parse().unwrap()))
        .collect();
    assert_eq!(papers.len(), count, "a paper is there twice");
    papers
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_wherever_it_is_killed() {
    let kills: usize = std::env::var("LIKEWISE_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    drop(Writer::open(folder, &encoder).unwrap());
    let (mut model, mut random, mut slowest) = (BTreeMap::new(), Random(23), Duration::ZERO);
    for kill in 0..kills {
        let time = Duration::from_millis(200 + random.below(900) as u64);
        let (did, will) = run_and_kill(folder, kill * 7 + 1, time);
        did.iter().for_each(|act| apply(&mut model, act));
        let started = Instant::now();
        let library = Library::open(folder, encoder.clone()).unwrap();
        slowest = slowest.max(started.elapsed());
        let there = papers(folder);
        if there != model {
            // Then what it was about to do was done, all of it.
            apply(&mut model, &will.unwrap_or_default());
        }
        assert!(there == model, "kill {kill}");
        let stats = library.stats();
        assert_eq!((stats.papers, stats.without_vector), (model.len(), 0), "kill {kill}");
        let space = Space::open(folder, &encoder.model().fingerprint).unwrap();
        assert!(space.damaged().is_empty(), "kill {kill}");
        Segments::files(space.path()).unwrap().iter().for_each(|path| Segment::verify(path).unwrap());
        for (number, edition) in model.iter().step_by((model.len() / 20).max(1)) {
            let like = Like::text(text_of(&numbered(*number, *edition)));
            let query = Query { k: 1, ..Query::of(like) };
            let hit = library.search(&query).unwrap().hits.remove(0);
            assert!(hit.cosine() > 0.99, "kill {kill}: {} finds {}", number, hit.paper.title);
        }
    }
    println!("{kills} kills, {} papers at the end, opened in {slowest:?} at most", model.len());
    assert!(!model.is_empty());
}

#[test]
fn damage_is_named_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let verify = |more: &[&str]| likewise(&[&["verify", "--data", path], more].concat()).output().unwrap();
    let encoder = encoder();
    let mut writer = Writer::open(folder.path(), &encoder).unwrap();
    writer.add((0..1200).map(|number| Ok(Entry::Paper(numbered(number, 0)))).collect()).unwrap();
    writer.finish().unwrap();
    let output = verify(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let served = Library::open(folder.path(), encoder.clone()).unwrap();
    let space = Space::folder(folder.path(), &encoder.model().fingerprint).unwrap();
    let damage = |name: &str, at: usize| {
        let mut bytes = std::fs::read(space.join(name)).unwrap();
        bytes[at] ^= 0x10;
        std::fs::write(space.join(name), bytes).unwrap();
    };
    damage("vectors.f32", 64 + 4 * 384 * 5 + 2);
    damage("segment-0-1200", 100_000);
    damage("vectors.f32", 64 + 4 * 384 * 1199 + 2);
    damage("directory", 500);
    let output = verify(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("the vector in slot 5 ") && said.contains("segment-0-1200: the codes"), "{said}");
    let output = verify(&["--repair"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("4 mended"), "{said}");
    assert!(verify(&[]).status.success());
    let library = Library::open(folder.path(), encoder).unwrap();
    assert_eq!(
        (library.stats().papers, library.stats().vectors, library.stats().without_vector),
        (1200, 1200, 0)
    );
    for number in [4, 5, 6, 1199] {
        let like = Like::text(text_of(&numbered(number, 0)));
        let query = Query { k: 1, ..Query::of(like) };
        for library in [&library, &served] {
            assert_eq!(library.search(&query).unwrap().hits[0].paper.title, number.to_string());
        }
    }

    // What is gone is noticed, too.
    drop((library, served));
    let space = Space::folder(folder.path(), &crate::support::encoder().model().fingerprint).unwrap();
    let keys = std::fs::OpenOptions::new().write(true).open(space.join("keys")).unwrap();
    keys.set_len(64 + 20 * 1000).unwrap();
    let output = verify(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("200 papers have no vector"), "{said}");
    assert!(verify(&["--repair"]).status.success() && verify(&[]).status.success());

    // What a space says of itself, too; its vectors stay.
    let description =
        Space::base(folder.path(), &crate::support::encoder().model().fingerprint).join("space.json");
    std::fs::remove_file(&description).unwrap();
    let output = verify(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("space.json is gone"), "{said}");
    let output = verify(&["--repair"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("encoded"), "{said}");
    assert!(verify(&[]).status.success());

    // And what is empty.
    for name in ["keys", "vectors.f32", "space.json", "directory"] {
        let space = Space::folder(folder.path(), &crate::support::encoder().model().fingerprint).unwrap();
        // It may have been written anew, into a folder of its own.
        let path = if name == "space.json" {
            space.ancestors().find(|path| path.join(name).is_file()).unwrap()
        } else {
            &space
        }
        .join(name);
        std::fs::write(&path, "").unwrap();
        let output = verify(&[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(name), "{name}: {said}");
        assert!(verify(&["--repair"]).status.success() && verify(&[]).status.success(), "{name}");
        let library = Library::open(folder.path(), crate::support::encoder()).unwrap();
        let query = Query { k: 1, ..Query::of(Like::text(text_of(&numbered(7, 0)))) };
        assert_eq!(library.search(&query).unwrap().hits[0].paper.title, "7", "{name}");
        assert_eq!((library.stats().papers, library.stats().without_vector), (1200, 0), "{name}");
    }

    std::fs::copy(data("sample.jsonl"), folder.path().join("catalog.sqlite")).unwrap();
    let output = verify(&["--repair"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("catalog.sqlite"), "{said}");
}
