//! Search in the papers of the sample: related papers, filters, exact search, modes, reranking, explanations.
//!
//! The sample consists of families of related papers. Each id contains the number of a family: `99FF.0000M`,
//! `…/99FF00M` and `10.5555/sample.FF0M` are ids of paper M of family FF.

use crate::support::sample;
use likewise::search::{
    Aggregation, Examples, Hit, MAX_EXPLAINED, MAX_K, MAX_RERANKED, Mode, NO_MATCH_PROBABILITY, Query,
    QueryKind,
};
use likewise::store::catalog::DateRange;
use likewise::store::text::text_of;
use likewise::{Error, Filter, Paper};
use likewise_encoder::model::InputType;
use likewise_index::dot;
use likewise_papers::sentences::split;

/// Returns the family number of a sample paper.
fn family(id: &str) -> &str {
    match id.split_once("99") {
        Some((_, rest)) if !id.starts_with("10.") => &rest[..2],
        _ => &id.rsplit('.').next().unwrap()[..2],
    }
}

/// Returns the hits of a semantic search in the sample.
fn search(examples: Examples, k: usize, exact: bool, filter: Filter) -> Vec<Hit> {
    let (mode, min_score) = (Some(Mode::Semantic), Some(0.0));
    sample().search(&Query { k, exact, filter, mode, min_score, ..Query::of(examples) }).unwrap().hits
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.paper.id.as_str()).collect()
}

fn all_papers() -> Vec<Hit> {
    search(Examples::text("anything".into()), 200, true, Filter::default())
}

#[test]
fn the_sample_has_families_of_five() {
    let papers = all_papers();
    assert_eq!(papers.len(), 120);
    for hit in &papers {
        let family = family(hit.paper.id.as_str());
        assert_eq!(papers.iter().filter(|other| self::family(other.paper.id.as_str()) == family).count(), 5);
    }
}

#[test]
fn the_nearest_papers_are_of_the_same_family() {
    let (mut same_family, mut all) = (0, 0);
    for paper in all_papers() {
        let id = paper.paper.id.as_str();
        let hits = search(Examples::papers(vec![id.into()]), 4, false, Filter::default());
        assert!(hits.iter().all(|hit| hit.paper.id.as_str() != id), "{id} is a hit of its own query");
        assert_eq!(hits.len(), 4);
        same_family += hits.iter().filter(|hit| family(hit.paper.id.as_str()) == family(id)).count();
        all += 4;
    }
    assert!(same_family * 100 >= all * 95, "only {same_family} of {all} neighbours are of the same family");
}

