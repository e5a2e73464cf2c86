//! A client for the rows of a Milvus collection; no other module calls the SDK.
//!
//! The functions of the client block the calling thread, while a separate runtime waits for the network. The client
//! avoids filter templates, partition keys and `order by`, which Milvus 2.3.5 lacks or implements wrongly. Milvus 2.3.5
//! also cannot read lists that are all empty. The client was tested with Milvus 2.3.5 and milvus-lite 3.2.2. The SDK
//! reads at most 4 MB at once, so large results are read in pages.

mod columns;
mod filter;
mod row;
mod settings;

pub use filter::{and, has_one_of, is_one_of, list_of, quoted};
pub use row::{DayRange, PaperRow, RowKey, StoredRow};
pub use settings::{Consistency, IndexKind, Login, Settings, without_secrets};

use crate::error::{Error, Result};
use columns::{
    ARRAYS, ID, STORED_FIELDS, VECTOR, columns, days, integers, schema, stored_rows, strings, vectors,
};
use milvus::v2::FieldData;
use milvus::v2::error::{Error as SdkError, Result as SdkResult};
use milvus::v2::prelude::*;
use std::collections::HashMap;
use std::future::Future;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::LazyLock;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Maximum number of rows in one answer: a limit of Milvus.
pub const MAX_ROWS: usize = 16_384;

/// Maximum number of bytes in a document: a limit of Milvus for strings.
pub const MAX_DOCUMENT_BYTES: usize = 65_535;

/// Approximate number of bytes in a page of vectors that is read. The SDK reads at most 4 MB, and encoding doubles the
/// size of a page.
const PAGE_BYTES: usize = 1 << 20;

/// Number of documents in a page that is read, and number of rows that one call deletes. If a page is too large for the
/// SDK, each half of it is read separately.
const DOCUMENTS_PER_PAGE: usize = 256;

/// Maximum number of keys that a scan reads at once.
const MAX_SCAN_KEYS: usize = 4096;

/// Maximum number of hits that are read together with their documents.
const MAX_HITS_WITH_DOCUMENTS: usize = 50;

/// Timeout for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout for a call of an ingest, and for the SDK's own calls and retries.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout for a call of a search, or of a write to a server, for which a user waits.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for flushing a collection.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Timeout for a health check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest `ef` that Milvus accepts.
const MAX_EF: usize = 32_768;

/// The runtime that waits for the network. All connections share it, because few connections are open and the calling
/// threads, which block, are not threads of the runtime.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("milvus").enable_all().build()
});

/// An existing collection.
#[derive(Clone)]
pub struct Milvus {
    client: ClientV2,
    settings: Settings,
    dimension: usize,
    /// Time for which failed reads by [`Milvus::query`], upserts and deletions are retried; 0: they are not retried,
    /// except for the few attempts that the SDK makes. Vector searches and flushes are never retried.
    retry_time: Duration,
}

/// The properties of a Milvus collection: the text of each property by the property's name.
pub type Properties = HashMap<String, String>;

impl Milvus {
    /// Opens a collection and reads its properties; `None` if the collection does not exist.
    ///
    /// # Errors
    /// Returns [`Error::Engine`] if the engine cannot be reached or reports an error, [`Error::Data`] if the collection
    /// does not hold papers.
    pub fn open(settings: &Settings) -> Result<Option<(Milvus, Properties)>> {
        let client = connect(settings)?;
        let (name, caller) = (settings.collection.clone(), client.clone());
        let described = wait(settings, async move {
            let request = HasCollectionRequest::builder().collection_name(&name).build()?;
            if !caller.has_collection(request).await?.exists() {
                return Ok(None);
            }
            let request = DescribeCollectionRequest::builder().collection_name(&name).build()?;
            caller.describe_collection(request).await.map(Some)
        })?;
        let Some(described) = described else { return Ok(None) };
        let described = described.description();
        let dimension = described.get_schema().get_fields().iter().find_map(|field| match field.get_name() {
            VECTOR => usize::try_from(field.get_dimension()).ok(),
            _ => None,
        });
        let dimension = dimension.ok_or_else(|| {
            Error::Data(format!(
                "{settings}: the collection does not hold papers; give a collection of papers, or a name that no \
                 collection has"
            ))
        })?;
        let properties = described.get_properties().clone();
        let milvus = Milvus { client, settings: settings.clone(), dimension, retry_time: Duration::ZERO };
        Ok(Some((milvus, properties)))
    }

