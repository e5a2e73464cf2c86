//! `likewise reembed`: encodes the papers of a data folder with another model or precision, and switches to it.

use super::{DeviceOptions, ModelOverrides, PrecisionChoice, open_model, parse_precision, print_line};
use crate::ingest::reembed::{ReembedReport, ReembedStep, drop_old, reembed};
use crate::ingest::{self, EncodeProgress};
use anyhow::Context;
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use likewise_encoder::model::{DEFAULT_MODELS_DIR, ModelFolder};
use likewise_encoder::{Encoder, fastest_precision};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The interval between two lines of progress where there is no terminal.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Options of `likewise reembed`. The model and the precision are not taken from the environment, unlike in other commands:
/// variables that are set for those must not start a change of the model.
#[derive(Args)]
pub struct Options {
    /// The new model: a name, a repository on the Hugging Face hub (owner/name), or a folder. Without --model, the current model
    /// with the options below changed; without any option, the model of the run that was interrupted.
    #[arg(long, value_name = "PATH_OR_NAME")]
    model: Option<String>,
    /// The new precision: f32, bf16, int8, or auto, the fastest on this machine. By default, auto for a new model, and unchanged
    /// for the current one.
    #[arg(long, value_parser = parse_precision)]
    precision: Option<PrecisionChoice>,
    #[command(flatten)]
    overrides: ModelOverrides,
    #[command(flatten)]
    devices: DeviceOptions,
    /// Only delete the vectors of former models. Run it when no server uses them any more, to free disk space.
    #[arg(long, conflicts_with_all = ["model", "precision"])]
    drop_old: bool,
    /// Folder with the installed models, by name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
    /// Data folder, with the catalog, the vectors and the index.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_DATA", default_value = "data")]
    data: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.drop_old {
        for old in drop_old(&options.data)? {
            print_line(&format!(
                "deleted the vectors of {}, fingerprint {}",
                old.model, old.fingerprint.sha256
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let model = new_model(options)?.context(
        "no change is given, and there is no interrupted run to continue; give --model, or --precision, --dimensions, \
         --prompt-name or --title to change the current model",
    )?;
    let encoder = Arc::new(Encoder::load_on(&model, &options.devices.device)?);
    eprintln!("{}", encoder.describe());
    let mut progress = ReembedProgress::new();
    let outcome = reembed(&options.data, &encoder, |step| progress.show(&step));
    progress.bar.finish_and_clear();
    print_line(&match outcome? {
        None => format!("{} in {} is already in use", model.name, model.precision),
        Some(ReembedReport { papers, recall, index }) => format!(
            "switched to {} in {}: {papers} papers, {} vectors in {} segments, recall@10 {recall:.3}; the old vectors are \
             kept until `likewise reembed --drop-old`",
            model.name,
            model.precision,
            index.indexed + index.waiting,
            index.segments
        ),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The model to switch to. `None`: no change is given, and no interrupted run can be continued.
fn new_model(options: &Options) -> anyhow::Result<Option<ModelFolder>> {
    let Options { model, precision, models, data, .. } = options;
    let in_precision = |folder: ModelFolder, choice: PrecisionChoice| {
        let fastest = || fastest_precision(&folder, &options.devices.device);
        let precision = choice.unwrap_or_else(fastest);
        folder.in_precision(precision)
    };
    let overrides = options.overrides.options();
    if let Some(model) = model {
        let folder = open_model(model, models)?.with_options(overrides)?;
        return Ok(Some(in_precision(folder, precision.flatten())));
    }
    if overrides.is_empty() && precision.is_none() {
        return Ok(ingest::next_model_of(data, models)?);
    }
    let Some(current) = ingest::model_of(data, models)? else { return Ok(None) };
    let options = overrides.or(&current.options);
    let changed = if options == current.options { current } else { current.with_options(options)? };
    Ok(Some(match precision {
        Some(choice) => in_precision(changed, *choice),
        None => changed,
    }))
}

/// The progress of a run: a progress bar on a terminal, else a line for each step and every 10 seconds.
struct ReembedProgress {
    bar: ProgressBar,
    started: Instant,
    /// When the last line was printed, and for which kind of step. `None`: no line was printed yet.
    last_report: Option<(Instant, std::mem::Discriminant<ReembedStep>)>,
}

impl ReembedProgress {
    fn new() -> ReembedProgress {
        let bar = ProgressBar::no_length();
        let template = ProgressStyle::with_template("{msg} {wide_bar} {percent}%");
        bar.set_style(template.unwrap_or_else(|_| ProgressStyle::default_bar()));
        ReembedProgress { bar, started: Instant::now(), last_report: None }
    }

    fn show(&mut self, step: &ReembedStep) {
        let line = match step {
            ReembedStep::Waiting(owner) => format!("waiting: {owner}"),
            ReembedStep::Checking => "all papers are encoded; checking".into(),
            ReembedStep::Encoding(EncodeProgress { done, total }) => {
                if *done == 0 {
                    self.started = Instant::now();
                }
                self.bar.set_length(*total as u64);
                self.bar.set_position(*done as u64);
                let left = left(self.started.elapsed(), *done, *total);
                let left = left.map_or(String::new(), |left| format!(", {} left", HumanDuration(left)));
                format!("{done} of {total} encoded{left}")
            }
        };
        let kind = std::mem::discriminant(step);
        let is_due = self
            .last_report
            .is_none_or(|(time, last_kind)| last_kind != kind || time.elapsed() >= REPORT_INTERVAL);
        if self.bar.is_hidden() && is_due {
            eprintln!("{line}");
        }
        if is_due {
            self.last_report = Some((Instant::now(), kind));
        }
        self.bar.set_message(line);
    }
}

/// The time left, if the rest is encoded at the same rate. `None`: nothing is encoded yet.
fn left(elapsed: Duration, done: usize, all: usize) -> Option<Duration> {
    Duration::try_from_secs_f64(elapsed.as_secs_f64() / done as f64 * (all - done) as f64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_none_before_anything_is_encoded() {
        let ten = Duration::from_secs(10);
        assert_eq!(left(ten, 100, 400), Some(Duration::from_secs(30)));
        assert_eq!(left(ten, 400, 400), Some(Duration::ZERO));
        assert_eq!(left(ten, 0, 400), None, "no rate yet");
    }
}
