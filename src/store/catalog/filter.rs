//! Which papers may be answers, and which they are.
//!
//! Its own file because it is a filter's shape in requests, and the SQL that it becomes: a query for every part of
//! it, each answered from an index alone, and the papers that are in all of the answers.

use super::labels::{Kind, author_query};
use super::{Catalog, Numbers};
use crate::error::{Error, Result};
use crate::json::object_or_null;
use likewise_papers::paper::{PaperId, collapse_whitespace, parse_date};
use rusqlite::{Connection, ErrorCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Which papers may be answers: those that pass every part that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only these papers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Only papers published in this range.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object_or_null")]
    pub published: Option<DateRange>,
    /// Only papers with one of these categories; `cs` also means every `cs.…`; case is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// Only papers of one of these conferences or journals; case is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venues: Option<Vec<String>>,
    /// Only papers by one of these authors: every word of a name, in any order, with at most one other between them;
    /// case and accents are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authors: Option<Vec<String>>,
    /// Only papers from one of these dumps; case is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// Papers that were taken back, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// Most values in a list.
const MOST: usize = 10_000;

/// Longest that a filter may take: others wait for it. The largest honest ones take half a second among millions.
const LONGEST: Duration = Duration::from_secs(2);

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 200;

/// Days from `from` to `to`, both included and both optional; `2021` means its whole year.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DateRange {
    /// First day.
    pub from: Option<String>,
    /// Last day.
    pub to: Option<String>,
}

// CROSS JOIN: what is wanted is gone through, and each looked up, in this order and no other.
const BY_ID: &str = "SELECT number FROM json_each(?1) AS wanted CROSS JOIN papers ON papers.id = wanted.value \
                     UNION ALL SELECT number FROM json_each(?1) AS wanted CROSS JOIN names ON names.name = wanted.value";

/// A paper without a date has neither end, and is in no range.
const BY_DATE: &str = "SELECT number FROM papers \
                       WHERE published_first <= coalesce(?2, '9999-99') AND published_last >= coalesce(?1, '')";

/// `/` is the character after `.`: the range holds every name that starts with `archive.`.
const BY_CATEGORY: &str = "SELECT number FROM json_each(?1) AS wanted \
                           CROSS JOIN labels ON kind = ?2 AND label = wanted.value \
                           UNION ALL SELECT number FROM json_each(?1) AS wanted \
                           CROSS JOIN labels ON kind = ?2 AND label > wanted.value || '.' AND label < wanted.value || '/'";

const BY_LABEL: &str =
    "SELECT number FROM json_each(?1) AS wanted CROSS JOIN labels ON kind = ?2 AND label = wanted.value";

const BY_AUTHOR: &str =
    "SELECT authors.rowid FROM json_each(?1) AS wanted CROSS JOIN authors ON authors MATCH wanted.value";

