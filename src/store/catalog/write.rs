//! Writes records of papers. A new record joins an existing paper, starts a new paper, or merges several papers.
//!
//! A paper can have several records (`dedup.rs`). Each record can change, be retracted, or turn out to belong to
//! another paper.

use super::changes::{last_change, set_last_change};
use super::dedup::{group_records, has_source_id, is_same_record, merge_records, regroup_with};
use super::full_text::AUTHORS;
use super::prepared::PreparedRecords;
use super::row::{delete, number_of, numbers_of, record_count, records_of, write};
use super::transaction::{WriteContext, begin};
use super::{Catalog, PaperNumber, SELECT, paper, postings};
use crate::error::Result;
use likewise_papers::dump::Deletion;
use likewise_papers::{Paper, PaperId};
use rusqlite::{Connection, OptionalExtension};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A change to the catalog.
#[derive(Debug, Clone, Copy)]
pub enum Mutation<'a> {
    /// Adds a record. If the catalog has another version of the record, replaces that version.
    Put(&'a Paper),
    /// Removes every record that has the given id, as its id or as an alternate id, and the given source. If no source
    /// is given, the source can be any. A paper stays if it has other records.
    Retract(&'a Deletion),
}

/// The outcome of a [`Mutation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MutationOutcome {
    /// The record started a new paper.
    Added,
    /// The record replaced a different version of itself, or a stored paper of the same id that cannot be read.
    Replaced,
    /// The record joined a paper that had other records, or several such papers, which are now one paper.
    Merged,
    /// The record was already in the catalog and has nothing new.
    Unchanged,
    /// The record has no abstract and its paper is not in the catalog, so the record was skipped. Only if
    /// [`ApplyOptions::title_only`] is false.
    WithoutAbstract,
    /// One or more records were removed.
    Retracted,
    /// The record to remove is not in the catalog, or is from another source.
    NotFound,
}

/// Maximum number of records, in total, of the papers that have a blocking key or an id. If these papers have more
/// records, the key or the id does not identify a paper. Such a key is not used to find papers for a new record, and
/// such an id is removed from a new record, with the exceptions that [`without_shared_ids`] lists. Apart from these
/// exceptions, a new record is therefore compared with at most this many records per key or id.
const MAX_SHARED: usize = 50;

/// Options of [`Catalog::apply`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// Whether a record without an abstract can start a new paper.
    pub title_only: bool,
}

/// The result of [`Catalog::apply`].
#[derive(Debug, Default)]
pub struct AppliedMutations {
    /// The outcome of each mutation, in the order of the mutations.
    pub outcomes: Vec<MutationOutcome>,
    /// The papers that were added or changed, each id once, in the state that was written last. A paper is in this list
    /// even if a later mutation of the same call deleted it.
    pub papers: Vec<Paper>,
}

impl Catalog {
    /// Applies mutations in order, in one durable transaction. If an error is returned, no mutation has been applied.
    pub fn apply(&self, mutations: &[Mutation], options: ApplyOptions) -> Result<AppliedMutations> {
        let mut applied = AppliedMutations::default();
        self.write_in_transaction(|connection, context| {
            context.prepared = prepare_new(connection, mutations)?;
            for mutation in mutations {
                let outcome = match mutation {
                    Mutation::Put(record) => put(connection, record, options, context, &mut applied.papers)?,
                    Mutation::Retract(deletion) => {
                        retract(connection, deletion, context, &mut applied.papers)?
                    }
                };
                applied.outcomes.push(outcome);
            }
            Ok(applied.outcomes.iter().any(|outcome| {
                use MutationOutcome::{Added, Merged, Replaced, Retracted};
                matches!(outcome, Added | Replaced | Merged | Retracted)
            }))
        })?;
        // Keeps only the last state of each paper.
        let mut seen = HashSet::new();
        applied.papers.reverse();
        applied.papers.retain(|paper| seen.insert(paper.id.clone()));
        applied.papers.reverse();
        Ok(applied)
    }

