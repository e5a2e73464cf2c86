//! `POST /v1/papers`: papers that are added, or replace those they were.
//!
//! Its own file because a body may be larger than memory: it is read a line at a time, and written a chunk at a time, so
//! neither a long dump nor a slow client costs more than a chunk. What was written stays written, whatever follows.

use super::App;
use super::body::{Params, check_encoding, unreadable, without_mark};
use super::dialect::ErrorBody;
use super::options::ServerOptions;
use super::problem::Problem;
use super::shapes;
use super::writes::{TitleOnly, Write, Wrote};
use crate::ingest::Counts;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use likewise_papers::dump::{Entry, Unread, entry_of_json, objects_of, read_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, Instant};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// Papers written at once.
const CHUNK: usize = 256;

/// Between two tries to write while others do.
const TURN: Duration = Duration::from_millis(100);

/// Refused entries that are told of one by one; all are counted.
const MOST_TOLD: usize = 100;

/// What may be said about an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadParams {
    /// Take papers without an abstract too, by their titles.
    #[serde(default)]
    #[param(default = false)]
    title_only: bool,
}

/// A paper, as [`shapes::paper`] has it.
pub struct PaperIn;

impl PartialSchema for PaperIn {
    fn schema() -> RefOr<Schema> {
        shapes::paper().into()
    }
}

impl ToSchema for PaperIn {}

/// What became of an upload's entries.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Uploaded {
    /// Entries there were.
    read: u64,
    /// Papers that were not here.
    added: u64,
    /// Papers that were here, and something about them was different.
    replaced: u64,
    /// Papers that were here by another record.
    folded: u64,
    /// Papers that were here, the same in every field.
    unchanged: u64,
    /// Papers that an entry with `"deleted": true` took out.
    deleted: u64,
    /// Papers left out because they have no abstract.
    without_abstract: u64,
    /// Papers whose text the model cannot read: they are found by their words only.
    without_vector: u64,
    /// Entries that are no papers.
    refused: u64,
    /// The first of them, and why.
    problems: Vec<Refusal>,
    /// What was not read of the papers that were taken: fields that could not be, by kind, how often, and the first.
    not_read: Vec<String>,
}

/// An entry that is no paper.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refusal {
    /// Its number among all that are not blank, from 1.
    entry: u64,
    /// What was got and wanted.
    reason: String,
}

/// Adds papers, or replaces those they were: a JSON object, a list of them, or JSON Lines of any length. When the answer
/// comes, they are on the disk and are found. Entries that are no papers are told of and left out.
#[utoipa::path(post, path = "/v1/papers", tag = "papers", params(UploadParams),
    request_body(content((PaperIn = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "What became of them", body = Uploaded),
        (status = 400, description = "The body ended too early", body = ErrorBody),
        (status = 401, description = "The key is missing or not known", body = ErrorBody),
        (status = 403, description = "The key may only read, or there is none and the request is from elsewhere", body = ErrorBody),
        (status = 409, description = "Another process is writing", body = ErrorBody),
        (status = 422, description = "There is no paper in it, or a parameter is wrong", body = ErrorBody),
    ))]
pub async fn upload(
    State(app): State<App>,
    Params(params): Params<UploadParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Uploaded>, Problem> {
    app.service()?;
    check_encoding(&headers)?;
    let mut upload = Upload::new(&app, params.title_only);
    let lines = Lines::new(body, app.options());
    match upload.all(lines).await {
        Ok(()) => upload.finish().await.map(Json),
        // What was written stays, and whoever sent it has to know.
        Err(problem) if upload.answer.read > 0 => {
            let Uploaded { read, added, replaced, .. } = &upload.answer;
            let waiting = upload.waiting.len();
            Err(problem.and(&format!(
                "of {read} entries that came before, {added} were added and {replaced} replaced, and the last {waiting} not \
                 written; sending all again changes nothing twice"
            )))
        }
        Err(problem) => Err(problem),
    }
}

/// A line of a body.
enum Line {
    Whole(Vec<u8>),
    /// It has more bytes than one may have.
    TooLong,
}

/// The lines of a body, as they come.
struct Lines<'a> {
    body: Limited<Body>,
    options: &'a ServerOptions,
    /// What has come of the next lines.
    rest: Vec<u8>,
    /// How much of it was looked at for the end of a line, and how much was taken.
    seen: usize,
    taken: usize,
    is_over: bool,
    /// Whether what comes belongs to a line that is too long.
    is_long: bool,
}

