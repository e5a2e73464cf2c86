//! The command line: one file per command.
//!
//! Errors are `anyhow` errors in this module only, because here they are only printed.

mod backup;
mod compact;
mod config;
mod copy;
mod delete;
mod dumps;
mod embed;
mod eval;
mod ingest;
mod ingest_dumps;
mod inspect;
mod location;
mod logging;
mod mcp;
mod models;
mod progress;
mod pull;
mod reembed;
mod renamed;
mod reranker;
mod search;
mod serve;
mod settings;
#[cfg(feature = "otlp")]
mod traces;
mod value_parsers;
mod verify;
mod watch;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use likewise_encoder::model::{self, DEFAULT_MODEL, DEFAULT_MODELS_DIR, ModelFolder, Precision};
use likewise_encoder::{self, Devices, Encoder, SparseEncoder};
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
    /// Download a model into the models folder. Files whose checksums are known are verified.
    Pull(pull::Options),
    /// List the models that are installed or can be downloaded, and the purpose of each model.
    Models(models::Options),
    /// Read dumps, and encode and index their new papers. To continue an interrupted run, repeat the command.
    Ingest(ingest_dumps::Options),
    /// Encode the papers of dumps into a file: Parquet, NumPy or JSON Lines. To continue an interrupted run, repeat the
    /// command.
    Embed(embed::Options),
    /// Read dumps, and print how many papers they contain. With --json, also print the papers. Needs neither a model
    /// nor a data folder.
    Inspect(inspect::Options),
    /// Delete papers from a data folder or a Milvus collection. A running server stops finding the deleted papers.
    Delete(delete::Options),
    /// Copy papers and their vectors between data folders and Milvus collections, without encoding the papers again. To
    /// continue an interrupted run, repeat the command: papers that are already in the destination are skipped.
    Copy(copy::Options),
    /// Copy a data folder in a consistent state, even while other processes write to it.
    Backup(backup::Options),
    /// Free the disk space of deleted and replaced papers, and rebuild the index as one segment (none if there are
    /// fewer than 1,000 vectors, which are compared one by one).
    Compact(compact::Options),
    /// Encode all papers of a data folder with another model or precision, and then switch the folder to the new
    /// vectors. Until the switch, searches use the old vectors. To continue an interrupted run, repeat the command.
    Reembed(reembed::Options),
    /// Find the papers that are most similar to a text, a file or other papers.
    Search(search::Options),
    /// Measure search quality on test collections with relevance judgements, and compare search systems.
    Eval(eval::Options),
    /// Run the HTTP server: the API and the web pages.
    Serve(serve::Options),
    /// Print the options that `serve` would use, and where each value comes from.
    Config(config::Options),
    /// Run a Model Context Protocol server for AI agents, on standard input and output.
    Mcp(mcp::Options),
    /// Check the papers, vectors and indexes of a data folder for damage. With --repair, also repair the vectors and
    /// indexes.
    Verify(verify::Options),
}

/// Options that load an encoder. `models` and `reembed` have options of their own for this.
#[derive(Args)]
pub struct EncoderOptions {
    /// The embedding model: a name (`likewise models` lists them), a repository on the Hugging Face hub (owner/name),
    /// or a folder in the format of sentence-transformers. By default, the model that the data folder was filled with,
    /// or all-MiniLM-L6-v2 for a new data folder.
    #[arg(long, value_name = "PATH_OR_NAME", env = "LIKEWISE_MODEL")]
    model: Option<String>,
    /// Folder with the installed models, each in a subfolder of its name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    pub models: PathBuf,
    /// Precision of the matrix multiplications: f32, bf16, int8 or auto. auto is the precision that the data folder was
    /// filled with. For a new data folder, auto is bf16 on a GPU. On a CPU, it is the fastest precision that hardly changes
    /// the model's vectors; the line that is printed at the start names it. If several machines fill or search the same papers, set the same precision on all of these machines.
    #[arg(long, env = "LIKEWISE_PRECISION", default_value = AUTO, value_parser = parse_precision)]
    precision: PrecisionChoice,
    #[command(flatten)]
    overrides: ModelOverrides,
    #[command(flatten)]
    devices: DeviceOptions,
}

