//! Related papers of the sample come back; filters; exactness.
//!
//! The sample's ids say which papers belong together: `99FF.0000M`, `…/99FF00M` and
//! `10.5555/sample.FF0M` are member M of family FF.

use crate::support::sample;
use likewise::search::{Examples, Hit, Like, MAX_K, MOST_EXPLAINED, Mode, NO_CHANCE, Query, RESCORED};
use likewise::store::catalog::DateRange;
use likewise::store::text::text_of;
use likewise::{Error, Filter, Paper};
use likewise_encoder::model::Side;
use likewise_index::dot;
use likewise_papers::sentences::split;

/// The family that a sample id names.
fn family(id: &str) -> &str {
    match id.split_once("99") {
        Some((_, rest)) if !id.starts_with("10.") => &rest[..2],
        _ => &id.rsplit('.').next().unwrap()[..2],
    }
}

fn ask(like: Like, k: usize, exact: bool, filter: Filter) -> Vec<Hit> {
    let (mode, min_score) = (Some(Mode::Semantic), Some(0.0));
    sample().search(&Query { k, exact, filter, mode, min_score, ..Query::of(like) }).unwrap().hits
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.paper.id.as_str()).collect()
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
    Query { mode: Some(mode), min_score: Some(0.0), k, ..Query::of(like) }
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

/// Papers of two of the sample's families, the first of each.
fn two_families(count: usize) -> [Vec<String>; 2] {
    let all: Vec<String> = every_paper().iter().map(|hit| hit.paper.id.to_string()).collect();
    let first = family(&all[0]);
    let other = all.iter().map(|id| family(id)).find(|name| *name != first).unwrap();
    [first, other].map(|name| all.iter().filter(|id| family(id) == name).take(count).cloned().collect())
}

#[test]
fn several_examples_are_one_question_in_three_ways() {
    let [some, others] = two_families(3);
    let listed = [&some[..], &others[..2]].concat();
    for mode in [Mode::Semantic, Mode::Hybrid] {
        let ask = |papers: &[String], examples| {
            let query = Query { examples, exact: true, ..in_mode(mode, Like::papers(papers.into()), 7) };
            sample().search(&query).unwrap().hits
        };
        // Each is as near as to the example that it is nearest to.
        let best = ask(&listed, Some(Examples::Best));
        assert!(best.len() == 7 && best.is_sorted_by(|a, b| a.score >= b.score), "{mode}");
        let alone: Vec<Hit> = listed.iter().flat_map(|id| ask(std::slice::from_ref(id), None)).collect();
        for hit in &best {
            let own = alone.iter().filter(|other| other.paper.id == hit.paper.id).map(|other| other.score);
            assert_eq!(hit.score, own.fold(f32::MIN, f32::max), "{mode}");
        }
        // Of both subjects in turn, the larger one first, and as if it were asked for by itself.
        let turns = ask(&listed, Some(Examples::Clusters));
        let families: Vec<_> = turns.iter().map(|hit| family(hit.paper.id.as_str())).collect();
        assert_eq!(families[..3], [family(&some[0]), family(&others[0]), family(&some[0])], "{mode}");
        assert!(turns.iter().enumerate().all(|(place, hit)| hit.rank == place + 1), "{mode}");
        assert_eq!(turns[0].paper, ask(&some, Some(Examples::Mean))[0].paper, "{mode}");
        assert!(turns.iter().all(|hit| !listed.contains(&hit.paper.id.to_string())), "{mode}");
        // Few are taken by their mean, many by their clusters; one is one however it is taken.
        assert_eq!(ask(&listed, None), ask(&listed, Some(Examples::Mean)), "{mode}");
        let [more, others] = two_families(4);
        let eight = [more, others].concat();
        assert_eq!(ask(&eight, None), ask(&eight, Some(Examples::Clusters)), "{mode}");
        for how in [Examples::Mean, Examples::Best, Examples::Clusters] {
            assert_eq!(ask(&some[..1], Some(how)), ask(&some[..1], None), "{mode}: {how}");
        }
    }
}

