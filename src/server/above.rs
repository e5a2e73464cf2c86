//! The answer to a search with `above`: all papers above a score, streamed as JSON Lines, CSV, RIS or BibTeX.
//!
//! A task reads the papers a chunk at a time and passes each chunk on when the client has read the one before. So the
//! papers in memory do not grow with the length of the answer.

use super::problem::Problem;
use super::service::Service;
use super::view::{ExportFormat, PaperFields};
use crate::search::{Above, AboveQuery, Hit, Library};
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use likewise_papers::cite::{self, BibtexWriter, CitationFormat};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// A client that reads nothing for this long is disconnected, so that it does not keep the list of papers in memory.
const MAX_STALL: Duration = Duration::from_secs(60);

/// A part of a streamed body.
type Part = Result<Bytes, Problem>;

/// Writes the hits of a streamed answer.
struct Writer {
    format: ExportFormat,
    fields: PaperFields,
    bibtex: BibtexWriter,
}

impl Writer {
    /// The text before the first hit.
    fn head(&self) -> String {
        if self.format == ExportFormat::Csv { cite::scored_header() } else { String::new() }
    }

    /// The text of some hits.
    async fn rows(&mut self, service: &Service, hits: Vec<Hit>) -> Result<String, Problem> {
        let papers = hits.iter().map(|hit| &hit.paper);
        match self.format {
            ExportFormat::Csv => {
                Ok(cite::scored_rows(hits.iter().map(|hit| (hit.rank, hit.score, &hit.paper))))
            }
            ExportFormat::Ris => Ok(CitationFormat::Ris.write(papers)),
            ExportFormat::Bibtex => Ok(self.bibtex.write(papers)),
            ExportFormat::Jsonl => {
                let mut text = String::new();
                for hit in service.search_hits(hits, &self.fields).await? {
                    text += &serde_json::to_string(&hit).map_err(Problem::internal)?;
                    text.push('\n');
                }
                Ok(text)
            }
        }
    }
}

/// Finds the papers of a query, and streams them. The response begins when all papers are found.
///
/// # Errors
/// Returns the errors of [`Service::above`].
pub async fn stream(
    service: Arc<Service>,
    query: AboveQuery,
    format: ExportFormat,
    fields: PaperFields,
) -> Result<Response, Problem> {
    let permit = service.stream_permit()?;
    let above = service.above(query).await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _permit = permit;
        let writer = Writer { format, fields, bibtex: BibtexWriter::default() };
        if let Err(problem) = send(&service, above, writer, &sender).await {
            pass_on(&sender, Err(problem)).await;
        }
    });
    Ok((
        [(header::CONTENT_TYPE, CitationFormat::from(format).media_type())],
        Body::new(StreamedBody(receiver)),
    )
        .into_response())
}

/// Reads and sends the papers until there are no more, or the client has gone or reads nothing.
async fn send(
    service: &Service,
    mut above: Above,
    mut writer: Writer,
    sender: &mpsc::Sender<Part>,
) -> Result<(), Problem> {
    if !pass_on(sender, Ok(writer.head().into())).await {
        return Ok(());
    }
    loop {
        let library = Arc::clone(&service.library);
        let (hits, rest) = super::blocking(move || read_chunk(&library, above)).await?;
        above = rest;
        if hits.is_empty() || !pass_on(sender, Ok(writer.rows(service, hits).await?.into())).await {
            return Ok(());
        }
    }
}

/// Passes a part of the body on. Returns whether the client still reads the body.
async fn pass_on(sender: &mpsc::Sender<Part>, part: Part) -> bool {
    matches!(tokio::time::timeout(MAX_STALL, sender.send(part)).await, Ok(Ok(())))
}

fn read_chunk(library: &Library, mut above: Above) -> crate::Result<(Vec<Hit>, Above)> {
    let hits = library.next_above(&mut above)?;
    Ok((hits, above))
}

/// A body whose parts a task sends. After an error, the connection is closed, so that the client sees that the body is
/// incomplete.
struct StreamedBody(mpsc::Receiver<Part>);

impl http_body::Body for StreamedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let part = std::task::ready!(self.0.poll_recv(context));
        Poll::Ready(part.map(|part| part.map(Frame::data).map_err(|problem| problem.message.into())))
    }
}
