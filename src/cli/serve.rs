//! `likewise serve`: answer over HTTP. `likewise config`: what that would do.

use super::place::PlaceOptions;
use super::{logging, settings};
use crate::Error;
use crate::ingest;
use crate::search::{Library, MAX_K};
use crate::server::{self, App, Keys, QueueLimits, ServerOptions, Tls};
use anyhow::{Context, bail};
use clap::Args;
use likewise_encoder::Encoder;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How long running requests may take to finish once the server was told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Between two looks whether another model has taken over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The same, after it could not be opened several times: opening one is work.
const LOOK_SELDOM: Duration = Duration::from_secs(60);

/// The longest, between two looks whether an engine is there.
const LOOK_FOR: Duration = Duration::from_secs(10);

/// Options of `likewise serve`. Each can be given by a flag, in the environment, or in a file (`--config`), in this order.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pub file: settings::FileOption,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "LIKEWISE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    pub logging: logging::LogOptions,
    /// Seconds between two looks how good the index's answers are, told in /metrics; 0 for none.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_PROBE_EVERY", default_value_t = 300)]
    probe_every: u64,
}

/// How much is taken.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Longest body, in bytes.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_BODY_BYTES", default_value_t = 4 << 20, value_parser = parse_count)]
    max_body_bytes: usize,
    /// Longest upload of papers, in bytes; it is never in memory as a whole.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_UPLOAD_BYTES", default_value_t = 1 << 30, value_parser = parse_count)]
    max_upload_bytes: usize,
    /// Longest text of a query or of an input, in bytes.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_TEXT_BYTES", default_value_t = 1 << 20, value_parser = parse_count)]
    max_text_bytes: usize,
    /// Most texts, or queries, in one request.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_BATCH", default_value_t = 2048, value_parser = parse_count)]
    max_batch: usize,
    /// Most hits of one query, up to 1000.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_K", default_value_t = MAX_K, value_parser = parse_max_k)]
    max_k: usize,
    /// Most hits of all queries of one request; one with its embedding, or explained, counts as four, and a question that is rescored as 1000 more.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_HITS", default_value_t = 20_480, value_parser = parse_count)]
    max_hits: usize,
    /// Bytes of answers that clients have not read yet; who asks for more is told to come back.
    #[arg(long, value_name = "BYTES", env = "LIKEWISE_MAX_UNREAD_BYTES", default_value_t = 256 << 20, value_parser = parse_count)]
    max_unread_bytes: usize,
    /// Searches that may run or wait; one more is told to come back.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_SEARCHES", default_value_t = 2048, value_parser = parse_count)]
    max_searches: usize,
    /// Open connections; more are closed at once.
    #[arg(long, value_name = "N", env = "LIKEWISE_MAX_CONNECTIONS", default_value_t = 4096, value_parser = parse_count)]
    max_connections: usize,
    /// Tokens of questions that may wait to be encoded; more are told to come back.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_QUEUE_TOKENS", default_value_t = QueueLimits::default().interactive)]
    queue_tokens: usize,
    /// The same for a second after something was told to come back: who is let in then is answered soon.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_QUEUE_TOKENS_FLOODED", default_value_t = QueueLimits::default().flooded)]
    queue_tokens_flooded: usize,
    /// Tokens of requests with many texts that may wait, behind all questions.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_QUEUE_TOKENS_BULK", default_value_t = QueueLimits::default().bulk)]
    queue_tokens_bulk: usize,
    /// Tokens that are encoded at once: a question waits for no more than these.
    #[arg(long, value_name = "TOKENS", env = "LIKEWISE_BATCH_TOKENS", default_value_t = QueueLimits::default().batch, value_parser = parse_count)]
    batch_tokens: usize,
    /// Seconds that a client may take to send a request's head; also, how long an idle connection is kept.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_HEADER_TIMEOUT", default_value_t = 30.0, value_parser = parse_seconds)]
    header_timeout: f64,
    /// Seconds that it may take to send a body or, of an upload, the next piece.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_BODY_TIMEOUT", default_value_t = 30.0, value_parser = parse_seconds)]
    body_timeout: f64,
    /// Seconds that an answer may take.
    #[arg(long, value_name = "SECONDS", env = "LIKEWISE_REQUEST_TIMEOUT", default_value_t = 60.0, value_parser = parse_seconds)]
    request_timeout: f64,
}

