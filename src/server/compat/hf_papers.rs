//! `/api/papers/search`, `/api/papers/{id}`, `/api/daily_papers`: papers in the shape in which Hugging Face gives them.
//!
//! A paper's day is that of its publication: when it entered a daily list, nobody knows here.

use crate::json::given;
use crate::search::{Like, Query};
use crate::server::App;
use crate::server::body::{Params, Rest};
use crate::server::dialect::PlainError;
use crate::server::problem::Problem;
use crate::server::shapes;
use axum::Json;
use axum::extract::State;
use likewise_papers::paper::{Paper, parse_date, written_day};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Papers of a search, when nobody says how many, and the most, as there.
const DEFAULT_FOUND: usize = 100;
const MAX_FOUND: usize = 120;

/// The same, of a daily list.
const DEFAULT_DAILY: usize = 50;
const MAX_DAILY: usize = 100;

/// Pages of a daily list.
const MAX_PAGE: usize = 1000;

fn default_daily() -> usize {
    DEFAULT_DAILY
}

/// A paper, in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    paper: Inner,
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
pub struct Inner {
    /// Its arXiv id, if it has one; else what it is called here.
    #[schema(example = "9901.00001")]
    id: String,
    title: String,
    summary: String,
    authors: Vec<Author>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2021-01-11T00:00:00.000Z")]
    published_at: Option<String>,
    upvotes: u32,
}

/// Who wrote it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Author {
    name: String,
    hidden: bool,
}

impl Inner {
    fn of(paper: Paper) -> Inner {
        let arxiv = paper.ids().find(|id| id.kind() == likewise_papers::paper::Kind::Arxiv);
        let published = paper.published.as_deref().and_then(|date| parse_date(date).ok());
        Inner {
            id: arxiv.unwrap_or(&paper.id).to_string(),
            title: paper.title,
            summary: paper.r#abstract,
            authors: paper.authors.into_iter().map(|name| Author { name, hidden: false }).collect(),
            published_at: published.map(|days| format!("{}T00:00:00.000Z", days.first)),
            upvotes: 0,
        }
    }
}

impl Item {
    fn of(paper: Paper) -> Item {
        let paper = Inner::of(paper);
        Item {
            title: paper.title.clone(),
            summary: paper.summary.clone(),
            published_at: paper.published_at.clone(),
            num_comments: 0,
            is_author_participating: false,
            paper,
        }
    }
}

/// What is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Search {
    /// A text: what papers are about.
    #[param(pattern = "[^\\s\\u0085\\uFEFF]", example = "knots")]
    q: String,
    /// How many.
    #[serde(default, deserialize_with = "given")]
    #[param(minimum = 1, maximum = 120, default = 100)]
    limit: Option<usize>,
}

/// Papers about something.
#[utoipa::path(get, path = "/api/papers/search", tag = "Hugging Face papers", params(Search), responses(
    (status = 200, description = "The nearest papers, best first", body = Vec<Item>),
    (status = 400, description = "A number is too small or too large", body = PlainError),
    (status = 422, description = "There is no text, or a parameter is wrong", body = PlainError),
))]
pub async fn search(
    State(app): State<App>,
    Params(search): Params<Search>,
) -> Result<Json<Vec<Item>>, Problem> {
    let service = app.service()?;
    let limit = search.limit.unwrap_or_else(|| service.default_k(DEFAULT_FOUND));
    let limit = within("limit", limit, MAX_FOUND)?;
    let answer = service.search(Query { k: limit, ..Query::of(Like::text(search.q)) }).await;
    let answer = answer.map_err(|problem| problem.named(&[("text", "q"), ("k", "limit")]))?;
    Ok(Json(answer.hits.into_iter().map(|hit| Item::of(hit.paper)).collect()))
}

fn within(field: &str, got: usize, most: usize) -> Result<usize, Problem> {
    match got {
        got if (1..=most).contains(&got) => Ok(got),
        _ => Err(Problem::refused(format!("{field}: got {got}, wanted 1 to {most}"))),
    }
}

