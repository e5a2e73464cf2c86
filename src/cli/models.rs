//! `likewise models`: which models there are, and which of them is how fast here.

use super::{DeviceOptions, Wanted, parse_precision, print_line};
use crate::store::text::document_of;
use anyhow::Context;
use clap::Args;
use likewise_base::disk;
use likewise_encoder::model::{
    DEFAULT_MODEL, DEFAULT_MODELS_DIR, Listed, Manifest, ModelFolder, Precision, list, look,
};
use likewise_encoder::{Encoder, fastest_precision};
use likewise_papers::Paper;
use likewise_papers::dump;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Papers that a model is measured by: a small one takes a second for them, a large one a minute.
const PAPERS: usize = 128;

/// Where measured speeds are kept, in the models folder.
const SPEEDS: &str = "speeds.json";

/// Options of `likewise models`.
#[derive(Args)]
pub struct Options {
    /// Measure the models that are here, by papers of this dump, and keep what is measured.
    #[arg(long, value_name = "DUMP")]
    measure: Option<PathBuf>,
    /// Only these models, by name, repository or folder; and all that is known of each.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Precision to measure in: f32, bf16, int8, or auto, the one that would be used.
    #[arg(long, default_value = super::AUTO, value_parser = parse_precision)]
    precision: Wanted,
    #[command(flatten)]
    devices: DeviceOptions,
    /// Where models are kept by name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
}

/// How fast a model was, and where.
#[derive(Serialize, Deserialize)]
struct Speed {
    papers_per_second: f64,
    #[serde(default)]
    precision: String,
    /// As the encoder describes itself.
    on: String,
    machine: String,
}

type Speeds = BTreeMap<String, Speed>;

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (mut models, wrong) = list(&options.models);
    if !options.names.is_empty() {
        models = options.names.iter().map(|name| named(name, &models, options)).collect::<Result<_, _>>()?;
    }
    let path = options.models.join(SPEEDS);
    let mut speeds = read(&path).unwrap_or_else(|error| {
        eprintln!("passed over: {error:#}");
        Speeds::new()
    });
    if let Some(dump) = &options.measure {
        let papers: Vec<Paper> = dump::read(dump, None)?.papers().take(PAPERS).collect();
        anyhow::ensure!(!papers.is_empty(), "{}: there are no papers in it to measure by", dump.display());
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
    wrong.iter().for_each(|wrong| eprintln!("passed over: {wrong}"));
    Ok(ExitCode::SUCCESS)
}

/// One that is listed, or any folder.
fn named(name: &str, listed: &[Listed], options: &Options) -> anyhow::Result<Listed> {
    let known = Manifest::known(name).map_or(name.to_string(), |manifest| manifest.name);
    if let Some(model) = listed.iter().find(|model| model.name == known) {
        return Ok(model.clone());
    }
    anyhow::ensure!(
        Path::new(name).is_dir(),
        "no model {name:?} in {} or among those that are known, and no folder of that name",
        options.models.display()
    );
    Ok(look(name, Path::new(name))?)
}

/// What is in a model's folder beside what the table says.
fn print_details(model: &Listed, options: &Options) -> anyhow::Result<()> {
    let Some(folder) = &model.folder else { return Ok(()) };
    let opened = ModelFolder::open(&folder.to_string_lossy(), &options.models, Precision::F32)?;
    let prompts = opened.prompt_names().into_iter().map(|name| (name, opened.prompt_named(name)));
    let prompts = prompts.filter_map(|(name, prompt)| Some(format!("{name} {:?}", prompt.ok()?)));
    let join = opened.stated.join.as_deref().unwrap_or(". ");
    let fingerprint = &opened.fingerprint.parts;
    print_line(&format!(
        "\n{}\nin {}\nprompts: {}\na paper is read as its title, {join:?}, its abstract\n{}",
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

fn measure(model: &Listed, options: &Options, papers: &[Paper]) -> anyhow::Result<Speed> {
    let folder = model.folder.as_ref().context("it is not here")?;
    let folder = ModelFolder::open(&folder.to_string_lossy(), &options.models, Precision::F32)?;
    let device = &options.devices.device;
    let precision = options.precision.unwrap_or_else(|| fastest_precision(&folder, device));
    let encoder = Encoder::load_on(&folder.in_precision(precision), device)?;
    // The first batch pays for what is only done once.
    encoder.encode_titled(papers[..papers.len().min(4)].iter().map(document_of))?;
    let started = Instant::now();
    encoder.encode_titled(papers.iter().map(document_of))?;
    let papers_per_second = papers.len() as f64 / started.elapsed().as_secs_f64();
    let precision = encoder.model().precision.to_string();
    Ok(Speed { papers_per_second, precision, on: encoder.describe(), machine: machine() })
}

/// What is told apart: a speed of another machine says nothing of this one.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    format!("{} x {threads}", name.map_or("this machine", |(_, name)| name))
}

fn print(models: &[Listed], speeds: &Speeds) -> anyhow::Result<()> {
    let here = machine();
    let row = |model: &Listed| {
        let speed = speeds.get(&model.name).filter(|speed| speed.machine == here);
        let state = match (&model.folder, model.name == DEFAULT_MODEL) {
            (Some(_), true) => "here, the default",
            (Some(_), false) => "here",
            (None, _) => "not here",
        };
        let size = match (model.bytes, model.millions) {
            (Some(bytes), _) => format!("{} MB", bytes.div_ceil(1_000_000)),
            (None, Some(millions)) => format!("{millions} M parameters"),
            (None, None) => String::new(),
        };
        [
            model.name.clone(),
            state.into(),
            model.architecture.clone(),
            model.dimension.to_string(),
            model.max_length.to_string(),
            size,
            speed.map_or("-".into(), |speed| format!("{:.0} {}", speed.papers_per_second, speed.precision)),
            model.license.clone().unwrap_or_else(|| "not stated".into()),
            model.about.clone(),
        ]
    };
    let head =
        ["model", "where", "architecture", "dimension", "tokens", "size", "papers/s", "licence", "good for"];
    let rows: Vec<[String; 9]> =
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
