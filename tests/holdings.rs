//! What holds papers, whatever it is: one contract, kept by a data folder and, where `LIKEWISE_TEST_MILVUS` says that there
//! is a server, by a collection (`make test-milvus`).

use crate::support::encoder;
use likewise::ingest::{Intake, Writer};
use likewise::search::{Hit, Library, Like, Mode, Query};
use likewise::store::catalog::{DateRange, Filter};
use likewise_papers::dump::{Deleted, Entry};
use likewise_papers::{Paper, PaperId};

const DIMENSION: usize = 384;

/// Something that holds papers, empty at first.
struct Place {
    name: &'static str,
    open: Box<dyn Fn() -> Library>,
    intake: Box<dyn Fn() -> Box<dyn Intake>>,
}

fn every_place(test: &str) -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap().keep();
    let data = folder.clone();
    let mut places = vec![Place {
        name: "a data folder",
        open: Box::new(move || Library::open(&folder, encoder()).unwrap()),
        intake: Box::new(move || Box::new(Writer::open(&data, &encoder()).unwrap())),
    }];
    places.extend(collection(test));
    places
}

#[cfg(feature = "milvus")]
fn collection(test: &str) -> Option<Place> {
    use likewise::milvus::{Collection, CollectionIntake, Settings};
    let server = std::env::var("LIKEWISE_TEST_MILVUS").ok()?;
    let settings: Settings = format!("{server}/{test}?consistency=strong&shards=2").parse().unwrap();
    let written = settings.clone();
    Some(Place {
        name: "a collection",
        open: Box::new(move || Collection::library(&settings, encoder()).unwrap()),
        intake: Box::new(move || Box::new(CollectionIntake::open(&written, &encoder()).unwrap())),
    })
}

#[cfg(not(feature = "milvus"))]
fn collection(_test: &str) -> Option<Place> {
    None
}

fn id(text: &str) -> PaperId {
    PaperId::parse(text).unwrap()
}

/// A unit vector of its own for every number; those of near numbers are near.
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

fn add(place: &Place, papers: Vec<Paper>) -> likewise::ingest::Counts {
    let number = |paper: &Paper| paper.id.as_str().rsplit('/').next().unwrap().parse().unwrap_or(7);
    let entry = |paper: Paper| Ok(Entry::Encoded(paper.clone(), vector(number(&paper))));
    let mut intake = (place.intake)();
    let counts = intake.add(papers.into_iter().map(entry).collect()).unwrap();
    intake.finish().unwrap();
    counts
}

fn near(number: usize) -> Query {
    Query::of(Like::vector(vector(number)))
}

fn ids(library: &Library, query: &Query) -> Vec<String> {
    library.search(query).unwrap().hits.into_iter().map(|hit| hit.paper.id.to_string()).collect()
}

/// A paper whose terms say its number's divisors: `every`, and `by2`, `by3`, `by7`, where they divide it.
fn divided(number: usize) -> Paper {
    let by = [2, 3, 7].iter().filter(|by| number.is_multiple_of(**by));
    let terms: String = by.map(|by| format!(" by{by}")).collect();
    Paper {
        title: format!("Everyword own{number}x{terms}"),
        r#abstract: "Everyword.".into(),
        ..paper(number)
    }
}

