//! `likewise copy`: papers and their vectors from one place to another.
//!
//! Its own file because it is the way out of a data folder when it has become too small, and back.

use super::dumps::REFUSED;
use super::place::Place;
use super::{ModelOptions, print_line};
use crate::search::holdings::Whole;
use crate::store::text::text_of;
use clap::Args;
use likewise_papers::dump::Entry;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Between two words of how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Options of `likewise copy`.
#[derive(Args)]
pub struct Options {
    /// Where the papers are: a data folder, or milvus://HOST:PORT/COLLECTION.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Where they are to be, too: the same; a new one is made.
    #[arg(long, value_name = "PLACE")]
    to: String,
    #[command(flatten)]
    model: ModelOptions,
}

/// Runs it: exit status 0, or 2 if papers were left out.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(options.from != options.to, "got one place for --from and --to, wanted two");
    let (from, to) = (Place::parse(&options.from)?, Place::parse(&options.to)?);
    let encoder = from.load(&options.model)?;
    let from = from.library(encoder.clone())?;
    let mut to = to.intake(&encoder)?;
    // What is here without an abstract was wanted.
    to.set_title_only(true);
    to.catch_up(&mut |_, _| {})?;
    let (all, started, mut told, mut copied) = (from.stats().papers, Instant::now(), Instant::now(), 0);
    from.walk(&mut |papers| {
        copied += papers.len();
        to.add(papers.into_iter().flat_map(entries).map(Ok).collect())?;
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            eprintln!(
                "{copied} of {all} papers, {:.0} papers/s",
                copied as f64 / started.elapsed().as_secs_f64()
            );
        }
        Ok(())
    })?;
    let counts = *to.counts();
    to.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    print_line(&format!(
        "papers {copied}, written {}, there before {}, encoded {}, {seconds:.1} s, {:.0} papers/s",
        counts.added + counts.replaced,
        counts.unchanged,
        counts.encoded,
        copied as f64 / seconds
    ))?;
    let left_out = counts.refused + counts.without_vector;
    if left_out > 0 {
        eprintln!("{left_out} papers were left out, or have no vector; the warnings above name them");
        return Ok(ExitCode::from(REFUSED));
    }
    Ok(ExitCode::SUCCESS)
}

/// A paper as its sources' records, which are made one paper again; with the one that was read comes the vector.
fn entries(whole: Whole) -> Vec<Entry> {
    let Whole { paper, records, vector } = whole;
    let read = text_of(&paper);
    let mut vector = vector;
    let entry = |record| match vector.take_if(|_| text_of(&record) == read) {
        Some(vector) => Entry::Encoded(record, vector),
        None => Entry::Paper(record),
    };
    records.into_iter().map(entry).collect()
}
