//! A search, stage by stage: resolve → retrieve → fuse → rerank → diversify → explain.
//!
//! Its own file because it is the order of the stages and nothing else has a say in it: each is one function over one
//! [`Checked`] query, and none goes back to one before it.

use super::checked::Checked;
use super::clusters::in_turns;
use super::diverse::diversified;
use super::explain::explain;
use super::holdings::Wanted;
use super::hybrid::by_words;
use super::recency::{recency, today};
use super::rescore::{Sentences, rescore};
use super::resources::{Resources, sort};
use super::target::{Aim, Target, resolve};
use super::{Answer, Diversity, Examples, Hit, MAX_K, Mode, NO_CHANCE, Parts, Query, Ranked};
use crate::error::Result;
use crate::store::catalog::Filter;
use likewise_encoder::{Embedding, Side, encode_readable};
use std::collections::HashSet;

/// The papers that are nearest to a query, before the first of them are read with the model and the hits are chosen.
pub struct Retrieved {
    target: Target,
    pool: Vec<Ranked>,
    nothing_like_it: bool,
}

impl Retrieved {
    /// The sentences by which a query that is rescored compares its first papers: they are to be encoded as papers are.
    pub fn sentences(&self) -> Vec<&str> {
        Sentences::of(&self.target, &self.pool).texts()
    }
}

/// Answers a query whose texts were encoded.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) and [`Error::NotFound`](crate::Error::NotFound) say what is wrong with it.
pub(super) fn answer(resources: &Resources, query: &Checked, embeddings: Vec<Embedding>) -> Result<Answer> {
    let found = retrieved(resources, query, embeddings)?;
    if !query.rescore {
        return finished(resources, query, found, Vec::new());
    }
    let encode = |texts: &[&str]| resources.encoder.encode(texts, Side::Paper);
    let encoded = encode_readable(&found.sentences(), encode)?.into_iter();
    let vectors = encoded.map(|encoded| encoded.ok().map(|embedding| embedding.vector)).collect();
    finished(resources, query, found, vectors)
}

/// The stages before the model is asked again.
///
/// # Errors
/// As [`answer`].
pub(super) fn retrieved(
    resources: &Resources,
    query: &Checked,
    embeddings: Vec<Embedding>,
) -> Result<Retrieved> {
    let target = resolve(resources, query, embeddings)?;
    let lists = (0..target.aims.len()).map(|aim| retrieve(resources, query, aim, &target));
    let mut pool = fuse(lists.collect::<Result<_>>()?, &target, query.examples);
    // Whoever narrows it down wants what is there.
    let is_open = query.min_score.is_none() && query.filter == Filter::default();
    let nothing_like_it = is_open && is_hopeless(&pool);
    if nothing_like_it {
        pool.clear();
    }
    Ok(Retrieved { target, pool, nothing_like_it })
}

/// The stages after that, with the vectors of [`Retrieved::sentences`], if they were asked for; those that the model cannot
/// read have none.
pub(super) fn finished(
    resources: &Resources,
    query: &Checked,
    Retrieved { target, mut pool, nothing_like_it }: Retrieved,
    sentences: Vec<Option<Vec<f32>>>,
) -> Result<Answer> {
    if query.rescore {
        rescore(&target, &mut pool, sentences);
    }
    let (mut hits, diversity) = diversify(resources, query, pool)?;
    if query.explain {
        explain(resources, &target.aims, query.mode, &mut hits)?;
    }
    let texts = target.texts.clone();
    Ok(Answer { hits, nothing_like_it, diversity, texts, target: target.vector() })
}

