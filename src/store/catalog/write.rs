//! Writing papers: every record finds its paper, or makes one, or makes one of two.
//!
//! Its own file because reading is simple and this is not: a paper may be said by several records (`fold.rs`), each of
//! which can change, go, and turn out to be another paper's.

use super::changes::{last_change, set_last_change};
use super::fold::{has_own_number, is_same_record, marks, paper_of, papers_of, papers_with};
use super::row::{delete, number_of, numbers_of, records_of, records_up_to, write};
use super::transaction::{Change, begin};
use super::{Catalog, PaperNumber, SELECT, paper, words};
use crate::error::Result;
use likewise_papers::dump::Deleted;
use likewise_papers::{Paper, PaperId};
use rusqlite::{Connection, OptionalExtension};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Something that is said of a paper.
#[derive(Debug, Clone, Copy)]
pub enum Act<'a> {
    /// A record, added or in place of the one it was.
    Put(&'a Paper),
    /// A record is gone; a paper that others speak of stays.
    Retract(&'a Deleted),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its paper was not here.
    Added,
    /// It was here, and something about it was different.
    Replaced,
    /// Its paper was here, by another record.
    Folded,
    /// It was here, the same in every field.
    Unchanged,
    /// It has no abstract, and its paper is not here: it was left out.
    WithoutAbstract,
    /// It was here, and is here no more.
    Retracted,
    /// It was not here, or is another's to take out.
    NotHere,
}

/// Most records of one title and author, or of one id, that a new one is compared with: what more have tells none of them.
const MOST_ALIKE: usize = 50;

/// What became of some.
#[derive(Debug, Default)]
pub struct Written {
    /// Of each.
    pub outcomes: Vec<Outcome>,
    /// The papers that are different now, each once.
    pub papers: Vec<Paper>,
}

impl Catalog {
    /// Does it all in one durable transaction, in order: all of it or, on an error, nothing. A record without an abstract
    /// makes a paper only if `title_only`.
    pub fn apply(&self, acts: &[Act], title_only: bool) -> Result<Written> {
        let mut written = Written::default();
        self.change(|connection, change| {
            for act in acts {
                let outcome = match act {
                    Act::Put(record) => put(connection, record, title_only, change, &mut written.papers)?,
                    Act::Retract(gone) => retract(connection, gone, change, &mut written.papers)?,
                };
                written.outcomes.push(outcome);
            }
            Ok(written.outcomes.iter().any(|outcome| {
                matches!(outcome, Outcome::Added | Outcome::Replaced | Outcome::Folded | Outcome::Retracted)
            }))
        })?;
        // As each was last.
        let mut seen = HashSet::new();
        written.papers.reverse();
        written.papers.retain(|paper| seen.insert(paper.id.clone()));
        written.papers.reverse();
        Ok(written)
    }

    /// Adds or replaces records, those without an abstract too.
    pub fn upsert(&self, records: &[Paper]) -> Result<Vec<Outcome>> {
        let acts: Vec<Act> = records.iter().map(Act::Put).collect();
        Ok(self.apply(&acts, true)?.outcomes)
    }

    /// Writes papers as they are, each by its records: what another catalog, or a collection, made one paper of stays one.
    pub fn restore(&self, papers: &[Vec<Paper>]) -> Result<()> {
        self.change(|connection, change| {
            for records in papers {
                write(connection, None, &records.iter().collect::<Vec<_>>(), change)?;
            }
            Ok(!papers.is_empty())
        })
    }

    /// Deletes papers in one durable transaction, by any of their ids; gives which of them were here.
    pub fn delete(&self, ids: &[PaperId]) -> Result<Vec<bool>> {
        let mut were_here = Vec::with_capacity(ids.len());
        self.change(|connection, change| {
            for id in ids {
                let number = number_of(connection, id)?;
                number.into_iter().try_for_each(|number| delete(connection, number, change))?;
                were_here.push(number.is_some());
            }
            Ok(were_here.contains(&true))
        })?;
        Ok(were_here)
    }

    /// One transaction that has a number, if `write` says that it changed something.
    fn change(&self, write: impl FnOnce(&Connection, &mut Change) -> Result<bool>) -> Result<()> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection)?;
        let mut change = Change { number: last_change(&transaction)? + 1, ..Change::default() };
        if write(&transaction, &mut change)? {
            match change.recount {
                true => words::rebuild(&transaction)?,
                false => words::count(&transaction, &change.words)?,
            }
            set_last_change(&transaction, change.number)?;
        }
        Ok(transaction.commit()?)
    }
}

