//! Papers by date, the newest first, a page at a time.
//!
//! Its own file because a page ends at a place in this order, not at a count: papers that come or go meanwhile move
//! nothing from one page to another.

use super::{Catalog, Filter, Numbers, PaperNumber};
use crate::error::{Error, Result};
use likewise_papers::Paper;
use rusqlite::{Connection, params};
use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// So few papers are looked up one by one; of more, the whole order is gone through until a page is full.
const FEW: usize = 5000;

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

/// After every date.
const END_OF_DATES: &str = "~";

/// A place in the order: after the paper that has these days and this number. Of equally new papers, the one that came
/// later is before; those without a date are the last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// First and last day of publication.
    days: Option<(String, String)>,
    number: PaperNumber,
}

impl Place {
    /// After a paper of these days, or without any, and this number.
    pub fn after(days: Option<(String, String)>, number: PaperNumber) -> Place {
        Place { days, number }
    }

    /// First and last day, `YYYY-MM-DD`, and number.
    pub fn parts(&self) -> (Option<(&str, &str)>, PaperNumber) {
        (self.days.as_ref().map(|(first, last)| (&**first, &**last)), self.number)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.days.as_ref().map_or(("", ""), |(first, last)| (first, last));
        write!(f, "{first}_{last}_{}", self.number)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Place> {
        let wrong = || {
            Error::Invalid(format!(
                "cursor: got {text:?}, wanted the \"next\" of the answer before, as it was"
            ))
        };
        let is_day =
            |text: &&str| text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let parts: Vec<&str> = text.split('_').collect();
        let [first, last, number] = parts[..] else { return Err(wrong()) };
        let days = match (first, last) {
            ("", "") => None,
            days => Some(days)
                .filter(|(first, last)| is_day(first) && is_day(last))
                .map(Some)
                .ok_or_else(wrong)?,
        };
        let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
        Ok(Place { days: days.map(|(first, last)| (first.into(), last.into())), number })
    }
}

/// A page.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Newest first.
    pub papers: Vec<Paper>,
    /// Papers that pass the filter, on all pages.
    pub total: usize,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<Place>,
}

impl Catalog {
    /// The newest papers that pass `filter` and come after a place, at most so many.
    ///
    /// # Errors
    /// As [`Catalog::matching`].
    pub fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed> {
        let passing = if filter.is_empty() { None } else { Some(self.matching(filter)?) };
        let (total, mut places) = match &passing {
            Some(passing) if passing.count() <= FEW => (passing.count(), self.look_up(passing, after)?),
            Some(passing) => {
                (passing.count(), self.walk(after, limit + 1, |number| passing.contains(number))?)
            }
            None if filter.withdrawn => (self.count()?, self.walk(after, limit + 1, |_| true)?),
            None => {
                let withdrawn = self.withdrawn()?;
                let places = self.walk(after, limit + 1, |number| !withdrawn.contains(number))?;
                (self.count()?.saturating_sub(withdrawn.count()), places)
            }
        };
        let is_more = places.len() > limit;
        places.truncate(limit);
        let numbers: Vec<PaperNumber> = places.iter().map(|place| place.number).collect();
        let papers = self.get(&numbers)?.into_iter().map(|(_, paper)| paper).collect();
        Ok(Listed { papers, total, next: places.pop().filter(|_| is_more) })
    }

    /// The papers whose day of publication is known to be one of these, newest first, with so many passed over.
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

