//! `/date/{day}`: the papers of a day. The papers that are most similar to the papers that the visitor follows come
//! first.

use super::home::plain_item;
use super::visitor::Visitor;
use super::{newest_day, page};
use crate::search::{Aggregation, Examples, Library, Query};
use crate::server::App;
use crate::server::body::Params;
use crate::server::problem::Problem;
use crate::store::catalog::{DateRange, Filter, PaperNumber};
use crate::web::{DayView, DisplayScore, Frame, ListItem, day_page};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Redirect, Response};
use likewise_index::dot;
use likewise_papers::paper::{Paper, PaperId, parse_date};
use serde::Deserialize;
use std::sync::Arc;

/// Maximum number of papers of a day that are ranked; further papers are not shown.
const MAX_RANKED: usize = 5000;

/// Maximum number of papers of a day that are shown.
const MAX_SHOWN: usize = 200;

/// The form for choosing a day.
#[derive(Deserialize)]
pub struct DayForm {
    date: String,
}

/// Redirects to the page of the chosen day.
pub async fn redirect(Params(DayForm { date }): Params<DayForm>) -> Result<Redirect, Problem> {
    Ok(Redirect::to(&format!("/date/{}", checked(&date)?)))
}

/// Checks that a date is an existing day, `YYYY-MM-DD`.
fn checked(date: &str) -> Result<String, Problem> {
    match parse_date(date) {
        Ok(days) if days.date.len() == 10 => Ok(days.date),
        _ => Err(Problem::invalid(format!("date must be a day such as 2025-06-05 (got {date:?})"))),
    }
}

/// Returns the page of a day.
pub async fn day(
    State(app): State<App>,
    Path(date): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = app.service()?;
    let (date, visitor) = (checked(&date)?, Visitor::of(&headers));
    let (library, followed, since, day) =
        (Arc::clone(&service.library), visitor.followed.clone(), visitor.since, date.clone());
    let data = service.searches.run(move || day_data(&library, day, &followed, since)).await?;
    let frame = Frame { title: &date, newest_day: data.newest_day.as_deref() };
    let mut response = page(day_page(&data.view, &frame));
    visitor.record_visit(&mut response, data.last_number);
    Ok(response)
}

/// The content of a day's page.
struct DayData {
    view: DayView,
    /// Day of the newest paper; see [`newest_day`].
    newest_day: Option<String>,
    /// The largest paper number in the library.
    last_number: PaperNumber,
}

/// Collects the papers of a day. Papers with a number over `since` are marked as new; `None`: no paper is marked.
fn day_data(
    library: &Library,
    date: String,
    followed: &[String],
    since: Option<PaperNumber>,
) -> crate::Result<DayData> {
    let papers = library.published_within((&date, &date), 0, MAX_RANKED)?;
    let found = followed.iter().filter_map(|id| library.find_paper(id).transpose());
    let followed: Vec<Paper> = found.collect::<crate::Result<_>>()?;
    let range = DateRange { from: Some(date.clone()), to: Some(date.clone()) };
    let of_day = Filter { published: Some(range), ..Filter::default() };
    let total = library.list(&of_day, None, 1)?.total;
    let papers = rank(library, papers, &followed)?.into_iter().take(MAX_SHOWN);
    let item = |(number, paper, score): DayPaper| ListItem {
        score: score.map(DisplayScore::Cosine),
        is_new: since.is_some_and(|since| number > since),
        ..plain_item(paper)
    };
    let papers: Vec<ListItem> = papers.map(item).collect();
    let (before, after) = library.days_around(&date)?;
    let left_out = total.saturating_sub(papers.len());
    let view = DayView { date, before, after, papers, left_out, followed };
    Ok(DayData { view, newest_day: newest_day(library), last_number: library.last_number()? })
}

/// A paper with its number and its similarity to the followed papers. The similarity is `None` if the paper has no
/// vector, or if the visitor follows no papers.
type DayPaper = (PaperNumber, Paper, Option<f32>);

/// Sorts papers by their similarity to the mean of the followed papers. Papers without a vector come last. Keeps the
/// order of `papers` if `followed` is empty.
fn rank(
    library: &Library,
    papers: Vec<(PaperNumber, Paper)>,
    followed: &[Paper],
) -> crate::Result<Vec<DayPaper>> {
    if followed.is_empty() {
        return Ok(papers.into_iter().map(|(number, paper)| (number, paper, None)).collect());
    }
    let ids = followed.iter().map(|paper| paper.id.to_string()).collect();
    let query = Query { aggregation: Some(Aggregation::Mean), ..Query::of(Examples::papers(ids)) };
    let mean = library.query_vector(&query, Vec::new())?;
    let ids: Vec<PaperId> = papers.iter().map(|(_, paper)| paper.id.clone()).collect();
    let scores = library.vectors(&ids)?.into_iter().map(|vector| vector.map(|vector| dot(&mean, &vector)));
    let mut scored: Vec<_> =
        papers.into_iter().zip(scores).map(|((number, paper), score)| (score, number, paper)).collect();
    scored.sort_by(|a, b| b.0.unwrap_or(-2.0).total_cmp(&a.0.unwrap_or(-2.0)));
    Ok(scored.into_iter().map(|(score, number, paper)| (number, paper, score)).collect())
}
