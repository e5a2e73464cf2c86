//! Ingests dumps and prints the counts. Also defines the options of `likewise ingest`.
//!
//! This is a module of its own because `ingest` ingests dumps once, and `ingest --watch` whenever there are new files.

use super::dumps::{DumpOptions, Dumps, report_warnings};
use super::location::LocationOptions;
use super::print_line;
use super::progress::Progress;
use crate::ingest::{Counts, EncodeProgress, PaperWriter};
use clap::Args;
use likewise_encoder::Encoder;
use likewise_index::IndexStats;
use likewise_papers::dump::{self, Dump, Source};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Options of `likewise ingest`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pub(super) dumps: DumpOptions,
    /// Accept papers without an abstract, and encode their titles alone. By default, such papers are skipped and
    /// counted.
    #[arg(long)]
    pub(super) title_only: bool,
    /// Watch this folder, and ingest each file when it is complete, until the program is stopped.
    #[arg(long, value_name = "FOLDER")]
    pub(super) watch: Option<PathBuf>,
    #[command(flatten)]
    pub(super) location: LocationOptions,
}

/// Ingests all dumps that are still to be read, and prints the counts.
pub(super) fn ingest_dumps(
    options: &Options,
    encoder: &Arc<Encoder>,
    dumps: &mut Dumps,
) -> anyhow::Result<Counts> {
    let mut writer = options.location.location()?.open_writer(encoder)?;
    writer.set_title_only(options.title_only);
    let started = Instant::now();
    writer.catch_up(&mut |EncodeProgress { done, total }| {
        eprintln!("continuing an interrupted run: {done} of {total} texts encoded");
    })?;
    for source in std::mem::take(&mut dumps.sources) {
        let Some(dump) = dumps.open(&source) else { continue };
        if let Err(error) = check_vectors(&source, &dump, encoder) {
            eprintln!("refused: {error}");
            dumps.unreadable += 1;
            continue;
        }
        ingest_dump(&source, dump, &mut *writer)?;
    }
    let (encoding, counts) = (started.elapsed(), *writer.counts());
    let index = writer.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let IndexStats { indexed, segments, .. } = index;
    let finishing = seconds - encoding.as_secs_f64();
    match options.location.is_folder() {
        true => eprintln!(
            "index: {indexed} vectors in {segments} segments, {} not in the graph (compared one by one), {finishing:.1} s",
            index.waiting + index.unreachable,
        ),
        false => eprintln!("index: {indexed} vectors, {} not yet indexed, {finishing:.1} s", index.waiting),
    }
    print_line(&format!(
        "{}, {seconds:.1} s, {:.1} papers/s",
        formatted(&counts),
        counts.read as f64 / seconds
    ))?;
    if counts.without_abstract > 0 {
        eprintln!(
            "{} papers have no abstract and were skipped; --title-only accepts them",
            counts.without_abstract
        );
    }
    if counts.without_vector > 0 {
        eprintln!(
            "{} papers have texts that the model cannot read (listed above); only lexical search finds them",
            counts.without_vector
        );
    }
    Ok(counts)
}

/// Formats the counts in one line. A rare count is left out if it is 0.
fn formatted(counts: &Counts) -> String {
    let named = counts.named();
    let (always, rare) = named.split_at(Counts::ALWAYS_SHOWN);
    let rare = rare.iter().filter(|(_, count)| *count > 0);
    let shown: Vec<String> =
        always.iter().chain(rare).map(|(name, count)| format!("{name} {count}")).collect();
    shown.join(", ")
}

/// Returns an error if the dump has vectors that were computed with another model.
fn check_vectors(source: &Source, dump: &Dump, encoder: &Encoder) -> anyhow::Result<()> {
    let own = &encoder.model().fingerprint.sha256;
    match &dump.fingerprint {
        Some(fingerprint) if fingerprint != own => anyhow::bail!(
            "{source}: the vectors of this dump were computed with another model, precision, length, prompt or title \
             weight: the fingerprint must be {own} (got {fingerprint}), because the model in use is {}; ingest the dump \
             that the vectors were computed from, or give the same --model, --precision, --dimensions, --prompt-name \
             and --title as for the `likewise embed` that computed the vectors",
            encoder.model().describe()
        ),
        _ => Ok(()),
    }
}

fn ingest_dump(source: &Source, dump: Dump, writer: &mut dyn PaperWriter) -> anyhow::Result<()> {
    writer.start_source(&source.path, dump.bytes_read.clone());
    // Some warnings are known before anything is encoded. Print these now, so that the user can stop early.
    let reported = dump.warnings.lines();
    report_warnings(source, &dump.warnings, &[]);
    let mut progress = Progress::new(source, dump.bytes_read, writer.counts());
    for chunk in dump::chunks(dump.entries, writer.chunk_size()) {
        chunk.iter().filter_map(|entry| entry.as_ref().err()).for_each(|refused| progress.refuse(refused));
        writer.add(chunk)?;
        progress.update(writer.counts());
    }
    progress.finish();
    report_warnings(source, &dump.warnings, &reported);
    Ok(())
}