    /// Adds or replaces records, including records without an abstract.
    pub fn upsert(&self, records: &[Paper]) -> Result<Vec<MutationOutcome>> {
        let mutations: Vec<Mutation> = records.iter().map(Mutation::Put).collect();
        Ok(self.apply(&mutations, ApplyOptions { title_only: true })?.outcomes)
    }

    /// Adds papers without deduplication; each item of `papers` has the records of one paper. For papers from another
    /// catalog or collection, which are already deduplicated.
    pub fn restore(&self, papers: &[Vec<Paper>]) -> Result<()> {
        self.write_in_transaction(|connection, context| {
            for records in papers {
                write(connection, None, &records.iter().collect::<Vec<_>>(), context)?;
            }
            Ok(!papers.is_empty())
        })
    }

    /// Deletes the papers with these ids or alternate ids, at most one paper per id, in one durable transaction.
    /// Returns for each id whether a paper was deleted.
    pub fn delete(&self, ids: &[PaperId]) -> Result<Vec<bool>> {
        let mut found = Vec::with_capacity(ids.len());
        self.write_in_transaction(|connection, context| {
            for id in ids {
                let number = number_of(connection, id)?;
                number.into_iter().try_for_each(|number| delete(connection, number, context))?;
                found.push(number.is_some());
            }
            Ok(found.contains(&true))
        })?;
        Ok(found)
    }

    /// Runs `write` in one transaction. `write` returns whether it changed anything; if so, the transaction gets a
    /// number.
    fn write_in_transaction(
        &self,
        write: impl FnOnce(&Connection, &mut WriteContext) -> Result<bool>,
    ) -> Result<()> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection)?;
        let number = last_change(&transaction)? + 1;
        let mut context = WriteContext { transaction: number, ..WriteContext::default() };
        if write(&transaction, &mut context)? {
            match context.recount {
                true => postings::rebuild(&transaction)?,
                false => postings::write(&transaction, &mut context)?,
            }
            context.authors.write(&transaction, &AUTHORS)?;
            set_last_change(&transaction, number)?;
        }
        Ok(transaction.commit()?)
    }
}

/// Prepares the records whose ids the catalog does not have. The other records are usually unchanged.
fn prepare_new(connection: &Connection, mutations: &[Mutation]) -> Result<PreparedRecords> {
    let mut find = connection.prepare_cached("SELECT 1 FROM papers WHERE id = ?1")?;
    let mut new = Vec::new();
    for mutation in mutations {
        if let Mutation::Put(record) = mutation
            && !find.exists([record.id.as_str()])?
        {
            new.push(*record);
        }
    }
    Ok(PreparedRecords::of(&new))
}

/// Whether a deletion applies to a record.
fn is_deleted_by(record: &Paper, deletion: &Deletion) -> bool {
    let is_of_source = record.source == deletion.source || deletion.source.is_none();
    is_of_source && (record.id == deletion.id || record.alternate_ids.contains(&deletion.id))
}

fn retract(
    connection: &Connection,
    deletion: &Deletion,
    context: &mut WriteContext,
    changed: &mut Vec<Paper>,
) -> Result<MutationOutcome> {
    let mut numbers = numbers_of(connection, &deletion.id)?;
    let mut records = records_of_all(connection, &numbers)?;
    let deleted = records.iter().filter(|(_, record)| is_deleted_by(record, deletion));
    let removed_ids: Vec<PaperId> = deleted.flat_map(|(_, record)| record.ids()).cloned().collect();
    if add_papers_with_ids(connection, &mut numbers, &removed_ids)? {
        records = records_of_all(connection, &numbers)?;
    }
    let (all, counts) = (records.len(), count_records(&numbers, &records));
    let kept: Vec<_> = records.into_iter().filter(|(_, record)| !is_deleted_by(record, deletion)).collect();
    if kept.len() == all {
        return Ok(MutationOutcome::NotFound);
    }
    write_papers(connection, group_records(kept), &counts, None, context, changed)?;
    Ok(MutationOutcome::Retracted)
}