/// One paper.
#[utoipa::path(get, path = "/api/papers/{*id}", tag = "Hugging Face papers",
    params(("id" = String, Path, description = "Any id the paper has", example = "9901.00001")),
    responses(
        (status = 200, description = "The paper", body = Inner),
        (status = 400, description = "The path is no text", body = PlainError),
        (status = 404, description = "It is not here", body = PlainError),
        (status = 422, description = "That cannot be an id", body = PlainError),
    ))]
pub async fn paper(State(app): State<App>, Rest(id): Rest) -> Result<Json<Inner>, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let paper = service.searches.run(move || library.paper(&id)).await?;
    Ok(Json(Inner::of(paper)))
}

/// Which days are wanted: of several, `date` counts before `week`, that before `month`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// One day.
    #[param(schema_with = shapes::day)]
    date: Option<String>,
    /// A week: `YYYY-Www`.
    #[param(pattern = "^[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])$", example = "2021-W02")]
    week: Option<String>,
    /// A month: `YYYY-MM`.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2021-01")]
    month: Option<String>,
    /// Page, from 0.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1000, default = 0)]
    p: usize,
    /// Papers on a page.
    #[serde(default = "default_daily")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: usize,
    /// Taken; papers come newest first.
    #[serde(rename = "sort")]
    #[param(rename = "sort", inline)]
    _sort: Option<Sort>,
}

/// Orders of Hugging Face's.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub enum Sort {
    #[serde(rename = "publishedAt")]
    PublishedAt,
    #[serde(rename = "trending")]
    Trending,
}

impl Days {
    /// First and last day.
    fn range(&self) -> Result<(String, String), Problem> {
        let wrong = |field: &str, got: &str, wanted: &str| {
            Problem::refused(format!("{field}: got {got:?}, wanted {wanted}, a day that there is"))
        };
        if let Some(date) = &self.date {
            return match parse_date(date) {
                Ok(days) if days.date.len() == 10 && *date == days.date => Ok((days.first, days.last)),
                _ => Err(wrong("date", date, "YYYY-MM-DD")),
            };
        }
        if let Some(week) = &self.week {
            let day = |day| {
                let (year, number) = week.split_once("-W")?;
                let (year, number) = (year.parse().ok()?, number.parse().ok()?);
                time::Date::from_iso_week_date(year, number, day).ok().map(written_day)
            };
            let days = day(time::Weekday::Monday).zip(day(time::Weekday::Sunday));
            return days.filter(|_| week.len() == 8).ok_or_else(|| wrong("week", week, "YYYY-Www"));
        }
        match &self.month {
            Some(month) if month.len() == 7 => {
                let days = parse_date(month).map_err(|_| wrong("month", month, "YYYY-MM"))?;
                Ok((days.first, days.last))
            }
            Some(month) => Err(wrong("month", month, "YYYY-MM")),
            None => Ok((String::new(), "9999-12-31".into())),
        }
    }
}

/// Papers of a day, a week, a month, or the newest.
#[utoipa::path(get, path = "/api/daily_papers", tag = "Hugging Face papers", params(Days), responses(
    (status = 200, description = "Newest first; an empty list after the last page", body = Vec<Item>),
    (status = 400, description = "There is no such day", body = PlainError),
    (status = 422, description = "A parameter is wrong", body = PlainError),
))]
pub async fn daily(State(app): State<App>, Params(days): Params<Days>) -> Result<Json<Vec<Item>>, Problem> {
    let service = app.service()?;
    let (first, last) = days.range()?;
    let limit = within("limit", days.limit, MAX_DAILY)?;
    if days.p > MAX_PAGE {
        return Err(Problem::refused(format!("p: got {}, wanted 0 to {MAX_PAGE}", days.p)));
    }
    let (library, offset) = (Arc::clone(&service.library), days.p * limit);
    let find = move || library.published_within((&first, &last), offset, limit);
    let papers = service.searches.run(find).await?;
    Ok(Json(papers.into_iter().map(|(_, paper)| Item::of(paper)).collect()))
}
