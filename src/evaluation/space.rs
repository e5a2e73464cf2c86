//! A library → what its embedding space is like, before anybody trusts it.
//!
//! Its own file because it asks what no judgement is needed for; how it is drawn is [`super::plots`]' affair.

use crate::error::{Error, Result};
use crate::evaluation::Geometry;
use crate::search::{Library, Like, Mode, NEARLY_THE_SAME, Query};
use likewise_encoder::model::Side;
use likewise_papers::Paper;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashSet;

/// Papers whose vectors are compared with each other.
const COMPARED: usize = 5000;

/// Papers whose titles are asked for.
const TITLES: usize = 1000;

/// Papers whose neighbours are asked for in both ways.
const ASKED: usize = 200;

const SEED: u64 = 20_261_123;

/// What a space is like.
#[derive(Debug, Clone, Serialize)]
pub struct SpaceFigures {
    /// The model.
    pub model: String,
    /// Papers in the library.
    pub papers: usize,
    /// Papers that were drawn by chance, and compared with each other.
    pub compared: usize,
    /// See [`Geometry::anisotropy`].
    pub anisotropy: f32,
    /// See [`Geometry::mean_nearest`]; among those that were drawn.
    pub mean_nearest: f32,
    /// See [`Geometry::hubness`].
    pub hubness: f32,
    /// See [`Geometry::nowhere`].
    pub nowhere: f32,
    /// The share of asked papers that another one in the whole library says nearly the same as.
    pub duplicates: f32,
    /// Titles that were asked for, each among as many abstracts.
    pub titles: usize,
    /// How many of them find their own abstract first, of those read without titles.
    pub title_first: f32,
    /// The mean of one over the place at which they find it.
    pub title_mrr: f32,
    /// recall@10 of the index beside comparing with every paper.
    pub index_recall: f32,
    /// What is drawn.
    #[serde(skip)]
    pub geometry: Geometry,
    /// The places at which titles find their abstracts, from 1.
    #[serde(skip)]
    pub places: Vec<usize>,
}

impl SpaceFigures {
    /// Asks a library.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is too little in it; what it says itself.
    pub fn of(library: &Library) -> Result<SpaceFigures> {
        let drawn = drawn(library, COMPARED)?;
        if drawn.len() < 2 {
            return Err(Error::Invalid(format!(
                "got {} papers with vectors, wanted two or more",
                drawn.len()
            )));
        }
        let (papers, vectors): (Vec<Paper>, Vec<Vec<f32>>) = drawn.into_iter().unzip();
        let geometry = Geometry::of(&vectors, SEED);
        let places = places_of_titles(library, &papers)?;
        let (index_recall, duplicates) = neighbours(library, &papers[..papers.len().min(ASKED)])?;
        let of_places = |value: fn(usize) -> f32| {
            places.iter().map(|place| value(*place)).sum::<f32>() / places.len().max(1) as f32
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
            titles: places.len(),
            title_first: of_places(|place| f32::from(u8::from(place == 1))),
            title_mrr: of_places(|place| 1.0 / place as f32),
            index_recall,
            geometry,
            places,
        })
    }
}

/// Papers with their vectors, so many by chance (Vitter 1985, algorithm R), in the order of chance.
fn drawn(library: &Library, count: usize) -> Result<Vec<(Paper, Vec<f32>)>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut drawn, mut seen): (Vec<(Paper, Vec<f32>)>, usize) = (Vec::new(), 0);
    library.walk(&mut |wholes| {
        for whole in wholes {
            let Some(vector) = whole.vector else { continue };
            seen += 1;
            if drawn.len() < count {
                drawn.push((whole.paper, vector));
            } else if let Some(place) = drawn.get_mut(random.usize(..seen)) {
                *place = (whole.paper, vector);
            }
        }
        Ok(())
    })?;
    random.shuffle(&mut drawn);
    Ok(drawn)
}

/// At which place titles find their own abstracts, which are read without them, among as many.
fn places_of_titles(library: &Library, papers: &[Paper]) -> Result<Vec<usize>> {
    let has_both = |paper: &&Paper| !paper.title.trim().is_empty() && !paper.r#abstract.trim().is_empty();
    let asked: Vec<&Paper> = papers.iter().filter(has_both).take(TITLES).collect();
    let encode = |texts: Vec<&str>, side| library.encoder().encode(&texts, side);
    let titles = encode(asked.iter().map(|paper| paper.title.as_str()).collect(), Side::Query)?;
    let texts = encode(asked.iter().map(|paper| paper.r#abstract.as_str()).collect(), Side::Paper)?;
    let place = |(own, title): (usize, &likewise_encoder::Embedding)| {
        let cosine = |text: usize| likewise_index::dot(&title.vector, &texts[text].vector);
        let wanted = cosine(own);
        1 + (0..texts.len()).filter(|text| cosine(*text) > wanted).count()
    };
    Ok(titles.par_iter().enumerate().map(place).collect())
}

/// How many of papers' ten nearest the index finds, and how many papers have one that says nearly the same.
fn neighbours(library: &Library, asked: &[Paper]) -> Result<(f32, f32)> {
    let (mut found, mut wanted, mut twice) = (0, 0, 0);
    for paper in asked {
        let query = Query {
            mode: Some(Mode::Semantic),
            min_score: Some(0.0),
            ..Query::of(Like::papers(vec![paper.id.to_string()]))
        };
        let exact = library.search(&Query { exact: true, ..query.clone() })?.hits;
        let walked = library.search(&query)?.hits;
        let ids: HashSet<_> = exact.iter().map(|hit| &hit.paper.id).collect();
        wanted += exact.len();
        found += walked.iter().filter(|hit| ids.contains(&hit.paper.id)).count();
        twice += usize::from(exact.first().is_some_and(|hit| hit.cosine() >= NEARLY_THE_SAME));
    }
    let share = |count: usize, all: usize| if all == 0 { 1.0 } else { count as f32 / all as f32 };
    Ok((share(found, wanted), share(twice, asked.len())))
}
