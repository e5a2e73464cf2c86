//! Meaning and words together: the nearest papers, and those with the question's rarest terms, scored by both.
//!
//! Its own file because the order is another one than the vectors'; what weighs how much was chosen on the development
//! sets of benches/judged.py.

use super::checked::Checked;
use super::holdings::{Scored, TermCounts, Wanted, WantedTerms};
use super::lexical::{Bag, QueryTerms};
use super::resources::Resources;
use super::target::Aim;
use super::{MAX_K, MAX_OFFSET, MAX_PAPERS, Mode, Parts, Query, Ranked};
use crate::error::{Error, Result};
use likewise_papers::PaperId;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// How much words count beside the cosine.
const WORDS: f32 = 1.3;

/// Papers that are scored by both. More of them change few first pages, and take longer; in steps, so that the pages of
/// one list are of one order as far as the step goes.
const POOLS: [usize; 4] = [48, 300, MAX_K + 2 * MAX_PAPERS, MAX_OFFSET + MAX_K + 2 * MAX_PAPERS];

/// Of so many papers that are near, one is scored besides because of its rare terms.
const NEAR_PER_RARE: usize = 3;

/// Entries of terms' lists that are gone through beside a search by vectors; and where words are all there is.
const ENTRIES: [usize; 2] = [1500, 50_000];

/// The papers that words, or words and meaning, make the nearest, and some more; in no order.
pub(super) fn by_words(
    resources: &Resources,
    query: &Checked,
    aim: &Aim,
    more: usize,
) -> Result<Vec<Ranked>> {
    let terms = query_terms(resources, &aim.bag)?;
    let Checked { mode, depth, .. } = *query;
    let Query { filter, exact, .. } = &**query;
    let alone = mode == Mode::Lexical;
    let k = pool(depth, if *exact { 2 } else { usize::from(alone) }) + more;
    let mut found: Vec<Scored> = Vec::new();
    if !alone {
        found = resources.holdings.near(&Wanted { vector: &aim.vector, k, filter, exact: *exact })?;
    }
    if !terms.is_empty() {
        let wanted = WantedTerms {
            terms: &terms,
            vector: &aim.vector,
            k: if alone { k } else { k / NEAR_PER_RARE },
            entries: if *exact { usize::MAX } else { ENTRIES[usize::from(alone)] },
            // A term that one paper has leads from that paper nowhere.
            least: 1 + usize::from(aim.is_paper),
            alone,
            filter,
        };
        let near: HashSet<PaperId> = found.iter().map(|(_, paper)| paper.id.clone()).collect();
        let more = resources.holdings.with_terms(&wanted)?;
        found.extend(more.into_iter().filter(|(_, paper)| !near.contains(&paper.id)));
    }
    // Where no paper has a word of the question, meaning is all there is.
    let mode = if terms.is_empty() && !alone { Mode::Semantic } else { mode };
    let ranked = |(semantic, paper): Scored| {
        let lexical = terms.score(&paper);
        let score = score(mode, semantic, lexical);
        let parts = Some(Parts { semantic, lexical: Some(lexical), recency: None, sentences: None });
        Ranked { score, chance: resources.chance(mode, aim.is_short, score), parts, aim: 0, paper }
    };
    let mut ranked: Vec<Ranked> = found.into_par_iter().map(ranked).collect();
    // The share of words is the score then.
    ranked.retain(|ranked| !alone || ranked.score > 0.0);
    Ok(ranked)
}

/// What the terms of a question tell, by how many papers have each.
pub(super) fn query_terms(resources: &Resources, bag: &Bag) -> Result<QueryTerms> {
    let terms = bag.terms();
    let Some(TermCounts { papers, with }) = resources.holdings.counts_of_terms(&terms)? else {
        return Err(Error::Invalid("mode: a collection keeps no words; ask it with mode semantic".into()));
    };
    let counts: HashMap<&str, usize> = terms.into_iter().zip(with).collect();
    Ok(QueryTerms::of(bag, papers, |term| counts.get(term).copied().unwrap_or_default()))
}

/// How many papers are scored where so many are wanted, from some step on.
fn pool(depth: usize, first: usize) -> usize {
    POOLS[first..].iter().copied().find(|pool| *pool >= depth).unwrap_or(depth)
}

/// -1 to 1.
pub(super) fn score(mode: Mode, semantic: f32, lexical: f32) -> f32 {
    match mode {
        Mode::Lexical => lexical,
        Mode::Hybrid => (semantic + WORDS * lexical) / (1.0 + WORDS),
        Mode::Semantic => semantic,
    }
}
