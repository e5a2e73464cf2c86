//! An open library with the queues into it. The handlers of all APIs use it.
//!
//! A request uses the same service from its beginning to its end, even if the server switches to another library
//! meanwhile.

use super::metrics::{CacheLookup, Metrics};
use super::options::{LARGE_HIT_COST, RERANK_COST, SUB_QUERY_COST, ServerOptions};
use super::problem::Problem;
use super::queue::{EncodeQueue, Priority};
use super::queued_model::QueueModels;
use super::searches::{SearchLocation, Searches};
use super::writes::Writes;
use crate::search::{Above, AboveQuery, Answer, Hit, Library, Query, RerankInput};
use crate::store::text::{TextHash, text_of_query};
use hashlink::LruCache;
use likewise_encoder::model::InputType;
use likewise_encoder::{Embedding, EncodeOptions, SparseEncoder};
use likewise_papers::{Paper, PaperId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Number of query texts whose embeddings are cached, because requests for further pages of results repeat the text.
const EMBEDDING_CACHE_SIZE: usize = 4096;

/// Maximum number of batches of queries that run at once; further batches wait.
const MAX_CONCURRENT_BATCHES: usize = 2;

/// Maximum number of answers that are streamed at once. Each keeps a list of its papers in memory.
const MAX_STREAMS: usize = 8;

/// An open library with the queues into it.
pub struct Service {
    /// The library.
    pub library: Arc<Library>,
    /// Queue of texts for the encoder.
    pub queue: EncodeQueue,
    /// Limits of concurrent searches.
    pub searches: Searches,
    /// Queue of writes for the writer thread.
    pub writes: Writes,
    metrics: Arc<Metrics>,
    /// Embeddings of query texts, by the texts' hashes, so that no texts are kept.
    embedding_cache: Mutex<LruCache<TextHash, Embedding>>,
    max_text_bytes: usize,
    max_batch: usize,
    max_k: usize,
    max_hits: usize,
    /// Limits concurrent batches of queries, because all hits of a batch are in memory until it is complete.
    batches: Semaphore,
    /// Limits streamed answers.
    streams: Arc<Semaphore>,
}

impl Service {
    /// Starts the queues of a library.
    pub fn start(
        library: Arc<Library>,
        sparse: Option<Arc<SparseEncoder>>,
        options: &ServerOptions,
        metrics: &Arc<Metrics>,
    ) -> Service {
        let batch_metrics = Arc::clone(metrics);
        let observer = Box::new(move |batch: &_| batch_metrics.record_batch(batch));
        let models = QueueModels {
            encoder: Arc::clone(library.encoder()),
            reranker: library.reranker().cloned(),
            sparse,
        };
        let queue = EncodeQueue::start(models, options.queue, observer);
        let location =
            if library.folder().is_some() { SearchLocation::Local } else { SearchLocation::Remote };
        Service {
            writes: Writes::start(Arc::clone(&library), queue.clone()),
            searches: Searches::new(options.max_searches, location),
            metrics: Arc::clone(metrics),
            embedding_cache: Mutex::new(LruCache::new(EMBEDDING_CACHE_SIZE)),
            max_text_bytes: options.max_text_bytes,
            max_batch: options.max_batch,
            max_k: options.max_k,
            max_hits: options.max_hits,
            batches: Semaphore::new(MAX_CONCURRENT_BATCHES),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            library,
            queue,
        }
    }

    /// Returns the model's name.
    pub fn model(&self) -> &str {
        &self.library.encoder().model().name
    }

    /// Runs a query: encodes its texts, then searches.
    ///
    /// # Errors
    /// Returns 422 if the query is invalid, 404 if one of its papers is not in the library, 429 if a queue is full, and
    /// 503 if the search engine that holds the papers cannot be reached.
    pub async fn search(&self, query: Query) -> Result<Answer, Problem> {
        self.check_k(&query)?;
        self.search_for_page(query).await
    }

    /// Like [`Service::search`], but without the limit on `k` that `--max-k` sets. That limit applies to API clients,
    /// not to the server's own pages.
    pub async fn search_for_page(&self, query: Query) -> Result<Answer, Problem> {
        self.check(&query)?;
        let embeddings = self.embeddings_of(std::slice::from_ref(&query)).await?.remove(0);
        self.search_encoded(query, embeddings).await
    }

    async fn search_encoded(&self, query: Query, embeddings: Vec<Embedding>) -> Result<Answer, Problem> {
        if query.is_reranked() {
            return self.rerank_search(query, embeddings).await;
        }
        self.searches.search(&self.library, query, embeddings).await
    }

    /// Runs a query with `rerank` or `rerank_sentences`: retrieves candidates, runs a model on them, and ranks the
    /// candidates again. Holds no search permit while the model runs. If the client disconnects, texts that wait for the
    /// model are dropped.
    async fn rerank_search(&self, query: Query, embeddings: Vec<Embedding>) -> Result<Answer, Problem> {
        let _permit = self.searches.rerank_permit()?;
        let (library, query) = (Arc::clone(&self.library), Arc::new(query));
        let first_query = Arc::clone(&query);
        let retrieve = move || library.retrieve(&first_query, embeddings);
        let retrieved = self.searches.run(retrieve).await?;
        let input = match self.library.reranker() {
            Some(reranker) if query.rerank.is_some() => {
                let mut scores = Vec::new();
                for pairs in retrieved.pairs(&query) {
                    scores.push(self.queue.score_readable(reranker, pairs.query, pairs.documents).await?);
                }
                RerankInput::Scores(scores)
            }
            _ => {
                let sentences = retrieved.sentences().into_iter().map(String::from).collect();
                let options = self.library.encoder().encode_options(InputType::Document);
                RerankInput::Sentences(self.queue.vectors_of_readable(sentences, options).await?)
            }
        };
        let library = Arc::clone(&self.library);
        self.searches.run(move || library.finish(&query, retrieved, input)).await
    }

    /// Adds explanations to the first 100 hits of a query.
    pub async fn explain(&self, query: Query, mut hits: Vec<Hit>) -> Result<Vec<Hit>, Problem> {
        let embeddings = self.embeddings_of(std::slice::from_ref(&query)).await?.remove(0);
        let library = Arc::clone(&self.library);
        let explain = move || library.explain(&query, embeddings, &mut hits).map(|()| hits);
        self.searches.run(explain).await
    }

    /// Runs several queries, whose texts are encoded together. Returns a result for each query, in order.
    ///
    /// # Errors
    /// Returns 422 if a query is invalid, and 429 if the queue into the encoder is full. If a single search fails, its
    /// error is in the returned list.
    pub async fn search_all(&self, queries: Vec<Query>) -> Result<Vec<Result<Answer, Problem>>, Problem> {
        for (index, query) in queries.iter().enumerate() {
            self.check_k(query)
                .and_then(|()| self.check(query))
                .map_err(|problem| problem.in_query(index))?;
        }
        let embeddings = self.embeddings_of(&queries).await?;
        let mut answers = Vec::with_capacity(queries.len());
        for (query, embeddings) in queries.into_iter().zip(embeddings) {
            answers.push(self.search_encoded(query, embeddings).await);
        }
        Ok(answers)
    }

    /// Encodes the texts of a request's field. Error messages name the field and, if the field has several texts, the
    /// index of the text.
    pub async fn embed_field(
        &self,
        field: &str,
        texts: Vec<String>,
        options: EncodeOptions,
    ) -> Result<Vec<Embedding>, Problem> {
        let count = texts.len();
        let embedded = self.embed_as(texts, options).await;
        embedded.map_err(|problem| problem.with_text_name(|index| text_name(field, index, count)))
    }

    /// Encodes texts with the default options for their type.
    async fn embed(&self, texts: Vec<String>, input_type: InputType) -> Result<Vec<Embedding>, Problem> {
        self.embed_as(texts, self.library.encoder().encode_options(input_type)).await
    }

    /// Encodes texts.
    async fn embed_as(&self, texts: Vec<String>, options: EncodeOptions) -> Result<Vec<Embedding>, Problem> {
        let priority = Priority::of(texts.len());
        self.queue.encode(texts, options, priority).await
    }

    /// Returns the options for texts with the prompt `prompt_name`. With `query`, texts are encoded as queries; with
    /// any other prompt, as documents. `None` or empty: texts are encoded as documents, with the default prompt.
    ///
    /// # Errors
    /// Returns 422 if the model has no such prompt; the message lists the model's prompts.
    pub fn encode_options(&self, prompt_name: Option<&str>) -> Result<EncodeOptions, Problem> {
        let encoder = self.library.encoder();
        let Some(name) = prompt_name.filter(|name| !name.is_empty()) else {
            return Ok(encoder.encode_options(InputType::Document));
        };
        let input_type = if name == "query" { InputType::Query } else { InputType::Document };
        let prompt = encoder.model().prompt_named(name);
        let prompt = prompt.map_err(|error| Problem::invalid(format!("prompt_name: {error}")))?.to_string();
        Ok(EncodeOptions { prompt, ..encoder.encode_options(input_type) })
    }

    /// Returns the vectors of papers, in the order of the papers. `None`: the paper has no vector, or was deleted.
    pub async fn vectors(&self, papers: &[Paper]) -> Result<Vec<Option<Vec<f32>>>, Problem> {
        let library = Arc::clone(&self.library);
        let ids: Vec<PaperId> = papers.iter().map(|paper| paper.id.clone()).collect();
        self.searches.run(move || library.vectors(&ids)).await
    }

    /// Returns the embeddings of each query's texts. Embeddings that are in the cache are not computed again.
    async fn embeddings_of(&self, queries: &[Query]) -> Result<Vec<Vec<Embedding>>, Problem> {
        let texts = || queries.iter().flat_map(Query::texts);
        let hashes: Vec<TextHash> = texts().map(|text| TextHash::of(text)).collect();
        let mut embeddings: Vec<Option<Embedding>> =
            hashes.iter().map(|hash| self.embedding_cache().get(hash).cloned()).collect();
        for cached in &embeddings {
            let result = if cached.is_some() { CacheLookup::Hit } else { CacheLookup::Miss };
            self.metrics.record_lookup("embedding", result);
        }
        let missing: Vec<usize> =
            (0..embeddings.len()).filter(|index| embeddings[*index].is_none()).collect();
        if !missing.is_empty() {
            let uncached = texts().zip(&embeddings).filter(|(_, cached)| cached.is_none());
            let texts = uncached.map(|(text, _)| text_of_query(text).into_owned()).collect();
            let embedded = self.embed(texts, InputType::Query).await;
            let embedded = embedded.map_err(|problem| with_query_text(problem, queries, &missing))?;
            for (index, embedding) in missing.into_iter().zip(embedded) {
                self.embedding_cache().insert(hashes[index], embedding.clone());
                embeddings[index] = Some(embedding);
            }
        }
        let mut embeddings = embeddings.into_iter().flatten();
        Ok(queries.iter().map(|query| embeddings.by_ref().take(query.texts().count()).collect()).collect())
    }

    fn embedding_cache(&self) -> MutexGuard<'_, LruCache<TextHash, Embedding>> {
        self.embedding_cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_k(&self, query: &Query) -> Result<(), Problem> {
        let (k, max) = (query.k, self.max_k);
        if k > max {
            return Err(Problem::invalid(format!(
                "k must be between 1 and {max} (got {k}); --max-k sets the maximum"
            )));
        }
        Ok(())
    }

    fn check(&self, query: &Query) -> Result<(), Problem> {
        query.check()?;
        query.texts().try_for_each(|text| self.check_text("text", text))
    }

    /// Checks that a text is not too long and not blank. `field` is the text's name in error messages.
    pub fn check_text(&self, field: &str, text: &str) -> Result<(), Problem> {
        let (length, max) = (text.len(), self.max_text_bytes);
        if length > max {
            return Err(Problem::invalid(format!(
                "{field} must be at most {max} bytes (got {length}); --max-text-bytes sets the maximum"
            )));
        }
        if text.trim().is_empty() {
            return Err(Problem::invalid(format!("{field} must not be empty or blank")));
        }
        Ok(())
    }

    /// Checks that a list of texts is neither empty nor too long, and checks each text. The message names the text that
    /// is wrong.
    pub fn check_texts(&self, field: &str, texts: &[String]) -> Result<(), Problem> {
        self.check_count(field, texts.len())?;
        let mut numbered = texts.iter().enumerate();
        numbered.try_for_each(|(index, text)| self.check_text(&text_name(field, index, texts.len()), text))
    }

    /// Returns `default` as the number of hits, or the value of `--max-k` if that is smaller.
    pub fn default_k(&self, default: usize) -> usize {
        default.min(self.max_k)
    }

    /// Waits for a permit to run a batch of queries. `hits` is the number of hits of all queries together, counted as
    /// for [`ServerOptions::max_hits`].
    ///
    /// # Errors
    /// Returns 422 if `hits` is over `--max-hits`.
    pub async fn batch_permit(&self, hits: usize) -> Result<SemaphorePermit<'_>, Problem> {
        if hits > self.max_hits {
            let max = self.max_hits;
            return Err(Problem::invalid(format!(
                "queries must have a total k of at most {max} (got {hits}); --max-hits sets the maximum; embeddings or \
                 explanations multiply a query's k by {LARGE_HIT_COST}, rerank or rerank_sentences adds {RERANK_COST}, and each \
                 example or cluster after the first that is searched for separately adds {SUB_QUERY_COST}; \
                 send fewer queries at once"
            )));
        }
        self.batches.acquire().await.map_err(Problem::internal)
    }

    /// Returns a permit to stream an answer, which must be held until the answer is sent.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if all permits are taken.
    pub fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Problem::busy(format!("{MAX_STREAMS} answers with above are being sent, which is the maximum"))
        })
    }

    /// Finds all papers above a score. The caller must have checked the query's texts.
    ///
    /// # Errors
    /// Returns the errors of [`Service::search`].
    pub async fn above(&self, query: AboveQuery) -> Result<Above, Problem> {
        query.check()?;
        let embeddings = self.embeddings_of(std::slice::from_ref(query.as_query())).await?.remove(0);
        let library = Arc::clone(&self.library);
        self.searches.run(move || library.above_encoded(&query, embeddings)).await
    }

    /// Checks that a list has between 1 and `--max-batch` items. `field` is the list's name in error messages.
    pub fn check_count(&self, field: &str, count: usize) -> Result<(), Problem> {
        let max = self.max_batch;
        match count {
            0 => Err(Problem::invalid(format!("{field} must have at least one item (got an empty list)"))),
            count if count > max => Err(Problem::invalid(format!(
                "{field} must have at most {max} items (got {count}); --max-batch sets the maximum"
            ))),
            _ => Ok(()),
        }
    }
}

/// Returns the name of a text in error messages: the name of the text's field and, if the field has several texts, an
/// index.
pub fn text_name(field: &str, index: usize, count: usize) -> String {
    if count == 1 { field.into() } else { format!("{field}[{index}]") }
}

/// Number of characters of a text that an error message quotes to identify it.
const EXCERPT_CHARS: usize = 40;

/// Names the wrong text in the message of a problem: by the beginning of the text and, if there are several queries, by
/// the index of the text's query. The problem's `text_index` is a position in `encoded`. `encoded` has the indices,
/// among all texts of the queries, of the texts that were encoded.
fn with_query_text(problem: Problem, queries: &[Query], encoded: &[usize]) -> Problem {
    let Some(text_index) = problem.text_index.and_then(|index| encoded.get(index)) else { return problem };
    let mut texts =
        queries.iter().enumerate().flat_map(|(query, of)| of.texts().map(move |text| (query, text)));
    let Some((query, text)) = texts.nth(*text_index) else { return problem };
    let beginning: String = text.chars().take(EXCERPT_CHARS).collect();
    let problem = problem.with_text_name(|_| format!("text {beginning:?}"));
    if queries.len() == 1 { problem } else { problem.in_query(query) }
}