/// Options that override settings of a model's folder. If neither these options nor `--model` are given, a data folder
/// keeps the settings that it was filled with.
#[derive(Args)]
struct ModelOverrides {
    /// Keep only the first N values of every vector. Use it only with models that are trained for shorter vectors
    /// (Matryoshka embeddings). By default, all values, or as many as the data folder was filled with.
    #[arg(long, value_name = "N", env = "LIKEWISE_DIMENSIONS")]
    dimensions: Option<usize>,
    /// Name of the model's prompt to put before the texts of papers and queries, instead of the model's prompts for
    /// documents and queries. Some models have prompts for other tasks, such as clustering; `likewise models NAME`
    /// lists the prompts of an installed model.
    #[arg(long, value_name = "NAME", env = "LIKEWISE_PROMPT_NAME")]
    prompt_name: Option<String>,
    /// Weight of a title's vector relative to the vector of the paper's whole text, in per cent. By default, the weight
    /// in the model's settings, or the weight that the data folder was filled with.
    #[arg(long, value_name = "PERCENT", env = "LIKEWISE_TITLE")]
    title: Option<u16>,
}

impl ModelOverrides {
    fn options(&self) -> model::ModelOptions {
        let ModelOverrides { dimensions, prompt_name, title } = self;
        model::ModelOptions { dimensions: *dimensions, prompt_name: prompt_name.clone(), title: *title }
    }
}

/// The option for the devices that encode.
#[derive(Args)]
struct DeviceOptions {
    /// Devices that encode: cpu, cuda (all GPUs), one GPU such as cuda:0, several GPUs such as cuda:0,cuda:1, or auto.
    /// auto uses all GPUs if the machine has any, the program was built for GPUs, and the precision is not int8.
    /// Otherwise, auto uses the CPU.
    #[arg(long, value_name = "DEVICE", env = "LIKEWISE_DEVICE", default_value_t = Devices::Auto)]
    device: Devices,
}

/// The value of `--precision`. `None`: [`AUTO`].
// A type alias, because clap takes a field of type `Option<…>` for an option that can be left out.
type PrecisionChoice = Option<Precision>;

const AUTO: &str = "auto";

fn parse_precision(name: &str) -> Result<PrecisionChoice, String> {
    if name == AUTO {
        return Ok(None);
    }
    let precision = Precision::ALL.into_iter().find(|precision| precision.to_string() == name);
    precision.map(Some).ok_or_else(|| "the precision must be auto, f32, bf16 or int8".into())
}

/// The data folder of a command, and the options that load the encoder for this folder.
#[derive(Args)]
pub struct DataOptions {
    /// Data folder; it contains the catalog of papers, the vectors and the index.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_DATA", default_value = "data")]
    pub data: PathBuf,
    /// Options that load the model of a data folder, for its papers and for queries.
    #[command(flatten)]
    pub encoder: EncoderOptions,
}

impl EncoderOptions {
    fn open(&self) -> anyhow::Result<ModelFolder> {
        let name = self.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let folder = self.open_in(name, ModelFolder::open, self.precision)?;
        Ok(folder.with_options(self.overrides.options())?)
    }

    /// Opens a model with the function `open`, in this precision or, if it is `None`, in the fastest one of the devices.
    fn open_in(
        &self,
        name: &str,
        open: impl Fn(&str, &Path, Precision) -> likewise_encoder::Result<ModelFolder>,
        precision: PrecisionChoice,
    ) -> anyhow::Result<ModelFolder> {
        let folder = open_model(name, &self.models, open)?;
        let fastest = || likewise_encoder::fastest_precision(&folder, &self.devices.device);
        let precision = precision.unwrap_or_else(fastest);
        Ok(folder.in_precision(precision))
    }

