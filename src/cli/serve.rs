//! `likewise serve`: the HTTP server.

use super::location::LocationOptions;
use super::reranker::{RerankerOptions, SparseOptions};
use super::{logging, settings};
use crate::Error;
use crate::ingest;
use crate::search::{Library, MAX_K};
use crate::server::{self, App, Keys, QueueLimits, ServerOptions, Tls};
use anyhow::{Context, bail};
use clap::Args;
use likewise_encoder::{Encoder, SparseEncoder};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Maximum time that running requests get to finish after the server has received a signal to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Interval between two checks of whether the data folder has switched to another model. Also the first pause before
/// the server tries to connect to an external engine again.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum pause before the server tries again to open a new model, which is expensive.
const MAX_MODEL_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum pause before the server tries again to connect to an external engine.
const MAX_ENGINE_RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Options of `likewise serve`. An argument overrides the environment variable, which overrides the config file
/// (`--config`).
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pub file: settings::FileOption,
    /// Address and port to listen on; with port 0, the system chooses a free port. With address 0.0.0.0, other machines
    /// can reach the server.
    #[arg(long, value_name = "ADDR", env = "LIKEWISE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    #[command(flatten)]
    location: LocationOptions,
    #[command(flatten)]
    reranker: RerankerOptions,
    #[command(flatten)]
    sparse: SparseOptions,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    pub logging: logging::LogOptions,
    /// Seconds between two measurements of the index's recall, which /metrics shows; 0 turns the measurements off.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_PROBE_EVERY", default_value_t = 300)]
    probe_every: u64,
}

/// Limits of requests, of memory, and of the queue.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Maximum size of a request body, in bytes. In an upload of papers, the maximum size of one line.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_BODY_BYTES", default_value_t = 4 << 20, value_parser = parse_count)]
    max_body_bytes: usize,
    /// Maximum size of an upload of papers, in bytes. A JSON Lines upload of any size is read line by line.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_UPLOAD_BYTES", default_value_t = 1 << 30, value_parser = parse_count)]
    max_upload_bytes: usize,
    /// Maximum length of one text, in bytes.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_TEXT_BYTES", default_value_t = 1 << 20, value_parser = parse_count)]
    max_text_bytes: usize,
    /// Maximum number of texts, or of queries, in one request.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_BATCH", default_value_t = 2048, value_parser = parse_count)]
    max_batch: usize,
    /// Maximum number of hits of one query, up to 1000.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_K", default_value_t = MAX_K, value_parser = parse_max_k)]
    max_k: usize,
    /// Maximum total number of hits of all queries of one request. A hit that is returned with its embedding or an
    /// explanation counts as 4 hits. A query with rerank_sentences counts as 1000 additional hits, and each example or
    /// cluster after the first that is searched for separately counts as 40 additional hits.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_HITS", default_value_t = 20_480, value_parser = parse_count)]
    max_hits: usize,
    /// Maximum total size, in bytes, of the large responses in memory that clients have not read yet. If another large
    /// response would exceed it, the server refuses the request and asks the client to try again later.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_UNREAD_BYTES", default_value_t = 256 << 20, value_parser = parse_count)]
    max_unread_bytes: usize,
    /// Maximum number of searches that run or wait. The server refuses further searches and asks the clients to try
    /// again later.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_SEARCHES", default_value_t = 2048, value_parser = parse_count)]
    max_searches: usize,
    /// Maximum number of open connections. Further connections are closed at once.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_CONNECTIONS", default_value_t = 4096, value_parser = parse_count)]
    max_connections: usize,
    /// Maximum number of tokens in all waiting requests with one text, such as most queries. The server refuses further
    /// queries and asks the clients to try again later. Raise it if bursts of queries are refused; queries then wait
    /// longer.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_QUEUE_TOKENS", default_value_t = QueueLimits::default().interactive)]
    queue_tokens: usize,
    /// Like --queue-tokens, but for one second after a query was refused: the shorter queue keeps the waiting time of
    /// accepted queries short while the server is overloaded.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_QUEUE_TOKENS_OVERLOADED", default_value_t = QueueLimits::default().overloaded)]
    queue_tokens_overloaded: usize,
    /// Maximum number of tokens in all waiting requests with several texts. These requests are encoded after all
    /// waiting requests with one text.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_QUEUE_TOKENS_BULK", default_value_t = QueueLimits::default().bulk)]
    queue_tokens_bulk: usize,
    /// Maximum number of tokens that are encoded in one batch. A query that arrives while a large request is encoded
    /// waits for the current batch of that request, so smaller batches make queries faster and large requests slower.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_BATCH_TOKENS", default_value_t = QueueLimits::default().batch, value_parser = parse_count)]
    batch_tokens: usize,
    /// Maximum time, in seconds, for a client to send the headers of a request. Also the time for which an idle
    /// connection is kept open.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_HEADER_TIMEOUT", default_value_t = 30.0, value_parser = parse_seconds)]
    header_timeout: f64,
    /// Maximum time, in seconds, for a client to send a body or, in an upload, the next chunk of the body.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_BODY_TIMEOUT", default_value_t = 30.0, value_parser = parse_seconds)]
    body_timeout: f64,
    /// Maximum time, in seconds, for the server to answer a request. It does not apply to uploads.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_REQUEST_TIMEOUT", default_value_t = 60.0, value_parser = parse_seconds)]
    request_timeout: f64,
}

