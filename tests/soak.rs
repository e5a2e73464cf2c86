//! Readers, a writer, deletes and merges at once, for as long as `LIKEWISE_SOAK` says, in seconds.
//!
//! Some papers are never touched: whatever else happens, each is found first by its own text. The others come and
//! go; the writer keeps a model of them, and compares.

use crate::support::{Random, encoder, numbered};
use likewise::ingest::{self, Writer};
use likewise::search::{Library, Like, Mode, Query};
use likewise::store::text::text_of;
use likewise_papers::dump::Entry;
use likewise_papers::{Paper, PaperId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Papers that are never touched.
const STABLE: usize = 2000;

/// Papers that come and go.
const MOVING: usize = 3000;

/// Papers that are written in one go.
const BATCH: usize = 200;

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn ask(library: &Library, paper: &Paper, exact: bool) -> Vec<(String, String, f32)> {
    let (mode, min_score) = (Some(Mode::Semantic), Some(0.0));
    let query = Query { k: 10, exact, mode, min_score, ..Query::of(Like::text(text_of(paper))) };
    let hits = library.search(&query).unwrap().hits;
    hits.into_iter().map(|hit| (hit.paper.title, hit.paper.r#abstract, hit.score)).collect()
}

#[test]
fn answers_stay_right_while_papers_come_and_go() {
    let seconds: u64 = std::env::var("LIKEWISE_SOAK").map_or(5, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    let mut writer = Writer::open(folder, &encoder).unwrap();
    writer.add((0..STABLE).map(|number| Ok(Entry::Paper(numbered(number, 0)))).collect()).unwrap();
    writer.finish().unwrap();
    let library = Library::open(folder, encoder.clone()).unwrap();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut memory = Vec::new();
    std::thread::scope(|scope| {
        let read = |seed: u64| {
            let mut random = Random(seed);
            while !stop.load(Ordering::Relaxed) {
                let wanted = numbered(random.below(STABLE), 0);
                let found = ask(&library, &wanted, random.below(4) == 0);
                assert_eq!(found[0].0, wanted.title);
                assert!(found[0].2 > 0.99 && found.is_sorted_by(|a, b| a.2 >= b.2), "{found:?}");
                let mut titles: Vec<&String> = found.iter().map(|(title, ..)| title).collect();
                titles.sort();
                titles.dedup();
                assert_eq!(titles.len(), 10, "a paper comes twice, or is missing: {found:?}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        };
        for seed in [3, 5] {
            scope.spawn(move || read(seed));
        }
        let stopping = StopWhenDropped(&stop);
        let (mut random, mut model, started) = (Random(11), BTreeMap::new(), Instant::now());
        while started.elapsed() < Duration::from_secs(seconds) {
            let numbers: Vec<usize> = (0..BATCH).map(|_| STABLE + random.below(MOVING)).collect();
            match random.below(5) {
                0 | 1 => {
                    let ids: Vec<PaperId> = numbers.iter().map(|number| numbered(*number, 0).id).collect();
                    ingest::delete(folder, &ids).unwrap();
                    model.retain(|number, _| !numbers.contains(number));
                }
                2 => drop(Writer::open(folder, &encoder).unwrap().finish().unwrap()),
                _ => {
                    let edition = random.below(1_000_000);
                    let mut writer = Writer::open(folder, &encoder).unwrap();
                    let papers = numbers.iter().map(|number| Ok(Entry::Paper(numbered(*number, edition))));
                    writer.add(papers.collect()).unwrap();
                    model.extend(numbers.iter().map(|number| (*number, edition)));
                }
            }
            assert_eq!(library.stats().papers, STABLE + model.len());
            for number in numbers.iter().take(5) {
                let edition = model.get(number).copied();
                let found = ask(&library, &numbered(*number, edition.unwrap_or_default()), false);
                let there = found.iter().find(|(title, ..)| *title == number.to_string());
                let got = there.map(|(_, edition, _)| edition.parse::<usize>().unwrap());
                assert!(
                    got == edition || (edition.is_none() && got.is_none()),
                    "{number}: {got:?}, {edition:?}"
                );
            }
            memory.push(resident_kb());
        }
        drop(stopping);
    });
    let half = memory.len() / 2;
    let most = |part: &[usize]| part.iter().copied().max().unwrap_or_default() / 1024;
    let (before, after) = (most(&memory[..half]), most(&memory[half..]));
    println!(
        "{} writes, {} questions, at most {before} MB in the first half, {after} MB in the second; {:?}",
        memory.len(),
        asked.load(Ordering::Relaxed),
        library.stats().index
    );
    // In a short run the first half has seen too little to compare with.
    assert!(seconds < 60 || after <= before + before / 10, "memory grows: {before} MB, then {after} MB");
}

/// So that readers stop when the writer fails, too.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
