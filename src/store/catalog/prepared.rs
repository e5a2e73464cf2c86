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
    /// `None`: taken.
    terms: Option<HashSet<String>>,
    blocking_keys: Vec<i64>,
}

impl PreparedRecords {
    /// Computes the terms and blocking keys of records.
    pub fn of(records: &[&Paper]) -> PreparedRecords {
        let prepare = |record: &&Paper| PreparedRecord {
            record: (*record).clone(),
            terms: Some(terms_of(&record.title, &record.r#abstract)),
            blocking_keys: blocking_keys(record),
        };
        let prepared: Vec<PreparedRecord> = records.par_iter().map(prepare).collect();
        PreparedRecords(prepared.into_iter().map(|prepared| (prepared.record.id.clone(), prepared)).collect())
    }

    /// The terms of a paper. Those of a record can be taken once; after that they are computed.
    pub fn take_terms(&mut self, paper: &Paper) -> HashSet<String> {
        let has_same_text = |prepared: &&mut PreparedRecord| {
            prepared.record.title == paper.title && prepared.record.r#abstract == paper.r#abstract
        };
        let taken =
            self.0.get_mut(&paper.id).filter(has_same_text).and_then(|prepared| prepared.terms.take());
        taken.unwrap_or_else(|| terms_of(&paper.title, &paper.r#abstract))
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
        let mut prepared = PreparedRecords::of(&[&bees]);
        for paper in [&changed, &bees, &bees] {
            assert_eq!(prepared.take_terms(paper), terms_of(&paper.title, &paper.r#abstract));
            assert_eq!(*prepared.blocking_keys(paper), blocking_keys(paper));
        }
    }
}