/// A query, and its values.
type Part = (&'static str, Vec<Option<String>>);

impl Filter {
    /// Whether every paper passes, but for those that were taken back.
    pub fn is_empty(&self) -> bool {
        Filter { withdrawn: false, ..self.clone() } == Filter::default()
    }

    /// What it says, part by part, as it is compared with papers.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a date, an id or a name in it cannot be read.
    pub fn parts(&self) -> Result<Parts> {
        let Filter { ids, published, categories, venues, authors, sources, withdrawn: _ } = self;
        let label = |label: &String| Ok(collapse_whitespace(label).to_lowercase());
        let id = |id: &String| PaperId::parse(id).map(|id| id.to_string()).map_err(wrong("ids"));
        let name = |name: &String| match author_query(name) {
            Ok(_) => Ok(name.clone()),
            Err(error) => Err(wrong("authors")(error)),
        };
        let day =
            |date: &Option<String>, field| date.as_deref().map(parse_date).transpose().map_err(wrong(field));
        let published = match published.as_ref().filter(|range| **range != DateRange::default()) {
            Some(DateRange { from, to }) => Some((
                day(from, "published.from")?.map(|days| days.first),
                day(to, "published.to")?.map(|days| days.last),
            )),
            None => None,
        };
        Ok(Parts {
            ids: set("ids", ids, id)?,
            published,
            categories: set("categories", categories, label)?,
            venues: set("venues", venues, label)?,
            sources: set("sources", sources, label)?,
            authors: set("authors", authors, name)?,
        })
    }

    /// A query for every part.
    fn queries(&self) -> Result<Vec<Part>> {
        let Parts { ids, published, categories, venues, sources, authors } = self.parts()?;
        let mut queries = Vec::new();
        if let Some(ids) = ids {
            queries.push((BY_ID, vec![Some(json(ids))]));
        }
        if let Some((from, to)) = published {
            queries.push((BY_DATE, vec![from, to]));
        }
        let labels = [
            (BY_CATEGORY, Kind::Category, categories),
            (BY_LABEL, Kind::Venue, venues),
            (BY_LABEL, Kind::Source, sources),
        ];
        for (sql, kind, labels) in labels {
            queries.extend(labels.map(|labels| (sql, vec![Some(json(labels)), Some(kind.name().into())])));
        }
        if let Some(authors) = authors {
            let names = authors.iter().map(|name| author_query(name).map_err(wrong("authors")));
            queries.push((BY_AUTHOR, vec![Some(json(names.collect::<Result<_>>()?))]));
        }
        Ok(queries)
    }
}

/// What a filter says, as it is compared with papers; `None` for what it says nothing of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Ids, normalised.
    pub ids: Option<BTreeSet<String>>,
    /// First and last day, `YYYY-MM-DD`.
    pub published: Option<(Option<String>, Option<String>)>,
    /// Categories, in lower case.
    pub categories: Option<BTreeSet<String>>,
    /// Conferences and journals, in lower case.
    pub venues: Option<BTreeSet<String>>,
    /// Dumps, in lower case.
    pub sources: Option<BTreeSet<String>>,
    /// Names of authors, as they were written.
    pub authors: Option<BTreeSet<String>>,
}

/// A list of a filter, each value once: every one takes a look, and what it finds takes time.
fn set(
    field: &str,
    list: &Option<Vec<String>>,
    value: impl Fn(&String) -> Result<String>,
) -> Result<Option<BTreeSet<String>>> {
    let Some(list) = list else { return Ok(None) };
    if list.len() > MOST {
        return Err(wrong(field)(format!("got {} values, wanted at most {MOST}", list.len())));
    }
    list.iter().map(value).collect::<Result<_>>().map(Some)
}

fn json(values: BTreeSet<String>) -> String {
    serde_json::Value::from_iter(values).to_string()
}

fn wrong(field: &str) -> impl Fn(String) -> Error {
    move |wrong| Error::Invalid(format!("filter.{field}: {wrong}"))
}

impl Catalog {
    /// The papers that pass `filter`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a date, an id or a name in it cannot be read, or it takes too long.
    pub fn matching(&self, filter: &Filter) -> Result<Numbers> {
        self.matching_within(filter, LONGEST)
    }

    fn matching_within(&self, filter: &Filter, longest: Duration) -> Result<Numbers> {
        let queries = filter.queries()?;
        let (mut connection, started) = (self.lock(), Instant::now());
        connection.progress_handler(STEPS, Some(move || started.elapsed() > longest))?;
        let numbers = passing(&connection, queries).and_then(|passing| {
            Ok(if filter.withdrawn { passing } else { passing.without(&withdrawn(&connection)?) })
        });
        connection.progress_handler(0, None::<fn() -> bool>)?;
        numbers.map_err(|error| match error {
            Error::Catalog(cause) if cause.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Error::Invalid(format!(
                    "filter: it takes longer than {} s; name less in it",
                    LONGEST.as_secs()
                ))
            }
            other => other,
        })
    }
}

