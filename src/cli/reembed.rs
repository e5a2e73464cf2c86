//! `likewise reembed`: another model takes the place of the one that a data folder was filled with.

use super::{Changes, DeviceOptions, Wanted, open_model, parse_precision, print_line};
use crate::ingest;
use crate::ingest::reembed::{Step, TookOver, drop_old, reembed};
use anyhow::Context;
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use likewise_encoder::model::{DEFAULT_MODELS_DIR, ModelFolder};
use likewise_encoder::{Encoder, fastest_precision};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Options of `likewise reembed`. What is to be changed is never taken from the environment.
#[derive(Args)]
pub struct Options {
    /// The model that is to take over: a name, a repository on the hub, or a folder; as it is by itself, in the fastest
    /// precision, unless the options below say otherwise. Left out, the one in use, in another way that they say; or,
    /// without any, the one that an interrupted run began with.
    #[arg(long, value_name = "PATH_OR_NAME")]
    model: Option<String>,
    /// The precision: f32, bf16, int8, or auto, the fastest here. Without a --model, of the model in use.
    #[arg(long, value_parser = parse_precision)]
    precision: Option<Wanted>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    devices: DeviceOptions,
    /// Only remove the vectors of models that are neither in use nor about to be.
    #[arg(long, conflicts_with_all = ["model", "precision"])]
    drop_old: bool,
    /// Where models are kept by name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
    /// Data folder: the catalog, the vectors, the index.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_DATA", default_value = "data")]
    data: PathBuf,
}

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.drop_old {
        for old in drop_old(&options.data)? {
            print_line(&format!(
                "dropped the vectors of {}, fingerprint {}",
                old.model, old.fingerprint.sha256
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let model = wanted(options)?.context(
        "which model? wanted --model, or --precision, --dimensions or --prompt-name for the one in use in another way; no \
         run was interrupted that could be gone on with",
    )?;
    let encoder = Arc::new(Encoder::load_on(&model, &options.devices.device)?);
    eprintln!("{}", encoder.describe());
    let mut progress = Progress::new();
    let outcome = reembed(&options.data, &encoder, |step| progress.show(&step));
    progress.bar.finish_and_clear();
    print_line(&match outcome? {
        None => format!("{} in {} is in use, and no other is to take its place", model.name, model.precision),
        Some(TookOver { papers, recall, index }) => format!(
            "{} in {} took over: {papers} papers, {} vectors in {} segments, recall@10 {recall:.3}; the vectors before \
             are kept until `likewise reembed --drop-old`",
            model.name,
            model.precision,
            index.indexed + index.waiting,
            index.segments
        ),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The model that is to take over.
fn wanted(options: &Options) -> anyhow::Result<Option<ModelFolder>> {
    let Options { model, precision, models, data, .. } = options;
    let in_wanted = |folder: ModelFolder, wanted: Wanted| {
        let fastest = || fastest_precision(&folder, &options.devices.device);
        let precision = wanted.unwrap_or_else(fastest);
        folder.in_precision(precision)
    };
    let changes = options.changes.options();
    if let Some(model) = model {
        let folder = open_model(model, models)?.with_options(changes)?;
        return Ok(Some(in_wanted(folder, precision.flatten())));
    }
    if changes.is_empty() && precision.is_none() {
        return Ok(ingest::next_model_of(data, models)?);
    }
    let Some(used) = ingest::model_of(data, models)? else { return Ok(None) };
    let options = changes.or(&used.options);
    let used = if options == used.options { used } else { used.with_options(options)? };
    Ok(Some(match precision {
        Some(wanted) => in_wanted(used, *wanted),
        None => used,
    }))
}

/// How far it is: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    started: Instant,
    said: Option<(Instant, std::mem::Discriminant<Step>)>,
}

impl Progress {
    fn new() -> Progress {
        let bar = ProgressBar::no_length();
        let template = ProgressStyle::with_template("{msg} {wide_bar} {percent}%");
        bar.set_style(template.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, started: Instant::now(), said: None }
    }

    fn show(&mut self, step: &Step) {
        let line = match step {
            Step::Waiting(owner) => format!("waiting: {owner}"),
            Step::Checking => "everything is encoded; checking".into(),
            Step::Encoding(done, all) => {
                if *done == 0 {
                    self.started = Instant::now();
                }
                self.bar.set_length(*all as u64);
                self.bar.set_position(*done as u64);
                let left = left(self.started.elapsed(), *done, *all);
                let left = left.map_or(String::new(), |left| format!(", {} left", HumanDuration(left)));
                format!("{done} of {all} encoded{left}")
            }
        };
        let kind = std::mem::discriminant(step);
        let is_news = self.said.is_none_or(|(said, before)| before != kind || said.elapsed() >= SAID_EVERY);
        if self.bar.is_hidden() && is_news {
            eprintln!("{line}");
        }
        if is_news {
            self.said = Some((Instant::now(), kind));
        }
        self.bar.set_message(line);
    }
}

/// The time left, if the rest takes as long as what is done.
fn left(elapsed: Duration, done: usize, all: usize) -> Option<Duration> {
    Duration::try_from_secs_f64(elapsed.as_secs_f64() / done as f64 * (all - done) as f64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_where_it_can_be_known() {
        let ten = Duration::from_secs(10);
        assert_eq!(left(ten, 100, 400), Some(Duration::from_secs(30)));
        assert_eq!(left(ten, 400, 400), Some(Duration::ZERO));
        assert_eq!(left(ten, 0, 400), None, "no rate yet");
    }
}