    /// Creates a collection with some properties.
    ///
    /// # Errors
    /// Returns [`Error::Engine`] if the engine cannot be reached or reports an error.
    pub fn create(settings: &Settings, dimension: usize, properties: Properties) -> Result<Milvus> {
        let client = connect(settings)?;
        let milvus = Milvus { client, settings: settings.clone(), dimension, retry_time: Duration::ZERO };
        let request = CreateCollectionRequest::builder()
            .collection_name(&settings.collection)
            .schema(schema(dimension))
            .num_shards(settings.shards)
            .properties(properties)
            .build();
        let client = milvus.client.clone();
        wait(settings, async move { client.create_collection(request?).await })?;
        milvus.create_index()?;
        Ok(milvus)
    }

    fn create_index(&self) -> Result<()> {
        let (client, index, name) = (self.client.clone(), self.index(), self.settings.collection.clone());
        wait(&self.settings, async move {
            // The client does not wait for the index, because milvus-lite cannot report the progress of indexing.
            let of = |index| {
                CreateIndexRequest::builder().collection_name(&name).index_params(vec![index]).sync(false)
            };
            client.create_index(of(index).build()?).await?;
            // Older servers do not support these indexes, and scan all rows instead.
            for field in ARRAYS.into_iter().chain(["number", "first", "last"]) {
                let index = IndexParam::new().field_name(field).index_type(IndexType::Inverted);
                if let Err(error) = client.create_index(of(index).build()?).await {
                    tracing::debug!("cannot create an index of the field {field}: {error}");
                }
            }
            Ok(())
        })
    }

    /// Loads the collection into the engine's memory, unless it is already loaded.
    pub fn load(&self) -> Result<()> {
        let load = || {
            let (client, replicas) = (self.client.clone(), self.settings.replicas);
            let request = LoadCollectionRequest::builder()
                .collection_name(self.name())
                .replica_number(replicas)
                .build();
            // There is no timeout, because the time for loading grows with the number of papers.
            wait(&self.settings, async move { client.load_collection(request?).await })
        };
        // The process that created the collection may have been killed before it created the index.
        load().or_else(|error| self.create_index().and_then(|()| load()).map_err(|_| error))
    }

    /// Configures the client for writing: its reads include everything that any client has written, and failed reads,
    /// upserts and deletions are retried for `retry_time`. Vector searches and flushes are not retried.
    pub fn for_writing(mut self, retry_time: Duration) -> Milvus {
        self.settings.consistency = Consistency::Strong;
        self.retry_time = retry_time;
        self
    }

    /// The address and options of the collection.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The number of values in a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Checks that the collection answers queries, and returns its properties.
    pub fn check(&self) -> Result<Properties> {
        let client = self.client.clone();
        let request = DescribeCollectionRequest::builder().collection_name(self.name()).build();
        let count = QueryRequest::builder().collection_name(self.name()).output_fields(["count(*)"]);
        let count = count.consistency_level(ConsistencyLevel::Eventually).build();
        let checked = self.wait(async move {
            let check = async {
                let described = client.describe_collection(request?).await?;
                // After a restart, an engine can describe a collection some time before it can query the collection.
                client.query(count?).await?;
                Ok(described.description().get_properties().clone())
            };
            tokio::time::timeout(CHECK_TIMEOUT, check).await.ok().transpose()
        })?;
        let seconds = CHECK_TIMEOUT.as_secs();
        checked.ok_or_else(|| {
            Error::Engine(format!("{}: the server did not answer within {seconds} s", self.settings))
        })
    }

    /// Returns the `k` nearest rows that pass a filter, nearest first; fewer if the index finds fewer. The number of
    /// candidates that the engine examines is the largest of `min_candidates`, the number in the settings, and 1.5
    /// times `k`; see [`Settings::ef`].
    pub fn search(
        &self,
        vector: &[f32],
        k: usize,
        filter: &str,
        min_candidates: usize,
    ) -> Result<Vec<NearestRow>> {
        if k <= MAX_HITS_WITH_DOCUMENTS {
            match self.search_for("document", vector, k, filter, min_candidates) {
                Err(Error::Engine(message)) if message.contains(TOO_LARGE_MESSAGE) => {}
                answer => return answer,
            }
        }
        let mut near = self.search_for(ID, vector, k, filter, min_candidates)?;
        let ids: Vec<String> = near.iter().map(|near| near.id.clone()).collect();
        let mut documents = self.documents(&ids)?;
        near.retain_mut(|near| documents.remove(&near.id).map(|document| near.document = document).is_some());
        Ok(near)
    }

