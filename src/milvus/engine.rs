//! Rows with vectors in a Milvus collection: the only file that speaks to the engine.
//!
//! Its calls wait for their answers on whichever thread makes them; what waits for the network is a runtime of its own.
//! Seen on Milvus 2.3.5 and on milvus-lite 3.2.2: no filter templates, no partition key, no `order by` (2.3.5 has none of
//! them, or has them wrong; nor can it read lists that are all empty), and answers of at most 4 MB, so what is large is asked for a page at a time.

mod columns;
mod filter;
mod row;
mod settings;

pub use filter::{and, has_one_of, is_one_of, list_of, quoted};
pub use row::{Key, Row, Stored};
pub use settings::{Consistency, Kind, Login, Settings, without_secrets};

use crate::error::{Error, Result};
use columns::{
    ID, LISTS, OF_STORED, VECTOR, columns, numbers, schema, small_numbers, stored, strings, vectors,
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

/// Rows that can be asked for at once, by the engine's own limits.
pub const MOST: usize = 16_384;

/// Longest document, in bytes: that of a string.
pub const MAX_BYTES: usize = 65_535;

/// Bytes that a page may have, about: the SDK reads no answer of over 4 MB, and on the way they are twice as many.
const PAGE_BYTES: usize = 1 << 20;

/// Documents in a page, at first; one of some that are very long is asked for again in halves.
const PAGE: usize = 256;

/// Keys that a scan asks for at once, at most.
const SCANNED: usize = 4096;

/// So few hits come with their documents at once.
const FEW: usize = 50;

/// How long an engine may take to take a connection, and to answer, with all that is tried again at once.
const TIMES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// How long it may take to answer where somebody waits.
const SOON: Duration = Duration::from_secs(10);

/// How long it may take to write segments.
const FLUSH: Duration = Duration::from_secs(60);

/// How long it may take to say that it is there.
const CHECK: Duration = Duration::from_secs(3);

/// Largest ef that HNSW takes.
const MAX_EF: usize = 32_768;

/// What waits for the network: shared, since connections are few and their callers wait elsewhere.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("milvus").enable_all().build()
});

/// A collection that is there.
#[derive(Clone)]
pub struct Milvus {
    client: ClientV2,
    settings: Settings,
    dimension: usize,
    /// How long what fails for now is tried again.
    patience: Duration,
}

/// What a collection says of itself.
pub type Properties = HashMap<String, String>;

impl Milvus {
    /// Connects to an engine; gives the collection that is there, and what it says of itself.
    ///
    /// # Errors
    /// [`Error::Engine`] if the engine cannot be reached, or refuses.
    pub fn open(settings: &Settings) -> Result<Option<(Milvus, Properties)>> {
        let client = connect(settings)?;
        let (name, asked) = (settings.collection.clone(), client.clone());
        let described = wait(settings, async move {
            let request = HasCollectionRequest::builder().collection_name(&name).build()?;
            if !asked.has_collection(request).await?.exists() {
                return Ok(None);
            }
            let request = DescribeCollectionRequest::builder().collection_name(&name).build()?;
            asked.describe_collection(request).await.map(Some)
        })?;
        let Some(described) = described else { return Ok(None) };
        let described = described.description();
        let dimension = described.get_schema().get_fields().iter().find_map(|field| match field.get_name() {
            VECTOR => usize::try_from(field.get_dimension()).ok(),
            _ => None,
        });
        let dimension = dimension.ok_or_else(|| {
            Error::Data(format!(
                "{settings}: it is no collection of papers; name another, or one that is not there"
            ))
        })?;
        let properties = described.get_properties().clone();
        let milvus = Milvus { client, settings: settings.clone(), dimension, patience: Duration::ZERO };
        Ok(Some((milvus, properties)))
    }

    /// Makes a collection, which says of itself what is given.
    ///
    /// # Errors
    /// As [`Milvus::open`].
    pub fn create(settings: &Settings, dimension: usize, properties: Properties) -> Result<Milvus> {
        let client = connect(settings)?;
        let milvus = Milvus { client, settings: settings.clone(), dimension, patience: Duration::ZERO };
        let request = CreateCollectionRequest::builder()
            .collection_name(&settings.collection)
            .schema(schema(dimension))
            .num_shards(settings.shards)
            .properties(properties)
            .build();
        let client = milvus.client.clone();
        wait(settings, async move { client.create_collection(request?).await })?;
        milvus.make_index()?;
        Ok(milvus)
    }

