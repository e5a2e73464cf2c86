//! A data folder of more papers than there are at hand: 1,000,000 and 2,700,000.
//!
//! Measured: seconds to build the index on all cores; then, in a fresh process, milliseconds until the folder is open
//! and has answered first, microseconds a query of the index on one thread, recall@10 against the exact scan over the
//! same vectors, and resident memory; then through the whole library: queries, filters of every selectivity with
//! their recall, and the time from a paper's being stored to its being found.
//! Corpus: `--vectors FILE.npy`, real papers' vectors as `likewise embed` writes them, from which `--count N` others
//! are made: a paper's vector, moved by a random share of the way to one of its ten nearest, plus noise of a
//! third of its length in a random direction, made a unit vector again. So neighbourhoods overlap and are as
//! dense as the papers' own. 500 papers that nothing was made from are the queries. The papers' texts are made up, of
//! a thousand characters; each is in the categories that are named for the share of papers they have.
//! With `--keep` the folder stays in `--folder DIR`, and `--ask FOLDER` asks it again.
//! Fair: nothing is compared here. Resident memory counts the pages that were read of the mapped files.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

mod options;

use likewise::ingest::fill::Filler;
use likewise::ingest::{Writer, catalog_path};
use likewise::search::{Hit, Library, Like, Query};
use likewise::store::catalog::{Catalog, Filter};
use likewise::store::space::{Space, SpaceWriter};
use likewise::store::text::{TextHash, text_of};
use likewise_base::map::{Array, MappedFile};
use likewise_encoder::Encoder;
use likewise_encoder::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder, Precision, Side};
use likewise_index::Vectors;
use likewise_index::build::Effort;
use likewise_index::recall;
use likewise_index::{EF_SEARCH, Index, Neighbour, Segment, Segments};
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
const QUERIES: usize = 500;

/// Vectors made, and written, at once.
const CHUNK: usize = 100_000;

/// Length of the noise, beside a vector's 1.
const NOISE: f32 = 0.33;

fn main() {
    if let Some(folder) = option("--ask") {
        return ask(Path::new(&folder));
    }
    let source = PathBuf::from(option("--vectors").expect("wanted --vectors FILE.npy"));
    let count: usize = option("--count").map_or(1_000_000, |count| count.parse().unwrap());
    let folder =
        option("--folder").map_or_else(std::env::temp_dir, PathBuf::from).join(format!("scale-{count}"));
    std::fs::create_dir_all(&folder).unwrap();
    make(&source, count, &folder);
    let space = Space::open(&folder, &model().fingerprint).unwrap();
    let mut index = Segments::empty(space.vectors().clone());
    let started = Instant::now();
    index.freeze(space.path(), Effort::default()).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} papers, built, checked and saved in {seconds:.0} s, {:?}", index.stats());
    let path = Segments::files(space.path()).unwrap().remove(0);
    println!("{} bytes a paper", path.metadata().unwrap().len() as usize / count);
    let catalog = Catalog::create(&catalog_path(&folder)).unwrap();
    Filler::open(&folder, &catalog, encoder()).unwrap().finish(&catalog).unwrap();
    drop((index, space, catalog));
    let status = Command::new(std::env::current_exe().unwrap()).arg("--ask").arg(&folder).status().unwrap();
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

/// The shares of papers that are in a category of that name.
const SHARES: [f64; 11] = [0.9, 0.7, 0.5, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.001, 0.0001];

