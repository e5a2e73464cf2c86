//! Builds and searches an index over given vectors: likewise's own, or hnsw_rs for comparison.
//!
//! `benches/search_peers.py` runs this program in turns with other indexes. The header of that script says what is
//! measured and what is fair. The arguments are ENGINE BASE QUERIES DIMENSION, where BASE and QUERIES are files of f32
//! values. The program reads one command per line, and answers each command with one line of JSON:
//!
//!     build M EF_CONSTRUCTION THREADS    {"seconds", "bytes", "open_ms"}
//!     search K EF THREADS OUT            {"seconds", "p50", "p99"}; writes K slots per query to OUT, as u32

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

use hnsw_rs::prelude::{Distance, Hnsw};
use likewise_base::map::{Array, MappedFile};
use likewise_index::Vectors;
use likewise_index::build::HnswParams;
use likewise_index::{SearchParams, Segment, dot, nearest};
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

trait Engine: Send + Sync {
    /// Returns the size of the index on disk in bytes, and the time to open the index in milliseconds. An unknown value
    /// is 0.
    fn size(&mut self) -> (usize, f64);

    /// Returns the slots of the `k` nearest vectors, nearest first.
    fn search(&self, query: &[f32], params: SearchParams) -> Vec<u32>;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [engine, base, queries, dimension] = &arguments[..] else {
        panic!("the arguments must be ENGINE BASE QUERIES DIMENSION (got {arguments:?})")
    };
    let dimension: usize = dimension.parse().unwrap();
    let read = |path: &String| {
        let file = Arc::new(MappedFile::open(Path::new(path)).unwrap());
        let all = 0..file.bytes().len();
        Vectors::new(Array::mapped(&file, all).unwrap(), dimension)
    };
    let (base, queries) = (read(base), read(queries));
    let mut built: Option<Box<dyn Engine>> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<usize>().unwrap();
        match words[..] {
            ["build", m, ef_construction, threads] => {
                let params = HnswParams { m: number(m), ef_construction: number(ef_construction) };
                let started = Instant::now();
                let pool = rayon::ThreadPoolBuilder::new().num_threads(number(threads)).build().unwrap();
                let mut engine = pool.install(|| build(engine, &base, params));
                let seconds = started.elapsed().as_secs_f64();
                let (bytes, open_ms) = engine.size();
                built = Some(engine);
                println!(r#"{{"seconds": {seconds}, "bytes": {bytes}, "open_ms": {open_ms}}}"#);
            }
            ["search", k, ef, threads, out] => {
                let engine = built.as_deref().unwrap();
                let params = SearchParams { k: number(k), ef: number(ef) };
                let (seconds, mut micros, found) = search(engine, &queries, params, number(threads));
                micros.sort_unstable_by(f64::total_cmp);
                std::fs::write(out, bytemuck::cast_slice(&found)).unwrap();
                let (p50, p99) = (micros[micros.len() / 2], micros[micros.len() * 99 / 100]);
                println!(r#"{{"seconds": {seconds}, "p50": {p50}, "p99": {p99}}}"#);
            }
            _ => panic!(
                "the command must be `build` with three arguments or `search` with four (got {line:?})"
            ),
        }
    }
}

fn build(engine: &str, base: &Vectors, params: HnswParams) -> Box<dyn Engine> {
    match engine {
        "likewise" => Box::new(Likewise::build(base, params)),
        "hnsw_rs" => Box::new(HnswRs::build(base, params)),
        _ => panic!("ENGINE must be likewise or hnsw_rs (got {engine})"),
    }
}

/// Runs all queries. Returns the seconds in total, the microseconds of each query, and `k` slots per query. If a query
/// finds fewer slots, the missing slots are `u32::MAX`.
fn search(
    engine: &dyn Engine,
    queries: &Vectors,
    params: SearchParams,
    threads: usize,
) -> (f64, Vec<f64>, Vec<u32>) {
    let slots: Vec<u32> = (0..queries.len() as u32).collect();
    let part = |slots: &[u32]| {
        let (mut micros, mut found) = (Vec::new(), Vec::new());
        for slot in slots {
            let started = Instant::now();
            let mut hits = engine.search(queries.get(*slot), params);
            micros.push(started.elapsed().as_secs_f64() * 1e6);
            hits.resize(params.k, u32::MAX);
            found.extend(hits);
        }
        (micros, found)
    };
    let started = Instant::now();
    let results: Vec<_> = std::thread::scope(|scope| {
        let spawn = |slots| scope.spawn(move || part(slots));
        let running: Vec<_> = slots.chunks(slots.len().div_ceil(threads)).map(spawn).collect();
        running.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let (micros, found): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    (seconds, micros.concat(), found.concat())
}

/// A segment of likewise's index, saved and mapped as in a server.
struct Likewise {
    segment: Segment,
    vectors: Vectors,
    folder: tempfile::TempDir,
}

impl Likewise {
    fn build(base: &Vectors, params: HnswParams) -> Likewise {
        let segment = Segment::build(base, 0..base.len() as u32, params);
        eprintln!("{:?}", segment.repairs());
        Likewise { segment, vectors: base.clone(), folder: tempfile::tempdir().unwrap() }
    }
}

impl Engine for Likewise {
    fn size(&mut self) -> (usize, f64) {
        let path = self.segment.save(self.folder.path()).unwrap();
        let started = Instant::now();
        self.segment = Segment::open(&path).unwrap();
        let open_ms = started.elapsed().as_secs_f64() * 1e3;
        (path.metadata().unwrap().len() as usize, open_ms)
    }

    fn search(&self, query: &[f32], params: SearchParams) -> Vec<u32> {
        let mut found = Vec::new();
        self.segment.search(&self.vectors, query, params, |_| true, &mut found);
        nearest(found, params.k).into_iter().map(|hit| hit.slot).collect()
    }
}

#[derive(Default, Clone, Copy)]
struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

struct HnswRs(Hnsw<'static, f32, UnitCosine>);

impl HnswRs {
    fn build(base: &Vectors, params: HnswParams) -> HnswRs {
        let graph = Hnsw::new(params.m, base.len(), 16, params.ef_construction, UnitCosine);
        let all: Vec<(&[f32], usize)> = base
            .values()
            .chunks_exact(base.dimension())
            .enumerate()
            .map(|(slot, vector)| (vector, slot))
            .collect();
        graph.parallel_insert_slice(&all);
        HnswRs(graph)
    }
}

impl Engine for HnswRs {
    /// Returns zeros: the size is unknown, because hnsw_rs allocates every vector separately.
    fn size(&mut self) -> (usize, f64) {
        (0, 0.0)
    }

    fn search(&self, query: &[f32], SearchParams { k, ef }: SearchParams) -> Vec<u32> {
        self.0.search(query, k, ef).into_iter().map(|hit| hit.d_id as u32).collect()
    }
}
