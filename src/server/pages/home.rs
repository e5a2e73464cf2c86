//! `/`: the search form, and the results as a list. `/map`: the results as a map.

use super::query::{PageContext, answer, page_context, query, resolve};
use super::{newest_day, page};
use crate::search::{
    Aggregation, Answer, DEFAULT_RERANK_TOP, Examples, Hit, MAX_OFFSET, Mode, Query, mmr, take_at,
};
use crate::server::App;
use crate::server::body::Params;
use crate::server::problem::Problem;
use crate::server::service::Service;
use crate::store::catalog::Filter;
use crate::web::{
    DisplayScore, Facets, Frame, ListItem, ListView, MAX_MAP_PAPERS, MapItem, Order, PAGE_SIZE, PageQuery,
    list_page, map_page, radial_layout, start_page,
};
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use likewise_papers::Paper;
use likewise_papers::sentences::split;
use std::sync::Arc;

/// Number of papers, the most similar ones, that are retrieved at once. A page shows some of these papers; the facets
/// count all of them.
const POOL_SIZE: usize = 300;

/// Minimum similarity of a paper in the order by date, as a fraction of the best paper's similarity. Without a minimum,
/// the newest of 300 papers would be on other topics than the query. The first [`PAGE_SIZE`] papers in the order by
/// score are shown even if their similarity is lower.
const MIN_RELATIVE_SIMILARITY: f32 = 0.75;

/// Number of new papers on the start page.
const START_PAGE_PAPERS: usize = 5;

/// Weight of a paper's difference from earlier papers, in the diverse order. The score has the remaining weight.
const DIVERSITY_WEIGHT: f32 = 0.4;

/// Returns the start page or, with a query, the list of results.
#[utoipa::path(get, path = "/", tag = "pages", responses(
    (status = 200, description = "The page", body = String, content_type = "text/html"),
))]
pub async fn home(
    State(app): State<App>,
    Params(page_query): Params<PageQuery>,
) -> Result<Response, Problem> {
    let service = app.service()?;
    page_query.check().map_err(Problem::invalid)?;
    if page_query.has_no_examples() && page_query.missing.is_empty() {
        return start(&service).await;
    }
    if let Some(resolved) = canonical(&service, &page_query).await? {
        return Ok(Redirect::to(&resolved.link("/")).into_response());
    }
    let begin = page_query.offset / POOL_SIZE * POOL_SIZE;
    let found = if page_query.has_no_examples() {
        Answer::default()
    } else {
        let rerank = (begin == 0 && is_reranked(&service, &page_query)).then_some(DEFAULT_RERANK_TOP);
        answer(&service, Query { rerank, ..query(&page_query, POOL_SIZE, begin) }).await?
    };
    let PageContext { panel, like, newest_day } = page_context(&service, &page_query, &found).await?;
    let facets = facets(&service, &page_query, &found).await?;
    let best = match begin {
        0 => best_score(&found),
        _ => best_score(&answer(&service, query(&page_query, 1, 0)).await?),
    };
    let pool = found.hits.len();
    let hits = ordered(&service, &page_query, found.hits, begin).await?;
    let first = page_query.offset - begin;
    let is_last = (page_query.offset + PAGE_SIZE) / POOL_SIZE * POOL_SIZE > MAX_OFFSET;
    let has_more = hits.len() > first + PAGE_SIZE
        || (pool == POOL_SIZE && matches!(page_query.order, Order::Relevance | Order::Reranked) && !is_last);
    let hits: Vec<Hit> = hits.into_iter().skip(first).take(PAGE_SIZE).collect();
    let hits =
        if hits.is_empty() { hits } else { service.explain(query(&page_query, PAGE_SIZE, 0), hits).await? };
    let hits = hits.into_iter().map(|hit| list_item(hit, best)).collect();
    let (no_match, has_terms) = (found.no_match, service.library.indexes_terms()?);
    let view = ListView { panel, hits, facets, pool, has_more, no_match, has_terms };
    let frame = Frame { title: &title(&page_query, &like), newest_day: newest_day.as_deref() };
    Ok(page(list_page(&view, &frame)))
}

