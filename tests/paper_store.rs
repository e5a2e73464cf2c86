//! Checks that every paper store behaves as `PaperStore` documents. Each test that uses `test_stores` runs for a data
//! folder. If the feature `milvus` is on and `LIKEWISE_TEST_MILVUS` is the URL of a Milvus server (`make test-milvus`),
//! each of these tests also runs for a collection, and the tests of collections alone run, too.

use crate::support::encoder;
use likewise::ingest::{FolderWriter, PaperWriter};
use likewise::search::{Examples, Hit, Library, Mode, Query, QueryKind};
use likewise::store::catalog::{DateRange, Filter};
use likewise_papers::dump::{Deletion, Entry};
use likewise_papers::{Paper, PaperId};

const DIMENSION: usize = 384;

/// A paper store to test. It is empty when the test starts.
struct TestStore {
    name: &'static str,
    open: Box<dyn Fn() -> Library>,
    open_writer: Box<dyn Fn() -> Box<dyn PaperWriter>>,
}

/// Returns the stores to test. `test` is the name of the Milvus collection.
fn test_stores(test: &str) -> Vec<TestStore> {
    let folder = tempfile::tempdir().unwrap().keep();
    let data = folder.clone();
    let mut stores = vec![TestStore {
        name: "a data folder",
        open: Box::new(move || Library::open(&folder, encoder()).unwrap()),
        open_writer: Box::new(move || Box::new(FolderWriter::open(&data, &encoder()).unwrap())),
    }];
    stores.extend(collection(test));
    stores
}

#[cfg(feature = "milvus")]
fn collection(test: &str) -> Option<TestStore> {
    use likewise::milvus::{Collection, CollectionWriter, Settings};
    let server = std::env::var("LIKEWISE_TEST_MILVUS").ok()?;
    let settings: Settings = format!("{server}/{test}?consistency=strong&shards=2").parse().unwrap();
    let writer_settings = settings.clone();
    Some(TestStore {
        name: "a collection",
        open: Box::new(move || Collection::library(&settings, encoder()).unwrap()),
        open_writer: Box::new(move || {
            Box::new(CollectionWriter::open(&writer_settings, &encoder()).unwrap())
        }),
    })
}

#[cfg(not(feature = "milvus"))]
fn collection(_test: &str) -> Option<TestStore> {
    None
}

fn id(text: &str) -> PaperId {
    PaperId::parse(text).unwrap()
}

