//! Graph search in a library that is too large for a full scan.

use crate::support::encoder;
use likewise::Filter;
use likewise::ingest::{FolderWriter, catalog_path};
use likewise::search::{Examples, Hit, Library, Query};
use likewise::store::catalog::Catalog;
use likewise::store::text::{TextHash, text_of};
use likewise::store::vector_store::{VectorStore, VectorStoreWriter};
use likewise_papers::{Paper, PaperId};
use std::path::Path;

const PAPERS: usize = 2600;

fn paper(number: usize, edition: &str) -> Paper {
    Paper {
        id: PaperId::parse(&format!("paper/{number}")).unwrap(),
        title: format!("Paper {number}"),
        r#abstract: format!("{edition} edition."),
        categories: vec![["even", "odd"][number % 2].into()],
        ..Paper::default()
    }
}

/// Returns unit vectors in 20 clusters. The vectors of real papers are clustered, too.
fn vectors(count: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mut state = 7_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    let centres: Vec<Vec<f32>> = (0..20).map(|_| (0..dimension).map(|_| next()).collect()).collect();
    let vector = |number: usize| {
        let values: Vec<f32> = centres[number % 20].iter().map(|value| value + next()).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter().map(|value| value / length).collect()
    };
    (0..count).map(vector).collect()
}

/// Writes a library of generated papers with the given vectors. The last vector is of a text that no paper has.
fn write_library(folder: &Path, vectors: &[Vec<f32>]) -> Library {
    let model = encoder().model().clone();
    let catalog = Catalog::create(&catalog_path(folder)).unwrap();
    let papers: Vec<Paper> = (0..PAPERS).map(|number| paper(number, "First")).collect();
    let not_in_catalog = paper(1, "Second");
    catalog.upsert(&papers).unwrap();
    VectorStore::create(folder, &model).unwrap();
    let mut vector_store = VectorStoreWriter::open(folder, &model.fingerprint, |_| Ok(())).unwrap();
    let hashes = papers.iter().chain([&not_in_catalog]).map(|paper| TextHash::of(&text_of(paper)));
    let entries: Vec<(TextHash, &[f32])> = hashes.zip(vectors.iter().map(|vector| &vector[..])).collect();
    vector_store.append(&entries).unwrap();
    FolderWriter::open(folder, &encoder()).unwrap().finish().unwrap();
    Library::open(folder, encoder()).unwrap()
}

fn search(library: &Library, vector: &[f32], k: usize, exact: bool, filter: Filter) -> Vec<Hit> {
    library.search(&Query { k, exact, filter, ..Query::of(Examples::vector(vector.to_vec())) }).unwrap().hits
}

#[test]
fn graph_search_finds_papers_returns_k_hits_and_obeys_filters() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = vectors(PAPERS + 1, encoder().dimension());
    let library = write_library(folder.path(), &vectors);
    let stats = library.stats();
    assert_eq!((stats.papers, stats.index.indexed, stats.index.waiting), (PAPERS, PAPERS + 1, 0));
    let mut common = 0;
    for (number, vector) in vectors[..PAPERS].iter().enumerate().step_by(13) {
        let hits = search(&library, vector, 10, false, Filter::default());
        assert_eq!((hits[0].paper.id.to_string(), hits.len()), (format!("paper/{number}"), 10));
        let exact = search(&library, vector, 10, true, Filter::default());
        common += hits.iter().filter(|hit| exact.contains(&Hit { rank: hit.rank, ..(*hit).clone() })).count();
        let odd = Filter { categories: Some(vec!["odd".into()]), ..Filter::default() };
        let hits = search(&library, vector, 10, false, odd);
        assert!(hits.len() == 10 && hits.iter().all(|hit| hit.paper.categories == ["odd"]));
    }
    assert!(common >= 1900, "{common} of 2000");
    // The vector nearest to this query belongs to no paper, so this vector must not take the place of a hit.
    assert_eq!(search(&library, &vectors[PAPERS], 10, false, Filter::default()).len(), 10);
}

#[test]
fn a_damaged_segment_is_rebuilt_when_the_library_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = vectors(PAPERS + 1, encoder().dimension());
    drop(write_library(folder.path(), &vectors));
    let store_folder = VectorStore::folder(folder.path(), &encoder().model().fingerprint).unwrap();
    let segment = store_folder.join(format!("segment-0-{}", PAPERS + 1));
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    let library = Library::open(folder.path(), encoder()).unwrap();
    assert_eq!(library.stats().index.indexed, PAPERS + 1);
    assert_eq!(search(&library, &vectors[5], 1, false, Filter::default())[0].paper.id.as_str(), "paper/5");
}
