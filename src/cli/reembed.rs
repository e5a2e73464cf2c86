//! `likewise reembed`: encodes the papers of a data folder with another model or precision, and switches the folder to
//! the new vectors.

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

/// Interval between two lines of progress if standard error is not a terminal.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Options of `likewise reembed`. Unlike other commands, it does not read `--model` and `--precision` from environment
/// variables: variables that are set for other commands must not change the model of a data folder. The options of
/// [`ModelOverrides`] are read from environment variables here, too.
#[derive(Args)]
pub struct Options {
    /// The new model: a name, a repository on the Hugging Face hub (owner/name), or a folder. If only other options are
    /// given, they change the current model. If no option is given, an interrupted run is continued with its model.
    #[arg(long, value_name = "PATH_OR_NAME")]
    model: Option<String>,
    /// The new precision: f32, bf16, int8 or auto. auto is the default for a new data folder: bf16 on a GPU; on a CPU,
    /// the fastest precision that hardly changes the model's vectors. By default, auto if --model is given; otherwise the precision stays the same.
    #[arg(long, value_parser = parse_precision)]
    precision: Option<PrecisionChoice>,
    #[command(flatten)]
    overrides: ModelOverrides,
    #[command(flatten)]
    devices: DeviceOptions,
    /// Delete the vectors of former models to free disk space, and do nothing else. Use it when no server uses these
    /// vectors any more.
    #[arg(long, conflicts_with_all = ["model", "precision"])]
    drop_old: bool,
    /// Folder with the installed models, each in a subfolder of its name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
    /// Data folder; it contains the catalog of papers, the vectors and the index.
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
        None => format!("the data folder already uses {} in {}", model.name, model.precision),
        Some(ReembedReport { papers, recall, index }) => format!(
            "switched to {} in {}: {papers} papers, {} vectors, {} index segments, recall@10 {recall:.3}; the old \
             vectors are kept until `likewise reembed --drop-old`",
            model.name,
            model.precision,
            index.indexed + index.waiting,
            index.segments
        ),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the model to switch to. `None`: the options give no change and there is no interrupted run to continue, or
/// the options change the current model but the data folder has none.
fn new_model(options: &Options) -> anyhow::Result<Option<ModelFolder>> {
    let Options { model, precision, models, data, .. } = options;
    let in_precision = |folder: ModelFolder, choice: PrecisionChoice| {
        let fastest = || fastest_precision(&folder, &options.devices.device);
        let precision = choice.unwrap_or_else(fastest);
        folder.in_precision(precision)
    };
    let overrides = options.overrides.options();
    if let Some(model) = model {
        let folder = open_model(model, models, ModelFolder::open)?.with_options(overrides)?;
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

/// Shows the progress of a run: with a progress bar on a terminal, otherwise with a line of text for each new kind of
/// step and every 10 seconds.
struct ReembedProgress {
    bar: ProgressBar,
    started: Instant,
    /// Time of the last line of progress, and the kind of step that the line was about. `None`: there was no line yet.
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
            ReembedStep::Checking => "all papers are encoded; checking the new vectors".into(),
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

/// Returns the time left if the remaining papers are encoded at the same rate as the first `done` papers. `None`:
/// nothing is encoded yet.
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