/// Returns a unit vector that is different for every number. Numbers that are close have vectors that are close.
fn vector(number: usize) -> Vec<f32> {
    let value = |at: usize| {
        let noise = ((number * 31 + at * 17) % 97) as f32 / 97.0;
        (number as f32 / 50.0 + at as f32).sin() + 0.2 * noise
    };
    let values: Vec<f32> = (0..DIMENSION).map(value).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.into_iter().map(|value| value / length).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn paper(number: usize) -> Paper {
    Paper {
        id: id(&format!("p/{number}")),
        title: format!("Title {number}"),
        r#abstract: "A.".into(),
        ..Paper::default()
    }
}

/// Adds papers. The vector of a paper is made from the number at the end of the paper's id, or from 7 if the id does
/// not end in a number.
fn add(store: &TestStore, papers: Vec<Paper>) -> likewise::ingest::Counts {
    let number = |paper: &Paper| paper.id.as_str().rsplit('/').next().unwrap().parse().unwrap_or(7);
    let entry = |paper: Paper| Ok(Entry::Encoded(paper.clone(), vector(number(&paper))));
    let mut writer = (store.open_writer)();
    let counts = writer.add(papers.into_iter().map(entry).collect()).unwrap();
    writer.finish().unwrap();
    counts
}

fn near_vector(number: usize) -> Query {
    Query::of(Examples::vector(vector(number)))
}

fn ids(library: &Library, query: &Query) -> Vec<String> {
    library.search(query).unwrap().hits.into_iter().map(|hit| hit.paper.id.to_string()).collect()
}

/// Returns a paper with the terms `everyword` and `ownNUMBERx`, and with each of the terms `by2`, `by3` and `by7` whose
/// digit divides the paper's number. For example, paper 6 has the title `Everyword own6x by2 by3`.
fn paper_with_terms(number: usize) -> Paper {
    let divisors = [2, 3, 7].iter().filter(|divisor| number.is_multiple_of(**divisor));
    let terms: String = divisors.map(|divisor| format!(" by{divisor}")).collect();
    Paper {
        title: format!("Everyword own{number}x{terms}"),
        r#abstract: "Everyword.".into(),
        ..paper(number)
    }
}

#[test]
fn lexical_search_finds_terms_or_is_refused_without_a_term_index() {
    for store in test_stores("words") {
        let name = store.name;
        add(&store, (0..60).map(paper_with_terms).collect());
        let library = (store.open)();
        let by7 = || Examples::text("by7".into());
        let search = |examples: Examples, mode| {
            let query = Query { mode, k: 60, exact: true, min_score: Some(0.0), ..Query::of(examples) };
            library.search(&query).map(|answer| answer.hits)
        };
        if !library.indexes_terms().unwrap() {
            assert_eq!(library.mode(&Query::of(by7())).unwrap(), Mode::Semantic, "{name}");
            assert_eq!(search(by7(), None).unwrap(), search(by7(), Some(Mode::Semantic)).unwrap(), "{name}");
            for mode in [Mode::Lexical, Mode::Hybrid] {
                let message = search(by7(), Some(mode)).unwrap_err().to_string();
                assert!(message.contains("stores no terms"), "{name}: {message}");
            }
            continue;
        }
        assert_eq!(library.mode(&Query::of(by7())).unwrap(), Mode::Hybrid, "{name}");
        // A term finds exactly the papers that contain this term, also after papers are added and replaced.
        let found = |term: &str| {
            let hits = library.search(&Query {
                mode: Some(Mode::Lexical),
                k: 100,
                exact: true,
                min_score: Some(0.0),
                ..Query::of(Examples::text(term.into()))
            });
            let mut found: Vec<String> =
                hits.unwrap().hits.into_iter().map(|hit| hit.paper.id.to_string()).collect();
            found.sort();
            found
        };
        let sorted_ids = |numbers: &mut dyn Iterator<Item = usize>| {
            let mut ids: Vec<String> = numbers.map(|number| format!("p/{number}")).collect();
            ids.sort();
            ids
        };
        for divisor in [2, 3, 7] {
            let expected = sorted_ids(&mut (0..60).filter(|number| number % divisor == 0));
            assert_eq!(found(&format!("by{divisor}")), expected, "{name}: by{divisor}");
        }
        assert_eq!(found("everyword").len(), 60, "{name}");
        assert!(found("by5").is_empty(), "{name}");
        add(&store, (60..70).map(paper_with_terms).collect());
        add(&store, vec![Paper { title: "Otherword".into(), ..paper_with_terms(14) }]);
        assert_eq!(
            found("by7"),
            sorted_ids(&mut (0..70).filter(|number| number % 7 == 0 && *number != 14)),
            "{name}"
        );
        assert_eq!(found("otherword"), ["p/14"], "{name}");
        // Rarer terms have a higher weight, and a paper with all query terms has the highest score.
        let hits = search(Examples::text("by2 by3 by7".into()), Some(Mode::Lexical)).unwrap();
        assert!(["p/0", "p/42"].contains(&hits[0].paper.id.as_str()), "{name}: {:?}", hits[0]);
        let rank_of = |id: &str| hits.iter().position(|hit| hit.paper.id.as_str() == id);
        assert!(rank_of("p/49") < rank_of("p/4"), "{name}: by7 is rarer, so p/49 must outrank p/4");
    }
}

#[test]
fn papers_are_added_merged_replaced_and_deleted() {
    for store in test_stores("come_and_go") {
        let name = store.name;
        let counts = add(&store, (0..20).map(paper).collect());
        assert_eq!((counts.read, counts.added, counts.taken), (20, 20, 20), "{name}");
        let library = (store.open)();
        assert_eq!(library.stats().papers, 20, "{name}");
        assert_eq!(ids(&library, &near_vector(3))[0], "p/3", "{name}");
        assert_eq!(ids(&library, &Query::of(Examples::papers(vec!["p/3".into()]))).len(), 10);
        assert!(
            !ids(&library, &Query { k: 100, ..Query::of(Examples::papers(vec!["p/3".into()])) })
                .contains(&"p/3".to_string())
        );
        assert!(cosine(&library.vector(&id("p/3")).unwrap().unwrap(), &vector(3)) > 0.999_99);
        assert_eq!(
            library
                .vectors(&[id("p/4"), id("unknown"), id("p/5")])
                .unwrap()
                .iter()
                .filter(|v| v.is_some())
                .count(),
            2
        );
        // The same papers are added again. Then p/3 gets a new author, and p/5 gets a record from another source.
        let counts = add(&store, (0..20).map(paper).collect());
        assert_eq!((counts.unchanged, counts.added, counts.replaced), (20, 0, 0), "{name}");
        let changed = Paper { authors: vec!["Ann Bee".into()], ..paper(3) };
        let other_record = Paper {
            alternate_ids: vec![id("p/5")],
            source: Some("elsewhere".into()),
            venue: Some("Hives".into()),
            ..paper(500)
        };
        let counts = add(&store, vec![changed.clone(), other_record]);
        assert_eq!((counts.replaced, counts.merged, counts.encoded), (1, 1, 0), "{name}: {counts:?}");
        assert_eq!(library.paper("p/3").unwrap().authors, ["Ann Bee"], "{name}");
        assert_eq!(library.records("p/500").unwrap().len(), 2, "{name}");
        assert_eq!(
            (library.stats().papers, library.paper("p/500").unwrap().id.as_str()),
            (20, "p/5"),
            "{name}"
        );
        // The other source deletes its record of p/5. p/3 is deleted with all its records.
        let mut writer = (store.open_writer)();
        let deletion = Deletion { id: id("p/500"), source: Some("elsewhere".into()) };
        assert_eq!(writer.add(vec![Ok(Entry::Deleted(deletion))]).unwrap().deleted, 1, "{name}");
        assert_eq!(writer.delete(&[id("p/3"), id("unknown")]).unwrap(), [true, false], "{name}");
        writer.finish().unwrap();
        assert_eq!((library.stats().papers, library.records("p/5").unwrap().len()), (19, 1), "{name}");
        assert!(
            library.find_paper("p/3").unwrap().is_none() && library.find_paper("p/500").unwrap().is_none()
        );
        assert!(!ids(&library, &near_vector(3)).contains(&"p/3".to_string()), "{name}");
        // A newly opened library gives the same results as the library that stayed open.
        let reopened = (store.open)();
        assert_eq!(ids(&reopened, &near_vector(9)), ids(&library, &near_vector(9)), "{name}");
        assert_eq!(reopened.stats().papers, 19, "{name}");
        assert!(reopened.check().is_ok() && reopened.probe_recall() > 0.99, "{name}");
    }
}

#[test]
fn a_record_that_joins_two_papers_keeps_the_id_of_the_older_one() {
    for store in test_stores("joined") {
        let name = store.name;
        add(&store, (0..10).map(paper).collect());
        let alternate_ids = vec![id("p/8"), id("p/2")];
        let joining = Paper { alternate_ids, source: Some("elsewhere".into()), ..paper(501) };
        assert_eq!(add(&store, vec![joining.clone()]).merged, 1, "{name}");
        let library = (store.open)();
        for alternate in ["p/2", "p/8", "p/501"] {
            assert_eq!(library.paper(alternate).unwrap().id.as_str(), "p/2", "{name}");
        }
        assert_eq!((library.stats().papers, library.records("p/8").unwrap().len()), (9, 3), "{name}");
        assert_eq!(add(&store, vec![joining]).unchanged, 1, "{name}");
        let mut writer = (store.open_writer)();
        assert_eq!(writer.delete(&[id("p/8"), id("p/2")]).unwrap(), [true, false], "{name}");
        writer.finish().unwrap();
        assert_eq!((store.open)().stats().papers, 8, "{name}");
    }
}

#[test]
fn every_k_and_offset_returns_the_expected_hits() {
    const COUNT: usize = 1500;
    for store in test_stores("deep") {
        add(&store, (0..COUNT).map(paper).collect());
        let library = (store.open)();
        for number in [0, 700, 1499] {
            let mut expected: Vec<(f32, String)> = (0..COUNT)
                .map(|other| (cosine(&vector(number), &vector(other)), format!("p/{other}")))
                .collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (k, offset) in [(1, 0), (10, 0), (1000, 0), (500, 1000)] {
                let query = Query { k, offset, ..near_vector(number) };
                for exact in [true, false] {
                    let answer = library.search(&Query { exact, ..query.clone() }).unwrap();
                    assert_eq!(answer.hits.len(), k, "{}", store.name);
                    let expected = &expected[offset..offset + k];
                    if exact {
                        let has_score =
                            |(hit, (score, _)): (&Hit, &(f32, String))| (hit.score - score).abs() < 1e-4;
                        assert!(
                            answer.hits.iter().zip(expected).all(has_score),
                            "{}: k {k}, offset {offset}",
                            store.name
                        );
                    }
                    let min_expected = expected[k - 1].0 - 1e-5;
                    let found = answer.hits.iter().filter(|hit| hit.score >= min_expected).count();
                    assert!(found as f64 >= 0.99 * k as f64, "{}: {found} of {k} after {offset}", store.name);
                    assert_eq!(answer.hits[0].rank, offset + 1);
                }
            }
        }
        let min_score = library.curve(Mode::Semantic, QueryKind::Papers).unwrap().at(0.999_9);
        let query = Query { min_score: Some(min_score), ..near_vector(5) };
        assert!(library.search(&query).unwrap().hits.len() == 1);
    }
}

/// A filter, and a simple function that returns whether a paper passes this filter.
type FilterCase = (Filter, fn(&Paper) -> bool);

#[test]
fn filters_agree_with_a_simple_reference() {
    let list = |texts: &[&str]| Some(texts.iter().map(|text| text.to_string()).collect());
    let range = |from: Option<&str>, to: Option<&str>| {
        Some(DateRange { from: from.map(Into::into), to: to.map(Into::into) })
    };
    // Returns the elements of `list` whose bit is set in `bits`.
    fn subset<'a>(list: &[&'a str], bits: usize) -> Vec<&'a str> {
        list.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1).map(|(_, text)| *text).collect()
    }
    fn owned(list: Vec<&str>) -> Vec<String> {
        list.into_iter().map(String::from).collect()
    }
    fn is_in(list: &[String], text: &str) -> bool {
        list.iter().any(|other| other == text)
    }
    let varied_paper = |number: usize| Paper {
        categories: owned(subset(&["cs.LG", "cs", "csx", "Ünïcode \"Theory\"\\"], number)),
        authors: owned(subset(
            &["Yann A. LeCun", "Zoë A. Li", "Li Wei", "李飞飞", "Łukasz Søren-Strauß"],
            number / 2,
        )),
        venue: subset(&["ICLR", "Österreich 2020"], number / 3).pop().map(Into::into),
        source: subset(&["arxiv", "Lab Notes"], number / 5).pop().map(Into::into),
        published: subset(&["2020", "2021-06", "2021-06-15"], number / 7).pop().map(Into::into),
        withdrawn: number % 11 == 3,
        ..paper(number)
    };
    let none = Filter::default;
    let cases: Vec<FilterCase> = vec![
        (none(), |_| true),
        (Filter { ids: list(&["p/1", "p/3", "p/4", "unknown"]), ..none() }, |paper| {
            ["p/1", "p/3", "p/4"].contains(&paper.id.as_str())
        }),
        (Filter { ids: list(&[]), ..none() }, |_| false),
        (Filter { categories: list(&["CS"]), ..none() }, |paper| {
            is_in(&paper.categories, "cs.LG") || is_in(&paper.categories, "cs")
        }),
        (Filter { categories: list(&["csx", "ünïcode \"theory\"\\"]), ..none() }, |paper| {
            is_in(&paper.categories, "csx") || is_in(&paper.categories, "Ünïcode \"Theory\"\\")
        }),
        (Filter { venues: list(&["österreich 2020"]), ..none() }, |paper| {
            paper.venue.as_deref() == Some("Österreich 2020")
        }),
        (Filter { sources: list(&["ARXIV", "unknown"]), ..none() }, |paper| {
            paper.source.as_deref() == Some("arxiv")
        }),
        (Filter { authors: list(&["lecun, YANN"]), ..none() }, |paper| {
            is_in(&paper.authors, "Yann A. LeCun")
        }),
        (Filter { authors: list(&["LeCun Zoe"]), ..none() }, |_| false),
        (Filter { authors: list(&["li"]), ..none() }, |paper| {
            is_in(&paper.authors, "Zoë A. Li") || is_in(&paper.authors, "Li Wei")
        }),
        (Filter { authors: list(&["Łukasz Soren", "李飞飞"]), ..none() }, |paper| {
            is_in(&paper.authors, "Łukasz Søren-Strauß") || is_in(&paper.authors, "李飞飞")
        }),
        (Filter { published: range(Some("2021"), None), ..none() }, |paper| {
            paper.published.as_deref().is_some_and(|day| day > "2021")
        }),
        (Filter { published: range(None, Some("2021-06-14")), ..none() }, |paper| {
            ["2020", "2021-06"].contains(&paper.published.as_deref().unwrap_or_default())
        }),
        (
            Filter {
                published: range(Some("2021"), None),
                categories: list(&["cs"]),
                sources: list(&["arxiv"]),
                ..none()
            },
            |paper| {
                paper.published.as_deref().is_some_and(|day| day > "2021")
                    && (is_in(&paper.categories, "cs.LG") || is_in(&paper.categories, "cs"))
                    && paper.source.as_deref() == Some("arxiv")
            },
        ),
    ];
    const COUNT: usize = 300;
    for store in test_stores("filters") {
        let counts = add(&store, (0..COUNT).map(varied_paper).collect());
        assert_eq!(counts.added, COUNT as u64, "{}", store.name);
        let library = (store.open)();
        for (filter, passes) in &cases {
            for withdrawn in [false, true] {
                let filter = Filter { withdrawn, ..filter.clone() };
                let is_expected = |paper: &Paper| passes(paper) && (withdrawn || !paper.withdrawn);
                let mut expected: Vec<String> = (0..COUNT)
                    .map(varied_paper)
                    .filter(is_expected)
                    .map(|paper| paper.id.to_string())
                    .collect();
                expected.sort();
                for exact in if withdrawn { &[false][..] } else { &[false, true] } {
                    let exact = *exact;
                    let mut found =
                        ids(&library, &Query { k: 1000, filter: filter.clone(), exact, ..near_vector(40) });
                    found.sort();
                    assert_eq!(found, expected, "{}: {filter:?}", store.name);
                }
                let listed = library.list(&filter, None, 1000).unwrap();
                let mut found: Vec<String> = listed.papers.iter().map(|paper| paper.id.to_string()).collect();
                found.sort();
                assert_eq!((listed.total, found), (expected.len(), expected), "{}: {filter:?}", store.name);
            }
        }
        for invalid in [
            Filter { authors: list(&["?"]), ..none() },
            Filter { published: range(Some("2021-02-30"), None), ..none() },
            Filter { ids: list(&[" "]), ..none() },
        ] {
            let result = library.search(&Query { filter: invalid.clone(), ..near_vector(1) });
            assert!(result.err().unwrap().to_string().starts_with("filter."), "{}: {invalid:?}", store.name);
        }
    }
}

