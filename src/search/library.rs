//! Papers that can be asked about: what holds them, and the model that reads questions.
//!
//! Its own file because every way in, a command, a route, a page, an agent's tool, asks this, wherever the papers are.

use super::clusters::in_turns;
use super::folder::Folder;
use super::holdings::{Holdings, Wanted, Whole};
use super::recency::{recency, today};
use super::target::{Aim, Target};
use super::{
    Answer, Diversity, Examples, Hit, Like, MAX_K, Mode, NO_CHANCE, Parts, Query, RESCORED, Ranked, Stats,
    diverse,
};
use crate::catalog::{Filter, Listed, PaperNumber, Place};
use crate::encoder::{Embedding, Encoder};
use crate::error::{Error, Result};
use crate::ingest::Intake;
use crate::model::Side;
use crate::model::{Chances, Curve};
use crate::paper::{Paper, PaperId};
use crate::text::text_of_query;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Papers, opened for answering.
pub struct Library {
    holdings: Box<dyn Holdings>,
    encoder: Arc<Encoder>,
}

impl Library {
    /// Opens a data folder. What is written to it later, by whichever process, is taken in by the next query.
    ///
    /// What a killed ingest left undone is done first, unless another process is ingesting: then what
    /// is there is served.
    ///
    /// # Errors
    /// [`Error::Data`] if there is nothing, or it is another model's.
    pub fn open(data: &Path, encoder: Arc<Encoder>) -> Result<Library> {
        let folder = Folder::open(data, Arc::clone(&encoder))?;
        Ok(Library::over(Box::new(folder), encoder))
    }

    /// Over whatever holds papers whose vectors are this encoder's.
    pub fn over(holdings: Box<dyn Holdings>, encoder: Arc<Encoder>) -> Library {
        Library { holdings, encoder }
    }

    /// Opens it for writing; `None` if somebody else writes, and only one may.
    ///
    /// # Errors
    /// As [`crate::ingest::Writer::try_open`].
    pub fn intake(&self) -> Result<Option<Box<dyn Intake>>> {
        self.holdings.intake(&self.encoder)
    }

