//! `likewise serve`: answer over HTTP.

use super::DataOptions;
use crate::encoder::Encoder;
use crate::ingest;
use crate::search::Library;
use crate::server::{self, App};
use anyhow::Context;
use clap::Args;
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

/// Options of `likewise serve`.
#[derive(Args)]
pub struct Options {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "LIKEWISE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    #[command(flatten)]
    data: DataOptions,
}

/// Runs it, until SIGTERM or SIGINT; running requests finish.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(options))?;
    // A load that was cut short by a signal need not be waited for.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let listen = &options.listen;
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}; is something else there? give --listen another address")
    })?;
    tracing::info!("listening on http://{}, loading", listener.local_addr()?);
    let app = App::default();
    let (failed, load_failed) = oneshot::channel();
    let loading = app.clone();
    let load = tokio::task::spawn_blocking(move || match load(&options.data) {
        Ok(library) => {
            let library = set(&loading, library);
            std::thread::spawn(move || follow(&loading, library, &options.data));
        }
        // Nobody listens any more if the server was told to stop meanwhile.
        Err(error) => drop(failed.send(error)),
    });
    let (tell, told) = oneshot::channel::<()>();
    let serving = tokio::spawn(server::run(listener, app, async { drop(told.await) }));
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

fn load(options: &DataOptions) -> anyhow::Result<Library> {
    open(options, options.load()?)
}

fn open(options: &DataOptions, encoder: Arc<Encoder>) -> anyhow::Result<Library> {
    tracing::info!("{}", encoder.describe());
    Ok(Library::open(&options.data, encoder)?)
}

fn set(app: &App, library: Library) -> Arc<Library> {
    let stats = library.stats();
    let library = Arc::new(library);
    app.set_library(Arc::clone(&library));
    tracing::info!("ready: {} papers, {}", stats.papers, stats.model);
    library
}

/// When another model takes over in the data folder, serves that, whatever model was named in the beginning: the
/// one before answers until it is open.
fn follow(app: &App, mut library: Arc<Library>, options: &DataOptions) {
    let (mut said, mut pause) = (None, LOOK_EVERY);
    loop {
        std::thread::sleep(pause);
        let next = || -> anyhow::Result<Option<Library>> {
            if !library.is_superseded()? {
                return Ok(None);
            }
            let model = ingest::model_of(&options.data, &options.model.models)?;
            let model = model.context("the folder has no model any more")?;
            open(options, Arc::new(Encoder::load(&model)?)).map(Some)
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