/// Access control. A client sends its key as `Authorization: Bearer KEY` or `x-api-key: KEY`.
#[derive(Args)]
#[command(
    next_help_heading = "Access (keys: LIKEWISE_READ_KEY and LIKEWISE_WRITE_KEY, several separated by commas)"
)]
struct Access {
    /// File with keys, in TOML: tables `[[key]]` with the fields key, may ("read" or "write"), per_second and name. If
    /// there is no read key, everybody can search. If there is no write key, only requests from this machine that do
    /// not come through a proxy can write papers. A proxy that adds no header to requests is not recognised, so set a
    /// write key if you use a proxy on this machine.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_KEYS")]
    keys: Option<PathBuf>,
    /// Maximum number of requests per second for each key that has no per_second in the file of --keys. By default,
    /// there is no limit.
    #[arg(long, value_name = "N", env = "LIKEWISE_KEY_RATE")]
    key_rate: Option<NonZeroU32>,
    /// Origin of another site whose pages are allowed to call this server from a browser (CORS), such as
    /// `https://example.org`, or `*` for all sites. Can be given several times, or several origins separated by commas.
    /// By default, no other site is allowed.
    #[arg(long, value_name = "ORIGIN", env = "LIKEWISE_CORS_ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    cors_origin: Vec<String>,
    /// Host name by which clients reach this server, besides localhost and the loopback addresses. /mcp refuses
    /// requests for other host names. Can be given several times, or several names separated by commas.
    #[arg(long, value_name = "NAME", env = "LIKEWISE_HOST", value_delimiter = ',')]
    host: Vec<String>,
    /// File with the TLS certificate, in PEM. If it is given, the server uses HTTPS, otherwise HTTP. Needs --tls-key.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// File with the private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_TLS_KEY")]
    tls_key: Option<PathBuf>,
}

fn parse_max_k(text: &str) -> Result<usize, String> {
    let message = || format!("the value must be between 1 and {MAX_K}");
    text.parse().ok().filter(|k| (1..=MAX_K).contains(k)).ok_or_else(message)
}

fn parse_count(text: &str) -> Result<usize, String> {
    const MAX: usize = 1 << 40;
    let message = || format!("the value must be between 1 and {MAX}");
    text.parse().ok().filter(|count| (1..=MAX).contains(count)).ok_or_else(message)
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let is_allowed = |seconds: &f64| (0.001..=86_400.0).contains(seconds);
    let message = || "the time must be between 0.001 and 86400 seconds".to_string();
    text.parse().ok().filter(is_allowed).ok_or_else(message)
}

fn parse_origin(text: &str) -> Result<String, String> {
    let is_origin = text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            ["http", "https"].contains(&scheme) && !host.is_empty() && !host.contains(['/', ' ', ','])
        });
    let message = "the value must be * or an origin such as https://example.org";
    if is_origin { Ok(text.into()) } else { Err(message.into()) }
}

