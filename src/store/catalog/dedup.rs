//! Deduplication: groups records into papers, and merges the records of a group into one paper.
//!
//! A preprint, its published version, and the entries for it in other sources are separate records with different ids.
//! A search returns all of them as one paper.

use super::labels::transliterate;
use crate::store::text::{TextHash, text_of};
use likewise_papers::paper::{IdKind, Paper, PaperId, parse_date};
use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Minimum number of letters and digits in a title that identifies a paper.
const MIN_TITLE_LETTERS: usize = 10;

/// Minimum number of words in a title that identifies a paper. Shorter titles, such as `Book Review`, are the titles of
/// many papers.
const MIN_TITLE_WORDS: usize = 3;

/// Maximum number of years between two records of one paper, such as a preprint and its published version. Records that
/// share an id can be further apart.
const MAX_YEARS_APART: i32 = 5;

/// Sources of published papers. A paper with a record from one of these sources that is not withdrawn counts as not
/// withdrawn, even if its preprint is withdrawn.
const PUBLISHED_SOURCES: [&str; 3] = ["acl", "pubmed", "papercopilot"];

/// The blocking keys of a record. Two records can be of the same paper only if they share an id or a blocking key. The
/// keys are a hash of the title with the first author, and a hash of the text. The first key is missing if the title is
/// too short or there is no author, the second if there is no abstract.
pub fn blocking_keys(record: &Paper) -> Vec<i64> {
    let hash = |text: &str| {
        let hash = TextHash::of(text).0;
        i64::from_le_bytes(hash[..8].try_into().unwrap_or_default())
    };
    let title_key = title_and_author(record).map(|text| hash(&text));
    let text_key = (!record.r#abstract.is_empty()).then(|| hash(&text_of(record)));
    title_key.into_iter().chain(text_key).collect()
}

/// Whether two records are versions of the same record, so that the later version replaces the earlier one:
/// - If both records have the same source, they must have the same source id. If one of the two records has no source
///   id, they must have the same id.
/// - If the records have different sources, they are not versions of the same record.
/// - If a record has no source (it was written by hand), the two records must have the same id.
pub fn is_same_record(one: &Paper, other: &Paper) -> bool {
    match (&one.source, &other.source) {
        (Some(source), Some(other_source)) if source == other_source => {
            match (source_id(one, source), source_id(other, source)) {
                (Some(id), Some(other_id)) => id == other_id,
                _ => one.id == other.id,
            }
        }
        (Some(_), Some(_)) => false,
        _ => one.id == other.id,
    }
}

/// Whether a record has a source id: see [`source_id`].
pub fn has_source_id(record: &Paper) -> bool {
    record.source.as_deref().is_some_and(|source| source_id(record, source).is_some())
}

/// The id that the source itself assigned to a record. This id identifies the record, because the source can change the
/// record's other ids. `None` if the source assigns no ids or the record lacks this id.
fn source_id<'a>(record: &'a Paper, source: &str) -> Option<&'a PaperId> {
    let prefix = match source {
        "openalex" => "openalex:",
        "semantic-scholar" => "corpusid:",
        "pubmed" => "pmid:",
        _ => return None,
    };
    record.ids().find(|id| id.as_str().starts_with(prefix))
}

/// Whether two records are of the same paper. They are not if their ids conflict ([`have_conflicting_ids`]). Otherwise,
/// they are if they share an id. They also are if they have the same title and first author, or the same text and one
/// of them has no authors; but only if their years are close ([`have_close_years`]) and they are not distinct works
/// ([`are_distinct_works`]).
pub fn is_same_paper(one: &Paper, other: &Paper) -> bool {
    if have_conflicting_ids(one, other) {
        return false;
    }
    let share_id = one.ids().any(|id| other.ids().any(|other| id == other));
    let match_by_content = || have_same_title(one, other) || have_same_text(one, other);
    share_id || (have_close_years(one, other) && match_by_content() && !are_distinct_works(one, other))
}

