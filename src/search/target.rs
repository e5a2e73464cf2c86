//! What a query is near to: texts, papers and vectors, and what answers should be unlike → the aims that are searched for.
//!
//! Its own file because every way of asking comes down to these, a unit vector each with the words that belong to it, and all
//! that is searched for is them.

use super::checked::Checked;
use super::clusters::clusters;
use super::resources::Resources;
use super::{Bag, Examples, Like, Mode, Query, TextRead, unit};
use crate::error::{Error, Result};
use crate::store::text::{document_of, text_of_query};
use likewise_encoder::model::Side;
use likewise_encoder::{Embedding, Encoder};
use likewise_papers::{Paper, PaperId};

/// How much of what answers should be unlike is taken away. What one has asked for and one of its answers have most in
/// common: on conference abstracts 0.5 leaves five of the nine other answers, of anything, and 0.15 all but one.
const AWAY: f32 = 0.3;

/// Examples of one subject are as much alike as this on average, by cosine: chosen on lists-dev of benches/judged.py.
const TOGETHER: f32 = 0.35;

/// Most subjects of a list, each of which is searched for.
pub(super) const MOST_CLUSTERS: usize = 12;

/// Most examples that are searched for one by one, for lists of at most [`SHALLOW`] papers; for longer ones, and for exact
/// ones, as many as of subjects. Of more, those that are most alike are one.
pub(super) const MOST_BEST: usize = 100;
const SHALLOW: usize = 100;

/// Tokens from which on a text is as good as an abstract.
const SHORT: usize = 64;

/// No two vectors are as much alike as this.
const NEVER: f32 = 2.0;

/// Something that is searched for.
pub(super) struct Aim {
    /// A unit vector.
    pub vector: Vec<f32>,
    /// Its words, if they are asked for.
    pub bag: Bag,
    /// Whether it is one paper and nothing else.
    pub is_paper: bool,
    /// Whether it is short texts and nothing else.
    pub is_short: bool,
    /// Examples that it stands for.
    pub examples: usize,
    /// What these say, the first of them, if that is asked for.
    pub sources: Vec<Source>,
}

/// What an example says.
#[derive(Clone)]
pub(super) enum Source {
    /// A text, as it was given.
    Text(String),
    /// A paper.
    Paper(Box<Paper>),
}

impl Source {
    fn words(&self, bag: &mut Bag) {
        match self {
            Source::Text(text) => bag.text(&text_of_query(text)),
            Source::Paper(paper) => bag.paper(paper),
        }
    }
}

/// Most examples of one aim whose sentences are compared.
const MOST_SOURCES: usize = 20;

/// A query, ready to be answered without the encoder: what is searched for, at least one, and who may not be a hit.
pub(super) struct Target {
    pub aims: Vec<Aim>,
    pub excluded: Vec<PaperId>,
    pub texts: Vec<TextRead>,
}

impl Target {
    /// The unit vector of the first aim.
    pub fn vector(self) -> Vec<f32> {
        self.aims.into_iter().next().map(|aim| aim.vector).unwrap_or_default()
    }
}

/// Whether something is short texts and nothing else.
pub(super) fn is_short(encoder: &Encoder, Like { texts, papers, vectors }: &Like) -> Result<bool> {
    let texts: Vec<_> = texts.iter().map(|text| text_of_query(text)).collect();
    let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
    if texts.is_empty() || !papers.is_empty() || !vectors.is_empty() {
        return Ok(false);
    }
    let read = encoder.tokenize(&texts, &encoder.reading(Side::Query))?;
    Ok(read.iter().all(|text| text.ids.len() < SHORT))
}

/// Resolves a query to what is searched for.
///
/// # Errors
/// If a paper is not here, a vector is none, or a text comes without its embedding.
pub(super) fn resolve(
    resources: &Resources,
    query: &Checked,
    mut embeddings: Vec<Embedding>,
) -> Result<Target> {
    let Query { like, unlike, .. } = &**query;
    if embeddings.len() != query.texts().count() {
        return Err(Error::Invalid("text: it was not encoded before the search".into()));
    }
    let of_unlike = embeddings.split_off(like.texts.len());
    let read =
        |Embedding { tokens, truncated, .. }: &Embedding| TextRead { tokens: *tokens, truncated: *truncated };
    let texts = embeddings.iter().map(read).collect();
    let has_words = query.explain || query.mode != Mode::Semantic;
    let has_sources = query.explain || query.rescore;
    let (aims, mut excluded) = examples(resources, like, embeddings, has_words, has_sources)?;
    let groups = match query.examples {
        Examples::Mean => vec![(0..aims.len()).collect()],
        Examples::Best => {
            let is_shallow = query.offset + query.k <= SHALLOW && !query.exact;
            clusters(&vectors(&aims), NEVER, if is_shallow { MOST_BEST } else { MOST_CLUSTERS })
        }
        Examples::Clusters => clusters(&vectors(&aims), TOGETHER, MOST_CLUSTERS),
    };
    let mut aims: Vec<Aim> = groups.iter().map(|group| together(&aims, group)).collect::<Result<_>>()?;
    if !unlike.is_empty() {
        let (turned_from, papers) = examples(resources, unlike, of_unlike, false, false)?;
        turn_away(&mut aims, &mean(&vectors(&turned_from))?)?;
        excluded.extend(papers);
    }
    Ok(Target { aims, excluded, texts })
}

