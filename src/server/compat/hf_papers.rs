//! `/api/papers/search`, `/api/papers/{id}` and `/api/daily_papers` of Hugging Face's papers API.
//!
//! A paper is listed on its day of publication, because the library does not know when the paper was in Hugging Face's
//! daily list. A paper whose date is only a month or a year is listed only if all its days are in the requested range.

use crate::json::non_empty;
use crate::search::{Examples, Query};
use crate::server::App;
use crate::server::body::{Params, WildcardPath};
use crate::server::error_format::PlainError;
use crate::server::problem::{Problem, check_range};
use crate::server::schemas;
use axum::Json;
use axum::extract::State;
use likewise_papers::paper::{Paper, format_day, parse_date};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Default number of results of a search; `--max-k` can make it smaller.
const DEFAULT_SEARCH_LIMIT: usize = 100;

/// Maximum number of results of a search, as in Hugging Face's API.
const MAX_SEARCH_LIMIT: usize = 120;

/// Default number of papers on a page of daily papers.
const DEFAULT_DAILY_LIMIT: usize = 50;

/// Maximum number of papers on a page of daily papers.
const MAX_DAILY_LIMIT: usize = 100;

/// Largest page number of daily papers.
const MAX_PAGE: usize = 1000;

fn default_daily_limit() -> usize {
    DEFAULT_DAILY_LIMIT
}

/// An item of a list of papers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HfListItem {
    paper: HfPaper,
    title: String,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<String>,
    num_comments: u32,
    is_author_participating: bool,
}

/// A paper.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HfPaper {
    /// The arXiv id if the paper has one, else the id in this library.
    #[schema(example = "9901.00001")]
    id: String,
    title: String,
    summary: String,
    authors: Vec<HfAuthor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2021-01-11T00:00:00.000Z")]
    published_at: Option<String>,
    upvotes: u32,
}

/// An author of a paper.
#[derive(Debug, Serialize, ToSchema)]
pub struct HfAuthor {
    name: String,
    hidden: bool,
}

impl HfPaper {
    fn of(paper: Paper) -> HfPaper {
        let arxiv = paper.ids().find(|id| id.kind() == likewise_papers::paper::IdKind::Arxiv);
        let published = paper.published.as_deref().and_then(|date| parse_date(date).ok());
        HfPaper {
            id: arxiv.unwrap_or(&paper.id).to_string(),
            title: paper.title,
            summary: paper.r#abstract,
            authors: paper.authors.into_iter().map(|name| HfAuthor { name, hidden: false }).collect(),
            published_at: published.map(|days| format!("{}T00:00:00.000Z", days.first)),
            upvotes: 0,
        }
    }
}

impl HfListItem {
    fn of(paper: Paper) -> HfListItem {
        let paper = HfPaper::of(paper);
        HfListItem {
            title: paper.title.clone(),
            summary: paper.summary.clone(),
            published_at: paper.published_at.clone(),
            num_comments: 0,
            is_author_participating: false,
            paper,
        }
    }
}

/// Query parameters of a search.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HfSearchParams {
    /// Text of the query.
    #[param(pattern = "[^\\s\\u0085\\uFEFF]", example = "knots")]
    q: String,
    /// Maximum number of results.
    #[serde(default, deserialize_with = "non_empty")]
    #[param(minimum = 1, maximum = 120, default = 100)]
    limit: Option<usize>,
}

/// Finds the papers that are most similar to a text.
#[utoipa::path(get, path = "/api/papers/search", tag = "Hugging Face papers", params(HfSearchParams), responses(
    (status = 200, description = "The most similar papers, best first", body = Vec<HfListItem>),
    (status = 400, description = "`limit` is out of range", body = PlainError),
    (status = 422, description = "The text is missing, or a parameter is invalid", body = PlainError),
))]
pub async fn search(
    State(app): State<App>,
    Params(params): Params<HfSearchParams>,
) -> Result<Json<Vec<HfListItem>>, Problem> {
    let service = app.service()?;
    let limit = params.limit.unwrap_or_else(|| service.default_k(DEFAULT_SEARCH_LIMIT));
    check_range("limit", limit, 1..=MAX_SEARCH_LIMIT).map_err(Problem::bad_request)?;
    let answer = service.search(Query { k: limit, ..Query::of(Examples::text(params.q)) }).await;
    let answer = answer.map_err(|problem| problem.with_field_names(&[("text", "q"), ("k", "limit")]))?;
    Ok(Json(answer.hits.into_iter().map(|hit| HfListItem::of(hit.paper)).collect()))
}

/// Returns one paper.
#[utoipa::path(get, path = "/api/papers/{*id}", tag = "Hugging Face papers",
    params(("id" = String, Path, description = "Any id of the paper", example = "9901.00001")),
    responses(
        (status = 200, description = "The paper", body = HfPaper),
        (status = 400, description = "The path is not valid UTF-8", body = PlainError),
        (status = 404, description = "No paper has this id", body = PlainError),
        (status = 422, description = "The id is invalid", body = PlainError),
    ))]