#[test]
fn chances_are_comparable_and_what_nothing_is_like_says_so() {
    let library = sample();
    let id = every_paper()[5].paper.id.to_string();
    for mode in [Mode::Semantic, Mode::Lexical, Mode::Hybrid] {
        let hits = library.search(&in_mode(mode, Like::papers(vec![id.clone()]), 50)).unwrap().hits;
        let curve = library.curve(mode, false).unwrap();
        for hit in &hits {
            assert_eq!(hit.chance, Some(curve.at(hit.score)), "{mode}");
        }
        assert!(hits[0].chance > Some(0.5) && hits[49].chance < Some(0.3), "{mode}: {hits:?}");
        // Age changes what comes first, and not what is related.
        let faded = Query { half_life: Some(5.0), ..in_mode(mode, Like::papers(vec![id.clone()]), 5) };
        for hit in library.search(&faded).unwrap().hits {
            let same = hits.iter().find(|other| other.paper.id == hit.paper.id);
            assert!(same.is_none_or(|same| same.chance == hit.chance), "{mode}");
        }
    }
    let noise = "Preheat the oven, cream the butter with the sugar, and bake until golden.";
    let ask = |text: &str, min_score| {
        library.search(&Query { min_score, ..Query::of(Like::text(text.into())) }).unwrap()
    };
    let answer = ask(noise, None);
    assert!(answer.hits.is_empty() && answer.nothing_like_it, "{:?}", answer.hits.first());
    let answer = ask(noise, Some(0.0));
    assert!(answer.hits.len() == 10 && !answer.nothing_like_it);
    assert!(answer.hits[0].chance < Some(NO_CHANCE));
    for paper in every_paper() {
        let answer = ask(&paper.paper.title, None);
        assert!(
            answer.hits[0].paper.id == paper.paper.id && !answer.nothing_like_it,
            "{}",
            paper.paper.title
        );
        assert!(answer.hits[0].parts.is_some(), "words count, if nobody says otherwise");
    }
}

