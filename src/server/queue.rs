//! The queue into the encoder: waiting texts are encoded in batches, interactive ones first.
//!
//! Limits are in tokens, because the number of tokens determines the cost of encoding. A request that does not fit into
//! the queue is refused at once ([`Problem::busy`]), whatever its number of texts. Two kinds of request are never
//! refused: a request that finds its queue empty, and texts of papers that are being written. After a client has
//! disconnected, those texts of its request that wait are dropped without being encoded. A large request is encoded in
//! parts, alternating with other requests, so that the other requests need not wait until the large request is
//! complete.
//!
//! The queue absorbs bursts. For [`OVERLOAD_PERIOD`] after an interactive request was refused, the server counts as
//! overloaded and the queue for interactive requests is kept short. Under constant overload, a longer queue does not
//! increase the throughput; it only increases the time that each request waits (Nichols & Jacobson 2012, "Controlling
//! Queue Delay", on good and bad queues).

use super::problem::Problem;
use super::queued_model::{Output, QueueModels, QueuedModel};
use super::stages::{Stage, record};
use likewise_encoder::model::InputType;
use likewise_encoder::{
    Embedding, EncodeOptions, PairScore, Reranker, SparseEncoder, SparseVector, Tokenized, encode_readable,
};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// The priority of a request for embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A request for one text, such as a search with one text.
    Interactive,
    /// A request for several texts, for the sentences of a query with `rerank_sentences`, or for the texts of papers
    /// that are being written, even if it is only one text.
    Bulk,
}

impl Priority {
    /// Returns the priority of a request for `texts` texts.
    pub fn of(texts: usize) -> Priority {
        if texts == 1 { Priority::Interactive } else { Priority::Bulk }
    }
}

/// Limits of the queue, in tokens. An empty queue accepts a request of any size.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Maximum number of tokens in waiting interactive requests.
    pub interactive: usize,
    /// Maximum number of tokens in waiting interactive requests while the server is overloaded.
    pub overloaded: usize,
    /// Maximum number of tokens in waiting bulk requests. Texts of papers that are being written count, but are never
    /// refused.
    pub bulk: usize,
    /// Maximum number of tokens in a batch; a longer text is a batch of its own. A request that arrives while a batch
    /// is being encoded must wait until that batch is done.
    pub batch: usize,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits { interactive: 2048, overloaded: 256, bulk: 1 << 20, batch: 2048 }
    }
}

/// The result of a model for one text.
struct TextResult {
    /// Index of the text in its request.
    index: usize,
    /// The output of the model, or the message of its error.
    output: Result<Output, String>,
    /// Time that encoding the text's batch took, without a second attempt that encodes each text alone.
    took: Duration,
}

/// A request in the queue, with those of its texts that are not in a batch yet.
struct QueuedRequest {
    model: QueuedModel,
    /// Texts, with their indices in the request.
    texts: VecDeque<(usize, Tokenized)>,
    reply: mpsc::UnboundedSender<TextResult>,
}

impl QueuedRequest {
    fn tokens(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.ids.len()).sum()
    }
}

/// The waiting requests of one priority.
#[derive(Default)]
struct RequestQueue {
    requests: VecDeque<QueuedRequest>,
    /// Tokens of all waiting texts.
    tokens: usize,
}

#[derive(Default)]
struct QueueState {
    interactive: RequestQueue,
    bulk: RequestQueue,
    /// Time of the last refusal of an interactive request. `None`: no interactive request was refused.
    last_refusal: Option<Instant>,
    /// Whether the last batch left bulk requests for another model waiting because interactive requests went first.
    passed_over: bool,
    closed: bool,
}

struct QueueShared {
    state: Mutex<QueueState>,
    arrived: Condvar,
    observer: BatchObserver,
}

/// A function that is called after every batch, even if texts of the batch could not be encoded.
pub type BatchObserver = Box<dyn Fn(&BatchStats) + Send + Sync>;

/// Size and duration of a batch.
pub struct BatchStats {
    /// Number of tokens.
    pub tokens: usize,
    /// Time that encoding the batch took, without a second attempt that encodes each text alone.
    pub took: Duration,
}

