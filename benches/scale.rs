//! Speed, recall and memory over a data folder with millions of made-up papers (the Makefile runs it with 1,000,000
//! and 2,700,000).
//!
//! Measured: seconds to build the index on all cores; then, in a new process, microseconds per query of the index on
//! one thread, recall@10 relative to the exact scan over the same vectors, and resident memory; then, with the whole
//! library, milliseconds to open it and to answer the first query, the latency of queries, the latency and the recall
//! of queries with filters of several selectivities, and the time from storing a paper to finding it.
//!
//! Corpus: `--vectors FILE.npy` has vectors of real papers, as `likewise embed` writes them. 500 of these vectors,
//! evenly spread, are the queries. `--count N` vectors are made from the other vectors: the vector of a random paper is
//! moved by a random fraction of the way to one of the ten nearest vectors; noise of a third of its length in a random
//! direction is added; and the result is scaled to length 1. So neighbourhoods overlap, and are as dense as among the
//! real papers. The texts of the papers are made up and have about a thousand characters. The name of a category is the
//! share of the papers that are in the category.
//!
//! The data folder is the subfolder `scale-N` of `--folder DIR` (default: the folder for temporary files). With
//! `--keep`, it is not deleted, and `--query FOLDER` measures the queries over it again.
//!
//! Fairness: nothing is compared here. Resident memory includes the pages of mapped files that were read.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

mod options;

use likewise::ingest::vector_writer::VectorWriter;
use likewise::ingest::{FolderWriter, catalog_path};
use likewise::search::{Examples, Hit, Library, Query};
use likewise::store::catalog::{Catalog, Filter};
use likewise::store::text::{TextHash, text_of};
use likewise::store::vector_store::{VectorStore, VectorStoreWriter};
use likewise_base::map::{Array, MappedFile};
use likewise_encoder::Encoder;
use likewise_encoder::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, InputType, ModelFolder, Precision};
use likewise_index::Vectors;
use likewise_index::build::HnswParams;
use likewise_index::recall;
use likewise_index::{EF_SEARCH, Index, Neighbour, SearchParams, Segment, Segments};
use likewise_papers::dump::Entry;
use likewise_papers::{Paper, PaperId};
use options::option;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 10;
const QUERY_COUNT: usize = 500;

/// Number of papers that are made and written at a time.
const CHUNK_PAPERS: usize = 100_000;

/// The length of the noise that is added to a unit vector.
const NOISE_LENGTH: f32 = 0.33;

fn main() {
    if let Some(folder) = option("--query") {
        return measure_queries(Path::new(&folder));
    }
    let source = PathBuf::from(option("--vectors").expect("--vectors FILE.npy must be given"));
    let count: usize = option("--count").map_or(1_000_000, |count| count.parse().unwrap());
    let folder =
        option("--folder").map_or_else(std::env::temp_dir, PathBuf::from).join(format!("scale-{count}"));
    std::fs::create_dir_all(&folder).unwrap();
    make_folder(&source, count, &folder);
    let vector_store = VectorStore::open(&folder, &model().fingerprint).unwrap();
    let mut index = Segments::empty(vector_store.vectors().clone());
    let started = Instant::now();
    index.seal(vector_store.path(), HnswParams::default()).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} papers: index built, checked and saved in {seconds:.0} s, {:?}", index.stats());
    let path = Segments::files(vector_store.path()).unwrap().remove(0);
    println!("{} bytes per paper", path.metadata().unwrap().len() as usize / count);
    let catalog = Catalog::create(&catalog_path(&folder)).unwrap();
    VectorWriter::open(&folder, &catalog, encoder()).unwrap().finish(&catalog).unwrap();
    drop((index, vector_store, catalog));
    let status = Command::new(std::env::current_exe().unwrap()).arg("--query").arg(&folder).status().unwrap();
    assert!(status.success());
    if !std::env::args().any(|argument| argument == "--keep") {
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

fn model() -> ModelFolder {
    ModelFolder::open(DEFAULT_MODEL, Path::new(DEFAULT_MODELS_DIR), Precision::F32).unwrap()
}

fn encoder() -> Arc<Encoder> {
    Arc::new(Encoder::load(&model()).unwrap())
}

/// For each category, the share of the papers that are in the category. The name of a category is this share.
const CATEGORY_SHARES: [f64; 11] = [0.9, 0.7, 0.5, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.001, 0.0001];

fn made_up_paper(number: usize) -> Paper {
    let mut random = Random(number as u64);
    random.next();
    let rank = random.next();
    Paper {
        id: PaperId::parse(&format!("scale/{number}")).unwrap(),
        title: format!("Paper {number}"),
        r#abstract: format!("It says {number}, and no more. ").repeat(1000 / 28),
        authors: vec![format!("Author {}", number % 100_000), format!("Other {}", number % 77_777)],
        published: Some((1990 + number % 35).to_string()),
        categories: CATEGORY_SHARES
            .into_iter()
            .filter(|share| f64::from(rank) < *share)
            .map(|share| share.to_string())
            .collect(),
        source: Some("scale".into()),
        ..Paper::default()
    }
}

fn mapped(path: &Path, dimension: usize) -> Vectors {
    let file = Arc::new(MappedFile::open(path).unwrap());
    let all = 0..file.bytes().len();
    Vectors::new(Array::mapped(&file, all).unwrap(), dimension)
}

/// Maps a NumPy file with a two-dimensional array of f32.
fn read_npy(path: &Path) -> Vectors {
    let file = Arc::new(MappedFile::open(path).unwrap());
    let bytes = file.bytes();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[..header]).into_owned();
    let shape = text.split("'shape': (").nth(1).unwrap().split(')').next().unwrap().to_string();
    let dimension = shape.split(", ").nth(1).unwrap().trim_end_matches(',').parse().unwrap();
    Vectors::new(Array::mapped(&file, header..bytes.len()).unwrap(), dimension)
}