#[test]
fn papers_are_listed_newest_first_in_pages() {
    const COUNT: usize = 60;
    let dated_paper = |number: usize| {
        let published = match number % 6 {
            0 => None,
            1 => Some("2020".into()),
            2 => Some("2021-06".into()),
            _ => Some(format!("2021-06-{:02}", 1 + number % 9)),
        };
        Paper { published, ..paper(number) }
    };
    for store in test_stores("newest") {
        let name = store.name;
        // The second half of the papers is added later, so these papers have paper numbers over `last`.
        add(&store, (0..COUNT / 2).map(dated_paper).collect());
        let library = (store.open)();
        let last = library.last_number().unwrap();
        add(&store, (COUNT / 2..COUNT).map(dated_paper).collect());
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let listed = library.list(&Filter::default(), cursor.as_ref(), 7).unwrap();
            assert_eq!(listed.total, COUNT, "{name}");
            found.extend(listed.papers);
            cursor = listed.next.map(|next| next.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        let days: Vec<_> = found.iter().map(|paper| paper.published.clone().unwrap_or_default()).collect();
        let key = |day: &String| match day.len() {
            4 => (format!("{day}-01-01"), format!("{day}-12-31")),
            7 => (format!("{day}-01"), format!("{day}-30")),
            _ => (day.clone(), day.clone()),
        };
        assert!(days.iter().map(key).is_sorted_by(|a, b| a >= b), "{name}: {days:?}");
        let mut all: Vec<String> = found.iter().map(|paper| paper.id.to_string()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), COUNT, "{name}");
        let within = library.published_within(("2021-06-03", "2021-06-05"), 0, 100).unwrap();
        assert!(
            within
                .iter()
                .all(|(_, paper)| (3..=5).any(|day| paper.published == Some(format!("2021-06-{day:02}"))))
        );
        let added_later = within.iter().filter(|(number, _)| *number > last).count();
        assert!(
            !within.is_empty() && added_later > 0 && added_later < within.len(),
            "{name}: {added_later} of {}",
            within.len()
        );
        assert_eq!(
            library.published_within(("2021-06-03", "2021-06-05"), 2, 100).unwrap().len(),
            within.len() - 2
        );
        let neighbours = library.days_around("2021-06-05").unwrap();
        let day = |number: usize| dated_paper(number).published.filter(|day| day.len() == 10);
        let days: Vec<String> = (0..COUNT).filter_map(day).collect();
        let before = days.iter().filter(|day| day.as_str() < "2021-06-05").max().cloned();
        let after = days.iter().filter(|day| day.as_str() > "2021-06-05").min().cloned();
        assert_eq!(neighbours, (before, after), "{name}");
        assert_eq!(library.days_around("1999-01-01").unwrap().0, None, "{name}");
        assert_eq!(library.days_around("9999-12-31").unwrap(), (days.iter().max().cloned(), None), "{name}");
    }
}