    /// Whether it can be asked now.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<()> {
        self.holdings.check()
    }

    /// The model it encodes queries with.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// Where it is, if that is a data folder.
    pub fn folder(&self) -> Option<&Path> {
        self.holdings.folder()
    }

    /// The newest papers that pass a filter, a page at a time.
    ///
    /// # Errors
    /// What is wrong with the filter.
    pub fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed> {
        self.holdings.list(filter, after, limit)
    }

    /// The papers whose day of publication is known to be one of these, newest first, with so many passed over.
    pub fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        self.holdings.published_within(days, offset, limit)
    }

    /// The last day before a day, and the first after it, that a paper is known to be of.
    pub fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        self.holdings.days_around(day)
    }

    /// What each source says of the paper with this id.
    ///
    /// # Errors
    /// As [`Library::paper`].
    pub fn records(&self, id: &str) -> Result<Vec<Paper>> {
        let id = parse(id)?;
        let records = self.holdings.records(&id)?;
        if records.is_empty() { Err(not_here(&id)) } else { Ok(records) }
    }

    /// The largest number of a paper: those that come have larger ones.
    pub fn last_number(&self) -> Result<PaperNumber> {
        self.holdings.last_number()
    }

    /// The vector of the paper with this id; `None` if it is not here, or has none yet.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn vector(&self, id: &PaperId) -> Result<Option<Vec<f32>>> {
        Ok(self.holdings.find(id)?.and_then(|(_, vector)| vector))
    }

    /// The same of many papers, in their order.
    ///
    /// # Errors
    /// As [`Library::vector`].
    pub fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>> {
        self.holdings.vectors(ids)
    }

    /// Whether papers have no vector yet, as far as is known: asking about one of them takes the encoder.
    pub fn lacks_vectors(&self) -> bool {
        self.holdings.lacks_vectors()
    }

    /// recall@10 of walks against the exact scan, over stored vectors that are asked for: whether the index still finds
    /// what it should. 1 where there is nothing.
    pub fn probe_recall(&self) -> f64 {
        self.holdings.probe_recall()
    }

    /// All papers, some at a time.
    pub fn walk(&self, take: &mut dyn FnMut(Vec<Whole>) -> Result<()>) -> Result<()> {
        self.holdings.walk(take)
    }

    /// What it holds.
    pub fn stats(&self) -> Stats {
        self.holdings.stats()
    }

    /// Whether another model has taken the place of the one that this was opened with: it goes on to answer, but new
    /// papers do not reach it any more.
    pub fn is_superseded(&self) -> Result<bool> {
        self.holdings.is_superseded()
    }

    /// The paper with this id, however it is written.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not here, [`Error::Invalid`] if that cannot be an id.
    pub fn paper(&self, id: &str) -> Result<Paper> {
        let id = parse(id)?;
        self.holdings.paper(&id)?.ok_or_else(|| not_here(&id))
    }

    /// The same, but `None` if it is not here, or that cannot be an id.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn paper_if_here(&self, id: &str) -> Result<Option<Paper>> {
        match self.paper(id) {
            Err(Error::NotFound(_) | Error::Invalid(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The paper with this id, and its vector, if it has one yet.
    pub(super) fn find(&self, id: &str) -> Result<(Paper, Option<Vec<f32>>)> {
        let id = parse(id)?;
        self.holdings.find(&id)?.ok_or_else(|| not_here(&id))
    }

    /// Answers a query.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::NotFound`] say what is wrong with the query.
    pub fn search(&self, query: &Query) -> Result<Answer> {
        query.check()?;
        let texts: Vec<_> = query.texts().map(|text| text_of_query(text)).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        self.search_encoded(query, self.encoder.encode(&texts, Side::Query)?)
    }

    /// Answers a query whose texts were encoded already: the server encodes the texts of many queries together.
    ///
    /// # Errors
    /// As [`Library::search`]; also if texts come without their embeddings.
    pub fn search_encoded(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Answer> {
        query.check()?;
        let target = self.target(query, embeddings)?;
        let mode = self.mode(query)?;
        let lists = (0..target.aims.len()).map(|aim| self.list_of(aim, &target, query, mode));
        let mut pool = joined(lists.collect::<Result<_>>()?, &target, query.examples());
        // Whoever narrows it down wants what is there.
        let is_open = query.min_score.is_none() && query.filter == Filter::default();
        let nothing_like_it = is_open && is_hopeless(&pool);
        if nothing_like_it {
            pool.clear();
        }
        if query.rescore {
            self.rescore(&target, &mut pool)?;
        }
        let (mut hits, diversity) = self.hits(pool, query)?;
        if query.explain {
            self.explain_by(&target.aims, mode, &mut hits)?;
        }
        let texts = target.texts.clone();
        Ok(Answer { hits, nothing_like_it, diversity, texts, target: target.vector() })
    }

    pub(super) fn holdings(&self) -> &dyn Holdings {
        &*self.holdings
    }

    /// Whether papers can be compared by their words, too.
    ///
    /// # Errors
    /// What holds the papers says.
    pub fn keeps_words(&self) -> Result<bool> {
        Ok(self.holdings.counts_of_terms(&[])?.is_some())
    }

    /// By what a query's papers are alike, if it does not say so itself.
    ///
    /// # Errors
    /// What holds the papers says.
    pub fn mode(&self, query: &Query) -> Result<Mode> {
        let Like { texts, papers, .. } = &query.like;
        let has_words = !(texts.is_empty() && papers.is_empty());
        Ok(match query.mode {
            Some(mode) => mode,
            None if has_words && self.keeps_words()? => Mode::Hybrid,
            None => Mode::Semantic,
        })
    }

    /// What scores of a mode mean, if that is known: by a short text, or by what is longer and by papers.
    pub fn curve(&self, mode: Mode, is_short: bool) -> Option<Curve> {
        let Chances { papers, texts } = self.encoder.model().chances()?;
        let curves = if is_short { texts } else { papers };
        Some(match mode {
            Mode::Semantic => curves.semantic,
            Mode::Lexical => curves.lexical,
            Mode::Hybrid => curves.hybrid,
        })
    }

    /// The chance that a paper of this score is related to an aim, if that is known.
    pub(super) fn chance(&self, mode: Mode, aim: &Aim, score: f32) -> Option<f32> {
        self.curve(mode, aim.is_short).map(|curve| curve.at(score))
    }

    /// The hits that are wanted, of papers in order.
    fn hits(&self, mut pool: Vec<Ranked>, query: &Query) -> Result<(Vec<Hit>, Option<Diversity>)> {
        let Query { k, offset, diversity, .. } = *query;
        pool.truncate(depth(query));
        let (mut list, mut spread) = (Vec::new(), None);
        if diversity > 0.0 {
            let rest = pool.split_off(pool.len().min(MAX_K));
            let (first, of_first) = self.diversified(pool, offset + k, diversity)?;
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
    fn list_of(&self, number: usize, target: &Target, query: &Query, mode: Mode) -> Result<Vec<Ranked>> {
        let Target { aims, excluded, .. } = target;
        let depth = depth(query);
        let mut list = self.pool(&aims[number], query, mode, depth, excluded.len())?;
        list.iter_mut().for_each(|ranked| ranked.aim = number);
        list.retain(|ranked| !excluded.contains(&ranked.paper.id));
        // Of 0 or more is everything, also what points away.
        if let Some(least) = query.min_score.filter(|least| *least > 0.0) {
            list.retain(|ranked| ranked.chance.unwrap_or(ranked.score) >= least);
        }
        sort(&mut list);
        list.truncate(depth);
        if let Some(half_life) = query.half_life {
            let today = today();
            list.iter_mut().for_each(|ranked| fade(ranked, half_life, today));
            sort(&mut list);
        }
        Ok(list)
    }

    /// The papers that a list is made of, at least `depth` if there are as many, and so many more, since those that were
    /// asked for may be among them, and are taken out again; in no order.
    fn pool(&self, aim: &Aim, query: &Query, mode: Mode, depth: usize, more: usize) -> Result<Vec<Ranked>> {
        let Query { filter, exact, .. } = query;
        match mode {
            Mode::Semantic => {
                let wanted = Wanted { vector: &aim.vector, k: depth + more, filter, exact: *exact };
                let found = self.holdings.near(&wanted)?.into_iter();
                let ranked = |(score, paper)| Ranked {
                    score,
                    chance: self.chance(mode, aim, score),
                    parts: None,
                    aim: 0,
                    paper,
                };
                Ok(found.map(ranked).collect())
            }
            Mode::Lexical | Mode::Hybrid => self.by_words(aim, query, mode, depth, more),
        }
    }
}

/// The lists of several aims as one, in which each paper is once.
fn joined(mut lists: Vec<Vec<Ranked>>, target: &Target, examples: Examples) -> Vec<Ranked> {
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

/// Best first; of equal scores, by id.
pub(super) fn sort(pool: &mut [Ranked]) {
    pool.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.paper.id.cmp(&b.paper.id)));
}

/// Whether it is known that none of some papers is related.
fn is_hopeless(pool: &[Ranked]) -> bool {
    !pool.is_empty() && pool.iter().all(|ranked| ranked.chance.is_some_and(|chance| chance < NO_CHANCE))
}

/// How many of the nearest are looked at: more than are wanted, where they are put in another order.
fn depth(Query { k, offset, diversity, half_life, rescore, .. }: &Query) -> usize {
    let wanted = (offset + k).max(if *rescore { RESCORED } else { 0 });
    match *diversity > 0.0 || half_life.is_some() {
        true if wanted <= diverse::POOL / 2 => diverse::POOL,
        true => wanted.max(MAX_K),
        false => wanted,
    }
}

/// Makes a paper count less by its age.
fn fade(ranked: &mut Ranked, half_life: f32, today: f32) {
    let recency = recency(ranked.paper.published.as_deref(), half_life, today);
    ranked.parts = Some(Parts { recency: Some(recency), ..ranked.parts() });
    if ranked.score > 0.0 {
        ranked.score *= recency;
    }
}

fn parse(id: &str) -> Result<PaperId> {
    PaperId::parse(id).map_err(Error::Invalid)
}

fn not_here(id: &PaperId) -> Error {
    Error::NotFound(format!("no paper {:?} here; ask by text instead, or ingest it", id.as_str()))
}
