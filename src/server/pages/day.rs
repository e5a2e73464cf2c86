//! `/date/{day}`: the papers of a day, those first that are closest to what one follows.

use super::home::plain;
use super::visitor::Visitor;
use super::{newest_day, page};
use crate::search::{Examples, Library, Like, Query};
use crate::server::App;
use crate::server::body::Params;
use crate::server::problem::Problem;
use crate::store::catalog::{DateRange, Filter, PaperNumber};
use crate::web::{Day, Frame, Nearness, Shown, day_page};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Redirect, Response};
use likewise_index::dot;
use likewise_papers::paper::{Paper, PaperId, parse_date};
use serde::Deserialize;
use std::sync::Arc;

/// Papers of a day that are ranked, and that are shown.
const RANKED: usize = 5000;
const SHOWN: usize = 200;

/// A day that was chosen in the form.
#[derive(Deserialize)]
pub struct Another {
    date: String,
}

/// To the page of a day.
pub async fn another(Params(Another { date }): Params<Another>) -> Result<Redirect, Problem> {
    Ok(Redirect::to(&format!("/date/{}", checked(&date)?)))
}

fn checked(date: &str) -> Result<String, Problem> {
    match parse_date(date) {
        Ok(days) if days.date.len() == 10 => Ok(days.date),
        _ => Err(Problem::invalid(format!("date: got {date:?}, wanted a day such as 2025-06-05"))),
    }
}

/// The papers of a day.
pub async fn day(
    State(app): State<App>,
    Path(date): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = app.service()?;
    let (date, visitor) = (checked(&date)?, Visitor::of(&headers));
    let (library, followed, since, day) =
        (Arc::clone(&service.library), visitor.followed.clone(), visitor.since, date.clone());
    let found = service.searches.run(move || find(&library, day, &followed, since)).await?;
    let (day, newest, last) = found;
    let frame = Frame { title: &date, newest_day: newest.as_deref() };
    let mut response = page(day_page(&day, &frame));
    visitor.saw(&mut response, last);
    Ok(response)
}

type Found = (Day, Option<String>, PaperNumber);

fn find(
    library: &Library,
    date: String,
    followed: &[String],
    since: Option<PaperNumber>,
) -> crate::Result<Found> {
    let papers = library.published_within((&date, &date), 0, RANKED)?;
    let here = followed.iter().filter_map(|id| library.paper_if_here(id).transpose());
    let followed: Vec<Paper> = here.collect::<crate::Result<_>>()?;
    let only = DateRange { from: Some(date.clone()), to: Some(date.clone()) };
    let of_day = Filter { published: Some(only), ..Filter::default() };
    let all = library.list(&of_day, None, 1)?.total;
    let papers = rank(library, papers, &followed)?.into_iter().take(SHOWN);
    let shown = |(number, paper, score): Ranked| Shown {
        nearness: score.map(Nearness::Similarity),
        is_new: since.is_some_and(|since| number > since),
        ..plain(paper)
    };
    let papers: Vec<Shown> = papers.map(shown).collect();
    let (before, after) = library.days_around(&date)?;
    let left_out = all.saturating_sub(papers.len());
    Ok((Day { date, before, after, papers, left_out, followed }, newest_day(library), library.last_number()?))
}

type Ranked = (PaperNumber, Paper, Option<f32>);

/// Papers by closeness to those that are followed; those without a vector yet are the last.
fn rank(
    library: &Library,
    papers: Vec<(PaperNumber, Paper)>,
    followed: &[Paper],
) -> crate::Result<Vec<Ranked>> {
    if followed.is_empty() {
        return Ok(papers.into_iter().map(|(number, paper)| (number, paper, None)).collect());
    }
    let ids = followed.iter().map(|paper| paper.id.to_string()).collect();
    let all = Query { examples: Some(Examples::Mean), ..Query::of(Like::papers(ids)) };
    let middle = library.target_of(&all, Vec::new())?;
    let ids: Vec<PaperId> = papers.iter().map(|(_, paper)| paper.id.clone()).collect();
    let scores = library.vectors(&ids)?.into_iter().map(|vector| vector.map(|vector| dot(&middle, &vector)));
    let mut scored: Vec<_> =
        papers.into_iter().zip(scores).map(|((number, paper), score)| (score, number, paper)).collect();
    scored.sort_by(|a, b| b.0.unwrap_or(-2.0).total_cmp(&a.0.unwrap_or(-2.0)));
    Ok(scored.into_iter().map(|(score, number, paper)| (number, paper, score)).collect())
}