#[test]
fn special_characters_and_long_fields_are_stored_unchanged() {
    let hostile = "a\"b\\c'd%{x}[1] or 1 == 1 -- 李 \u{1f41d}";
    let paper = Paper {
        id: id("10.1000/a\"b\\c'd(1)[2]"),
        title: hostile.into(),
        r#abstract: hostile.repeat(2000),
        authors: (0..3000).map(|number| format!("Author {number} \"Bee\"")).collect(),
        categories: vec![hostile.repeat(100), "cs.LG".into()],
        venue: Some(hostile.into()),
        source: Some(hostile.into()),
        alternate_ids: vec![id("x'\"\\y")],
        url: Some("javascript:1".into()),
        published: Some("2021-06".into()),
        withdrawn: false,
    };
    for store in test_stores("hostile") {
        assert_eq!(add(&store, vec![paper.clone()]).added, 1, "{}", store.name);
        let library = (store.open)();
        for id in [paper.id.as_str(), "x'\"\\y"] {
            assert_eq!(library.paper(id).unwrap(), paper, "{}", store.name);
        }
        let filter = Filter { sources: Some(vec![hostile.into()]), ..Filter::default() };
        assert_eq!(
            library.search(&Query { filter, ..near_vector(7) }).unwrap().hits[0].paper,
            paper,
            "{}",
            store.name
        );
        let filter = Filter { ids: Some(vec!["x'\"\\y".into()]), ..Filter::default() };
        assert_eq!(
            library.list(&filter, None, 3).unwrap().papers,
            std::slice::from_ref(&paper),
            "{}",
            store.name
        );
        assert_eq!((store.open_writer)().delete(&[id("x'\"\\y")]).unwrap(), [true], "{}", store.name);
        assert!(library.search(&near_vector(7)).unwrap().hits.is_empty(), "{}", store.name);
    }
}