    fn make_index(&self) -> Result<()> {
        let (client, index, name) = (self.client.clone(), self.index(), self.settings.collection.clone());
        wait(&self.settings, async move {
            // Not waited for: milvus-lite has no way to ask how far it is.
            let of = |index| {
                CreateIndexRequest::builder().collection_name(&name).index_params(vec![index]).sync(false)
            };
            client.create_index(of(index).build()?).await?;
            // Older servers have none of these, and look at every row.
            for field in LISTS.into_iter().chain(["number", "first", "last"]) {
                let index = IndexParam::new().field_name(field).index_type(IndexType::Inverted);
                if let Err(error) = client.create_index(of(index).build()?).await {
                    tracing::debug!("no index of {field}: {error}");
                }
            }
            Ok(())
        })
    }

    /// Brings it into memory, if it is not there.
    pub fn load(&self) -> Result<()> {
        let load = || {
            let (client, replicas) = (self.client.clone(), self.settings.replicas);
            let request = LoadCollectionRequest::builder()
                .collection_name(self.name())
                .replica_number(replicas)
                .build();
            // It takes as long as there are papers.
            wait(&self.settings, async move { client.load_collection(request?).await })
        };
        // Whoever made it may have been killed before there was an index.
        load().or_else(|error| self.make_index().and_then(|()| load()).map_err(|_| error))
    }

    /// The same for whoever writes: it sees all that was written before, by anybody, and tries again for so long what fails
    /// for now.
    pub fn for_writing(mut self, patience: Duration) -> Milvus {
        self.settings.consistency = Consistency::Strong;
        self.patience = patience;
        self
    }

    /// Where it is, and how it is asked.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Values of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Whether the engine is there and the collection can be asked; and what that says of itself.
    pub fn check(&self) -> Result<Properties> {
        let client = self.client.clone();
        let request = DescribeCollectionRequest::builder().collection_name(self.name()).build();
        let count = QueryRequest::builder().collection_name(self.name()).output_fields(["count(*)"]);
        let count = count.consistency_level(ConsistencyLevel::Eventually).build();
        let checked = self.wait(async move {
            let asked = async {
                let described = client.describe_collection(request?).await?;
                // One that has just come back can be described some time before it can be asked.
                client.query(count?).await?;
                Ok(described.description().get_properties().clone())
            };
            tokio::time::timeout(CHECK, asked).await.ok().transpose()
        })?;
        checked.ok_or_else(|| Error::Engine(format!("{}: no answer in {} s", self.settings, CHECK.as_secs())))
    }

    /// The nearest rows that pass a filter, nearest first; `effort` is how many candidates are looked at, at least.
    pub fn search(&self, vector: &[f32], k: usize, filter: &str, effort: usize) -> Result<Vec<Near>> {
        if k <= FEW {
            match self.search_once(vector, k, filter, effort, true) {
                Err(Error::Engine(message)) if message.contains(TOO_LARGE) => {}
                answer => return answer,
            }
        }
        let mut near = self.search_once(vector, k, filter, effort, false)?;
        let ids: Vec<String> = near.iter().map(|near| near.id.clone()).collect();
        let mut documents = self.documents(&ids)?;
        near.retain_mut(|near| documents.remove(&near.id).map(|document| near.document = document).is_some());
        Ok(near)
    }

