//! The terms and blocking keys of new records, computed on all cores before a transaction writes the records.

use super::dedup::blocking_keys;
use likewise_papers::terms::terms;
use likewise_papers::{Paper, PaperId};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Records with their terms and blocking keys. Those of other records are computed when they are needed.
#[derive(Default)]
pub struct PreparedRecords(HashMap<PaperId, PreparedRecord>);

struct PreparedRecord {
    record: Paper,
    terms: HashSet<String>,
    blocking_keys: Vec<i64>,
}

impl PreparedRecords {
    /// Computes the terms and blocking keys of records.
    pub fn of(records: &[&Paper]) -> PreparedRecords {
        let prepare = |record: &&Paper| PreparedRecord {
            record: (*record).clone(),
            terms: terms_of(&record.title, &record.r#abstract),
            blocking_keys: blocking_keys(record),
        };
        let prepared: Vec<PreparedRecord> = records.par_iter().map(prepare).collect();
        PreparedRecords(prepared.into_iter().map(|prepared| (prepared.record.id.clone(), prepared)).collect())
    }

    /// The terms of a paper.
    pub fn terms(&self, paper: &Paper) -> Cow<'_, HashSet<String>> {
        let has_same_text = |prepared: &&PreparedRecord| {
            prepared.record.title == paper.title && prepared.record.r#abstract == paper.r#abstract
        };
        match self.0.get(&paper.id).filter(has_same_text) {
            Some(prepared) => Cow::Borrowed(&prepared.terms),
            None => Cow::Owned(terms_of(&paper.title, &paper.r#abstract)),
        }
    }

    /// See [`blocking_keys`].
    pub fn blocking_keys(&self, record: &Paper) -> Cow<'_, [i64]> {
        match self.0.get(&record.id).filter(|prepared| prepared.record == *record) {
            Some(prepared) => Cow::Borrowed(&prepared.blocking_keys),
            None => Cow::Owned(blocking_keys(record)),
        }
    }
}

/// The terms of a paper with this title and abstract.
pub fn terms_of(title: &str, r#abstract: &str) -> HashSet<String> {
    terms(&format!("{title} {abstract}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepared_values_are_those_of_the_same_record_only() {
        let id = PaperId::parse("9901.00001").unwrap();
        let bees = Paper {
            id,
            title: "Bees that count to four".into(),
            authors: vec!["Ann Bee".into()],
            r#abstract: "We filmed honeybees.".into(),
            ..Paper::default()
        };
        let changed = Paper { title: "Wasps that count to five".into(), ..bees.clone() };
        let prepared = PreparedRecords::of(&[&bees]);
        for paper in [&bees, &changed] {
            assert_eq!(*prepared.terms(paper), terms_of(&paper.title, &paper.r#abstract));
            assert_eq!(*prepared.blocking_keys(paper), blocking_keys(paper));
        }
    }
}