    /// Like [`Milvus::search`], but in one call, which reads only the ids, the scores and `field`. Documents are empty
    /// unless `field` is `document`.
    fn search_for(
        &self,
        field: &str,
        vector: &[f32],
        k: usize,
        filter: &str,
        min_candidates: usize,
    ) -> Result<Vec<NearestRow>> {
        let (client, k) = (self.client.clone(), k.min(MAX_ROWS));
        let request = SearchRequest::builder()
            .collection_name(self.name())
            .vector_field(VECTOR)
            .vectors(SearchVectors::Float(vec![vector.to_vec()]))
            .filter(filter)
            .output_fields([field])
            .limit(k as i64)
            .extra_params(self.search_params(k, min_candidates))
            .consistency_level(self.consistency())
            .build();
        self.wait(async move {
            let answer = client.search(request?).await?;
            let Some(found) = answer.results().iter().next() else { return Ok(Vec::new()) };
            let ids = match found.get_ids() {
                Ids::VarChar(ids) => ids.clone(),
                _ => Vec::new(),
            };
            let mut documents = strings(found.get_output_fields(), "document").into_iter();
            let scored = ids.into_iter().zip(found.get_scores());
            let near = |(id, score): (String, &f32)| NearestRow {
                id,
                score: score.clamp(-1.0, 1.0),
                document: documents.next().unwrap_or_default(),
            };
            Ok(scored.map(near).collect())
        })
    }

    /// Returns the documents of rows by id; ids without a row are left out.
    pub fn documents(&self, ids: &[String]) -> Result<HashMap<String, String>> {
        let mut found = HashMap::with_capacity(ids.len());
        for page in ids.chunks(DOCUMENTS_PER_PAGE) {
            let rows = self.in_halves(page, |ids| self.stored(&is_one_of(ID, ids), ids.len()))?;
            found.extend(rows.into_iter().map(|row| (row.id, row.document)));
        }
        Ok(found)
    }

    /// Returns the vectors of rows by id; ids without a row are left out.
    pub fn vectors(&self, ids: &[String]) -> Result<HashMap<String, Vec<f32>>> {
        let mut found = HashMap::with_capacity(ids.len());
        for page in ids.chunks(self.vectors_per_page()) {
            let rows = self.query(&is_one_of(ID, page), &[ID, VECTOR], Some(page.len()))?;
            found.extend(strings(&rows, ID).into_iter().zip(vectors(&rows)));
        }
        Ok(found)
    }

    /// Returns the rows with the given ids; ids without a row are left out.
    pub fn rows(&self, ids: &[String]) -> Result<Vec<StoredRow>> {
        let mut rows = Vec::with_capacity(ids.len());
        for page in ids.chunks(DOCUMENTS_PER_PAGE) {
            rows.extend(self.in_halves(page, |ids| self.stored(&is_one_of(ID, ids), ids.len()))?);
        }
        Ok(rows)
    }

    /// The ids of at most `limit` rows that pass a filter.
    pub fn ids(&self, filter: &str, limit: usize) -> Result<Vec<String>> {
        self.query(filter, &[ID], Some(limit)).map(|rows| strings(&rows, ID))
    }

    /// A row that passes a filter; `None` if there is none.
    pub fn look_up(&self, filter: &str) -> Result<Option<StoredRow>> {
        Ok(self.stored(filter, 1)?.pop())
    }

    /// A row that passes a filter, and its vector; `None` if there is none.
    pub fn look_up_with_vector(&self, filter: &str) -> Result<Option<(StoredRow, Option<Vec<f32>>)>> {
        let fields = [&STORED_FIELDS[..], &[VECTOR]].concat();
        let rows = self.query(filter, &fields, Some(1))?;
        Ok(stored_rows(&rows).pop().map(|row| (row, vectors(&rows).pop())))
    }