/// Handle to the encoder's queue. The encoder thread ends when the last clone of the handle is dropped.
#[derive(Clone)]
pub struct EncodeQueue {
    models: QueueModels,
    shared: Arc<QueueShared>,
    limits: QueueLimits,
    /// Permits to tokenize many texts.
    tokenizing: Arc<Semaphore>,
    _closer: Arc<CloseOnDrop>,
}

/// Closes the queue when it is dropped, so that the encoder thread ends.
struct CloseOnDrop(Arc<QueueShared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.arrived.notify_all();
    }
}

impl QueueShared {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // No code that holds this lock can panic with the queues in an inconsistent state, so poisoning is ignored.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a request to the queue of its priority.
    fn push(&self, mut state: MutexGuard<'_, QueueState>, request: QueuedRequest, priority: Priority) {
        state.queue(priority).push(request);
        drop(state);
        self.arrived.notify_one();
    }
}

/// Time for which the server counts as overloaded after it refused an interactive request.
const OVERLOAD_PERIOD: Duration = Duration::from_secs(1);

/// Number of bytes per token that the lower bound on a text's number of tokens assumes. Texts of papers have fewer
/// bytes per token.
const MAX_BYTES_PER_TOKEN: usize = 16;

/// Number of requests with many texts that are tokenized at the same time, on all cores. Further requests wait, so that the
/// texts of a reranked search get their turn soon.
const MAX_TOKENIZING: usize = 2;

/// Texts of up to this many bytes in total are tokenized on the request's thread: waking another thread would take
/// longer than tokenizing them.
const MAX_INLINE_BYTES: usize = 4096;

impl EncodeQueue {
    /// Starts the encoder thread. `observer` is called for every batch.
    pub fn start(models: QueueModels, limits: QueueLimits, observer: BatchObserver) -> EncodeQueue {
        let shared = Arc::new(QueueShared { state: Mutex::default(), arrived: Condvar::new(), observer });
        let (thread_shared, thread_models) = (Arc::clone(&shared), models.clone());
        std::thread::spawn(move || {
            while let Some(batch) = take_batch(&thread_shared, limits.batch) {
                run_batch(&thread_models, batch, &thread_shared.observer);
            }
        });
        let tokenizing = Arc::new(Semaphore::new(MAX_TOKENIZING));
        EncodeQueue {
            models,
            limits,
            tokenizing,
            _closer: Arc::new(CloseOnDrop(Arc::clone(&shared))),
            shared,
        }
    }

