//! `/status`: the state of the library and the server.

use super::{newest_day, page};
use crate::ingest::{self, IngestRun};
use crate::server::App;
use crate::server::problem::Problem;
use crate::web::{DiskUse, Frame, StatusView, status_page};
use axum::extract::State;
use axum::response::Response;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;

/// Returns the status page.
pub async fn status(State(app): State<App>) -> Result<Response, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let (queued_tokens, max_queued_tokens) = (service.queue.waiting_tokens(), app.options().queue.bulk);
    let searches = service.searches.in_flight();
    let recall = app.metrics().recall();
    let collect = move || {
        let folder = library.folder();
        let status = StatusView {
            stats: library.stats(),
            precision: library.encoder().model().precision.to_string(),
            queued_tokens,
            max_queued_tokens,
            searches,
            recall,
            disk: folder.map(|folder| DiskUse { used: size(folder), free: free(folder) }),
            is_being_written: folder
                .and_then(ingest::writing_process)
                .is_some_and(|process| process != std::process::id()),
            last_written: folder.and_then(last_written),
            run: folder.and_then(IngestRun::last),
        };
        Ok((status, newest_day(&library)))
    };
    let (status, day) = crate::server::blocking(collect).await?;
    let frame = Frame { title: "Status", newest_day: day.as_deref() };
    Ok(page(status_page(&status, &frame)))
}

/// Returns the size in bytes of all files in a folder. Files that disappear meanwhile count as 0.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Returns the number of free bytes on the folder's file system. `None`: unknown.
fn free(folder: &Path) -> Option<u64> {
    let stats = rustix::fs::statvfs(folder).ok()?;
    Some(stats.f_bavail * stats.f_frsize)
}

/// Returns the time of the last write to the catalog. `None`: unknown.
fn last_written(folder: &Path) -> Option<OffsetDateTime> {
    let catalog = ingest::catalog_path(folder);
    let log = catalog.with_extension("sqlite-wal");
    let times = [catalog, log].into_iter().filter_map(|path| path.metadata().ok()?.modified().ok());
    times.max().map(OffsetDateTime::from)
}