#[test]
fn words_are_compared_where_they_are_kept() {
    for place in every_place("words") {
        let name = place.name;
        add(&place, (0..60).map(divided).collect());
        let library = (place.open)();
        let like = || Like::text("by7".into());
        let ask = |like: Like, mode| {
            let query = Query { mode, k: 60, exact: true, min_score: Some(0.0), ..Query::of(like) };
            library.search(&query).map(|answer| answer.hits)
        };
        if !library.keeps_words().unwrap() {
            assert_eq!(library.mode(&Query::of(like())).unwrap(), Mode::Semantic, "{name}");
            assert_eq!(ask(like(), None).unwrap(), ask(like(), Some(Mode::Semantic)).unwrap(), "{name}");
            for mode in [Mode::Lexical, Mode::Hybrid] {
                let refused = ask(like(), Some(mode)).unwrap_err().to_string();
                assert!(refused.contains("keeps no words"), "{name}: {refused}");
            }
            continue;
        }
        assert_eq!(library.mode(&Query::of(like())).unwrap(), Mode::Hybrid, "{name}");
        // Those that have the term, and no others; then those that came, and without those that went.
        let found = |term: &str| {
            let hits = library.search(&Query {
                mode: Some(Mode::Lexical),
                k: 100,
                exact: true,
                min_score: Some(0.0),
                ..Query::of(Like::text(term.into()))
            });
            let mut found: Vec<String> =
                hits.unwrap().hits.into_iter().map(|hit| hit.paper.id.to_string()).collect();
            found.sort();
            found
        };
        let wanted = |numbers: &mut dyn Iterator<Item = usize>| {
            let mut ids: Vec<String> = numbers.map(|number| format!("p/{number}")).collect();
            ids.sort();
            ids
        };
        for by in [2, 3, 7] {
            let dividing = wanted(&mut (0..60).filter(|number| number % by == 0));
            assert_eq!(found(&format!("by{by}")), dividing, "{name}: by{by}");
        }
        assert_eq!(found("everyword").len(), 60, "{name}");
        assert!(found("by5").is_empty(), "{name}");
        add(&place, (60..70).map(divided).collect());
        add(&place, vec![Paper { title: "Otherword".into(), ..divided(14) }]);
        assert_eq!(
            found("by7"),
            wanted(&mut (0..70).filter(|number| number % 7 == 0 && *number != 14)),
            "{name}"
        );
        assert_eq!(found("otherword"), ["p/14"], "{name}");
        // The rarer of its terms count more, and all of them more than some.
        let hits = ask(Like::text("by2 by3 by7".into()), Some(Mode::Lexical)).unwrap();
        assert!(["p/0", "p/42"].contains(&hits[0].paper.id.as_str()), "{name}: {:?}", hits[0]);
        let place_of = |id: &str| hits.iter().position(|hit| hit.paper.id.as_str() == id);
        assert!(place_of("p/49") < place_of("p/4"), "{name}: seven is rarer than two");
    }
}

#[test]
fn papers_come_change_and_go() {
    for place in every_place("come_and_go") {
        let name = place.name;
        let counts = add(&place, (0..20).map(paper).collect());
        assert_eq!((counts.read, counts.added, counts.taken), (20, 20, 20), "{name}");
        let library = (place.open)();
        assert_eq!(library.stats().papers, 20, "{name}");
        assert_eq!(ids(&library, &near(3))[0], "p/3", "{name}");
        assert_eq!(ids(&library, &Query::of(Like::papers(vec!["p/3".into()]))).len(), 10);
        assert!(
            !ids(&library, &Query { k: 100, ..Query::of(Like::papers(vec!["p/3".into()])) })
                .contains(&"p/3".to_string())
        );
        assert!(cosine(&library.vector(&id("p/3")).unwrap().unwrap(), &vector(3)) > 0.999_99);
        assert_eq!(
            library
                .vectors(&[id("p/4"), id("nobody"), id("p/5")])
                .unwrap()
                .iter()
                .filter(|v| v.is_some())
                .count(),
            2
        );
        // The same again, and something of it changed, and somebody else's word for it.
        let counts = add(&place, (0..20).map(paper).collect());
        assert_eq!((counts.unchanged, counts.added, counts.replaced), (20, 0, 0), "{name}");
        let changed = Paper { authors: vec!["Ann Bee".into()], ..paper(3) };
        let other = Paper {
            also: vec![id("p/5")],
            source: Some("elsewhere".into()),
            venue: Some("Hives".into()),
            ..paper(500)
        };
        let counts = add(&place, vec![changed.clone(), other]);
        assert_eq!((counts.replaced, counts.folded, counts.encoded), (1, 1, 0), "{name}: {counts:?}");
        assert_eq!(library.paper("p/3").unwrap().authors, ["Ann Bee"], "{name}");
        assert_eq!(library.records("p/500").unwrap().len(), 2, "{name}");
        assert_eq!(
            (library.stats().papers, library.paper("p/500").unwrap().id.as_str()),
            (20, "p/5"),
            "{name}"
        );
        // Taken back by who said it, and deleted by another name.
        let mut intake = (place.intake)();
        let gone = Deleted { id: id("p/500"), source: Some("elsewhere".into()) };
        assert_eq!(intake.add(vec![Ok(Entry::Deleted(gone))]).unwrap().deleted, 1, "{name}");
        assert_eq!(intake.delete(&[id("p/3"), id("nobody")]).unwrap(), [true, false], "{name}");
        intake.finish().unwrap();
        assert_eq!((library.stats().papers, library.records("p/5").unwrap().len()), (19, 1), "{name}");
        assert!(
            library.paper_if_here("p/3").unwrap().is_none()
                && library.paper_if_here("p/500").unwrap().is_none()
        );
        assert!(!ids(&library, &near(3)).contains(&"p/3".to_string()), "{name}");
        // Opened again, it is as it was.
        let again = (place.open)();
        assert_eq!(ids(&again, &near(9)), ids(&library, &near(9)), "{name}");
        assert_eq!(again.stats().papers, 19, "{name}");
        assert!(again.check().is_ok() && again.probe_recall() > 0.99, "{name}");
    }
}