pub async fn paper(State(app): State<App>, WildcardPath(id): WildcardPath) -> Result<Json<HfPaper>, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let paper = service.searches.run(move || library.paper(&id)).await?;
    Ok(Json(HfPaper::of(paper)))
}

/// Query parameters of the list of daily papers. If several of `date`, `week` and `month` are set, `date` overrides the
/// other two, and `week` overrides `month`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DailyParams {
    /// A day: `YYYY-MM-DD`.
    #[serde(default, deserialize_with = "non_empty")]
    #[param(schema_with = schemas::day)]
    date: Option<String>,
    /// A week: `YYYY-Www`.
    #[serde(default, deserialize_with = "non_empty")]
    #[param(schema_with = schemas::week)]
    week: Option<String>,
    /// A month: `YYYY-MM`.
    #[serde(default, deserialize_with = "non_empty")]
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2021-01")]
    month: Option<String>,
    /// Page number, from 0.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1000, default = 0)]
    p: usize,
    /// Maximum number of papers on a page.
    #[serde(default = "default_daily_limit")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: usize,
    /// Accepted and ignored: papers are always listed newest first.
    #[serde(rename = "sort")]
    #[param(rename = "sort", inline)]
    _sort: Option<DailySort>,
}

/// A sort order of Hugging Face's API.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub enum DailySort {
    #[serde(rename = "publishedAt")]
    PublishedAt,
    #[serde(rename = "trending")]
    Trending,
}

impl DailyParams {
    /// Returns the first and the last day of the list, inclusive, as `YYYY-MM-DD`. If no parameter is set, the list has
    /// all days, and the first day is an empty text.
    ///
    /// # Errors
    /// Returns 400 if the date, week or month does not exist, even if another parameter overrides it.
    fn range(&self) -> Result<(String, String), Problem> {
        let day = self.date.as_deref().map(day_range).transpose()?;
        let week = self.week.as_deref().map(week_range).transpose()?;
        let month = self.month.as_deref().map(month_range).transpose()?;
        Ok(day.or(week).or(month).unwrap_or_else(|| (String::new(), "9999-12-31".into())))
    }
}

fn invalid(field: &str, value: &str, format: &str) -> Problem {
    Problem::bad_request(format!(
        "{field} must be an existing {field} in the format {format} (got {value:?})"
    ))
}

fn day_range(date: &str) -> Result<(String, String), Problem> {
    match parse_date(date) {
        Ok(days) if days.date.len() == 10 && date == days.date => Ok((days.first, days.last)),
        _ => Err(invalid("date", date, "YYYY-MM-DD")),
    }
}

fn week_range(week: &str) -> Result<(String, String), Problem> {
    let day = |day| {
        let (year, number) = week.split_once("-W")?;
        let (year, number) = (year.parse().ok()?, number.parse().ok()?);
        time::Date::from_iso_week_date(year, number, day).ok().map(format_day)
    };
    let days = day(time::Weekday::Monday).zip(day(time::Weekday::Sunday));
    days.filter(|_| week.len() == 8).ok_or_else(|| invalid("week", week, "YYYY-Www"))
}

fn month_range(month: &str) -> Result<(String, String), Problem> {
    let days = parse_date(month).ok().filter(|_| month.len() == 7);
    days.map(|days| (days.first, days.last)).ok_or_else(|| invalid("month", month, "YYYY-MM"))
}

/// Lists the papers of a day, a week or a month, or all papers with a date, newest first. Withdrawn papers are left
/// out.
#[utoipa::path(get, path = "/api/daily_papers", tag = "Hugging Face papers", params(DailyParams), responses(
    (status = 200, description = "The papers, newest first; an empty list after the last page", body = Vec<HfListItem>),
    (status = 400, description = "The day, week or month does not exist, or `p` or `limit` is out of range", body = PlainError),
    (status = 422, description = "A parameter is invalid", body = PlainError),
))]
pub async fn daily(
    State(app): State<App>,
    Params(params): Params<DailyParams>,
) -> Result<Json<Vec<HfListItem>>, Problem> {
    let service = app.service()?;
    let (first, last) = params.range()?;
    let DailyParams { limit, p, .. } = params;
    check_range("limit", limit, 1..=MAX_DAILY_LIMIT).map_err(Problem::bad_request)?;
    check_range("p", p, 0..=MAX_PAGE).map_err(Problem::bad_request)?;
    let (library, offset) = (Arc::clone(&service.library), p * limit);
    let find = move || library.published_within((&first, &last), offset, limit);
    let papers = service.searches.run(find).await?;
    Ok(Json(papers.into_iter().map(|(_, paper)| HfListItem::of(paper)).collect()))
}
