//! The two sides of a search: what is found, and what it is asked by.
//!
//! Its own file because some models read the two differently, by a prompt or an adapter each, and everybody who
//! encodes has to say which one a text is.

use serde::{Deserialize, Serialize};

/// What a text is to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Side {
    /// What is found: a paper's title and abstract.
    #[default]
    Paper,
    /// What it is asked by: somebody's text.
    Query,
}

/// Something of each side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sides<T> {
    /// For papers.
    pub paper: T,
    /// For queries.
    pub query: T,
}

impl<T> Sides<T> {
    /// The one of a side.
    pub fn of(&self, side: Side) -> &T {
        match side {
            Side::Paper => &self.paper,
            Side::Query => &self.query,
        }
    }

    /// What `make` makes of each.
    pub fn map<U>(&self, mut make: impl FnMut(&T) -> U) -> Sides<U> {
        Sides { paper: make(&self.paper), query: make(&self.query) }
    }
}

impl<T: Clone> Sides<T> {
    /// The same on both.
    pub fn both(one: T) -> Sides<T> {
        Sides { paper: one.clone(), query: one }
    }
}
