//! Lists papers by date, newest first, in pages.
//!
//! A page starts at a cursor, which names the last paper of the previous page instead of counting papers. Papers that
//! are added or deleted meanwhile therefore do not shift other papers from one page to another.

use super::{Catalog, Filter, PaperNumber, PaperSet};
use crate::error::{Error, Result};
use likewise_papers::Paper;
use rusqlite::{Connection, params};
use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// If at most this many papers pass a filter, they are looked up one by one. Otherwise all papers are scanned in the
/// order of their dates until a page is full.
const MAX_LOOKUPS: usize = 5000;

const BY_DATE: &str = "SELECT published_first, published_last, number FROM papers \
                       WHERE (published_first, published_last, number) < (?1, ?2, ?3) \
                       ORDER BY published_first DESC, published_last DESC, number DESC";

const WITHOUT_DATE: &str = "SELECT published_first, published_last, number FROM papers \
                            WHERE published_first IS NULL AND published_last IS NULL AND number < ?1 \
                            ORDER BY number DESC";

const WITHIN: &str = "SELECT number FROM papers WHERE published_first >= ?1 AND published_first <= ?2 \
                      AND published_last <= ?2 AND withdrawn = 0 \
                      ORDER BY published_first DESC, published_last DESC, number DESC LIMIT ?4 OFFSET ?3";

const DAY_BEFORE: &str = "SELECT published_first FROM papers \
                          WHERE published_first < ?1 AND published_last = published_first AND withdrawn = 0 \
                          ORDER BY published_first DESC, published_last DESC LIMIT 1";

const DAY_AFTER: &str = "SELECT published_first FROM papers \
                         WHERE published_first > ?1 AND published_last = published_first AND withdrawn = 0 \
                         ORDER BY published_first, published_last LIMIT 1";

/// A text that sorts after every date.
const END_OF_DATES: &str = "~";

/// A position in the list: directly after the paper with these days and this number. Papers of the same date are listed
/// by number in descending order, and papers without a date come last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// First and last possible day of publication. `None`: no date.
    days: Option<(String, String)>,
    number: PaperNumber,
}

impl Cursor {
    /// The position after the paper with these days of publication and this number. `days` is `None` if the paper has
    /// no date.
    pub fn after(days: Option<(String, String)>, number: PaperNumber) -> Cursor {
        Cursor { days, number }
    }

    /// The first and last possible day of publication (`YYYY-MM-DD`) and the number of the paper before this position.
    pub fn parts(&self) -> (Option<(&str, &str)>, PaperNumber) {
        (self.days.as_ref().map(|(first, last)| (&**first, &**last)), self.number)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.days.as_ref().map_or(("", ""), |(first, last)| (first, last));
        write!(f, "{first}_{last}_{}", self.number)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cursor> {
        let invalid = || {
            Error::Invalid(format!(
                "cursor must be the value of \"next\" in the previous response, unchanged (got {text:?})"
            ))
        };
        let is_day =
            |text: &&str| text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let parts: Vec<&str> = text.split('_').collect();
        let [first, last, number] = parts[..] else { return Err(invalid()) };
        let days = match (first, last) {
            ("", "") => None,
            days => Some(days)
                .filter(|(first, last)| is_day(first) && is_day(last))
                .map(Some)
                .ok_or_else(invalid)?,
        };
        let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(invalid)?;
        Ok(Cursor { days: days.map(|(first, last)| (first.into(), last.into())), number })
    }
}

/// A page of the list.
#[derive(Debug, Clone, Default)]
pub struct PaperPage {
    /// The papers of this page, newest first.
    pub papers: Vec<Paper>,
    /// The number of papers that pass the filter, on all pages.
    pub total: usize,
    /// The cursor of the next page. `None` if this is the last page.
    pub next: Option<Cursor>,
}

impl Catalog {
    /// The first `limit` papers that pass `filter` and come after a cursor, newest first.
    ///
    /// # Errors
    /// Returns the errors of [`Catalog::matching`].
    pub fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<PaperPage> {
        let passing = if filter.is_empty() { None } else { Some(self.matching(filter)?) };
        let (total, mut cursors) = match &passing {
            Some(passing) if passing.count() <= MAX_LOOKUPS => {
                (passing.count(), self.look_up(passing, after)?)
            }
            Some(passing) => {
                (passing.count(), self.scan_by_date(after, limit + 1, |number| passing.contains(number))?)
            }
            None if filter.withdrawn => (self.count()?, self.scan_by_date(after, limit + 1, |_| true)?),
            None => {
                let withdrawn = self.withdrawn()?;
                let cursors = self.scan_by_date(after, limit + 1, |number| !withdrawn.contains(number))?;
                (self.count()?.saturating_sub(withdrawn.count()), cursors)
            }
        };
        let has_more = cursors.len() > limit;
        cursors.truncate(limit);
        let numbers: Vec<PaperNumber> = cursors.iter().map(|cursor| cursor.number).collect();
        let papers = self.get(&numbers)?.into_iter().map(|(_, paper)| paper).collect();
        Ok(PaperPage { papers, total, next: cursors.pop().filter(|_| has_more) })
    }