    /// Tokenizes the texts of a request on another thread, as soon as few other requests do.
    async fn tokenize_with<T: Send + 'static>(
        &self,
        tokenize: impl FnOnce() -> Result<T, crate::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.tokenizing).acquire_owned().await.map_err(Problem::internal)?;
        super::blocking(move || {
            // Until the texts are tokenized, even if the client disconnects.
            let _permit = permit;
            tokenize()
        })
        .await
    }

    /// Encodes texts, in batches with other waiting texts. Returns the embeddings in the order of the texts.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full, and 422 if the model cannot encode one of the texts.
    pub async fn encode(
        &self,
        texts: Vec<String>,
        options: EncodeOptions,
        priority: Priority,
    ) -> Result<Vec<Embedding>, Problem> {
        self.check_capacity(texts.iter(), priority)?;
        let tokenized = self.tokenize(texts, options).await?;
        self.embed(tokenized, priority).await
    }

    /// Refuses texts that cannot fit into the queue. The check uses a lower bound on the number of tokens: under
    /// overload, it would cost too much to tokenize texts that are then refused.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full.
    pub fn check_capacity<'a>(
        &self,
        texts: impl Iterator<Item = &'a String>,
        priority: Priority,
    ) -> Result<(), Problem> {
        let max_length = self.models.encoder.model().config.max_length;
        let min_tokens = texts.map(|text| (text.len() / MAX_BYTES_PER_TOKEN).clamp(1, max_length)).sum();
        admit(&self.shared, &self.limits, min_tokens, priority).map(drop)
    }

    /// Refuses pairs of a query and each of the texts that cannot fit into the queue, like
    /// [`EncodeQueue::check_capacity`].
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full.
    pub fn check_pairs_capacity(
        &self,
        reranker: &Reranker,
        query: &str,
        texts: &[String],
    ) -> Result<(), Problem> {
        let max_length = reranker.model().max_input_length();
        let tokens = |text: &String| ((query.len() + text.len()) / MAX_BYTES_PER_TOKEN).clamp(1, max_length);
        admit(&self.shared, &self.limits, texts.iter().map(tokens).sum(), Priority::Bulk).map(drop)
    }

    /// Tokenizes texts.
    ///
    /// # Errors
    /// Returns 422 if the model cannot encode one of the texts.
    pub async fn tokenize(
        &self,
        texts: Vec<String>,
        options: EncodeOptions,
    ) -> Result<Vec<Tokenized>, Problem> {
        let started = Instant::now();
        let (is_single, bytes) = (texts.len() == 1, texts.iter().map(String::len).sum::<usize>());
        let encoder = Arc::clone(&self.models.encoder);
        let tokenize = move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok::<_, crate::Error>(encoder.tokenize(&texts, &options)?)
        };
        let tokenized = match (is_single, bytes) {
            (_, ..=MAX_INLINE_BYTES) => tokenize()?,
            (true, _) => super::blocking(tokenize).await?,
            (false, _) => self.tokenize_with(tokenize).await?,
        };
        record(Stage::Tokenize, started.elapsed());
        Ok(tokenized)
    }

    /// Encodes texts that are already tokenized. Returns the embeddings in the order of the texts.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full.
    pub async fn embed(&self, texts: Vec<Tokenized>, priority: Priority) -> Result<Vec<Embedding>, Problem> {
        let outputs = self.run(QueuedModel::Encoder, texts, priority).await?;
        Ok(outputs.into_iter().filter_map(Output::into_embedding).collect())
    }

    /// Runs a model on texts. Returns an output for each text, in order.
    async fn run(
        &self,
        model: QueuedModel,
        texts: Vec<Tokenized>,
        priority: Priority,
    ) -> Result<Vec<Output>, Problem> {
        let started = Instant::now();
        let (request, mut results, mut outputs) = new_request(model, texts);
        let state = admit(&self.shared, &self.limits, request.tokens(), priority)?;
        self.shared.push(state, request, priority);
        while let Some(result) = results.recv().await {
            outputs.add(result).map_err(Problem::internal)?;
        }
        record(Stage::Queue, started.elapsed().saturating_sub(outputs.took));
        record(Stage::Encode, outputs.took);
        outputs.complete().map_err(Problem::internal)
    }

    /// Tokenizes the pairs of a query and each document for the cross-encoder.
    ///
    /// # Errors
    /// Returns 422 if the cross-encoder cannot read one of the documents.
    pub async fn tokenize_pairs(
        &self,
        reranker: &Arc<Reranker>,
        query: String,
        documents: Vec<String>,
    ) -> Result<Vec<Tokenized>, Problem> {
        let reranker = Arc::clone(reranker);
        self.tokenize_with(move || {
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            Ok(reranker.tokenize(&query, &documents)?)
        })
        .await
    }

    /// Scores tokenized pairs with the cross-encoder, with bulk priority. Returns the scores in the order of the pairs.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full.
    pub async fn score(&self, pairs: Vec<Tokenized>) -> Result<Vec<PairScore>, Problem> {
        let outputs = self.run(QueuedModel::Reranker, pairs, Priority::Bulk).await?;
        Ok(outputs.into_iter().filter_map(Output::into_score).collect())
    }

    /// Computes the sparse vectors of texts, which are encoded as documents.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full, and 422 if the model cannot read one of the texts.
    pub async fn sparse(
        &self,
        encoder: &Arc<SparseEncoder>,
        texts: Vec<String>,
    ) -> Result<Vec<SparseVector>, Problem> {
        let (encoder, priority) = (Arc::clone(encoder), Priority::of(texts.len()));
        self.check_capacity(texts.iter(), priority)?;
        let tokenized = self
            .tokenize_with(move || {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                Ok(encoder.tokenize(&texts, InputType::Document)?)
            })
            .await?;
        let outputs = self.run(QueuedModel::Sparse, tokenized, priority).await?;
        Ok(outputs.into_iter().filter_map(Output::into_sparse).collect())
    }

    /// The sparse encoder, if the server has one.
    pub fn sparse_encoder(&self) -> Option<&Arc<SparseEncoder>> {
        self.models.sparse.as_ref()
    }

    /// Scores a query with each document, with bulk priority. Returns a score for each document, in order; `None` for a
    /// document that the cross-encoder cannot read.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full, and 422 if the cross-encoder can read none of the documents.
    pub async fn score_readable(
        &self,
        reranker: &Arc<Reranker>,
        query: String,
        documents: Vec<String>,
    ) -> Result<Vec<Option<PairScore>>, Problem> {
        let reranker = Arc::clone(reranker);
        let tokenized = super::blocking(move || {
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            Ok(reranker.tokenize_readable(&query, &documents)?)
        })
        .await?;
        let readable: Vec<bool> = tokenized.iter().map(Option::is_some).collect();
        let mut scores = self.score(tokenized.into_iter().flatten().collect()).await?.into_iter();
        Ok(readable.into_iter().map(|is_readable| if is_readable { scores.next() } else { None }).collect())
    }

    /// Encodes texts with bulk priority. Returns a vector for each text, in the order of the texts; `None` for a text
    /// that the model cannot encode.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if the queue is full.
    pub async fn vectors_of_readable(
        &self,
        texts: Vec<String>,
        options: EncodeOptions,
    ) -> Result<Vec<Option<Vec<f32>>>, Problem> {
        let count = texts.len();
        let encoder = Arc::clone(&self.models.encoder);
        let tokenize = move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok(encode_readable(&texts, |texts| encoder.tokenize(texts, &options))?)
        };
        let tokenized = self.tokenize_with(tokenize).await?.into_iter().enumerate();
        let readable = tokenized.filter_map(|(index, text)| Some((index, text.ok()?)));
        let (indices, tokenized): (Vec<usize>, Vec<Tokenized>) = readable.unzip();
        let mut vectors = vec![None; count];
        let embeddings = self.embed(tokenized, Priority::Bulk).await?;
        for (index, embedding) in indices.into_iter().zip(embeddings) {
            vectors[index] = Some(embedding.vector);
        }
        Ok(vectors)
    }

    /// Encodes texts of papers that are being written, with bulk priority, and blocks until they are encoded. Never
    /// refuses the texts, because the papers were already accepted.
    pub fn encode_accepted(&self, texts: &[&str]) -> likewise_encoder::Result<Vec<Embedding>> {
        let encoder = &self.models.encoder;
        let tokenized = encoder.tokenize(texts, &encoder.encode_options(InputType::Document))?;
        let (request, mut results, mut outputs) = new_request(QueuedModel::Encoder, tokenized);
        self.shared.push(self.shared.lock(), request, Priority::Bulk);
        while let Some(result) = results.blocking_recv() {
            outputs.add(result).map_err(likewise_encoder::Error::Model)?;
        }
        let outputs = outputs.complete().map_err(|message| likewise_encoder::Error::Model(message.into()))?;
        Ok(outputs.into_iter().filter_map(Output::into_embedding).collect())
    }

    /// Returns the number of tokens that wait to be encoded.
    pub fn waiting_tokens(&self) -> usize {
        let state = self.shared.lock();
        state.interactive.tokens + state.bulk.tokens
    }
}

