//! `POST /v1/papers`: adds papers, replaces papers that have the same id, and deletes papers.
//!
//! A body can be larger than memory: the server reads it line by line and writes its papers in chunks, so a long upload
//! or a slow client never takes more memory than a chunk. A chunk that was written stays written, even if a later part
//! of the upload fails.

use super::App;
use super::body::{Params, check_encoding, read_error, without_bom};
use super::error_format::ErrorBody;
use super::options::ServerOptions;
use super::problem::Problem;
use super::schemas;
use super::writes::{Write, WriteOutcome};
use crate::ingest::Counts;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use likewise_papers::dump::{Entry, Warnings, entry_from_json, paper_objects, parse_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, Instant};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// Number of papers that are written at once.
const CHUNK_PAPERS: usize = 256;

/// Interval between attempts to write after a temporary failure.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of refused entries that are listed with their reasons. Further refused entries are only counted.
const MAX_LISTED_PROBLEMS: usize = 100;

/// Query parameters of an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadParams {
    /// Accept papers without an abstract too. Only the title of such a paper is embedded.
    #[serde(default)]
    #[param(default = false)]
    title_only: bool,
}

/// A paper in the request; [`schemas::paper`] is its schema.
pub struct PaperInput;

impl PartialSchema for PaperInput {
    fn schema() -> RefOr<Schema> {
        schemas::paper().into()
    }
}

impl ToSchema for PaperInput {}

/// The result of an upload: how many of its entries were added, refused, and so on.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct UploadReport {
    /// Number of entries in the upload.
    read: u64,
    /// Number of new papers.
    added: u64,
    /// Number of papers that were in the library already and have changed.
    replaced: u64,
    /// Number of papers that were merged with another record of the same paper.
    merged: u64,
    /// Number of papers that were in the library already with the same fields, and of entries that delete a paper which
    /// was not in the library.
    unchanged: u64,
    /// Number of papers deleted by an entry with `"deleted": true`.
    deleted: u64,
    /// Number of papers that were left out because they have no abstract.
    without_abstract: u64,
    /// Number of papers whose text the model cannot encode. Searches find them by their terms only, in lexical and
    /// hybrid mode.
    without_vector: u64,
    /// Number of entries that were refused because they cannot be read as papers.
    refused: u64,
    /// The first 100 refused entries, each with the reason.
    problems: Vec<RefusedEntry>,
    /// Fields that could not be read, and texts that the model cannot encode. Each item names a kind of problem, how
    /// many times it occurred, and the first value with this problem.
    not_read: Vec<String>,
}

/// A refused entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedEntry {
    /// Position of the entry in the upload, from 1; blank lines are not counted.
    entry: u64,
    /// Reason why the entry was refused.
    reason: String,
}

/// Adds papers, or replaces papers that have the same id. An entry with `"deleted": true` deletes a paper. The body is
/// a JSON object, a list of objects, or JSON Lines. An object, a list or a line can have up to 4 MiB
/// (`--max-body-bytes`), JSON Lines up to 1 GiB (`--max-upload-bytes`). When the response arrives, the papers are on
/// disk and searches find them. Entries that are not papers are refused: they are not stored, and the response lists
/// the first 100 of them.
#[utoipa::path(post, path = "/v1/papers", tag = "papers", params(UploadParams),
    request_body(content((PaperInput = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "How many entries were added, replaced, refused and so on", body = UploadReport),
        (status = 400, description = "The body is incomplete", body = ErrorBody),
        (status = 401, description = "The key is missing or unknown", body = ErrorBody),
        (status = 403, description = "The key does not allow writing, or the server has no write key and the request comes from another machine", body = ErrorBody),
        (status = 409, description = "Another process is writing to the data folder", body = ErrorBody),
        (status = 422, description = "The body has no papers, or a parameter is invalid", body = ErrorBody),
    ))]
pub async fn upload(
    State(app): State<App>,
    Params(params): Params<UploadParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<UploadReport>, Problem> {
    app.service()?;
    check_encoding(&headers)?;
    let mut upload = Upload::new(&app, params.title_only);
    let lines = BodyLines::new(body, app.options());
    match upload.read_all(lines).await {
        Ok(()) => upload.finish().await.map(Json),
        // Chunks that were written stay written, so the error reports them.
        Err(problem) if upload.report.read > 0 => {
            let UploadReport { read, added, replaced, .. } = &upload.report;
            let pending = upload.pending.len();
            Err(problem.with_note(&format!(
                "of the {read} entries before this error, {added} were added, {replaced} were replaced and the last \
                 {pending} were not written; the whole upload can safely be sent again"
            )))
        }
        Err(problem) => Err(problem),
    }
}

/// A line of a body.
enum BodyLine {
    Complete(Vec<u8>),
    /// The line has more than `max_body_bytes` bytes.
    TooLong,
}

/// Reads the lines of a body as they arrive.
struct BodyLines<'a> {
    body: Limited<Body>,
    options: &'a ServerOptions,
    /// Bytes that have arrived and are not discarded yet.
    buffer: Vec<u8>,
    /// Position in `buffer` up to which `buffer` has been searched for the end of a line.
    searched: usize,
    /// Position in `buffer` up to which lines have been returned.
    returned: usize,
    /// Whether the body has ended.
    is_finished: bool,
    /// Whether the current line is too long; its bytes are discarded.
    is_too_long: bool,
}

