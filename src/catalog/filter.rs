//! Which papers may be answers, and which they are.
//!
//! Its own file because it is a filter's shape in requests, and the SQL that it becomes.

use super::{Catalog, PaperNumber};
use crate::error::{Error, Result};
use crate::paper::{PaperId, parse_date};
use serde::{Deserialize, Serialize};

/// Which papers may be answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only these papers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Only papers published in this range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<DateRange>,
    /// Only papers with one of these categories; `cs` also means every `cs.…`; case is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
}

/// Days from `from` to `to`, both included and both optional; `2021` means its whole year.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DateRange {
    /// First day.
    pub from: Option<String>,
    /// Last day.
    pub to: Option<String>,
}

impl Filter {
    /// Whether every paper passes.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }
}

impl Catalog {
    /// The numbers of all papers that pass `filter`, in order.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a date or id in it cannot be read.
    pub fn matching(&self, filter: &Filter) -> Result<Vec<PaperNumber>> {
        let mut sql = String::from("SELECT number FROM papers WHERE 1");
        let mut values: Vec<String> = Vec::new();
        if let Some(ids) = &filter.ids {
            let ids: Vec<String> = ids
                .iter()
                .map(|id| PaperId::parse(id).map(|id| id.to_string()))
                .map(|id| id.map_err(|wrong| Error::Invalid(format!("filter.ids: {wrong}"))))
                .collect::<Result<_>>()?;
            values.push(serde_json::Value::from(ids).to_string());
            sql += &format!(" AND id IN (SELECT value FROM json_each(?{}))", values.len());
        }
        if let Some(range) = &filter.published {
            for (date, is_from) in [(&range.from, true), (&range.to, false)] {
                let Some(date) = date else { continue };
                let days =
                    parse_date(date).map_err(|wrong| Error::Invalid(format!("filter.published: {wrong}")))?;
                values.push(if is_from { days.first } else { days.last });
                let test = if is_from { "published_last >=" } else { "published_first <=" };
                sql += &format!(" AND {test} ?{}", values.len());
            }
        }
        if let Some(categories) = &filter.categories {
            let categories: Vec<String> = categories.iter().map(|category| category.to_lowercase()).collect();
            values.push(serde_json::Value::from(categories).to_string());
            // `/` is the character after `.`: the range holds every name that starts with `archive.`.
            sql += &format!(
                " AND number IN (SELECT c.number FROM json_each(?{}) AS wanted JOIN categories AS c ON \
                 c.category = wanted.value OR (c.category > wanted.value || '.' AND c.category < wanted.value || '/'))",
                values.len()
            );
        }
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
        let mut numbers = rows.collect::<rusqlite::Result<Vec<PaperNumber>>>()?;
        // Not in SQL: to have them in order, SQLite would read all papers instead of an index.
        numbers.sort_unstable();
        Ok(numbers)
    }
}