    /// The keys of at most `limit` rows that pass a filter, in no particular order.
    pub fn keys(&self, filter: &str, limit: usize) -> Result<Vec<RowKey>> {
        let rows = self.query(filter, &[ID, "first", "last", "number"], Some(limit))?;
        let order = days(&rows).zip(integers(&rows, "number"));
        let key = |((days, number), id)| RowKey { days, number, id };
        Ok(order.zip(strings(&rows, ID)).map(key).collect())
    }

    /// The number of rows that pass a filter.
    pub fn count(&self, filter: &str) -> Result<usize> {
        let rows = self.query(filter, &["count(*)"], None)?;
        let count = integers(&rows, "count(*)").first().copied().unwrap_or_default();
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Calls `take` with the keys of all rows that pass a filter and have a number of at least `from`, in chunks. The
    /// keys are sorted by number, within each chunk and from one chunk to the next.
    ///
    /// The engine's iterator is not used, because it missed the last rows over two shards of Milvus 2.3.5. Instead,
    /// each chunk is counted first and then read completely.
    pub fn scan(
        &self,
        filter: &str,
        mut from: i64,
        mut take: impl FnMut(Vec<RowKey>) -> Result<()>,
    ) -> Result<()> {
        let mut remaining = self.count(&and(filter, &format!("number >= {from}")))?;
        let mut step = i64::MAX - from;
        while remaining > 0 && from < i64::MAX {
            let to = from.saturating_add(step);
            let within = and(filter, &format!("number >= {from} and number < {to}"));
            let count = self.count(&within)?;
            if count > MAX_SCAN_KEYS && step > 1 {
                step /= 2;
                continue;
            }
            if count > 0 {
                let mut keys = self.keys(&within, count)?;
                keys.sort_unstable_by_key(|key| key.number);
                take(keys)?;
            }
            remaining = remaining.saturating_sub(count);
            from = to;
            if count < MAX_SCAN_KEYS / 4 {
                step = step.saturating_mul(2);
            }
        }
        Ok(())
    }

    /// Writes rows durably; existing rows with the same ids are replaced.
    pub fn upsert(&self, rows: &[PaperRow]) -> Result<()> {
        let size = (4 * PAGE_BYTES / (self.dimension * 4 + 4096)).max(1);
        for rows in rows.chunks(size) {
            let insert = InsertRequest::builder().collection_name(self.name()).columns(columns(rows)).build();
            let insert = insert.map_err(|error| self.invalid_request(&error))?;
            self.with_retries(|| {
                let (client, insert) = (self.client.clone(), insert.clone());
                async move { client.upsert(UpsertRequest::builder().insert(insert).build()?).await.map(drop) }
            })?;
        }
        Ok(())
    }

    /// Deletes rows durably by their ids. The reads of a writer see the deletion at once; the reads of other clients
    /// see it after this function has returned.
    pub fn delete(&self, ids: &[String]) -> Result<()> {
        for ids in ids.chunks(DOCUMENTS_PER_PAGE) {
            let filter = is_one_of(ID, ids);
            self.with_retries(|| {
                let (client, name, filter) = (self.client.clone(), self.name().to_string(), filter.clone());
                async move {
                    let request = DeleteRequest::builder().collection_name(name).filter(filter).build()?;
                    client.delete(request).await.map(drop)
                }
            })?;
            // For a deletion, unlike for an insert, Milvus 2.3.5 returns no timestamp that later reads could wait for.
            // This strongly consistent read waits for the deletion instead.
            self.count(&filter)?;
        }
        Ok(())
    }

    /// Seals the rows written so far into segments, which the engine then indexes.
    pub fn flush(&self) -> Result<()> {
        let flush = || {
            let (client, name) = (self.client.clone(), self.name().to_string());
            let wait = i64::try_from(FLUSH_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
            let request = FlushRequest::builder().collection_names([name]).wait_flushed_ms(wait).build();
            async move { client.flush(request?).await.map(drop) }
        };
        wait(&self.settings, flush())
    }

    /// The number of rows in the vector index. It is limited to `rows`, because the engine also counts replaced rows.
    pub fn indexed(&self, rows: usize) -> Result<usize> {
        let client = self.client.clone();
        let request = DescribeIndexRequest::builder().collection_name(self.name()).field_name(VECTOR).build();
        self.wait(async move {
            let described = client.describe_index(request?).await?;
            let indexed = described.indexes().first().map_or(0, |index| index.get_indexed_rows());
            Ok(usize::try_from(indexed).unwrap_or_default().min(rows))
        })
    }

    fn name(&self) -> &str {
        &self.settings.collection
    }

    fn consistency(&self) -> ConsistencyLevel {
        match self.settings.consistency {
            Consistency::Strong => ConsistencyLevel::Strong,
            Consistency::Session => ConsistencyLevel::Session,
            Consistency::Bounded => ConsistencyLevel::Bounded,
            Consistency::Eventually => ConsistencyLevel::Eventually,
        }
    }

    fn index(&self) -> IndexParam {
        let Settings { kind, m, ef_construction, .. } = self.settings;
        let (kind, params) = match kind {
            IndexKind::Hnsw => (IndexType::Hnsw, vec![("M", m), ("efConstruction", ef_construction)]),
            IndexKind::DiskAnn => (IndexType::DiskAnn, Vec::new()),
            IndexKind::IvfRabitq => (IndexType::IvfRabitq, vec![("nlist", IVF_LISTS)]),
        };
        let params = params.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let index = IndexParam::new().field_name(VECTOR).index_type(kind).metric_type(MetricType::Cosine);
        index.extra_params(params)
    }

    fn search_params(&self, k: usize, min_candidates: usize) -> HashMap<String, String> {
        let ef = min_candidates.max(self.settings.ef).max(k + k / 2).min(MAX_EF);
        let name = match self.settings.kind {
            IndexKind::Hnsw => "ef",
            IndexKind::DiskAnn => "search_list",
            IndexKind::IvfRabitq => "nprobe",
        };
        HashMap::from([(name.to_string(), ef.to_string())])
    }

    /// The number of vectors that one request fetches, so that a response stays within the SDK's limit.
    fn vectors_per_page(&self) -> usize {
        (PAGE_BYTES / (4 * self.dimension)).clamp(16, 1000)
    }

    fn stored(&self, filter: &str, limit: usize) -> Result<Vec<StoredRow>> {
        self.query(filter, &STORED_FIELDS, Some(limit)).map(|rows| stored_rows(&rows))
    }

    /// Reads a page; if the answer is too large, reads each half of it.
    fn in_halves<T>(
        &self,
        ids: &[String],
        read: impl Fn(&[String]) -> Result<Vec<T>> + Copy,
    ) -> Result<Vec<T>> {
        match read(ids) {
            Err(Error::Engine(message)) if message.contains(TOO_LARGE_MESSAGE) && ids.len() > 1 => {
                let (first, second) = ids.split_at(ids.len() / 2);
                let mut all = self.in_halves(first, read)?;
                all.extend(self.in_halves(second, read)?);
                Ok(all)
            }
            answer => answer,
        }
    }

    fn query(&self, filter: &str, fields: &[&str], limit: Option<usize>) -> Result<Vec<FieldData>> {
        let query = QueryRequest::builder().collection_name(self.name()).filter(filter);
        let query = query.consistency_level(self.consistency()).output_fields(fields.iter().copied());
        let query = match limit {
            // Milvus refuses a limit of 0.
            Some(limit) => query.limit(limit.clamp(1, MAX_ROWS) as i64),
            None => query,
        };
        let query = query.build().map_err(|error| self.invalid_request(&error))?;
        self.with_retries(|| {
            let (client, query) = (self.client.clone(), query.clone());
            async move { Ok(client.query(query).await?.results().get_output_fields().to_vec()) }
        })
    }

    fn wait<T: Send + 'static>(
        &self,
        call: impl Future<Output = SdkResult<T>> + Send + 'static,
    ) -> Result<T> {
        let timeout = self.retry_time.clamp(QUERY_TIMEOUT, CALL_TIMEOUT);
        wait(&self.settings, async move {
            match tokio::time::timeout(timeout, call).await {
                Ok(answer) => answer,
                Err(_) => Err(SdkError::Timeout(format!(
                    "the server did not answer within {} s",
                    timeout.as_secs()
                ))),
            }
        })
    }

    /// Makes a call, and retries it with growing pauses if it fails, for the time given to [`Milvus::for_writing`];
    /// without that time, makes the call once.
    fn with_retries<T, F>(&self, call: impl Fn() -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = SdkResult<T>> + Send + 'static,
    {
        let (started, mut pause) = (Instant::now(), Duration::from_millis(100));
        loop {
            match self.wait(call()) {
                // Not retried: the answer would be too large again.
                Err(Error::Engine(message)) if message.contains(TOO_LARGE_MESSAGE) => {
                    return Err(Error::Engine(message));
                }
                Err(error) if started.elapsed() + pause < self.retry_time => {
                    tracing::warn!("{error}; retrying in {:.1} s", pause.as_secs_f64());
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(Duration::from_secs(10));
                }
                done => return done,
            }
        }
    }

    fn invalid_request(&self, error: &SdkError) -> Error {
        Error::Engine(format!("{}: {error}", self.settings))
    }
}

/// A row near to the query vector.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestRow {
    /// See [`PaperRow::id`].
    pub id: String,
    /// The cosine, -1 to 1.
    pub score: f32,
    /// See [`PaperRow::document`].
    pub document: String,
}

/// Number of lists in an IVF index.
const IVF_LISTS: usize = 4096;

/// Part of the SDK's error message for an answer that is larger than the SDK can read.
const TOO_LARGE_MESSAGE: &str = "message length too large";

/// What a user should check when the Milvus server does not answer.
const UNREACHABLE_HINT: &str = "check that the server is running and can be reached from this machine";

/// Probes the port, because the SDK reports an unreachable server as a timeout.
fn probe_port(settings: &Settings) -> Result<()> {
    let unreachable =
        |error: std::io::Error| Error::Engine(format!("{settings}: {error}; {UNREACHABLE_HINT}"));
    let mut connected = Err(std::io::Error::other("no such host"));
    for address in settings.host.to_socket_addrs().map_err(unreachable)? {
        connected = connected.or_else(|_| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map(drop));
    }
    connected.map_err(unreachable)
}

fn connect(settings: &Settings) -> Result<ClientV2> {
    probe_port(settings)?;
    let scheme = if settings.tls { "https" } else { "http" };
    // The SDK makes a few immediate retries. `Milvus::with_retries` makes the longer retries for writes.
    let retry = RetryConfig::new().max_attempts(3).max_retry_timeout(CALL_TIMEOUT);
    let mut config = ConnectConfig::new()
        .uri(format!("{scheme}://{}", settings.host))
        .secure(settings.tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .rpc_timeout(CALL_TIMEOUT)
        .telemetry(TelemetryConfig::new().enabled(false))
        .retry(retry);
    if !settings.database.is_empty() {
        config = config.database(&settings.database);
    }
    config = match &settings.login {
        Login::None => config,
        Login::User(user, password) => config.username(user).password(password),
        Login::Token(token) => config.token(token),
    };
    if let Some(path) = &settings.ca {
        // The file is read here only to check it, because an error of the SDK would not name the file.
        std::fs::read(path).map_err(Error::io(path))?;
        config = config.ca_certificate(path.display().to_string());
    }
    let connected = wait(settings, async move { ClientV2::new(&config).await });
    connected.map_err(|error| {
        let hint = match error.to_string().contains("Unauthenticated") {
            true => "set LIKEWISE_INDEX_USER and LIKEWISE_INDEX_PASSWORD, or LIKEWISE_INDEX_TOKEN",
            false => UNREACHABLE_HINT,
        };
        Error::Engine(format!("{error}; {hint}"))
    })
}

/// Runs a call on the runtime and blocks until it returns.
fn wait<T: Send + 'static>(
    settings: &Settings,
    call: impl Future<Output = SdkResult<T>> + Send + 'static,
) -> Result<T> {
    let failed = |cause: &dyn std::fmt::Display| Error::Engine(format!("{settings}: {cause}"));
    let runtime = RUNTIME.as_ref().map_err(|error| failed(error))?;
    let (sender, answer) = sync_channel(1);
    runtime.spawn(async move { drop(sender.send(call.await)) });
    let answer = answer.recv().map_err(|_| failed(&"the call ended without an answer"))?;
    answer.map_err(|error| match one_line(&error) {
        message if message.contains("collection not found") => {
            failed(&"the collection does not exist any more; ingest or copy its papers again")
        }
        message => failed(&message),
    })
}

/// The message of an error, on one line.
fn one_line(error: &SdkError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
