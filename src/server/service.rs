//! A library that is open, and the ways into it.
//!
//! Its own file because this is what a handler speaks to, whichever API it speaks itself: every one of them answers from
//! the same search, the same queue and the same writer. A request keeps the service that it began with.

use super::metrics::Metrics;
use super::options::{EACH, LARGE, SLOW, ServerOptions};
use super::problem::Problem;
use super::queue::{EncodeQueue, Priority};
use super::searches::Searches;
use super::writes::Writes;
use crate::search::{Answer, Hit, Library, Query};
use crate::store::text::{TextHash, text_of_query};
use hashlink::LruCache;
use likewise_encoder::model::Side;
use likewise_encoder::{Embedding, Reading};
use likewise_papers::{Paper, PaperId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Texts whose vectors are kept: whoever turns a page asks by the same one.
const KEPT_TEXTS: usize = 4096;

/// Requests with many questions that are answered at once; others wait.
const MAX_BATCHES: usize = 2;

/// A library that is open, and the ways into it.
pub struct Service {
    /// What answers.
    pub library: Arc<Library>,
    /// The way to the encoder.
    pub queue: EncodeQueue,
    /// The way to the index.
    pub searches: Searches,
    /// The way into the catalog.
    pub writes: Writes,
    metrics: Arc<Metrics>,
    /// By their hashes, so that nobody's text is kept.
    kept: Mutex<LruCache<TextHash, Embedding>>,
    max_text_bytes: usize,
    max_batch: usize,
    max_k: usize,
    max_hits: usize,
    /// Requests with many questions: their answers are in memory until all are there.
    batches: Semaphore,
}

impl Service {
    /// Opens the ways into a library.
    pub fn start(library: Arc<Library>, options: &ServerOptions, metrics: &Arc<Metrics>) -> Service {
        let watched = Arc::clone(metrics);
        let watch = Box::new(move |batch: &_| watched.encoded(batch));
        let queue = EncodeQueue::start(Arc::clone(library.encoder()), options.queue, watch);
        Service {
            writes: Writes::start(Arc::clone(&library), queue.clone()),
            searches: Searches::new(options.max_searches, library.folder().is_some()),
            metrics: Arc::clone(metrics),
            kept: Mutex::new(LruCache::new(KEPT_TEXTS)),
            max_text_bytes: options.max_text_bytes,
            max_batch: options.max_batch,
            max_k: options.max_k,
            max_hits: options.max_hits,
            batches: Semaphore::new(MAX_BATCHES),
            library,
            queue,
        }
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.library.encoder().model().name
    }

    /// Answers a query: encodes through the queue, then searches.
    pub async fn search(&self, query: Query) -> Result<Answer, Problem> {
        self.check_k(&query)?;
        self.search_for_page(query).await
    }

    /// The same for a page, which asks for so many that it shows, or counts.
    pub async fn search_for_page(&self, query: Query) -> Result<Answer, Problem> {
        self.check(&query)?;
        let embeddings = self.embeddings_of(std::slice::from_ref(&query)).await?.remove(0);
        self.answer(query, embeddings).await
    }

    async fn answer(&self, query: Query, embeddings: Vec<Embedding>) -> Result<Answer, Problem> {
        if query.rescore {
            return self.rescored(query, embeddings).await;
        }
        self.searches.answer(&self.library, query, embeddings).await
    }

    /// Between the two halves of such a search it holds no turn: its sentences wait for the encoder with other texts, and
    /// are dropped if its caller leaves.
    async fn rescored(&self, query: Query, embeddings: Vec<Embedding>) -> Result<Answer, Problem> {
        let _place = self.searches.rescoring()?;
        let (library, query) = (Arc::clone(&self.library), Arc::new(query));
        let asked = Arc::clone(&query);
        let first = move || library.retrieve(&asked, embeddings);
        let retrieved = self.searches.run(first).await?;
        let sentences = retrieved.sentences().into_iter().map(String::from).collect();
        let reading = self.library.encoder().reading(Side::Paper);
        let vectors = self.queue.vectors_of_readable(sentences, reading).await?;
        let library = Arc::clone(&self.library);
        self.searches.run(move || library.finish(&query, retrieved, vectors)).await
    }

    /// Says of hits of a query why they are.
    pub async fn explain(&self, query: Query, mut hits: Vec<Hit>) -> Result<Vec<Hit>, Problem> {
        let embeddings = self.embeddings_of(std::slice::from_ref(&query)).await?.remove(0);
        let library = Arc::clone(&self.library);
        let explain = move || library.explain(&query, embeddings, &mut hits).map(|()| hits);
        self.searches.run(explain).await
    }

    /// Answers many queries, whose texts are encoded together. What becomes of one is its own answer.
    pub async fn search_all(&self, queries: Vec<Query>) -> Result<Vec<Result<Answer, Problem>>, Problem> {
        for (place, query) in queries.iter().enumerate() {
            self.check_k(query).and_then(|()| self.check(query)).map_err(|problem| problem.of(place))?;
        }
        let embeddings = self.embeddings_of(&queries).await?;
        let mut answers = Vec::with_capacity(queries.len());
        for (query, embeddings) in queries.into_iter().zip(embeddings) {
            answers.push(self.answer(query, embeddings).await);
        }
        Ok(answers)
    }

    /// The vectors of texts of a field of a request, read in some way.
    pub async fn embed_field(
        &self,
        field: &str,
        texts: Vec<String>,
        reading: Reading,
    ) -> Result<Vec<Embedding>, Problem> {
        let count = texts.len();
        let embedded = self.embed_as(texts, reading).await;
        embedded.map_err(|problem| problem.of_text(|index| name_of(field, index, count)))
    }

    /// The vectors of texts, one or many.
    async fn embed(&self, texts: Vec<String>, side: Side) -> Result<Vec<Embedding>, Problem> {
        self.embed_as(texts, self.library.encoder().reading(side)).await
    }

    /// The same, read in some way.
    async fn embed_as(&self, texts: Vec<String>, reading: Reading) -> Result<Vec<Embedding>, Problem> {
        let priority = Priority::of(texts.len());
        self.queue.encode(texts, reading, priority).await
    }

    /// How texts are read that come with the name of a prompt, or without one: as papers. The one of queries makes them
    /// queries.
    ///
    /// # Errors
    /// Says which prompts there are.
    pub fn reading(&self, prompt_name: Option<&str>) -> Result<Reading, Problem> {
        let encoder = self.library.encoder();
        let Some(name) = prompt_name.filter(|name| !name.is_empty()) else {
            return Ok(encoder.reading(Side::Paper));
        };
        let side = if name == "query" { Side::Query } else { Side::Paper };
        let prompt = encoder.model().prompt_named(name);
        let prompt = prompt.map_err(|error| Problem::invalid(format!("prompt_name: {error}")))?.to_string();
        Ok(Reading { prompt, ..encoder.reading(side) })
    }

    /// The vectors of papers, in their order; one that was just added, or deleted, has none.
    pub async fn vectors(&self, papers: &[Paper]) -> Result<Vec<Option<Vec<f32>>>, Problem> {
        let library = Arc::clone(&self.library);
        let ids: Vec<PaperId> = papers.iter().map(|paper| paper.id.clone()).collect();
        self.searches.run(move || library.vectors(&ids)).await
    }

    /// The vectors of each query's texts, which may be known from before.
    async fn embeddings_of(&self, queries: &[Query]) -> Result<Vec<Vec<Embedding>>, Problem> {
        let asked = || queries.iter().flat_map(Query::texts);
        let hashes: Vec<TextHash> = asked().map(|text| TextHash::of(text)).collect();
        let mut known: Vec<Option<Embedding>> =
            hashes.iter().map(|hash| self.kept().get(hash).cloned()).collect();
        known.iter().for_each(|known| self.metrics.looked_up("embedding", known.is_some()));
        let places: Vec<usize> = (0..known.len()).filter(|place| known[*place].is_none()).collect();
        if !places.is_empty() {
            let unknown = asked().zip(&known).filter(|(_, known)| known.is_none());
            let texts = unknown.map(|(text, _)| text_of_query(text).into_owned()).collect();
            let embedded = self.embed(texts, Side::Query).await;
            let embedded = embedded.map_err(|problem| of_queries(problem, queries, &places))?;
            for (place, embedding) in places.into_iter().zip(embedded) {
                self.kept().insert(hashes[place], embedding.clone());
                known[place] = Some(embedding);
            }
        }
        let mut embeddings = known.into_iter().flatten();
        Ok(queries.iter().map(|query| embeddings.by_ref().take(query.texts().count()).collect()).collect())
    }

    fn kept(&self) -> MutexGuard<'_, LruCache<TextHash, Embedding>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_k(&self, query: &Query) -> Result<(), Problem> {
        let (got, most) = (query.k, self.max_k);
        if got > most {
            return Err(Problem::invalid(format!("k: got {got}, wanted 1 to {most} (--max-k)")));
        }
        Ok(())
    }

    fn check(&self, query: &Query) -> Result<(), Problem> {
        query.check()?;
        query.texts().try_for_each(|text| self.check_text("text", text))
    }

    /// Refuses texts that are too long, and those with nothing in them.
    pub fn check_text(&self, field: &str, text: &str) -> Result<(), Problem> {
        let (got, most) = (text.len(), self.max_text_bytes);
        if got > most {
            return Err(Problem::invalid(format!(
                "{field}: got {got} bytes, wanted at most {most} (--max-text-bytes)"
            )));
        }
        if text.trim().is_empty() {
            return Err(Problem::invalid(format!("{field}: got an empty text, wanted one with words in it")));
        }
        Ok(())
    }

    /// Refuses lists of texts that are too long or empty, and names the text that is wrong.
    pub fn check_texts(&self, field: &str, texts: &[String]) -> Result<(), Problem> {
        self.check_count(field, texts.len())?;
        let mut numbered = texts.iter().enumerate();
        numbered.try_for_each(|(index, text)| self.check_text(&name_of(field, index, texts.len()), text))
    }

    /// How many hits are wanted, if nobody says: no more than may be.
    pub fn default_k(&self, default: usize) -> usize {
        default.min(self.max_k)
    }

    /// Waits until a request with many questions may be answered.
    ///
    /// # Errors
    /// 422 if they want too many `hits` together.
    pub async fn batch_turn(&self, hits: usize) -> Result<SemaphorePermit<'_>, Problem> {
        if hits > self.max_hits {
            let most = self.max_hits;
            return Err(Problem::invalid(format!(
                "queries: got k of {hits} in all (with embeddings, or explained, times {LARGE}; rescored, {SLOW} more each; {EACH} more for each example or cluster of them that is searched for), wanted at most {most} (--max-hits); ask fewer at once"
            )));
        }
        self.batches.acquire().await.map_err(Problem::internal)
    }

    /// Refuses lists that are too long, and empty ones.
    pub fn check_count(&self, field: &str, got: usize) -> Result<(), Problem> {
        let most = self.max_batch;
        match got {
            0 => Err(Problem::invalid(format!("{field}: got an empty list, wanted at least one"))),
            got if got > most => {
                Err(Problem::invalid(format!("{field}: got {got}, wanted at most {most} (--max-batch)")))
            }
            _ => Ok(()),
        }
    }
}

/// How one of the texts of a field is called.
pub fn name_of(field: &str, index: usize, count: usize) -> String {
    if count == 1 { field.into() } else { format!("{field}[{index}]") }
}

/// Characters of a text by which it is told from others.
const SHOWN_CHARACTERS: usize = 40;

/// What is wrong with one of the texts of queries, of which those at `places` were encoded, with the beginning of that text
/// and, if there are several, the query that has it.
fn of_queries(problem: Problem, queries: &[Query], places: &[usize]) -> Problem {
    let Some(place) = problem.text.and_then(|index| places.get(index)) else { return problem };
    let mut texts =
        queries.iter().enumerate().flat_map(|(query, of)| of.texts().map(move |text| (query, text)));
    let Some((query, text)) = texts.nth(*place) else { return problem };
    let beginning: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let problem = problem.of_text(|_| format!("text {beginning:?}"));
    if queries.len() == 1 { problem } else { problem.of(query) }
}
