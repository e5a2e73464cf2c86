//! `/papers/{id}`: one paper, and what is around it.

use super::home::{neighbours, plain};
use super::visitor::Visitor;
use super::{newest_day, page};
use crate::server::App;
use crate::server::body::Rest;
use crate::server::problem::Problem;
use crate::web::{Frame, Nearness, PaperView, Shown, paper_page};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::sync::Arc;

/// Neighbours in the list, and over time.
const LISTED: usize = 10;
const OVER_TIME: usize = 100;

/// One paper.
pub async fn paper(State(app): State<App>, Rest(id): Rest, headers: HeaderMap) -> Result<Response, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let (paper, records, day) = service
        .searches
        .run(move || Ok((library.paper(&id)?, library.records(&id)?, newest_day(&library))))
        .await?;
    let hits = match neighbours(&service, paper.id.as_str(), OVER_TIME).await {
        // The model cannot read it; it is shown all the same.
        Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => Vec::new(),
        hits => hits?,
    };
    let over_time = hits.iter().map(|hit| (hit.paper.clone(), hit.cosine())).collect();
    let best = hits.first().map_or(0.0, |hit| hit.score);
    let listed = hits.into_iter().take(LISTED);
    let neighbours = listed.map(|hit| Shown { nearness: Some(Nearness::of(&hit, best)), ..plain(hit.paper) });
    let is_followed = Visitor::of(&headers).followed.iter().any(|id| id == paper.id.as_str());
    let view = PaperView { neighbours: neighbours.collect(), paper, records, over_time, is_followed };
    let frame = Frame { title: &view.paper.title, newest_day: day.as_deref() };
    Ok(page(paper_page(&view, &frame)))
}