fn put(
    connection: &Connection,
    record: &Paper,
    options: ApplyOptions,
    context: &mut WriteContext,
    changed: &mut Vec<Paper>,
) -> Result<MutationOutcome> {
    let mut find = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    // A stored paper that cannot be read is replaced.
    let stored = find.query_row([record.id.as_str()], |row| Ok(paper(row).ok())).optional()?;
    let is_unreadable = matches!(stored, Some(None));
    if stored.flatten().as_ref() == Some(&merge_records(&[record])) {
        return Ok(MutationOutcome::Unchanged);
    }
    let record = without_shared_ids(connection, record)?;
    let record = &*record;
    let mut numbers = candidates(connection, record, context)?;
    let mut records = records_of_all(connection, &numbers)?;
    let is_older_version = |(_, other): &NumberedRecord| is_same_record(other, record);
    let old_ids =
        records.iter().find(|other| is_older_version(other)).into_iter().flat_map(|(_, old)| old.ids());
    let removed_ids: Vec<PaperId> =
        old_ids.filter(|id| !record.ids().any(|kept| kept == *id)).cloned().collect();
    if add_papers_with_ids(connection, &mut numbers, &removed_ids)? {
        records = records_of_all(connection, &numbers)?;
    }
    let counts = count_records(&numbers, &records);
    let index = records.iter().position(is_older_version);
    let mut new = record.clone();
    if let Some(index) = index {
        keep_missing_fields(&mut new, &records[index].1);
    }
    if records.iter().any(|(_, record)| *record == new) {
        return Ok(MutationOutcome::Unchanged);
    }
    let papers = match index {
        Some(index) => {
            records[index].1 = new.clone();
            group_records(records)
        }
        None => regroup_with(records, (None, new.clone())),
    };
    let is_new_paper = index.is_none() && papers.iter().any(|paper| matches!(&paper[..], [(None, _)]));
    if is_new_paper && !options.title_only && new.r#abstract.is_empty() {
        return Ok(MutationOutcome::WithoutAbstract);
    }
    write_papers(connection, papers, &counts, Some(&new), context, changed)?;
    Ok(match index {
        Some(_) => MutationOutcome::Replaced,
        None if is_unreadable => MutationOutcome::Replaced,
        None if is_new_paper => MutationOutcome::Added,
        None => MutationOutcome::Merged,
    })
}

/// Completes the new version of a record from the old version. Takes the old abstract if the new version has none. If
/// exactly one of the two versions has a source, also takes the other missing fields, and adds the old alternate ids.
/// (Versions with two different sources would not be the same record.)
fn keep_missing_fields(new: &mut Paper, old: &Paper) {
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
    let more: Vec<PaperId> =
        old.alternate_ids.iter().filter(|id| !new.alternate_ids.contains(id)).cloned().collect();
    new.alternate_ids.extend(more);
}

/// The numbers of the papers to which a record might belong: the papers that share an id or a blocking key with the
/// record. Ignores a blocking key if the papers that have it have more than [`MAX_SHARED`] records.
fn candidates(
    connection: &Connection,
    record: &Paper,
    context: &WriteContext,
) -> Result<BTreeSet<PaperNumber>> {
    let mut numbers = BTreeSet::new();
    for id in record.ids() {
        numbers.append(&mut numbers_of(connection, id)?);
    }
    // SQLite parses a statement again whenever a parameter of its LIMIT is set, so the limit is no parameter.
    let sql = format!("SELECT number FROM names WHERE name = ?1 LIMIT {}", MAX_SHARED + 1);
    let mut find = connection.prepare_cached(&sql)?;
    for key in context.prepared.blocking_keys(record).iter() {
        let found = find.query_map([key], |row| row.get(0))?;
        let found = found.collect::<rusqlite::Result<BTreeSet<PaperNumber>>>()?;
        if !have_too_many_records(connection, &found)? {
            numbers.extend(found);
        }
    }
    Ok(numbers)
}

/// Whether these papers have more than [`MAX_SHARED`] records in total.
fn have_too_many_records(connection: &Connection, numbers: &BTreeSet<PaperNumber>) -> Result<bool> {
    if numbers.len() > MAX_SHARED {
        return Ok(true);
    }
    let mut remaining = MAX_SHARED;
    for number in numbers {
        match remaining.checked_sub(record_count(connection, *number, MAX_SHARED + 1)?) {
            Some(fewer) => remaining = fewer,
            None => return Ok(true),
        }
    }
    Ok(false)
}