/// Whether two records have the same title and first author. The title must be long enough to identify a paper. The
/// last names must be equal, and one given name, if both are known, must be the beginning of the other.
fn have_same_title(one: &Paper, other: &Paper) -> bool {
    let given = |record: &Paper| record.authors.first().and_then(|author| given_name(author));
    // One of the two given names can be the initial of the other one.
    let are_different =
        |one: &String, other: &String| !one.starts_with(other.as_str()) && !other.starts_with(one.as_str());
    let differ = given(one).zip(given(other)).is_some_and(|(one, other)| are_different(&one, &other));
    !differ && title_and_author(one).is_some_and(|title| title_and_author(other) == Some(title))
}

fn have_same_text(one: &Paper, other: &Paper) -> bool {
    let lacks_authors = one.authors.is_empty() || other.authors.is_empty();
    lacks_authors && !one.r#abstract.is_empty() && text_of(one) == text_of(other)
}

/// Whether the ids of two records show that the records are of different papers: both records have ids from arXiv but
/// share none of these ids, or the same is true of ids from PubMed or the ACL Anthology. Each of these three sources
/// assigns one id per paper. A DOI that two such records share is therefore the DOI of a volume, or a mistake.
fn have_conflicting_ids(one: &Paper, other: &Paper) -> bool {
    fn ids_of(record: &Paper, kind: IdKind) -> impl Iterator<Item = &PaperId> {
        record.ids().filter(move |id| id.kind() == kind)
    }
    let conflict = |kind| {
        let mut ids = ids_of(one, kind).peekable();
        ids.peek().is_some()
            && ids_of(other, kind).next().is_some()
            && !ids.any(|id| ids_of(other, kind).any(|other| id == other))
    };
    [IdKind::Arxiv, IdKind::Pubmed, IdKind::Acl].into_iter().any(conflict)
}