#[test]
fn an_abstract_finds_a_paper_of_its_family_first() {
    for paper in all_papers() {
        let hits = search(Examples::text(paper.paper.r#abstract.clone()), 1, false, Filter::default());
        assert_eq!(family(hits[0].paper.id.as_str()), family(paper.paper.id.as_str()), "{}", paper.paper.id);
    }
}

#[test]
fn several_papers_are_searched_by_their_mean() {
    let ids = ["9901.00001", "9901.00002", "9903.00001"].map(String::from).to_vec();
    let hits = search(Examples::papers(ids.clone()), 5, false, Filter::default());
    assert!(hits.iter().all(|hit| !ids.iter().any(|id| id == hit.paper.id.as_str())));
    assert!(hits.iter().all(|hit| ["01", "03"].contains(&family(hit.paper.id.as_str()))), "{hits:?}");
}

#[test]
fn hits_are_ranked_and_repeatable() {
    let hits = search(Examples::text("stars and planets".into()), 20, false, Filter::default());
    assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(hits.iter().enumerate().all(|(index, hit)| hit.rank == index + 1));
    assert_eq!(hits, search(Examples::text("stars and planets".into()), 20, false, Filter::default()));
    assert_eq!(hits, search(Examples::text("stars and planets".into()), 20, true, Filter::default()));
}

#[test]
fn filters_keep_exactly_the_matching_papers() {
    let papers = all_papers();
    let expected = |passes: &dyn Fn(&Hit) -> bool| papers.iter().filter(|hit| passes(hit)).count();
    let count = |filter: Filter| search(Examples::text("anything".into()), 200, false, filter).len();

    let ids: Vec<String> = papers[..7].iter().map(|hit| format!("arXiv:{}v3", hit.paper.id)).collect();
    let has_id = |hit: &Hit| ids.iter().any(|id| id.contains(hit.paper.id.as_str()));
    let without_doi = papers[..7].iter().filter(|hit| !hit.paper.id.as_str().starts_with("10.")).count();
    let expected_count = without_doi.min(expected(&has_id));
    assert_eq!(count(Filter { ids: Some(ids.clone()), ..Filter::default() }), expected_count);

    let range = DateRange { from: Some("2010".into()), to: Some("2015-06".into()) };
    let in_range = |hit: &Hit| {
        hit.paper.published.as_deref().is_some_and(|date| ("2010-01-01"..="2015-06-30").contains(&date))
    };
    let dated = Filter { published: Some(range), ..Filter::default() };
    assert!(expected(&in_range) > 0);
    assert_eq!(count(dated), expected(&in_range));

    let category = papers[0].paper.categories[0].clone();
    let has_category = |hit: &Hit| hit.paper.categories.contains(&category);
    assert_eq!(
        count(Filter { categories: Some(vec![category.clone()]), ..Filter::default() }),
        expected(&has_category)
    );
    assert_eq!(count(Filter { categories: Some(vec!["no such category".into()]), ..Filter::default() }), 0);
}

#[test]
fn long_texts_are_truncated_and_marked_so() {
    let query = |text: String| Query { k: 1, ..Query::of(Examples::text(text)) };
    let read = sample().search(&query("glacier ".repeat(1000))).unwrap().texts.remove(0);
    assert_eq!((read.tokens, read.truncated), (256, true));
    let read = sample().search(&query("glacier".into())).unwrap().texts.remove(0);
    assert_eq!((read.tokens, read.truncated), (3, false));
}

#[test]
fn invalid_queries_are_refused() {
    let refuse = |like: Examples, k: usize| sample().search(&Query { k, ..Query::of(like) }).unwrap_err();
    for (like, k) in [
        (Examples::text(" \n".into()), 10),
        (Examples::text("a".into()), 0),
        (Examples::text("a".into()), MAX_K + 1),
        (Examples::papers(vec![]), 10),
        (Examples::vector(vec![0.0; 384]), 10),
        (Examples::vector(vec![1.0; 3]), 10),
        (Examples::vector(vec![f32::NAN; 384]), 10),
    ] {
        assert!(matches!(refuse(like.clone(), k), Error::Invalid(_)), "{like:?}");
    }
    assert!(matches!(refuse(Examples::papers(vec!["no such id".into()]), 10), Error::NotFound(_)));
}

fn query_in_mode(mode: Mode, examples: Examples, k: usize) -> Query {
    Query { mode: Some(mode), min_score: Some(0.0), k, ..Query::of(examples) }
}

#[test]
fn a_title_finds_its_paper_in_lexical_and_hybrid_mode() {
    let all = all_papers();
    for paper in all.iter().step_by(7) {
        let title = paper.paper.title.clone();
        for mode in [Mode::Lexical, Mode::Hybrid] {
            let hits = sample().search(&query_in_mode(mode, Examples::text(title.clone()), 5)).unwrap().hits;
            assert_eq!(hits[0].paper.id, paper.paper.id, "{mode}: {title}");
            let parts = hits[0].parts.unwrap();
            assert!((0.3..=1.0).contains(&parts.lexical.unwrap()), "{parts:?}");
            assert!((0.2..=1.0).contains(&parts.semantic), "{parts:?}");
            assert!(hits.is_sorted_by(|a, b| a.score >= b.score) && hits.iter().all(|hit| hit.score <= 1.0));
        }
        let hits = sample().search(&query_in_mode(Mode::Semantic, Examples::text(title), 5)).unwrap().hits;
        assert!(hits.iter().all(|hit| hit.parts.is_none()));
    }
    // An unknown word finds nothing in lexical mode, and does not change the scores of hybrid mode.
    let unknown = |mode| {
        sample().search(&query_in_mode(mode, Examples::text("blorxification".into()), 5)).unwrap().hits
    };
    assert!(unknown(Mode::Lexical).is_empty());
    let scores = |hits: Vec<Hit>| hits.into_iter().map(|hit| (hit.paper.id, hit.score)).collect::<Vec<_>>();
    assert_eq!(scores(unknown(Mode::Hybrid)), scores(unknown(Mode::Semantic)));
}

/// Returns the ids of the first `count` papers of each of two families of the sample.
fn two_families(count: usize) -> [Vec<String>; 2] {
    let all: Vec<String> = all_papers().iter().map(|hit| hit.paper.id.to_string()).collect();
    let first = family(&all[0]);
    let other = all.iter().map(|id| family(id)).find(|name| *name != first).unwrap();
    [first, other].map(|name| all.iter().filter(|id| family(id) == name).take(count).cloned().collect())
}

#[test]
fn several_examples_are_aggregated_in_three_ways() {
    let [some, others] = two_families(3);
    let listed = [&some[..], &others[..2]].concat();
    for mode in [Mode::Semantic, Mode::Hybrid] {
        let search = |papers: &[String], aggregation| {
            let query =
                Query { aggregation, exact: true, ..query_in_mode(mode, Examples::papers(papers.into()), 7) };
            sample().search(&query).unwrap().hits
        };
        // `Best`: the score of a hit is the highest score that the hit has for any example.
        let best = search(&listed, Some(Aggregation::Best));
        assert!(best.len() == 7 && best.is_sorted_by(|a, b| a.score >= b.score), "{mode}");
        let alone: Vec<Hit> = listed.iter().flat_map(|id| search(std::slice::from_ref(id), None)).collect();
        for hit in &best {
            let scores = alone.iter().filter(|other| other.paper.id == hit.paper.id).map(|other| other.score);
            assert_eq!(hit.score, scores.fold(f32::MIN, f32::max), "{mode}");
        }
        // `Clusters`: the hits of both subjects are interleaved, beginning with the larger cluster. The hits of a
        // cluster are ranked as if the examples of this cluster were searched for alone.
        let interleaved = search(&listed, Some(Aggregation::Clusters));
        let families: Vec<_> = interleaved.iter().map(|hit| family(hit.paper.id.as_str())).collect();
        assert_eq!(families[..3], [family(&some[0]), family(&others[0]), family(&some[0])], "{mode}");
        assert!(interleaved.iter().enumerate().all(|(index, hit)| hit.rank == index + 1), "{mode}");
        assert_eq!(interleaved[0].paper, search(&some, Some(Aggregation::Mean))[0].paper, "{mode}");
        assert!(interleaved.iter().all(|hit| !listed.contains(&hit.paper.id.to_string())), "{mode}");
        // The default is `Mean` for few examples and `Clusters` for many. For one example, the hits are the same.
        assert_eq!(search(&listed, None), search(&listed, Some(Aggregation::Mean)), "{mode}");
        let [more, others] = two_families(4);
        let eight = [more, others].concat();
        assert_eq!(search(&eight, None), search(&eight, Some(Aggregation::Clusters)), "{mode}");
        for aggregation in [Aggregation::Mean, Aggregation::Best, Aggregation::Clusters] {
            assert_eq!(
                search(&some[..1], Some(aggregation)),
                search(&some[..1], None),
                "{mode}: {aggregation}"
            );
        }
    }
}

#[test]
fn probabilities_follow_the_calibration_and_unrelated_texts_have_no_match() {
    let library = sample();
    let id = all_papers()[5].paper.id.to_string();
    for mode in [Mode::Semantic, Mode::Lexical, Mode::Hybrid] {
        let hits = library.search(&query_in_mode(mode, Examples::papers(vec![id.clone()]), 50)).unwrap().hits;
        let curve = library.curve(mode, QueryKind::Papers).unwrap();
        for hit in &hits {
            assert_eq!(hit.probability, Some(curve.at(hit.score)), "{mode}");
        }
        assert!(hits[0].probability > Some(0.5) && hits[49].probability < Some(0.3), "{mode}: {hits:?}");
        // A half-life changes the order, but not the probability.
        let decayed =
            Query { half_life: Some(5.0), ..query_in_mode(mode, Examples::papers(vec![id.clone()]), 5) };
        for hit in library.search(&decayed).unwrap().hits {
            let same = hits.iter().find(|other| other.paper.id == hit.paper.id);
            assert!(same.is_none_or(|same| same.probability == hit.probability), "{mode}");
        }
    }
    let unrelated = "Preheat the oven, cream the butter with the sugar, and bake until golden.";
    let search = |text: &str, min_score| {
        library.search(&Query { min_score, ..Query::of(Examples::text(text.into())) }).unwrap()
    };
    let answer = search(unrelated, None);
    assert!(answer.hits.is_empty() && answer.no_match, "{:?}", answer.hits.first());
    let answer = search(unrelated, Some(0.0));
    assert!(answer.hits.len() == 10 && !answer.no_match);
    assert!(answer.hits[0].probability < Some(NO_MATCH_PROBABILITY));
    for paper in all_papers() {
        let answer = search(&paper.paper.title, None);
        assert!(answer.hits[0].paper.id == paper.paper.id && !answer.no_match, "{}", paper.paper.title);
        assert!(answer.hits[0].parts.is_some(), "the default mode must be hybrid");
    }
}

#[test]
fn explanations_add_up_to_the_score_and_quote_the_texts() {
    let library = sample();
    let paper = all_papers().remove(3).paper;
    let text = text_of(&paper);
    let example_sets = [
        Examples::papers(vec![paper.id.to_string()]),
        Examples::text(text.clone()),
        Examples::text(paper.title.clone()),
    ];
    for (like, mode) in example_sets
        .iter()
        .flat_map(|like| [Mode::Semantic, Mode::Lexical, Mode::Hybrid].map(|mode| (like.clone(), mode)))
    {
        let half_life = (mode == Mode::Hybrid).then_some(10.0);
        let rerank_sentences = mode != Mode::Lexical;
        let plain =
            Query { half_life, rerank_sentences, exact: true, ..query_in_mode(mode, like.clone(), 8) };
        let explained = library.search(&Query { explain: true, ..plain.clone() }).unwrap().hits;
        let without: Vec<Hit> =
            explained.iter().map(|hit| Hit { explanation: None, ..hit.clone() }).collect();
        assert_eq!(without, library.search(&plain).unwrap().hits, "{mode}");
        for hit in &explained {
            let explanation = hit.explanation.as_ref().unwrap();
            let breakdown = &explanation.score_breakdown;
            let sentences = breakdown.sentences.unwrap_or_default();
            assert_eq!(sentences != 0.0, rerank_sentences);
            let sum = breakdown.semantic + breakdown.title + breakdown.lexical + sentences;
            assert!((sum - hit.score).abs() < 1e-5, "{mode}: {explanation:?} for {}", hit.score);
            assert!(
                mode == Mode::Semantic || breakdown.lexical > 0.0 || hit.parts.unwrap().lexical == Some(0.0)
            );
            if mode != Mode::Semantic {
                // The weights of the listed terms add up to at most the lexical score, because only the first terms are
                // listed, and numbers are left out.
                let weights: f32 = explanation.terms.iter().map(|term| term.weight).sum();
                assert!(Some(weights - 1e-5) <= hit.parts.unwrap().lexical, "{explanation:?}");
            }
            for pair in &explanation.pairs {
                let slice = |text: &str, start, end| text.chars().take(end).skip(start).collect::<String>();
                let source = if pair.hit.of == "title" { &hit.paper.title } else { &hit.paper.r#abstract };
                assert_eq!(slice(source, pair.hit.start, pair.hit.end), pair.hit.text);
                let query_text = match pair.query.of {
                    "title" => &paper.title,
                    "abstract" => &paper.r#abstract,
                    _ => &like.texts[0],
                };
                assert_eq!(slice(query_text, pair.query.start, pair.query.end), pair.query.text);
                assert_eq!(pair.query.id.is_some(), like.texts.is_empty());
            }
        }
        let explanation = explained[0].explanation.as_ref().unwrap();
        assert!(!explanation.terms.is_empty() && !explanation.pairs.is_empty(), "{mode}: {explanation:?}");
        let all = Query { k: 110, explain: true, rerank_sentences: false, ..plain.clone() };
        let all = library.search(&all).unwrap().hits;
        assert!(
            all.iter().enumerate().all(|(index, hit)| hit.explanation.is_some() == (index < MAX_EXPLAINED))
        );
        let title = explanation.score_breakdown.title;
        assert!(mode == Mode::Lexical && title == 0.0 || title != 0.0, "{mode}: {explanation:?}");
    }
}

#[test]
fn sentence_reranking_adds_the_mean_sentence_similarity_to_the_first_hits() {
    let library = sample();
    let paper = all_papers().remove(3).paper;
    let vectors = |paper: &Paper| {
        let mut texts = vec![paper.title.as_str()];
        texts.extend(split(&paper.r#abstract).into_iter().map(str::trim));
        let embeddings = library.encoder().encode(&texts, InputType::Document).unwrap();
        embeddings.into_iter().map(|embedding| embedding.vector).collect::<Vec<_>>()
    };
    let query_vectors = vectors(&paper);
    for mode in [Mode::Semantic, Mode::Hybrid] {
        let plain =
            Query { exact: true, ..query_in_mode(mode, Examples::papers(vec![paper.id.to_string()]), 40) };
        let before = library.search(&plain).unwrap().hits;
        let reranked = Query { rerank_sentences: true, ..plain.clone() };
        let after = library.search(&reranked).unwrap().hits;
        assert!(after.is_sorted_by(|a, b| a.score >= b.score));
        assert_ne!(ids(&before[..MAX_RERANKED]), ids(&after[..MAX_RERANKED]), "{mode}");
        assert_eq!(ids(&before[MAX_RERANKED..]), ids(&after[MAX_RERANKED..]), "{mode}");
        for old in &before {
            let new = after.iter().find(|hit| hit.paper.id == old.paper.id).unwrap();
            let expected = (old.rank <= MAX_RERANKED).then(|| {
                let hit_vectors = vectors(&old.paper);
                let nearest =
                    |query: &Vec<f32>| hit_vectors.iter().map(|hit| dot(query, hit)).fold(-1.0, f32::max);
                query_vectors.iter().map(nearest).sum::<f32>() / query_vectors.len() as f32
            });
            let sentences = new.parts.unwrap().sentences;
            assert_eq!(sentences.is_some(), expected.is_some());
            assert!((sentences.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 2e-2);
            let score = (old.score + 0.2 * sentences.unwrap_or(0.0)) / 1.2;
            assert!((new.score - score).abs() < 1e-5 && new.probability == old.probability, "{new:?}");
            assert_eq!(new.cosine(), old.cosine());
        }
        let page = Query { offset: 10, k: 10, ..reranked };
        assert_eq!(
            ids(&library.search(&page).unwrap().hits),
            ids(&after[10..20]),
            "pages are parts of one ranking"
        );
    }
}

#[test]
fn sentence_reranking_keeps_clusters_interleaved() {
    let [some, others] = two_families(5);
    let like = Examples::papers([some, others].concat());
    let plain = Query { aggregation: Some(Aggregation::Clusters), k: 20, exact: true, ..Query::of(like) };
    let before = sample().search(&plain).unwrap().hits;
    let after = sample().search(&Query { rerank_sentences: true, ..plain }).unwrap().hits;
    let sub_queries = |hits: &[Hit]| hits.iter().map(|hit| hit.sub_query).collect::<Vec<_>>();
    assert!(
        sub_queries(&before) == sub_queries(&after) && sub_queries(&before).contains(&1),
        "{:?}",
        sub_queries(&after)
    );
    assert_ne!(ids(&before), ids(&after));
}

#[test]
fn a_text_example_counts_like_the_paper_with_that_text() {
    let [some, others] = two_families(2);
    let text = |id: &String| text_of(&sample().paper(id).unwrap());
    let search = |examples: &Examples, unlike: Examples| {
        let query = Query { unlike, k: 20, exact: true, min_score: Some(0.0), ..Query::of(examples.clone()) };
        let hits = sample().search(&query).unwrap().hits;
        hits.into_iter().map(|hit| hit.paper.id.to_string()).collect::<Vec<_>>()
    };
    // A paper that is given by id is not a hit. A paper that is given by its text is the first hit.
    let mixed = Examples { texts: vec![text(&some[1])], ..Examples::papers(vec![some[0].clone()]) };
    let hits = search(&mixed, Examples::default());
    assert_eq!(hits[0], some[1]);
    assert_eq!(hits[1..9], search(&Examples::papers(some.clone()), Examples::default())[..8]);
    // Negative examples, too, have the same effect as text and as id.
    let from_text = search(&mixed, Examples::text(text(&others[0])));
    let from_paper = search(&mixed, Examples::papers(vec![others[0].clone()]));
    assert_ne!(from_text, hits);
    let without: Vec<String> = from_text.into_iter().filter(|id| *id != others[0]).collect();
    assert_eq!(from_paper[..8], without[..8]);
    assert!(!from_paper.contains(&others[0]));
}

#[test]
fn filters_pages_and_thresholds_work_in_every_mode() {
    let paper = all_papers().remove(3).paper;
    for mode in [Mode::Semantic, Mode::Lexical, Mode::Hybrid] {
        let like = || Examples::papers(vec![paper.id.to_string()]);
        let ten = sample().search(&query_in_mode(mode, like(), 10)).unwrap().hits;
        assert_eq!(ten.len(), 10, "{mode}");
        assert!(ten.iter().all(|hit| hit.paper.id != paper.id), "{mode}: the query paper is a hit");
        let same_family =
            ten[..4].iter().filter(|hit| family(hit.paper.id.as_str()) == family(paper.id.as_str()));
        assert!(same_family.count() >= 3, "{mode}");
        let page = |offset| Query { offset, ..query_in_mode(mode, like(), 5) };
        let pages = [0, 5].map(|offset| sample().search(&page(offset)).unwrap().hits).concat();
        assert_eq!(pages, ten, "{mode}");
        // In exact search, the ranking does not depend on k.
        let exactly = |k| Query { exact: true, ..query_in_mode(mode, like(), k) };
        let hits = |k| sample().search(&exactly(k)).unwrap().hits;
        assert_eq!(hits(100)[..10], hits(10), "{mode}");
        // A paper that is given twice counts once.
        let twice = Examples::papers(vec![paper.id.to_string(), paper.id.to_string()]);
        assert_eq!(sample().search(&query_in_mode(mode, twice, 10)).unwrap().hits, ten, "{mode}");
        let with_min_score = Query { min_score: ten[2].probability, ..query_in_mode(mode, like(), 10) };
        assert_eq!(sample().search(&with_min_score).unwrap().hits, ten[..3], "{mode}");
        let unlike = Examples::papers(vec![ten[0].paper.id.to_string()]);
        let unlike = Query { unlike, ..query_in_mode(mode, like(), 10) };
        let hits = sample().search(&unlike).unwrap().hits;
        assert!(hits.iter().all(|hit| hit.paper.id != ten[0].paper.id), "{mode}");
        // A filter for exactly these papers finds all of them.
        let ids = ten.iter().map(|hit| hit.paper.id.to_string()).collect();
        let filter = Filter { ids: Some(ids), ..Filter::default() };
        let hits = sample().search(&Query { filter, ..query_in_mode(mode, like(), 20) }).unwrap().hits;
        assert_eq!(hits, ten, "{mode}");
        let none = Filter { categories: Some(vec!["nothing".into()]), ..Filter::default() };
        assert!(
            sample()
                .search(&Query { filter: none, ..query_in_mode(mode, like(), 20) })
                .unwrap()
                .hits
                .is_empty()
        );
    }
    let vector = Examples::vector(vec![1.0; sample().stats().dimension]);
    assert!(matches!(
        sample().search(&query_in_mode(Mode::Lexical, vector.clone(), 5)),
        Err(Error::Invalid(_))
    ));
    let hybrid = sample().search(&query_in_mode(Mode::Hybrid, vector.clone(), 5)).unwrap().hits;
    let semantic = sample().search(&query_in_mode(Mode::Semantic, vector, 5)).unwrap().hits;
    assert!(hybrid.iter().zip(&semantic).all(|(a, b)| (&a.paper, a.score) == (&b.paper, b.score)));
}

#[test]
fn diversity_returns_more_families_and_reports_the_vendi_score() {
    let search = |diversity, k, offset| {
        let query = Query {
            diversity,
            offset,
            ..query_in_mode(Mode::Semantic, Examples::papers(vec!["9901.00001".into()]), k)
        };
        sample().search(&query)
    };
    let families = |hits: &[Hit]| {
        let mut families: Vec<String> = hits.iter().map(|hit| family(hit.paper.id.as_str()).into()).collect();
        families.sort_unstable();
        families.dedup();
        families.len()
    };
    let (plain, diverse) = (search(0.0, 10, 0).unwrap(), search(0.6, 10, 0).unwrap());
    assert!(plain.diversity.is_none());
    let spread = diverse.diversity.unwrap();
    assert!(spread.vendi > spread.plain && spread.plain > 1.0 && spread.vendi < 10.0, "{spread:?}");
    assert!(families(&diverse.hits) > families(&plain.hits), "{:?}", diverse.hits);
    assert_eq!(diverse.hits[0].paper, plain.hits[0].paper, "the nearest paper must be first");
    assert_eq!((diverse.hits.len(), diverse.hits[9].rank), (10, 10));
    // With a diversity near 0, the order and the scores are the same as in a search without diversity.
    assert_eq!(search(0.0001, 5, 0).unwrap().hits, plain.hits[..5]);
    let pages = [0, 5].map(|offset| search(0.6, 5, offset).unwrap().hits).concat();
    assert_eq!(pages, diverse.hits);
    let ids = |hits: Vec<Hit>| {
        let all_ids = hits.iter().flat_map(|hit| hit.near_duplicates.iter().chain([&hit.paper.id]));
        all_ids.map(ToString::to_string).collect::<std::collections::BTreeSet<_>>()
    };
    let all = search(0.6, 1000, 0).unwrap().hits;
    assert!(all.iter().map(|hit| hit.rank).eq(1..=all.len()));
    assert_eq!(ids(all), ids(search(0.0, 1000, 0).unwrap().hits), "no paper must be lost");
    for (diversity, message) in [(1.1, "got 1.1"), (f32::NAN, "got NaN"), (-0.1, "got -0.1")] {
        assert!(search(diversity, 5, 0).unwrap_err().to_string().contains(message), "{message}");
    }
}

#[test]
fn a_half_life_prefers_recent_papers() {
    let search = |half_life, mode| {
        let examples = Examples::text("knots in polymers".into());
        sample().search(&Query { half_life, ..query_in_mode(mode, examples, 100) }).map(|answer| answer.hits)
    };
    let year = |hit: &Hit| hit.paper.published.as_ref().map_or(0, |date| date[..4].parse().unwrap());
    let mean = |hits: &[Hit]| hits.iter().map(year).sum::<i32>() as f32 / hits.len() as f32;
    for mode in [Mode::Semantic, Mode::Hybrid] {
        let (plain, recent_first) = (search(None, mode).unwrap(), search(Some(1.0), mode).unwrap());
        assert!(mean(&recent_first[..20]) > mean(&plain[..20]) + 1.0, "{mode}");
        assert!(recent_first.is_sorted_by(|a, b| a.score >= b.score), "{mode}");
        let hit = &recent_first[0];
        let (parts, before) =
            (hit.parts.unwrap(), plain.iter().find(|other| other.paper == hit.paper).unwrap());
        let recency = parts.recency.unwrap();
        assert!(
            (0.0..1.0).contains(&recency) && (hit.score - before.score * recency).abs() < 1e-6,
            "{hit:?}"
        );
        assert_eq!(parts.lexical.is_some(), mode == Mode::Hybrid);
    }
    for invalid in [0.0, -1.0, f32::INFINITY, f32::NAN] {
        let error = search(Some(invalid), Mode::Semantic).unwrap_err().to_string();
        assert!(error.contains("must be between 0.01 and 1000 years"), "{error}");
    }
}