/// `likewise copy` keeps all papers, records and vectors. If it runs again, it skips papers that are already copied.
#[cfg(feature = "milvus")]
#[test]
fn a_copy_to_a_collection_and_back_is_identical() {
    use crate::support::likewise;
    let Ok(server) = std::env::var("LIKEWISE_TEST_MILVUS") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let collection = format!("{server}/copied?consistency=strong");
    crate::support::ingest(&folder.path().join("data"), &[crate::support::data("sample.jsonl")]);
    let copy = |from: &str, to: &str| {
        let output = likewise(&["copy", "--from", from, "--to", to]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = copy(&path("data"), &collection);
    assert!(printed.contains("written 120, unchanged 0, encoded 0"), "{printed}");
    let printed = copy(&path("data"), &collection);
    assert!(printed.contains("written 0, unchanged 120, encoded 0"), "{printed}");
    let printed = copy(&collection, &path("back"));
    assert!(printed.contains("written 120, unchanged 0, encoded 0"), "{printed}");
    let settings = collection.parse().unwrap();
    let libraries = [
        Library::open(&folder.path().join("data"), encoder()).unwrap(),
        likewise::milvus::Collection::library(&settings, encoder()).unwrap(),
        Library::open(&folder.path().join("back"), encoder()).unwrap(),
    ];
    let [original, copied, copied_back] = libraries.each_ref().map(|library| {
        let mut all = Vec::new();
        let result = library.for_each_chunk(&mut |papers| {
            all.extend(papers);
            Ok(())
        });
        result.unwrap();
        all.sort_by(|a, b| a.paper.id.cmp(&b.paper.id));
        all
    });
    assert_eq!(original.len(), 120);
    assert!(original == copied, "the collection must equal the data folder");
    assert!(original == copied_back, "the copy of the collection must equal the data folder");
    for paper in original.iter().step_by(10) {
        // A collection can lack a term index, so all three libraries are searched in semantic mode.
        let mode = Some(Mode::Semantic);
        let query = Query { mode, ..Query::of(Examples::papers(vec![paper.paper.id.to_string()])) };
        let [original, copied, copied_back] = libraries.each_ref().map(|library| ids(library, &query));
        assert!(original == copied_back && original == copied, "{original:?} {copied:?} {copied_back:?}");
    }
}

/// A missing collection (when it is opened for searching), a collection with vectors of another model, and a server
/// that cannot be reached give an error when they are opened.
#[cfg(feature = "milvus")]
#[test]
fn opening_the_wrong_collection_is_refused() {
    use likewise::milvus::{Collection, CollectionWriter, Settings};
    let Ok(server) = std::env::var("LIKEWISE_TEST_MILVUS") else { return };
    let settings: Settings = format!("{server}/refused").parse().unwrap();
    let message = Collection::library(&settings, encoder()).err().unwrap().to_string();
    assert!(message.contains("the collection does not exist; run `likewise ingest"), "{message}");
    drop(CollectionWriter::open(&settings, &encoder()).unwrap());
    let other_model = crate::support::bf16_encoder();
    for error in [
        Collection::library(&settings, other_model.clone()).err(),
        CollectionWriter::open(&settings, &other_model).err(),
    ] {
        let message = error.unwrap().to_string();
        assert!(message.contains("precision is bf16 and was f32"), "{message}");
    }
    let unreachable: Settings = "milvus://127.0.0.1:1/papers".parse().unwrap();
    let message = Collection::library(&unreachable, encoder()).err().unwrap().to_string();
    assert!(message.starts_with("milvus://127.0.0.1:1/papers: "), "{message}");
}