/// Who may in. A key is sent as `Authorization: Bearer KEY` or `x-api-key: KEY`.
#[derive(Args)]
#[command(
    next_help_heading = "Who may in (LIKEWISE_READ_KEY and LIKEWISE_WRITE_KEY are keys, several with commas)"
)]
struct Access {
    /// File of keys: tables called key, with key, may = "read" or "write", per_second and name. Without a read key, all may ask;
    /// without a write key, papers are written from this machine only; behind a proxy on this machine, give one.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_KEYS")]
    keys: Option<PathBuf>,
    /// How often a second each key may be used that does not say so itself.
    #[arg(long, value_name = "N", env = "LIKEWISE_KEY_RATE")]
    key_rate: Option<NonZeroU32>,
    /// Another site whose pages may ask from a browser, such as `https://example.org`; `*` for all. Several times, or with commas.
    #[arg(long, value_name = "ORIGIN", env = "LIKEWISE_CORS_ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    cors_origin: Vec<String>,
    /// A name that this server is reached by, beside localhost: /mcp answers requests for its own names only.
    #[arg(long, value_name = "NAME", env = "LIKEWISE_HOST", value_delimiter = ',')]
    host: Vec<String>,
    /// Certificate, in PEM: HTTPS instead of HTTP.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_TLS_KEY")]
    tls_key: Option<PathBuf>,
}

fn parse_max_k(text: &str) -> Result<usize, String> {
    let wanted = || format!("wanted 1 to {MAX_K}");
    text.parse().ok().filter(|k| (1..=MAX_K).contains(k)).ok_or_else(wanted)
}

fn parse_count(text: &str) -> Result<usize, String> {
    const MOST: usize = 1 << 40;
    text.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(|| format!("wanted 1 to {MOST}"))
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let is_time = |seconds: &f64| (0.001..=86_400.0).contains(seconds);
    text.parse().ok().filter(is_time).ok_or_else(|| "wanted seconds, 0.001 to 86400".into())
}

fn parse_origin(text: &str) -> Result<String, String> {
    let is_origin = text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            ["http", "https"].contains(&scheme) && !host.is_empty() && !host.contains(['/', ' ', ','])
        });
    if is_origin { Ok(text.into()) } else { Err("wanted * or an origin such as https://example.org".into()) }
}

impl Options {
    /// Refuses what a server would refuse when it starts.
    pub fn check(&self) -> anyhow::Result<()> {
        self.server()?;
        self.access.tls().map(drop)
    }

    fn server(&self) -> anyhow::Result<ServerOptions> {
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
                flooded: limits.queue_tokens_flooded,
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
    /// From the environment, which other users of the machine do not see as they see arguments, and from a file.
    fn keys(&self) -> anyhow::Result<Keys> {
        let mut keys = Keys::default();
        for (name, right) in settings::KEYS {
            let Ok(text) = std::env::var(name) else { continue };
            let mut given = text.split(',').filter(|key| !key.trim().is_empty()).peekable();
            // A secret that did not come must not open the door.
            if given.peek().is_none() {
                bail!("{name}: it is set and has no key in it; unset it to let everybody in");
            }
            given.try_for_each(|key| keys.add(key, right, None).with_context(|| name.to_string()))?;
        }
        if let Some(path) = &self.keys {
            keys.add_file(path)?;
        }
        if let Some(rate) = self.key_rate {
            keys.limit_others(rate);
        }
        Ok(keys)
    }

    fn tls(&self) -> anyhow::Result<Option<Tls>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(Tls::load(certificate, key)?)),
            (None, None) => Ok(None),
            _ => bail!("got one of --tls-cert and --tls-key, wanted both, or neither for HTTP"),
        }
    }
}