#[test]
fn a_hit_says_why_it_is_one() {
    let library = sample();
    let paper = every_paper().remove(3).paper;
    let text = text_of(&paper);
    let likes =
        [Like::papers(vec![paper.id.to_string()]), Like::text(text.clone()), Like::text(paper.title.clone())];
    for (like, mode) in likes
        .iter()
        .flat_map(|like| [Mode::Semantic, Mode::Lexical, Mode::Hybrid].map(|mode| (like.clone(), mode)))
    {
        let half_life = (mode == Mode::Hybrid).then_some(10.0);
        let rescore = mode != Mode::Lexical;
        let plain = Query { half_life, rescore, exact: true, ..in_mode(mode, like.clone(), 8) };
        let told = library.search(&Query { explain: true, ..plain.clone() }).unwrap().hits;
        let untold: Vec<Hit> = told.iter().map(|hit| Hit { why: None, ..hit.clone() }).collect();
        assert_eq!(untold, library.search(&plain).unwrap().hits, "{mode}");
        for hit in &told {
            let why = hit.why.as_ref().unwrap();
            let of_sentences = why.shares.sentences.unwrap_or_default();
            assert_eq!(of_sentences != 0.0, rescore);
            let sum = why.shares.semantic + why.shares.title + why.shares.lexical + of_sentences;
            assert!((sum - hit.score).abs() < 1e-5, "{mode}: {why:?} for {}", hit.score);
            assert!(
                mode == Mode::Semantic || why.shares.lexical > 0.0 || hit.parts.unwrap().lexical == Some(0.0)
            );
            if mode != Mode::Semantic {
                // Parts of the whole; of many the first, and numbers are not told.
                let weights: f32 = why.terms.iter().map(|term| term.weight).sum();
                assert!(Some(weights - 1e-5) <= hit.parts.unwrap().lexical, "{why:?}");
            }
            for pair in &why.pairs {
                let part = |text: &str, start, end| text.chars().take(end).skip(start).collect::<String>();
                let whole = if pair.found.of == "title" { &hit.paper.title } else { &hit.paper.r#abstract };
                assert_eq!(part(whole, pair.found.start, pair.found.end), pair.found.text);
                let asked = match pair.asked.of {
                    "title" => &paper.title,
                    "abstract" => &paper.r#abstract,
                    _ => &like.texts[0],
                };
                assert_eq!(part(asked, pair.asked.start, pair.asked.end), pair.asked.text);
                assert_eq!(pair.asked.id.is_some(), like.texts.is_empty());
            }
        }
        let why = told[0].why.as_ref().unwrap();
        assert!(!why.terms.is_empty() && !why.pairs.is_empty(), "{mode}: {why:?}");
        let all = Query { k: 110, explain: true, rescore: false, ..plain.clone() };
        let all = library.search(&all).unwrap().hits;
        assert!(all.iter().enumerate().all(|(place, hit)| hit.why.is_some() == (place < MOST_EXPLAINED)));
        let title = why.shares.title;
        assert!(mode == Mode::Lexical && title == 0.0 || title != 0.0, "{mode}: {why:?}");
    }
}

#[test]
fn sentences_score_the_first_once_more() {
    let library = sample();
    let paper = every_paper().remove(3).paper;
    let vectors = |paper: &Paper| {
        let mut texts = vec![paper.title.as_str()];
        texts.extend(split(&paper.r#abstract).into_iter().map(str::trim));
        let embeddings = library.encoder().encode(&texts, Side::Paper).unwrap();
        embeddings.into_iter().map(|embedding| embedding.vector).collect::<Vec<_>>()
    };
    let asked = vectors(&paper);
    for mode in [Mode::Semantic, Mode::Hybrid] {
        let plain = Query { exact: true, ..in_mode(mode, Like::papers(vec![paper.id.to_string()]), 40) };
        let before = library.search(&plain).unwrap().hits;
        let rescored = Query { rescore: true, ..plain.clone() };
        let after = library.search(&rescored).unwrap().hits;
        assert!(after.is_sorted_by(|a, b| a.score >= b.score));
        assert_ne!(ids(&before[..RESCORED]), ids(&after[..RESCORED]), "{mode}");
        assert_eq!(ids(&before[RESCORED..]), ids(&after[RESCORED..]), "{mode}");
        for old in &before {
            let new = after.iter().find(|hit| hit.paper.id == old.paper.id).unwrap();
            let near = (old.rank <= RESCORED).then(|| {
                let found = vectors(&old.paper);
                let nearest =
                    |asked: &Vec<f32>| found.iter().map(|found| dot(asked, found)).fold(-1.0, f32::max);
                asked.iter().map(nearest).sum::<f32>() / asked.len() as f32
            });
            let said = new.parts.unwrap().sentences;
            assert!(
                said.is_some() == near.is_some() && (said.unwrap_or(0.0) - near.unwrap_or(0.0)).abs() < 2e-2
            );
            let wanted = (old.score + 0.2 * said.unwrap_or(0.0)) / 1.2;
            assert!((new.score - wanted).abs() < 1e-5 && new.chance == old.chance, "{new:?}");
            assert_eq!(new.cosine(), old.cosine());
        }
        let page = Query { offset: 10, k: 10, ..rescored };
        assert_eq!(ids(&library.search(&page).unwrap().hits), ids(&after[10..20]), "pages are of one order");
    }
}

#[test]
fn sentences_leave_subjects_their_turns() {
    let [some, others] = two_families(5);
    let like = Like::papers([some, others].concat());
    let plain = Query { examples: Some(Examples::Clusters), k: 20, exact: true, ..Query::of(like) };
    let before = sample().search(&plain).unwrap().hits;
    let after = sample().search(&Query { rescore: true, ..plain }).unwrap().hits;
    let aims = |hits: &[Hit]| hits.iter().map(|hit| hit.aim).collect::<Vec<_>>();
    assert!(aims(&before) == aims(&after) && aims(&before).contains(&1), "{:?}", aims(&after));
    assert_ne!(ids(&before), ids(&after));
}

#[test]
fn texts_and_papers_are_examples_alike() {
    let [some, others] = two_families(2);
    let text = |id: &String| text_of(&sample().paper(id).unwrap());
    let ask = |like: &Like, unlike: Like| {
        let query = Query { unlike, k: 20, exact: true, min_score: Some(0.0), ..Query::of(like.clone()) };
        let hits = sample().search(&query).unwrap().hits;
        hits.into_iter().map(|hit| hit.paper.id.to_string()).collect::<Vec<_>>()
    };
    // A text is no paper, so the paper that it is of is an answer, and the nearest.
    let mixed = Like { texts: vec![text(&some[1])], ..Like::papers(vec![some[0].clone()]) };
    let hits = ask(&mixed, Like::default());
    assert_eq!(hits[0], some[1]);
    assert_eq!(hits[1..9], ask(&Like::papers(some.clone()), Like::default())[..8]);
    // The same on the other side.
    let from_text = ask(&mixed, Like::text(text(&others[0])));
    let from_paper = ask(&mixed, Like::papers(vec![others[0].clone()]));
    assert_ne!(from_text, hits);
    let without: Vec<String> = from_text.into_iter().filter(|id| *id != others[0]).collect();
    assert_eq!(from_paper[..8], without[..8]);
    assert!(!from_paper.contains(&others[0]));
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
        let least = Query { min_score: ten[2].chance, ..in_mode(mode, like(), 10) };
        assert_eq!(sample().search(&least).unwrap().hits, ten[..3], "{mode}");
        let unlike = Like::papers(vec![ten[0].paper.id.to_string()]);
        let unlike = Query { unlike, ..in_mode(mode, like(), 10) };
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