/// The papers that were taken back.
pub fn withdrawn(connection: &Connection) -> rusqlite::Result<Numbers> {
    let mut all = connection.prepare_cached("SELECT number FROM papers WHERE withdrawn <> 0")?;
    all.query_map([], |row| row.get(0))?.collect()
}

/// The papers that are in the answers to all queries.
fn passing(connection: &Connection, queries: Vec<Part>) -> Result<Numbers> {
    let numbers = |(sql, values): Part| -> Result<Numbers> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<Numbers>>()?)
    };
    let mut parts = queries.into_iter().map(numbers);
    let first = parts.next().unwrap_or_else(|| numbers(("SELECT number FROM papers", Vec::new())))?;
    parts.try_fold(first, |all, part| Ok(all.and(&part?)))
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

    /// A paper, by what its bits say.
    fn paper(number: usize, bits: u32) -> Paper {
        let some = |list: &[&str], shift: u32| {
            let is_in = |(place, _): &(usize, &&str)| bits >> (shift + *place as u32) & 1 == 1;
            list.iter().enumerate().filter(is_in).map(|(_, text)| text.to_string()).collect::<Vec<_>>()
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

    /// One part of a filter, and the obvious test of it.
    type TestedPart = (Filter, fn(&Paper) -> bool);

    fn parts() -> Vec<TestedPart> {
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

    /// Both.
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

    /// Whether they are about different things, so that both can be asked for.
    fn are_apart(a: &Filter, b: &Filter) -> bool {
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
        fn a_filter_leaves_what_the_obvious_test_leaves(bits in proptest::collection::vec(any::<u32>(), 0..40)) {
            let folder = tempfile::tempdir().unwrap();
            let catalog = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
            // Written once with other labels, which must be gone.
            let papers = |turn: u32| -> Vec<Paper> {
                bits.iter().enumerate().map(|(number, bits)| paper(number, bits.rotate_left(turn))).collect()
            };
            let before = papers(7).into_iter().zip(papers(0));
            let before = before.map(|(before, paper)| Paper { source: paper.source, ..before });
            catalog.upsert(&before.collect::<Vec<_>>()).unwrap();
            catalog.upsert(&papers(0)).unwrap();
            let parts = parts();
            for (one, passes_one) in &parts {
                for (other, passes_other) in parts.iter().filter(|(other, _)| are_apart(one, other)) {
                    let found: Vec<_> = catalog.matching(&and(one, other)).unwrap().iter().collect();
                    let mut found: Vec<Paper> = catalog.get(&found).unwrap().into_iter().map(|(_, paper)| paper).collect();
                    let mut wanted = papers(0);
                    wanted.retain(|paper| passes_one(paper) && passes_other(paper));
                    for list in [&mut found, &mut wanted] {
                        list.sort_by(|a, b| a.id.cmp(&b.id));
                    }
                    prop_assert_eq!(found, wanted, "{:?} and {:?}", one, other);
                }
            }
        }
    }

    proptest! {
        #[test]
        // Letters that have been letters for long: SQLite knows those of Unicode 6.1.
        fn every_name_finds_its_paper(
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
    fn many_names_can_be_asked_for_and_no_name_is_none() {
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
        assert!(slow.contains("filter: it takes longer than"), "{slow}");
        assert_eq!(catalog.matching(&filter).unwrap().iter().count(), 0, "the next one has its own time");
        let too_many = by(vec!["a".into(); MOST + 1]).unwrap_err().to_string();
        assert!(too_many.contains("filter.authors: got 10001 values, wanted at most 10000"), "{too_many}");
        for hostile in ["\"", "a\" OR names:b", "NEAR(", "*", "LeCun\" NOT \"Yann", "\0", "a AND b", "^LeCun"]
        {
            let found = by(vec![hostile.into()]);
            let is_right = hostile == "^LeCun" || found.as_ref().is_ok_and(|found| *found == 0);
            assert!(is_right || matches!(found, Err(Error::Invalid(_))), "{hostile}: {found:?}");
        }
    }
}