/// Returns a request for the queue, the channel that receives the request's results, and the empty collection for these
/// results.
fn new_request(
    model: QueuedModel,
    texts: Vec<Tokenized>,
) -> (QueuedRequest, mpsc::UnboundedReceiver<TextResult>, CollectedOutputs) {
    let (reply, results) = mpsc::unbounded_channel();
    let outputs = CollectedOutputs { outputs: vec![None; texts.len()], took: Duration::ZERO };
    (QueuedRequest { model, texts: texts.into_iter().enumerate().collect(), reply }, results, outputs)
}

/// The outputs that have arrived so far for the texts of a request.
struct CollectedOutputs {
    /// The output for each text, by the text's index. `None`: the model has not run on the text yet.
    outputs: Vec<Option<Output>>,
    /// Time that the last batch took.
    took: Duration,
}

impl CollectedOutputs {
    fn add(&mut self, TextResult { index, output, took }: TextResult) -> Result<(), String> {
        self.outputs[index] = Some(output?);
        self.took = took;
        Ok(())
    }

    /// Returns all outputs, or an error message if some are missing.
    fn complete(self) -> Result<Vec<Output>, &'static str> {
        let outputs: Option<Vec<Output>> = self.outputs.into_iter().collect();
        outputs.ok_or("the encoder's thread dropped some texts")
    }
}