/// Returns `record`, which is to be written, without its shared ids. An id, such as the DOI of a volume, is shared if
/// the papers with this id have more than [`MAX_SHARED`] records in total: `record` would be compared with all of them.
/// An id is kept if one of these papers already has an older version of `record`. If all ids would be removed, the
/// record is returned unchanged.
fn without_shared_ids<'a>(connection: &Connection, record: &'a Paper) -> Result<Cow<'a, Paper>> {
    let (mut kept, mut shared) = (Vec::new(), Vec::new());
    for id in record.ids() {
        let numbers = numbers_of(connection, id)?;
        let is_shared =
            have_too_many_records(connection, &numbers)? && !is_record_of(connection, record, id, &numbers)?;
        if is_shared { shared.push(id) } else { kept.push(id) }
    }
    let Some((first, others)) = kept.split_first().filter(|_| !shared.is_empty()) else {
        return Ok(Cow::Borrowed(record));
    };
    tracing::debug!(
        "record {first}: the ids {shared:?} are ignored, because the papers with each of them have more than \
         {MAX_SHARED} records"
    );
    let alternate_ids = others.iter().map(|id| (*id).clone()).collect();
    Ok(Cow::Owned(Paper { id: (*first).clone(), alternate_ids, ..record.clone() }))
}