/// Whether a source that says a paper is gone speaks of this record.
fn is_gone(record: &Paper, gone: &Deleted) -> bool {
    let is_its = record.source == gone.source || gone.source.is_none();
    is_its && (record.id == gone.id || record.also.contains(&gone.id))
}

fn retract(
    connection: &Connection,
    gone: &Deleted,
    change: &mut Change,
    written: &mut Vec<Paper>,
) -> Result<Outcome> {
    let mut numbers = numbers_of(connection, &gone.id)?;
    let mut records = records_of_all(connection, &numbers)?;
    let lost =
        records.iter().filter(|(_, record)| is_gone(record, gone)).flat_map(|(_, record)| record.ids());
    let lost: Vec<PaperId> = lost.cloned().collect();
    if with_others_of(connection, &mut numbers, &lost)? {
        records = records_of_all(connection, &numbers)?;
    }
    let (all, counts) = (records.len(), counts_of(&numbers, &records));
    let kept: Vec<_> = records.into_iter().filter(|(_, record)| !is_gone(record, gone)).collect();
    if kept.len() == all {
        return Ok(Outcome::NotHere);
    }
    assign(connection, papers_of(kept), &counts, None, change, written)?;
    Ok(Outcome::Retracted)
}

fn put(
    connection: &Connection,
    record: &Paper,
    title_only: bool,
    change: &mut Change,
    written: &mut Vec<Paper>,
) -> Result<Outcome> {
    let mut find = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    // One that cannot be read is replaced.
    let known = find.query_row([record.id.as_str()], |row| Ok(paper(row).ok())).optional()?;
    let is_unreadable = matches!(known, Some(None));
    if known.flatten().as_ref() == Some(&paper_of(&[record])) {
        return Ok(Outcome::Unchanged);
    }
    let record = without_common_ids(connection, record)?;
    let record = &*record;
    let mut numbers = candidates(connection, record)?;
    let mut records = records_of_all(connection, &numbers)?;
    let is_it = |(_, other): &Numbered| is_same_record(other, record);
    let lost = records.iter().find(|other| is_it(other)).into_iter().flat_map(|(_, old)| old.ids());
    let lost: Vec<PaperId> = lost.filter(|id| !record.ids().any(|kept| kept == *id)).cloned().collect();
    if with_others_of(connection, &mut numbers, &lost)? {
        records = records_of_all(connection, &numbers)?;
    }
    let counts = counts_of(&numbers, &records);
    let place = records.iter().position(is_it);
    let mut new = record.clone();
    if let Some(place) = place {
        fill_in(&mut new, &records[place].1);
    }
    if records.iter().any(|(_, record)| *record == new) {
        return Ok(Outcome::Unchanged);
    }
    let papers = match place {
        Some(place) => {
            records[place].1 = new.clone();
            papers_of(records)
        }
        None => papers_with(records, (None, new.clone())),
    };
    let is_alone = place.is_none() && papers.iter().any(|paper| matches!(&paper[..], [(None, _)]));
    if is_alone && !title_only && new.r#abstract.is_empty() {
        return Ok(Outcome::WithoutAbstract);
    }
    assign(connection, papers, &counts, Some(&new), change, written)?;
    Ok(match place {
        Some(_) => Outcome::Replaced,
        None if is_unreadable => Outcome::Replaced,
        None if is_alone => Outcome::Added,
        None => Outcome::Folded,
    })
}

/// What is not said again is no less so: an abstract, and where another source speaks, all that it does not have.
fn fill_in(new: &mut Paper, old: &Paper) {
    if new.r#abstract.is_empty() {
        new.r#abstract.clone_from(&old.r#abstract);
    }
    if new.source == old.source {
        return;
    }
    let fill =
        |field: &mut Option<String>, old: &Option<String>| *field = field.take().or_else(|| old.clone());
    fill(&mut new.published, &old.published);
    fill(&mut new.venue, &old.venue);
    fill(&mut new.source, &old.source);
    fill(&mut new.url, &old.url);
    let fill = |list: &mut Vec<String>, old: &[String]| {
        if list.is_empty() {
            *list = old.to_vec();
        }
    };
    fill(&mut new.authors, &old.authors);
    fill(&mut new.categories, &old.categories);
    let more: Vec<PaperId> = old.also.iter().filter(|id| !new.also.contains(id)).cloned().collect();
    new.also.extend(more);
}

