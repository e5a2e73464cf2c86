//! The same in a terminal: one file a command, each of which reads as the flow.
//!
//! Errors are `anyhow` here and nowhere else: at this end they are only printed.

mod backup;
mod choices;
mod compact;
mod config;
mod copy;
mod delete;
mod dumps;
mod embed;
mod eval;
mod ingest;
mod inspect;
mod logging;
mod mcp;
mod models;
mod place;
mod progress;
mod pull;
mod reembed;
mod search;
mod serve;
mod settings;
mod take_in;
#[cfg(feature = "otlp")]
mod traces;
mod verify;
mod watch;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use likewise_encoder::model::{self, DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder, Precision};
use likewise_encoder::{self, Devices, Encoder};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

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
    /// List models: those that are here, and those that can be fetched; what each is good for.
    Models(models::Options),
    /// Read dumps, encode what is new, and index it. Interrupted, run it again: it goes on.
    Ingest(take_in::Options),
    /// Read dumps and write their vectors into a file: Parquet, NumPy or JSON Lines. Interrupted, run it again: it goes on.
    Embed(embed::Options),
    /// Read dumps and say what is in them, without a model or a data folder.
    Inspect(inspect::Options),
    /// Take papers out of a data folder; a server that serves it follows.
    Delete(delete::Options),
    /// Copy papers and vectors from a data folder into a collection of a Milvus server, or back, or into another of either;
    /// nothing is encoded again. Interrupted, run it again: what is there is passed over.
    Copy(copy::Options),
    /// Copy a data folder as it is at this moment, while others read it and write to it.
    Backup(backup::Options),
    /// Give back the room that deleted and replaced papers take, and build the index in one piece.
    Compact(compact::Options),
    /// Let another model, or precision, take the place of the one in use: while it fills its vectors, the one in use
    /// answers. Interrupted, run it again: it goes on.
    Reembed(reembed::Options),
    /// Find the papers that are like a text, a file or other papers.
    Search(search::Options),
    /// Say how good answers are, by sets that people judged; compare systems.
    Eval(eval::Options),
    /// Answer over HTTP.
    Serve(serve::Options),
    /// Say which options of `serve` are in force, and where each value came from.
    Config(config::Options),
    /// Give agents tools, by the Model Context Protocol, on standard input and output.
    Mcp(mcp::Options),
    /// Read a whole data folder and say what is damaged; with --repair, mend it.
    Verify(verify::Options),
}

/// Options of every command that needs a model.
#[derive(Args)]
pub struct ModelOptions {
    /// Model name (`likewise models` lists them), a repository on the hub (owner/name), or a folder as
    /// sentence-transformers makes it. Left out, the one that a data folder was filled with; else all-MiniLM-L6-v2.
    #[arg(long, value_name = "PATH_OR_NAME", env = "LIKEWISE_MODEL")]
    model: Option<String>,
    /// Where models are kept by name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    pub models: PathBuf,
    /// Arithmetic of the large multiplications: f32, bf16, int8, or auto, which is a data folder's own, and
    /// for a new one the fastest that this CPU has instructions for, if the model is of BERT's shape, else f32; on a GPU
    /// bf16.
    #[arg(long, env = "LIKEWISE_PRECISION", default_value = AUTO, value_parser = parse_precision)]
    precision: Wanted,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    devices: DeviceOptions,
}

/// What is to be otherwise than a model's folder says; what it was for a data folder's own model stays so.
#[derive(Args)]
struct Changes {
    /// Only so many values of every vector, for models that were trained for it (Matryoshka).
    #[arg(long, value_name = "N", env = "LIKEWISE_DIMENSIONS")]
    dimensions: Option<usize>,
    /// The model's prompt of this name before papers and queries alike, in place of one each: for models that have some
    /// for other tasks (clustering, similarity).
    #[arg(long, value_name = "NAME", env = "LIKEWISE_PROMPT_NAME")]
    prompt_name: Option<String>,
    /// How much the vector of a paper's title counts beside that of its text, in per cent.
    #[arg(long, value_name = "PERCENT", env = "LIKEWISE_TITLE")]
    title: Option<u16>,
}

impl Changes {
    fn options(&self) -> model::ModelOptions {
        let Changes { dimensions, prompt_name, title } = self;
        model::ModelOptions { dimensions: *dimensions, prompt_name: prompt_name.clone(), title: *title }
    }
}

/// Where to encode.
#[derive(Args)]
struct DeviceOptions {
    /// What encodes: cpu, cuda (all GPUs), cuda:0, cuda:0,cuda:1, or auto: GPUs, if the program was built for them and
    /// there are any.
    #[arg(long, value_name = "DEVICE", env = "LIKEWISE_DEVICE", default_value_t = Devices::Auto)]
    device: Devices,
}