    fn search_once(
        &self,
        vector: &[f32],
        k: usize,
        filter: &str,
        effort: usize,
        documents: bool,
    ) -> Result<Vec<Near>> {
        let (client, k) = (self.client.clone(), k.min(MOST));
        let fields: &[&str] = if documents { &["document"] } else { &[ID] };
        let request = SearchRequest::builder()
            .collection_name(self.name())
            .vector_field(VECTOR)
            .vectors(SearchVectors::Float(vec![vector.to_vec()]))
            .filter(filter)
            .output_fields(fields.iter().copied())
            .limit(k as i64)
            .extra_params(self.search_params(k, effort))
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
            let near = |(id, score): (String, &f32)| Near {
                id,
                score: score.clamp(-1.0, 1.0),
                document: documents.next().unwrap_or_default(),
            };
            Ok(scored.map(near).collect())
        })
    }

    /// The documents of rows, by their ids; those that are not there are left out.
    pub fn documents(&self, ids: &[String]) -> Result<HashMap<String, String>> {
        let mut found = HashMap::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            let stored = self.in_halves(page, |ids| self.stored(&is_one_of(ID, ids), ids.len()))?;
            found.extend(stored.into_iter().map(|stored| (stored.id, stored.document)));
        }
        Ok(found)
    }

    /// The vectors of rows, by their ids; those that are not there are left out.
    pub fn vectors(&self, ids: &[String]) -> Result<HashMap<String, Vec<f32>>> {
        let mut found = HashMap::with_capacity(ids.len());
        for page in ids.chunks(self.vectors_in_page()) {
            let rows = self.query(&is_one_of(ID, page), &[ID, VECTOR], Some(page.len()))?;
            found.extend(strings(&rows, ID).into_iter().zip(vectors(&rows)));
        }
        Ok(found)
    }

    /// Rows by their ids; those that are not there are left out.
    pub fn rows(&self, ids: &[String]) -> Result<Vec<Stored>> {
        let mut rows = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            rows.extend(self.in_halves(page, |ids| self.stored(&is_one_of(ID, ids), ids.len()))?);
        }
        Ok(rows)
    }

    /// The ids of rows that pass a filter, at most so many.
    pub fn ids(&self, filter: &str, limit: usize) -> Result<Vec<String>> {
        self.query(filter, &[ID], Some(limit)).map(|rows| strings(&rows, ID))
    }

    /// A row that passes a filter, and its vector, if that is wanted.
    pub fn look_up(&self, filter: &str, with_vector: bool) -> Result<Option<(Stored, Option<Vec<f32>>)>> {
        let mut fields = OF_STORED.to_vec();
        fields.extend(with_vector.then_some(VECTOR));
        let rows = self.query(filter, &fields, Some(1))?;
        Ok(stored(&rows).pop().map(|row| (row, vectors(&rows).pop())))
    }

    /// The ids of rows that pass a filter, and where they are by date.
    pub fn keys(&self, filter: &str, limit: usize) -> Result<Vec<Key>> {
        let rows = self.query(filter, &[ID, "first", "last", "number"], Some(limit))?;
        let days = small_numbers(&rows, "first").into_iter().zip(small_numbers(&rows, "last"));
        let places = days.zip(numbers(&rows, "number"));
        let key = |((days, number), id)| Key { days, number, id };
        Ok(places.zip(strings(&rows, ID)).map(key).collect())
    }

    /// How many rows pass a filter.
    pub fn count(&self, filter: &str) -> Result<usize> {
        let rows = self.query(filter, &["count(*)"], None)?;
        let count = numbers(&rows, "count(*)").first().copied().unwrap_or_default();
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Every row that passes a filter and has `from` or a larger number, some at a time, in the order of their numbers.
    ///
    /// Not by the engine's own iterator: over two shards of 2.3.5 it ended before the last rows. What is counted first and
    /// then asked for as a whole is whole.
    pub fn scan(
        &self,
        filter: &str,
        mut from: i64,
        mut take: impl FnMut(Vec<Key>) -> Result<()>,
    ) -> Result<()> {
        let mut left = self.count(&and(filter, &format!("number >= {from}")))?;
        let mut step = i64::MAX - from;
        while left > 0 && from < i64::MAX {
            let to = from.saturating_add(step);
            let within = and(filter, &format!("number >= {from} and number < {to}"));
            let count = self.count(&within)?;
            if count > SCANNED && step > 1 {
                step /= 2;
                continue;
            }
            if count > 0 {
                let mut keys = self.keys(&within, count)?;
                keys.sort_unstable_by_key(|key| key.number);
                take(keys)?;
            }
            left = left.saturating_sub(count);
            from = to;
            if count < SCANNED / 4 {
                step = step.saturating_mul(2);
            }
        }
        Ok(())
    }

    /// Writes rows, in place of those with their ids; when it returns, they are kept.
    pub fn upsert(&self, rows: &[Row]) -> Result<()> {
        let size = (4 * PAGE_BYTES / (self.dimension * 4 + 4096)).max(1);
        for rows in rows.chunks(size) {
            let insert = InsertRequest::builder().collection_name(self.name()).columns(columns(rows)).build();
            let insert = insert.map_err(|error| self.refused(&error))?;
            self.patiently(|| {
                let (client, insert) = (self.client.clone(), insert.clone());
                async move { client.upsert(UpsertRequest::builder().insert(insert).build()?).await.map(drop) }
            })?;
        }
        Ok(())
    }

    /// Deletes rows by their ids; when it returns, that is kept, and seen by a writer's strict reads and all after them.
    pub fn delete(&self, ids: &[String]) -> Result<()> {
        for ids in ids.chunks(PAGE) {
            let filter = is_one_of(ID, ids);
            self.patiently(|| {
                let (client, name, filter) = (self.client.clone(), self.name().to_string(), filter.clone());
                async move {
                    let request = DeleteRequest::builder().collection_name(name).filter(filter).build()?;
                    client.delete(request).await.map(drop)
                }
            })?;
            // 2.3.5 says no time of a delete that a reader could wait for, as it does of what is written.
            self.count(&filter)?;
        }
        Ok(())
    }

    /// Has what was written brought into segments, which get their index in time.
    pub fn flush(&self) -> Result<()> {
        let flush = || {
            let (client, name) = (self.client.clone(), self.name().to_string());
            let wait = i64::try_from(FLUSH.as_millis()).unwrap_or(i64::MAX);
            let request = FlushRequest::builder().collection_names([name]).wait_flushed_ms(wait).build();
            async move { client.flush(request?).await.map(drop) }
        };
        wait(&self.settings, flush())
    }

    /// How many of so many rows are in the index of the vectors. The engine counts those that others have replaced, too.
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
            Kind::Hnsw => (IndexType::Hnsw, vec![("M", m), ("efConstruction", ef_construction)]),
            Kind::DiskAnn => (IndexType::DiskAnn, Vec::new()),
            Kind::IvfRabitq => (IndexType::IvfRabitq, vec![("nlist", LISTS_OF_IVF)]),
        };
        let params = params.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let index = IndexParam::new().field_name(VECTOR).index_type(kind).metric_type(MetricType::Cosine);
        index.extra_params(params)
    }

    fn search_params(&self, k: usize, effort: usize) -> HashMap<String, String> {
        let effort = effort.max(self.settings.ef).max(k + k / 2).min(MAX_EF);
        let name = match self.settings.kind {
            Kind::Hnsw => "ef",
            Kind::DiskAnn => "search_list",
            Kind::IvfRabitq => "nprobe",
        };
        HashMap::from([(name.to_string(), effort.to_string())])
    }

    /// Vectors that fit a page.
    fn vectors_in_page(&self) -> usize {
        (PAGE_BYTES / (4 * self.dimension)).clamp(16, 1000)
    }

    fn stored(&self, filter: &str, limit: usize) -> Result<Vec<Stored>> {
        self.query(filter, &OF_STORED, Some(limit)).map(|rows| stored(&rows))
    }

    /// A page, or that of each half if it is more than can be read at once.
    fn in_halves<T>(
        &self,
        ids: &[String],
        ask: impl Fn(&[String]) -> Result<Vec<T>> + Copy,
    ) -> Result<Vec<T>> {
        match ask(ids) {
            Err(Error::Engine(message)) if message.contains(TOO_LARGE) && ids.len() > 1 => {
                let (first, second) = ids.split_at(ids.len() / 2);
                let mut all = self.in_halves(first, ask)?;
                all.extend(self.in_halves(second, ask)?);
                Ok(all)
            }
            answer => answer,
        }
    }

    fn query(&self, filter: &str, fields: &[&str], limit: Option<usize>) -> Result<Vec<FieldData>> {
        let query = QueryRequest::builder().collection_name(self.name()).filter(filter);
        let query = query.consistency_level(self.consistency()).output_fields(fields.iter().copied());
        let query = match limit {
            // One is refused that asks for none.
            Some(limit) => query.limit(limit.clamp(1, MOST) as i64),
            None => query,
        };
        let query = query.build().map_err(|error| self.refused(&error))?;
        self.patiently(|| {
            let (client, query) = (self.client.clone(), query.clone());
            async move { Ok(client.query(query).await?.results().get_output_fields().to_vec()) }
        })
    }

    fn wait<T: Send + 'static>(
        &self,
        call: impl Future<Output = SdkResult<T>> + Send + 'static,
    ) -> Result<T> {
        let limit = self.patience.clamp(SOON, TIMES.1);
        wait(&self.settings, async move {
            match tokio::time::timeout(limit, call).await {
                Ok(answer) => answer,
                Err(_) => Err(SdkError::Timeout(format!("no answer in {} s", limit.as_secs()))),
            }
        })
    }

    /// Tries again what fails for now, less and less often, as long as [`Milvus::for_writing`] says.
    fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = SdkResult<T>> + Send + 'static,
    {
        let (started, mut pause) = (Instant::now(), Duration::from_millis(100));
        loop {
            match self.wait(call()) {
                // One that is too large is so the next time, too.
                Err(Error::Engine(message)) if message.contains(TOO_LARGE) => {
                    return Err(Error::Engine(message));
                }
                Err(error) if started.elapsed() + pause < self.patience => {
                    tracing::warn!("{error}; trying again in {:.1} s", pause.as_secs_f64());
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(Duration::from_secs(10));
                }
                done => return done,
            }
        }
    }

    fn refused(&self, error: &SdkError) -> Error {
        Error::Engine(format!("{}: {error}", self.settings))
    }
}

