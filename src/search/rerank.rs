//! Reranks the first candidates with a cross-encoder, which reads the query and a paper together.
//!
//! This takes a hundred times as long as all other stages together, so this stage runs only if the query asks for it. It
//! helps queries that are questions. For queries that are papers, vectors are about as good, and the titles and abstracts
//! of two papers are often longer than a cross-encoder can read.

use super::RankedPaper;
use super::ScoreDetails;
use super::resolve::{ExampleText, ResolvedQuery, SubQuery};
use crate::store::text::document_of;
use likewise_encoder::PairScore;

/// Default number of candidates that the cross-encoder scores.
pub const DEFAULT_RERANK_TOP: usize = 30;

/// Maximum number of candidates that the cross-encoder scores.
pub const MAX_RERANK_TOP: usize = 100;

/// Maximum number of bytes that are read of a query and of a paper. Cross-encoders read at most some thousand tokens.
const MAX_PAIR_BYTES: usize = 16_000;

/// The pairs of one sub-query: the text of the sub-query, and the texts of its candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct RerankPairs {
    /// The text of the sub-query.
    pub query: String,
    /// The text of each candidate: title and abstract.
    pub documents: Vec<String>,
    /// The position of each candidate in the list of all candidates.
    positions: Vec<usize>,
}

/// Returns the pairs that the cross-encoder has to score: the first `top` candidates, each with the sub-query that
/// retrieved it. A sub-query without text (an example vector) has no pairs.
pub(super) fn rerank_pairs(
    query: &ResolvedQuery,
    candidates: &[RankedPaper],
    top: usize,
) -> Vec<RerankPairs> {
    let first = &candidates[..candidates.len().min(top)];
    let pairs_of = |(index, sub_query): (usize, &SubQuery)| {
        let positions: Vec<usize> =
            (0..first.len()).filter(|position| first[*position].sub_query == index).collect();
        let document = |position: &usize| cut(document_of(&first[*position].paper).text());
        let documents = positions.iter().map(document).collect();
        RerankPairs { query: query_text(sub_query), documents, positions }
    };
    let pairs = query.sub_queries.iter().enumerate().map(pairs_of);
    pairs.filter(|pairs| !pairs.query.trim().is_empty() && !pairs.documents.is_empty()).collect()
}

/// The text of a sub-query: its examples, one per line. If a sub-query has several examples, a paper is represented by
/// its title, so that all examples fit.
fn query_text(sub_query: &SubQuery) -> String {
    let is_one = sub_query.sources.len() == 1;
    let text = |source: &ExampleText| match source {
        ExampleText::Text(text) => text.clone(),
        ExampleText::Paper(paper) if is_one => document_of(paper).text(),
        ExampleText::Paper(paper) => paper.title.clone(),
    };
    cut(sub_query.sources.iter().map(text).collect::<Vec<_>>().join("\n"))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_PAIR_BYTES));
    text
}

/// Returns the scores of an answer's papers on one scale. If some were reranked, the scores of the others are mapped to
/// the range -2 to 0, below those of the cross-encoder. Each item of `papers` is a score and its parts.
pub fn comparable_scores(papers: &[(f32, Option<ScoreDetails>)]) -> Vec<f32> {
    let is_reranked = |parts: &Option<ScoreDetails>| parts.is_some_and(|parts| parts.cross_encoder.is_some());
    let any_reranked = papers.iter().any(|(_, parts)| is_reranked(parts));
    let comparable = |(score, parts): &(f32, Option<ScoreDetails>)| match any_reranked && !is_reranked(parts)
    {
        true => score / (1.0 + score.abs()) - 1.0,
        false => *score,
    };
    papers.iter().map(comparable).collect()
}

