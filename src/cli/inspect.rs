//! `likewise inspect`: prints what dumps contain; needs neither a model nor a data folder.

use super::dumps::{DumpOptions, report_warnings};
use super::print_line;
use clap::Args;
use likewise_papers::dump::{Entry, Source};
use std::process::ExitCode;
use std::time::Instant;

/// Maximum number of refused entries per file that are listed.
const MAX_LISTED: u64 = 20;

/// Options of `likewise inspect`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    dumps: DumpOptions,
    /// Print the papers to standard output, one JSON object per line. The counts are printed to standard error in any
    /// case.
    #[arg(long)]
    json: bool,
}

/// The counts of one dump.
#[derive(Default)]
struct DumpCounts {
    papers: u64,
    without_abstract: u64,
    withdrawn: u64,
    deleted: u64,
    vectors: u64,
    refused: u64,
}

/// Runs the command. Exit status: 0 on success; 1 if a dump could not be read at all; 2 if entries were refused, or
/// files in a given folder are damaged or not dumps (with `--tolerate-refused`: 0 instead of 2).
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.dumps.check_given()?;
    let mut dumps = options.dumps.find()?;
    let mut refused = 0;
    for source in std::mem::take(&mut dumps.sources) {
        let Some(dump) = dumps.open(&source) else { continue };
        let (started, bytes_read) = (Instant::now(), dump.bytes_read);
        let (name, warnings) = (dump.format.name(), dump.warnings);
        let mut counts = DumpCounts::default();
        for entry in dump.entries {
            match entry {
                Ok(entry) => counts.count(&entry, options.json)?,
                Err(wrong) => {
                    counts.refused += 1;
                    if counts.refused <= MAX_LISTED {
                        eprintln!("refused: {source}:{}: {}", wrong.line, wrong.reason);
                    }
                }
            }
        }
        refused += counts.refused;
        counts.print(&source, name, bytes_read.so_far(), started.elapsed().as_secs_f64());
        report_warnings(&source, &warnings, &[]);
    }
    dumps.check_all_readable()?;
    Ok(options.dumps.exit_code(refused + dumps.skipped))
}

impl DumpCounts {
    /// Counts an entry, and prints the paper of the entry if `json` is true.
    fn count(&mut self, entry: &Entry, json: bool) -> anyhow::Result<()> {
        let paper = match entry {
            Entry::Paper(paper) => paper,
            Entry::Encoded(paper, _) => {
                self.vectors += 1;
                paper
            }
            Entry::Deleted(_) => {
                self.deleted += 1;
                return Ok(());
            }
        };
        self.papers += 1;
        self.without_abstract += u64::from(paper.r#abstract.is_empty());
        self.withdrawn += u64::from(paper.withdrawn);
        if json { print_line(&serde_json::to_string(paper)?) } else { Ok(()) }
    }

    /// Prints the counts to standard error, because standard output is for the papers.
    fn print(&self, source: &Source, format: &str, bytes: u64, seconds: f64) {
        eprintln!(
            "{source}: {format}: papers {}, without abstract {}, withdrawn {}, deleted {}, with vectors {}, refused {}, \
             file size {:.1} MB, {seconds:.2} s, {:.1} MB/s",
            self.papers,
            self.without_abstract,
            self.withdrawn,
            self.deleted,
            self.vectors,
            self.refused,
            bytes as f64 / 1e6,
            bytes as f64 / 1e6 / seconds.max(1e-9)
        );
    }
}