/// Returns the results as a map.
pub async fn map(State(app): State<App>, Params(page_query): Params<PageQuery>) -> Result<Response, Problem> {
    let service = app.service()?;
    page_query.check().map_err(Problem::invalid)?;
    let page_query = canonical(&service, &page_query).await?.unwrap_or(page_query);
    if page_query.has_no_examples() {
        return Ok(Redirect::to(&page_query.link("/")).into_response());
    }
    // The layout has one centre and uses vectors only, so the examples are combined by their mean, and the mode is
    // semantic.
    let (aggregation, mode, min_score) = (Some(Aggregation::Mean), Some(Mode::Semantic), Some(0.0));
    let map_query = Query { aggregation, mode, min_score, ..query(&page_query, MAX_MAP_PAPERS, 0) };
    let found = answer(&service, map_query).await?;
    let PageContext { panel, like, newest_day } = page_context(&service, &page_query, &found).await?;
    let papers: Vec<Paper> = found.hits.iter().map(|hit| hit.paper.clone()).collect();
    let vectors = service.vectors(&papers).await?;
    let with_vectors: Vec<(Hit, Vec<f32>)> =
        found.hits.into_iter().zip(vectors).filter_map(|(hit, vector)| Some((hit, vector?))).collect();
    let (hits, vectors): (Vec<Hit>, Vec<Vec<f32>>) = with_vectors.into_iter().unzip();
    let points = radial_layout(&found.query_vector, &vectors);
    let item = |(Hit { paper, score, .. }, point)| MapItem { paper, similarity: score, point };
    let items: Vec<MapItem> = hits.into_iter().zip(points).map(item).collect();
    let frame = Frame { title: &title(&page_query, &like), newest_day: newest_day.as_deref() };
    Ok(page(map_page(&panel, &items, &frame)))
}

/// Returns the start page, with the newest papers.
async fn start(service: &Arc<Service>) -> Result<Response, Problem> {
    let library = Arc::clone(&service.library);
    let find = move || {
        let listed = library.list(&Filter::default(), None, START_PAGE_PAPERS)?;
        Ok((listed, newest_day(&library)))
    };
    let (listed, day) = service.searches.run(find).await?;
    let newest: Vec<ListItem> = listed.papers.into_iter().map(plain_item).collect();
    let frame = Frame { title: "", newest_day: day.as_deref() };
    Ok(page(start_page(listed.total, service.model(), &newest, &frame)))
}

/// Resolves the text in an address. An address that was written by hand can have a text that names papers; the result
/// has these papers as examples instead of the text. `None`: the address needs no change, for example because its text
/// is itself the query.
async fn canonical(service: &Arc<Service>, page_query: &PageQuery) -> Result<Option<PageQuery>, Problem> {
    let [text] = &page_query.q[..] else { return Ok(None) };
    if !page_query.like.is_empty() || !page_query.unlike.is_empty() {
        return Ok(None);
    }
    let PageQuery { q, like, missing, not_read, left_out, .. } = resolve(service, text.clone()).await?;
    let resolved = PageQuery { q, like, missing, not_read, left_out, ..page_query.clone() };
    Ok(Some(resolved).filter(|resolved| {
        resolved != page_query && (resolved.q != page_query.q || !resolved.like.is_empty())
    }))
}

/// Counts the years, categories and venues of the results. If the query has a filter on one of these three, its values
/// are counted without that filter, so that the visitor can choose other values.
async fn facets(service: &Arc<Service>, page_query: &PageQuery, answer: &Answer) -> Result<Facets, Problem> {
    let mut facets = Facets::of(answer.hits.iter().map(|hit| &hit.paper));
    if page_query.has_no_examples() {
        return Ok(facets);
    }
    let without = async |change: fn(&mut PageQuery)| {
        let all = Query { min_score: Some(0.0), ..query(&page_query.with(change), POOL_SIZE, 0) };
        let found = self::answer(service, all).await?;
        Ok::<_, Problem>(Facets::of(found.hits.iter().map(|hit| &hit.paper)))
    };
    if page_query.from.is_some() || page_query.to.is_some() {
        facets.years = without(|page_query| (page_query.from, page_query.to) = (None, None)).await?.years;
    }
    if !page_query.category.is_empty() {
        facets.categories = without(|page_query| page_query.category.clear()).await?.categories;
    }
    if !page_query.venue.is_empty() {
        facets.venues = without(|page_query| page_query.venue.clear()).await?.venues;
    }
    Ok(facets)
}

