//! The one writer of a server: papers that are added and deleted over HTTP.
//!
//! Its own file because a data folder has one writer at a time, and opening it takes a while: a thread opens it when
//! somebody writes, keeps it while more comes, and closes it soon after, so that `likewise ingest` need not wait for a
//! server; and it gives way to a command that waits. What it encodes goes through the server's queue, behind whoever waits for an answer.

use super::problem::Problem;
use super::queue::EncodeQueue;
use crate::ingest::{Counts, Intake};
use crate::search::Library;
use likewise_papers::PaperId;
use likewise_papers::dump::{Entry, Refused};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Writes that may wait, of at most a chunk of papers each.
const MAX_WAITING: usize = 16;

/// How long the folder is kept open for the next write.
const KEEP_OPEN: Duration = Duration::from_millis(500);

/// Something to be written.
pub enum Write {
    /// Records, added or in place of those they were; those without an abstract only if that is said.
    Put(Vec<Entry>, TitleOnly),
    /// Papers, by any of their ids.
    Delete(Vec<PaperId>),
}

/// Whether papers without an abstract are taken, by their titles.
pub type TitleOnly = bool;

/// What became of it.
#[derive(Debug)]
pub enum Wrote {
    /// How many were what, and which papers got no vector, and why.
    Put(Counts, Vec<String>),
    /// Which were here.
    Deleted(Vec<bool>),
}

struct Job {
    write: Write,
    reply: oneshot::Sender<Result<Wrote, Problem>>,
}

/// The way to the writer. When it is dropped, the writer finishes what it has and ends.
pub struct Writes {
    sender: SyncSender<Job>,
}

impl Writes {
    /// Starts the writer of a library's folder.
    pub fn start(library: Arc<Library>, queue: EncodeQueue) -> Writes {
        let (sender, jobs) = sync_channel(MAX_WAITING);
        std::thread::spawn(move || run(&jobs, &library, &queue));
        Writes { sender }
    }

    /// Writes; what is written is on the disk, and found by the next query.
    ///
    /// # Errors
    /// 429 if too much waits, 409 if another process is writing, 503 if another model has just taken over.
    pub async fn write(&self, write: Write) -> Result<Wrote, Problem> {
        let (reply, outcome) = oneshot::channel();
        self.sender.try_send(Job { write, reply }).map_err(|error| match error {
            TrySendError::Full(_) => Problem::busy(format!("{MAX_WAITING} writes")),
            TrySendError::Disconnected(_) => Problem::internal("the writer is gone"),
        })?;
        outcome.await.map_err(|_| Problem::internal("the writer dropped a request"))?
    }
}

fn run(jobs: &Receiver<Job>, library: &Library, queue: &EncodeQueue) {
    while let Ok(job) = jobs.recv() {
        match open(library, queue) {
            Ok(writer) => {
                // A panic is one request's; the next opens the folder anew.
                if catch_unwind(AssertUnwindSafe(|| write_all(writer, job, jobs))).is_err() {
                    tracing::error!("the writer panicked; the requests it had got no answer");
                }
            }
            Err(problem) => drop(job.reply.send(Err(problem))),
        }
    }
}

/// Does what comes until nothing does for a while. After an error the writer is not used any more: its files may end in
/// the middle of something, which is cut off when they are opened.
fn write_all(mut writer: Box<dyn Intake>, first: Job, jobs: &Receiver<Job>) {
    let mut next = Ok(first);
    while let Ok(job) = next {
        if !perform(&mut *writer, job) {
            return;
        }
        if writer.is_wanted() {
            break;
        }
        next = jobs.recv_timeout(KEEP_OPEN);
    }
    // The papers are in the catalog already; whoever opens the folder next would do this.
    if let Err(error) = writer.finish() {
        tracing::warn!("the index is not brought up to date yet: {error}");
    }
}

fn open(library: &Library, queue: &EncodeQueue) -> Result<Box<dyn Intake>, Problem> {
    let opened = library.intake();
    // The server is opening the folder with that one.
    if opened.is_err() && library.is_superseded().unwrap_or_default() {
        return Err(Problem::superseded());
    }
    let busy = "another process is writing to this data folder; try again when it is done";
    let mut writer = opened?.ok_or_else(|| Problem::conflict(busy))?;
    writer.offer_turns()?;
    let queue = queue.clone();
    writer.encode_by(Box::new(move |texts| queue.encode_accepted(texts)));
    if library.lacks_vectors() {
        // A write that failed half-way: its papers are here, and would be unchanged if they came again.
        writer.catch_up(&mut |_, _| {})?;
    }
    Ok(writer)
}

/// Does one thing; gives whether that went well.
fn perform(writer: &mut dyn Intake, job: Job) -> bool {
    let wrote = match job.write {
        Write::Put(entries, title_only) => {
            writer.set_title_only(title_only);
            let entries: Vec<Result<Entry, Refused>> = entries.into_iter().map(Ok).collect();
            writer.add(entries).map(|counts| Wrote::Put(counts, writer.take_unreadable()))
        }
        Write::Delete(ids) => writer.delete(&ids).map(Wrote::Deleted),
    };
    let is_well = wrote.is_ok();
    // Whoever asked may have left; it is written all the same.
    let _ = job.reply.send(wrote.map_err(Problem::from));
    is_well
}
