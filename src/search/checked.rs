//! A query that was checked, with what it leaves open settled: how its examples make one question, by what papers are
//! alike, how many of the nearest are looked at.
//!
//! Its own file because this is done once, at the door, and every stage goes by it.

use super::resources::Resources;
use super::{Examples, Like, MAX_K, Mode, Query};
use crate::error::Result;
use std::ops::Deref;

/// Papers that are put in another order, at least.
const POOL: usize = 200;

/// Papers that are scored once more: of the first 200, those beyond these change nothing (`make bench-recipe`).
pub const RESCORED: usize = 30;

/// A query, ready for the stages of a search.
pub(super) struct Checked<'a> {
    query: &'a Query,
    /// By what papers are alike.
    pub mode: Mode,
    /// How its examples make one question.
    pub examples: Examples,
    /// How many of the nearest are looked at: more than are wanted, where they are put in another order.
    pub depth: usize,
}

impl<'a> Checked<'a> {
    /// Checks a query.
    ///
    /// # Errors
    /// As [`Query::check`]; what holds the papers may not say whether it keeps words.
    pub fn of(query: &'a Query, resources: &Resources) -> Result<Checked<'a>> {
        query.check()?;
        let mode = mode(query, resources)?;
        Ok(Checked { query, mode, examples: query.examples(), depth: depth(query) })
    }
}

impl Deref for Checked<'_> {
    type Target = Query;

    fn deref(&self) -> &Query {
        self.query
    }
}

/// By what a query's papers are alike, if it does not say so itself.
pub(super) fn mode(query: &Query, resources: &Resources) -> Result<Mode> {
    let Like { texts, papers, .. } = &query.like;
    let has_words = !(texts.is_empty() && papers.is_empty());
    Ok(match query.mode {
        Some(mode) => mode,
        None if has_words && resources.keeps_words()? => Mode::Hybrid,
        None => Mode::Semantic,
    })
}

fn depth(query: &Query) -> usize {
    let wanted = (query.offset + query.k).max(if query.rescore { RESCORED } else { 0 });
    match query.is_reordered() {
        true if wanted <= POOL / 2 => POOL,
        true => wanted.max(MAX_K),
        false => wanted,
    }
}
