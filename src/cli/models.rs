//! `likewise models`: lists models, and measures their speed on this machine.

use super::{DeviceOptions, PrecisionChoice, parse_precision, print_line};
use crate::store::text::document_of;
use anyhow::Context;
use clap::Args;
use likewise_base::disk;
use likewise_encoder::model::{
    DEFAULT_MODEL, DEFAULT_MODELS_DIR, Manifest, ManifestKind, ModelFolder, ModelSummary, Precision, list,
    summarize,
};
use likewise_encoder::{Encoder, InputType, Reranker, SparseEncoder, fastest_precision};
use likewise_papers::Paper;
use likewise_papers::dump;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Maximum number of papers that are encoded to measure a speed. A small model takes a second for these papers, a large
/// model a minute.
const MEASURED_PAPERS: usize = 128;

/// The query with which the speed of a cross-encoder is measured.
const MEASURED_QUERY: &str = "Which methods work with little labelled data?";

/// Name of the file with measured speeds, in the models folder.
const SPEEDS_FILE: &str = "speeds.json";

/// Options of `likewise models`.
#[derive(Args)]
pub struct Options {
    /// Measure the speed of the listed models that are installed, with papers of this dump. The speeds are saved in the
    /// models folder, and later runs of `likewise models` show them.
    #[arg(long, value_name = "DUMP")]
    measure: Option<PathBuf>,
    /// Models to list, each given by name, repository or folder. The prompts and settings of those that are installed
    /// are printed, too. By default, all models are listed, without prompts and settings.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Precision to measure with: f32, bf16, int8 or auto. auto is the default for a new data folder: bf16 on a GPU; on
    /// a CPU, the fastest precision that hardly changes the model's vectors.
    #[arg(long, default_value = super::AUTO, value_parser = parse_precision)]
    precision: PrecisionChoice,
    #[command(flatten)]
    devices: DeviceOptions,
    /// Folder with the installed models, each in a subfolder of its name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
}

/// A measured speed of a model.
#[derive(Serialize, Deserialize)]
struct Speed {
    papers_per_second: f64,
    #[serde(default)]
    precision: String,
    /// The encoder's description: model, precision and device.
    on: String,
    /// The result of [`machine`] when the speed was measured.
    machine: String,
}

/// Measured speeds by the model's name.
type Speeds = BTreeMap<String, Speed>;

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (mut models, wrong) = list(&options.models);
    if !options.names.is_empty() {
        models = options.names.iter().map(|name| named(name, &models, options)).collect::<Result<_, _>>()?;
    }
    let path = options.models.join(SPEEDS_FILE);
    let mut speeds = read(&path).unwrap_or_else(|error| {
        eprintln!("skipped: {error:#}");
        Speeds::new()
    });
    if let Some(dump) = &options.measure {
        let papers: Vec<Paper> = dump::read(dump, None)?.papers().take(MEASURED_PAPERS).collect();
        anyhow::ensure!(!papers.is_empty(), "{}: the dump has no papers to measure with", dump.display());
        for model in models.iter().filter(|model| model.folder.is_some()) {
            let speed = measure(model, options, &papers).with_context(|| model.name.clone())?;
            eprintln!("{}: {:.1} papers/s", speed.on, speed.papers_per_second);
            speeds.insert(model.name.clone(), speed);
        }
        std::fs::write(&path, serde_json::to_string_pretty(&speeds)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    print(&models, &speeds)?;
    for model in models.iter().filter(|_| !options.names.is_empty()) {
        print_details(model, options)?;
    }
    wrong.iter().for_each(|wrong| eprintln!("skipped: {wrong}"));
    Ok(ExitCode::SUCCESS)
}

/// Returns the listed model with this name or repository. If there is none, returns the model in the folder `name`.
fn named(name: &str, listed: &[ModelSummary], options: &Options) -> anyhow::Result<ModelSummary> {
    let short_name = Manifest::built_in(name).map_or(name.to_string(), |manifest| manifest.name);
    if let Some(model) = listed.iter().find(|model| model.name == short_name) {
        return Ok(model.clone());
    }
    anyhow::ensure!(
        Path::new(name).is_dir(),
        "{name:?} is neither a model in {}, nor a known model, nor a folder",
        options.models.display()
    );
    Ok(summarize(name, Path::new(name))?)
}

/// Prints the folder, the prompts and the settings of a model, which the table of models does not show. Prints nothing
/// if the model is not installed.
fn print_details(model: &ModelSummary, options: &Options) -> anyhow::Result<()> {
    let Some(folder) = &model.folder else { return Ok(()) };
    let opened = ModelFolder::open_any(&folder.to_string_lossy(), &options.models, Precision::F32)?;
    let prompts = opened.prompt_names().into_iter().map(|name| (name, opened.prompt_named(name)));
    let prompts = prompts.filter_map(|(name, prompt)| Some(format!("{name} {:?}", prompt.ok()?)));
    let join = opened.config.join.as_deref().unwrap_or(". ");
    let fingerprint = &opened.fingerprint.parts;
    print_line(&format!(
        "\n{}\nfolder: {}\nprompts: {}\ntext of a paper: title, {join:?}, abstract\n{}",
        model.name,
        folder.display(),
        prompts.collect::<Vec<_>>().join(", "),
        fingerprint.trim_end()
    ))
}

fn read(path: &Path) -> anyhow::Result<Speeds> {
    match disk::read_text(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Speeds::new()),
        text => {
            let shown = || path.display().to_string();
            serde_json::from_str(&text.with_context(shown)?).with_context(shown)
        }
    }
}