    /// The papers that were certainly published in this range of days (first and last day, inclusive), newest first,
    /// except withdrawn papers. Skips the first `offset` papers, and returns at most `limit` papers.
    pub fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        let connection = self.reader();
        let mut find = connection.prepare_cached(WITHIN)?;
        let numbers =
            find.query_map(params![days.0, days.1, offset as i64, limit as i64], |row| row.get(0))?;
        let numbers = numbers.collect::<rusqlite::Result<Vec<PaperNumber>>>()?;
        drop(find);
        drop(connection);
        self.get(&numbers)
    }

    /// The nearest days before and after `day` on which a paper was published. `None` if there is no such day. Ignores
    /// withdrawn papers, and papers whose date is only a month or a year.
    pub fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        let connection = self.reader();
        let day_of = |sql: &str| -> Result<Option<String>> {
            let mut find = connection.prepare_cached(sql)?;
            let mut days = find.query_map([day], |row| row.get(0))?;
            Ok(days.next().transpose()?)
        };
        Ok((day_of(DAY_BEFORE)?, day_of(DAY_AFTER)?))
    }

    /// The cursors of the papers in `passing` that come after the cursor `after`, in the order of the list. For small
    /// sets.
    fn look_up(&self, passing: &PaperSet, after: Option<&Cursor>) -> Result<Vec<Cursor>> {
        let connection = self.reader();
        let mut find = connection
            .prepare_cached("SELECT published_first, published_last, number FROM papers WHERE number = ?1")?;
        let mut cursors = Vec::new();
        for number in passing.iter() {
            let found = find.query_map([number], cursor)?.collect::<rusqlite::Result<Vec<_>>>()?;
            cursors.extend(found.into_iter().filter(|cursor| after.is_none_or(|after| cursor < after)));
        }
        cursors.sort_by_key(|cursor| Reverse(cursor.clone()));
        Ok(cursors)
    }

    /// The cursors of the first `limit` papers that come after the cursor `after` and pass the filter, in the order of
    /// the list. Scans the index of dates.
    fn scan_by_date(
        &self,
        after: Option<&Cursor>,
        limit: usize,
        passes: impl Fn(PaperNumber) -> bool,
    ) -> Result<Vec<Cursor>> {
        let connection = self.reader();
        let mut cursors = Vec::new();
        let days = after.map_or(Some((END_OF_DATES, END_OF_DATES)), |after| {
            after.days.as_ref().map(|(first, last)| (&**first, &**last))
        });
        let number = after.map_or(PaperNumber::MAX, |after| after.number);
        if let Some((first, last)) = days {
            collect(&connection, BY_DATE, params![first, last, number], limit, &passes, &mut cursors)?;
        }
        let number = if days.is_some() { PaperNumber::MAX } else { number };
        collect(&connection, WITHOUT_DATE, params![number], limit, &passes, &mut cursors)?;
        Ok(cursors)
    }
}

/// Appends the cursors of the papers that the query returns and that pass the filter, until there are `limit` cursors.
fn collect(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    limit: usize,
    passes: &impl Fn(PaperNumber) -> bool,
    cursors: &mut Vec<Cursor>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    while cursors.len() < limit
        && let Some(row) = rows.next()?
    {
        if passes(row.get(2)?) {
            cursors.push(cursor(row)?);
        }
    }
    Ok(())
}

