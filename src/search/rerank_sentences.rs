//! Reranks the first candidates by the similarity of their sentences to the sentences of the query.
//!
//! Encoding about 240 sentences takes a hundred times as long as all other stages together, so this stage runs only if
//! the query asks for it.

use super::RankedPaper;
use super::ScoreDetails;
use super::checked_query::MAX_RERANKED;
use super::resolve::{ExampleText, ResolvedQuery, SubQuery};
use super::resources::sort;
use likewise_index::dot;
use likewise_papers::Paper;
use likewise_papers::sentences::split;

/// Weight of the similarity of sentences in the weighted mean with the score before reranking, which has weight 1.
/// Chosen on the development set keywords-dev of benches/judged.py.
const SENTENCE_WEIGHT: f32 = 0.2;

/// Number of bytes that are divided equally among the texts of the query. A text can get more than its share, see
/// [`MIN_TEXT_BYTES`]. If an example is a paper, its share is read of the title and again of the abstract.
pub(super) const MAX_QUERY_BYTES: usize = 16_000;

/// Maximum number of bytes that are read of a candidate's title, and maximum number that are read of its abstract; few
/// abstracts are longer.
const MAX_PAPER_BYTES: usize = 4_000;

/// Lower limit for the number of bytes that are read of each text of the query, however many texts the query has:
/// enough for a title.
const MIN_TEXT_BYTES: usize = 250;

/// Maximum number of sentences that are read of one text or abstract. For a paper, the title is read in addition.
const MAX_SENTENCES: usize = 32;

/// Number of sentences that are divided equally among the texts of the query. Each text gets at least 1 and at most
/// [`MAX_SENTENCES`], so more sentences are read of a query with more than 64 texts.
const MAX_QUERY_SENTENCES: usize = 64;

/// Limits for reading one text.
#[derive(Debug, Clone, Copy)]
struct ReadLimit {
    bytes: usize,
    sentences: usize,
}

impl ReadLimit {
    /// The limits for each candidate.
    const OF_PAPER: ReadLimit = ReadLimit { bytes: MAX_PAPER_BYTES, sentences: MAX_SENTENCES };

    /// The limits for each text of a query with `texts` texts.
    fn shared_by(texts: usize) -> ReadLimit {
        let texts = texts.max(1);
        ReadLimit {
            bytes: (MAX_QUERY_BYTES / texts).max(MIN_TEXT_BYTES),
            sentences: (MAX_QUERY_SENTENCES / texts).clamp(1, MAX_SENTENCES),
        }
    }
}

/// The sentences of a query and of its first [`MAX_RERANKED`] candidates.
pub(super) struct Sentences<'a> {
    /// The sentences of each sub-query.
    of_queries: Vec<Vec<&'a str>>,
    /// The sentences of each candidate.
    of_papers: Vec<Vec<&'a str>>,
}

impl<'a> Sentences<'a> {
    /// Splits the texts into sentences. A sub-query that retrieved none of the first [`MAX_RERANKED`] candidates gets
    /// no sentences.
    pub fn of(query: &'a ResolvedQuery, candidates: &'a [RankedPaper]) -> Sentences<'a> {
        let first = &candidates[..candidates.len().min(MAX_RERANKED)];
        let sources = |(index, sub_query): (usize, &'a SubQuery)| -> &'a [ExampleText] {
            if first.iter().any(|ranked| ranked.sub_query == index) { &sub_query.sources } else { &[] }
        };
        let sources: Vec<&[ExampleText]> = query.sub_queries.iter().enumerate().map(sources).collect();
        let limit = ReadLimit::shared_by(sources.iter().map(|sources| sources.len()).sum());
        let of_queries = sources
            .into_iter()
            .map(|sources| sources.iter().flat_map(|source| of_source(source, limit)).collect());
        let of_papers = first.iter().map(|ranked| of_paper(&ranked.paper, ReadLimit::OF_PAPER));
        Sentences { of_queries: of_queries.collect(), of_papers: of_papers.collect() }
    }

    /// All sentences: first the sentences of the sub-queries, then the sentences of the candidates.
    pub fn texts(&self) -> Vec<&'a str> {
        self.of_queries.iter().chain(&self.of_papers).flatten().copied().collect()
    }
}