/// A precision by name, or none for [`AUTO`].
type Wanted = Option<Precision>;

const AUTO: &str = "auto";

fn parse_precision(name: &str) -> Result<Wanted, String> {
    if name == AUTO {
        return Ok(None);
    }
    let known = |precision: &Precision| precision.to_string() == name;
    let found = Precision::ALL.into_iter().find(known);
    found.map(Some).ok_or_else(|| "wanted auto, f32, bf16 or int8".into())
}

/// Options of every command that needs a data folder.
#[derive(Args)]
pub struct DataOptions {
    /// Data folder: the catalog, the vectors, the index.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_DATA", default_value = "data")]
    pub data: PathBuf,
    /// Whose vectors it has.
    #[command(flatten)]
    pub model: ModelOptions,
}

impl ModelOptions {
    fn open(&self) -> anyhow::Result<ModelFolder> {
        let folder = open_model(self.model.as_deref().unwrap_or(DEFAULT_MODEL), &self.models)?;
        let folder = folder.with_options(self.changes.options())?;
        let fastest = || likewise_encoder::fastest_precision(&folder, &self.devices.device);
        let precision = self.precision.unwrap_or_else(fastest);
        Ok(folder.in_precision(precision))
    }

    fn load(&self) -> anyhow::Result<Encoder> {
        Ok(Encoder::load_on(&self.open()?, &self.devices.device)?)
    }

    /// Loads the model that was named, or `own`, that of some papers; in the precision that was named, or theirs.
    fn load_like(
        &self,
        own: impl FnOnce(&Path) -> anyhow::Result<Option<ModelFolder>>,
        precision_of: impl FnOnce(&ModelFolder) -> anyhow::Result<Option<Precision>>,
    ) -> anyhow::Result<Arc<Encoder>> {
        let own = if self.model.is_none() { own(&self.models)? } else { None };
        let changes = self.changes.options();
        let mut folder = match own {
            Some(own) if changes.is_empty() => own,
            Some(own) => {
                let options = changes.or(&own.options);
                own.with_options(options)?
            }
            None => self.open()?,
        };
        let precision = self.precision.map_or_else(|| precision_of(&folder), |named| Ok(Some(named)))?;
        if let Some(precision) = precision {
            folder = folder.in_precision(precision);
        }
        Ok(Arc::new(Encoder::load_on(&folder, &self.devices.device)?))
    }
}

/// Opens a model by name or folder; one that can be had and is not here is fetched, as its name asks for no less.
fn open_model(name: &str, models: &Path) -> anyhow::Result<ModelFolder> {
    let is_missing = !Path::new(name).is_dir() && !model::is_here(name, models);
    if is_missing && (model::is_repository(name) || model::Manifest::known(name).is_some()) {
        eprintln!("{name} is no folder here, and not in {} yet; fetching it", models.display());
        model::pull(name, models)?;
    }
    Ok(ModelFolder::open(name, models, Precision::F32)?)
}

impl DataOptions {
    /// Loads the model that was named, or the folder's own, in the precision that was named, or the folder's own.
    fn load(&self) -> anyhow::Result<Arc<Encoder>> {
        place::Place::Folder(self.data.clone()).load(&self.model)
    }
}

/// Prints a line; whoever reads only the beginning of an answer has got what was wanted.
fn print_line(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments, runs one command, prints the error chain.
///
/// Exit status: 0, or 1 on an error, or 2 if the arguments are wrong or some papers were refused.
pub fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let matches = config::matches(command())?;
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let own = logging::LogOptions::default();
    let _traces =
        logging::start(if let Command::Serve(options) = &cli.command { &options.logging } else { &own })?;
    match cli.command {
        Command::Pull(options) => pull::run(&options),
        Command::Models(options) => models::run(&options),
        Command::Ingest(options) => ingest::run(&options),
        Command::Embed(options) => embed::run(&options),
        Command::Inspect(options) => inspect::run(&options),
        Command::Delete(options) => delete::run(&options),
        Command::Copy(options) => copy::run(&options),
        Command::Backup(options) => backup::run(&options),
        Command::Compact(options) => compact::run(&options),
        Command::Reembed(options) => reembed::run(&options),
        Command::Search(options) => search::run(&options),
        Command::Eval(options) => eval::run(&options),
        Command::Serve(options) => serve::run(options),
        Command::Config(options) => {
            config::run(&options, matches.subcommand().map_or(&matches, |(_, matches)| matches))
        }
        Command::Mcp(options) => mcp::run(&options),
        Command::Verify(options) => verify::run(&options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_options_are_defined_without_contradiction() {
        Cli::command().debug_assert();
    }
}