    fn load(&self) -> anyhow::Result<Encoder> {
        Ok(Encoder::load_on(&self.open()?, &self.devices.device)?)
    }

    /// Loads the sparse encoder that `--model` names.
    fn load_sparse(&self) -> anyhow::Result<SparseEncoder> {
        let Some(name) = &self.model else {
            anyhow::bail!("--sparse needs a sparse encoder (SPLADE); name one with --model");
        };
        anyhow::ensure!(
            self.overrides.options().is_empty(),
            "--dimensions, --prompt-name and --title do not apply to sparse vectors; leave them out"
        );
        let folder = self.open_in(name, ModelFolder::open_sparse, self.precision)?;
        Ok(SparseEncoder::load_on(&folder, &self.devices.device)?)
    }

    /// Loads the encoder for stored papers.
    ///
    /// The model is the one that `--model` names. Without `--model`, it is the model that encoded the papers: `stored`
    /// returns it, given the models folder. If `stored` returns `None`, it is the default model.
    ///
    /// The precision is the one that `--precision` names. Without `--precision`, it is the precision of the stored
    /// vectors, which `precision_of` returns. If `precision_of` returns `None`, the model from `stored` keeps its
    /// precision, and any other model gets the default precision for new papers.
    fn load_or_stored(
        &self,
        stored: impl FnOnce(&Path) -> anyhow::Result<Option<ModelFolder>>,
        precision_of: impl FnOnce(&ModelFolder) -> anyhow::Result<Option<Precision>>,
    ) -> anyhow::Result<Arc<Encoder>> {
        let stored = if self.model.is_none() { stored(&self.models)? } else { None };
        let overrides = self.overrides.options();
        let mut folder = match stored {
            Some(stored) if overrides.is_empty() => stored,
            Some(stored) => {
                let options = overrides.or(&stored.options);
                stored.with_options(options)?
            }
            None => self.open()?,
        };
        let precision = self.precision.map_or_else(|| precision_of(&folder), |given| Ok(Some(given)))?;
        if let Some(precision) = precision {
            folder = folder.in_precision(precision);
        }
        Ok(Arc::new(Encoder::load_on(&folder, &self.devices.device)?))
    }
}

/// Opens a model by name, hub repository or folder, with the function `open`. Downloads the model first if it is not
/// installed and can be downloaded.
fn open_model(
    name: &str,
    models: &Path,
    open: impl Fn(&str, &Path, Precision) -> likewise_encoder::Result<ModelFolder>,
) -> anyhow::Result<ModelFolder> {
    let is_missing = !Path::new(name).is_dir() && !model::is_installed(name, models);
    if is_missing && (model::is_repository(name) || model::Manifest::built_in(name).is_some()) {
        eprintln!("{name} is neither a folder nor installed in {}; downloading the model", models.display());
        model::pull(name, models)?;
    }
    Ok(open(name, models, Precision::F32)?)
}

impl DataOptions {
    /// Loads the encoder; see [`location::Location::load_encoder`].
    fn load_encoder(&self) -> anyhow::Result<Arc<Encoder>> {
        location::Location::Folder(self.data.clone()).load_encoder(&self.encoder)
    }
}

/// Prints a line to standard output. Returns no error if the reader has closed the pipe, as `head` does.
fn print_line(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments, runs one command, and prints the error chain if it fails.
///
/// Exit status: 0 on success; 1 on an error; 2 if the arguments are invalid, or some entries or papers were refused or
/// left out. Some commands also use 1 for a result, such as damage that `verify` finds.
pub fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let matches = config::matches(command())?;
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let default = logging::LogOptions::default();
    let _trace_exporter =
        logging::start(if let Command::Serve(options) = &cli.command { &options.logging } else { &default })?;
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
    fn command_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
