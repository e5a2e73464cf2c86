//! The one queue into the encoder: whatever waits is encoded together, interactive texts first.
//!
//! Its own file because it is where load is met. Room is counted in tokens, which is what encoding costs. What does not
//! fit is refused at once ([`Problem::busy`]), one text and many by the same rule; an entry whose caller has left is
//! dropped without being encoded. A large request is taken a piece at a time, in turn with others, so that nobody waits
//! for all of it.
//!
//! A burst is queued. For a second after something had to be refused, the queue is kept short: in a flood a long queue
//! serves nobody more, and makes everybody wait for all of it (Nichols & Jacobson 2012, "Controlling Queue Delay", on good
//! and bad queues).

use super::problem::Problem;
use super::stages::{Stage, record};
use likewise_encoder::model::Side;
use likewise_encoder::{Embedding, Encoder, Reading, Tokenized};
use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Who waits for a text's vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody who asked one question.
    Interactive,
    /// A program that embeds many texts.
    Bulk,
}

impl Priority {
    /// Of a request for so many texts.
    pub fn of(texts: usize) -> Priority {
        if texts == 1 { Priority::Interactive } else { Priority::Bulk }
    }
}

/// How much may wait, and how much is taken at once, in tokens.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Tokens that may wait of interactive requests.
    pub interactive: usize,
    /// The same in a flood.
    pub flooded: usize,
    /// Tokens that may wait of bulk requests.
    pub bulk: usize,
    /// Tokens encoded at once: what arrives meanwhile waits for no more.
    pub batch: usize,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits { interactive: 2048, flooded: 256, bulk: 1 << 20, batch: 2048 }
    }
}

/// What became of one text.
struct Done {
    /// Its place in the request.
    place: usize,
    embedding: Result<Embedding, String>,
    /// What its batch took.
    took: Duration,
}

struct Entry {
    texts: VecDeque<(usize, Tokenized)>,
    reply: mpsc::UnboundedSender<Done>,
}

impl Entry {
    fn tokens(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.ids.len()).sum()
    }
}

/// The entries of one priority.
#[derive(Default)]
struct Line {
    entries: VecDeque<Entry>,
    tokens: usize,
}

#[derive(Default)]
struct Waiting {
    interactive: Line,
    bulk: Line,
    /// When something was refused last.
    refused: Option<Instant>,
    closed: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    watch: Watch,
}

/// What is told of every batch.
pub type Watch = Box<dyn Fn(&BatchSeen) + Send + Sync>;

/// A batch that was encoded.
pub struct BatchSeen {
    /// Its tokens.
    pub tokens: usize,
    /// What encoding it took.
    pub took: Duration,
}

/// The way into the encoder. When the last clone is dropped, its thread ends.
#[derive(Clone)]
pub struct EncodeQueue {
    encoder: Arc<Encoder>,
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

    /// Puts a request at the end of its line.
    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, entry: Entry, priority: Priority) {
        waiting.line(priority).push(entry);
        drop(waiting);
        self.arrived.notify_one();
    }
}

/// How long after something was refused the queue is kept short.
const FLOOD: Duration = Duration::from_secs(1);

/// A text of so many bytes has a token at least, as far as papers go.
const BYTES_A_TOKEN: usize = 16;

/// Texts of up to so many bytes are tokenised where they are: a thread would take longer to be woken.
const SHORT_BYTES: usize = 4096;

impl EncodeQueue {
    /// Starts the queue's thread; `watch` is told of every batch.
    pub fn start(encoder: Arc<Encoder>, limits: QueueLimits, watch: Watch) -> EncodeQueue {
        let shared = Arc::new(Shared { waiting: Mutex::default(), arrived: Condvar::new(), watch });
        let (thread_shared, thread_encoder) = (Arc::clone(&shared), Arc::clone(&encoder));
        std::thread::spawn(move || {
            while let Some(batch) = take_batch(&thread_shared, limits.batch) {
                encode_batch(&thread_encoder, batch, &thread_shared.watch);
            }
        });
        EncodeQueue { encoder, limits, _closer: Arc::new(Closer(Arc::clone(&shared))), shared }
    }

    /// Encodes texts, together with what else waits; the answer has their order.
    ///
    /// # Errors
    /// [`Problem::busy`], if there is no room.
    pub async fn encode(
        &self,
        texts: Vec<String>,
        reading: Reading,
        priority: Priority,
    ) -> Result<Vec<Embedding>, Problem> {
        self.check_room(texts.iter(), priority)?;
        let tokenized = self.tokenize(texts, reading).await?;
        self.embed(tokenized, priority).await
    }

