//! Filters of searches: the form that a filter has in requests, and the SQL queries that select the papers that pass
//! it.
//!
//! Each condition of a filter is a separate SQL query, which SQLite answers from an index alone. The papers that pass
//! the filter are the intersection of the results of these queries.

use super::labels::{LabelKind, author_query};
use super::{Catalog, PaperSet};
use crate::error::{Error, Result};
use crate::json::object_or_null;
use likewise_papers::paper::{PaperId, collapse_whitespace, parse_date};
use rusqlite::{Connection, ErrorCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Restricts a search to the papers that meet all given conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only papers with one of these ids or alternate ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Only papers that can have been published in this range: a paper dated `2021` passes if a day of 2021 is in the
    /// range. Papers without a date do not pass, unless the range has no limits.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object_or_null")]
    pub published: Option<DateRange>,
    /// Only papers with at least one of these categories. `cs` includes every category `cs.…`. Case is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// Only papers with a record from one of these conferences or journals. Case is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venues: Option<Vec<String>>,
    /// Only papers by at least one of these authors. A name in this list matches an author if the author's name has all
    /// words of the listed name, in any order, with at most one other word among them. A name of one word matches every
    /// author whose name has this word. Case and accents are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authors: Option<Vec<String>>,
    /// Only papers with a record from one of these sources. Case is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// Whether withdrawn papers pass too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// Maximum number of values in one list of a filter. A filter with a longer list is refused.
const MAX_VALUES: usize = 10_000;

/// Maximum time to evaluate a filter. A filter that takes longer is refused. Other filters, and other uses of the
/// catalog's main connection, wait during this time. The largest realistic filters take half a second in a catalog of
/// millions of papers.
const MAX_DURATION: Duration = Duration::from_secs(2);

/// Number of instructions of SQLite's virtual machine between two checks of the time limit.
const INSTRUCTIONS_PER_CHECK: i32 = 200;

/// A range of days, inclusive. Each limit is a date such as `2021`, `2021-06` or `2021-06-15`; a year or a month means
/// all of its days. `None`: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DateRange {
    /// First day.
    pub from: Option<String>,
    /// Last day.
    pub to: Option<String>,
}

// CROSS JOIN fixes the order of the join: SQLite goes through the values of the filter, and looks up each value.
const BY_ID: &str = "SELECT number FROM json_each(?1) AS wanted CROSS JOIN papers ON papers.id = wanted.value \
                     UNION ALL SELECT number FROM json_each(?1) AS wanted CROSS JOIN names ON names.name = wanted.value";

/// Selects the papers whose possible days of publication overlap the range. A paper without a date has NULL for the
/// first and the last day, so it is in no range.
const BY_DATE: &str = "SELECT number FROM papers \
                       WHERE published_first <= coalesce(?2, '9999-99') AND published_last >= coalesce(?1, '')";

/// `/` is the character after `.`, so the range contains every category that starts with the value and a dot.
const BY_CATEGORY: &str = "SELECT number FROM json_each(?1) AS wanted \
                           CROSS JOIN labels ON kind = ?2 AND label = wanted.value \
                           UNION ALL SELECT number FROM json_each(?1) AS wanted \
                           CROSS JOIN labels ON kind = ?2 AND label > wanted.value || '.' AND label < wanted.value || '/'";

const BY_LABEL: &str =
    "SELECT number FROM json_each(?1) AS wanted CROSS JOIN labels ON kind = ?2 AND label = wanted.value";

const BY_AUTHOR: &str =
    "SELECT authors.rowid FROM json_each(?1) AS wanted CROSS JOIN authors ON authors MATCH wanted.value";

