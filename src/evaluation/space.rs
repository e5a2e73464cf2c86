//! Describes an embedding space by measures that need no relevance judgements; [`super::plots`] draws these measures.

use crate::error::{Error, Result};
use crate::evaluation::Geometry;
use crate::search::{Examples, Library, Mode, NEAR_DUPLICATE_COSINE, Query};
use likewise_encoder::model::InputType;
use likewise_papers::Paper;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashSet;

/// Maximum number of sampled papers whose vectors are compared with each other.
const SAMPLE: usize = 5000;

/// Maximum number of papers whose titles are used as queries.
const TITLES: usize = 1000;

/// Maximum number of papers whose neighbours are searched for, exactly and by the index.
const QUERIES: usize = 200;

const SEED: u64 = 20_261_123;

/// Measures of an embedding space.
#[derive(Debug, Clone, Serialize)]
pub struct SpaceFigures {
    /// Name of the model, with its precision and options.
    pub model: String,
    /// Number of papers in the library.
    pub papers: usize,
    /// Number of randomly sampled papers that were compared with each other.
    pub compared: usize,
    /// See [`Geometry::anisotropy`].
    pub anisotropy: f32,
    /// See [`Geometry::mean_nearest`]; within the sample.
    pub mean_nearest: f32,
    /// See [`Geometry::hubness`].
    pub hubness: f32,
    /// See [`Geometry::nowhere`].
    pub nowhere: f32,
    /// Share of papers that have a near duplicate in the whole library, 0 to 1; estimated from at most 200 random
    /// papers.
    pub duplicates: f32,
    /// Number of titles, at most 1000, that were searched for among the abstracts of the same papers.
    pub titles: usize,
    /// Share of titles for which the abstract of the same paper is the nearest, 0 to 1. Abstracts are encoded without
    /// their titles.
    pub title_first: f32,
    /// Mean reciprocal rank of the abstract of the same paper, over the titles.
    pub title_mrr: f32,
    /// recall@10 of the index against an exact search, for at most 200 random papers as queries.
    pub index_recall: f32,
    /// Cosines and counts that the measures are computed from, for the charts.
    #[serde(skip)]
    pub geometry: Geometry,
    /// For each title the rank of the abstract of the same paper, from 1.
    #[serde(skip)]
    pub ranks: Vec<usize>,
}

impl SpaceFigures {
    /// Measures the embedding space of a library's vectors.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the library has fewer than 2 papers with vectors, and the errors of
    /// [`Library::search`].
    pub fn of(library: &Library) -> Result<SpaceFigures> {
        let sample = sample(library, SAMPLE)?;
        if sample.len() < 2 {
            return Err(Error::Invalid(format!(
                "the library must have at least 2 papers with vectors (got {}); ingest more papers",
                sample.len()
            )));
        }
        let (papers, vectors): (Vec<Paper>, Vec<Vec<f32>>) = sample.into_iter().unzip();
        let geometry = Geometry::of(&vectors, SEED);
        let ranks = title_ranks(library, &papers)?;
        let Neighbours { index_recall, duplicates } =
            neighbours(library, &papers[..papers.len().min(QUERIES)])?;
        let mean_of = |value: fn(usize) -> f32| {
            ranks.iter().map(|rank| value(*rank)).sum::<f32>() / ranks.len().max(1) as f32
        };
        Ok(SpaceFigures {
            model: library.encoder().model().describe(),
            papers: library.stats().papers,
            compared: vectors.len(),
            anisotropy: geometry.anisotropy(),
            mean_nearest: geometry.mean_nearest(),
            hubness: geometry.hubness(),
            nowhere: geometry.nowhere(),
            duplicates,
            titles: ranks.len(),
            title_first: mean_of(|rank| f32::from(u8::from(rank == 1))),
            title_mrr: mean_of(|rank| 1.0 / rank as f32),
            index_recall,
            geometry,
            ranks,
        })
    }
}

/// A random sample of at most `count` papers with their vectors (Vitter 1985, algorithm R), in random order.
fn sample(library: &Library, count: usize) -> Result<Vec<(Paper, Vec<f32>)>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut sample, mut seen): (Vec<(Paper, Vec<f32>)>, usize) = (Vec::new(), 0);
    library.for_each_chunk(&mut |papers| {
        for stored in papers {
            let Some(vector) = stored.vector else { continue };
            seen += 1;
            if sample.len() < count {
                sample.push((stored.paper, vector));
            } else if let Some(replaced) = sample.get_mut(random.usize(..seen)) {
                *replaced = (stored.paper, vector);
            }
        }
        Ok(())
    })?;
    random.shuffle(&mut sample);
    Ok(sample)
}

/// For the titles of the first [`TITLES`] papers that have a title and an abstract, the rank of the abstract of the
/// same paper among the abstracts of these papers. Abstracts are encoded without titles.
fn title_ranks(library: &Library, papers: &[Paper]) -> Result<Vec<usize>> {
    let has_both = |paper: &&Paper| !paper.title.trim().is_empty() && !paper.r#abstract.trim().is_empty();
    let papers: Vec<&Paper> = papers.iter().filter(has_both).take(TITLES).collect();
    let encode = |texts: Vec<&str>, side| library.encoder().encode(&texts, side);
    let titles = encode(papers.iter().map(|paper| paper.title.as_str()).collect(), InputType::Query)?;
    let texts = encode(papers.iter().map(|paper| paper.r#abstract.as_str()).collect(), InputType::Document)?;
    let rank = |(own, title): (usize, &likewise_encoder::Embedding)| {
        let cosine = |text: usize| likewise_index::dot(&title.vector, &texts[text].vector);
        let own_cosine = cosine(own);
        1 + (0..texts.len()).filter(|text| cosine(*text) > own_cosine).count()
    };
    Ok(titles.par_iter().enumerate().map(rank).collect())
}

/// Measures that come from searches for the nearest neighbours of some papers.
struct Neighbours {
    index_recall: f32,
    duplicates: f32,
}

/// Searches for the ten nearest papers of each given paper, exactly and with the index, and compares the results.
fn neighbours(library: &Library, papers: &[Paper]) -> Result<Neighbours> {
    let (mut found, mut expected, mut duplicates) = (0, 0, 0);
    for paper in papers {
        let query = Query {
            mode: Some(Mode::Semantic),
            min_score: Some(0.0),
            ..Query::of(Examples::papers(vec![paper.id.to_string()]))
        };
        let exact = library.search(&Query { exact: true, ..query.clone() })?.hits;
        let indexed = library.search(&query)?.hits;
        let ids: HashSet<_> = exact.iter().map(|hit| &hit.paper.id).collect();
        expected += exact.len();
        found += indexed.iter().filter(|hit| ids.contains(&hit.paper.id)).count();
        duplicates += usize::from(exact.first().is_some_and(|hit| hit.cosine() >= NEAR_DUPLICATE_COSINE));
    }
    let share = |count: usize, all: usize| if all == 0 { 1.0 } else { count as f32 / all as f32 };
    Ok(Neighbours { index_recall: share(found, expected), duplicates: share(duplicates, papers.len()) })
}