    /// Refuses texts that there is no room for in any case: in a flood, finding out how many tokens there are would take
    /// more than saying no.
    pub fn check_room<'a>(
        &self,
        texts: impl Iterator<Item = &'a String>,
        priority: Priority,
    ) -> Result<(), Problem> {
        let most = self.encoder.model().stated.max_length;
        let least = texts.map(|text| (text.len() / BYTES_A_TOKEN).clamp(1, most)).sum();
        admit(&self.shared, &self.limits, least, priority).map(drop)
    }

    /// Splits texts into tokens.
    pub async fn tokenize(&self, texts: Vec<String>, reading: Reading) -> Result<Vec<Tokenized>, Problem> {
        let started = Instant::now();
        let bytes: usize = texts.iter().map(String::len).sum();
        let encoder = Arc::clone(&self.encoder);
        let split = move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok::<_, crate::Error>(encoder.tokenize(&texts, &reading)?)
        };
        let tokenized = if bytes <= SHORT_BYTES { split()? } else { super::blocking(split).await? };
        record(Stage::Tokenize, started.elapsed());
        Ok(tokenized)
    }

    /// Encodes texts that are split into tokens already.
    ///
    /// # Errors
    /// [`Problem::busy`], if there is no room.
    pub async fn embed(&self, texts: Vec<Tokenized>, priority: Priority) -> Result<Vec<Embedding>, Problem> {
        let started = Instant::now();
        let (entry, mut answers, mut gathered) = asked(texts);
        let waiting = admit(&self.shared, &self.limits, entry.tokens(), priority)?;
        self.shared.push(waiting, entry, priority);
        while let Some(done) = answers.recv().await {
            gathered.take(done).map_err(Problem::internal)?;
        }
        record(Stage::Queue, started.elapsed().saturating_sub(gathered.took));
        record(Stage::Encode, gathered.took);
        gathered.all().map_err(Problem::internal)
    }

    /// The vectors of the texts that the model can read; the others have none. Many texts wait behind interactive ones.
    ///
    /// # Errors
    /// [`Problem::busy`], if there is no room.
    pub async fn vectors_of_readable(
        &self,
        texts: Vec<String>,
        reading: Reading,
    ) -> Result<Vec<Option<Vec<f32>>>, Problem> {
        let count = texts.len();
        let encoder = Arc::clone(&self.encoder);
        let split = move || Ok(readable(&encoder, &texts, &reading)?);
        let (places, tokenized): (Vec<usize>, Vec<Tokenized>) =
            super::blocking(split).await?.into_iter().unzip();
        let mut vectors = vec![None; count];
        let embeddings = self.embed(tokenized, Priority::Bulk).await?;
        places.into_iter().zip(embeddings).for_each(|(place, of)| vectors[place] = Some(of.vector));
        Ok(vectors)
    }

    /// Encodes texts for whoever writes papers, from a thread that may wait: they were accepted already, so they are
    /// never refused.
    pub fn encode_accepted(&self, texts: &[&str]) -> likewise_encoder::Result<Vec<Embedding>> {
        let (entry, mut answers, mut gathered) =
            asked(self.encoder.tokenize(texts, &self.encoder.reading(Side::Paper))?);
        self.shared.push(self.shared.lock(), entry, Priority::Bulk);
        while let Some(done) = answers.blocking_recv() {
            gathered.take(done).map_err(likewise_encoder::Error::Model)?;
        }
        gathered.all().map_err(|wrong| likewise_encoder::Error::Model(wrong.into()))
    }

    /// Tokens that wait.
    pub fn waiting(&self) -> usize {
        let waiting = self.shared.lock();
        waiting.interactive.tokens + waiting.bulk.tokens
    }
}

/// The texts that the model can read, by their places.
fn readable(
    encoder: &Encoder,
    texts: &[String],
    reading: &Reading,
) -> likewise_encoder::Result<Vec<(usize, Tokenized)>> {
    let mut places: Vec<usize> = (0..texts.len()).collect();
    loop {
        let some: Vec<&str> = places.iter().map(|place| texts[*place].as_str()).collect();
        match encoder.tokenize(&some, reading) {
            Ok(tokenized) => return Ok(places.into_iter().zip(tokenized).collect()),
            Err(likewise_encoder::Error::Texts(unreadable)) => {
                let bad: HashSet<usize> = unreadable.iter().map(|text| places[text.index]).collect();
                places.retain(|place| !bad.contains(place));
            }
            Err(error) => return Err(error),
        }
    }
}

/// A request for texts, where its answers come, and what they are gathered in.
fn asked(texts: Vec<Tokenized>) -> (Entry, mpsc::UnboundedReceiver<Done>, Gathered) {
    let (reply, answers) = mpsc::unbounded_channel();
    let gathered = Gathered { embeddings: vec![None; texts.len()], took: Duration::ZERO };
    (Entry { texts: texts.into_iter().enumerate().collect(), reply }, answers, gathered)
}

