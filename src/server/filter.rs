//! Filters in requests: [`Filter`] in a JSON body, and [`FilterParams`] in a query string. Each is converted to the
//! catalog's filter.

use super::schemas;
use crate::json::object_or_null;
use crate::store::catalog;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A filter on papers. A hit must match every condition that is set. A list that is empty matches no paper.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only papers with one of these ids.
    ids: Option<Vec<String>>,
    /// Only papers published in this range. A paper whose date is only a year or a month matches if any day of that
    /// year or month is in the range. A paper without a date does not match.
    #[serde(deserialize_with = "object_or_null")]
    published: Option<DateRange>,
    /// Only papers with one of these categories. `cs` includes every category that starts with `cs.`; case is ignored.
    categories: Option<Vec<String>>,
    /// Only papers from one of these conferences or journals; case is ignored.
    venues: Option<Vec<String>>,
    /// Only papers by one of these authors. An author matches if the author's name contains all words of the given
    /// name, in any order, with at most one other word between them; case and accents are ignored.
    authors: Option<Vec<String>>,
    /// Only papers from one of these sources (dumps); case is ignored.
    sources: Option<Vec<String>>,
    /// Include withdrawn papers.
    withdrawn: bool,
}

/// A range of days from `from` to `to`, inclusive. Both ends are optional. `2021` means the whole year, `2021-06` the
/// whole month.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DateRange {
    /// Earliest date; null or left out: no limit.
    from: Option<String>,
    /// Latest date; null or left out: no limit.
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

/// A filter in a query string. To give several values, repeat the parameter.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FilterParams {
    /// Only papers published on this date or later: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`. A paper whose date is only a
    /// year or a month matches if any day of that year or month does. A paper without a date does not match.
    #[param(schema_with = schemas::date)]
    from: Option<String>,
    /// Only papers published on this date or earlier, in the same formats as `from`.
    #[param(schema_with = schemas::date)]
    to: Option<String>,
    /// Only papers with this category; `cs` includes every category that starts with `cs.`. Repeat the parameter to
    /// allow several categories.
    #[serde(default)]
    category: Vec<String>,
    /// Only papers from this conference or journal. Repeat the parameter to allow several.
    #[serde(default)]
    venue: Vec<String>,
    /// Only papers by this author. Repeat the parameter to allow several authors.
    #[serde(default)]
    #[param(schema_with = schemas::names, required = false)]
    author: Vec<String>,
    /// Only papers from this source (dump). Repeat the parameter to allow several sources.
    #[serde(default)]
    source: Vec<String>,
    /// Include withdrawn papers.
    #[serde(default)]
    withdrawn: bool,
}

impl FilterParams {
    /// Names of the parameters.
    pub const NAMES: [&str; 7] = ["from", "to", "category", "venue", "author", "source", "withdrawn"];

    /// Pairs of a field of the catalog's filter and the parameter that sets this field. Error messages about a field
    /// use the name of the parameter.
    pub const FIELD_NAMES: [(&str, &str); 6] = [
        ("filter.published.from", "from"),
        ("filter.published.to", "to"),
        ("filter.categories", "category"),
        ("filter.venues", "venue"),
        ("filter.authors", "author"),
        ("filter.sources", "source"),
    ];

    /// Converts the parameters to the catalog's filter.
    pub fn into_filter(self) -> catalog::Filter {
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
