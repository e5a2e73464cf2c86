//! `/status`: how the library is.

use super::{newest_day, page};
use crate::ingest::{self, Run};
use crate::server::App;
use crate::server::problem::Problem;
use crate::web::{Frame, Status, status_page};
use axum::extract::State;
use axum::response::Response;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;

/// How the library is.
pub async fn status(State(app): State<App>) -> Result<Response, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let (queue, searches) = ((service.queue.waiting(), app.options().queue.bulk), service.searches.busy());
    let recall = app.metrics().recall();
    let look = move || {
        let folder = library.folder();
        let status = Status {
            stats: library.stats(),
            precision: library.encoder().model().precision.to_string(),
            queue,
            searches,
            recall,
            disk: folder.map(|folder| (size(folder), free(folder))),
            is_written: folder.and_then(ingest::writer).is_some_and(|process| process != std::process::id()),
            written: folder.and_then(written),
            run: folder.and_then(Run::last),
        };
        Ok((status, newest_day(&library)))
    };
    let (status, day) = crate::server::blocking(look).await?;
    let frame = Frame { title: "Status", newest_day: day.as_deref() };
    Ok(page(status_page(&status, &frame)))
}

/// Bytes of all files of a folder; one that goes away meanwhile has none.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Bytes that are free where a folder is.
fn free(folder: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail * room.f_frsize)
}

/// When a paper was written last.
fn written(folder: &Path) -> Option<OffsetDateTime> {
    let catalog = ingest::catalog_path(folder);
    let log = catalog.with_extension("sqlite-wal");
    let times = [catalog, log].into_iter().filter_map(|path| path.metadata().ok()?.modified().ok());
    times.max().map(OffsetDateTime::from)
}