/// The hits that are wanted, of papers in order.
fn diversify(
    resources: &Resources,
    query: &Checked,
    mut pool: Vec<Ranked>,
) -> Result<(Vec<Hit>, Option<Diversity>)> {
    let Query { k, offset, diversity, .. } = **query;
    pool.truncate(query.depth);
    let (mut list, mut spread) = (Vec::new(), None);
    if diversity > 0.0 {
        let rest = pool.split_off(pool.len().min(MAX_K));
        let (first, of_first) = diversified(resources, pool, offset + k, diversity)?;
        (list, spread, pool) = (first, Some(of_first), rest);
    }
    list.extend(pool.into_iter().map(|ranked| (ranked, Vec::new())));
    list.truncate(offset + k);
    let hit = |(place, (Ranked { score, chance, parts, aim, paper }, nearly_the_same))| Hit {
        rank: place + 1,
        score,
        chance,
        parts,
        nearly_the_same,
        why: None,
        aim,
        paper,
    };
    Ok((list.into_iter().enumerate().skip(offset).map(hit).collect(), spread))
}

/// What is near to one aim, best first.
fn retrieve(resources: &Resources, query: &Checked, number: usize, target: &Target) -> Result<Vec<Ranked>> {
    let Target { aims, excluded, .. } = target;
    let mut list = pool(resources, query, &aims[number], excluded.len())?;
    list.iter_mut().for_each(|ranked| ranked.aim = number);
    list.retain(|ranked| !excluded.contains(&ranked.paper.id));
    // Of 0 or more is everything, also what points away.
    if let Some(least) = query.min_score.filter(|least| *least > 0.0) {
        list.retain(|ranked| ranked.chance.unwrap_or(ranked.score) >= least);
    }
    sort(&mut list);
    list.truncate(query.depth);
    if let Some(half_life) = query.half_life {
        let today = today();
        list.iter_mut().for_each(|ranked| fade(ranked, half_life, today));
        sort(&mut list);
    }
    Ok(list)
}

/// The papers that a list is made of, at least `depth` if there are as many, and so many more, since those that were
/// asked for may be among them, and are taken out again; in no order.
fn pool(resources: &Resources, query: &Checked, aim: &Aim, more: usize) -> Result<Vec<Ranked>> {
    let Query { filter, exact, .. } = &**query;
    match query.mode {
        Mode::Semantic => {
            let wanted = Wanted { vector: &aim.vector, k: query.depth + more, filter, exact: *exact };
            let found = resources.holdings.near(&wanted)?.into_iter();
            let ranked = |(score, paper)| Ranked {
                score,
                chance: resources.chance(query.mode, aim.is_short, score),
                parts: None,
                aim: 0,
                paper,
            };
            Ok(found.map(ranked).collect())
        }
        Mode::Lexical | Mode::Hybrid => by_words(resources, query, aim, more),
    }
}

/// The lists of several aims as one, in which each paper is once.
fn fuse(mut lists: Vec<Vec<Ranked>>, target: &Target, examples: Examples) -> Vec<Ranked> {
    if lists.len() == 1 {
        return lists.remove(0);
    }
    let mut seen = HashSet::new();
    let mut is_new = |ranked: &Ranked| seen.insert(ranked.paper.id.clone());
    if examples == Examples::Clusters {
        let sizes: Vec<usize> = target.aims.iter().map(|aim| aim.examples).collect();
        return in_turns(lists, &sizes, is_new);
    }
    let mut all: Vec<Ranked> = lists.into_iter().flatten().collect();
    sort(&mut all);
    // A few words score higher than a paper does: what is compared is what scores mean, if that is known.
    let worth = |ranked: &Ranked| ranked.chance.map(|chance| chance * ranked.parts().recency.unwrap_or(1.0));
    all.sort_by(|a, b| worth(b).unwrap_or_default().total_cmp(&worth(a).unwrap_or_default()));
    all.retain(&mut is_new);
    all
}

/// Whether it is known that none of some papers is related.
fn is_hopeless(pool: &[Ranked]) -> bool {
    !pool.is_empty() && pool.iter().all(|ranked| ranked.chance.is_some_and(|chance| chance < NO_CHANCE))
}

/// Makes a paper count less by its age.
fn fade(ranked: &mut Ranked, half_life: f32, today: f32) {
    let recency = recency(ranked.paper.published.as_deref(), half_life, today);
    ranked.parts = Some(Parts { recency: Some(recency), ..ranked.parts() });
    if ranked.score > 0.0 {
        ranked.score *= recency;
    }
}