/// A row that is near to what was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// See [`Row::id`].
    pub id: String,
    /// Cosine, -1 to 1.
    pub score: f32,
    /// See [`Row::document`].
    pub document: String,
}

/// Lists of an IVF index.
const LISTS_OF_IVF: usize = 4096;

/// In the SDK's error when an answer is longer than it reads.
const TOO_LARGE: &str = "message length too large";

/// Says why there is nobody, which the SDK takes for being slow.
fn knock(settings: &Settings) -> Result<()> {
    let nobody = |error: std::io::Error| {
        Error::Engine(format!("{settings}: {error}; is the server up, and can it be reached from here?"))
    };
    let mut answer = Err(std::io::Error::other("no such host"));
    for address in settings.host.to_socket_addrs().map_err(nobody)? {
        answer = answer.or_else(|_| TcpStream::connect_timeout(&address, TIMES.0).map(drop));
    }
    answer.map_err(nobody)
}

fn connect(settings: &Settings) -> Result<ClientV2> {
    knock(settings)?;
    let scheme = if settings.tls { "https" } else { "http" };
    // What a caller waits for is tried again a few times at once; what is written, by `Milvus::patiently`.
    let retry = RetryConfig::new().max_attempts(3).max_retry_timeout(TIMES.1);
    let mut config = ConnectConfig::new()
        .uri(format!("{scheme}://{}", settings.host))
        .secure(settings.tls)
        .connect_timeout(TIMES.0)
        .rpc_timeout(TIMES.1)
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
        // The SDK reads it, and would say less of it.
        std::fs::read(path).map_err(Error::io(path))?;
        config = config.ca_certificate(path.display().to_string());
    }
    let connected = wait(settings, async move { ClientV2::new(&config).await });
    connected.map_err(|error| {
        let to_do = match error.to_string().contains("Unauthenticated") {
            true => {
                "say who asks by LIKEWISE_INDEX_USER and LIKEWISE_INDEX_PASSWORD, or LIKEWISE_INDEX_TOKEN"
            }
            false => "is the server up, and can it be reached from here?",
        };
        Error::Engine(format!("{error}; {to_do}"))
    })
}

/// Runs a call where the network is waited for, and waits for its answer here.
fn wait<T: Send + 'static>(
    settings: &Settings,
    call: impl Future<Output = SdkResult<T>> + Send + 'static,
) -> Result<T> {
    let away = |cause: &dyn std::fmt::Display| Error::Engine(format!("{settings}: {cause}"));
    let runtime = RUNTIME.as_ref().map_err(|error| away(error))?;
    let (sender, answer) = sync_channel(1);
    runtime.spawn(async move { drop(sender.send(call.await)) });
    let answer = answer.recv().map_err(|_| away(&"the call ended without an answer"))?;
    answer.map_err(|error| match told(&error) {
        gone if gone.contains("collection not found") => {
            away(&"the collection is not there any more; ingest or copy its papers again")
        }
        cause => away(&cause),
    })
}

/// What happened, in a line.
fn told(error: &SdkError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