impl<'a> BodyLines<'a> {
    fn new(body: Body, options: &'a ServerOptions) -> BodyLines<'a> {
        let body = Limited::new(body, options.max_upload_bytes);
        BodyLines {
            body,
            options,
            buffer: Vec::new(),
            searched: 0,
            returned: 0,
            is_finished: false,
            is_too_long: false,
        }
    }

    /// Returns the next line. The last line need not end with a line break. `None`: the body has ended.
    async fn next(&mut self) -> Result<Option<BodyLine>, Problem> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer[self.returned..self.searched + end].to_vec();
                self.returned = self.searched + end + 1;
                self.searched = self.returned;
                let is_too_long =
                    std::mem::take(&mut self.is_too_long) || line.len() > self.options.max_body_bytes;
                return Ok(Some(if is_too_long { BodyLine::TooLong } else { BodyLine::Complete(line) }));
            }
            self.buffer.drain(..self.returned);
            (self.returned, self.searched) = (0, self.buffer.len());
            if self.buffer.len() > self.options.max_body_bytes {
                (self.buffer, self.searched, self.is_too_long) = (Vec::new(), 0, true);
            }
            if self.is_finished {
                let line = std::mem::take(&mut self.buffer);
                self.searched = 0;
                return Ok(match std::mem::take(&mut self.is_too_long) {
                    true => Some(BodyLine::TooLong),
                    false => (!line.is_empty()).then_some(BodyLine::Complete(line)),
                });
            }
            match self.receive().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => self.is_finished = true,
            }
        }
    }

    /// Receives the next bytes of the body. `None`: the body has ended.
    async fn receive(&mut self) -> Result<Option<Bytes>, Problem> {
        let limit = self.options.body_timeout;
        let frame = tokio::time::timeout(limit, self.body.frame()).await;
        let frame = frame.map_err(|_| Problem::slow_body(limit, "nothing more arrived for"))?;
        let problem =
            |error| read_error(&axum::Error::new(error), self.options.max_upload_bytes, "--max-upload-bytes");
        Ok(frame.transpose().map_err(problem)?.and_then(|frame| frame.into_data().ok()))
    }
}

/// The state of an upload that is being read.
struct Upload<'a> {
    app: &'a App,
    title_only: bool,
    /// Entries that were read and are not written yet.
    pending: Vec<Entry>,
    report: UploadReport,
    /// Lines that are not valid JSON by themselves: they are the start of an object or a list that spans several lines.
    multi_line: Vec<u8>,
    warnings: Warnings,
}

impl<'a> Upload<'a> {
    fn new(app: &'a App, title_only: bool) -> Upload<'a> {
        let (pending, report, multi_line) = (Vec::new(), UploadReport::default(), Vec::new());
        Upload { app, title_only, pending, report, multi_line, warnings: Warnings::default() }
    }

    /// Reads all lines, and writes all chunks except the last, which [`Upload::finish`] writes.
    async fn read_all(&mut self, mut lines: BodyLines<'_>) -> Result<(), Problem> {
        let max = self.app.options().max_body_bytes;
        let mut is_first = true;
        while let Some(line) = lines.next().await? {
            match line {
                BodyLine::Complete(line) if is_first => self.read_line(without_bom(&line)).await?,
                BodyLine::Complete(line) => self.read_line(&line).await?,
                // If nothing was read before, the line can be the whole body, such as a list on one line.
                BodyLine::TooLong if self.report.read == 0 => {
                    return Err(Problem::too_large(max, "--max-body-bytes, per line"));
                }
                BodyLine::TooLong => {
                    self.refuse(format!("a line must be at most {max} bytes (--max-body-bytes)"))
                }
            }
            is_first = false;
        }
        Ok(())
    }

    async fn read_line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let line = line.trim_ascii();
        if line.is_empty() && self.multi_line.is_empty() {
            return Ok(());
        }
        if !self.multi_line.is_empty() {
            if !self.is_json_lines(line) {
                return self.add_to_multi_line(line);
            }
            for incomplete in std::mem::take(&mut self.multi_line).split(|byte| *byte == b'\n') {
                self.read_json_line(incomplete, false).await?;
            }
        }
        self.read_json_line(line, true).await
    }

    /// Whether the body is JSON Lines with an incomplete line, although it looked like one object over several lines.
    /// It is JSON Lines if the line `next` is a paper by itself, because no line of a longer object is a paper by
    /// itself.
    fn is_json_lines(&self, next: &[u8]) -> bool {
        let is_entry = |value: Value| entry_from_json(value, &Warnings::default()).is_ok();
        self.multi_line.starts_with(b"{") && serde_json::from_slice(next).is_ok_and(is_entry)
    }