/// Runs it, until SIGTERM or SIGINT; running requests finish.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let data = options.place.is_folder().then(|| options.place.data.data.clone());
    runtime.block_on(serve(options))?;
    if let Some(Err(error)) = data.map(|data| ingest::checkpoint(&data)) {
        tracing::warn!("what was written last stands in the catalog's write-ahead log: {error}");
    }
    // A load that was cut short by a signal need not be waited for.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let listen = &options.listen;
    let (server_options, tls) = (options.server()?, options.access.tls()?);
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}; is something else there? give --listen another address")
    })?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{}, loading", listener.local_addr()?);
    let app = App::new(server_options);
    let (failed, load_failed) = oneshot::channel();
    let loading = app.clone();
    let probe_every = options.probe_every;
    let load = tokio::task::spawn_blocking(move || match load(&options.place) {
        Ok(library) => {
            let library = set(&loading, library);
            let probed = loading.clone();
            if options.place.is_folder() {
                std::thread::spawn(move || follow(&loading, library, &options.place));
            }
            if probe_every > 0 {
                std::thread::spawn(move || probe(&probed, Duration::from_secs(probe_every)));
            }
        }
        // Nobody listens any more if the server was told to stop meanwhile.
        Err(error) => drop(failed.send(error)),
    });
    let (tell, told) = oneshot::channel::<()>();
    let serving = server::serve(listener.into_std()?, app, tls, async { drop(told.await) }, GRACE);
    let serving = tokio::spawn(serving);
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let failure = tokio::select! {
        _ = terminated.recv() => None,
        _ = interrupted.recv() => None,
        Ok(error) = load_failed => Some(error),
        Err(panic) = load => Some(anyhow::Error::new(panic).context("loading")),
    };
    tracing::info!("stopping; running requests finish");
    drop(tell);
    match tokio::time::timeout(GRACE, serving).await {
        Ok(served) => served??,
        Err(_) => tracing::warn!("some requests did not finish in {} s and were cut off", GRACE.as_secs()),
    }
    failure.map_or(Ok(()), Err)
}

/// Opens the papers; waits for them, if they are in an engine that is away.
fn load(options: &PlaceOptions) -> anyhow::Result<Library> {
    let mut pause = LOOK_EVERY;
    loop {
        match options.load().and_then(|encoder| open(options, encoder)) {
            Err(error) if matches!(error.downcast_ref(), Some(Error::Engine(_))) => {
                tracing::warn!("{error:#}; looking again in {} s", pause.as_secs());
            }
            opened => return opened,
        }
        std::thread::sleep(pause);
        pause = (2 * pause).min(LOOK_FOR);
    }
}

fn open(options: &PlaceOptions, encoder: Arc<Encoder>) -> anyhow::Result<Library> {
    tracing::info!("{}", encoder.describe());
    options.place()?.library(encoder)
}

fn set(app: &App, library: Library) -> Arc<Library> {
    let stats = library.stats();
    let library = Arc::new(library);
    app.set_library(Arc::clone(&library));
    tracing::info!("ready: {} papers, {}", stats.papers, stats.model);
    library
}

/// Looks from time to time how good the index's answers are.
fn probe(app: &App, every: Duration) {
    loop {
        app.probe_recall();
        std::thread::sleep(every);
    }
}

/// When another model takes over in the data folder, serves that, whatever model was named in the beginning: the
/// one before answers until it is open.
fn follow(app: &App, mut library: Arc<Library>, options: &PlaceOptions) {
    let (mut said, mut pause) = (None, LOOK_EVERY);
    loop {
        std::thread::sleep(pause);
        let next = || -> anyhow::Result<Option<Library>> {
            if !library.is_superseded()? {
                return Ok(None);
            }
            let model = ingest::model_of(&options.data.data, &options.data.model.models)?;
            let model = model.context("the folder has no model any more")?;
            open(options, Arc::new(Encoder::load_on(&model, library.encoder().devices())?)).map(Some)
        };
        match next() {
            Ok(None) => (said, pause) = (None, LOOK_EVERY),
            Ok(Some(next)) => (library, said, pause) = (set(app, next), None, LOOK_EVERY),
            Err(error) => {
                pause = LOOK_SELDOM.min(2 * pause);
                let error = format!("the model that took over is not served yet: {error:#}");
                if said.as_ref() != Some(&error) {
                    tracing::warn!("{error}");
                }
                said = Some(error);
            }
        }
    }
}