/// The answers to a request, as far as they have come.
struct Gathered {
    embeddings: Vec<Option<Embedding>>,
    /// What the last batch took.
    took: Duration,
}

impl Gathered {
    fn take(&mut self, Done { place, embedding, took }: Done) -> Result<(), String> {
        self.embeddings[place] = Some(embedding?);
        self.took = took;
        Ok(())
    }

    fn all(self) -> Result<Vec<Embedding>, &'static str> {
        let all: Option<Vec<Embedding>> = self.embeddings.into_iter().collect();
        all.ok_or("the encoder's thread dropped some texts")
    }
}

/// Refuses what there is no room for.
fn admit<'a>(
    shared: &'a Shared,
    limits: &QueueLimits,
    tokens: usize,
    priority: Priority,
) -> Result<MutexGuard<'a, Waiting>, Problem> {
    let mut waiting = shared.lock();
    let is_flooded = waiting.refused.is_some_and(|refused| refused.elapsed() < FLOOD);
    let (limit, name) = match priority {
        Priority::Interactive if is_flooded => (limits.flooded, "--queue-tokens-flooded"),
        Priority::Interactive => (limits.interactive, "--queue-tokens"),
        Priority::Bulk => (limits.bulk, "--queue-tokens-bulk"),
    };
    let line = waiting.line(priority);
    let waits = line.tokens;
    // One entry is always taken into an empty line, whatever its size: it could never be later.
    if line.entries.is_empty() || waits + tokens <= limit {
        return Ok(waiting);
    }
    if priority == Priority::Interactive {
        waiting.refused = Some(Instant::now());
    }
    Err(Problem::busy(format!("{waits} tokens wait to be encoded, and {limit} may ({name})")))
}

/// One text of a batch, and who waits for it.
struct Taken {
    place: usize,
    text: Tokenized,
    reply: mpsc::UnboundedSender<Done>,
}

