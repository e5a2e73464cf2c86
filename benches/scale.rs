//! The index over more papers than there are at hand: 1,000,000 and 2,700,000.
//!
//! Measured: seconds to build a segment on all cores; then, in a fresh process that maps what was saved:
//! milliseconds to open it and to answer first, microseconds a query on one thread, recall@10 against the exact
//! scan over the same vectors, and resident memory.
//! Corpus: `--vectors FILE.npy`, real papers' vectors as `likewise embed` writes them, from which `--count N` others
//! are made: a paper's vector, moved by a random share of the way to one of its ten nearest, plus noise of a
//! third of its length in a random direction, made a unit vector again. So neighbourhoods overlap and are as
//! dense as the papers' own. 500 papers that nothing was made from are the queries.
//! Fair: nothing is compared here. Resident memory counts the pages that were read of the mapped files,
//! those of the vectors too.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

use likewise::eval::recall;
use likewise::index::build::Effort;
use likewise::index::{EF_SEARCH, Index, Segment, Segments};
use likewise::map::{Array, MappedFile};
use likewise::space::Vectors;
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 10;
const QUERIES: usize = 500;

/// Vectors made, and written, at once.
const CHUNK: usize = 100_000;

/// Length of the noise, beside a vector's 1.
const NOISE: f32 = 0.33;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    if let Some(folder) = option("--ask") {
        return ask(Path::new(&folder));
    }
    let source = PathBuf::from(option("--vectors").expect("wanted --vectors FILE.npy"));
    let count: usize = option("--count").map_or(1_000_000, |count| count.parse().unwrap());
    let folder =
        option("--folder").map_or_else(std::env::temp_dir, PathBuf::from).join(format!("scale-{count}"));
    std::fs::create_dir_all(&folder).unwrap();
    make(&source, count, &folder);
    let vectors = mapped(&folder.join("vectors"), dimension(&folder));
    let started = Instant::now();
    let segment = Segment::build(&vectors, 0..count as u32, Effort::default());
    println!(
        "{count} vectors, built and checked in {:.0} s, {:?}",
        started.elapsed().as_secs_f64(),
        segment.repairs()
    );
    let path = segment.save(&folder).unwrap();
    println!("{} bytes a paper", path.metadata().unwrap().len() as usize / count);
    drop(segment);
    let status = Command::new(std::env::current_exe().unwrap()).arg("--ask").arg(&folder).status().unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(&folder).unwrap();
}

fn mapped(path: &Path, dimension: usize) -> Vectors {
    let file = Arc::new(MappedFile::open(path).unwrap());
    let all = 0..file.bytes().len();
    Vectors::new(Array::mapped(&file, all).unwrap(), dimension)
}

fn dimension(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("dimension")).unwrap().parse().unwrap()
}

/// Rows of a NumPy array of f32.
fn read_npy(path: &Path) -> Vectors {
    let file = Arc::new(MappedFile::open(path).unwrap());
    let bytes = file.bytes();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[..header]).into_owned();
    let shape = text.split("'shape': (").nth(1).unwrap().split(')').next().unwrap().to_string();
    let dimension = shape.split(", ").nth(1).unwrap().trim_end_matches(',').parse().unwrap();
    Vectors::new(Array::mapped(&file, header..bytes.len()).unwrap(), dimension)
}

/// Numbers in 0..1, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u32 << 24) as f32
    }
}

fn unit(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
}