/// Locks the queues if a request of `tokens` tokens fits into the queue of its priority.
///
/// # Errors
/// Returns [`Problem::busy`] if the queue of this priority is full.
fn admit<'a>(
    shared: &'a QueueShared,
    limits: &QueueLimits,
    tokens: usize,
    priority: Priority,
) -> Result<MutexGuard<'a, QueueState>, Problem> {
    let mut state = shared.lock();
    let is_overloaded = state.last_refusal.is_some_and(|refusal| refusal.elapsed() < OVERLOAD_PERIOD);
    let (limit, option) = match priority {
        Priority::Interactive if is_overloaded => (limits.overloaded, "--queue-tokens-overloaded"),
        Priority::Interactive => (limits.interactive, "--queue-tokens"),
        Priority::Bulk => (limits.bulk, "--queue-tokens-bulk"),
    };
    let queue = state.queue(priority);
    let queued = queue.tokens;
    // An empty queue accepts a request of any size; otherwise a request that is larger than the limit could never be
    // encoded.
    if queue.requests.is_empty() || queued + tokens <= limit {
        return Ok(state);
    }
    if priority == Priority::Interactive {
        state.last_refusal = Some(Instant::now());
    }
    Err(Problem::busy(format!("{queued} tokens wait to be encoded, and at most {limit} can wait ({option})")))
}

/// A text of a batch.
struct BatchItem {
    model: QueuedModel,
    /// Index of the text in its request.
    index: usize,
    text: Tokenized,
    reply: mpsc::UnboundedSender<TextResult>,
}