/// Waits for entries and takes what fits into a batch, at least one text; `None` when the queue is closed.
fn take_batch(shared: &Shared, batch_tokens: usize) -> Option<Vec<Taken>> {
    let mut waiting = shared.lock();
    loop {
        let batch = waiting.take(batch_tokens);
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
    fn line(&mut self, priority: Priority) -> &mut Line {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }

    fn take(&mut self, batch_tokens: usize) -> Vec<Taken> {
        let mut batch = Vec::new();
        let mut room = batch_tokens;
        self.interactive.take(&mut room, &mut batch);
        self.bulk.take(&mut room, &mut batch);
        batch
    }
}

impl Line {
    fn push(&mut self, entry: Entry) {
        self.tokens += entry.tokens();
        self.entries.push_back(entry);
    }

    /// Takes texts for as long as there is room, of each entry as many as fit; what is left of one goes to the end.
    fn take(&mut self, room: &mut usize, batch: &mut Vec<Taken>) {
        while let Some(mut entry) = self.entries.pop_front() {
            if entry.reply.is_closed() {
                self.tokens -= entry.tokens();
                continue;
            }
            let waiting = entry.texts.len();
            while let Some((_, next)) = entry.texts.front() {
                let tokens = next.ids.len();
                // A text that is longer than a batch goes alone.
                if tokens > *room && !batch.is_empty() {
                    break;
                }
                *room = room.saturating_sub(tokens);
                self.tokens -= tokens;
                let (place, text) = entry.texts.pop_front().expect("it was looked at above");
                batch.push(Taken { place, text, reply: entry.reply.clone() });
            }
            match entry.texts.len() {
                0 => {}
                // Who got nothing is not behind those who came later.
                left if left == waiting => return self.entries.push_front(entry),
                _ => return self.entries.push_back(entry),
            }
        }
    }
}

fn encode_batch(encoder: &Encoder, batch: Vec<Taken>, watch: &Watch) {
    let started = Instant::now();
    let tokens = batch.iter().map(|taken| taken.text.ids.len()).sum();
    let embed = |texts: Vec<Tokenized>| {
        catch_unwind(AssertUnwindSafe(|| encoder.embed(texts).map_err(|error| error.to_string())))
            .unwrap_or_else(|_| Err("the encoder panicked".into()))
    };
    let texts = batch.iter().map(|taken| taken.text.clone()).collect();
    let embedded = embed(texts);
    let took = started.elapsed();
    match embedded {
        Ok(embeddings) => {
            for (Taken { place, reply, .. }, embedding) in batch.into_iter().zip(embeddings) {
                // A caller who left meanwhile needs no answer.
                let _ = reply.send(Done { place, embedding: Ok(embedding), took });
            }
        }
        // One text's trouble is not the others': each is tried by itself.
        Err(_) => {
            for Taken { place, text, reply } in batch {
                let embedding = embed(vec![text]).map(|mut embeddings| embeddings.remove(0));
                let _ = reply.send(Done { place, embedding, took });
            }
        }
    }
    watch(&BatchSeen { tokens, took });
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answers = mpsc::UnboundedReceiver<Done>;

    /// A request for texts of so many tokens each, whose first is its name.
    fn entry(name: u32, lengths: &[usize]) -> (Entry, Answers) {
        let (reply, answers) = mpsc::unbounded_channel();
        let text =
            |length: &usize| Tokenized { ids: vec![name; *length], truncated: false, side: Side::Paper };
        (Entry { texts: lengths.iter().map(text).enumerate().collect(), reply }, answers)
    }

    fn push(line: &mut Line, name: u32, lengths: &[usize]) -> Answers {
        let (entry, answers) = entry(name, lengths);
        line.push(entry);
        answers
    }

    fn taken(waiting: &mut Waiting, tokens: usize) -> Vec<(u32, usize)> {
        waiting.take(tokens).iter().map(|taken| (taken.text.ids[0], taken.place)).collect()
    }

    #[test]
    fn interactive_texts_go_first_and_callers_who_left_are_dropped() {
        let mut waiting = Waiting::default();
        let _bulk = push(&mut waiting.bulk, 1, &[5]);
        drop(push(&mut waiting.interactive, 2, &[5]));
        let _first = push(&mut waiting.interactive, 3, &[5]);
        assert_eq!(taken(&mut waiting, 100), [(3, 0), (1, 0)]);
        assert_eq!((waiting.interactive.tokens, waiting.bulk.tokens), (0, 0));
    }

    #[test]
    fn a_large_request_is_taken_in_pieces_in_turn_with_others() {
        let mut waiting = Waiting::default();
        let _large = push(&mut waiting.bulk, 1, &[4, 4, 4, 4, 4]);
        let _other = push(&mut waiting.bulk, 2, &[4, 4]);
        assert_eq!(taken(&mut waiting, 8), [(1, 0), (1, 1)]);
        assert_eq!(taken(&mut waiting, 9), [(2, 0), (2, 1)]);
        let _question = push(&mut waiting.interactive, 3, &[4]);
        assert_eq!(taken(&mut waiting, 8), [(3, 0), (1, 2)]);
        assert_eq!(waiting.bulk.tokens, 8);
        assert_eq!(taken(&mut waiting, 100), [(1, 3), (1, 4)]);
        assert!(taken(&mut waiting, 100).is_empty());
    }

    #[test]
    fn a_text_that_is_longer_than_a_batch_goes_alone() {
        let mut waiting = Waiting::default();
        let _answers = push(&mut waiting.bulk, 1, &[50, 1]);
        assert_eq!(taken(&mut waiting, 10), [(1, 0)]);
        assert_eq!(taken(&mut waiting, 10), [(1, 1)]);
    }

    #[test]
    fn a_burst_waits_a_flood_is_kept_short_until_it_is_over() {
        let shared =
            Arc::new(Shared { waiting: Mutex::default(), arrived: Condvar::new(), watch: Box::new(|_| {}) });
        let limits = QueueLimits { interactive: 40, flooded: 10, bulk: 10, batch: 20 };
        let push = |name, length, priority| {
            let (entry, answers) = entry(name, &[length]);
            admit(&shared, &limits, entry.tokens(), priority)
                .map(|waiting| shared.push(waiting, entry, priority))
                .map(|()| answers)
                .map_err(|problem| problem.status.as_u16())
        };
        let mut kept = vec![push(1, 100, Priority::Bulk).unwrap()];
        assert_eq!(push(2, 1, Priority::Bulk).unwrap_err(), 429);
        kept.extend((0..4).map(|name| push(name, 10, Priority::Interactive).unwrap()));
        assert_eq!(push(9, 1, Priority::Interactive).unwrap_err(), 429, "full");
        take_batch(&shared, 20).unwrap();
        assert_eq!(push(9, 1, Priority::Interactive).unwrap_err(), 429, "flooded");
        take_batch(&shared, 20).unwrap();
        kept.push(push(9, 1, Priority::Interactive).unwrap());
        shared.lock().refused = Instant::now().checked_sub(FLOOD);
        kept.extend((0..3).map(|name| push(name, 10, Priority::Interactive).unwrap()));
        while !shared.lock().take(1000).is_empty() {}
        shared.lock().closed = true;
        assert!(take_batch(&shared, 20).is_none());
    }
}