/// Pseudo-random numbers in 0..1, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u32 << 24) as f32
    }
}

fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
}

/// Writes the catalog, the vectors and the file of queries.
fn make_folder(source: &Path, count: usize, folder: &Path) {
    let all = read_npy(source);
    let dimension = all.dimension();
    let (catalog, fingerprint) = (Catalog::create(&catalog_path(folder)).unwrap(), model().fingerprint);
    VectorStore::create(folder, &model()).unwrap();
    catalog.set_space(&fingerprint.sha256).unwrap();
    let mut writer = VectorStoreWriter::open(folder, &fingerprint, |_| Ok(())).unwrap();
    let step = all.len() / QUERY_COUNT;
    let (mut queries, mut base) = (Vec::new(), Vec::new());
    for (row, vector) in all.values().chunks_exact(dimension).enumerate() {
        if row % step == 0 && queries.len() < QUERY_COUNT * dimension { &mut queries } else { &mut base }
            .extend_from_slice(vector);
    }
    std::fs::write(folder.join("queries"), bytemuck::cast_slice(&queries)).unwrap();
    let base = Vectors::in_memory(base, dimension);
    let segment = Segment::build(&base, 0..base.len() as u32, HnswParams::default());
    let nearest = |slot: u32| {
        let mut found = Vec::new();
        segment.search(
            &base,
            base.get(slot),
            SearchParams { k: K + 1, ef: EF_SEARCH },
            |other| other != slot,
            &mut found,
        );
        found.into_iter().take(K).map(|hit| hit.slot).collect::<Vec<_>>()
    };
    let nearest: Vec<Vec<u32>> = (0..base.len() as u32).into_par_iter().map(nearest).collect();
    for start in (0..count).step_by(CHUNK_PAPERS) {
        let made_up_vector = |number: usize| {
            let mut random = Random((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let from = (random.next() * base.len() as f32) as usize % base.len();
            let to =
                nearest[from][(random.next() * nearest[from].len() as f32) as usize % nearest[from].len()];
            let fraction = random.next();
            let mut noise: Vec<f32> = (0..dimension).map(|_| random.next() - 0.5).collect();
            normalize(&mut noise);
            let ends = base.get(from as u32).iter().zip(base.get(to));
            let mut vector: Vec<f32> = ends
                .zip(&noise)
                .map(|((from, to), noise)| from + fraction * (to - from) + NOISE_LENGTH * noise)
                .collect();
            normalize(&mut vector);
            vector
        };
        let vectors: Vec<Vec<f32>> =
            (start..count.min(start + CHUNK_PAPERS)).into_par_iter().map(made_up_vector).collect();
        let papers: Vec<Paper> = (start..start + vectors.len()).into_par_iter().map(made_up_paper).collect();
        let texts: Vec<TextHash> = papers.par_iter().map(|paper| TextHash::of(&text_of(paper))).collect();
        let entries: Vec<_> = texts.into_iter().zip(vectors.iter().map(Vec::as_slice)).collect();
        writer.append(&entries).unwrap();
        catalog.upsert(&papers).unwrap();
    }
}

/// Opens the saved folder, and measures queries over the folder.
fn measure_queries(folder: &Path) {
    let fingerprint = model().fingerprint;
    let queries = mapped(&folder.join("queries"), fingerprint.dimension);
    let vector_store = VectorStore::open(folder, &fingerprint).unwrap();
    vector_store.vectors().advise_random_access();
    let index = Segments::open(vector_store.path(), vector_store.vectors().clone()).unwrap();
    let mut found = Vec::new();
    let time_queries = |search: &mut dyn FnMut(&[f32])| {
        let mut micros: Vec<f64> = (0..queries.len() as u32)
            .map(|slot| {
                let started = Instant::now();
                search(queries.get(slot));
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        micros.sort_unstable_by(f64::total_cmp);
        (micros[micros.len() / 2], micros[micros.len() * 99 / 100])
    };
    for round in ["first round", "second", "third", "fourth"] {
        found.clear();
        let (p50, p99) = time_queries(&mut |query| found.push(index.search(query, K, None)));
        println!("index, {round}: p50 {p50:.0} µs, p99 {p99:.0} µs");
    }
    println!("after {} queries: {}", 4 * queries.len(), describe_memory(index.len()));
    let mut exact = Vec::new();
    let (p50, _) = time_queries(&mut |query| exact.push(index.scan(query, K, None)));
    let sum: f64 = found.iter().zip(&exact).map(|(found, exact)| recall(found, exact)).sum();
    println!("recall@{K} {:.4}; exact scan {:.1} ms", sum / queries.len() as f64, p50 / 1e3);
    println!("after the scans: {}", describe_memory(index.len()));
    drop((index, vector_store));

    let encoder = encoder();
    let before = memory();
    let started = Instant::now();
    let library = Library::open(folder, Arc::clone(&encoder)).unwrap();
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    let query = |vector: &[f32], exact, filter: &Filter| {
        let query =
            Query { k: K, exact, filter: filter.clone(), ..Query::of(Examples::vector(vector.to_vec())) };
        library.search(&query).unwrap().hits
    };
    let none = Filter::default();
    query(queries.get(0), false, &none);
    let first_ms = started.elapsed().as_secs_f64() * 1e3;
    println!("library: opened in {open_ms:.1} ms, first answer after {first_ms:.1} ms");
    let (p50, p99) = time_queries(&mut |vector| drop(query(vector, false, &none)));
    let (p50_again, p99_again) = time_queries(&mut |vector| drop(query(vector, false, &none)));
    println!(
        "no filter: p50 {p50:.0} µs, p99 {p99:.0} µs; again p50 {p50_again:.0} µs, p99 {p99_again:.0} µs"
    );
    let after = memory();
    println!(
        "memory: {} MB more, {} MB of them not in files",
        after.resident.saturating_sub(before.resident) / 1_000_000,
        after.anonymous.saturating_sub(before.anonymous) / 1_000_000
    );
    for share in CATEGORY_SHARES {
        let filter = Filter { categories: Some(vec![share.to_string()]), ..none.clone() };
        let started = Instant::now();
        query(queries.get(0), false, &filter);
        let first = started.elapsed().as_secs_f64() * 1e3;
        let (mut found, mut exact) = (Vec::new(), Vec::new());
        let (p50, p99) = time_queries(&mut |vector| found.push(query(vector, false, &filter)));
        time_queries(&mut |vector| exact.push(query(vector, true, &filter)));
        let sum: f64 =
            found.iter().zip(&exact).map(|(found, exact)| recall(&scores(found), &scores(exact))).sum();
        println!(
            "filter for {share} of the papers: recall@{K} {:.4}, first {first:.1} ms, p50 {p50:.0} µs, \
             p99 {p99:.0} µs, {:.1} times the unfiltered p50",
            sum / queries.len() as f64,
            p50 / p50_again
        );
    }
    measure_add_to_find(folder, &encoder, &library);
}

fn scores(hits: &[Hit]) -> Vec<Neighbour> {
    hits.iter().map(|hit| Neighbour { slot: 0, score: hit.score }).collect()
}

/// Adds papers one at a time, and measures, for each paper, the time from then until a search has found the paper.
fn measure_add_to_find(folder: &Path, encoder: &Arc<Encoder>, library: &Library) {
    let mut writer = FolderWriter::open(folder, encoder).unwrap();
    let mut millis = Vec::new();
    for number in 0..20 {
        let new = Paper {
            id: PaperId::parse(&format!("new/{number}")).unwrap(),
            title: format!("New paper {number}"),
            r#abstract: "This paper is added after the index was built.".into(),
            ..Paper::default()
        };
        let like = Examples::vector(encoder.encode_one(&text_of(&new), InputType::Document).unwrap().vector);
        let query = Query { k: 1, ..Query::of(like) };
        writer.add(vec![Ok(Entry::Paper(new.clone()))]).unwrap();
        let started = Instant::now();
        let hits = library.search(&query).unwrap().hits;
        millis.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(hits[0].paper.id, new.id);
    }
    millis.sort_unstable_by(f64::total_cmp);
    println!("a new paper is found after {:.1} ms (median), {:.1} ms at most", millis[10], millis[19]);
}

/// Memory of this process in bytes.
struct Memory {
    resident: usize,
    /// The part of `resident` that is not mapped from a file.
    anonymous: usize,
}

fn memory() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    Memory { resident: field("VmRSS"), anonymous: field("RssAnon") }
}

fn describe_memory(papers: usize) -> String {
    let Memory { resident, anonymous } = memory();
    format!(
        "{} bytes resident per paper ({} MB, {} MB not in files)",
        resident / papers,
        resident / 1_000_000,
        anonymous / 1_000_000
    )
}
