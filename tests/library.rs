//! Related papers of the sample come back; filters; exactness.
//!
//! The sample's ids say which papers belong together: `99FF.0000M`, `…/99FF00M` and
//! `10.5555/sample.FF0M` are member M of family FF.

use crate::support::sample;
use likewise::catalog::DateRange;
use likewise::search::{Hit, Like, MAX_K, Mode, Query};
use likewise::{Error, Filter};

/// The family that a sample id names.
fn family(id: &str) -> &str {
    match id.split_once("99") {
        Some((_, rest)) if !id.starts_with("10.") => &rest[..2],
        _ => &id.rsplit('.').next().unwrap()[..2],
    }
}

fn ask(like: Like, k: usize, exact: bool, filter: Filter) -> Vec<Hit> {
    sample().search(&Query { k, exact, filter, ..Query::of(like) }).unwrap().hits
}

fn every_paper() -> Vec<Hit> {
    ask(Like::text("anything".into()), 200, true, Filter::default())
}

#[test]
fn the_sample_has_families_of_five() {
    let papers = every_paper();
    assert_eq!(papers.len(), 120);
    for hit in &papers {
        let family = family(hit.paper.id.as_str());
        assert_eq!(papers.iter().filter(|other| self::family(other.paper.id.as_str()) == family).count(), 5);
    }
}

#[test]
fn a_papers_nearest_are_its_family() {
    let (mut right, mut all) = (0, 0);
    for paper in every_paper() {
        let id = paper.paper.id.as_str();
        let hits = ask(Like::papers(vec![id.into()]), 4, false, Filter::default());
        assert!(hits.iter().all(|hit| hit.paper.id.as_str() != id), "{id} is its own hit");
        assert_eq!(hits.len(), 4);
        right += hits.iter().filter(|hit| family(hit.paper.id.as_str()) == family(id)).count();
        all += 4;
    }
    assert!(right * 100 >= all * 95, "{right} of {all} neighbours are of the paper's family");
}

