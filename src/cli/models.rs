//! `likewise models`: which models there are, and which of them is how fast here.

use super::{DeviceOptions, Wanted, parse_precision, print_line};
use crate::dump;
use crate::encoder::{Encoder, fastest_precision};
use crate::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, Listed, ModelFolder, Precision, Side, list};
use crate::paper::Paper;
use anyhow::Context;
use clap::Args;
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
    /// Only these models.
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
    /// As the encoder describes itself.
    on: String,
    machine: String,
}

type Speeds = BTreeMap<String, Speed>;

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (models, wrong) = list(&options.models);
    let is_named = |model: &&Listed| options.names.is_empty() || options.names.contains(&model.name);
    let models: Vec<&Listed> = models.iter().filter(is_named).collect();
    if let Some(name) = options.names.iter().find(|name| !models.iter().any(|model| model.name == **name)) {
        anyhow::bail!("no model {name:?} in {} or among those that are known", options.models.display());
    }
    let path = options.models.join(SPEEDS);
    let mut speeds = read(&path)?;
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
    wrong.iter().for_each(|wrong| eprintln!("passed over: {wrong}"));
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Speeds> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Speeds::new()),
        bytes => {
            let todo = || format!("{}: delete it, and measure again", path.display());
            serde_json::from_slice(&bytes.with_context(todo)?).with_context(todo)
        }
    }
}

fn measure(model: &Listed, options: &Options, papers: &[Paper]) -> anyhow::Result<Speed> {
    let folder = model.folder.as_ref().context("it is not here")?;
    let folder = ModelFolder::open(&folder.to_string_lossy(), &options.models, Precision::F32)?;
    let device = &options.devices.device;
    let precision = options.precision.unwrap_or_else(|| fastest_precision(&folder, device));
    let encoder = Encoder::load_on(&folder.in_precision(precision), device)?;
    let texts: Vec<String> = papers.iter().map(|paper| encoder.model().text_of(paper)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    // The first batch pays for what is only done once.
    encoder.encode(&texts[..texts.len().min(4)], Side::Paper)?;
    let started = Instant::now();
    encoder.encode(&texts, Side::Paper)?;
    let papers_per_second = texts.len() as f64 / started.elapsed().as_secs_f64();
    Ok(Speed { papers_per_second, on: encoder.describe(), machine: machine() })
}

/// What is told apart: a speed of another machine says nothing of this one.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    format!("{} x {threads}", name.map_or("this machine", |(_, name)| name))
}

fn print(models: &[&Listed], speeds: &Speeds) -> anyhow::Result<()> {
    let here = machine();
    let row = |model: &&Listed| {
        let speed = speeds.get(&model.name).filter(|speed| speed.machine == here);
        let state = match (&model.folder, model.name == DEFAULT_MODEL) {
            (Some(_), true) => "here, the default",
            (Some(_), false) => "here",
            (None, _) => "likewise pull",
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
            speed.map_or("-".into(), |speed| format!("{:.0}", speed.papers_per_second)),
            model.license.clone().unwrap_or_else(|| "not stated".into()),
            model.about.clone(),
        ]
    };
    let head =
        ["model", "", "architecture", "dimension", "tokens", "size", "papers/s", "licence", "good for"];
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
