//! The server's writer: adds and deletes papers that are sent over HTTP.
//!
//! A data folder has one writer at a time, and opening it takes a while. A thread opens the folder for the first write,
//! keeps it open while more writes arrive, and closes it soon after, so that `likewise ingest` need not wait for the
//! server; it also closes it when another process waits for it. The texts of new papers go through the server's encode
//! queue with bulk priority.

use super::problem::Problem;
use super::queue::EncodeQueue;
use crate::ingest::{Counts, PaperWriter};
use crate::search::Library;
use likewise_papers::PaperId;
use likewise_papers::dump::{Entry, Refused};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Maximum number of waiting writes, each of at most one chunk of papers.
const MAX_WAITING: usize = 16;

/// How long the folder is kept open after a write, for the next one.
const KEEP_OPEN: Duration = Duration::from_millis(500);

/// A change to the papers.
pub enum Write {
    /// Adds records, or replaces earlier ones of the same papers.
    Put {
        /// The records.
        entries: Vec<Entry>,
        /// Whether papers without an abstract are accepted, by their titles.
        title_only: bool,
    },
    /// Deletes papers, by any of their ids.
    Delete(Vec<PaperId>),
}

/// The result of a write.
#[derive(Debug)]
pub enum WriteOutcome {
    /// Of [`Write::Put`].
    Put {
        /// How many entries were added, replaced and so on.
        counts: Counts,
        /// Papers that the model cannot encode, each with the reason.
        unreadable: Vec<String>,
    },
    /// Of [`Write::Delete`]: for each id, whether a paper had it.
    Deleted(Vec<bool>),
}

struct WriteJob {
    write: Write,
    reply: oneshot::Sender<Result<WriteOutcome, Problem>>,
}

/// Queue into the writer. When it is dropped, the writer finishes the queued writes and ends.
pub struct Writes {
    sender: SyncSender<WriteJob>,
}

impl Writes {
    /// Starts the writer thread of a library.
    pub fn start(library: Arc<Library>, queue: EncodeQueue) -> Writes {
        let (sender, jobs) = sync_channel(MAX_WAITING);
        std::thread::spawn(move || run(&jobs, &library, &queue));
        Writes { sender }
    }

    /// Performs a write. When it returns, the change is on disk and visible to queries.
    ///
    /// # Errors
    /// Returns 429 if the queue is full, 409 if another process is writing, and 503 if the server is switching to
    /// another model.
    pub async fn write(&self, write: Write) -> Result<WriteOutcome, Problem> {
        let (reply, outcome) = oneshot::channel();
        self.sender.try_send(WriteJob { write, reply }).map_err(|error| match error {
            TrySendError::Full(_) => {
                Problem::busy(format!("{MAX_WAITING} writes wait, which is the maximum"))
            }
            TrySendError::Disconnected(_) => Problem::internal("the writer thread has ended"),
        })?;
        outcome.await.map_err(|_| Problem::internal("the writer dropped a request"))?
    }
}

fn run(jobs: &Receiver<WriteJob>, library: &Library, queue: &EncodeQueue) {
    while let Ok(job) = jobs.recv() {
        match open(library, queue) {
            Ok(writer) => {
                // After a panic, the next job opens the folder again.
                if catch_unwind(AssertUnwindSafe(|| write_all(writer, job, jobs))).is_err() {
                    tracing::error!("the writer panicked; its pending requests fail");
                }
            }
            Err(problem) => drop(job.reply.send(Err(problem))),
        }
    }
}

/// Performs jobs until none arrives for [`KEEP_OPEN`] or another process wants to write. After an error the writer is
/// not used again: its files can end with an incomplete record, which is cut off when they are opened next.
fn write_all(mut writer: Box<dyn PaperWriter>, first: WriteJob, jobs: &Receiver<WriteJob>) {
    let mut next = Ok(first);
    while let Ok(job) = next {
        if !perform(&mut *writer, job) {
            return;
        }
        if writer.has_waiters() {
            break;
        }
        next = jobs.recv_timeout(KEEP_OPEN);
    }
    // On an error nothing is lost: the papers are in the catalog, and the next writer completes the index.
    if let Err(error) = writer.finish() {
        tracing::warn!("the index could not be updated; the next write will complete it: {error}");
    }
}

fn open(library: &Library, queue: &EncodeQueue) -> Result<Box<dyn PaperWriter>, Problem> {
    let opened = library.paper_writer();
    // Another model has replaced this one, and the server is about to open the folder with it.
    if opened.is_err() && library.is_superseded().unwrap_or_default() {
        return Err(Problem::switching_model());
    }
    let busy = "another process is writing to this data folder; try again when it is done";
    let mut writer = opened?.ok_or_else(|| Problem::conflict(busy))?;
    writer.announce_yielding()?;
    let queue = queue.clone();
    writer.set_encode_fn(Box::new(move |texts| queue.encode_accepted(texts)));
    if library.lacks_vectors() {
        // An earlier write failed after its papers were stored and before they were embedded. Sending them again would
        // not embed them, because they are unchanged.
        writer.catch_up(&mut |_| {})?;
    }
    Ok(writer)
}

/// Performs a job and sends its result. Returns whether it succeeded.
fn perform(writer: &mut dyn PaperWriter, job: WriteJob) -> bool {
    let result = match job.write {
        Write::Put { entries, title_only } => {
            writer.set_title_only(title_only);
            let entries: Vec<Result<Entry, Refused>> = entries.into_iter().map(Ok).collect();
            writer
                .add(entries)
                .map(|counts| WriteOutcome::Put { counts, unreadable: writer.take_unreadable() })
        }
        Write::Delete(ids) => writer.delete(&ids).map(WriteOutcome::Deleted),
    };
    let succeeded = result.is_ok();
    // Sending fails if the client has disconnected; the change is written anyway.
    let _ = job.reply.send(result.map_err(Problem::from));
    succeeded
}
