//! Which papers may be answers, as requests say it: in a JSON body, and in a query string.
//!
//! Its own file because both become the catalog's filter, and are documented for whoever sends them.

use super::shapes;
use crate::json::object_or_null;
use crate::store::catalog;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which papers may be answers: those that pass every part that is there.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only these papers.
    ids: Option<Vec<String>>,
    /// Only papers published in this range.
    #[serde(deserialize_with = "object_or_null")]
    published: Option<DateRange>,
    /// Only papers with one of these categories; `cs` also means every `cs.…`; case is ignored.
    categories: Option<Vec<String>>,
    /// Only papers of one of these conferences or journals; case is ignored.
    venues: Option<Vec<String>>,
    /// Only papers by one of these authors: every word of a name, in any order, with at most one other between them;
    /// case and accents are ignored.
    authors: Option<Vec<String>>,
    /// Only papers from one of these dumps; case is ignored.
    sources: Option<Vec<String>>,
    /// Papers that were taken back, too.
    withdrawn: bool,
}

/// Days from `from` to `to`, both included and both optional; `2021` means its whole year.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DateRange {
    /// First day.
    from: Option<String>,
    /// Last day.
    to: Option<String>,
}

impl From<DateRange> for catalog::DateRange {
    fn from(DateRange { from, to }: DateRange) -> catalog::DateRange {
        catalog::DateRange { from, to }
    }
}

impl From<Filter> for catalog::Filter {
    fn from(filter: Filter) -> catalog::Filter {
        let Filter { ids, published, categories, venues, authors, sources, withdrawn } = filter;
        let published = published.map(Into::into);
        catalog::Filter { ids, published, categories, venues, authors, sources, withdrawn }
    }
}

/// A filter, in a query string: lists are written by naming a field several times.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FilterParams {
    /// Published on this day or later; `2021` and `2021-06` too.
    #[param(schema_with = shapes::date)]
    from: Option<String>,
    /// Published on this day or before.
    #[param(schema_with = shapes::date)]
    to: Option<String>,
    /// Of this category; `cs` also means every `cs.…`.
    #[serde(default)]
    category: Vec<String>,
    /// Of this conference or journal.
    #[serde(default)]
    venue: Vec<String>,
    /// By this author.
    #[serde(default)]
    #[param(schema_with = shapes::names, required = false)]
    author: Vec<String>,
    /// From this dump.
    #[serde(default)]
    source: Vec<String>,
    /// Papers that were taken back, too.
    #[serde(default)]
    withdrawn: bool,
}

impl FilterParams {
    /// Its fields.
    pub const NAMES: [&str; 7] = ["from", "to", "category", "venue", "author", "source", "withdrawn"];

    /// A filter's fields, and what they are called here.
    pub const CALLED: [(&str, &str); 6] = [
        ("filter.published.from", "from"),
        ("filter.published.to", "to"),
        ("filter.categories", "category"),
        ("filter.venues", "venue"),
        ("filter.authors", "author"),
        ("filter.sources", "source"),
    ];

    /// As the catalog takes it.
    pub fn filter(self) -> catalog::Filter {
        let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let range = catalog::DateRange { from: self.from, to: self.to };
        catalog::Filter {
            ids: None,
            published: Some(range).filter(|range| *range != catalog::DateRange::default()),
            categories: list(self.category),
            venues: list(self.venue),
            authors: list(self.author),
            sources: list(self.source),
            withdrawn: self.withdrawn,
        }
    }
}