/// Writes vectors and queries.
fn make(source: &Path, count: usize, folder: &Path) {
    let all = read_npy(source);
    let dimension = all.dimension();
    std::fs::write(folder.join("dimension"), dimension.to_string()).unwrap();
    let step = all.len() / QUERIES;
    let (mut queries, mut base) = (Vec::new(), Vec::new());
    for (place, vector) in all.values().chunks_exact(dimension).enumerate() {
        if place % step == 0 && queries.len() < QUERIES * dimension { &mut queries } else { &mut base }
            .extend_from_slice(vector);
    }
    std::fs::write(folder.join("queries"), bytemuck::cast_slice(&queries)).unwrap();
    let base = Vectors::in_memory(base, dimension);
    let segment = Segment::build(&base, 0..base.len() as u32, Effort::default());
    let near = |slot: u32| {
        let mut found = Vec::new();
        segment.search(&base, base.get(slot), (K + 1, EF_SEARCH), |other| other != slot, &mut found);
        found.into_iter().take(K).map(|hit| hit.slot).collect::<Vec<_>>()
    };
    let near: Vec<Vec<u32>> = (0..base.len() as u32).into_par_iter().map(near).collect();
    let mut file = BufWriter::new(File::create(folder.join("vectors")).unwrap());
    for start in (0..count).step_by(CHUNK) {
        let one = |number: usize| {
            let mut random = Random((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let from = (random.next() * base.len() as f32) as usize % base.len();
            let to = near[from][(random.next() * near[from].len() as f32) as usize % near[from].len()];
            let share = random.next();
            let mut noise: Vec<f32> = (0..dimension).map(|_| random.next() - 0.5).collect();
            unit(&mut noise);
            let ends = base.get(from as u32).iter().zip(base.get(to));
            let mut vector: Vec<f32> = ends
                .zip(&noise)
                .map(|((from, to), noise)| from + share * (to - from) + NOISE * noise)
                .collect();
            unit(&mut vector);
            vector
        };
        let made: Vec<Vec<f32>> = (start..count.min(start + CHUNK)).into_par_iter().map(one).collect();
        made.iter().for_each(|vector| file.write_all(bytemuck::cast_slice(vector)).unwrap());
    }
    file.flush().unwrap();
}

/// Opens what was saved, and asks it.
fn ask(folder: &Path) {
    let dimension = dimension(folder);
    let queries = mapped(&folder.join("queries"), dimension);
    let started = Instant::now();
    let vectors = mapped(&folder.join("vectors"), dimension);
    vectors.expect_random();
    let index = Segments::open(folder, vectors).unwrap();
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    index.search(queries.get(0), K, None);
    println!("opened in {open_ms:.1} ms, answered after {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let mut micros = Vec::new();
    let mut found = Vec::new();
    for slot in 0..queries.len() as u32 {
        let started = Instant::now();
        found.push(index.search(queries.get(slot), K, None));
        micros.push(started.elapsed().as_secs_f64() * 1e6);
    }
    println!("after {} queries: {}", queries.len(), resident(index.len()));
    micros.sort_unstable_by(f64::total_cmp);
    println!(
        "first time: p50 {:.0} µs, p99 {:.0} µs",
        micros[micros.len() / 2],
        micros[micros.len() * 99 / 100]
    );
    for round in 0..3 {
        micros.clear();
        for slot in 0..queries.len() as u32 {
            let started = Instant::now();
            index.search(queries.get(slot), K, None);
            micros.push(started.elapsed().as_secs_f64() * 1e6);
        }
        micros.sort_unstable_by(f64::total_cmp);
        println!(
            "again {round}: p50 {:.0} µs, p99 {:.0} µs",
            micros[micros.len() / 2],
            micros[micros.len() * 99 / 100]
        );
    }
    let started = Instant::now();
    let exact: Vec<_> =
        (0..queries.len() as u32).map(|slot| index.scan(queries.get(slot), K, None)).collect();
    let scan_ms = started.elapsed().as_secs_f64() * 1e3 / queries.len() as f64;
    let sum: f64 = found.iter().zip(&exact).map(|(found, exact)| recall(found, exact)).sum();
    println!("recall@{K} {:.4}; exact scan {scan_ms:.1} ms a query", sum / queries.len() as f64);
    println!("after the scans: {}", resident(index.len()));
}

fn resident(papers: usize) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    let (all, own) = (field("VmRSS"), field("RssAnon"));
    format!(
        "{} bytes resident a paper ({} MB, {} MB not in files)",
        all / papers,
        all / 1_000_000,
        own / 1_000_000
    )
}