fn measure(model: &ModelSummary, options: &Options, papers: &[Paper]) -> anyhow::Result<Speed> {
    let folder = model.folder.as_ref().context("the model is not installed")?;
    let folder = ModelFolder::open_any(&folder.to_string_lossy(), &options.models, Precision::F32)?;
    let device = &options.devices.device;
    let precision = options.precision.unwrap_or_else(|| fastest_precision(&folder, device));
    let folder = folder.in_precision(precision);
    let (on, papers_per_second) = match model.kind {
        ManifestKind::Embedding | ManifestKind::Static => {
            let encoder = Encoder::load_on(&folder, device)?;
            let encode = |papers: &[Paper]| encoder.encode_titled(papers.iter().map(document_of)).map(drop);
            (encoder.describe(), papers_per_second(papers, encode)?)
        }
        ManifestKind::Sparse => {
            let encoder = SparseEncoder::load_on(&folder, device)?;
            let encode = |papers: &[Paper]| {
                let texts: Vec<String> = papers.iter().map(|paper| document_of(paper).text()).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                encoder.encode(&texts, InputType::Document).map(drop)
            };
            (encoder.model().describe(), papers_per_second(papers, encode)?)
        }
        ManifestKind::CrossEncoder | ManifestKind::LateInteraction => {
            let reranker = Reranker::load_on(&folder, device)?;
            let score = |papers: &[Paper]| {
                let texts: Vec<String> = papers.iter().map(|paper| document_of(paper).text()).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                reranker.score(MEASURED_QUERY, &texts).map(drop)
            };
            (reranker.describe(), papers_per_second(papers, score)?)
        }
    };
    let precision = folder.precision.to_string();
    Ok(Speed { papers_per_second, precision, on, machine: machine() })
}

/// Runs a model on papers, and returns how many papers it reads per second.
fn papers_per_second(
    papers: &[Paper],
    run: impl Fn(&[Paper]) -> likewise_encoder::Result<()>,
) -> likewise_encoder::Result<f64> {
    // Warm up: the first batch includes one-time costs.
    run(&papers[..papers.len().min(4)])?;
    let started = Instant::now();
    run(papers)?;
    Ok(papers.len() as f64 / started.elapsed().as_secs_f64())
}

/// Returns a name for this machine: the CPU and the number of threads. Speeds that were measured on a machine with
/// another name are not shown.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    format!("{} x {threads}", name.map_or("this machine", |(_, name)| name))
}

fn print(models: &[ModelSummary], speeds: &Speeds) -> anyhow::Result<()> {
    let this_machine = machine();
    let row = |model: &ModelSummary| {
        let speed = speeds.get(&model.name).filter(|speed| speed.machine == this_machine);
        let state = match (&model.folder, model.name == DEFAULT_MODEL) {
            (Some(_), true) => "installed, default",
            (Some(_), false) => "installed",
            (None, _) => "not installed",
        };
        let size = match (model.bytes, model.millions) {
            (Some(bytes), _) => format!("{} MB", bytes.div_ceil(1_000_000)),
            (None, Some(millions)) => format!("{millions} M parameters"),
            (None, None) => String::new(),
        };
        [
            model.name.clone(),
            state.into(),
            match model.kind {
                ManifestKind::Embedding => "vectors",
                ManifestKind::Static => "static",
                ManifestKind::CrossEncoder => "reranker",
                ManifestKind::LateInteraction => "late interaction",
                ManifestKind::Sparse => "sparse",
            }
            .into(),
            model.architecture.clone(),
            if model.dimension == 0 { "-".into() } else { model.dimension.to_string() },
            model.max_length.to_string(),
            size,
            speed.map_or("-".into(), |speed| format!("{:.0} {}", speed.papers_per_second, speed.precision)),
            model.license.clone().unwrap_or_else(|| "not stated".into()),
            model.about.clone(),
        ]
    };
    let head = [
        "model",
        "state",
        "kind",
        "architecture",
        "dimension",
        "tokens",
        "size",
        "papers/s",
        "licence",
        "good for",
    ];
    let rows: Vec<[String; 10]> =
        std::iter::once(head.map(String::from)).chain(models.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        print_line(cells.join("  ").trim_end())?;
    }
    Ok(())
}