impl Options {
    /// Fails if the keys, or the files of the TLS certificate and its key, are missing or invalid. The other options
    /// are checked when they are parsed.
    pub fn check(&self) -> anyhow::Result<()> {
        self.server_options()?;
        self.access.tls().map(drop)
    }

    fn server_options(&self) -> anyhow::Result<ServerOptions> {
        let Options { limits, access, .. } = self;
        Ok(ServerOptions {
            max_body_bytes: limits.max_body_bytes,
            max_upload_bytes: limits.max_upload_bytes,
            max_text_bytes: limits.max_text_bytes,
            max_batch: limits.max_batch,
            max_k: limits.max_k,
            max_hits: limits.max_hits,
            max_unread_bytes: limits.max_unread_bytes,
            max_searches: limits.max_searches,
            max_connections: limits.max_connections,
            queue: QueueLimits {
                interactive: limits.queue_tokens,
                overloaded: limits.queue_tokens_overloaded,
                bulk: limits.queue_tokens_bulk,
                batch: limits.batch_tokens,
            },
            header_timeout: Duration::from_secs_f64(limits.header_timeout),
            body_timeout: Duration::from_secs_f64(limits.body_timeout),
            request_timeout: Duration::from_secs_f64(limits.request_timeout),
            keys: access.keys()?,
            cors_origins: access.cors_origin.clone(),
            hosts: access.host.clone(),
        })
    }
}

impl Access {
    /// Returns the keys from the environment variables and from the file of `--keys`.
    fn keys(&self) -> anyhow::Result<Keys> {
        let mut keys = Keys::default();
        for (name, permission) in settings::KEYS {
            let Ok(text) = std::env::var(name) else { continue };
            let mut given = text.split(',').filter(|key| !key.trim().is_empty()).peekable();
            // The variable can be empty because a secret was not mounted. This must not give everybody access.
            if given.peek().is_none() {
                bail!("{name} is set but contains no key; set a key, or unset it to give everybody access");
            }
            given.try_for_each(|key| keys.add(key, permission, None).with_context(|| name.to_string()))?;
        }
        if let Some(path) = &self.keys {
            keys.add_file(path)?;
        }
        if let Some(rate) = self.key_rate {
            keys.set_default_rate(rate);
        }
        Ok(keys)
    }

    fn tls(&self) -> anyhow::Result<Option<Tls>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(Tls::load(certificate, key)?)),
            (None, None) => Ok(None),
            _ => bail!("--tls-cert and --tls-key must be given together, or neither for HTTP"),
        }
    }
}