/// An SQL query, and the values of its parameters.
type SqlQuery = (&'static str, Vec<Option<String>>);

impl Filter {
    /// Whether the filter has no conditions. The exclusion of withdrawn papers does not count as a condition.
    pub fn is_empty(&self) -> bool {
        Filter { withdrawn: false, ..self.clone() } == Filter::default()
    }

    /// The conditions of the filter, normalised for comparison with papers.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if a date, an id or a name is invalid, or a list is too long.
    pub fn normalized(&self) -> Result<NormalizedFilter> {
        let Filter { ids, published, categories, venues, authors, sources, withdrawn: _ } = self;
        let label = |label: &String| Ok(collapse_whitespace(label).to_lowercase());
        let id = |id: &String| PaperId::parse(id).map(|id| id.to_string()).map_err(invalid("ids"));
        let name = |name: &String| match author_query(name) {
            Ok(_) => Ok(name.clone()),
            Err(error) => Err(invalid("authors")(error)),
        };
        let day = |date: &Option<String>, field| {
            date.as_deref().map(parse_date).transpose().map_err(invalid(field))
        };
        let published = match published.as_ref().filter(|range| **range != DateRange::default()) {
            Some(DateRange { from, to }) => Some((
                day(from, "published.from")?.map(|days| days.first),
                day(to, "published.to")?.map(|days| days.last),
            )),
            None => None,
        };
        Ok(NormalizedFilter {
            ids: set("ids", ids, id)?,
            published,
            categories: set("categories", categories, label)?,
            venues: set("venues", venues, label)?,
            sources: set("sources", sources, label)?,
            authors: set("authors", authors, name)?,
        })
    }

    /// An SQL query for each condition.
    fn queries(&self) -> Result<Vec<SqlQuery>> {
        let NormalizedFilter { ids, published, categories, venues, sources, authors } = self.normalized()?;
        let mut queries = Vec::new();
        if let Some(ids) = ids {
            queries.push((BY_ID, vec![Some(json(ids))]));
        }
        if let Some((from, to)) = published {
            queries.push((BY_DATE, vec![from, to]));
        }
        let labels = [
            (BY_CATEGORY, LabelKind::Category, categories),
            (BY_LABEL, LabelKind::Venue, venues),
            (BY_LABEL, LabelKind::Source, sources),
        ];
        for (sql, kind, labels) in labels {
            queries.extend(labels.map(|labels| (sql, vec![Some(json(labels)), Some(kind.name().into())])));
        }
        if let Some(authors) = authors {
            let names = authors.iter().map(|name| author_query(name).map_err(invalid("authors")));
            queries.push((BY_AUTHOR, vec![Some(json(names.collect::<Result<_>>()?))]));
        }
        Ok(queries)
    }
}

/// The conditions of a filter, normalised for comparison with papers. A field is `None` if there is no such condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedFilter {
    /// Ids, normalised.
    pub ids: Option<BTreeSet<String>>,
    /// First and last day of the range, `YYYY-MM-DD`. A limit is `None` if the range has no limit there.
    pub published: Option<(Option<String>, Option<String>)>,
    /// Categories, in lower case.
    pub categories: Option<BTreeSet<String>>,
    /// Conferences and journals, in lower case.
    pub venues: Option<BTreeSet<String>>,
    /// Sources, in lower case.
    pub sources: Option<BTreeSet<String>>,
    /// Names of authors, unchanged.
    pub authors: Option<BTreeSet<String>>,
}

/// The distinct normalised values of a list. Each value costs a look-up, so duplicates are removed.
fn set(
    field: &str,
    list: &Option<Vec<String>>,
    value: impl Fn(&String) -> Result<String>,
) -> Result<Option<BTreeSet<String>>> {
    let Some(list) = list else { return Ok(None) };
    if list.len() > MAX_VALUES {
        return Err(invalid(field)(format!("must have at most {MAX_VALUES} values (got {})", list.len())));
    }
    list.iter().map(value).collect::<Result<_>>().map(Some)
}

fn json(values: BTreeSet<String>) -> String {
    serde_json::Value::from_iter(values).to_string()
}