/// The numbers of the papers that a record may be of.
fn candidates(connection: &Connection, record: &Paper) -> Result<BTreeSet<PaperNumber>> {
    let mut numbers = BTreeSet::new();
    for id in record.ids() {
        numbers.append(&mut numbers_of(connection, id)?);
    }
    let mut find = connection.prepare_cached("SELECT number FROM names WHERE name = ?1 LIMIT ?2")?;
    for mark in marks(record) {
        let found = find.query_map((mark, MOST_ALIKE as i64 + 1), |row| row.get(0))?;
        let found = found.collect::<rusqlite::Result<BTreeSet<PaperNumber>>>()?;
        if !are_common(connection, &found)? {
            numbers.extend(found);
        }
    }
    Ok(numbers)
}

/// Whether papers have so many records that what they have in common tells none of them.
fn are_common(connection: &Connection, numbers: &BTreeSet<PaperNumber>) -> Result<bool> {
    if numbers.len() > MOST_ALIKE {
        return Ok(true);
    }
    let mut left = MOST_ALIKE;
    for number in numbers {
        match left.checked_sub(records_up_to(connection, *number, MOST_ALIKE + 1)?) {
            Some(fewer) => left = fewer,
            None => return Ok(true),
        }
    }
    Ok(false)
}

/// A record that is not here yet without ids that very many records have, as that of a volume: it would be one of those,
/// and be compared with all of them. It keeps one id in any case.
fn without_common_ids<'a>(connection: &Connection, record: &'a Paper) -> Result<Cow<'a, Paper>> {
    let (mut kept, mut common) = (Vec::new(), Vec::new());
    for id in record.ids() {
        let numbers = numbers_of(connection, id)?;
        let is_common = are_common(connection, &numbers)? && !is_one_of(connection, record, id, &numbers)?;
        if is_common { common.push(id) } else { kept.push(id) }
    }
    let Some((first, others)) = kept.split_first().filter(|_| !common.is_empty()) else {
        return Ok(Cow::Borrowed(record));
    };
    tracing::debug!("{first}: more than {MOST_ALIKE} other records have the ids {common:?}");
    let also = others.iter().map(|id| (*id).clone()).collect();
    Ok(Cow::Owned(Paper { id: (*first).clone(), also, ..record.clone() }))
}