impl<'a> Lines<'a> {
    fn new(body: Body, options: &'a ServerOptions) -> Lines<'a> {
        let body = Limited::new(body, options.max_upload_bytes);
        Lines { body, options, rest: Vec::new(), seen: 0, taken: 0, is_over: false, is_long: false }
    }

    /// The next line, or what is left at the end.
    async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.rest[self.seen..]) {
                let line = self.rest[self.taken..self.seen + end].to_vec();
                self.taken = self.seen + end + 1;
                self.seen = self.taken;
                let is_long = std::mem::take(&mut self.is_long) || line.len() > self.options.max_body_bytes;
                return Ok(Some(if is_long { Line::TooLong } else { Line::Whole(line) }));
            }
            self.rest.drain(..self.taken);
            (self.taken, self.seen) = (0, self.rest.len());
            if self.rest.len() > self.options.max_body_bytes {
                (self.rest, self.seen, self.is_long) = (Vec::new(), 0, true);
            }
            if self.is_over {
                let rest = std::mem::take(&mut self.rest);
                self.seen = 0;
                return Ok(match std::mem::take(&mut self.is_long) {
                    true => Some(Line::TooLong),
                    false => (!rest.is_empty()).then_some(Line::Whole(rest)),
                });
            }
            match self.piece().await? {
                Some(piece) => self.rest.extend_from_slice(&piece),
                None => self.is_over = true,
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let limit = self.options.body_timeout;
        let frame = tokio::time::timeout(limit, self.body.frame()).await;
        let frame = frame.map_err(|_| Problem::slow(limit, "nothing more came for"))?;
        let wrong =
            |error| unreadable(&axum::Error::new(error), self.options.max_upload_bytes, "--max-upload-bytes");
        Ok(frame.transpose().map_err(wrong)?.and_then(|frame| frame.into_data().ok()))
    }
}

/// An upload, as far as it has come.
struct Upload<'a> {
    app: &'a App,
    title_only: TitleOnly,
    waiting: Vec<Entry>,
    answer: Uploaded,
    /// Lines that are no JSON alone: a body that is one object or list over several lines.
    several: Vec<u8>,
    unread: Unread,
}

