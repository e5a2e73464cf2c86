//! `/`: the field, and the answers as a list. `/map`: the answers as a map.

use super::question::{Posed, answer, posed, query, resolve, words};
use super::{newest_day, page};
use crate::catalog::Filter;
use crate::paper::Paper;
use crate::search::{Answer, Hit, Like, MAX_OFFSET, Query, diverse, taken};
use crate::server::App;
use crate::server::body::Params;
use crate::server::problem::Problem;
use crate::server::service::Service;
use crate::web::{
    Asked, Facets, Frame, Listing, Mapped, ON_MAP, Order, PAGE, Shown, Telling, around, list_page, map_page,
    start_page,
};
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
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
    let pool = found.hits.len();
    let telling =
        Telling::of(&words(&asked, &like), found.hits.iter().map(|hit| hit.paper.r#abstract.as_str()));
    let hits = ordered(&service, &asked, found.hits, begin).await?;
    let first = asked.offset - begin;
    let is_last = (asked.offset + PAGE) / POOL * POOL > MAX_OFFSET;
    let is_more = hits.len() > first + PAGE || (pool == POOL && asked.order == Order::Relevance && !is_last);
    let hits = hits.into_iter().skip(first).take(PAGE).map(|hit| marked(hit, &telling)).collect();
    let listing = Listing { question, hits, facets, pool, is_more };
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
    let found = answer(&service, query(&asked, ON_MAP, 0)).await?;
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
    let Asked { q, like, missing, left, .. } = resolve(service, text.clone()).await?;
    let better = Asked { q, like, missing, left, ..asked.clone() };
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
        let found = self::answer(service, query(&asked.with(change), POOL, 0)).await?;
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
            let least = hits.first().map_or(0.0, |nearest| NEAR * nearest.score);
            let near = hits.iter().take_while(|hit| hit.score >= least).count();
            hits.truncate(near.max(PAGE));
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

/// A hit with the sentences that are about the question.
fn marked(hit: Hit, telling: &Telling) -> Shown {
    let sentences = telling.mark(&hit.paper.r#abstract);
    let sentences = sentences.into_iter().map(|(text, is_marked)| (text.to_string(), is_marked)).collect();
    Shown { scored: Some((hit.rank, hit.score)), sentences, is_new: false, paper: hit.paper }
}

/// A paper that nothing was asked about.
pub fn plain(paper: Paper) -> Shown {
    let sentences = Some((paper.r#abstract.clone(), false)).filter(|(text, _)| !text.is_empty());
    Shown { sentences: sentences.into_iter().collect(), scored: None, is_new: false, paper }
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
    let query = Query { k, ..Query::of(Like::papers(vec![id.into()])) };
    Ok(service.search_for_page(query).await?.hits)
}