/// Whether the first results are reranked by the cross-encoder.
fn is_reranked(service: &Service, page_query: &PageQuery) -> bool {
    page_query.order == Order::Reranked && service.library.reranker().is_some()
}

/// Puts the hits of a pool into the requested order. `begin` is the pool's offset in the ranking.
async fn ordered(
    service: &Arc<Service>,
    page_query: &PageQuery,
    hits: Vec<Hit>,
    begin: usize,
) -> Result<Vec<Hit>, Problem> {
    let mut hits = hits;
    match page_query.order {
        // The search has already reranked.
        Order::Relevance | Order::Reranked => {}
        Order::Newest => {
            let min_similarity = MIN_RELATIVE_SIMILARITY * hits.iter().map(Hit::cosine).fold(0.0, f32::max);
            let is_similar =
                |(index, hit): &(usize, Hit)| hit.cosine() >= min_similarity || *index < PAGE_SIZE;
            hits = hits.into_iter().enumerate().filter(is_similar).map(|(_, hit)| hit).collect();
            hits.sort_by(|a, b| b.paper.published.cmp(&a.paper.published));
        }
        Order::Diverse => {
            let papers: Vec<Paper> = hits.iter().map(|hit| hit.paper.clone()).collect();
            let vectors = service.vectors(&papers).await?;
            let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
            let count = page_query.offset - begin + PAGE_SIZE + 1;
            hits = take_at(hits, &mmr(&scores, &vectors, count, DIVERSITY_WEIGHT));
        }
    }
    Ok(hits)
}

/// Returns the best score of the hits. If results are interleaved, the first hit need not have this score.
fn best_score(answer: &Answer) -> f32 {
    answer.hits.iter().map(|hit| hit.score).fold(0.0, f32::max)
}

/// Converts a hit to a list item. The sentences of the abstract that match the query are marked. `best` is the best
/// score of all results.
fn list_item(hit: Hit, best: f32) -> ListItem {
    let pairs = hit.explanation.iter().flat_map(|explanation| &explanation.pairs);
    let marked: Vec<&str> =
        pairs.filter(|pair| pair.hit.of == "abstract").map(|pair| pair.hit.text.as_str()).collect();
    let sentences = split(&hit.paper.r#abstract).into_iter();
    let sentences = sentences.map(|text| (text.to_string(), marked.contains(&text.trim_end()))).collect();
    let explanation = hit.explanation.clone();
    ListItem {
        explanation,
        score: Some(DisplayScore::of(&hit, best)),
        sentences,
        is_new: false,
        paper: hit.paper,
    }
}

/// Converts a paper to a list item without a score.
pub fn plain_item(paper: Paper) -> ListItem {
    let sentences = Some((paper.r#abstract.clone(), false)).filter(|(text, _)| !text.is_empty());
    ListItem {
        sentences: sentences.into_iter().collect(),
        score: None,
        explanation: None,
        is_new: false,
        paper,
    }
}

/// Returns the title of the browser window: the beginning of the first text, or of the first paper's title.
fn title(page_query: &PageQuery, like: &[Paper]) -> String {
    const MAX_CHARS: usize = 60;
    let text =
        page_query.q.first().map(String::as_str).or_else(|| Some(&*like.first()?.title)).unwrap_or_default();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// Returns the `k` papers that are most similar to a paper.
pub async fn neighbours(service: &Arc<Service>, id: &str, k: usize) -> Result<Vec<Hit>, Problem> {
    let query = Query { k, min_score: Some(0.0), ..Query::of(Examples::papers(vec![id.into()])) };
    Ok(service.search_for_page(query).await?.hits)
}
