//! Resolves a query to sub-queries: looks up its papers, combines its examples, and subtracts the mean of `unlike`.
//!
//! Each sub-query is a unit vector, with the terms and texts of the examples that it stands for. Later stages need
//! nothing else of the examples.

use super::checked_query::CheckedQuery;
use super::clusters::clusters;
use super::resources::Resources;
use super::{Aggregation, Examples, Mode, Query, QueryKind, TermCounts, TextUsage, unit};
use crate::error::{Error, Result};
use crate::store::text::{document_of, text_of_query};
use likewise_encoder::model::InputType;
use likewise_encoder::{Embedding, Encoder};
use likewise_papers::{Paper, PaperId};

/// Weight of the mean vector of `unlike` in Rocchio's formula. The vectors of a query and of its hits point in similar
/// directions, so a large weight moves the query away from its subject. With one of ten hits as `unlike`, weight 0.5
/// leaves five of the nine other hits in the answer, and weight 0.15 leaves eight (conference abstracts).
const GAMMA: f32 = 0.3;

/// Minimum average cosine at which two clusters of examples are merged. If there are more than [`MAX_CLUSTERS`]
/// clusters, they are merged even if their cosine is lower. Chosen on the development set lists-dev of
/// benches/judged.py.
const MIN_CLUSTER_COSINE: f32 = 0.35;

/// Maximum number of clusters of examples with [`Aggregation::Clusters`]; each cluster becomes one sub-query.
pub(super) const MAX_CLUSTERS: usize = 12;

/// Maximum number of sub-queries of [`Aggregation::Best`] if `offset + k` is at most [`SHALLOW`] and the query is not
/// exact; otherwise the maximum is [`MAX_CLUSTERS`]. If there are more examples, the most similar examples are merged.
pub(super) const MAX_BEST: usize = 100;
const SHALLOW: usize = 100;

/// Minimum number of tokens of a text that scores like an abstract. Texts with fewer tokens are short texts.
const MIN_ABSTRACT_TOKENS: usize = 64;

/// A cosine that no pair of vectors reaches.
const UNREACHABLE_COSINE: f32 = 2.0;

/// Maximum number of examples of one sub-query for which sentences are compared.
const MAX_SENTENCE_EXAMPLES: usize = 20;

/// One search for the papers that are similar to one example or to a group of examples.
pub(super) struct SubQuery {
    /// The unit vector.
    pub vector: Vec<f32>,
    /// The terms of the sub-query's examples; empty unless lexical scores or explanations need the terms.
    pub terms: TermCounts,
    /// Whether the sub-query stands for exactly one paper.
    pub is_paper: bool,
    /// Kind of the examples that the sub-query stands for.
    pub kind: QueryKind,
    /// Number of examples that the sub-query stands for.
    pub examples: usize,
    /// The texts of the first [`MAX_SENTENCE_EXAMPLES`] examples; empty unless sentences are compared or hits
    /// explained.
    pub sources: Vec<ExampleText>,
}

/// The text of an example.
#[derive(Clone)]
pub(super) enum ExampleText {
    /// A text as the query gives it.
    Text(String),
    /// A paper's title and abstract.
    Paper(Box<Paper>),
}

impl ExampleText {
    fn add_terms_to(&self, terms: &mut TermCounts) {
        match self {
            ExampleText::Text(text) => terms.add_text(&text_of_query(text)),
            ExampleText::Paper(paper) => terms.add_paper(paper),
        }
    }
}

/// A query with all vectors computed, which can be answered without encoding its examples.
pub(super) struct ResolvedQuery {
    /// The sub-queries; at least one.
    pub sub_queries: Vec<SubQuery>,
    /// The papers of `like` and `unlike`, which are never hits.
    pub excluded: Vec<PaperId>,
    /// Usage of each text of `like`.
    pub texts: Vec<TextUsage>,
}

impl ResolvedQuery {
    /// The unit vector of the first sub-query.
    pub fn into_vector(self) -> Vec<f32> {
        self.sub_queries.into_iter().next().map(|sub_query| sub_query.vector).unwrap_or_default()
    }
}

/// Returns the kind of a query with these examples: [`QueryKind::ShortText`] if all examples are short texts.
pub(super) fn query_kind(encoder: &Encoder, examples: &Examples) -> Result<QueryKind> {
    let Examples { texts, papers, vectors } = examples;
    let texts: Vec<_> = texts.iter().map(|text| text_of_query(text)).collect();
    let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
    if texts.is_empty() || !papers.is_empty() || !vectors.is_empty() {
        return Ok(QueryKind::Papers);
    }
    let tokenized = encoder.tokenize(&texts, &encoder.encode_options(InputType::Query))?;
    Ok(kind_of(tokenized.iter().all(|text| text.ids.len() < MIN_ABSTRACT_TOKENS)))
}

fn kind_of(is_short: bool) -> QueryKind {
    if is_short { QueryKind::ShortText } else { QueryKind::Papers }
}