/// Whether a record is of these papers already, which have one of its ids.
fn is_one_of(
    connection: &Connection,
    record: &Paper,
    id: &PaperId,
    numbers: &BTreeSet<PaperNumber>,
) -> Result<bool> {
    let is_known_by_it = *id == record.id && !has_own_number(record);
    let mut its = if is_known_by_it { numbers.clone() } else { BTreeSet::new() };
    for other in record.ids().filter(|other| *other != id) {
        its.extend(numbers_of(connection, other)?.intersection(numbers));
    }
    for number in &its {
        if records_of(connection, *number)?.iter().any(|other| is_same_record(other, record)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the papers that have ids which a record is about to lose: what that one held together may be of one of them. Says
/// whether there are any.
fn with_others_of(
    connection: &Connection,
    numbers: &mut BTreeSet<PaperNumber>,
    lost: &[PaperId],
) -> Result<bool> {
    let before = numbers.len();
    for id in lost {
        numbers.append(&mut numbers_of(connection, id)?);
    }
    Ok(numbers.len() > before)
}

/// A record, and the number of the paper that it is of so far.
type Numbered = (Option<PaperNumber>, Paper);

fn records_of_all(connection: &Connection, numbers: &BTreeSet<PaperNumber>) -> Result<Vec<Numbered>> {
    let mut all = Vec::new();
    for number in numbers {
        all.extend(records_of(connection, *number)?.into_iter().map(|record| (Some(*number), record)));
    }
    Ok(all)
}

/// How many records each paper has.
type CountsOf = BTreeMap<PaperNumber, usize>;

fn counts_of(numbers: &BTreeSet<PaperNumber>, records: &[Numbered]) -> CountsOf {
    let count = |number: &PaperNumber| records.iter().filter(|(of, _)| of.as_ref() == Some(number)).count();
    numbers.iter().map(|number| (*number, count(number))).collect()
}

/// Writes papers, but for those whose records are as they were: `before` has how many each had, and `new` is the one that
/// is different. Each has a number that one of its records had, if that is free, or a new one; of the numbers that were
/// theirs, those that are left over are deleted.
fn assign(
    connection: &Connection,
    papers: Vec<Vec<Numbered>>,
    before: &CountsOf,
    new: Option<&Paper>,
    change: &mut Change,
    written: &mut Vec<Paper>,
) -> Result<()> {
    let mut free: BTreeSet<PaperNumber> = before.keys().copied().collect();
    let is_as_before = |paper: &Vec<Numbered>| {
        let number = paper.first().and_then(|(number, _)| *number);
        let is_its = |(of, record): &Numbered| *of == number && Some(record) != new;
        number.filter(|number| paper.iter().all(is_its) && before.get(number) == Some(&paper.len()))
    };
    let mut different = Vec::with_capacity(papers.len());
    for paper in papers {
        match is_as_before(&paper) {
            Some(number) => drop(free.remove(&number)),
            None => different.push(paper),
        }
    }
    if free.len() > 1 {
        // Papers may take over each other's ids, and no two may have one, not even for a moment.
        let mut aside =
            connection.prepare_cached("UPDATE papers SET id = char(0) || number WHERE number = ?1")?;
        free.iter().try_for_each(|number| aside.execute([number]).map(drop))?;
    }
    // What cannot be read any more is written over.
    let is_unread = |number: &PaperNumber| before.get(number) == Some(&0);
    let mut unread: Vec<PaperNumber> = free.iter().copied().filter(is_unread).collect();
    for paper in &different {
        let own = paper.iter().filter_map(|(number, _)| *number).find(|number| free.remove(number));
        let number = own.or_else(|| unread.pop().filter(|number| free.remove(number)));
        let records: Vec<&Paper> = paper.iter().map(|(_, record)| record).collect();
        written.push(write(connection, number, &records, change)?);
    }
    free.iter().try_for_each(|number| delete(connection, *number, change))
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Filter};
    use super::*;
    use proptest::prelude::*;

    fn catalog() -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
        (folder, catalog)
    }

    fn id(text: &str) -> PaperId {
        PaperId::parse(text).unwrap()
    }

    fn record(name: &str, title: &str, source: &str, also: &[&str]) -> Paper {
        Paper {
            id: id(name),
            title: title.into(),
            r#abstract: format!("About {title}, says {source}."),
            authors: vec!["Ann Bee".into()],
            source: (!source.is_empty()).then(|| source.into()),
            also: also.iter().map(|other| id(other)).collect(),
            ..Paper::default()
        }
    }

    #[test]
    fn a_preprint_and_what_was_published_are_one_paper_until_one_goes() {
        let (_folder, catalog) = catalog();
        let preprint = record("2101.00001", "Attention for all", "arxiv", &[]);
        let published = record("P19-1001", "Attention for All.", "acl", &["10.1000/x"]);
        assert_eq!(
            catalog.upsert(&[preprint.clone(), published.clone()]).unwrap(),
            [Outcome::Added, Outcome::Folded]
        );
        assert_eq!(catalog.upsert(&[preprint.clone(), published.clone()]).unwrap(), [Outcome::Unchanged; 2]);
        assert_eq!(catalog.count().unwrap(), 1);
        for name in ["2101.00001", "P19-1001", "10.1000/X"] {
            let (_, paper) = catalog.find(&id(name)).unwrap().unwrap();
            assert_eq!(
                (paper.id.as_str(), paper.r#abstract.as_str()),
                ("2101.00001", preprint.r#abstract.as_str())
            );
            assert_eq!(paper.also, [id("P19-1001"), id("10.1000/x")]);
        }
        let by = |filter: Filter| catalog.matching(&filter).unwrap().iter().count();
        assert_eq!(by(Filter { sources: Some(vec!["acl".into()]), ..Filter::default() }), 1);
        assert_eq!(by(Filter { ids: Some(vec!["10.1000/x".into()]), ..Filter::default() }), 1);

        // Another version of one of them.
        let revised = Paper { title: "Attention for all, revised".into(), ..published.clone() };
        assert_eq!(catalog.upsert(std::slice::from_ref(&revised)).unwrap(), [Outcome::Replaced]);
        assert_eq!(catalog.count().unwrap(), 2, "another title, and no id in common");
        assert_eq!(catalog.upsert(std::slice::from_ref(&published)).unwrap(), [Outcome::Replaced]);
        assert_eq!(catalog.count().unwrap(), 1);

        let retract = |name: &str, source: Option<&str>| {
            let gone = Deleted { id: id(name), source: source.map(Into::into) };
            catalog.apply(&[Act::Retract(&gone)], false).unwrap()
        };
        assert_eq!(retract("2101.00001", Some("acl")).outcomes, [Outcome::NotHere], "not theirs");
        let written = retract("2101.00001", Some("arxiv"));
        assert_eq!(
            (&written.outcomes[..], &written.papers[..]),
            (&[Outcome::Retracted][..], std::slice::from_ref(&published))
        );
        let (_, paper) = catalog.find(&published.id).unwrap().unwrap();
        assert_eq!(paper, published);
        assert_eq!(retract("10.1000/x", Some("arxiv")).outcomes, [Outcome::NotHere]);
        assert_eq!(retract("10.1000/x", None).outcomes, [Outcome::Retracted]);
        assert_eq!(catalog.count().unwrap(), 0);
    }

    #[test]
    fn what_a_record_held_together_goes_to_others_that_claim_it() {
        let (_folder, catalog) = catalog();
        let claims = |name: &str, title: &str| record(name, title, "", &["10.5555/aa"]);
        let (one, two) = (claims("2201.00001", "One thing"), claims("2201.00002", "Two things"));
        let published = record("10.5555/aa", "Published", "acl", &[]);
        catalog.upsert(&[one.clone(), two.clone(), published]).unwrap();
        assert_eq!(catalog.count().unwrap(), 2);
        let paper_of = |name: &str| catalog.find(&id(name)).unwrap().unwrap().1.id;
        assert_eq!(paper_of("10.5555/aa"), id("2201.00001"));
        // It says that no more.
        let without = Paper { also: Vec::new(), ..one };
        assert_eq!(catalog.upsert(&[without]).unwrap(), [Outcome::Replaced]);
        assert_eq!((catalog.count().unwrap(), paper_of("10.5555/aa")), (2, paper_of("2201.00002")));
        // The same when it is taken back altogether.
        catalog.upsert(&[claims("2201.00001", "One thing")]).unwrap();
        let gone = Deleted { id: two.id, source: None };
        catalog.apply(&[Act::Retract(&gone)], false).unwrap();
        assert_eq!((catalog.count().unwrap(), paper_of("10.5555/aa")), (1, paper_of("2201.00001")));
    }

    #[test]
    fn the_same_id_from_another_source_adds_to_the_paper_and_by_hand_replaces_it() {
        let (_folder, catalog) = catalog();
        let arxiv = Paper { categories: vec!["cs.LG".into()], ..record("2101.00001", "One", "arxiv", &[]) };
        let daily = Paper {
            categories: vec!["agents".into()],
            ..record("2101.00001", "One again", "daily-papers", &[])
        };
        assert_eq!(
            catalog.upsert(&[arxiv.clone(), daily.clone()]).unwrap(),
            [Outcome::Added, Outcome::Folded]
        );
        assert_eq!(catalog.upsert(&[arxiv, daily]).unwrap(), [Outcome::Unchanged; 2]);
        let paper = || catalog.find(&id("2101.00001")).unwrap().unwrap().1;
        assert_eq!((paper().title.as_str(), paper().categories.len()), ("One", 2));
        let by_hand = record("2101.00001", "By hand", "", &[]);
        assert_eq!(catalog.upsert(&[by_hand]).unwrap(), [Outcome::Replaced]);
        assert_eq!(paper().title, "By hand");
    }

    #[test]
    fn a_record_without_an_abstract_takes_none_away_and_makes_a_paper_only_if_asked() {
        let (_folder, catalog) = catalog();
        let whole = record("a", "Attention for all", "s", &[]);
        let bare = |name: &str, source: &str| Paper {
            r#abstract: String::new(),
            ..record(name, "Attention for all", source, &[])
        };
        let apply =
            |record: &Paper, title_only| catalog.apply(&[Act::Put(record)], title_only).unwrap().outcomes[0];
        assert_eq!(apply(&bare("b", "t"), false), Outcome::WithoutAbstract);
        assert_eq!(apply(&whole, false), Outcome::Added);
        assert_eq!(apply(&bare("a", "s"), false), Outcome::Unchanged);
        assert_eq!(apply(&bare("b", "t"), false), Outcome::Folded, "it is known now what it is of");
        assert_eq!(catalog.find(&id("b")).unwrap().unwrap().1.r#abstract, whole.r#abstract);
        let other = Paper { title: "Quite another title".into(), ..bare("c", "t") };
        assert_eq!(apply(&other, true), Outcome::Added);
    }

    /// Puts so many records, and says how long the last half took a record, in seconds.
    fn seconds_a_record(record: impl Fn(usize) -> Paper, count: usize) -> f64 {
        let (_folder, catalog) = catalog();
        let records: Vec<Paper> = (0..count).map(record).collect();
        let (first, second) = records.split_at(count / 2);
        first.chunks(500).for_each(|records| drop(catalog.upsert(records).unwrap()));
        let started = std::time::Instant::now();
        second.chunks(500).for_each(|records| drop(catalog.upsert(records).unwrap()));
        let seconds = started.elapsed().as_secs_f64();
        let here = |paper: &Paper| paper.ids().all(|id| catalog.find(id).unwrap().is_some());
        assert!(records.iter().all(here), "every one is found");
        seconds / second.len() as f64
    }

    #[test]
    fn records_of_one_title_or_one_id_are_taken_as_fast_as_others() {
        const COUNT: usize = 4000;
        let text = |number: usize| format!("Number {number} says this and that of bees in winter.");
        let with = |number: usize, title: String, also: &[&str]| Paper {
            published: Some("2020".into()),
            r#abstract: text(number),
            ..record(&format!("p{number}"), &title, "s", also)
        };
        let others =
            seconds_a_record(|number| with(number, format!("A title of its own, {number}"), &[]), COUNT);
        let same = |number| with(number, "News from the hive".into(), &[]);
        let of_a_volume = |number| with(number, format!("Chapter {number} of a volume"), &["10.1000/volume"]);
        let of_arxiv = |number: usize| Paper {
            id: id(&format!("2101.{number:05}")),
            ..with(number, "News from the hive".into(), &["10.1000/volume"])
        };
        let numbered = |number: usize| Paper {
            id: id("10.1000/volume"),
            source: Some("openalex".into()),
            ..with(number, "News from the hive".into(), &[&format!("openalex:W{number}")])
        };
        for (name, seconds) in [
            ("title", seconds_a_record(same, COUNT)),
            ("volume", seconds_a_record(of_a_volume, COUNT)),
            ("arXiv", seconds_a_record(of_arxiv, COUNT)),
            ("numbered", seconds_a_record(numbered, COUNT)),
        ] {
            println!("{name}: {:.0} µs a record, others {:.0} µs", seconds * 1e6, others * 1e6);
            // Each by itself, on a machine that others use too.
            assert!(seconds < 4.0 * others, "{name}: {seconds} s a record, others {others} s");
        }
    }

    #[test]
    fn ids_that_an_older_version_kept_decomposed_are_found() {
        let (_folder, catalog) = catalog();
        let kept = Paper {
            id: PaperId::stored("cafe\u{301}/1".into()),
            ..record("x", "A title for coffee", "s", &[])
        };
        catalog.upsert(std::slice::from_ref(&kept)).unwrap();
        let (_, found) = catalog.find(&id("caf\u{e9}/1")).unwrap().unwrap();
        assert_eq!(found.title, kept.title);
        // It comes again, as ids are read now.
        catalog.upsert(&[record("caf\u{e9}/1", "A title for coffee", "s", &[])]).unwrap();
        assert_eq!(catalog.count().unwrap(), 1);
        assert_eq!(catalog.delete(&[id("cafe\u{301}/1")]).unwrap(), [true]);
    }

    #[test]
    fn an_id_that_very_many_records_have_is_that_of_the_first() {
        let (_folder, catalog) = catalog();
        let chapter = |number: usize| {
            record(&format!("c{number}"), &format!("Chapter {number} of a volume"), "s", &["10.1000/volume"])
        };
        let chapters: Vec<Paper> = (0..2 * MOST_ALIKE).map(chapter).collect();
        let outcomes = catalog.upsert(&chapters).unwrap();
        let added = outcomes.iter().filter(|outcome| **outcome == Outcome::Added).count();
        assert_eq!((added, catalog.count().unwrap()), (MOST_ALIKE, MOST_ALIKE), "the first are one paper");
        assert_eq!(catalog.upsert(&chapters).unwrap(), vec![Outcome::Unchanged; 2 * MOST_ALIKE]);
        let (_, volume) = catalog.find(&id("10.1000/volume")).unwrap().unwrap();
        assert_eq!(volume.id, id("c0"));
    }

    #[test]
    fn a_deleted_paper_is_deleted_by_any_of_its_ids() {
        let (_folder, catalog) = catalog();
        catalog
            .upsert(&[
                record("a", "Attention for all", "s", &["10.1000/x"]),
                record("b", "Attention for all", "t", &[]),
            ])
            .unwrap();
        assert_eq!(catalog.delete(&[id("10.1000/X"), id("a")]).unwrap(), [true, false]);
        assert_eq!(catalog.count().unwrap(), 0);
        assert_eq!(catalog.upsert(&[record("b", "Attention for all", "t", &[])]).unwrap(), [Outcome::Added]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn whatever_comes_and_goes_every_record_is_in_one_paper(
            acts in proptest::collection::vec((0..6_usize, 0..3_usize, 0..3_usize, 0..4_usize, 0..5_usize), 1..40),
        ) {
            let (_folder, catalog) = catalog();
            let mut model: BTreeMap<(String, usize), Paper> = BTreeMap::new();
            for (name, source, title, also, act) in acts {
                let (name, source_name) = (format!("p{name}"), ["s", "t", "u"][source]);
                if act == 0 {
                    let gone = Deleted { id: id(&name), source: Some(source_name.into()) };
                    catalog.apply(&[Act::Retract(&gone)], false).unwrap();
                    model.retain(|(_, by), record| *by != source || !(record.id.as_str() == name || record.also.contains(&id(&name))));
                } else {
                    let titles = ["The first of titles", "The second of titles", "The third of titles"];
                    let others = format!("p{also}");
                    let others: Vec<&str> = if act > 2 && others != name { vec![&others] } else { vec![] };
                    let record = record(&name, titles[title], source_name, &others);
                    catalog.upsert(std::slice::from_ref(&record)).unwrap();
                    model.insert((name, source), record);
                }
                if act == 4 && title == 0 {
                    let gone = id(&format!("p{also}"));
                    let were_here = catalog.delete(std::slice::from_ref(&gone)).unwrap()[0];
                    // Taken out with all that is said of it; what its records held together may be said again.
                    if were_here {
                        let group = papers_of(model.iter().map(|(key, record)| (key.clone(), record.clone())).collect());
                        let group = group.into_iter().find(|paper| paper.iter().any(|(_, record)| record.ids().any(|id| *id == gone)));
                        group.into_iter().flatten().for_each(|(key, _)| drop(model.remove(&key)));
                    }
                }
                prop_assert!(catalog.counts_are_right().unwrap());
                let with = catalog.having_term("title", 100).unwrap().len();
                prop_assert_eq!((with, catalog.counts_of_terms(&["title"]).unwrap()[0]), (with, with));
                let wanted = papers_of(model.values().map(|record| ((), record.clone())).collect());
                prop_assert_eq!(catalog.count().unwrap(), wanted.len());
                for paper in wanted {
                    let ids: BTreeSet<&PaperId> = paper.iter().flat_map(|(_, record)| record.ids()).collect();
                    for id in &ids {
                        let found = catalog.find(id).unwrap().unwrap().1;
                        let got: BTreeSet<&PaperId> = std::iter::once(&found.id).chain(&found.also).collect();
                        prop_assert_eq!(&got, &ids);
                    }
                }
            }
        }
    }
}