/// Whether two records that have the same title or are in one paper are of different works, such as two articles of a
/// series with a fixed title. The works are different if both conditions hold: the records have different ids of one
/// kind (DOI, OpenAlex or Semantic Scholar), and their abstracts share few words. False if one of the records has no
/// abstract. A preprint and its published version can also have different DOIs, but have similar abstracts.
fn are_distinct_works(one: &Paper, other: &Paper) -> bool {
    /// Two abstracts of the same work share at least this fraction of the distinct words of the shorter abstract.
    const MIN_SHARED_WORDS: f64 = 0.5;
    const NUMBER_PREFIXES: [&str; 2] = ["openalex:", "corpusid:"];
    let differ_in = |is_kind: &dyn Fn(&&PaperId) -> bool| {
        let ids =
            |record: &Paper| -> Vec<PaperId> { record.ids().filter(|id| is_kind(id)).cloned().collect() };
        let (ids, others) = (ids(one), ids(other));
        !ids.is_empty() && !others.is_empty() && !ids.iter().any(|id| others.contains(id))
    };
    let have_different_ids = differ_in(&|id| id.kind() == IdKind::Doi)
        || NUMBER_PREFIXES.iter().any(|prefix| differ_in(&|id| id.as_str().starts_with(prefix)));
    if !have_different_ids || one.r#abstract.is_empty() || other.r#abstract.is_empty() {
        return false;
    }
    fn words(text: &str) -> HashSet<&str> {
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
    }
    let (words, others) = (words(&one.r#abstract), words(&other.r#abstract));
    let shared = words.intersection(&others).count();
    (shared as f64) < MIN_SHARED_WORDS * words.len().min(others.len()) as f64
}

/// Whether two records were published at most [`MAX_YEARS_APART`] years apart. True if one of the records has no date.
fn have_close_years(one: &Paper, other: &Paper) -> bool {
    let year = |record: &Paper| {
        let days = parse_date(record.published.as_deref()?).ok()?;
        days.first.get(..4)?.parse::<i32>().ok()
    };
    year(one).zip(year(other)).is_none_or(|(one, other)| (one - other).abs() <= MAX_YEARS_APART)
}

/// The normalised title, a space, and the last name of the first author. Ignores case, accents and punctuation. `None`
/// if the title is too short to identify a paper, or if there is no author.
fn title_and_author(record: &Paper) -> Option<String> {
    let title = letters(&record.title);
    let is_long = title.chars().count() >= MIN_TITLE_LETTERS
        && record.title.split_whitespace().count() >= MIN_TITLE_WORDS;
    let author = last_name(record.authors.first()?);
    (is_long && !author.is_empty()).then(|| format!("{title} {author}"))
}

/// The normalised last name of an author: `bee` for `Ann Bee`, `Bee, Ann` and `A. Bee Jr.`.
fn last_name(author: &str) -> String {
    let name = author.split_once(',').map_or(author, |(last, _)| last);
    let words: Vec<String> = name.split_whitespace().map(letters).filter(|word| !word.is_empty()).collect();
    let is_suffix = |word: &&String| ["jr", "sr", "ii", "iii", "iv"].contains(&word.as_str());
    words.iter().rev().find(|word| !is_suffix(word)).cloned().unwrap_or_default()
}

/// The normalised given name of an author: `ann` for `Ann Bee` and `Bee, Ann`, `a` for `A. Bee`. `None` if the author
/// has only a last name.
fn given_name(author: &str) -> Option<String> {
    let given = match author.split_once(',') {
        Some((_, given)) => given,
        None => author.trim().rsplit_once(char::is_whitespace)?.0,
    };
    given.split_whitespace().map(letters).find(|name| !name.is_empty())
}

/// The letters and digits of a text, in lower case and without accents.
fn letters(text: &str) -> String {
    let text = transliterate(text);
    let letters = text.nfkd().filter(|letter| !is_combining_mark(*letter) && letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Groups records into papers. The papers, and the records of each paper, are in the order of the input. A record that
/// matches several papers merges them, but if two of them have conflicting ids, it joins only one of the two. `T` is
/// data that the caller keeps with each record.
pub fn group_records<T>(records: Vec<(T, Paper)>) -> Vec<Vec<(T, Paper)>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    (0..records.len()).for_each(|index| add_to_groups(&mut groups, &records, index));
    collect_groups(groups, records)
}

/// Adds the record `new` to records that are already grouped into papers as [`group_records`] groups them. In
/// `records`, the records of a paper follow each other and have equal `T`. Returns the groups that [`group_records`]
/// would return for all the records, in a fraction of the time. Only if `new` matches papers with conflicting ids,
/// `group_records` could choose another of these papers.
pub fn regroup_with<T: PartialEq>(records: Vec<(T, Paper)>, new: (T, Paper)) -> Vec<Vec<(T, Paper)>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, (paper, _)) in records.iter().enumerate() {
        match groups.last_mut().filter(|last| records[last[0]].0 == *paper) {
            Some(last) => last.push(index),
            None => groups.push(vec![index]),
        }
    }
    let records: Vec<(T, Paper)> = records.into_iter().chain([new]).collect();
    add_to_groups(&mut groups, &records, records.len() - 1);
    collect_groups(groups, records)
}

/// Adds the record with this index to the groups of the earlier records. The record starts a new group, joins one
/// group, or merges several groups.
fn add_to_groups<T>(groups: &mut Vec<Vec<usize>>, records: &[(T, Paper)], index: usize) {
    let record = |index: &usize| &records[*index].1;
    let mut merged: Vec<usize> = Vec::new();
    groups.retain(|group| {
        let members = || group.iter().map(record);
        let is_compatible =
            |other: &Paper| merged.iter().map(record).all(|one| !have_conflicting_ids(one, other));
        let joins = belongs_to(record(&index), members()) && members().all(is_compatible);
        if joins {
            merged.extend(group);
        }
        !joins
    });
    merged.push(index);
    merged.sort_unstable();
    groups.push(merged);
}