/// Rescores and sorts the candidates. The sentences of a candidate are compared with the sentences of the sub-query
/// that retrieved the candidate; candidates after the first [`MAX_RERANKED`] get similarity 0. With one sub-query, all
/// candidates are sorted by the new scores. With several sub-queries, only the first [`MAX_RERANKED`] candidates are
/// sorted, and only among the candidates of the same sub-query, which together keep their positions in the list.
/// `vectors` are the vectors of [`Sentences::texts`], with `None` for a sentence that could not be encoded.
pub(super) fn rerank_sentences(
    query: &ResolvedQuery,
    candidates: &mut [RankedPaper],
    vectors: Vec<Option<Vec<f32>>>,
) {
    let mut vectors = vectors.into_iter();
    let mut vectors_of = |lists: &[Vec<&str>]| -> Vec<Vec<Vec<f32>>> {
        lists.iter().map(|list| vectors.by_ref().take(list.len()).flatten().collect()).collect()
    };
    let sentences = Sentences::of(query, candidates);
    let (of_queries, of_papers) = (vectors_of(&sentences.of_queries), vectors_of(&sentences.of_papers));
    for (index, ranked) in candidates.iter_mut().enumerate() {
        let similarity =
            of_papers.get(index).and_then(|of_paper| similarity(&of_queries[ranked.sub_query], of_paper));
        let parts = ScoreDetails { sentences: similarity, ..ranked.parts() };
        ranked.score = score(ranked.score, similarity.unwrap_or_default() * parts.recency.unwrap_or(1.0));
        ranked.parts = Some(parts);
    }
    if query.sub_queries.len() == 1 {
        return sort(candidates);
    }
    for sub_query in 0..query.sub_queries.len() {
        let positions: Vec<usize> =
            (0..of_papers.len()).filter(|index| candidates[*index].sub_query == sub_query).collect();
        let mut ranked: Vec<RankedPaper> = positions.iter().map(|index| candidates[*index].clone()).collect();
        sort(&mut ranked);
        positions.into_iter().zip(ranked).for_each(|(index, ranked)| candidates[index] = ranked);
    }
}

/// Combines a score with the similarity of sentences.
pub(super) fn score(score: f32, sentences: f32) -> f32 {
    (score + SENTENCE_WEIGHT * sentences) / (1.0 + SENTENCE_WEIGHT)
}

/// Computes for each vector of a sub-query the cosine to the nearest vector of the paper, and returns the mean of these
/// cosines. `None` if the query or the paper has no vectors.
fn similarity(query: &[Vec<f32>], paper: &[Vec<f32>]) -> Option<f32> {
    let nearest = |query: &Vec<f32>| paper.iter().map(|paper| dot(query, paper)).reduce(f32::max);
    let nearest: Option<Vec<f32>> = query.iter().map(nearest).collect();
    let nearest = nearest.filter(|nearest| !nearest.is_empty())?;
    Some(nearest.iter().sum::<f32>() / nearest.len() as f32)
}

fn of_source(source: &ExampleText, limit: ReadLimit) -> Vec<&str> {
    match source {
        ExampleText::Text(text) => sentences(text, limit),
        ExampleText::Paper(paper) => of_paper(paper, limit),
    }
}

/// The title, as one sentence, and the first sentences of the abstract.
fn of_paper(paper: &Paper, limit: ReadLimit) -> Vec<&str> {
    let title = &paper.title[..paper.title.floor_char_boundary(limit.bytes)];
    let title = Some(title).filter(|title| !title.is_empty());
    title.into_iter().chain(sentences(&paper.r#abstract, limit)).take(limit.sentences + 1).collect()
}

fn sentences(text: &str, limit: ReadLimit) -> Vec<&str> {
    let sentences = split(&text[..text.floor_char_boundary(limit.bytes)]).into_iter();
    sentences.map(str::trim).filter(|sentence| !sentence.is_empty()).take(limit.sentences).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_sentence_counts_by_its_nearest() {
        let [right, up, between] = [vec![1.0, 0.0], vec![0.0, 1.0], vec![0.25, 0.75]];
        let all = [right.clone(), up.clone()];
        assert_eq!(similarity(&all, &all), Some(1.0));
        assert_eq!(similarity(&all, std::slice::from_ref(&between)), Some(0.5));
        assert_eq!(similarity(&[between], &all), Some(0.75));
        assert_eq!((similarity(&[], &all), similarity(&all, &[])), (None, None));
        assert!(score(0.5, 0.6) > score(0.5, 0.0) && score(1.0, 1.0) <= 1.0 + f32::EPSILON);
    }

    #[test]
    fn long_texts_are_cut_to_the_length_of_an_abstract() {
        let one = ReadLimit::shared_by(1);
        assert_eq!(sentences("We count. They knot.  \n", one), ["We count.", "They knot."]);
        assert_eq!(sentences(&"We count. ".repeat(100), one).len(), MAX_SENTENCES);
        assert_eq!(sentences(&"ü".repeat(MAX_QUERY_BYTES), one).len(), 1);
        assert!(sentences(" ", one).is_empty());
        let paper = Paper { title: "Bees. And knots".into(), ..Paper::default() };
        assert_eq!(of_paper(&paper, one), ["Bees. And knots"]);
    }

    #[test]
    fn the_limits_hold_for_all_texts_of_a_query_together() {
        let long = "We count bees in all kinds of weather, again and again. ".repeat(300);
        let read = |texts: usize| {
            let of_each = sentences(&long, ReadLimit::shared_by(texts));
            (texts * of_each.len(), texts * of_each.iter().map(|sentence| sentence.len()).sum::<usize>())
        };
        for texts in [1, 2, 20, 60] {
            let (sentences, bytes) = read(texts);
            assert!(
                sentences <= MAX_QUERY_SENTENCES && bytes <= MAX_QUERY_BYTES,
                "{texts}: {sentences}, {bytes}"
            );
        }
        assert!(read(20).0 >= 20, "at least one sentence of each text");
    }
}
