//! `/`: the field, and the answers as a list. `/map`: the answers as a map.

use super::question::{Posed, answer, posed, query, resolve};
use super::{newest_day, page};
use crate::search::{Answer, Examples, Hit, Like, MAX_OFFSET, Mode, Query, diverse, taken};
use crate::server::App;
use crate::server::body::Params;
use crate::server::problem::Problem;
use crate::server::service::Service;
use crate::store::catalog::Filter;
use crate::web::{
    Asked, Facets, Frame, Listing, Mapped, Nearness, ON_MAP, Order, PAGE, Shown, around, list_page, map_page,
    start_page,
};
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use likewise_papers::Paper;
use likewise_papers::sentences::split;
use std::sync::Arc;

/// The nearest papers, of which a page shows some, and whose years and categories are counted.
const POOL: usize = 300;

/// The share of the nearest one's similarity that makes a paper one of those whose newest are shown: the newest of 300
/// would be about something else.
const NEAR: f32 = 0.75;

/// New papers that are shown to whoever asks nothing yet.
const NEWEST: usize = 5;

/// How much difference counts where it is asked for.
const DIVERSITY: f32 = 0.4;

/// The page for people: a field, and the answers. Other pages are reached from there.
#[utoipa::path(get, path = "/", tag = "pages", responses(
    (status = 200, description = "The page", body = String, content_type = "text/html"),
))]
pub async fn home(State(app): State<App>, Params(asked): Params<Asked>) -> Result<Response, Problem> {
    let service = app.service()?;
    asked.check().map_err(Problem::invalid)?;
    if asked.is_nothing() && asked.missing.is_empty() {
        return start(&service).await;
    }
    if let Some(better) = canonical(&service, &asked).await? {
        return Ok(Redirect::to(&better.link("/")).into_response());
    }
    let begin = asked.offset / POOL * POOL;
    let found = if asked.is_nothing() {
        Answer::default()
    } else {
        answer(&service, query(&asked, POOL, begin)).await?
    };
    let Posed { question, like, newest_day } = posed(&service, &asked, &found).await?;
    let facets = facets(&service, &asked, &found).await?;
    let best = match begin {
        0 => best_score(&found),
        _ => best_score(&answer(&service, query(&asked, 1, 0)).await?),
    };
    let pool = found.hits.len();
    let hits = ordered(&service, &asked, found.hits, begin).await?;
    let first = asked.offset - begin;
    let is_last = (asked.offset + PAGE) / POOL * POOL > MAX_OFFSET;
    let is_more = hits.len() > first + PAGE || (pool == POOL && asked.order == Order::Relevance && !is_last);
    let hits: Vec<Hit> = hits.into_iter().skip(first).take(PAGE).collect();
    let hits = if hits.is_empty() { hits } else { service.explain(query(&asked, PAGE, 0), hits).await? };
    let hits = hits.into_iter().map(|hit| marked(hit, best)).collect();
    let (nothing_like_it, has_words) = (found.nothing_like_it, service.library.keeps_words()?);
    let listing = Listing { question, hits, facets, pool, is_more, nothing_like_it, has_words };
    let frame = Frame { title: &title(&asked, &like), newest_day: newest_day.as_deref() };
    Ok(page(list_page(&listing, &frame)))
}

/// The answers as a map.
pub async fn map(State(app): State<App>, Params(asked): Params<Asked>) -> Result<Response, Problem> {
    let service = app.service()?;
    asked.check().map_err(Problem::invalid)?;
    let asked = canonical(&service, &asked).await?.unwrap_or(asked);
    if asked.is_nothing() {
        return Ok(Redirect::to(&asked.link("/")).into_response());
    }
    // Around one middle, also where a list would be of several subjects; places are made of vectors only.
    let (examples, mode, min_score) = (Some(Examples::Mean), Some(Mode::Semantic), Some(0.0));
    let around_one = Query { examples, mode, min_score, ..query(&asked, ON_MAP, 0) };
    let found = answer(&service, around_one).await?;
    let Posed { question, like, newest_day } = posed(&service, &asked, &found).await?;
    let papers: Vec<Paper> = found.hits.iter().map(|hit| hit.paper.clone()).collect();
    let vectors = service.vectors(&papers).await?;
    let known: Vec<(Hit, Vec<f32>)> =
        found.hits.into_iter().zip(vectors).filter_map(|(hit, vector)| Some((hit, vector?))).collect();
    let (hits, vectors): (Vec<Hit>, Vec<Vec<f32>>) = known.into_iter().unzip();
    let places = around(&found.target, &vectors);
    let mapped = |(Hit { paper, score, .. }, place)| Mapped { paper, score, place };
    let mapped: Vec<Mapped> = hits.into_iter().zip(places).map(mapped).collect();
    let frame = Frame { title: &title(&asked, &like), newest_day: newest_day.as_deref() };
    Ok(page(map_page(&question, &mapped, &frame)))
}