#[test]
fn a_whole_abstract_finds_its_own_paper_first() {
    for paper in every_paper() {
        let hits = ask(Like::text(paper.paper.r#abstract.clone()), 1, false, Filter::default());
        assert_eq!(family(hits[0].paper.id.as_str()), family(paper.paper.id.as_str()), "{}", paper.paper.id);
    }
}

#[test]
fn several_papers_are_asked_for_by_their_mean() {
    let ids = ["9901.00001", "9901.00002", "9903.00001"].map(String::from).to_vec();
    let hits = ask(Like::papers(ids.clone()), 5, false, Filter::default());
    assert!(hits.iter().all(|hit| !ids.iter().any(|id| id == hit.paper.id.as_str())));
    assert!(hits.iter().all(|hit| ["01", "03"].contains(&family(hit.paper.id.as_str()))), "{hits:?}");
}

#[test]
fn hits_are_ranked_and_repeatable() {
    let hits = ask(Like::text("stars and planets".into()), 20, false, Filter::default());
    assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(hits.iter().enumerate().all(|(place, hit)| hit.rank == place + 1));
    assert_eq!(hits, ask(Like::text("stars and planets".into()), 20, false, Filter::default()));
    assert_eq!(hits, ask(Like::text("stars and planets".into()), 20, true, Filter::default()));
}

#[test]
fn filters_leave_only_what_passes_and_all_of_it() {
    let papers = every_paper();
    let wanted = |passes: &dyn Fn(&Hit) -> bool| papers.iter().filter(|hit| passes(hit)).count();
    let count = |filter: Filter| ask(Like::text("anything".into()), 200, false, filter).len();

    let ids: Vec<String> = papers[..7].iter().map(|hit| format!("arXiv:{}v3", hit.paper.id)).collect();
    let by_id = |hit: &Hit| ids.iter().any(|id| id.contains(hit.paper.id.as_str()));
    let doi_free = papers[..7].iter().filter(|hit| !hit.paper.id.as_str().starts_with("10.")).count();
    assert_eq!(count(Filter { ids: Some(ids.clone()), ..Filter::default() }), doi_free.min(wanted(&by_id)));

    let range = DateRange { from: Some("2010".into()), to: Some("2015-06".into()) };
    let in_range = |hit: &Hit| {
        hit.paper.published.as_deref().is_some_and(|date| ("2010-01-01"..="2015-06-30").contains(&date))
    };
    let dated = Filter { published: Some(range), ..Filter::default() };
    assert!(wanted(&in_range) > 0);
    assert_eq!(count(dated), wanted(&in_range));

    let category = papers[0].paper.categories[0].clone();
    let same = |hit: &Hit| hit.paper.categories.contains(&category);
    assert_eq!(
        count(Filter { categories: Some(vec![category.clone()]), ..Filter::default() }),
        wanted(&same)
    );
    assert_eq!(count(Filter { categories: Some(vec!["no such category".into()]), ..Filter::default() }), 0);
}

#[test]
fn long_texts_are_cut_and_said_to_be() {
    let query = |text: String| Query { k: 1, ..Query::of(Like::text(text)) };
    let read = sample().search(&query("glacier ".repeat(1000))).unwrap().texts.remove(0);
    assert_eq!((read.tokens, read.truncated), (256, true));
    let read = sample().search(&query("glacier".into())).unwrap().texts.remove(0);
    assert_eq!((read.tokens, read.truncated), (3, false));
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let refuse = |like: Like, k: usize| sample().search(&Query { k, ..Query::of(like) }).unwrap_err();
    for (like, k) in [
        (Like::text(" \n".into()), 10),
        (Like::text("a".into()), 0),
        (Like::text("a".into()), MAX_K + 1),
        (Like::papers(vec![]), 10),
        (Like::vector(vec![0.0; 384]), 10),
        (Like::vector(vec![1.0; 3]), 10),
        (Like::vector(vec![f32::NAN; 384]), 10),
    ] {
        assert!(matches!(refuse(like.clone(), k), Error::Invalid(_)), "{like:?}");
    }
    assert!(matches!(refuse(Like::papers(vec!["no such id".into()]), 10), Error::NotFound(_)));
}

fn in_mode(mode: Mode, like: Like, k: usize) -> Query {
    Query { mode, k, ..Query::of(like) }
}

#[test]
fn words_find_what_has_them_and_meaning_counts_beside_them() {
    let all = every_paper();
    for paper in all.iter().step_by(7) {
        let title = paper.paper.title.clone();
        for mode in [Mode::Lexical, Mode::Hybrid] {
            let hits = sample().search(&in_mode(mode, Like::text(title.clone()), 5)).unwrap().hits;
            assert_eq!(hits[0].paper.id, paper.paper.id, "{mode}: {title}");
            let parts = hits[0].parts.unwrap();
            assert!((0.3..=1.0).contains(&parts.lexical.unwrap()), "{parts:?}");
            assert!((0.2..=1.0).contains(&parts.semantic), "{parts:?}");
            assert!(hits.is_sorted_by(|a, b| a.score >= b.score) && hits.iter().all(|hit| hit.score <= 1.0));
        }
        let hits = sample().search(&in_mode(Mode::Semantic, Like::text(title), 5)).unwrap().hits;
        assert!(hits.iter().all(|hit| hit.parts.is_none()));
    }
    // A word that nobody has is asked in vain; beside meaning it changes nothing.
    let unknown =
        |mode| sample().search(&in_mode(mode, Like::text("blorxification".into()), 5)).unwrap().hits;
    assert!(unknown(Mode::Lexical).is_empty());
    let scores = |hits: Vec<Hit>| hits.into_iter().map(|hit| (hit.paper.id, hit.score)).collect::<Vec<_>>();
    assert_eq!(scores(unknown(Mode::Hybrid)), scores(unknown(Mode::Semantic)));
}

#[test]
fn in_every_mode_filters_pages_and_scores_mean_the_same() {
    let paper = every_paper().remove(3).paper;
    for mode in [Mode::Semantic, Mode::Lexical, Mode::Hybrid] {
        let like = || Like::papers(vec![paper.id.to_string()]);
        let ten = sample().search(&in_mode(mode, like(), 10)).unwrap().hits;
        assert_eq!(ten.len(), 10, "{mode}");
        assert!(ten.iter().all(|hit| hit.paper.id != paper.id), "{mode}: it is its own hit");
        let right = ten[..4].iter().filter(|hit| family(hit.paper.id.as_str()) == family(paper.id.as_str()));
        assert!(right.count() >= 3, "{mode}");
        let page = |offset| Query { offset, ..in_mode(mode, like(), 5) };
        let pages = [0, 5].map(|offset| sample().search(&page(offset)).unwrap().hits).concat();
        assert_eq!(pages, ten, "{mode}");
        // However many are asked for, if every paper is compared.
        let exactly = |k| Query { exact: true, ..in_mode(mode, like(), k) };
        let hits = |k| sample().search(&exactly(k)).unwrap().hits;
        assert_eq!(hits(100)[..10], hits(10), "{mode}");
        // Named twice, it is one example.
        let twice = Like::papers(vec![paper.id.to_string(), paper.id.to_string()]);
        assert_eq!(sample().search(&in_mode(mode, twice, 10)).unwrap().hits, ten, "{mode}");
        let least = Query { min_score: Some(ten[2].score), ..in_mode(mode, like(), 10) };
        assert_eq!(sample().search(&least).unwrap().hits, ten[..3], "{mode}");
        let unlike = Query { unlike: vec![ten[0].paper.id.to_string()], ..in_mode(mode, like(), 10) };
        let hits = sample().search(&unlike).unwrap().hits;
        assert!(hits.iter().all(|hit| hit.paper.id != ten[0].paper.id), "{mode}");
        // Few may be answers: in whatever mode, those that share something are found.
        let ids = ten.iter().map(|hit| hit.paper.id.to_string()).collect();
        let filter = Filter { ids: Some(ids), ..Filter::default() };
        let hits = sample().search(&Query { filter, ..in_mode(mode, like(), 20) }).unwrap().hits;
        assert_eq!(hits, ten, "{mode}");
        let none = Filter { categories: Some(vec!["nothing".into()]), ..Filter::default() };
        assert!(
            sample().search(&Query { filter: none, ..in_mode(mode, like(), 20) }).unwrap().hits.is_empty()
        );
    }
    let vector = Like::vector(vec![1.0; sample().stats().dimension]);
    assert!(matches!(sample().search(&in_mode(Mode::Lexical, vector.clone(), 5)), Err(Error::Invalid(_))));
    let hybrid = sample().search(&in_mode(Mode::Hybrid, vector.clone(), 5)).unwrap().hits;
    let semantic = sample().search(&in_mode(Mode::Semantic, vector, 5)).unwrap().hits;
    assert!(hybrid.iter().zip(&semantic).all(|(a, b)| (&a.paper, a.score) == (&b.paper, b.score)));
}

#[test]
fn a_diverse_list_has_more_families_and_says_so() {
    let of = |diversity, k, offset| {
        let query = Query {
            diversity,
            offset,
            ..in_mode(Mode::Semantic, Like::papers(vec!["9901.00001".into()]), k)
        };
        sample().search(&query)
    };
    let families = |hits: &[Hit]| {
        let mut families: Vec<String> = hits.iter().map(|hit| family(hit.paper.id.as_str()).into()).collect();
        families.sort_unstable();
        families.dedup();
        families.len()
    };
    let (plain, diverse) = (of(0.0, 10, 0).unwrap(), of(0.6, 10, 0).unwrap());
    assert!(plain.diversity.is_none());
    let spread = diverse.diversity.unwrap();
    assert!(spread.vendi > spread.plain && spread.plain > 1.0 && spread.vendi < 10.0, "{spread:?}");
    assert!(families(&diverse.hits) > families(&plain.hits), "{:?}", diverse.hits);
    assert_eq!(diverse.hits[0].paper, plain.hits[0].paper, "the nearest is the first");
    assert_eq!((diverse.hits.len(), diverse.hits[9].rank), (10, 10));
    // Hardly any difference is wanted: the order is the plain one, and scores are what they were.
    assert_eq!(of(0.0001, 5, 0).unwrap().hits, plain.hits[..5]);
    let pages = [0, 5].map(|offset| of(0.6, 5, offset).unwrap().hits).concat();
    assert_eq!(pages, diverse.hits);
    let ids = |hits: Vec<Hit>| {
        let folded = hits.iter().flat_map(|hit| hit.nearly_the_same.iter().chain([&hit.paper.id]));
        folded.map(ToString::to_string).collect::<std::collections::BTreeSet<_>>()
    };
    let all = of(0.6, 1000, 0).unwrap().hits;
    assert!(all.iter().map(|hit| hit.rank).eq(1..=all.len()));
    assert_eq!(ids(all), ids(of(0.0, 1000, 0).unwrap().hits), "no paper is lost");
    for (diversity, what) in [(1.1, "diversity: got 1.1"), (f32::NAN, "got NaN"), (-0.1, "got -0.1")] {
        assert!(of(diversity, 5, 0).unwrap_err().to_string().contains(what), "{what}");
    }
}

#[test]
fn with_a_half_life_the_new_comes_before_the_old() {
    let of = |half_life, mode| {
        let like = Like::text("knots in polymers".into());
        sample().search(&Query { half_life, ..in_mode(mode, like, 100) }).map(|answer| answer.hits)
    };
    let year = |hit: &Hit| hit.paper.published.as_ref().map_or(0, |date| date[..4].parse().unwrap());
    let mean = |hits: &[Hit]| hits.iter().map(year).sum::<i32>() as f32 / hits.len() as f32;
    for mode in [Mode::Semantic, Mode::Hybrid] {
        let (plain, fresh) = (of(None, mode).unwrap(), of(Some(1.0), mode).unwrap());
        assert!(mean(&fresh[..20]) > mean(&plain[..20]) + 1.0, "{mode}");
        assert!(fresh.is_sorted_by(|a, b| a.score >= b.score), "{mode}");
        let hit = &fresh[0];
        let (parts, before) =
            (hit.parts.unwrap(), plain.iter().find(|other| other.paper == hit.paper).unwrap());
        let recency = parts.recency.unwrap();
        assert!(
            (0.0..1.0).contains(&recency) && (hit.score - before.score * recency).abs() < 1e-6,
            "{hit:?}"
        );
        assert_eq!(parts.lexical.is_some(), mode == Mode::Hybrid);
    }
    for wrong in [0.0, -1.0, f32::INFINITY, f32::NAN] {
        let error = of(Some(wrong), Mode::Semantic).unwrap_err().to_string();
        assert!(error.contains("wanted 0.01 to 1000 years"), "{error}");
    }
}
