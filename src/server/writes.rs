//! The server's writer: adds and deletes papers that are sent over HTTP.
//!
//! A data folder has one writer at a time, and opening the folder takes a while. A thread opens the folder for the
//! first write and keeps it open while more writes arrive. It closes the folder soon after the last write, so that
//! `likewise ingest` need not wait for the server, and also when another process waits for the folder. The texts of new
//! papers go through the server's encode queue with bulk priority.

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

/// Time for which the folder stays open after a write, so that the next write need not open it again.
const KEEP_OPEN: Duration = Duration::from_millis(500);

/// A change to the papers.
pub enum Write {
    /// Adds records, or replaces earlier records of the same papers.
    Put {
        /// The records.
        entries: Vec<Entry>,
        /// Whether papers without an abstract are accepted; only the titles of such papers are embedded.
        title_only: bool,
    },
    /// Deletes the papers with these ids; any id of a paper works.
    Delete(Vec<PaperId>),
}

/// The result of a write.
#[derive(Debug)]
pub enum WriteOutcome {
    /// The result of [`Write::Put`].
    Put {
        /// How many entries were added, replaced and so on.
        counts: Counts,
        /// Papers that the model cannot encode, each with the reason.
        unreadable: Vec<String>,
    },
    /// The result of [`Write::Delete`]: for each id in the request, whether a paper had this id.
    Deleted(Vec<bool>),
}

struct WriteJob {
    write: Write,
    reply: oneshot::Sender<Result<WriteOutcome, Problem>>,
}

/// Queue of writes for the writer thread. When it is dropped, the writer finishes the queued writes and ends.
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

    /// Performs a write. When this function returns without an error, the change is on disk and visible to queries.
    ///
    /// # Errors
    /// Returns 429 if the queue is full, 409 if another process is writing, 503 if the server is switching to another
    /// model or the search engine cannot be reached, and 507 if the disk is full.
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
                    tracing::error!("the writer panicked; the write that it was performing fails");
                }
            }
            Err(problem) => drop(job.reply.send(Err(problem))),
        }
    }
}

/// Performs jobs until a job fails, no job arrives for [`KEEP_OPEN`], or another process wants to write. After an
/// error, the writer is not used again: the files can end with an incomplete record, which is cut off when the next
/// writer opens the files.
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
        tracing::warn!("the index could not be updated; the next write completes the index: {error}");
    }
}

fn open(library: &Library, queue: &EncodeQueue) -> Result<Box<dyn PaperWriter>, Problem> {
    let opened = library.paper_writer();
    // Another model has replaced the library's model, and the server is about to open the folder with the other model.
    if opened.is_err() && library.is_superseded().unwrap_or_default() {
        return Err(Problem::switching_model());
    }
    let busy = "another process is writing to this data folder; try again when that process is done";
    let mut writer = opened?.ok_or_else(|| Problem::conflict(busy))?;
    writer.announce_yielding()?;
    let queue = queue.clone();
    writer.set_encode_fn(Box::new(move |texts| queue.encode_accepted(texts)));
    if library.lacks_vectors() {
        // An earlier write failed after its papers were stored and before they were embedded. Sending these papers
        // again would not embed them, because the stored papers would be unchanged.
        writer.catch_up(&mut |_| {})?;
    }
    Ok(writer)
}

/// Performs a job and sends the result to the job's sender. Returns whether the job succeeded.
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
