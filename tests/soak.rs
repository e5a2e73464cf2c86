//! Readers, a writer, deletes and merges at the same time, for `LIKEWISE_SOAK` seconds (5 by default).
//!
//! Some papers never change. Each of these papers must always be the first hit of a query with the paper's own text.
//! All other papers are added, replaced and deleted. The writer keeps a map of the papers that must exist, and compares
//! this map with the results of searches.

use crate::support::{TestRng, encoder, numbered_paper};
use likewise::ingest::{self, FolderWriter};
use likewise::search::{Examples, Library, Mode, Query};
use likewise::store::text::text_of;
use likewise_papers::dump::Entry;
use likewise_papers::{Paper, PaperId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Number of papers that never change.
const STABLE: usize = 2000;

/// Number of different papers that are added, replaced and deleted.
const CHANGING: usize = 3000;

/// Maximum number of papers per write. The papers are random, so a write can have fewer different papers.
const BATCH_SIZE: usize = 200;

/// Returns the resident anonymous memory of this process, in kB.
fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Returns title, abstract and score of the ten papers nearest to a paper's text.
fn nearest(library: &Library, paper: &Paper, exact: bool) -> Vec<(String, String, f32)> {
    let (mode, min_score) = (Some(Mode::Semantic), Some(0.0));
    let query = Query { k: 10, exact, mode, min_score, ..Query::of(Examples::text(text_of(paper))) };
    let hits = library.search(&query).unwrap().hits;
    hits.into_iter().map(|hit| (hit.paper.title, hit.paper.r#abstract, hit.score)).collect()
}

#[test]
fn search_results_stay_correct_during_writes() {
    let seconds: u64 = std::env::var("LIKEWISE_SOAK").map_or(5, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let encoder = encoder();
    let mut writer = FolderWriter::open(folder, &encoder).unwrap();
    writer.add((0..STABLE).map(|number| Ok(Entry::Paper(numbered_paper(number, 0)))).collect()).unwrap();
    writer.finish().unwrap();
    let library = Library::open(folder, encoder.clone()).unwrap();
    let (stop, queries) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut memory = Vec::new();
    std::thread::scope(|scope| {
        let read = |seed: u64| {
            let mut random = TestRng(seed);
            while !stop.load(Ordering::Relaxed) {
                let paper = numbered_paper(random.below(STABLE), 0);
                let found = nearest(&library, &paper, random.below(4) == 0);
                assert_eq!(found[0].0, paper.title);
                assert!(found[0].2 > 0.99 && found.is_sorted_by(|a, b| a.2 >= b.2), "{found:?}");
                let mut titles: Vec<&String> = found.iter().map(|(title, ..)| title).collect();
                titles.sort();
                titles.dedup();
                assert_eq!(titles.len(), 10, "a paper is missing or appears twice: {found:?}");
                queries.fetch_add(1, Ordering::Relaxed);
            }
        };
        for seed in [3, 5] {
            scope.spawn(move || read(seed));
        }
        let stop_on_drop = StopWhenDropped(&stop);
        let (mut random, mut expected, started) = (TestRng(11), BTreeMap::new(), Instant::now());
        while started.elapsed() < Duration::from_secs(seconds) {
            let numbers: Vec<usize> = (0..BATCH_SIZE).map(|_| STABLE + random.below(CHANGING)).collect();
            match random.below(5) {
                0 | 1 => {
                    let ids: Vec<PaperId> =
                        numbers.iter().map(|number| numbered_paper(*number, 0).id).collect();
                    ingest::delete(folder, &ids).unwrap();
                    expected.retain(|number, _| !numbers.contains(number));
                }
                2 => drop(FolderWriter::open(folder, &encoder).unwrap().finish().unwrap()),
                _ => {
                    let edition = random.below(1_000_000);
                    let mut writer = FolderWriter::open(folder, &encoder).unwrap();
                    let papers =
                        numbers.iter().map(|number| Ok(Entry::Paper(numbered_paper(*number, edition))));
                    writer.add(papers.collect()).unwrap();
                    expected.extend(numbers.iter().map(|number| (*number, edition)));
                }
            }
            assert_eq!(library.stats().papers, STABLE + expected.len());
            for number in numbers.iter().take(5) {
                let edition = expected.get(number).copied();
                let found = nearest(&library, &numbered_paper(*number, edition.unwrap_or_default()), false);
                let hit = found.iter().find(|(title, ..)| *title == number.to_string());
                let found_edition = hit.map(|(_, edition, _)| edition.parse::<usize>().unwrap());
                assert_eq!(found_edition, edition, "{number}");
            }
            memory.push(resident_kb());
        }
        drop(stop_on_drop);
    });
    let half = memory.len() / 2;
    let max_mb = |samples: &[usize]| samples.iter().copied().max().unwrap_or_default() / 1024;
    let (before, after) = (max_mb(&memory[..half]), max_mb(&memory[half..]));
    println!(
        "{} writes, {} queries, memory at most {before} MB in the first half, {after} MB in the second; {:?}",
        memory.len(),
        queries.load(Ordering::Relaxed),
        library.stats().index
    );
    // Memory is checked only in runs of at least 60 s, because in a shorter run it still grows to its normal size.
    assert!(seconds < 60 || after <= before + before / 10, "memory grows: {before} MB, then {after} MB");
}

/// Sets the flag when dropped, so that the readers stop even if the writer panics.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