/// Whether one of the papers `numbers`, which all have the id `id`, already has an older version of `record`.
fn is_record_of(
    connection: &Connection,
    record: &Paper,
    id: &PaperId,
    numbers: &BTreeSet<PaperNumber>,
) -> Result<bool> {
    let is_identified_by_id = *id == record.id && !has_source_id(record);
    let mut to_check = if is_identified_by_id { numbers.clone() } else { BTreeSet::new() };
    for other in record.ids().filter(|other| *other != id) {
        to_check.extend(numbers_of(connection, other)?.intersection(numbers));
    }
    for number in &to_check {
        if records_of(connection, *number)?.iter().any(|other| is_same_record(other, record)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds to `numbers` the papers that have one of `removed_ids`, the ids that a record is about to lose. The change can
/// split the record's paper, and the split-off records can then belong to one of these other papers. Returns whether
/// any papers were added.
fn add_papers_with_ids(
    connection: &Connection,
    numbers: &mut BTreeSet<PaperNumber>,
    removed_ids: &[PaperId],
) -> Result<bool> {
    let count_before = numbers.len();
    for id in removed_ids {
        numbers.append(&mut numbers_of(connection, id)?);
    }
    Ok(numbers.len() > count_before)
}

/// A record, and the number of its paper. `None` if the record has no paper yet.
type NumberedRecord = (Option<PaperNumber>, Paper);

fn records_of_all(connection: &Connection, numbers: &BTreeSet<PaperNumber>) -> Result<Vec<NumberedRecord>> {
    let mut all = Vec::new();
    for number in numbers {
        all.extend(records_of(connection, *number)?.into_iter().map(|record| (Some(*number), record)));
    }
    Ok(all)
}

/// The count of readable records of each paper, by the paper's number.
type RecordCounts = BTreeMap<PaperNumber, usize>;

fn count_records(numbers: &BTreeSet<PaperNumber>, records: &[NumberedRecord]) -> RecordCounts {
    let count = |number: &PaperNumber| records.iter().filter(|(of, _)| of.as_ref() == Some(number)).count();
    numbers.iter().map(|number| (*number, count(number))).collect()
}

/// Writes papers whose records have changed, and appends them to `changed`. `before` has the count of records that each
/// paper had before the change. `new` is the added record or the new version of a record; `None` if records were
/// removed. A written paper takes over the number of a paper that one of its records came from, if no other paper has
/// taken this number. Otherwise, it takes over the number of a paper without readable records, or gets a new number.
/// Old papers whose numbers are not taken over are deleted.
fn write_papers(
    connection: &Connection,
    papers: Vec<Vec<NumberedRecord>>,
    before: &RecordCounts,
    new: Option<&Paper>,
    context: &mut WriteContext,
    changed: &mut Vec<Paper>,
) -> Result<()> {
    let mut free: BTreeSet<PaperNumber> = before.keys().copied().collect();
    let unchanged_number = |paper: &Vec<NumberedRecord>| {
        let number = paper.first().and_then(|(number, _)| *number);
        let is_unchanged = |(of, record): &NumberedRecord| *of == number && Some(record) != new;
        number.filter(|number| paper.iter().all(is_unchanged) && before.get(number) == Some(&paper.len()))
    };
    let mut to_write = Vec::with_capacity(papers.len());
    for paper in papers {
        match unchanged_number(&paper) {
            Some(number) => drop(free.remove(&number)),
            None => to_write.push(paper),
        }
    }
    if free.len() > 1 {
        // The papers can exchange ids. An id must be unique at every moment, so all these papers get a temporary id
        // first.
        let mut set_temporary_id =
            connection.prepare_cached("UPDATE papers SET id = char(0) || number WHERE number = ?1")?;
        free.iter().try_for_each(|number| set_temporary_id.execute([number]).map(drop))?;
    }
    // Papers without readable records are overwritten.
    let is_unreadable = |number: &PaperNumber| before.get(number) == Some(&0);
    let mut unreadable: Vec<PaperNumber> = free.iter().copied().filter(is_unreadable).collect();
    for paper in &to_write {
        let own = paper.iter().filter_map(|(number, _)| *number).find(|number| free.remove(number));
        let number = own.or_else(|| unreadable.pop().filter(|number| free.remove(number)));
        let records: Vec<&Paper> = paper.iter().map(|(_, record)| record).collect();
        changed.push(write(connection, number, &records, context)?);
    }
    free.iter().try_for_each(|number| delete(connection, *number, context))
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

    fn record(name: &str, title: &str, source: &str, alternate_ids: &[&str]) -> Paper {
        Paper {
            id: id(name),
            title: title.into(),
            r#abstract: format!("About {title}, says {source}."),
            authors: vec!["Ann Bee".into()],
            source: (!source.is_empty()).then(|| source.into()),
            alternate_ids: alternate_ids.iter().map(|other| id(other)).collect(),
            ..Paper::default()
        }
    }

    #[test]
    fn a_preprint_and_its_published_version_are_one_paper_until_one_is_retracted() {
        let (_folder, catalog) = catalog();
        let preprint = record("2101.00001", "Attention for all", "arxiv", &[]);
        let published = record("P19-1001", "Attention for All.", "acl", &["10.1000/x"]);
        assert_eq!(
            catalog.upsert(&[preprint.clone(), published.clone()]).unwrap(),
            [MutationOutcome::Added, MutationOutcome::Merged]
        );
        assert_eq!(
            catalog.upsert(&[preprint.clone(), published.clone()]).unwrap(),
            [MutationOutcome::Unchanged; 2]
        );
        assert_eq!(catalog.count().unwrap(), 1);
        for name in ["2101.00001", "P19-1001", "10.1000/X"] {
            let (_, paper) = catalog.find(&id(name)).unwrap().unwrap();
            assert_eq!(
                (paper.id.as_str(), paper.r#abstract.as_str()),
                ("2101.00001", preprint.r#abstract.as_str())
            );
            assert_eq!(paper.alternate_ids, [id("P19-1001"), id("10.1000/x")]);
        }
        let by = |filter: Filter| catalog.matching(&filter).unwrap().iter().count();
        assert_eq!(by(Filter { sources: Some(vec!["acl".into()]), ..Filter::default() }), 1);
        assert_eq!(by(Filter { ids: Some(vec!["10.1000/x".into()]), ..Filter::default() }), 1);

        // A new version of the published record, with another title.
        let revised = Paper { title: "Attention for all, revised".into(), ..published.clone() };
        assert_eq!(catalog.upsert(std::slice::from_ref(&revised)).unwrap(), [MutationOutcome::Replaced]);
        assert_eq!(catalog.count().unwrap(), 2, "another title and no shared id");
        assert_eq!(catalog.upsert(std::slice::from_ref(&published)).unwrap(), [MutationOutcome::Replaced]);
        assert_eq!(catalog.count().unwrap(), 1);

        let retract = |name: &str, source: Option<&str>| {
            let gone = Deletion { id: id(name), source: source.map(Into::into) };
            catalog.apply(&[Mutation::Retract(&gone)], ApplyOptions::default()).unwrap()
        };
        assert_eq!(
            retract("2101.00001", Some("acl")).outcomes,
            [MutationOutcome::NotFound],
            "the record is from another source"
        );
        let written = retract("2101.00001", Some("arxiv"));
        assert_eq!(
            (&written.outcomes[..], &written.papers[..]),
            (&[MutationOutcome::Retracted][..], std::slice::from_ref(&published))
        );
        let (_, paper) = catalog.find(&published.id).unwrap().unwrap();
        assert_eq!(paper, published);
        assert_eq!(retract("10.1000/x", Some("arxiv")).outcomes, [MutationOutcome::NotFound]);
        assert_eq!(retract("10.1000/x", None).outcomes, [MutationOutcome::Retracted]);
        assert_eq!(catalog.count().unwrap(), 0);
    }

    #[test]
    fn a_record_joins_another_paper_when_the_one_that_linked_it_changes() {
        let (_folder, catalog) = catalog();
        let claims = |name: &str, title: &str| record(name, title, "", &["10.5555/aa"]);
        let (one, two) = (claims("2201.00001", "One thing"), claims("2201.00002", "Two things"));
        let published = record("10.5555/aa", "Published", "acl", &[]);
        catalog.upsert(&[one.clone(), two.clone(), published]).unwrap();
        assert_eq!(catalog.count().unwrap(), 2);
        let paper_of = |name: &str| catalog.find(&id(name)).unwrap().unwrap().1.id;
        assert_eq!(paper_of("10.5555/aa"), id("2201.00001"));
        // The new version does not have the id of the published record.
        let without = Paper { alternate_ids: Vec::new(), ..one };
        assert_eq!(catalog.upsert(&[without]).unwrap(), [MutationOutcome::Replaced]);
        assert_eq!((catalog.count().unwrap(), paper_of("10.5555/aa")), (2, paper_of("2201.00002")));
        // The same happens if the record that the published record was merged with is retracted.
        catalog.upsert(&[claims("2201.00001", "One thing")]).unwrap();
        let gone = Deletion { id: two.id, source: None };
        catalog.apply(&[Mutation::Retract(&gone)], ApplyOptions::default()).unwrap();
        assert_eq!((catalog.count().unwrap(), paper_of("10.5555/aa")), (1, paper_of("2201.00001")));
    }

    #[test]
    fn a_record_with_the_same_id_is_merged_if_it_has_another_source_and_replaces_if_it_has_none() {
        let (_folder, catalog) = catalog();
        let arxiv = Paper { categories: vec!["cs.LG".into()], ..record("2101.00001", "One", "arxiv", &[]) };
        let daily = Paper {
            categories: vec!["agents".into()],
            ..record("2101.00001", "One again", "daily-papers", &[])
        };
        assert_eq!(
            catalog.upsert(&[arxiv.clone(), daily.clone()]).unwrap(),
            [MutationOutcome::Added, MutationOutcome::Merged]
        );
        assert_eq!(catalog.upsert(&[arxiv, daily]).unwrap(), [MutationOutcome::Unchanged; 2]);
        let paper = || catalog.find(&id("2101.00001")).unwrap().unwrap().1;
        assert_eq!((paper().title.as_str(), paper().categories.len()), ("One", 2));
        let by_hand = record("2101.00001", "By hand", "", &[]);
        assert_eq!(catalog.upsert(&[by_hand]).unwrap(), [MutationOutcome::Replaced]);
        assert_eq!(paper().title, "By hand");
    }

    #[test]
    fn a_record_without_an_abstract_keeps_the_old_one_and_starts_a_paper_only_with_title_only() {
        let (_folder, catalog) = catalog();
        let complete = record("a", "Attention for all", "s", &[]);
        let bare = |name: &str, source: &str| Paper {
            r#abstract: String::new(),
            ..record(name, "Attention for all", source, &[])
        };
        let apply = |record: &Paper, title_only| {
            catalog.apply(&[Mutation::Put(record)], ApplyOptions { title_only }).unwrap().outcomes[0]
        };
        assert_eq!(apply(&bare("b", "t"), false), MutationOutcome::WithoutAbstract);
        assert_eq!(apply(&complete, false), MutationOutcome::Added);
        assert_eq!(apply(&bare("a", "s"), false), MutationOutcome::Unchanged);
        assert_eq!(apply(&bare("b", "t"), false), MutationOutcome::Merged, "its paper is in the catalog now");
        assert_eq!(catalog.find(&id("b")).unwrap().unwrap().1.r#abstract, complete.r#abstract);
        let other = Paper { title: "Quite another title".into(), ..bare("c", "t") };
        assert_eq!(apply(&other, true), MutationOutcome::Added);
    }

    /// Adds `count` records. Returns the mean time per record of the second half of the records, in seconds.
    fn seconds_per_record(record: impl Fn(usize) -> Paper, count: usize) -> f64 {
        let (_folder, catalog) = catalog();
        let records: Vec<Paper> = (0..count).map(record).collect();
        let (first, second) = records.split_at(count / 2);
        first.chunks(500).for_each(|records| drop(catalog.upsert(records).unwrap()));
        let started = std::time::Instant::now();
        second.chunks(500).for_each(|records| drop(catalog.upsert(records).unwrap()));
        let seconds = started.elapsed().as_secs_f64();
        let is_found = |paper: &Paper| paper.ids().all(|id| catalog.find(id).unwrap().is_some());
        assert!(records.iter().all(is_found), "every record is found");
        seconds / second.len() as f64
    }

    #[test]
    fn records_that_share_a_title_or_an_id_are_written_as_fast_as_others() {
        const COUNT: usize = 4000;
        let text = |number: usize| format!("Number {number} says this and that of bees in winter.");
        let with = |number: usize, title: String, alternate_ids: &[&str]| Paper {
            published: Some("2020".into()),
            r#abstract: text(number),
            ..record(&format!("p{number}"), &title, "s", alternate_ids)
        };
        let others =
            seconds_per_record(|number| with(number, format!("A title of its own, {number}"), &[]), COUNT);
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
            ("title", seconds_per_record(same, COUNT)),
            ("volume", seconds_per_record(of_a_volume, COUNT)),
            ("arXiv", seconds_per_record(of_arxiv, COUNT)),
            ("numbered", seconds_per_record(numbered, COUNT)),
        ] {
            println!("{name}: {:.0} µs per record, others {:.0} µs", seconds * 1e6, others * 1e6);
            // A generous limit, because other processes share the machine.
            assert!(seconds < 4.0 * others, "{name}: {seconds} s per record, others {others} s");
        }
    }

    #[test]
    fn ids_that_an_older_version_stored_decomposed_are_found() {
        let (_folder, catalog) = catalog();
        let old = Paper {
            id: PaperId::stored("cafe\u{301}/1".into()),
            ..record("x", "A title for coffee", "s", &[])
        };
        catalog.upsert(std::slice::from_ref(&old)).unwrap();
        let (_, found) = catalog.find(&id("caf\u{e9}/1")).unwrap().unwrap();
        assert_eq!(found.title, old.title);
        // The same record, with its id in the form in which ids are parsed now.
        catalog.upsert(&[record("caf\u{e9}/1", "A title for coffee", "s", &[])]).unwrap();
        assert_eq!(catalog.count().unwrap(), 1);
        assert_eq!(catalog.delete(&[id("cafe\u{301}/1")]).unwrap(), [true]);
    }

    #[test]
    fn an_id_that_too_many_records_share_stays_with_the_first_ones() {
        let (_folder, catalog) = catalog();
        let chapter = |number: usize| {
            record(&format!("c{number}"), &format!("Chapter {number} of a volume"), "s", &["10.1000/volume"])
        };
        let chapters: Vec<Paper> = (0..2 * MAX_SHARED).map(chapter).collect();
        let outcomes = catalog.upsert(&chapters).unwrap();
        let added = outcomes.iter().filter(|outcome| **outcome == MutationOutcome::Added).count();
        assert_eq!((added, catalog.count().unwrap()), (MAX_SHARED, MAX_SHARED), "the first are one paper");
        assert_eq!(catalog.upsert(&chapters).unwrap(), vec![MutationOutcome::Unchanged; 2 * MAX_SHARED]);
        let (_, volume) = catalog.find(&id("10.1000/volume")).unwrap().unwrap();
        assert_eq!(volume.id, id("c0"));
    }

    #[test]
    fn a_paper_can_be_deleted_by_any_of_its_ids() {
        let (_folder, catalog) = catalog();
        catalog
            .upsert(&[
                record("a", "Attention for all", "s", &["10.1000/x"]),
                record("b", "Attention for all", "t", &[]),
            ])
            .unwrap();
        assert_eq!(catalog.delete(&[id("10.1000/X"), id("a")]).unwrap(), [true, false]);
        assert_eq!(catalog.count().unwrap(), 0);
        assert_eq!(
            catalog.upsert(&[record("b", "Attention for all", "t", &[])]).unwrap(),
            [MutationOutcome::Added]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn papers_are_the_groups_of_the_records_after_any_mutations(
            steps in proptest::collection::vec((0..6_usize, 0..3_usize, 0..3_usize, 0..4_usize, 0..5_usize), 1..40),
        ) {
            let (_folder, catalog) = catalog();
            let mut model: BTreeMap<(String, usize), Paper> = BTreeMap::new();
            for (name, source, title, other, step) in steps {
                let (name, source_name) = (format!("p{name}"), ["s", "t", "u"][source]);
                if step == 0 {
                    let gone = Deletion { id: id(&name), source: Some(source_name.into()) };
                    catalog.apply(&[Mutation::Retract(&gone)], ApplyOptions::default()).unwrap();
                    model.retain(|(_, by), record| *by != source || !(record.id.as_str() == name || record.alternate_ids.contains(&id(&name))));
                } else {
                    let titles = ["The first of titles", "The second of titles", "The third of titles"];
                    let others = format!("p{other}");
                    let others: Vec<&str> = if step > 2 && others != name { vec![&others] } else { vec![] };
                    let record = record(&name, titles[title], source_name, &others);
                    catalog.upsert(std::slice::from_ref(&record)).unwrap();
                    model.insert((name, source), record);
                }
                if step == 4 && title == 0 {
                    let gone = id(&format!("p{other}"));
                    let existed = catalog.delete(std::slice::from_ref(&gone)).unwrap()[0];
                    // The paper is deleted with all its records.
                    if existed {
                        let group = group_records(model.iter().map(|(key, record)| (key.clone(), record.clone())).collect());
                        let group = group.into_iter().find(|paper| paper.iter().any(|(_, record)| record.ids().any(|id| *id == gone)));
                        group.into_iter().flatten().for_each(|(key, _)| drop(model.remove(&key)));
                    }
                }
                prop_assert!(catalog.doc_freqs_are_correct().unwrap());
                let with = catalog.papers_with_term("title", 100).unwrap().len();
                prop_assert_eq!((with, catalog.doc_freqs(&["title"]).unwrap()[0]), (with, with));
                let expected = group_records(model.values().map(|record| ((), record.clone())).collect());
                prop_assert_eq!(catalog.count().unwrap(), expected.len());
                for paper in expected {
                    let ids: BTreeSet<&PaperId> = paper.iter().flat_map(|(_, record)| record.ids()).collect();
                    for id in &ids {
                        let found = catalog.find(id).unwrap().unwrap().1;
                        let found_ids: BTreeSet<&PaperId> = std::iter::once(&found.id).chain(&found.alternate_ids).collect();
                        prop_assert_eq!(&found_ids, &ids);
                    }
                }
            }
        }
    }
}