fn cursor(row: &rusqlite::Row) -> rusqlite::Result<Cursor> {
    let (first, last): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
    Ok(Cursor { days: first.zip(last), number: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_papers::PaperId;
    use proptest::prelude::*;

    fn catalog(dates: &[Option<&str>]) -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let papers: Vec<Paper> = dates
            .iter()
            .enumerate()
            .map(|(number, date)| Paper {
                id: PaperId::parse(&format!("p{number}")).unwrap(),
                title: format!("T {number}"),
                r#abstract: "A.".into(),
                published: date.map(Into::into),
                categories: vec![if number % 2 == 0 { "even" } else { "odd" }.into()],
                withdrawn: number % 7 == 6,
                ..Paper::default()
            })
            .collect();
        Catalog::create(&path).unwrap().upsert(&papers).unwrap();
        (folder, Catalog::open(&path).unwrap())
    }

    fn pages(catalog: &Catalog, filter: &Filter, limit: usize) -> Vec<String> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = catalog.list(filter, after.as_ref(), limit).unwrap();
            assert!(page.papers.len() <= limit);
            ids.extend(page.papers.iter().map(|paper| paper.id.to_string()));
            let Some(next) = page.next else {
                assert_eq!(ids.len(), page.total);
                return ids;
            };
            after = Some(next.to_string().parse().unwrap());
            assert_eq!(after, Some(next));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn pages_list_every_paper_once_in_order(
            chosen in proptest::collection::vec(0_usize..5, 1..30),
            limit in 1_usize..8,
        ) {
            const DATES: [Option<&str>; 5] = [None, Some("2020"), Some("2020-06"), Some("2020-06-01"), Some("1999-12-31")];
            let dates: Vec<_> = chosen.iter().map(|choice| DATES[*choice]).collect();
            let (_folder, catalog) = catalog(&dates);
            for (filter, passes) in [
                (Filter::default(), (|number| number % 7 != 6) as fn(usize) -> bool),
                (Filter { withdrawn: true, ..Filter::default() }, |_| true),
                (Filter { categories: Some(vec!["odd".into()]), ..Filter::default() }, |number| number % 2 == 1 && number % 7 != 6),
            ] {
                let days = |date: Option<&str>| date.map(|date| likewise_papers::paper::parse_date(date).unwrap()).map(|range| (range.first, range.last));
                let mut expected: Vec<usize> = (0..dates.len()).filter(|number| passes(*number)).collect();
                expected.sort_by_key(|number| Reverse((days(dates[*number]), *number)));
                let expected: Vec<String> = expected.iter().map(|number| format!("p{number}")).collect();
                prop_assert_eq!(&pages(&catalog, &filter, limit), &expected);
                let scanned = catalog.scan_by_date(None, 100, |number| passes(number as usize - 1)).unwrap();
                let scanned: Vec<String> = scanned.iter().map(|cursor| format!("p{}", cursor.number - 1)).collect();
                prop_assert_eq!(&scanned, &expected);
            }
        }
    }

    #[test]
    fn days_around_returns_days_on_which_papers_were_published() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
        let dates = ["2020", "2021-06-03", "2021-06-05", "2021-06", "2021-06-09", "2021-06-07"];
        let paper = |(number, date): (usize, &&str)| Paper {
            id: PaperId::parse(&format!("p{number}")).unwrap(),
            title: format!("T {number}"),
            r#abstract: "A.".into(),
            published: Some(date.to_string()),
            withdrawn: number == 5,
            ..Paper::default()
        };
        catalog.upsert(&dates.iter().enumerate().map(paper).collect::<Vec<_>>()).unwrap();
        let around = |day: &str| catalog.days_around(day).unwrap();
        let day = |day: &str| Some(day.to_string());
        assert_eq!(around("2021-06-05"), (day("2021-06-03"), day("2021-06-09")));
        assert_eq!(around("2021-06-03"), (None, day("2021-06-05")));
        assert_eq!(around("9999-12-31"), (day("2021-06-09"), None));
        let within = catalog.published_within(("2021-06-01", "2021-06-05"), 0, 9).unwrap();
        assert_eq!(within.iter().map(|(_, paper)| paper.id.as_str()).collect::<Vec<_>>(), ["p2", "p1"]);
    }

    #[test]
    fn invalid_cursors_are_refused() {
        for invalid in [
            "",
            "x",
            "__",
            "2020-01-01__3",
            "2020-01-01_2020-01-01_0",
            "2020-01-01_2020-01-01_-4",
            "_____",
            "a_b_1",
        ] {
            assert!(invalid.parse::<Cursor>().unwrap_err().to_string().contains("cursor"), "{invalid}");
        }
    }
}