fn paper(number: usize) -> Paper {
    let mut random = Random(number as u64);
    random.next();
    let is_in = random.next();
    Paper {
        id: PaperId::parse(&format!("scale/{number}")).unwrap(),
        title: format!("Paper {number}"),
        r#abstract: format!("It says {number}, and no more. ").repeat(1000 / 28),
        authors: vec![format!("Author {}", number % 100_000), format!("Other {}", number % 77_777)],
        published: Some((1990 + number % 35).to_string()),
        categories: SHARES
            .into_iter()
            .filter(|share| f64::from(is_in) < *share)
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

/// Writes papers, their vectors, and queries.
fn make(source: &Path, count: usize, folder: &Path) {
    let all = read_npy(source);
    let dimension = all.dimension();
    let (catalog, fingerprint) = (Catalog::create(&catalog_path(folder)).unwrap(), model().fingerprint);
    Space::create(folder, &model()).unwrap();
    catalog.set_space(&fingerprint.sha256).unwrap();
    let mut writer = SpaceWriter::open(folder, &fingerprint, |_| Ok(())).unwrap();
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
        let papers: Vec<Paper> = (start..start + made.len()).into_par_iter().map(paper).collect();
        let texts: Vec<TextHash> = papers.par_iter().map(|paper| TextHash::of(&text_of(paper))).collect();
        let entries: Vec<_> = texts.into_iter().zip(made.iter().map(Vec::as_slice)).collect();
        writer.append(&entries).unwrap();
        catalog.upsert(&papers).unwrap();
    }
}

/// Opens what was saved, and asks it.
fn ask(folder: &Path) {
    let fingerprint = model().fingerprint;
    let queries = mapped(&folder.join("queries"), fingerprint.dimension);
    let space = Space::open(folder, &fingerprint).unwrap();
    space.vectors().expect_random();
    let index = Segments::open(space.path(), space.vectors().clone()).unwrap();
    let mut found = Vec::new();
    let each = |ask: &mut dyn FnMut(&[f32])| {
        let mut micros: Vec<f64> = (0..queries.len() as u32)
            .map(|slot| {
                let started = Instant::now();
                ask(queries.get(slot));
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        micros.sort_unstable_by(f64::total_cmp);
        (micros[micros.len() / 2], micros[micros.len() * 99 / 100])
    };
    for round in ["first time", "again", "again", "again"] {
        found.clear();
        let (p50, p99) = each(&mut |query| found.push(index.search(query, K, None)));
        println!("the index, {round}: p50 {p50:.0} µs, p99 {p99:.0} µs");
    }
    println!("after {} queries: {}", 4 * queries.len(), resident(index.len()));
    let mut exact = Vec::new();
    let (p50, _) = each(&mut |query| exact.push(index.scan(query, K, None)));
    let sum: f64 = found.iter().zip(&exact).map(|(found, exact)| recall(found, exact)).sum();
    println!("recall@{K} {:.4}; exact scan {:.1} ms", sum / queries.len() as f64, p50 / 1e3);
    println!("after the scans: {}", resident(index.len()));
    drop((index, space));

    let encoder = encoder();
    let (all, own) = memory();
    let started = Instant::now();
    let library = Library::open(folder, Arc::clone(&encoder)).unwrap();
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    let query = |vector: &[f32], exact, filter: &Filter| {
        let query = Query { k: K, exact, filter: filter.clone(), ..Query::of(Like::vector(vector.to_vec())) };
        library.search(&query).unwrap().hits
    };
    let none = Filter::default();
    query(queries.get(0), false, &none);
    let first_ms = started.elapsed().as_secs_f64() * 1e3;
    println!("the library: opened in {open_ms:.1} ms, answered after {first_ms:.1} ms");
    let (p50, p99) = each(&mut |vector| drop(query(vector, false, &none)));
    let (p50_again, p99_again) = each(&mut |vector| drop(query(vector, false, &none)));
    println!(
        "no filter: p50 {p50:.0} µs, p99 {p99:.0} µs; again p50 {p50_again:.0} µs, p99 {p99_again:.0} µs"
    );
    let (all_after, own_after) = memory();
    println!(
        "it took {} MB, {} MB of them not in files",
        all_after.saturating_sub(all) / 1_000_000,
        own_after.saturating_sub(own) / 1_000_000
    );
    for share in SHARES {
        let filter = Filter { categories: Some(vec![share.to_string()]), ..none.clone() };
        let started = Instant::now();
        query(queries.get(0), false, &filter);
        let first = started.elapsed().as_secs_f64() * 1e3;
        let (mut found, mut exact) = (Vec::new(), Vec::new());
        let (p50, p99) = each(&mut |vector| found.push(query(vector, false, &filter)));
        each(&mut |vector| exact.push(query(vector, true, &filter)));
        let sum: f64 =
            found.iter().zip(&exact).map(|(found, exact)| recall(&scores(found), &scores(exact))).sum();
        println!(
            "{share} of all: recall@{K} {:.4}, first {first:.1} ms, p50 {p50:.0} µs, p99 {p99:.0} µs, {:.1}x",
            sum / queries.len() as f64,
            p50 / p50_again
        );
    }
    add_and_find(folder, &encoder, &library);
}

fn scores(hits: &[Hit]) -> Vec<Neighbour> {
    hits.iter().map(|hit| Neighbour { slot: 0, score: hit.score }).collect()
}

/// Adds papers one at a time, and looks for each.
fn add_and_find(folder: &Path, encoder: &Arc<Encoder>, library: &Library) {
    let mut writer = Writer::open(folder, encoder).unwrap();
    let mut millis = Vec::new();
    for number in 0..20 {
        let new = Paper {
            id: PaperId::parse(&format!("new/{number}")).unwrap(),
            title: format!("New paper {number}"),
            r#abstract: "It was not here before.".into(),
            ..Paper::default()
        };
        let like = Like::vector(encoder.encode_one(&text_of(&new), Side::Paper).unwrap().vector);
        let query = Query { k: 1, ..Query::of(like) };
        writer.add(vec![Ok(Entry::Paper(new.clone()))]).unwrap();
        let started = Instant::now();
        let hits = library.search(&query).unwrap().hits;
        millis.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(hits[0].paper.id, new.id);
    }
    millis.sort_unstable_by(f64::total_cmp);
    println!("a paper that was just added is found in {:.1} ms, {:.1} ms at most", millis[10], millis[19]);
}

/// Resident bytes, and those of them that are in no file.
fn memory() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    (field("VmRSS"), field("RssAnon"))
}

fn resident(papers: usize) -> String {
    let (all, own) = memory();
    format!(
        "{} bytes resident a paper ({} MB, {} MB not in files)",
        all / papers,
        all / 1_000_000,
        own / 1_000_000
    )
}