/// Sorts the scored candidates by the cross-encoder. They stay before all other candidates. If there are several
/// sub-queries, candidates are sorted among those of the same sub-query, which together keep their positions. `scores` has
/// the scores of [`rerank_pairs`], in the same order; `None` for a paper that the cross-encoder cannot read, which goes
/// to the end of its sub-query's candidates.
pub(super) fn rerank(
    candidates: &mut [RankedPaper],
    pairs: &[RerankPairs],
    scores: &[Vec<Option<PairScore>>],
    probability: impl Fn(usize, PairScore) -> Option<f32>,
) {
    for (pairs, scores) in pairs.iter().zip(scores) {
        let mut scored: Vec<(Option<PairScore>, RankedPaper)> = pairs
            .positions
            .iter()
            .zip(scores)
            .map(|(position, score)| (*score, candidates[*position].clone()))
            .collect();
        // A stable sort: equal scores keep the order of retrieval. With recency, old papers sink.
        scored.sort_by(|(a, first), (b, second)| sort_key(*b, second).total_cmp(&sort_key(*a, first)));
        for (position, (score, mut ranked)) in pairs.positions.iter().zip(scored) {
            if let Some(score) = score {
                let parts = ranked.parts();
                ranked.score = score.relevance * parts.recency.unwrap_or(1.0);
                ranked.probability = probability(ranked.sub_query, score).or(ranked.probability);
                ranked.parts = Some(ScoreDetails { cross_encoder: Some(score.relevance), ..parts });
            }
            candidates[*position] = ranked;
        }
    }
}

/// The relevance, times the recency if the query has a half-life. Without a half-life, the logit, which distinguishes
/// pairs whose relevance is rounded to 1.
fn sort_key(score: Option<PairScore>, ranked: &RankedPaper) -> f32 {
    match (score, ranked.parts().recency) {
        (None, _) => f32::NEG_INFINITY,
        (Some(score), Some(recency)) => score.relevance * recency,
        (Some(score), None) => score.logit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{QueryKind, TermCounts};
    use likewise_encoder::model::sigmoid;
    use likewise_papers::{Paper, PaperId};

    fn candidate(id: &str, sub_query: usize) -> RankedPaper {
        let paper = Paper {
            id: PaperId::parse(id).unwrap(),
            title: format!("On {id}"),
            r#abstract: "Text.".into(),
            ..Paper::default()
        };
        RankedPaper { score: 0.5, probability: None, parts: None, sub_query, paper }
    }

    fn score(logit: f32) -> PairScore {
        PairScore { logit, score: logit, relevance: sigmoid(logit), tokens: 3, truncated: false }
    }

    fn ids(candidates: &[RankedPaper]) -> Vec<&str> {
        candidates.iter().map(|ranked| ranked.paper.id.as_str()).collect()
    }

    #[test]
    fn scores_of_papers_that_were_not_reranked_are_below_the_others() {
        let reranked = ScoreDetails { cross_encoder: Some(0.01), ..ScoreDetails::default() };
        let scores = [(0.01, Some(reranked)), (0.9, None), (0.4, None), (-0.3, None)];
        let comparable = comparable_scores(&scores);
        assert!(comparable.is_sorted_by(|a, b| a > b), "{comparable:?}");
        assert_eq!(comparable_scores(&scores[1..]), [0.9, 0.4, -0.3]);
    }

    #[test]
    fn the_first_candidates_are_sorted_by_the_cross_encoder_within_their_sub_query() {
        let sub_query = |text: &str| SubQuery {
            vector: Vec::new(),
            terms: TermCounts::default(),
            is_paper: false,
            kind: QueryKind::ShortText,
            examples: 1,
            sources: vec![ExampleText::Text(text.into())],
        };
        let sub_queries = vec![sub_query("bees"), sub_query("knots")];
        let query = ResolvedQuery { sub_queries, excluded: Vec::new(), texts: Vec::new() };
        let mut candidates = [
            candidate("a:1", 0),
            candidate("b:1", 1),
            candidate("a:2", 0),
            candidate("b:2", 1),
            candidate("a:3", 0),
        ];
        let pairs = rerank_pairs(&query, &candidates, 4);
        assert_eq!(pairs[0].query, "bees");
        assert_eq!(pairs[0].documents, ["On a:1. Text.", "On a:2. Text."]);
        let scores = vec![vec![Some(score(-1.0)), Some(score(2.0))], vec![None, Some(score(-9.0))]];
        rerank(&mut candidates, &pairs, &scores, |_, _| Some(0.5));
        assert_eq!(ids(&candidates), ["a:2", "b:2", "a:1", "b:1", "a:3"]);
        assert_eq!(candidates[0].parts.unwrap().cross_encoder, Some(score(2.0).relevance));
        assert_eq!((candidates[3].score, candidates[3].probability), (0.5, None), "not readable");
        assert!(candidates[4].parts.is_none(), "beyond the first four");
    }
}
