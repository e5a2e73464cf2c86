//! Which records are one paper, and what that paper is.
//!
//! Its own file because it is a question of its own: a preprint, what was published of it, and what others say of
//! both come as records with ids of their own, and people want one answer.

use super::labels::folded;
use crate::store::text::{TextHash, text_of};
use likewise_papers::paper::{Kind, Paper, PaperId, parse_date};
use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Fewest letters and digits, and words, of a title that tells a paper: `Book Review` is many papers' title.
const SHORTEST_TITLE: (usize, usize) = (10, 3);

/// Most years between a preprint and what was published of it.
const YEARS_APART: i32 = 5;

/// Sources whose records of published papers say that a paper stands, even if its preprint was taken back.
const PUBLISHED: [&str; 3] = ["acl", "pubmed", "papercopilot"];

/// What a record can be found by, beside its ids: hashes of its title with its first author, and of its text.
pub fn marks(record: &Paper) -> Vec<i64> {
    let hash = |text: &str| {
        let hash = TextHash::of(text).0;
        i64::from_le_bytes(hash[..8].try_into().unwrap_or_default())
    };
    let by_title = title_and_author(record).map(|text| hash(&text));
    let by_text = (!record.r#abstract.is_empty()).then(|| hash(&text_of(record)));
    by_title.into_iter().chain(by_text).collect()
}

/// Whether two records are the same record, of which the later replaces the earlier: of one source, with its own number
/// or, where it has none, one id. A record that somebody wrote by hand, without a source, is whoever's record.
pub fn is_same_record(one: &Paper, other: &Paper) -> bool {
    match (&one.source, &other.source) {
        (Some(source), Some(of)) if source == of => {
            match (own_number(one, source), own_number(other, source)) {
                (Some(number), Some(of)) => number == of,
                _ => one.id == other.id,
            }
        }
        (Some(_), Some(_)) => false,
        _ => one.id == other.id,
    }
}

/// Whether a record is known by the number that its source has for it, and not by what it is called.
pub fn has_own_number(record: &Paper) -> bool {
    record.source.as_deref().is_some_and(|source| own_number(record, source).is_some())
}

/// The number that a source itself has for a record: the ids that it knows of may change.
fn own_number<'a>(record: &'a Paper, source: &str) -> Option<&'a PaperId> {
    let begins = match source {
        "openalex" => "openalex:",
        "semantic-scholar" => "corpusid:",
        "pubmed" => "pmid:",
        _ => return None,
    };
    record.ids().find(|id| id.as_str().starts_with(begins))
}

/// Whether two records are of the same paper: by an id that both have, or by title and first author, or, where one of
/// them has no authors, by every word.
pub fn is_same_paper(one: &Paper, other: &Paper) -> bool {
    if has_two_ids(one, other) {
        return false;
    }
    let by_id = one.ids().any(|id| other.ids().any(|other| id == other));
    let by_words = || have_same_title(one, other) || have_same_text(one, other);
    by_id || (are_near(one, other) && by_words() && !are_two_works(one, other))
}

fn have_same_title(one: &Paper, other: &Paper) -> bool {
    let given = |record: &Paper| record.authors.first().and_then(|author| given_name(author));
    // One may be the first letter of the other.
    let are_two =
        |one: &String, other: &String| !one.starts_with(other.as_str()) && !other.starts_with(one.as_str());
    let differ = given(one).zip(given(other)).is_some_and(|(one, other)| are_two(&one, &other));
    !differ && title_and_author(one).is_some_and(|title| title_and_author(other) == Some(title))
}

fn have_same_text(one: &Paper, other: &Paper) -> bool {
    let unsigned = one.authors.is_empty() || other.authors.is_empty();
    unsigned && !one.r#abstract.is_empty() && text_of(one) == text_of(other)
}