/// An aim each, and the papers among them, each once.
fn examples(
    resources: &Resources,
    like: &Like,
    embeddings: Vec<Embedding>,
    has_words: bool,
    has_sources: bool,
) -> Result<(Vec<Aim>, Vec<PaperId>)> {
    let (mut aims, mut papers): (Vec<Aim>, Vec<PaperId>) = Default::default();
    let mut add = |vector, is_short, source: Option<Source>| {
        let mut bag = Bag::default();
        source.iter().filter(|_| has_words).for_each(|source| source.words(&mut bag));
        let is_paper = matches!(source, Some(Source::Paper(_)));
        let sources = source.filter(|_| has_sources).into_iter().collect();
        aims.push(Aim { vector, bag, is_paper, is_short, examples: 1, sources });
    };
    for id in &like.papers {
        let (paper, vector) = resources.find(id)?;
        // A paper that is named twice, by two of its ids, is one example.
        if !papers.contains(&paper.id) {
            papers.push(paper.id.clone());
            // One that has none yet gets a new one.
            let vector = vector.map_or_else(|| encode(resources, &paper), Ok)?;
            add(vector, false, Some(Source::Paper(Box::new(paper))));
        }
    }
    for (text, embedding) in like.texts.iter().zip(embeddings) {
        add(embedding.vector, embedding.tokens < SHORT, Some(Source::Text(text.clone())));
    }
    for vector in &like.vectors {
        add(unit(vector, resources.encoder.dimension())?, false, None);
    }
    Ok((aims, papers))
}

fn encode(resources: &Resources, paper: &Paper) -> Result<Vec<f32>> {
    let encoded = resources.encoder.encode_titled([document_of(paper)]);
    let mut embeddings = encoded.map_err(|error| match error {
        likewise_encoder::Error::Texts(texts) => {
            let reason = texts.first().map_or("", |text| text.reason.as_str());
            Error::Invalid(format!("like: paper {:?} has no vector: {reason}", paper.id.as_str()))
        }
        other => other.into(),
    })?;
    Ok(embeddings.pop().map(|embedding| embedding.vector).unwrap_or_default())
}

fn vectors(aims: &[Aim]) -> Vec<Vec<f32>> {
    aims.iter().map(|aim| aim.vector.clone()).collect()
}

/// Some examples as one: their mean direction, and all their words.
fn together(aims: &[Aim], group: &[usize]) -> Result<Aim> {
    let mut bag = Bag::default();
    group.iter().for_each(|place| bag.bag(&aims[*place].bag));
    let vector = match group {
        // To the bit, as it was given.
        [one] => aims[*one].vector.clone(),
        many => mean(&many.iter().map(|place| aims[*place].vector.clone()).collect::<Vec<_>>())?,
    };
    let is_paper = matches!(group, [one] if aims[*one].is_paper);
    let sources = group.iter().flat_map(|place| aims[*place].sources.clone()).take(MOST_SOURCES).collect();
    let is_short = group.iter().all(|place| aims[*place].is_short);
    Ok(Aim { vector, bag, is_paper, is_short, examples: group.len(), sources })
}

/// Turns aims away from something, by Rocchio's rule (1971): an aim less a share of that.
fn turn_away(aims: &mut [Aim], from: &[f32]) -> Result<()> {
    for aim in aims {
        let turned: Vec<f32> = aim.vector.iter().zip(from).map(|(to, from)| to - AWAY * from).collect();
        aim.vector = unit(&turned, turned.len())?;
    }
    Ok(())
}

/// The mean direction of vectors.
fn mean(vectors: &[Vec<f32>]) -> Result<Vec<f32>> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    unit(&sum, sum.len())
}
