//! Recall and speed of the index over a data folder's own papers, with filters and without.
//!
//! Measured: recall@10 of walks against the exact scan, and microseconds a query of both; the same for filters
//! that let a random share of the papers through, as the planner answers them; and how fast a scan reads its
//! codes beside the fastest that this machine's cores read memory.
//! Corpus: `--data DIR` (default: data), `--queries N` of its papers (default 1000), evenly spread;
//! each one's own vector is the query, so itself is one of its ten.
//! Fair: all answer the same queries, one at a time, from one thread; a scan then uses all cores for each, as
//! it does in the program. Unfair: queries are papers of the index, which is easier than papers outside; the
//! time in which the catalog finds a filter's papers is not in it.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

mod options;

use likewise::ingest::precision_of;
use likewise::search::plan::Plan;
use likewise::store::space::Space;
use likewise_encoder::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder, Precision};
use likewise_index::recall;
use likewise_index::{Index, Neighbour, Segments};
use likewise_index::{Slot, Vectors};
use options::option;
use rayon::prelude::*;
use roaring::RoaringBitmap;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 10;

/// Shares of the papers that filters let through.
const SHARES: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.0];

fn main() {
    let data = PathBuf::from(option("--data").unwrap_or("data".into()));
    let queries: usize = option("--queries").map_or(1000, |count| count.parse().unwrap());
    let folder = ModelFolder::open(DEFAULT_MODEL, Path::new(DEFAULT_MODELS_DIR), Precision::F32).unwrap();
    let precision = precision_of(&data, &folder).unwrap().expect("a data folder of the default model");
    let space = Space::open(&data, &folder.in_precision(precision).fingerprint).unwrap();
    let vectors = space.vectors();
    let started = Instant::now();
    let index = Segments::open(space.path(), vectors.clone()).unwrap();
    println!("{:?}, opened in {:.1} ms", index.stats(), started.elapsed().as_secs_f64() * 1e3);

    let step = (vectors.len() / queries).max(1);
    let slots: Vec<Slot> = (0..vectors.len() as Slot).step_by(step).take(queries).collect();
    let (exact, scan) = timed(&slots, vectors, |query| index.scan(query, K, None));
    let (found, walk) = timed(&slots, vectors, |query| index.search(query, K, None));
    let themselves =
        found.iter().zip(&slots).filter(|(found, slot)| found.iter().any(|hit| hit.slot == **slot));
    println!("{} of {} papers found themselves", themselves.count(), slots.len());
    println!("walk: recall@{K} {:.4}, p50 {:.0} µs, p99 {:.0} µs", mean(&found, &exact), walk.0, walk.1);
    let (bytes, memory) =
        (index.segments().iter().map(|segment| segment.graph().codes.len()).sum::<usize>(), bandwidth());
    let read = bytes as f64 / scan.0 / 1e3;
    println!(
        "scan: p50 {:.0} µs, {read:.1} GB/s of codes; memory {memory:.1} GB/s ({:.0} %)",
        scan.0,
        100.0 * read / memory
    );
    println!("share | plan | recall@{K} | p50 µs | p99 µs | of the unfiltered");
    for share in SHARES {
        let passes = |slot: &Slot| f64::from(slot.wrapping_mul(2_654_435_761)) < share * f64::from(u32::MAX);
        let allowed: RoaringBitmap = (0..vectors.len() as Slot).filter(passes).collect();
        let plan = Plan::choose(false, K, Some(allowed.len()), vectors.len());
        let answer = |query: &[f32]| match plan {
            Plan::Scan => index.scan(query, K, Some(&allowed)),
            Plan::Walk => index.search(query, K, Some(&allowed)),
        };
        let (found, (p50, p99)) = timed(&slots, vectors, answer);
        let (exact, _) = timed(&slots, vectors, |query| index.scan(query, K, Some(&allowed)));
        let recall = mean(&found, &exact);
        println!("{share} | {plan:?} | {recall:.4} | {p50:.0} | {p99:.0} | {:.1}×", p50 / walk.0);
    }
}

fn mean(found: &[Vec<Neighbour>], exact: &[Vec<Neighbour>]) -> f64 {
    found.iter().zip(exact).map(|(found, exact)| recall(found, exact)).sum::<f64>() / found.len() as f64
}

/// Answers, and p50 and p99 in microseconds.
fn timed(
    slots: &[Slot],
    vectors: &Vectors,
    search: impl Fn(&[f32]) -> Vec<Neighbour>,
) -> (Vec<Vec<Neighbour>>, (f64, f64)) {
    let mut micros = Vec::with_capacity(slots.len());
    let answer = |&slot: &Slot| {
        let started = Instant::now();
        let found = search(vectors.get(slot));
        micros.push(started.elapsed().as_secs_f64() * 1e6);
        found
    };
    let answers = slots.iter().map(answer).collect();
    micros.sort_unstable_by(f64::total_cmp);
    (answers, (micros[micros.len() / 2], micros[micros.len() * 99 / 100]))
}

/// GB/s that all cores together read, at best.
fn bandwidth() -> f64 {
    let memory = vec![1_u64; 64 << 20];
    let read = |_| {
        let started = Instant::now();
        let sum: u64 =
            memory.par_chunks(1 << 16).map(|part| part.iter().fold(0, |sum, word| sum ^ word)).sum();
        std::hint::black_box(sum);
        8.0 * memory.len() as f64 / started.elapsed().as_secs_f64() / 1e9
    };
    (0..10).map(read).fold(0.0, f64::max)
}
