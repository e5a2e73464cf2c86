//! Recall and speed of the index over a data folder's own papers.
//!
//! Measured: recall@10 of the graph against the exact scan, and microseconds a query of both.
//! Corpus: `--data DIR` (default: data), `--queries N` of its papers (default 1000), evenly spread;
//! each one's own vector is the query, so itself is one of its ten.
//! Fair: graph and scan answer the same queries, one at a time, from one thread; the scan then uses
//! all cores for each. Unfair: queries are papers of the index, which is easier than papers outside.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

use likewise::eval::recall;
use likewise::index::{Exact, Hnsw, Index, Neighbour};
use likewise::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder, Precision};
use likewise::space::{Slot, Space};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let data = PathBuf::from(option("--data").unwrap_or("data".into()));
    let queries: usize = option("--queries").map_or(1000, |count| count.parse().unwrap());
    let folder = ModelFolder::open(DEFAULT_MODEL, Path::new(DEFAULT_MODELS_DIR), Precision::F32).unwrap();
    let space = Space::open(&data, &folder.fingerprint).unwrap();
    let vectors = space.vectors();
    let started = Instant::now();
    let graph = Hnsw::load(space.path(), vectors.clone()).unwrap();
    println!(
        "{} vectors, {:?}, loaded in {:.2} s",
        vectors.len(),
        graph.stats(),
        started.elapsed().as_secs_f64()
    );

    let step = (vectors.len() / queries).max(1);
    let slots: Vec<Slot> = (0..vectors.len() as Slot).step_by(step).take(queries).collect();
    let exact = timed("exact scan", &Exact::new(vectors.clone()), &slots, vectors);
    let found = timed("graph", &graph, &slots, vectors);
    let sum: f64 = found.iter().zip(&exact).map(|(found, exact)| recall(found, exact)).sum();
    let themselves =
        found.iter().zip(&slots).filter(|(found, slot)| found.iter().any(|hit| hit.slot == **slot));
    println!(
        "recall@{K} {:.4} over {} queries; {} found themselves",
        sum / slots.len() as f64,
        slots.len(),
        themselves.count()
    );
}

fn timed(
    name: &str,
    index: &dyn Index,
    slots: &[Slot],
    vectors: &likewise::space::Vectors,
) -> Vec<Vec<Neighbour>> {
    let mut micros = Vec::with_capacity(slots.len());
    let answer = |&slot: &Slot| {
        let started = Instant::now();
        let found = index.search(vectors.get(slot), K, None);
        micros.push(started.elapsed().as_secs_f64() * 1e6);
        found
    };
    let answers = slots.iter().map(answer).collect();
    micros.sort_unstable_by(f64::total_cmp);
    println!("{name}: p50 {:.0} µs, p99 {:.0} µs", micros[micros.len() / 2], micros[micros.len() * 99 / 100]);
    answers
}