    /// Reads the JSON values of a line. An incomplete line is refused, unless `can_continue` is true and no entry was
    /// read before: then the line is kept as the start of a value that spans several lines.
    async fn read_json_line(&mut self, line: &[u8], can_continue: bool) -> Result<(), Problem> {
        if line.is_empty() {
            return Ok(());
        }
        match parse_json(line, &self.warnings) {
            Ok(Value::Array(list)) if self.report.read == 0 => {
                for value in list {
                    self.add_value(value).await?;
                }
                Ok(())
            }
            Ok(value) => {
                for value in paper_objects(value) {
                    self.add_value(value).await?;
                }
                Ok(())
            }
            Err(error) if error.is_eof() && can_continue && self.report.read == 0 => {
                self.add_to_multi_line(line)
            }
            Err(error) => {
                self.refuse(format!("the line is not valid JSON: {error}"));
                Ok(())
            }
        }
    }

    /// Adds a line to a value that spans several lines.
    fn add_to_multi_line(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.multi_line.extend_from_slice(line);
        self.multi_line.push(b'\n');
        let max = self.app.options().max_body_bytes;
        if self.multi_line.len() > max {
            return Err(Problem::too_large(
                max,
                "--max-body-bytes, for one JSON value; a body in JSON Lines can be longer",
            ));
        }
        Ok(())
    }

    /// Adds an entry, and writes a chunk when it is full.
    async fn add_value(&mut self, value: Value) -> Result<(), Problem> {
        match entry_from_json(value, &self.warnings) {
            Ok(entry) => {
                self.report.read += 1;
                self.pending.push(entry);
                if self.pending.len() >= CHUNK_PAPERS { self.write().await } else { Ok(()) }
            }
            Err(reason) => {
                self.refuse(reason);
                Ok(())
            }
        }
    }

    fn refuse(&mut self, reason: String) {
        self.report.read += 1;
        self.report.refused += 1;
        if self.report.problems.len() < MAX_LISTED_PROBLEMS {
            self.report.problems.push(RefusedEntry { entry: self.report.read, reason });
        }
    }

    /// Writes the pending entries.
    async fn write(&mut self) -> Result<(), Problem> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.pending);
        if let WriteOutcome::Put { counts, unreadable } = self.write_with_retries(entries).await? {
            self.count(counts);
            unreadable.iter().for_each(|paper| self.warnings.add("text that the model cannot read", paper));
        }
        Ok(())
    }

    /// Writes entries. If a write fails temporarily after the first chunk, the upload does not fail at once: the write
    /// is retried for up to `body_timeout`.
    async fn write_with_retries(&self, entries: Vec<Entry>) -> Result<WriteOutcome, Problem> {
        let has_written = self.report.read > (entries.len() as u64 + self.report.refused);
        let started = Instant::now();
        loop {
            let write = Write::Put { entries: entries.clone(), title_only: self.title_only };
            // Get the service again for each attempt: the server might have switched to another model since the last
            // chunk.
            let outcome = self.app.service()?.writes.write(write).await;
            let can_retry = has_written && started.elapsed() < self.app.options().body_timeout;
            match outcome {
                Err(problem) if can_retry && is_temporary(&problem) => {
                    tokio::time::sleep(RETRY_INTERVAL).await
                }
                outcome => return outcome,
            }
        }
    }

    fn count(&mut self, counts: Counts) {
        let report = &mut self.report;
        report.added += counts.added;
        report.replaced += counts.replaced;
        report.merged += counts.merged;
        report.unchanged += counts.unchanged;
        report.deleted += counts.deleted;
        report.without_abstract += counts.without_abstract;
        report.without_vector += counts.without_vector;
        report.refused += counts.refused;
    }

    /// Reads the value that spans several lines, if there is one, writes the last chunk and returns the report.
    async fn finish(mut self) -> Result<UploadReport, Problem> {
        if !self.multi_line.is_empty() {
            let json = std::mem::take(&mut self.multi_line);
            match parse_json(&json, &self.warnings) {
                Ok(Value::Array(list)) => {
                    for value in list {
                        self.add_value(value).await?;
                    }
                }
                Ok(value) => {
                    for value in paper_objects(value) {
                        self.add_value(value).await?;
                    }
                }
                Err(error) => return Err(Problem::malformed(format!("body: {error}"))),
            }
        }
        self.write().await?;
        let mut report = self.report;
        report.not_read = self.warnings.lines();
        match report.problems.first() {
            // Nothing was written, so the upload failed. The message has the reason for the first entry.
            Some(first) if report.refused == report.read => {
                let (entry, reason) = (first.entry, &first.reason);
                Err(Problem::invalid(format!(
                    "body: none of the {} entries is a paper; entry {entry}: {reason}",
                    report.read
                )))
            }
            None if report.read == 0 => Err(Problem::invalid(
                "body must be a JSON object with title and abstract, a list of such objects, or JSON Lines (got no papers)",
            )),
            _ => Ok(report),
        }
    }
}

/// Whether a write that failed can succeed soon: another process is writing, the queue is full, the server is switching
/// to another model, or the search engine cannot be reached. A full disk is not temporary.
fn is_temporary(problem: &Problem) -> bool {
    problem.retry_after.is_some() && problem.status != StatusCode::INSUFFICIENT_STORAGE
}