/// The records of each group. The groups and their records keep the order of `records`.
fn collect_groups<T>(mut groups: Vec<Vec<usize>>, records: Vec<(T, Paper)>) -> Vec<Vec<(T, Paper)>> {
    groups.sort_unstable();
    let mut records: Vec<Option<(T, Paper)>> = records.into_iter().map(Some).collect();
    let collect = |group: Vec<usize>| group.into_iter().filter_map(|index| records[index].take()).collect();
    groups.into_iter().map(collect).collect()
}

/// Whether a record is of the same paper as the records of a group. It must match at least one record of the group. Its
/// ids must not conflict with those of any record of the group. Each record with which it shares no id must be of a
/// close year and must not be a distinct work.
fn belongs_to<'a>(record: &Paper, mut group: impl Iterator<Item = &'a Paper> + Clone) -> bool {
    let is_compatible = |other: &Paper| {
        let share_id = other.ids().any(|id| record.ids().any(|other| id == other));
        !have_conflicting_ids(other, record)
            && (share_id || (have_close_years(other, record) && !are_distinct_works(other, record)))
    };
    group.clone().all(is_compatible) && group.any(|other| is_same_paper(other, record))
}

/// Merges the records of a paper into one paper. The paper has the id of the first record, and the other fields of the
/// first record that has an abstract and is not withdrawn. If there is no such record, the other fields are those of
/// the first record that is not withdrawn; if all are withdrawn, those of the first record. If that record lacks a
/// date, venue, URL or authors, the field comes from the first record that has it. The source is that of the first
/// record that has a source. The categories are those of all records, and all other ids become alternate ids. Whether
/// the paper is withdrawn depends on all records ([`is_withdrawn`]). If there are no records, the paper is empty.
pub fn merge_records(records: &[&Paper]) -> Paper {
    let Some(first) = records.first() else { return Paper::default() };
    let is_valid = |record: &&&Paper| !record.withdrawn;
    let base = records.iter().find(|record| is_valid(record) && !record.r#abstract.is_empty());
    let base = base.or_else(|| records.iter().find(is_valid)).unwrap_or(first);
    let mut paper = Paper { id: first.id.clone(), withdrawn: is_withdrawn(records), ..(**base).clone() };
    let fill = |field: &mut Option<String>, get: fn(&Paper) -> &Option<String>| {
        *field = field.take().or_else(|| records.iter().find_map(|record| get(record).clone()));
    };
    fill(&mut paper.published, |record| &record.published);
    fill(&mut paper.venue, |record| &record.venue);
    fill(&mut paper.url, |record| &record.url);
    paper.source = records.iter().find_map(|record| record.source.clone());
    if paper.authors.is_empty() {
        paper.authors = records
            .iter()
            .map(|record| &record.authors)
            .find(|authors| !authors.is_empty())
            .cloned()
            .unwrap_or_default();
    }
    let mut seen: HashSet<String> = paper.categories.iter().map(|category| category.to_lowercase()).collect();
    for category in records.iter().flat_map(|record| &record.categories) {
        if seen.insert(category.to_lowercase()) {
            paper.categories.push(category.clone());
        }
    }
    let mut seen = HashSet::from([&first.id]);
    paper.alternate_ids =
        records.iter().flat_map(|record| record.ids()).filter(|id| seen.insert(id)).cloned().collect();
    paper
}

/// Whether a paper is withdrawn: one of its records is withdrawn, and no record from [`PUBLISHED_SOURCES`] is still
/// valid. A valid record from another source does not count, because other sources do not report withdrawals.
fn is_withdrawn(records: &[&Paper]) -> bool {
    let is_published =
        |record: &Paper| record.source.as_deref().is_some_and(|source| PUBLISHED_SOURCES.contains(&source));
    let is_still_published = records.iter().any(|record| !record.withdrawn && is_published(record));
    !is_still_published && records.iter().any(|record| record.withdrawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, title: &str, author: &str) -> Paper {
        Paper {
            id: PaperId::parse(id).unwrap(),
            title: title.into(),
            r#abstract: format!("About {title}."),
            authors: if author.is_empty() { vec![] } else { vec![author.into(), "Someone Else".into()] },
            ..Paper::default()
        }
    }

    fn with_alternate_id(record: Paper, id: &str) -> Paper {
        Paper { alternate_ids: vec![PaperId::parse(id).unwrap()], ..record }
    }

    #[test]
    fn records_with_a_common_id_title_or_text_are_the_same_paper() {
        let preprint = record("2101.00001", "Attention: Is it all?", "Ann Bée Jr.");
        let published = record("10.1000/x", "ATTENTION — is it ALL", "Bee, Ann");
        assert!(is_same_paper(&preprint, &published));
        assert!(is_same_paper(&with_alternate_id(record("a", "T", ""), "10.1000/x"), &published), "same id");
        assert!(
            is_same_paper(
                &preprint,
                &Paper { id: PaperId::parse("b").unwrap(), authors: vec![], ..preprint.clone() }
            ),
            "same text, and no authors"
        );
        let other_papers = [
            record("2101.00002", "Attention: Is it all?", "Ann Bee"),
            record("10.1000/x", "Attention: Is it all?", "Cee Bea"),
            Paper { published: Some("2030".into()), ..published.clone() },
            record("10.1000/x", "Attention", "Ann Bee"),
            record("10.1000/x", "Attention: is it all?", "Zoë Bee"),
            with_alternate_id(record("2101.00002", "Attention: is it all?", "Ann Bee"), "10.1000/v"),
        ];
        let preprint = with_alternate_id(preprint, "10.1000/v");
        let preprint = Paper { published: Some("2021-01".into()), ..preprint };
        for other in other_papers {
            assert!(!is_same_paper(&preprint, &other), "{other:?}");
        }
        let short = |id: &str| record(id, "Editorial", "Ann Bee");
        assert!(!is_same_paper(&short("a"), &short("b")), "the title is too short");
    }

    #[test]
    fn works_with_the_same_title_but_other_ids_and_abstracts_are_different_papers() {
        let with = |id: &str, r#abstract: &str| Paper {
            r#abstract: r#abstract.into(),
            ..record(id, "News from the hive", "Ann Bee")
        };
        let wings = with("10.5555/hive.1", "In this issue we look at wings and flight.");
        let honey = with("10.5555/hive.2", "This month honey and its sugars are discussed.");
        assert!(!is_same_paper(&wings, &honey));
        assert_eq!(group_records(vec![((), wings.clone()), ((), honey.clone())]).len(), 2);
        // A preprint with another DOI and a similar abstract.
        let preprint = with("10.1101/2018.1", "In this issue, we look at the wings and flight of bees.");
        assert!(is_same_paper(&wings, &preprint));
        assert!(is_same_paper(&with("2101.00001", "Something else."), &honey), "only one has a DOI");
        assert!(
            is_same_paper(&with("10.5555/hive.3", ""), &honey),
            "without an abstract they cannot be distinguished"
        );
        let openalex = |id: &str, r#abstract: &str| with_alternate_id(with("x", r#abstract), id);
        assert!(!is_same_paper(
            &openalex("openalex:W1", "Wings."),
            &Paper { id: PaperId::parse("y").unwrap(), ..openalex("openalex:W2", "Honey.") }
        ));
    }

    #[test]
    fn records_of_the_same_paper_share_a_blocking_key() {
        let one = record("a", "Attention: is it all?", "Ann Bee");
        let other = record("b", "Attention is it all", "Bee, A.");
        assert!(blocking_keys(&one).iter().any(|key| blocking_keys(&other).contains(key)));
        let without_authors = Paper { authors: vec![], ..one.clone() };
        assert!(blocking_keys(&one).iter().any(|key| blocking_keys(&without_authors).contains(key)));
    }

    #[test]
    fn a_record_that_matches_two_papers_merges_them() {
        let records = vec![record("a", "One", ""), record("b", "Two", ""), record("c", "Three", "")];
        assert_eq!(group_records(records.clone().into_iter().map(|record| ((), record)).collect()).len(), 3);
        let bridge = with_alternate_id(record("c", "Three", ""), "a");
        let bridge = Paper {
            alternate_ids: [bridge.alternate_ids, vec![PaperId::parse("b").unwrap()]].concat(),
            ..bridge
        };
        let papers = group_records(vec![((), records[0].clone()), ((), records[1].clone()), ((), bridge)]);
        let ids: Vec<&str> = papers[0].iter().map(|(_, record)| record.id.as_str()).collect();
        assert_eq!((papers.len(), &ids[..]), (1, &["a", "b", "c"][..]));
        // The order of the records makes no difference.
        let late = with_alternate_id(record("d", "Four", ""), "a");
        let last = Paper {
            alternate_ids: vec![PaperId::parse("b").unwrap(), PaperId::parse("a").unwrap()],
            ..record("e", "Five", "")
        };
        let records = [&records[..2], &[late, last]].concat();
        let papers = group_records(records.into_iter().map(|record| ((), record)).collect());
        let ids: Vec<&str> = papers[0].iter().map(|(_, record)| record.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "d", "e"]);
    }

    #[test]
    fn a_record_that_matches_two_different_papers_joins_one() {
        let (one, two) = (record("2101.00001", "One", ""), record("2101.00002", "Two", ""));
        let both = with_alternate_id(record("2101.00001", "Both", ""), "2101.00002");
        let papers = group_records(vec![((), one), ((), two), ((), both)]);
        assert_eq!(papers.iter().map(Vec::len).sum::<usize>(), 3);
        assert_eq!(papers.len(), 2);
    }

    #[test]
    fn records_of_one_source_are_identified_by_the_source_id() {
        let of = |source: &str, record: Paper| Paper { source: Some(source.into()), ..record };
        let before = of("semantic-scholar", record("corpusid:5", "T", ""));
        let after = of("semantic-scholar", with_alternate_id(record("2101.00001", "T", ""), "corpusid:5"));
        assert!(is_same_record(&before, &after));
        let other = of("openalex", with_alternate_id(record("10.1000/x", "T", ""), "openalex:W1"));
        let its_twin = of("openalex", with_alternate_id(record("10.1000/x", "T", ""), "openalex:W2"));
        assert!(!is_same_record(&other, &its_twin) && is_same_paper(&other, &its_twin));
    }

    #[test]
    fn merge_records_combines_the_fields_of_all_records() {
        let withdrawn = Paper {
            source: Some("arxiv".into()),
            withdrawn: true,
            categories: vec!["cs.LG".into()],
            published: Some("2021".into()),
            ..record("2101.00001", "Old", "A B")
        };
        let title_only =
            Paper { r#abstract: String::new(), source: Some("acl".into()), ..record("P19-1001", "New", "") };
        let complete = Paper {
            venue: Some("ACL".into()),
            categories: vec!["CS.lg".into(), "nlp".into()],
            ..with_alternate_id(record("10.1000/x", "New", ""), "2101.00001")
        };
        let paper = merge_records(&[&withdrawn, &title_only, &complete]);
        assert_eq!((paper.id.as_str(), paper.title.as_str(), paper.withdrawn), ("2101.00001", "New", false));
        assert_eq!(
            (paper.venue.as_deref(), paper.published.as_deref(), paper.source.as_deref()),
            (Some("ACL"), Some("2021"), Some("arxiv"))
        );
        assert_eq!((&paper.authors[0][..], paper.categories.len()), ("A B", 2));
        assert_eq!(
            paper.alternate_ids.iter().map(PaperId::as_str).collect::<Vec<_>>(),
            ["P19-1001", "10.1000/x"]
        );
        let other_source =
            Paper { source: Some("semantic-scholar".into()), ..record("2101.00001", "Old", "A B") };
        assert!(
            merge_records(&[&withdrawn]).withdrawn && merge_records(&[&withdrawn, &other_source]).withdrawn
        );
        assert_eq!(merge_records(&[&complete]), complete, "a single record is the paper");
    }
}
