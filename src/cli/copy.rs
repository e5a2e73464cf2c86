//! `likewise copy`: copies papers and their vectors between data folders and collections.

use super::dumps::REFUSED;
use super::location::Location;
use super::{EncoderOptions, print_line};
use crate::search::paper_store::StoredPaper;
use crate::store::text::text_of;
use clap::Args;
use likewise_papers::dump::Entry;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The interval between two reports of progress.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Options of `likewise copy`.
#[derive(Args)]
pub struct Options {
    /// Location to copy from: a data folder, or milvus://HOST:PORT/COLLECTION.
    #[arg(long, value_name = "LOCATION")]
    from: String,
    /// Location to copy to: a data folder, or milvus://HOST:PORT/COLLECTION. It is created if it does not exist.
    #[arg(long, value_name = "LOCATION")]
    to: String,
    #[command(flatten)]
    encoder: EncoderOptions,
}

/// Runs the command. Exit status: 0, or 2 if papers were left out or have no vector.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(options.from != options.to, "--from and --to must be different");
    let (from, to) = (Location::parse(&options.from)?, Location::parse(&options.to)?);
    let encoder = from.load_encoder(&options.encoder)?;
    let from = from.open_library(encoder.clone())?;
    let mut to = to.open_writer(&encoder)?;
    // Papers without an abstract were accepted when they were ingested, so they are copied, too.
    to.set_title_only(true);
    to.catch_up(&mut |_| {})?;
    let (total, started, mut last_report, mut copied) =
        (from.stats().papers, Instant::now(), Instant::now(), 0);
    from.for_each_chunk(&mut |papers| {
        copied += papers.len();
        to.add(papers.into_iter().flat_map(entries).map(Ok).collect())?;
        if last_report.elapsed() >= REPORT_INTERVAL {
            last_report = Instant::now();
            eprintln!(
                "{copied} of {total} papers, {:.0} papers/s",
                copied as f64 / started.elapsed().as_secs_f64()
            );
        }
        Ok(())
    })?;
    let counts = *to.counts();
    to.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    print_line(&format!(
        "papers {copied}, written {}, unchanged {}, encoded {}, {seconds:.1} s, {:.0} papers/s",
        counts.added + counts.replaced,
        counts.unchanged,
        counts.encoded,
        copied as f64 / seconds
    ))?;
    let left_out = counts.refused + counts.without_vector;
    if left_out > 0 {
        eprintln!("{left_out} papers were left out or have no vector; see the warnings above");
        return Ok(ExitCode::from(REFUSED));
    }
    Ok(ExitCode::SUCCESS)
}

/// Converts a stored paper to entries with its records, which the writer merges into one paper again. The record whose
/// text was encoded gets the vector.
fn entries(stored: StoredPaper) -> Vec<Entry> {
    let StoredPaper { paper, records, mut vector } = stored;
    let encoded_text = text_of(&paper);
    let entry = |record| match vector.take_if(|_| text_of(&record) == encoded_text) {
        Some(vector) => Entry::Encoded(record, vector),
        None => Entry::Paper(record),
    };
    records.into_iter().map(entry).collect()
}
