//! Reranks the first candidates by how similar their sentences are to the query's.
//!
//! It is the only stage that reads papers with the model: about 240 sentences, which takes a hundred times as long as
//! all other stages. It therefore runs only on request.

use super::RankedPaper;
use super::ScoreDetails;
use super::checked_query::MAX_RERANKED;
use super::resolve::{ExampleText, ResolvedQuery, SubQuery};
use super::resources::sort;
use likewise_index::dot;
use likewise_papers::Paper;
use likewise_papers::sentences::split;

/// Weight of sentences; the rest of the score has weight 1. Chosen on keywords-dev of benches/judged.py.
const SENTENCE_WEIGHT: f32 = 0.2;

/// Maximum number of bytes of the query's texts, taken together, whose sentences are compared.
pub(super) const MAX_QUERY_BYTES: usize = 16_000;

/// Maximum number of bytes of a candidate's abstract whose sentences are compared; few abstracts are longer.
const MAX_PAPER_BYTES: usize = 4_000;

/// Bytes that are read of each of the query's texts, however many there are: enough for a title.
const MIN_TEXT_BYTES: usize = 250;

/// Maximum number of sentences that are read of one text; no abstract has more.
const MAX_SENTENCES: usize = 32;

/// Maximum number of sentences of the query; several texts share them equally.
const MAX_QUERY_SENTENCES: usize = 64;

/// How much of a text is read.
#[derive(Debug, Clone, Copy)]
struct ReadLimit {
    bytes: usize,
    sentences: usize,
}

impl ReadLimit {
    /// For each candidate.
    const OF_PAPER: ReadLimit = ReadLimit { bytes: MAX_PAPER_BYTES, sentences: MAX_SENTENCES };

    /// For each text of a query that has `texts` of them.
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
    /// For each sub-query.
    of_queries: Vec<Vec<&'a str>>,
    /// For each candidate.
    of_papers: Vec<Vec<&'a str>>,
}

impl<'a> Sentences<'a> {
    /// Splits the texts. Sub-queries that retrieved none of these candidates get no sentences.
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

    /// All sentences: those of the sub-queries, then those of the candidates.
    pub fn texts(&self) -> Vec<&'a str> {
        self.of_queries.iter().chain(&self.of_papers).flatten().copied().collect()
    }
}

/// Rescores and sorts the candidates. The sentences of the first [`MAX_RERANKED`] are compared with those of the
/// sub-query that retrieved them; all later candidates count as having similarity 0. With several sub-queries, the
/// candidates of each are sorted among the positions that they had. `vectors` are those of [`Sentences::texts`], `None`
/// where a sentence could not be encoded.
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

/// For each vector of the query the cosine of the paper's nearest one; the mean of these. `None` if either has no
/// vectors.
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

/// The title, as one sentence, and the sentences of the abstract.
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