#[test]
fn papers_that_turn_out_to_be_one_are_called_as_the_older_was() {
    for place in every_place("joined") {
        let name = place.name;
        add(&place, (0..10).map(paper).collect());
        let also = vec![id("p/8"), id("p/2")];
        let joining = Paper { also, source: Some("elsewhere".into()), ..paper(501) };
        assert_eq!(add(&place, vec![joining.clone()]).folded, 1, "{name}");
        let library = (place.open)();
        for any in ["p/2", "p/8", "p/501"] {
            assert_eq!(library.paper(any).unwrap().id.as_str(), "p/2", "{name}");
        }
        assert_eq!((library.stats().papers, library.records("p/8").unwrap().len()), (9, 3), "{name}");
        assert_eq!(add(&place, vec![joining]).unchanged, 1, "{name}");
        let mut intake = (place.intake)();
        assert_eq!(intake.delete(&[id("p/8"), id("p/2")]).unwrap(), [true, false], "{name}");
        intake.finish().unwrap();
        assert_eq!((place.open)().stats().papers, 8, "{name}");
    }
}

#[test]
fn answers_are_as_deep_as_asked_for() {
    const COUNT: usize = 1500;
    for place in every_place("deep") {
        add(&place, (0..COUNT).map(paper).collect());
        let library = (place.open)();
        for number in [0, 700, 1499] {
            let mut wanted: Vec<(f32, String)> = (0..COUNT)
                .map(|other| (cosine(&vector(number), &vector(other)), format!("p/{other}")))
                .collect();
            wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (k, offset) in [(1, 0), (10, 0), (1000, 0), (500, 1000)] {
                let query = Query { k, offset, ..near(number) };
                for exact in [true, false] {
                    let answer = library.search(&Query { exact, ..query.clone() }).unwrap();
                    assert_eq!(answer.hits.len(), k, "{}", place.name);
                    let wanted = &wanted[offset..offset + k];
                    if exact {
                        let is_it =
                            |(hit, (score, _)): (&Hit, &(f32, String))| (hit.score - score).abs() < 1e-4;
                        assert!(
                            answer.hits.iter().zip(wanted).all(is_it),
                            "{}: k {k}, offset {offset}",
                            place.name
                        );
                    }
                    let least = wanted[k - 1].0 - 1e-5;
                    let found = answer.hits.iter().filter(|hit| hit.score >= least).count();
                    assert!(found as f64 >= 0.99 * k as f64, "{}: {found} of {k} after {offset}", place.name);
                    assert_eq!(answer.hits[0].rank, offset + 1);
                }
            }
        }
        let least = library.curve(Mode::Semantic, false).unwrap().at(0.999_9);
        assert!(library.search(&Query { min_score: Some(least), ..near(5) }).unwrap().hits.len() == 1);
    }
}

/// A filter, and the obvious test of it.
type Tested = (Filter, fn(&Paper) -> bool);