/// Resolves a query to sub-queries. `embeddings` are the embeddings of [`Query::texts`].
///
/// # Errors
/// Returns [`Error::NotFound`] if the store lacks a paper of the query, and [`Error::Invalid`] if an id or a vector is
/// invalid, a paper without a vector cannot be encoded, or the number of embeddings is wrong.
pub(super) fn resolve(
    resources: &Resources,
    query: &CheckedQuery,
    mut embeddings: Vec<Embedding>,
) -> Result<ResolvedQuery> {
    let Query { like, unlike, .. } = &**query;
    let (texts, given) = (query.texts().count(), embeddings.len());
    if given != texts {
        return Err(Error::Invalid(format!(
            "each text of the query must have one embedding (got {given} embeddings for {texts} texts)"
        )));
    }
    let of_unlike = embeddings.split_off(like.texts.len());
    let usage = |Embedding { tokens, truncated, .. }: &Embedding| TextUsage {
        tokens: *tokens,
        truncated: *truncated,
    };
    let texts = embeddings.iter().map(usage).collect();
    let keep = Keep {
        terms: query.explain || query.mode != Mode::Semantic,
        texts: query.explain || query.is_reranked(),
    };
    let (examples, mut excluded) = resolve_examples(resources, like, embeddings, keep)?;
    let groups = match query.aggregation {
        Aggregation::Mean => vec![(0..examples.len()).collect()],
        Aggregation::Best => {
            let is_shallow = query.offset + query.k <= SHALLOW && !query.exact;
            let max = if is_shallow { MAX_BEST } else { MAX_CLUSTERS };
            clusters(&vectors(&examples), UNREACHABLE_COSINE, max)
        }
        Aggregation::Clusters => clusters(&vectors(&examples), MIN_CLUSTER_COSINE, MAX_CLUSTERS),
    };
    let mut sub_queries: Vec<SubQuery> =
        groups.iter().map(|group| combine(&examples, group)).collect::<Result<_>>()?;
    if !unlike.is_empty() {
        let (unlike, papers) = resolve_examples(resources, unlike, of_unlike, Keep::default())?;
        rocchio(&mut sub_queries, &mean(&vectors(&unlike))?)?;
        excluded.extend(papers);
    }
    Ok(ResolvedQuery { sub_queries, excluded, texts })
}

/// Data of the examples that sub-queries keep besides the vectors.
#[derive(Clone, Copy, Default)]
struct Keep {
    terms: bool,
    texts: bool,
}

/// Returns one sub-query for each example, and the ids of the examples that are papers. Repeated papers are left out.
fn resolve_examples(
    resources: &Resources,
    examples: &Examples,
    embeddings: Vec<Embedding>,
    keep: Keep,
) -> Result<(Vec<SubQuery>, Vec<PaperId>)> {
    let (mut sub_queries, mut papers): (Vec<SubQuery>, Vec<PaperId>) = Default::default();
    let mut add = |vector, kind, source: Option<ExampleText>| {
        let mut terms = TermCounts::default();
        source.iter().filter(|_| keep.terms).for_each(|source| source.add_terms_to(&mut terms));
        let is_paper = matches!(source, Some(ExampleText::Paper(_)));
        let sources = source.filter(|_| keep.texts).into_iter().collect();
        sub_queries.push(SubQuery { vector, terms, is_paper, kind, examples: 1, sources });
    };
    for id in &examples.papers {
        let (paper, vector) = resources.find(id)?;
        // A paper that the query names by two ids is one example.
        if !papers.contains(&paper.id) {
            papers.push(paper.id.clone());
            // A paper without a vector is encoded now.
            let vector = vector.map_or_else(|| encode(resources, &paper), Ok)?;
            add(vector, QueryKind::Papers, Some(ExampleText::Paper(Box::new(paper))));
        }
    }
    for (text, embedding) in examples.texts.iter().zip(embeddings) {
        let kind = kind_of(embedding.tokens < MIN_ABSTRACT_TOKENS);
        add(embedding.vector, kind, Some(ExampleText::Text(text.clone())));
    }
    for vector in &examples.vectors {
        add(unit(vector, resources.encoder.dimension())?, QueryKind::Papers, None);
    }
    Ok((sub_queries, papers))
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

fn vectors(sub_queries: &[SubQuery]) -> Vec<Vec<f32>> {
    sub_queries.iter().map(|sub_query| sub_query.vector.clone()).collect()
}

/// Combines some examples into one sub-query: the mean of their vectors, all their terms, and the texts of the first
/// [`MAX_SENTENCE_EXAMPLES`] examples.
fn combine(examples: &[SubQuery], group: &[usize]) -> Result<SubQuery> {
    let mut terms = TermCounts::default();
    group.iter().for_each(|index| terms.add_all(&examples[*index].terms));
    let vector = match group {
        // Computing the mean of a single vector could change its last bit.
        [one] => examples[*one].vector.clone(),
        many => mean(&many.iter().map(|index| examples[*index].vector.clone()).collect::<Vec<_>>())?,
    };
    let is_paper = matches!(group, [one] if examples[*one].is_paper);
    let sources = group.iter().flat_map(|index| examples[*index].sources.clone());
    let sources = sources.take(MAX_SENTENCE_EXAMPLES).collect();
    let kind = kind_of(group.iter().all(|index| examples[*index].kind == QueryKind::ShortText));
    Ok(SubQuery { vector, terms, is_paper, kind, examples: group.len(), sources })
}

/// Moves sub-queries away from a vector: Rocchio's formula (1971), with weight [`GAMMA`] for the vector.
fn rocchio(sub_queries: &mut [SubQuery], unlike: &[f32]) -> Result<()> {
    for sub_query in sub_queries {
        let moved: Vec<f32> =
            sub_query.vector.iter().zip(unlike).map(|(value, unlike)| value - GAMMA * unlike).collect();
        sub_query.vector = unit(&moved, moved.len())?;
    }
    Ok(())
}

/// The unit vector in the mean direction of some vectors.
fn mean(vectors: &[Vec<f32>]) -> Result<Vec<f32>> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    unit(&sum, sum.len())
}