/// Adds the field's name to an error message.
fn invalid(field: &str) -> impl Fn(String) -> Error {
    move |message| Error::Invalid(format!("filter.{field}: {message}"))
}

impl Catalog {
    /// The papers that pass `filter`.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if a date, an id or a name is invalid, a list is too long, or the filter takes too
    /// much time.
    pub fn matching(&self, filter: &Filter) -> Result<PaperSet> {
        self.matching_within(filter, MAX_DURATION)
    }

    fn matching_within(&self, filter: &Filter, max_duration: Duration) -> Result<PaperSet> {
        let queries = filter.queries()?;
        let (mut connection, started) = (self.lock(), Instant::now());
        connection
            .progress_handler(INSTRUCTIONS_PER_CHECK, Some(move || started.elapsed() > max_duration))?;
        let papers = passing(&connection, queries).and_then(|passing| {
            Ok(if filter.withdrawn { passing } else { passing.difference(&withdrawn(&connection)?) })
        });
        connection.progress_handler(0, None::<fn() -> bool>)?;
        papers.map_err(|error| match error {
            Error::Catalog(cause) if cause.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Error::Invalid(format!(
                    "filter: the evaluation took longer than {} s; use fewer values",
                    MAX_DURATION.as_secs()
                ))
            }
            other => other,
        })
    }
}

/// The withdrawn papers.
pub fn withdrawn(connection: &Connection) -> rusqlite::Result<PaperSet> {
    let mut all = connection.prepare_cached("SELECT number FROM papers WHERE withdrawn <> 0")?;
    all.query_map([], |row| row.get(0))?.collect()
}