async fn start(service: &Arc<Service>) -> Result<Response, Problem> {
    let library = Arc::clone(&service.library);
    let find = move || {
        let listed = library.list(&Filter::default(), None, NEWEST)?;
        Ok((listed, newest_day(&library)))
    };
    let (listed, day) = service.searches.run(find).await?;
    let newest: Vec<Shown> = listed.papers.into_iter().map(plain).collect();
    let frame = Frame { title: "", newest_day: day.as_deref() };
    Ok(page(start_page(listed.total, service.model(), &newest, &frame)))
}

/// What a text in an address stands for, if that is not itself: somebody may have written the address by hand.
async fn canonical(service: &Arc<Service>, asked: &Asked) -> Result<Option<Asked>, Problem> {
    let [text] = &asked.q[..] else { return Ok(None) };
    if !asked.like.is_empty() || !asked.unlike.is_empty() {
        return Ok(None);
    }
    let Asked { q, like, missing, not_read, left, .. } = resolve(service, text.clone()).await?;
    let better = Asked { q, like, missing, not_read, left, ..asked.clone() };
    Ok(Some(better).filter(|better| better != asked && (better.q != asked.q || !better.like.is_empty())))
}

/// What the papers around the question are. What a kind of filter could leave is counted without the filters of that
/// kind: there would be no other to choose.
async fn facets(service: &Arc<Service>, asked: &Asked, answer: &Answer) -> Result<Facets, Problem> {
    let mut facets = Facets::of(answer.hits.iter().map(|hit| &hit.paper));
    if asked.is_nothing() {
        return Ok(facets);
    }
    let without = async |change: fn(&mut Asked)| {
        let all = Query { min_score: Some(0.0), ..query(&asked.with(change), POOL, 0) };
        let found = self::answer(service, all).await?;
        Ok::<_, Problem>(Facets::of(found.hits.iter().map(|hit| &hit.paper)))
    };
    if asked.from.is_some() || asked.to.is_some() {
        facets.years = without(|asked| (asked.from, asked.to) = (None, None)).await?.years;
    }
    if !asked.category.is_empty() {
        facets.categories = without(|asked| asked.category.clear()).await?.categories;
    }
    if !asked.venue.is_empty() {
        facets.venues = without(|asked| asked.venue.clear()).await?.venues;
    }
    Ok(facets)
}

/// The pool in the order that is wanted.
async fn ordered(
    service: &Arc<Service>,
    asked: &Asked,
    hits: Vec<Hit>,
    begin: usize,
) -> Result<Vec<Hit>, Problem> {
    let mut hits = hits;
    match asked.order {
        Order::Relevance => {}
        Order::Newest => {
            let least = NEAR * hits.iter().map(Hit::cosine).fold(0.0, f32::max);
            let near = |(place, hit): &(usize, Hit)| hit.cosine() >= least || *place < PAGE;
            hits = hits.into_iter().enumerate().filter(near).map(|(_, hit)| hit).collect();
            hits.sort_by(|a, b| b.paper.published.cmp(&a.paper.published));
        }
        Order::Diverse => {
            let papers: Vec<Paper> = hits.iter().map(|hit| hit.paper.clone()).collect();
            let vectors = service.vectors(&papers).await?;
            let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
            let wanted = asked.offset - begin + PAGE + 1;
            hits = taken(hits, &diverse(&scores, &vectors, wanted, DIVERSITY));
        }
    }
    Ok(hits)
}

/// The score of the nearest paper; of several subjects' papers, which take turns, it need not be the first.
fn best_score(answer: &Answer) -> f32 {
    answer.hits.iter().map(|hit| hit.score).fold(0.0, f32::max)
}

/// A hit with the sentences that are about the question.
fn marked(hit: Hit, best: f32) -> Shown {
    let pairs = hit.why.iter().flat_map(|why| &why.pairs);
    let marked: Vec<&str> =
        pairs.filter(|pair| pair.found.of == "abstract").map(|pair| pair.found.text.as_str()).collect();
    let sentences = split(&hit.paper.r#abstract).into_iter();
    let sentences = sentences.map(|text| (text.to_string(), marked.contains(&text.trim_end()))).collect();
    let why = hit.why.clone();
    Shown { why, nearness: Some(Nearness::of(&hit, best)), sentences, is_new: false, paper: hit.paper }
}

/// A paper that nothing was asked about.
pub fn plain(paper: Paper) -> Shown {
    let sentences = Some((paper.r#abstract.clone(), false)).filter(|(text, _)| !text.is_empty());
    Shown { sentences: sentences.into_iter().collect(), nearness: None, why: None, is_new: false, paper }
}

/// For the window: the beginning of what was asked.
fn title(asked: &Asked, like: &[Paper]) -> String {
    const SHOWN: usize = 60;
    let text =
        asked.q.first().map(String::as_str).or_else(|| Some(&*like.first()?.title)).unwrap_or_default();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The nearest papers of one.
pub async fn neighbours(service: &Arc<Service>, id: &str, k: usize) -> Result<Vec<Hit>, Problem> {
    let query = Query { k, min_score: Some(0.0), ..Query::of(Like::papers(vec![id.into()])) };
    Ok(service.search_for_page(query).await?.hits)
}