    /// The last day before a day, and the first after it, that a paper is known to be of.
    pub fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        let connection = self.reader();
        let day_of = |sql: &str| -> Result<Option<String>> {
            let mut find = connection.prepare_cached(sql)?;
            let mut days = find.query_map([day], |row| row.get(0))?;
            Ok(days.next().transpose()?)
        };
        Ok((day_of(DAY_BEFORE)?, day_of(DAY_AFTER)?))
    }

    /// Of few papers, those after a place, in order.
    fn look_up(&self, passing: &Numbers, after: Option<&Place>) -> Result<Vec<Place>> {
        let connection = self.reader();
        let mut find = connection
            .prepare_cached("SELECT published_first, published_last, number FROM papers WHERE number = ?1")?;
        let mut places = Vec::new();
        for number in passing.iter() {
            let found = find.query_map([number], place)?.collect::<rusqlite::Result<Vec<_>>>()?;
            places.extend(found.into_iter().filter(|place| after.is_none_or(|after| place < after)));
        }
        places.sort_by_key(|place| Reverse(place.clone()));
        Ok(places)
    }

    /// The first places after one whose papers are wanted.
    fn walk(
        &self,
        after: Option<&Place>,
        limit: usize,
        is_wanted: impl Fn(PaperNumber) -> bool,
    ) -> Result<Vec<Place>> {
        let connection = self.reader();
        let mut places = Vec::new();
        let days = after.map_or(Some((END_OF_DATES, END_OF_DATES)), |after| {
            after.days.as_ref().map(|(first, last)| (&**first, &**last))
        });
        let number = after.map_or(PaperNumber::MAX, |after| after.number);
        if let Some((first, last)) = days {
            take(&connection, BY_DATE, params![first, last, number], limit, &is_wanted, &mut places)?;
        }
        let number = if days.is_some() { PaperNumber::MAX } else { number };
        take(&connection, WITHOUT_DATE, params![number], limit, &is_wanted, &mut places)?;
        Ok(places)
    }
}

fn take(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    limit: usize,
    is_wanted: &impl Fn(PaperNumber) -> bool,
    places: &mut Vec<Place>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    while places.len() < limit
        && let Some(row) = rows.next()?
    {
        if is_wanted(row.get(2)?) {
            places.push(place(row)?);
        }
    }
    Ok(())
}

fn place(row: &rusqlite::Row) -> rusqlite::Result<Place> {
    let (first, last): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
    Ok(Place { days: first.zip(last), number: row.get(2)? })
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
        fn pages_are_the_whole_order_each_paper_once(
            chosen in proptest::collection::vec(0_usize..5, 1..30),
            limit in 1_usize..8,
        ) {
            const DATES: [Option<&str>; 5] = [None, Some("2020"), Some("2020-06"), Some("2020-06-01"), Some("1999-12-31")];
            let dates: Vec<_> = chosen.iter().map(|choice| DATES[*choice]).collect();
            let (_folder, catalog) = catalog(&dates);
            for (filter, is_in) in [
                (Filter::default(), (|number| number % 7 != 6) as fn(usize) -> bool),
                (Filter { withdrawn: true, ..Filter::default() }, |_| true),
                (Filter { categories: Some(vec!["odd".into()]), ..Filter::default() }, |number| number % 2 == 1 && number % 7 != 6),
            ] {
                let days = |date: Option<&str>| date.map(|date| likewise_papers::paper::parse_date(date).unwrap()).map(|range| (range.first, range.last));
                let mut expected: Vec<usize> = (0..dates.len()).filter(|number| is_in(*number)).collect();
                expected.sort_by_key(|number| Reverse((days(dates[*number]), *number)));
                let expected: Vec<String> = expected.iter().map(|number| format!("p{number}")).collect();
                prop_assert_eq!(&pages(&catalog, &filter, limit), &expected);
                let walked = catalog.walk(None, 100, |number| is_in(number as usize - 1)).unwrap();
                let walked: Vec<String> = walked.iter().map(|place| format!("p{}", place.number - 1)).collect();
                prop_assert_eq!(&walked, &expected);
            }
        }
    }

    #[test]
    fn the_days_around_a_day_are_those_of_papers() {
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
    fn a_cursor_that_is_none_is_refused() {
        for wrong in [
            "",
            "x",
            "__",
            "2020-01-01__3",
            "2020-01-01_2020-01-01_0",
            "2020-01-01_2020-01-01_-4",
            "_____",
            "a_b_1",
        ] {
            assert!(wrong.parse::<Place>().unwrap_err().to_string().contains("cursor"), "{wrong}");
        }
    }
}