/// Runs the server until SIGTERM or SIGINT, and then finishes the running requests.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let data = options.location.is_folder().then(|| options.location.data.data.clone());
    runtime.block_on(serve(options))?;
    if let Some(Err(error)) = data.map(|data| ingest::checkpoint(&data)) {
        tracing::warn!(
            "cannot move the last changes from the catalog's write-ahead log to its main file; the log keeps them: \
             {error}"
        );
    }
    // If the signal came while the library was being loaded, do not wait for the loading.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let listen = &options.listen;
    let (server_options, tls) = (options.server_options()?, options.access.tls()?);
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}; if the address is in use, give another address with --listen")
    })?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{}, loading the library", listener.local_addr()?);
    let app = App::new(server_options);
    let (load_error_sender, load_error) = oneshot::channel();
    let loading_app = app.clone();
    let probe_every = options.probe_every;
    let load = tokio::task::spawn_blocking(move || match load(&options) {
        Ok((library, sparse)) => {
            if let Some(sparse) = sparse {
                loading_app.set_sparse_encoder(sparse);
            }
            let library = set_library(&loading_app, library);
            let probed_app = loading_app.clone();
            if options.location.is_folder() {
                std::thread::spawn(move || follow_model(&loading_app, library, &options.location));
            }
            if probe_every > 0 {
                std::thread::spawn(move || probe_recall(&probed_app, Duration::from_secs(probe_every)));
            }
        }
        // The receiver is gone if the server was stopped while the library was being loaded.
        Err(error) => drop(load_error_sender.send(error)),
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let serving = server::serve(listener.into_std()?, app, tls, shutdown, SHUTDOWN_TIMEOUT);
    let serving = tokio::spawn(serving);
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let failure = tokio::select! {
        _ = terminated.recv() => None,
        _ = interrupted.recv() => None,
        Ok(error) = load_error => Some(error),
        Err(panic) = load => Some(anyhow::Error::new(panic).context("loading the library")),
    };
    tracing::info!("stopping as soon as the running requests are finished");
    drop(stop);
    match tokio::time::timeout(SHUTDOWN_TIMEOUT, serving).await {
        Ok(served) => served??,
        Err(_) => tracing::warn!("aborted requests that did not finish in {} s", SHUTDOWN_TIMEOUT.as_secs()),
    }
    failure.map_or(Ok(()), Err)
}

/// Opens the library and the sparse encoder. If the external engine cannot be reached or refuses a request, tries again until the library is
/// open.
fn load(options: &Options) -> anyhow::Result<(Library, Option<Arc<SparseEncoder>>)> {
    let Options { location: options, reranker, sparse, .. } = options;
    let sparse = sparse.load(&options.data.encoder)?;
    let reranker = reranker.load(&options.data.encoder)?;
    if let Some(reranker) = &reranker {
        tracing::info!("reranks with {}", reranker.describe());
    }
    let mut pause = POLL_INTERVAL;
    let open = |encoder| open(options, encoder).map(|library| library.with_reranker(reranker.clone()));
    loop {
        match options.load_encoder().and_then(&open) {
            Err(error) if matches!(error.downcast_ref(), Some(Error::Engine(_))) => {
                tracing::warn!("{error:#}; trying again in {} s", pause.as_secs());
            }
            opened => return opened.map(|library| (library, sparse)),
        }
        std::thread::sleep(pause);
        pause = (2 * pause).min(MAX_ENGINE_RETRY_INTERVAL);
    }
}

fn open(options: &LocationOptions, encoder: Arc<Encoder>) -> anyhow::Result<Library> {
    tracing::info!("{}", encoder.describe());
    options.location()?.open_library(encoder)
}

fn set_library(app: &App, library: Library) -> Arc<Library> {
    let stats = library.stats();
    let library = Arc::new(library);
    app.set_library(Arc::clone(&library));
    tracing::info!("ready: {} papers, {}", stats.papers, stats.model);
    library
}

/// Measures the recall of the index at the interval `every`. Never returns.
fn probe_recall(app: &App, every: Duration) {
    loop {
        app.probe_recall();
        std::thread::sleep(every);
    }
}

/// Switches the server to another model whenever the data folder has switched to it, even if `--model` named the first
/// model. The old model answers queries until the new model is open.
fn follow_model(app: &App, mut library: Arc<Library>, options: &LocationOptions) {
    let (mut last_error, mut pause) = (None, POLL_INTERVAL);
    loop {
        std::thread::sleep(pause);
        let next = || -> anyhow::Result<Option<Library>> {
            if !library.is_superseded()? {
                return Ok(None);
            }
            let model = ingest::model_of(&options.data.data, &options.data.encoder.models)?;
            let model = model.context("the data folder does not name its model any more")?;
            let next = open(options, Arc::new(Encoder::load_on(&model, library.encoder().devices())?))?;
            Ok(Some(next.with_reranker(library.reranker().cloned())))
        };
        match next() {
            Ok(None) => (last_error, pause) = (None, POLL_INTERVAL),
            Ok(Some(next)) => (library, last_error, pause) = (set_library(app, next), None, POLL_INTERVAL),
            Err(error) => {
                pause = MAX_MODEL_RETRY_INTERVAL.min(2 * pause);
                let error = format!(
                    "cannot switch to the data folder's new model; the server keeps the old model and tries again: \
                     {error:#}"
                );
                if last_error.as_ref() != Some(&error) {
                    tracing::warn!("{error}");
                }
                last_error = Some(error);
            }
        }
    }
}