#[test]
fn filters_leave_what_the_obvious_test_leaves() {
    let list = |texts: &[&str]| Some(texts.iter().map(|text| text.to_string()).collect());
    let range = |from: Option<&str>, to: Option<&str>| {
        Some(DateRange { from: from.map(Into::into), to: to.map(Into::into) })
    };
    fn some<'a>(list: &[&'a str], bits: usize) -> Vec<&'a str> {
        list.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, text)| *text).collect()
    }
    fn owned(list: Vec<&str>) -> Vec<String> {
        list.into_iter().map(String::from).collect()
    }
    fn is_in(list: &[String], one: &str) -> bool {
        list.iter().any(|other| other == one)
    }
    let made = |number: usize| Paper {
        categories: owned(some(&["cs.LG", "cs", "csx", "Ünïcode \"Theory\"\\"], number)),
        authors: owned(some(
            &["Yann A. LeCun", "Zoë A. Li", "Li Wei", "李飞飞", "Łukasz Søren-Strauß"],
            number / 2,
        )),
        venue: some(&["ICLR", "Österreich 2020"], number / 3).pop().map(Into::into),
        source: some(&["arxiv", "Lab Notes"], number / 5).pop().map(Into::into),
        published: some(&["2020", "2021-06", "2021-06-15"], number / 7).pop().map(Into::into),
        withdrawn: number % 11 == 3,
        ..paper(number)
    };
    let none = Filter::default;
    let tested: Vec<Tested> = vec![
        (none(), |_| true),
        (Filter { ids: list(&["p/1", "p/3", "p/4", "nobody"]), ..none() }, |paper| {
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
        (Filter { sources: list(&["ARXIV", "nobody"]), ..none() }, |paper| {
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
    for place in every_place("filters") {
        let counts = add(&place, (0..COUNT).map(made).collect());
        assert_eq!(counts.added, COUNT as u64, "{}", place.name);
        let library = (place.open)();
        for (filter, passes) in &tested {
            for withdrawn in [false, true] {
                let filter = Filter { withdrawn, ..filter.clone() };
                let is_wanted = |paper: &Paper| passes(paper) && (withdrawn || !paper.withdrawn);
                let mut wanted: Vec<String> =
                    (0..COUNT).map(made).filter(is_wanted).map(|paper| paper.id.to_string()).collect();
                wanted.sort();
                for exact in if withdrawn { &[false][..] } else { &[false, true] } {
                    let exact = *exact;
                    let mut found =
                        ids(&library, &Query { k: 1000, filter: filter.clone(), exact, ..near(40) });
                    found.sort();
                    assert_eq!(found, wanted, "{}: {filter:?}", place.name);
                }
                let listed = library.list(&filter, None, 1000).unwrap();
                let mut found: Vec<String> = listed.papers.iter().map(|paper| paper.id.to_string()).collect();
                found.sort();
                assert_eq!((listed.total, found), (wanted.len(), wanted), "{}: {filter:?}", place.name);
            }
        }
        for wrong in [
            Filter { authors: list(&["?"]), ..none() },
            Filter { published: range(Some("2021-02-30"), None), ..none() },
            Filter { ids: list(&[" "]), ..none() },
        ] {
            let asked = library.search(&Query { filter: wrong.clone(), ..near(1) });
            assert!(asked.err().unwrap().to_string().starts_with("filter."), "{}: {wrong:?}", place.name);
        }
    }
}

#[test]
fn the_newest_are_listed_first_page_by_page() {
    const COUNT: usize = 60;
    let made = |number: usize| {
        let published = match number % 6 {
            0 => None,
            1 => Some("2020".into()),
            2 => Some("2021-06".into()),
            _ => Some(format!("2021-06-{:02}", 1 + number % 9)),
        };
        Paper { published, ..paper(number) }
    };
    for place in every_place("newest") {
        let name = place.name;
        // Two goes, so that some come later.
        add(&place, (0..COUNT / 2).map(made).collect());
        let library = (place.open)();
        let last = library.last_number().unwrap();
        add(&place, (COUNT / 2..COUNT).map(made).collect());
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let listed = library.list(&Filter::default(), after.as_ref(), 7).unwrap();
            assert_eq!(listed.total, COUNT, "{name}");
            found.extend(listed.papers);
            after = listed.next.map(|place| place.to_string().parse().unwrap());
            if after.is_none() {
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
        let later = within.iter().filter(|(number, _)| *number > last).count();
        assert!(
            !within.is_empty() && later > 0 && later < within.len(),
            "{name}: {later} of {}",
            within.len()
        );
        assert_eq!(
            library.published_within(("2021-06-03", "2021-06-05"), 2, 100).unwrap().len(),
            within.len() - 2
        );
        let around = library.days_around("2021-06-05").unwrap();
        let day = |number: usize| made(number).published.filter(|day| day.len() == 10);
        let days: Vec<String> = (0..COUNT).filter_map(day).collect();
        let before = days.iter().filter(|day| day.as_str() < "2021-06-05").max().cloned();
        let after = days.iter().filter(|day| day.as_str() > "2021-06-05").min().cloned();
        assert_eq!(around, (before, after), "{name}");
        assert_eq!(library.days_around("1999-01-01").unwrap().0, None, "{name}");
        assert_eq!(library.days_around("9999-12-31").unwrap(), (days.iter().max().cloned(), None), "{name}");
    }
}

#[test]
fn whatever_is_in_a_paper_comes_back() {
    let hostile = "a\"b\\c'd%{x}[1] or 1 == 1 -- 李 \u{1f41d}";
    let paper = Paper {
        id: id("10.1000/a\"b\\c'd(1)[2]"),
        title: hostile.into(),
        r#abstract: hostile.repeat(2000),
        authors: (0..3000).map(|number| format!("Author {number} \"Bee\"")).collect(),
        categories: vec![hostile.repeat(100), "cs.LG".into()],
        venue: Some(hostile.into()),
        source: Some(hostile.into()),
        also: vec![id("x'\"\\y")],
        url: Some("javascript:1".into()),
        published: Some("2021-06".into()),
        withdrawn: false,
    };
    for place in every_place("hostile") {
        assert_eq!(add(&place, vec![paper.clone()]).added, 1, "{}", place.name);
        let library = (place.open)();
        for called in [paper.id.as_str(), "x'\"\\y"] {
            assert_eq!(library.paper(called).unwrap(), paper, "{}", place.name);
        }
        let filter = Filter { sources: Some(vec![hostile.into()]), ..Filter::default() };
        assert_eq!(
            library.search(&Query { filter, ..near(7) }).unwrap().hits[0].paper,
            paper,
            "{}",
            place.name
        );
        let filter = Filter { ids: Some(vec!["x'\"\\y".into()]), ..Filter::default() };
        assert_eq!(
            library.list(&filter, None, 3).unwrap().papers,
            std::slice::from_ref(&paper),
            "{}",
            place.name
        );
        assert_eq!((place.intake)().delete(&[id("x'\"\\y")]).unwrap(), [true], "{}", place.name);
        assert!(library.search(&near(7)).unwrap().hits.is_empty(), "{}", place.name);
    }
}

/// Papers and vectors are copied as they are, records and all, and a copy that was cut short goes on.
#[cfg(feature = "milvus")]
#[test]
fn what_is_copied_is_the_same_elsewhere_and_back() {
    use crate::support::likewise;
    let Ok(server) = std::env::var("LIKEWISE_TEST_MILVUS") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let there = format!("{server}/copied?consistency=strong");
    crate::support::ingest(&folder.path().join("data"), &[crate::support::data("sample.jsonl")]);
    let copy = |from: &str, to: &str| {
        let done = likewise(&["copy", "--from", from, "--to", to]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let told = copy(&path("data"), &there);
    assert!(told.contains("written 120, there before 0, encoded 0"), "{told}");
    let told = copy(&path("data"), &there);
    assert!(told.contains("written 0, there before 120, encoded 0"), "{told}");
    let told = copy(&there, &path("back"));
    assert!(told.contains("written 120, there before 0, encoded 0"), "{told}");
    let settings = there.parse().unwrap();
    let libraries = [
        Library::open(&folder.path().join("data"), encoder()).unwrap(),
        likewise::milvus::Collection::library(&settings, encoder()).unwrap(),
        Library::open(&folder.path().join("back"), encoder()).unwrap(),
    ];
    let [here, there, back] = libraries.each_ref().map(|library| {
        let mut all = Vec::new();
        let taken = library.walk(&mut |papers| {
            all.extend(papers);
            Ok(())
        });
        taken.unwrap();
        all.sort_by(|a, b| a.paper.id.cmp(&b.paper.id));
        all
    });
    assert_eq!(here.len(), 120);
    assert!(here == there, "what is there is what is here");
    assert!(here == back, "what came back is what went");
    for paper in here.iter().step_by(10) {
        // A collection keeps no words.
        let mode = Some(Mode::Semantic);
        let query = Query { mode, ..Query::of(Like::papers(vec![paper.paper.id.to_string()])) };
        let [here, there, back] = libraries.each_ref().map(|library| ids(library, &query));
        assert!(here == back && here == there, "{here:?} {there:?} {back:?}");
    }
}

/// Another model's vectors, or something else altogether, is refused at the door.
#[cfg(feature = "milvus")]
#[test]
fn a_collection_of_another_model_is_refused() {
    use likewise::milvus::{Collection, CollectionIntake, Settings};
    let Ok(server) = std::env::var("LIKEWISE_TEST_MILVUS") else { return };
    let settings: Settings = format!("{server}/refused").parse().unwrap();
    let none = Collection::library(&settings, encoder()).err().unwrap().to_string();
    assert!(none.contains("no papers here; run `likewise ingest"), "{none}");
    drop(CollectionIntake::open(&settings, &encoder()).unwrap());
    let other = crate::support::other();
    for error in
        [Collection::library(&settings, other.clone()).err(), CollectionIntake::open(&settings, &other).err()]
    {
        let message = error.unwrap().to_string();
        assert!(message.contains("precision is bf16 and was f32"), "{message}");
    }
    let nobody: Settings = "milvus://127.0.0.1:1/papers".parse().unwrap();
    let message = Collection::library(&nobody, encoder()).err().unwrap().to_string();
    assert!(message.starts_with("milvus://127.0.0.1:1/papers: "), "{message}");
}
