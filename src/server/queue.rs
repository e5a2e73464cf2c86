//! The one queue into the encoder: whatever waits is encoded together, interactive texts first.
//!
//! Its own file because it is where load is met. It is bounded: what does not fit is refused at once
//! ([`Problem::busy`]), and an entry whose caller has left is dropped without being encoded.

use super::problem::Problem;
use crate::encoder::{Embedding, Encoder};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Who waits for a text's vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody who asked one question.
    Interactive,
    /// A program that embeds many texts.
    Bulk,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Bytes of text that may wait for each priority.
    pub waiting_bytes: usize,
    /// Bytes of text taken at once, about 4 a token, if more than one entry is: what arrives meanwhile waits
    /// for no more, or for one large request.
    pub batch_bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits { waiting_bytes: 16 << 20, batch_bytes: 32 << 10 }
    }
}

type Reply = oneshot::Sender<Result<Vec<Embedding>, crate::Error>>;

struct Entry {
    texts: Vec<String>,
    reply: Reply,
}

impl Entry {
    fn bytes(&self) -> usize {
        // An empty text still takes a place.
        self.texts.iter().map(|text| text.len() + 1).sum()
    }
}

#[derive(Default)]
struct Waiting {
    interactive: VecDeque<Entry>,
    bulk: VecDeque<Entry>,
    closed: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

/// The way into the encoder. When the last clone is dropped, its thread ends.
#[derive(Clone)]
pub struct EncodeQueue {
    shared: Arc<Shared>,
    limits: QueueLimits,
    _closer: Arc<Closer>,
}

/// Tells the thread to end.
struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.arrived.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds this lock can leave the queues half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EncodeQueue {
    /// Starts the queue's thread.
    pub fn start(encoder: Arc<Encoder>, limits: QueueLimits) -> EncodeQueue {
        let shared = Arc::new(Shared { waiting: Mutex::default(), arrived: Condvar::new() });
        let thread_shared = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Some(entries) = take_batch(&thread_shared, limits.batch_bytes) {
                let encode = AssertUnwindSafe(|| encode_batch(&encoder, entries));
                // Its callers are told by their dropped replies; those who come later are served.
                if catch_unwind(encode).is_err() {
                    tracing::error!("the encoder panicked; the requests of one batch got no answer");
                }
            }
        });
        EncodeQueue { limits, _closer: Arc::new(Closer(Arc::clone(&shared))), shared }
    }

    /// Encodes texts, together with what else waits; the answer has their order.
    pub async fn encode(&self, texts: Vec<String>, priority: Priority) -> Result<Vec<Embedding>, Problem> {
        let (reply, answer) = oneshot::channel();
        self.push(Entry { texts, reply }, priority)?;
        let embeddings =
            answer.await.map_err(|_| Problem::internal("the encoder's thread dropped a request"))?;
        embeddings.map_err(Problem::from)
    }

    fn push(&self, entry: Entry, priority: Priority) -> Result<(), Problem> {
        let mut waiting = self.shared.lock();
        let queue = match priority {
            Priority::Interactive => &mut waiting.interactive,
            Priority::Bulk => &mut waiting.bulk,
        };
        let bytes: usize = queue.iter().map(Entry::bytes).sum();
        // One entry is always taken into an empty queue, whatever its size: it could never be later.
        if !queue.is_empty() && bytes + entry.bytes() > self.limits.waiting_bytes {
            return Err(Problem::busy());
        }
        queue.push_back(entry);
        drop(waiting);
        self.shared.arrived.notify_one();
        Ok(())
    }
}

/// Waits for entries and takes what fits into a batch, at least one; `None` when the queue is closed.
fn take_batch(shared: &Shared, batch_bytes: usize) -> Option<Vec<Entry>> {
    let mut waiting = shared.lock();
    loop {
        let batch = waiting.take(batch_bytes);
        if !batch.is_empty() {
            return Some(batch);
        }
        if waiting.closed {
            return None;
        }
        waiting = shared.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Waiting {
    fn take(&mut self, batch_bytes: usize) -> Vec<Entry> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(queue) =
            [&mut self.interactive, &mut self.bulk].into_iter().find(|queue| !queue.is_empty())
        {
            let next = queue.front().map_or(0, Entry::bytes);
            if !batch.is_empty() && bytes + next > batch_bytes {
                break;
            }
            bytes += next;
            batch.extend(queue.pop_front().filter(|entry| !entry.reply.is_closed()));
        }
        batch
    }
}

fn encode_batch(encoder: &Encoder, entries: Vec<Entry>) {
    let texts: Vec<&str> = entries.iter().flat_map(|entry| &entry.texts).map(String::as_str).collect();
    match encoder.encode(&texts) {
        Ok(embeddings) => {
            let mut embeddings = embeddings.into_iter();
            for entry in entries {
                let share = embeddings.by_ref().take(entry.texts.len()).collect();
                // A caller who left meanwhile needs no answer.
                let _ = entry.reply.send(Ok(share));
            }
        }
        // One text's trouble is not the others': each entry is tried by itself.
        Err(_) => {
            for entry in entries {
                let texts: Vec<&str> = entry.texts.iter().map(String::as_str).collect();
                let _ = entry.reply.send(encoder.encode(&texts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> (Entry, oneshot::Receiver<Result<Vec<Embedding>, crate::Error>>) {
        let (reply, answer) = oneshot::channel();
        (Entry { texts: vec![text.into()], reply }, answer)
    }

    fn texts(batch: &[Entry]) -> Vec<&str> {
        batch.iter().flat_map(|entry| &entry.texts).map(String::as_str).collect()
    }

    #[test]
    fn interactive_texts_go_first_and_callers_who_left_are_dropped() {
        let mut waiting = Waiting::default();
        let (bulk, _bulk_answer) = entry("bulk");
        let (first, _first_answer) = entry("first");
        let (left, left_answer) = entry("left");
        drop(left_answer);
        waiting.bulk.push_back(bulk);
        waiting.interactive.extend([left, first]);
        assert_eq!(texts(&waiting.take(100)), ["first", "bulk"]);
    }

    #[test]
    fn a_batch_is_bounded_but_a_long_text_still_goes() {
        let mut waiting = Waiting::default();
        let long = "x".repeat(50);
        let (one, _one_answer) = entry(&long);
        let (two, _two_answer) = entry("two");
        waiting.bulk.extend([one, two]);
        assert_eq!(texts(&waiting.take(10)), [long.as_str()]);
        assert_eq!(texts(&waiting.take(10)), ["two"]);
        assert!(waiting.take(10).is_empty());
    }

    #[test]
    fn a_full_queue_refuses() {
        let shared = Arc::new(Shared { waiting: Mutex::default(), arrived: Condvar::new() });
        let limits = QueueLimits { waiting_bytes: 10, batch_bytes: 10 };
        let queue = EncodeQueue { limits, _closer: Arc::new(Closer(Arc::clone(&shared))), shared };
        assert!(queue.push(entry(&"x".repeat(20)).0, Priority::Bulk).is_ok());
        assert!(queue.push(entry("y").0, Priority::Bulk).is_err());
        assert!(queue.push(entry("y").0, Priority::Interactive).is_ok());
    }
}