/// Waits until texts are queued, then removes from the queues the texts that fit into a batch, at least one text.
/// `None`: the queues are closed and empty.
fn take_batch(shared: &QueueShared, batch_tokens: usize) -> Option<Vec<BatchItem>> {
    let mut state = shared.lock();
    loop {
        let batch = state.take(batch_tokens);
        if !batch.is_empty() {
            return Some(batch);
        }
        if state.closed {
            return None;
        }
        state = shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

impl QueueState {
    fn queue(&mut self, priority: Priority) -> &mut RequestQueue {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }

    /// Removes the texts of the next batch from the queues, interactive texts first. Requests whose clients have
    /// disconnected are dropped. Empty: nothing waits.
    fn take(&mut self, batch_tokens: usize) -> Vec<BatchItem> {
        self.interactive.drop_disconnected();
        self.bulk.drop_disconnected();
        let mut batch = Vec::new();
        let Some(model) = self.next_model() else { return batch };
        let mut capacity = batch_tokens;
        self.interactive.take(model, &mut capacity, &mut batch);
        self.bulk.take(model, &mut capacity, &mut batch);
        batch
    }

    /// The model that the next batch is for. Interactive requests go first, but a bulk request for another model waits
    /// for one such batch only: otherwise constant interactive requests would keep it waiting forever.
    fn next_model(&mut self) -> Option<QueuedModel> {
        let bulk = self.bulk.requests.front().map(|request| request.model);
        let Some(interactive) = self.interactive.requests.front().map(|request| request.model) else {
            self.passed_over = false;
            return bulk;
        };
        let mut models = self.bulk.requests.iter().map(|request| request.model);
        let other = models.find(|model| *model != interactive);
        let has_turn = other.filter(|_| self.passed_over);
        self.passed_over = other.is_some() && has_turn.is_none();
        has_turn.or(Some(interactive))
    }
}

impl RequestQueue {
    fn push(&mut self, request: QueuedRequest) {
        self.tokens += request.tokens();
        self.requests.push_back(request);
    }

    fn drop_disconnected(&mut self) {
        self.requests.retain(|request| {
            let is_open = !request.reply.is_closed();
            if !is_open {
                self.tokens -= request.tokens();
            }
            is_open
        });
    }

    /// Moves texts for `model` into the batch while they fit into `capacity` tokens. If only some texts of a request
    /// fit, the request is moved to the end of the queue.
    fn take(&mut self, model: QueuedModel, capacity: &mut usize, batch: &mut Vec<BatchItem>) {
        let mut position = 0;
        while let Some(request) = self.requests.get_mut(position) {
            if request.model != model {
                position += 1;
                continue;
            }
            let count = request.texts.len();
            while let Some((_, next)) = request.texts.front() {
                let tokens = next.ids.len();
                // A text that is longer than a batch becomes a batch of its own.
                if tokens > *capacity && !batch.is_empty() {
                    break;
                }
                *capacity = capacity.saturating_sub(tokens);
                self.tokens -= tokens;
                let (index, text) = request.texts.pop_front().expect("front() returned a text");
                batch.push(BatchItem { model, index, text, reply: request.reply.clone() });
            }
            let left = request.texts.len();
            // A request with no text in this batch stays ahead of later requests.
            if left == count && left > 0 {
                return;
            }
            let request = self.requests.remove(position);
            if left > 0 {
                return self.requests.extend(request);
            }
        }
    }
}

/// Runs a model on a batch, whose texts are all for the same model, and sends each text's result to its request.
fn run_batch(models: &QueueModels, batch: Vec<BatchItem>, observer: &BatchObserver) {
    let Some(model) = batch.first().map(|item| item.model) else { return };
    let started = Instant::now();
    let tokens = batch.iter().map(|item| item.text.ids.len()).sum();
    let texts = batch.iter().map(|item| item.text.clone()).collect();
    let result = models.run(model, texts);
    let took = started.elapsed();
    match result {
        Ok(outputs) => {
            for (BatchItem { index, reply, .. }, output) in batch.into_iter().zip(outputs) {
                // Sending fails if the client has disconnected, which is fine.
                let _ = reply.send(TextResult { index, output: Ok(output), took });
            }
        }
        // Run the model on each text alone, so that one bad text does not make the other texts fail.
        Err(_) => {
            for BatchItem { index, text, reply, .. } in batch {
                let output = models.run(model, vec![text]).map(|mut outputs| outputs.remove(0));
                let _ = reply.send(TextResult { index, output, took });
            }
        }
    }
    observer(&BatchStats { tokens, took });
}

#[cfg(test)]
mod tests {
    use super::*;

    type Results = mpsc::UnboundedReceiver<TextResult>;

    /// Returns a request for texts of these lengths in tokens. Its token ids are all `name`.
    fn request(name: u32, lengths: &[usize]) -> (QueuedRequest, Results) {
        let (reply, results) = mpsc::unbounded_channel();
        let text = |length: &usize| Tokenized {
            ids: vec![name; *length],
            truncated: false,
            input_type: InputType::Document,
            second_text: *length,
            attended: *length,
        };
        let texts = lengths.iter().map(text).enumerate().collect();
        (QueuedRequest { model: QueuedModel::Encoder, texts, reply }, results)
    }

    fn push(queue: &mut RequestQueue, name: u32, lengths: &[usize]) -> Results {
        let (request, results) = request(name, lengths);
        queue.push(request);
        results
    }

    /// Takes a batch and returns the request's name and the index of each of its texts.
    fn taken(state: &mut QueueState, tokens: usize) -> Vec<(u32, usize)> {
        state.take(tokens).iter().map(|item| (item.text.ids[0], item.index)).collect()
    }

    #[test]
    fn interactive_texts_go_first_and_disconnected_requests_are_dropped() {
        let mut state = QueueState::default();
        let _bulk = push(&mut state.bulk, 1, &[5]);
        drop(push(&mut state.interactive, 2, &[5]));
        let _first = push(&mut state.interactive, 3, &[5]);
        assert_eq!(taken(&mut state, 100), [(3, 0), (1, 0)]);
        assert_eq!((state.interactive.tokens, state.bulk.tokens), (0, 0));
    }

    #[test]
    fn a_large_request_alternates_with_others() {
        let mut state = QueueState::default();
        let _large = push(&mut state.bulk, 1, &[4, 4, 4, 4, 4]);
        let _other = push(&mut state.bulk, 2, &[4, 4]);
        assert_eq!(taken(&mut state, 8), [(1, 0), (1, 1)]);
        assert_eq!(taken(&mut state, 9), [(2, 0), (2, 1)]);
        let _query = push(&mut state.interactive, 3, &[4]);
        assert_eq!(taken(&mut state, 8), [(3, 0), (1, 2)]);
        assert_eq!(state.bulk.tokens, 8);
        assert_eq!(taken(&mut state, 100), [(1, 3), (1, 4)]);
        assert!(taken(&mut state, 100).is_empty());
    }

    fn push_pairs(queue: &mut RequestQueue, name: u32, lengths: &[usize]) -> Results {
        let (mut pairs, scores) = request(name, lengths);
        pairs.model = QueuedModel::Reranker;
        queue.push(pairs);
        scores
    }

    #[test]
    fn a_batch_is_for_one_model() {
        let mut state = QueueState::default();
        let _first = push(&mut state.bulk, 1, &[4]);
        let _scores = push_pairs(&mut state.bulk, 2, &[4, 4]);
        let _last = push(&mut state.bulk, 3, &[4]);
        assert_eq!(taken(&mut state, 100), [(1, 0), (3, 0)]);
        let _query = push(&mut state.interactive, 4, &[4]);
        assert_eq!(taken(&mut state, 100), [(4, 0)], "a question goes first");
        assert_eq!(taken(&mut state, 100), [(2, 0), (2, 1)]);
        assert_eq!(state.bulk.tokens, 0);
    }

    #[test]
    fn constant_questions_do_not_keep_requests_for_another_model_waiting() {
        let mut state = QueueState::default();
        let _scores = push_pairs(&mut state.bulk, 1, &[4, 4, 4]);
        let _bulk = push(&mut state.bulk, 2, &[4]);
        let mut names = Vec::new();
        let mut replies = Vec::new();
        for question in 10..16 {
            replies.push(push(&mut state.interactive, question, &[4]));
            replies.push(push(&mut state.interactive, question, &[4]));
            names.extend(taken(&mut state, 8).into_iter().map(|(name, _)| name));
        }
        assert_eq!(names, [10, 10, 1, 1, 11, 11, 1, 12, 12, 13, 13]);
        assert!(replies.len() == 12 && state.bulk.tokens == 4);
    }

    #[test]
    fn a_text_longer_than_a_batch_is_a_batch_of_its_own() {
        let mut state = QueueState::default();
        let _results = push(&mut state.bulk, 1, &[50, 1]);
        assert_eq!(taken(&mut state, 10), [(1, 0)]);
        assert_eq!(taken(&mut state, 10), [(1, 1)]);
    }

    #[test]
    fn a_burst_is_queued_and_after_a_refusal_the_queue_is_kept_short() {
        let shared = Arc::new(QueueShared {
            state: Mutex::default(),
            arrived: Condvar::new(),
            observer: Box::new(|_| {}),
        });
        let limits = QueueLimits { interactive: 40, overloaded: 10, bulk: 10, batch: 20 };
        let push = |name, length, priority| {
            let (request, results) = request(name, &[length]);
            admit(&shared, &limits, request.tokens(), priority)
                .map(|state| shared.push(state, request, priority))
                .map(|()| results)
                .map_err(|problem| problem.status.as_u16())
        };
        let mut kept = vec![push(1, 100, Priority::Bulk).unwrap()];
        assert_eq!(push(2, 1, Priority::Bulk).unwrap_err(), 429);
        kept.extend((0..4).map(|name| push(name, 10, Priority::Interactive).unwrap()));
        assert_eq!(push(9, 1, Priority::Interactive).unwrap_err(), 429, "full");
        take_batch(&shared, 20).unwrap();
        assert_eq!(push(9, 1, Priority::Interactive).unwrap_err(), 429, "overloaded");
        take_batch(&shared, 20).unwrap();
        kept.push(push(9, 1, Priority::Interactive).unwrap());
        shared.lock().last_refusal = Instant::now().checked_sub(OVERLOAD_PERIOD);
        kept.extend((0..3).map(|name| push(name, 10, Priority::Interactive).unwrap()));
        while !shared.lock().take(1000).is_empty() {}
        shared.lock().closed = true;
        assert!(take_batch(&shared, 20).is_none());
    }
}
