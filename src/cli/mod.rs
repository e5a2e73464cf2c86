//! The same in a terminal: one file a command, each of which reads as the flow.
//!
//! Errors are `anyhow` here and nowhere else: at this end they are only printed.

mod embed;
mod ingest;
mod progress;
mod pull;
mod search;
mod serve;

use crate::encoder::Encoder;
use crate::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder, Precision};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Which papers are like this one?
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch a model's files, each verified, into the models folder.
    Pull(pull::Options),
    /// Read dumps, encode what is new, and index it. Interrupted, run it again: it goes on.
    Ingest(ingest::Options),
    /// Read dumps and write their vectors into a NumPy file, for programs with an index of their own.
    Embed(embed::Options),
    /// Find the papers that are like a text, a file or other papers.
    Search(search::Options),
    /// Answer over HTTP.
    Serve(serve::Options),
}

/// Options of every command that needs a model.
#[derive(Args)]
struct ModelOptions {
    /// Model name, or a folder as sentence-transformers makes it (BERT family).
    #[arg(long, value_name = "PATH_OR_NAME", env = "LIKEWISE_MODEL", default_value = DEFAULT_MODEL)]
    model: String,
    /// Where models are kept by name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
    /// Arithmetic of the large multiplications; a data folder holds one.
    #[arg(long, env = "LIKEWISE_PRECISION", value_enum, default_value_t)]
    precision: Precision,
}

/// Options of every command that needs a data folder.
#[derive(Args)]
struct DataOptions {
    /// Data folder: the catalog, the vectors, the graph.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_DATA", default_value = "data")]
    data: PathBuf,
    #[command(flatten)]
    model: ModelOptions,
}

impl ModelOptions {
    fn load(&self) -> anyhow::Result<Encoder> {
        let folder = ModelFolder::open(&self.model, &self.models, self.precision)?;
        Ok(Encoder::load(&folder)?)
    }
}

/// Prints a line; whoever reads only the beginning of an answer has got what was wanted.
fn print_line(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Parses the arguments, runs one command, prints the error chain.
///
/// Exit status: 0, or 1 on an error, or 2 if the arguments are wrong or some papers were refused.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter =
        EnvFilter::try_from_env("LIKEWISE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,likewise=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(console::colors_enabled_stderr())
        .with_target(false)
        .init();
    let outcome = match cli.command {
        Command::Pull(options) => pull::run(&options),
        Command::Ingest(options) => ingest::run(&options),
        Command::Embed(options) => embed::run(&options),
        Command::Search(options) => search::run(&options),
        Command::Serve(options) => serve::run(options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
