//! Recall and speed of the index over the papers of a data folder, with and without filters.
//!
//! Measured: recall@10 of the graph search, relative to the exact scan, and the microseconds per query of the graph
//! search and of the scan; recall@10 and microseconds per query with filters that pass a random share of the papers,
//! with the plan that the planner chooses; and how fast a scan reads the quantised vectors, compared with the fastest
//! read of memory on this machine.
//!
//! Corpus: `--data DIR` (default: data), a data folder of the default model. The queries are the vectors of `--queries
//! N` papers of the data folder (default 1000), evenly spread, so the paper of a query should be one of the ten results
//! of the query.
//!
//! Fair: every method gets the same queries, one at a time, from one thread; a scan uses all cores for each query, as
//! in the program. Unfair: the queries are papers of the index, which are easier to find than other papers; the time in
//! which the catalog finds the papers that pass a filter is not included.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

mod options;

use likewise::ingest::precision_of;
use likewise::search::plan::Plan;
use likewise::store::vector_store::VectorStore;
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

/// The shares of the papers that the filters pass.
const FILTER_SHARES: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.0];

fn main() {
    let data = PathBuf::from(option("--data").unwrap_or("data".into()));
    let queries: usize = option("--queries").map_or(1000, |count| count.parse().unwrap());
    let folder = ModelFolder::open(DEFAULT_MODEL, Path::new(DEFAULT_MODELS_DIR), Precision::F32).unwrap();
    let precision = precision_of(&data, &folder).unwrap().expect("a data folder of the default model");
    let vector_store = VectorStore::open(&data, &folder.in_precision(precision).fingerprint).unwrap();
    let vectors = vector_store.vectors();
    let started = Instant::now();
    let index = Segments::open(vector_store.path(), vectors.clone()).unwrap();
    println!("{:?}, opened in {:.1} ms", index.stats(), started.elapsed().as_secs_f64() * 1e3);

    let step = (vectors.len() / queries).max(1);
    let slots: Vec<Slot> = (0..vectors.len() as Slot).step_by(step).take(queries).collect();
    let (exact, scan) = timed(&slots, vectors, |query| index.scan(query, K, None));
    let (found, graph) = timed(&slots, vectors, |query| index.search(query, K, None));
    let found_themselves =
        found.iter().zip(&slots).filter(|(found, slot)| found.iter().any(|hit| hit.slot == **slot));
    println!("{} of {} papers are in their own results", found_themselves.count(), slots.len());
    println!(
        "graph search: recall@{K} {:.4}, p50 {:.0} µs, p99 {:.0} µs",
        mean(&found, &exact),
        graph.0,
        graph.1
    );
    let (bytes, memory) =
        (index.segments().iter().map(|segment| segment.graph().quantized.len()).sum::<usize>(), bandwidth());
    let read = bytes as f64 / scan.0 / 1e3;
    println!(
        "scan: p50 {:.0} µs, {read:.1} GB/s of quantized vectors; memory {memory:.1} GB/s ({:.0} %)",
        scan.0,
        100.0 * read / memory
    );
    println!("share | plan | recall@{K} | p50 µs | p99 µs | times the unfiltered p50");
    for share in FILTER_SHARES {
        let passes = |slot: &Slot| f64::from(slot.wrapping_mul(2_654_435_761)) < share * f64::from(u32::MAX);
        let allowed: RoaringBitmap = (0..vectors.len() as Slot).filter(passes).collect();
        let plan = Plan::choose(K, Some(allowed.len()), vectors.len());
        let answer = |query: &[f32]| match plan {
            Plan::Scan => index.scan(query, K, Some(&allowed)),
            Plan::GraphSearch => index.search(query, K, Some(&allowed)),
        };
        let (found, (p50, p99)) = timed(&slots, vectors, answer);
        let (exact, _) = timed(&slots, vectors, |query| index.scan(query, K, Some(&allowed)));
        let recall = mean(&found, &exact);
        println!("{share} | {plan:?} | {recall:.4} | {p50:.0} | {p99:.0} | {:.1}×", p50 / graph.0);
    }
}

fn mean(found: &[Vec<Neighbour>], exact: &[Vec<Neighbour>]) -> f64 {
    found.iter().zip(exact).map(|(found, exact)| recall(found, exact)).sum::<f64>() / found.len() as f64
}

/// Runs a search for the vector of each slot. Returns the results of each search, and p50 and p99 of the microseconds
/// per search.
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

/// Returns the rate, in GB/s, at which all cores together read from memory: the highest rate of ten attempts.
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