/// The papers that are in the results of all queries. All papers if there are no queries.
fn passing(connection: &Connection, queries: Vec<SqlQuery>) -> Result<PaperSet> {
    let run = |(sql, values): SqlQuery| -> Result<PaperSet> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<PaperSet>>()?)
    };
    let mut results = queries.into_iter().map(run);
    let first = results.next().unwrap_or_else(|| run(("SELECT number FROM papers", Vec::new())))?;
    results.try_fold(first, |passing, result| Ok(passing.intersection(&result?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_papers::Paper;
    use proptest::prelude::*;

    const CATEGORIES: [&str; 4] = ["cs.LG", "cs", "csx", "Ünïcode Theory"];
    const VENUES: [&str; 2] = ["ICLR", "Österreich 2020"];
    const AUTHORS: [&str; 6] =
        ["Yann LeCun", "Zoë A. Li", "Li Wei", "Jean-Luc Ångström", "李飞飞", "Łukasz Søren-Strauß"];
    const DATES: [&str; 3] = ["2020", "2021-06", "2021-06-15"];

    /// A paper whose fields are chosen by `bits`.
    fn paper(number: usize, bits: u32) -> Paper {
        let some = |list: &[&str], shift: u32| {
            let is_set = |(index, _): &(usize, &&str)| bits >> (shift + *index as u32) & 1 == 1;
            list.iter().enumerate().filter(is_set).map(|(_, text)| text.to_string()).collect::<Vec<_>>()
        };
        Paper {
            id: PaperId::parse(&format!("p{number}")).unwrap(),
            title: format!("T {number}"),
            r#abstract: "A.".into(),
            categories: some(&CATEGORIES, 0),
            authors: some(&AUTHORS, 4),
            venue: some(&VENUES, 10).pop(),
            source: some(&["arxiv", "Lab Notes"], 12).pop(),
            published: some(&DATES, 14).pop(),
            ..Paper::default()
        }
    }

    /// A filter with one condition, and a Rust function that checks the same condition.
    type TestedFilter = (Filter, fn(&Paper) -> bool);

    fn filters() -> Vec<TestedFilter> {
        let list = |texts: &[&str]| Some(texts.iter().map(|text| text.to_string()).collect());
        let range = |from: Option<&str>, to: Option<&str>| {
            Some(DateRange { from: from.map(Into::into), to: to.map(Into::into) })
        };
        fn is(paper: &Option<String>, one: &str) -> bool {
            paper.as_deref() == Some(one)
        }
        fn by(paper: &Paper, one: &str) -> bool {
            paper.authors.iter().any(|author| author == one)
        }
        fn of(paper: &Paper, one: &str) -> bool {
            paper.categories.iter().any(|category| category == one)
        }
        let none = Filter::default;
        vec![
            (none(), |_| true),
            (Filter { ids: list(&["p1", "p3", "p4", "nobody"]), ..none() }, |paper| {
                ["p1", "p3", "p4"].contains(&paper.id.as_str())
            }),
            (Filter { ids: list(&[]), ..none() }, |_| false),
            (Filter { categories: list(&["CS"]), ..none() }, |paper| of(paper, "cs.LG") || of(paper, "cs")),
            (Filter { categories: list(&["csx", "ünïcode theory"]), ..none() }, |paper| {
                of(paper, "csx") || of(paper, "Ünïcode Theory")
            }),
            (Filter { venues: list(&["österreich 2020"]), ..none() }, |paper| {
                is(&paper.venue, "Österreich 2020")
            }),
            (Filter { venues: list(&[" iclr ", "ICML"]), ..none() }, |paper| is(&paper.venue, "ICLR")),
            (Filter { sources: list(&["ARXIV", "lab notes"]), ..none() }, |paper| paper.source.is_some()),
            (Filter { authors: list(&["lecun, YANN"]), ..none() }, |paper| by(paper, "Yann LeCun")),
            (Filter { authors: list(&["LeCun Zoe"]), ..none() }, |_| false),
            (Filter { authors: list(&["li"]), ..none() }, |paper| {
                by(paper, "Zoë A. Li") || by(paper, "Li Wei")
            }),
            (Filter { authors: list(&["Zoe Li", "李飞飞"]), ..none() }, |paper| {
                by(paper, "Zoë A. Li") || by(paper, "李飞飞")
            }),
            (Filter { authors: list(&["Angstrom Jean-Luc"]), ..none() }, |paper| {
                by(paper, "Jean-Luc Ångström")
            }),
            (Filter { authors: list(&["lukasz soren STRAUSS", "Łukasz Søren"]), ..none() }, |paper| {
                by(paper, "Łukasz Søren-Strauß")
            }),
            (Filter { published: range(None, None), ..none() }, |_| true),
            (Filter { published: range(Some("2021"), None), ..none() }, |paper| {
                is(&paper.published, "2021-06") || is(&paper.published, "2021-06-15")
            }),
            (Filter { published: range(None, Some("2021-06-14")), ..none() }, |paper| {
                is(&paper.published, "2020") || is(&paper.published, "2021-06")
            }),
        ]
    }

    /// A filter with the conditions of `a` and of `b`.
    fn and(a: &Filter, b: &Filter) -> Filter {
        let (a, b) = (a.clone(), b.clone());
        Filter {
            ids: a.ids.or(b.ids),
            published: a.published.or(b.published),
            categories: a.categories.or(b.categories),
            venues: a.venues.or(b.venues),
            authors: a.authors.or(b.authors),
            sources: a.sources.or(b.sources),
            withdrawn: a.withdrawn || b.withdrawn,
        }
    }

    /// Whether the conditions of two filters are on different fields, so that they can be combined.
    fn have_different_fields(a: &Filter, b: &Filter) -> bool {
        let parts = |filter: &Filter| {
            let lists = [&filter.ids, &filter.categories, &filter.venues, &filter.authors, &filter.sources];
            let mut parts: Vec<bool> = lists.iter().map(|list| list.is_some()).collect();
            parts.push(filter.published.is_some());
            parts
        };
        parts(a).iter().zip(parts(b)).all(|(a, b)| !(*a && b))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn filters_select_the_papers_that_meet_all_conditions(bits in proptest::collection::vec(any::<u32>(), 0..40)) {
            let folder = tempfile::tempdir().unwrap();
            let catalog = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
            // The papers are written with other labels first. The second write must remove these labels.
            let papers = |shift: u32| -> Vec<Paper> {
                bits.iter().enumerate().map(|(number, bits)| paper(number, bits.rotate_left(shift))).collect()
            };
            let before = papers(7).into_iter().zip(papers(0));
            let before = before.map(|(before, paper)| Paper { source: paper.source, ..before });
            catalog.upsert(&before.collect::<Vec<_>>()).unwrap();
            catalog.upsert(&papers(0)).unwrap();
            let filters = filters();
            for (one, passes_one) in &filters {
                for (other, passes_other) in filters.iter().filter(|(other, _)| have_different_fields(one, other)) {
                    let found: Vec<_> = catalog.matching(&and(one, other)).unwrap().iter().collect();
                    let mut found: Vec<Paper> = catalog.get(&found).unwrap().into_iter().map(|(_, paper)| paper).collect();
                    let mut expected = papers(0);
                    expected.retain(|paper| passes_one(paper) && passes_other(paper));
                    for list in [&mut found, &mut expected] {
                        list.sort_by(|a, b| a.id.cmp(&b.id));
                    }
                    prop_assert_eq!(found, expected, "{:?} and {:?}", one, other);
                }
            }
        }
    }

    proptest! {
        #[test]
        // The names have only letters of Unicode 6.1, because SQLite does not know newer letters.
        fn every_author_name_finds_its_paper(
            names in proptest::collection::vec("[a-zA-Z0-9À-ÖØ-öø-ɏΑ-ΡΣ-ωА-я一-龥가-힣ぁ-ん .'’,-]{1,20}", 1..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let catalog = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
            catalog.upsert(&[Paper { authors: names.clone(), ..paper(0, 0) }]).unwrap();
            for name in names {
                let by = Filter { authors: Some(vec![name.clone()]), ..Filter::default() };
                let found = catalog.matching(&by).map(|found| found.iter().count());
                let has_words = name.chars().any(char::is_alphanumeric);
                prop_assert!(if has_words { matches!(found, Ok(1)) } else { found.is_err() }, "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn author_filters_accept_many_names_and_any_characters() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
        catalog.upsert(&[paper(0, 1 << 4)]).unwrap();
        let by = |names: Vec<String>| {
            catalog
                .matching(&Filter { authors: Some(names), ..Filter::default() })
                .map(|found| found.iter().count())
        };
        let many = (0..3000).map(|number| format!("Nobody {number}")).chain(["LeCun".into()]);
        assert_eq!(by(many.collect()).unwrap(), 1);
        let many: Vec<String> = (0..3000).map(|number| format!("{number} LeCun")).collect();
        let filter = Filter { authors: Some(many), ..Filter::default() };
        let slow = catalog.matching_within(&filter, Duration::ZERO).unwrap_err().to_string();
        assert!(slow.contains("filter: the evaluation took longer than"), "{slow}");
        assert_eq!(
            catalog.matching(&filter).unwrap().iter().count(),
            0,
            "the next filter has its own time limit"
        );
        let too_many = by(vec!["a".into(); MAX_VALUES + 1]).unwrap_err().to_string();
        assert!(
            too_many.contains("filter.authors: must have at most 10000 values (got 10001)"),
            "{too_many}"
        );
        for hostile in ["\"", "a\" OR names:b", "NEAR(", "*", "LeCun\" NOT \"Yann", "\0", "a AND b", "^LeCun"]
        {
            let found = by(vec![hostile.into()]);
            let is_correct = hostile == "^LeCun" || found.as_ref().is_ok_and(|found| *found == 0);
            assert!(is_correct || matches!(found, Err(Error::Invalid(_))), "{hostile}: {found:?}");
        }
    }
}
