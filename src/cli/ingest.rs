//! `likewise ingest`: dumps into a data folder.

use super::progress::Progress;
use super::{DataOptions, print_line};
use crate::dump::{self, BytesRead, Format, Papers};
use crate::ingest::{Counts, Writer};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Exit status: some papers were refused.
pub(super) const REFUSED: u8 = 2;

/// Options of `likewise ingest`.
#[derive(Args)]
pub struct Options {
    /// Dumps: plain, .gz or .zst; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The dumps' format; left out, each file is looked into.
    #[arg(long)]
    format: Option<Format>,
    #[command(flatten)]
    data: DataOptions,
}

/// Runs it: exit status 0, or 2 if entries were refused, or 1 if a whole file could not be read.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let encoder = options.data.load()?;
    eprintln!("{}", encoder.describe());
    let mut writer = Writer::open(&options.data.data, &encoder)?;
    let started = Instant::now();
    let mut counts = Counts::default();
    counts.encoded +=
        writer.catch_up(|done, all| eprintln!("from an interrupted run: {done} of {all} encoded"))?;
    let mut unreadable = 0;
    for file in &options.files {
        match dump::read(file, options.format) {
            Ok((papers, bytes_read)) => ingest_file(file, papers, &bytes_read, &mut writer, &mut counts)?,
            Err(error) => {
                eprintln!("refused: {error}");
                unreadable += 1;
            }
        }
    }
    let encoding = started.elapsed();
    let index = writer.finish()?.stats();
    let seconds = started.elapsed().as_secs_f64();
    let Counts { read, added, replaced, unchanged, refused, encoded } = counts;
    eprintln!(
        "index: {} vectors in {} segments, {} compared one by one, {:.1} s",
        index.indexed,
        index.segments,
        index.waiting + index.stragglers,
        seconds - encoding.as_secs_f64()
    );
    print_line(&format!(
        "read {read}, added {added}, replaced {replaced}, unchanged {unchanged}, refused {refused}, encoded {encoded}, \
         {seconds:.1} s, {:.1} papers/s",
        read as f64 / seconds
    ))?;
    if unreadable > 0 {
        anyhow::bail!("{unreadable} of {} files could not be read; see above", options.files.len());
    }
    Ok(if refused > 0 { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

fn ingest_file(
    file: &Path,
    papers: Papers,
    bytes_read: &BytesRead,
    writer: &mut Writer,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let mut progress = Progress::new(file, bytes_read.clone(), counts);
    for chunk in dump::chunks(papers, writer.chunk()) {
        chunk.iter().filter_map(|entry| entry.as_ref().err()).for_each(|refused| progress.refuse(refused));
        writer.add(chunk, counts)?;
        progress.update(counts);
    }
    progress.finish();
    Ok(())
}