/// Whether who gives a paper one id gave them two: a DOI that both have is that of a volume, or a mistake.
fn has_two_ids(one: &Paper, other: &Paper) -> bool {
    fn of(record: &Paper, kind: Kind) -> impl Iterator<Item = &PaperId> {
        record.ids().filter(move |id| id.kind() == kind)
    }
    let two = |kind| {
        let mut of_one = of(one, kind).peekable();
        of_one.peek().is_some()
            && of(other, kind).next().is_some()
            && !of_one.any(|id| of(other, kind).any(|other| id == other))
    };
    [Kind::Arxiv, Kind::Pubmed, Kind::Acl].into_iter().any(two)
}

/// Whether two records of one title are of two works: a column's parts, say. They have two ids of one kind, and abstracts that
/// have little in common. A preprint and its article may have two DOIs, too, but say the same.
fn are_two_works(one: &Paper, other: &Paper) -> bool {
    /// Words that abstracts of one work have in common, of the shorter one's.
    const SHARED: f64 = 0.5;
    const NUMBERED: [&str; 2] = ["openalex:", "corpusid:"];
    let have_two = |is: &dyn Fn(&&PaperId) -> bool| {
        let ids = |record: &Paper| -> Vec<PaperId> { record.ids().filter(|id| is(id)).cloned().collect() };
        let (ids, others) = (ids(one), ids(other));
        !ids.is_empty() && !others.is_empty() && !ids.iter().any(|id| others.contains(id))
    };
    let have_two_ids = have_two(&|id| id.kind() == Kind::Doi)
        || NUMBERED.iter().any(|name| have_two(&|id| id.as_str().starts_with(name)));
    if !have_two_ids || one.r#abstract.is_empty() || other.r#abstract.is_empty() {
        return false;
    }
    fn words(text: &str) -> HashSet<&str> {
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
    }
    let (words, others) = (words(&one.r#abstract), words(&other.r#abstract));
    let shared = words.intersection(&others).count();
    (shared as f64) < SHARED * words.len().min(others.len()) as f64
}

/// Whether a few years are between them at most, as far as that is known.
fn are_near(one: &Paper, other: &Paper) -> bool {
    let year = |record: &Paper| {
        let days = parse_date(record.published.as_deref()?).ok()?;
        days.first.get(..4)?.parse::<i32>().ok()
    };
    year(one).zip(year(other)).is_none_or(|(one, other)| (one - other).abs() <= YEARS_APART)
}

/// A title's letters and digits and the first author's last name, whatever case, accents and punctuation.
fn title_and_author(record: &Paper) -> Option<String> {
    let title = letters(&record.title);
    let (fewest, words) = SHORTEST_TITLE;
    let is_long = title.chars().count() >= fewest && record.title.split_whitespace().count() >= words;
    let author = last_name(record.authors.first()?);
    (is_long && !author.is_empty()).then(|| format!("{title} {author}"))
}

/// `Ann Bee`, `Bee, Ann`, `A. Bee Jr.` → `bee`.
fn last_name(author: &str) -> String {
    let name = author.split_once(',').map_or(author, |(last, _)| last);
    let words: Vec<String> = name.split_whitespace().map(letters).filter(|word| !word.is_empty()).collect();
    let is_suffix = |word: &&String| ["jr", "sr", "ii", "iii", "iv"].contains(&word.as_str());
    words.iter().rev().find(|word| !is_suffix(word)).cloned().unwrap_or_default()
}

/// `Ann Bee`, `Bee, Ann` → `ann`, `A. Bee` → `a`; none, if there is a last name only.
fn given_name(author: &str) -> Option<String> {
    let given = match author.split_once(',') {
        Some((_, given)) => given,
        None => author.trim().rsplit_once(char::is_whitespace)?.0,
    };
    given.split_whitespace().map(letters).find(|name| !name.is_empty())
}

fn letters(text: &str) -> String {
    let text = folded(text);
    let letters = text.nfkd().filter(|letter| !is_combining_mark(*letter) && letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Parts records into papers; these, and the records of each, are in the order in which they came. What would make one
/// paper of two that are told apart, joins the first of them only.
pub fn papers_of<T>(records: Vec<(T, Paper)>) -> Vec<Vec<(T, Paper)>> {
    let mut papers: Vec<Vec<usize>> = Vec::new();
    (0..records.len()).for_each(|place| join(&mut papers, &records, place));
    parted(papers, records)
}

/// The same of the records of papers that are parted already, and then a new one, in a fraction of the time.
pub fn papers_with<T: PartialEq>(records: Vec<(T, Paper)>, new: (T, Paper)) -> Vec<Vec<(T, Paper)>> {
    let mut papers: Vec<Vec<usize>> = Vec::new();
    for (place, (paper, _)) in records.iter().enumerate() {
        match papers.last_mut().filter(|last| records[last[0]].0 == *paper) {
            Some(last) => last.push(place),
            None => papers.push(vec![place]),
        }
    }
    let records: Vec<(T, Paper)> = records.into_iter().chain([new]).collect();
    join(&mut papers, &records, records.len() - 1);
    parted(papers, records)
}

/// Adds a record to the papers of those before it: to one of them, to none, or to several, which become one.
fn join<T>(papers: &mut Vec<Vec<usize>>, records: &[(T, Paper)], place: usize) {
    let record = |place: &usize| &records[*place].1;
    let mut joined: Vec<usize> = Vec::new();
    papers.retain(|paper| {
        let others = || paper.iter().map(record);
        let goes_with = |other: &Paper| joined.iter().map(record).all(|one| !has_two_ids(one, other));
        let joins = belongs(record(&place), others()) && others().all(goes_with);
        if joins {
            joined.extend(paper);
        }
        !joins
    });
    joined.push(place);
    joined.sort_unstable();
    papers.push(joined);
}

/// Records by papers, both in the order in which they came.
fn parted<T>(mut papers: Vec<Vec<usize>>, records: Vec<(T, Paper)>) -> Vec<Vec<(T, Paper)>> {
    papers.sort_unstable();
    let mut records: Vec<Option<(T, Paper)>> = records.into_iter().map(Some).collect();
    let taken = |paper: Vec<usize>| paper.into_iter().filter_map(|place| records[place].take()).collect();
    papers.into_iter().map(taken).collect()
}

/// Whether a record is of the paper that others are of: it is the same as one of them, and none is told apart from it.
fn belongs<'a>(record: &Paper, mut others: impl Iterator<Item = &'a Paper> + Clone) -> bool {
    let fits = |other: &Paper| {
        let by_id = other.ids().any(|id| record.ids().any(|other| id == other));
        !has_two_ids(other, record) && (by_id || (are_near(other, record) && !are_two_works(other, record)))
    };
    others.clone().all(fits) && others.any(|other| is_same_paper(other, record))
}

/// The paper that records are of. It is called what the first was called; the first that was not taken back and has an
/// abstract is read; what that lacks, the others fill in.
pub fn paper_of(records: &[&Paper]) -> Paper {
    let Some(first) = records.first() else { return Paper::default() };
    let stands = |record: &&&Paper| !record.withdrawn;
    let read = records.iter().find(|record| stands(record) && !record.r#abstract.is_empty());
    let read = read.or_else(|| records.iter().find(stands)).unwrap_or(first);
    let mut paper = Paper { id: first.id.clone(), withdrawn: is_withdrawn(records), ..(**read).clone() };
    let fill = |field: &mut Option<String>, of: fn(&Paper) -> &Option<String>| {
        *field = field.take().or_else(|| records.iter().find_map(|record| of(record).clone()));
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
    paper.also =
        records.iter().flat_map(|record| record.ids()).filter(|id| seen.insert(id)).cloned().collect();
    paper
}

/// Whether a paper was taken back: one record says so, and none of what was published of it does not. Others say nothing
/// of that.
fn is_withdrawn(records: &[&Paper]) -> bool {
    let is_published =
        |record: &Paper| record.source.as_deref().is_some_and(|source| PUBLISHED.contains(&source));
    let stands = records.iter().any(|record| !record.withdrawn && is_published(record));
    !stands && records.iter().any(|record| record.withdrawn)
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

    fn also(record: Paper, id: &str) -> Paper {
        Paper { also: vec![PaperId::parse(id).unwrap()], ..record }
    }

    #[test]
    fn records_of_one_paper_are_told() {
        let preprint = record("2101.00001", "Attention: Is it all?", "Ann Bée Jr.");
        let published = record("10.1000/x", "ATTENTION — is it ALL", "Bee, Ann");
        assert!(is_same_paper(&preprint, &published));
        assert!(is_same_paper(&also(record("a", "T", ""), "10.1000/x"), &published), "by an id");
        assert!(
            is_same_paper(
                &preprint,
                &Paper { id: PaperId::parse("b").unwrap(), authors: vec![], ..preprint.clone() }
            ),
            "by every word"
        );
        let told_apart = [
            record("2101.00002", "Attention: Is it all?", "Ann Bee"),
            record("10.1000/x", "Attention: Is it all?", "Cee Bea"),
            Paper { published: Some("2030".into()), ..published.clone() },
            record("10.1000/x", "Attention", "Ann Bee"),
            record("10.1000/x", "Attention: is it all?", "Zoë Bee"),
            also(record("2101.00002", "Attention: is it all?", "Ann Bee"), "10.1000/v"),
        ];
        let preprint = also(preprint, "10.1000/v");
        let preprint = Paper { published: Some("2021-01".into()), ..preprint };
        for other in told_apart {
            assert!(!is_same_paper(&preprint, &other), "{other:?}");
        }
        let short = |id: &str| record(id, "Editorial", "Ann Bee");
        assert!(!is_same_paper(&short("a"), &short("b")), "a title of many papers");
    }

    #[test]
    fn works_of_one_title_with_ids_and_abstracts_of_their_own_are_told_apart() {
        let with = |id: &str, r#abstract: &str| Paper {
            r#abstract: r#abstract.into(),
            ..record(id, "News from the hive", "Ann Bee")
        };
        let wings = with("10.5555/hive.1", "In this issue we look at wings and flight.");
        let honey = with("10.5555/hive.2", "This month honey and its sugars are discussed.");
        assert!(!is_same_paper(&wings, &honey));
        assert_eq!(papers_of(vec![((), wings.clone()), ((), honey.clone())]).len(), 2);
        // A preprint of it has another DOI, and says the same.
        let preprint = with("10.1101/2018.1", "In this issue, we look at the wings and flight of bees.");
        assert!(is_same_paper(&wings, &preprint));
        assert!(is_same_paper(&with("2101.00001", "Something else."), &honey), "arXiv gives no DOI");
        assert!(is_same_paper(&with("10.5555/hive.3", ""), &honey), "nothing tells them apart");
        let openalex = |id: &str, r#abstract: &str| also(with("x", r#abstract), id);
        assert!(!is_same_paper(
            &openalex("openalex:W1", "Wings."),
            &Paper { id: PaperId::parse("y").unwrap(), ..openalex("openalex:W2", "Honey.") }
        ));
    }

    #[test]
    fn what_a_record_is_found_by_is_what_makes_it_the_same() {
        let one = record("a", "Attention: is it all?", "Ann Bee");
        let other = record("b", "Attention is it all", "Bee, A.");
        assert!(marks(&one).iter().any(|mark| marks(&other).contains(mark)));
        let unsigned = Paper { authors: vec![], ..one.clone() };
        assert!(marks(&one).iter().any(|mark| marks(&unsigned).contains(mark)));
    }

    #[test]
    fn a_record_may_make_two_papers_one() {
        let records = vec![record("a", "One", ""), record("b", "Two", ""), record("c", "Three", "")];
        assert_eq!(papers_of(records.clone().into_iter().map(|record| ((), record)).collect()).len(), 3);
        let bridge = also(record("c", "Three", ""), "a");
        let bridge = Paper { also: [bridge.also, vec![PaperId::parse("b").unwrap()]].concat(), ..bridge };
        let papers = papers_of(vec![((), records[0].clone()), ((), records[1].clone()), ((), bridge)]);
        let ids: Vec<&str> = papers[0].iter().map(|(_, record)| record.id.as_str()).collect();
        assert_eq!((papers.len(), &ids[..]), (1, &["a", "b", "c"][..]));
        // Whatever joined first.
        let late = also(record("d", "Four", ""), "a");
        let last = Paper {
            also: vec![PaperId::parse("b").unwrap(), PaperId::parse("a").unwrap()],
            ..record("e", "Five", "")
        };
        let records = [&records[..2], &[late, last]].concat();
        let papers = papers_of(records.into_iter().map(|record| ((), record)).collect());
        let ids: Vec<&str> = papers[0].iter().map(|(_, record)| record.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "d", "e"]);
    }

    #[test]
    fn a_record_between_two_that_are_told_apart_joins_one() {
        let (one, two) = (record("2101.00001", "One", ""), record("2101.00002", "Two", ""));
        let both = also(record("2101.00001", "Both", ""), "2101.00002");
        let papers = papers_of(vec![((), one), ((), two), ((), both)]);
        assert_eq!(papers.iter().map(Vec::len).sum::<usize>(), 3);
        assert_eq!(papers.len(), 2);
    }

    #[test]
    fn a_record_is_known_by_its_sources_own_number() {
        let of = |source: &str, record: Paper| Paper { source: Some(source.into()), ..record };
        let before = of("semantic-scholar", record("corpusid:5", "T", ""));
        let after = of("semantic-scholar", also(record("2101.00001", "T", ""), "corpusid:5"));
        assert!(is_same_record(&before, &after));
        let other = of("openalex", also(record("10.1000/x", "T", ""), "openalex:W1"));
        let its_twin = of("openalex", also(record("10.1000/x", "T", ""), "openalex:W2"));
        assert!(!is_same_record(&other, &its_twin) && is_same_paper(&other, &its_twin));
    }

    #[test]
    fn a_paper_is_what_its_records_say_together() {
        let gone = Paper {
            source: Some("arxiv".into()),
            withdrawn: true,
            categories: vec!["cs.LG".into()],
            published: Some("2021".into()),
            ..record("2101.00001", "Old", "A B")
        };
        let title_only =
            Paper { r#abstract: String::new(), source: Some("acl".into()), ..record("P19-1001", "New", "") };
        let read = Paper {
            venue: Some("ACL".into()),
            categories: vec!["CS.lg".into(), "nlp".into()],
            ..also(record("10.1000/x", "New", ""), "2101.00001")
        };
        let paper = paper_of(&[&gone, &title_only, &read]);
        assert_eq!((paper.id.as_str(), paper.title.as_str(), paper.withdrawn), ("2101.00001", "New", false));
        assert_eq!(
            (paper.venue.as_deref(), paper.published.as_deref(), paper.source.as_deref()),
            (Some("ACL"), Some("2021"), Some("arxiv"))
        );
        assert_eq!((&paper.authors[0][..], paper.categories.len()), ("A B", 2));
        assert_eq!(paper.also.iter().map(PaperId::as_str).collect::<Vec<_>>(), ["P19-1001", "10.1000/x"]);
        let said_elsewhere =
            Paper { source: Some("semantic-scholar".into()), ..record("2101.00001", "Old", "A B") };
        assert!(paper_of(&[&gone]).withdrawn && paper_of(&[&gone, &said_elsewhere]).withdrawn);
        assert_eq!(paper_of(&[&read]), read, "one record is the paper");
    }
}
