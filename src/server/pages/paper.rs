//! `/papers/{id}`: a paper and the papers that are most similar to it.

use super::home::{neighbours, plain_item};
use super::visitor::Visitor;
use super::{newest_day, page};
use crate::server::App;
use crate::server::body::WildcardPath;
use crate::server::problem::Problem;
use crate::web::{DisplayScore, Frame, ListItem, PaperView, paper_page};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::sync::Arc;

/// Number of similar papers in the list.
const LISTED_NEIGHBOURS: usize = 10;

/// Number of similar papers in the chart over time.
const CHART_NEIGHBOURS: usize = 100;

/// Returns the page of a paper.
pub async fn paper(
    State(app): State<App>,
    WildcardPath(id): WildcardPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let (paper, records, day) = service
        .searches
        .run(move || Ok((library.paper(&id)?, library.records(&id)?, newest_day(&library))))
        .await?;
    let hits = match neighbours(&service, paper.id.as_str(), CHART_NEIGHBOURS).await {
        // The model cannot encode the paper, so the page shows it without neighbours.
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => Vec::new(),
        hits => hits?,
    };
    let over_time = hits.iter().map(|hit| (hit.paper.clone(), hit.cosine())).collect();
    let best = hits.first().map_or(0.0, |hit| hit.score);
    let listed = hits.into_iter().take(LISTED_NEIGHBOURS);
    let neighbours =
        listed.map(|hit| ListItem { score: Some(DisplayScore::of(&hit, best)), ..plain_item(hit.paper) });
    let is_followed = Visitor::of(&headers).followed.iter().any(|id| id == paper.id.as_str());
    let view = PaperView { neighbours: neighbours.collect(), paper, records, over_time, is_followed };
    let frame = Frame { title: &view.paper.title, newest_day: day.as_deref() };
    Ok(page(paper_page(&view, &frame)))
}