impl<'a> Upload<'a> {
    fn new(app: &'a App, title_only: TitleOnly) -> Upload<'a> {
        let (waiting, answer, several) = (Vec::new(), Uploaded::default(), Vec::new());
        Upload { app, title_only, waiting, answer, several, unread: Unread::default() }
    }

    async fn all(&mut self, mut lines: Lines<'_>) -> Result<(), Problem> {
        let most = self.app.options().max_body_bytes;
        let mut is_first = true;
        while let Some(line) = lines.next().await? {
            match line {
                Line::Whole(line) if is_first => self.line(without_mark(&line)).await?,
                Line::Whole(line) => self.line(&line).await?,
                // It may be all there is: a list on one line.
                Line::TooLong if self.answer.read == 0 => {
                    return Err(Problem::too_large(most, "--max-body-bytes, of one line"));
                }
                Line::TooLong => {
                    self.refuse(format!("it is longer than {most} bytes (--max-body-bytes, of one line)"))
                }
            }
            is_first = false;
        }
        Ok(())
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let line = line.trim_ascii();
        if line.is_empty() && self.several.is_empty() {
            return Ok(());
        }
        if !self.several.is_empty() {
            if !self.are_lines(line) {
                return self.one_of_several(line);
            }
            for torn in std::mem::take(&mut self.several).split(|byte| *byte == b'\n') {
                self.json(torn, false).await?;
            }
        }
        self.json(line, true).await
    }

    /// Whether what looked like one object over several lines is a line that was torn, with others after it: no part of an
    /// object is a paper itself.
    fn are_lines(&self, next: &[u8]) -> bool {
        let is_entry = |value: Value| entry_of_json(value, &Unread::default()).is_ok();
        self.several.starts_with(b"{") && serde_json::from_slice(next).is_ok_and(is_entry)
    }

    /// What a line says, which is more than one line if it `may_go_on`.
    async fn json(&mut self, line: &[u8], may_go_on: bool) -> Result<(), Problem> {
        if line.is_empty() {
            return Ok(());
        }
        match read_json(line, &self.unread) {
            Ok(Value::Array(list)) if self.answer.read == 0 => {
                for value in list {
                    self.value(value).await?;
                }
                Ok(())
            }
            Ok(value) => {
                for value in objects_of(value) {
                    self.value(value).await?;
                }
                Ok(())
            }
            Err(error) if error.is_eof() && may_go_on && self.answer.read == 0 => self.one_of_several(line),
            Err(error) => {
                self.refuse(format!("no JSON: {error}"));
                Ok(())
            }
        }
    }

    fn one_of_several(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.several.extend_from_slice(line);
        self.several.push(b'\n');
        let most = self.app.options().max_body_bytes;
        if self.several.len() > most {
            return Err(Problem::too_large(
                most,
                "--max-body-bytes, of one JSON value; JSON Lines may be longer",
            ));
        }
        Ok(())
    }

    async fn value(&mut self, value: Value) -> Result<(), Problem> {
        match entry_of_json(value, &self.unread) {
            Ok(entry) => {
                self.answer.read += 1;
                self.waiting.push(entry);
                if self.waiting.len() >= CHUNK { self.write().await } else { Ok(()) }
            }
            Err(reason) => {
                self.refuse(reason);
                Ok(())
            }
        }
    }

    fn refuse(&mut self, reason: String) {
        self.answer.read += 1;
        self.answer.refused += 1;
        if self.answer.problems.len() < MOST_TOLD {
            self.answer.problems.push(Refusal { entry: self.answer.read, reason });
        }
    }

    async fn write(&mut self) -> Result<(), Problem> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.waiting);
        if let Wrote::Put(counts, without_vector) = self.write_in_time(entries).await? {
            self.count(counts);
            without_vector
                .iter()
                .for_each(|paper| self.unread.note("text that the model cannot read", paper));
        }
        Ok(())
    }

    /// Whoever has begun is not sent away in the middle because others write, too: they take turns.
    async fn write_in_time(&self, entries: Vec<Entry>) -> Result<Wrote, Problem> {
        let has_begun = self.answer.read > (entries.len() as u64 + self.answer.refused);
        let started = Instant::now();
        loop {
            let write = Write::Put(entries.clone(), self.title_only);
            // Another model may have taken over since the last chunk.
            let outcome = self.app.service()?.writes.write(write).await;
            let may_wait = has_begun && started.elapsed() < self.app.options().body_timeout;
            match outcome {
                Err(problem) if may_wait && is_for_a_while(&problem) => tokio::time::sleep(TURN).await,
                outcome => return outcome,
            }
        }
    }

    fn count(&mut self, counts: Counts) {
        let answer = &mut self.answer;
        answer.added += counts.added;
        answer.replaced += counts.replaced;
        answer.folded += counts.folded;
        answer.unchanged += counts.unchanged;
        answer.deleted += counts.deleted;
        answer.without_abstract += counts.without_abstract;
        answer.without_vector += counts.without_vector;
        answer.refused += counts.refused;
    }

    async fn finish(mut self) -> Result<Uploaded, Problem> {
        if !self.several.is_empty() {
            let several = std::mem::take(&mut self.several);
            match read_json(&several, &self.unread) {
                Ok(Value::Array(list)) => {
                    for value in list {
                        self.value(value).await?;
                    }
                }
                Ok(value) => {
                    for value in objects_of(value) {
                        self.value(value).await?;
                    }
                }
                Err(error) => return Err(Problem::malformed(format!("body: {error}"))),
            }
        }
        self.write().await?;
        let mut answer = self.answer;
        answer.not_read = self.unread.lines();
        match answer.problems.first() {
            // Nothing was written, so this is no success; of several, each has its reason.
            Some(first) if answer.refused == answer.read => {
                let (entry, reason) = (first.entry, &first.reason);
                Err(Problem::invalid(format!(
                    "body: no paper in {} entries; entry {entry}: {reason}",
                    answer.read
                )))
            }
            None if answer.read == 0 => Err(Problem::invalid(
                "body: got no papers, wanted a JSON object with title and abstract, a list of them, or JSON Lines",
            )),
            _ => Ok(answer),
        }
    }
}

/// Whether it soon goes on: that another writes, or too much waits, or another model takes over. A disk stays full.
fn is_for_a_while(problem: &Problem) -> bool {
    problem.retry_after.is_some() && problem.status != StatusCode::INSUFFICIENT_STORAGE
}
