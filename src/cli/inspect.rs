//! `likewise inspect`: what is in dumps, without a model or a data folder.

use super::dumps::{DumpOptions, tell_unread};
use super::print_line;
use clap::Args;
use likewise_papers::dump::{Entry, Source};
use std::process::ExitCode;
use std::time::Instant;

/// Refusals of one file that are told in full.
const TOLD: u64 = 20;

/// Options of `likewise inspect`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    dumps: DumpOptions,
    /// Print the papers, one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What was found in one dump.
#[derive(Default)]
struct Found {
    papers: u64,
    without_abstract: u64,
    withdrawn: u64,
    deleted: u64,
    vectors: u64,
    refused: u64,
}

/// Runs it: exit status 0, or 2 if entries were refused, or 1 if a whole file could not be read.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.dumps.check_named()?;
    let mut dumps = options.dumps.find()?;
    let mut refused = 0;
    for source in std::mem::take(&mut dumps.sources) {
        let Some(dump) = dumps.open(&source) else { continue };
        let (started, bytes_read) = (Instant::now(), dump.bytes_read);
        let (name, unread) = (dump.format.name(), dump.unread);
        let mut found = Found::default();
        for entry in dump.entries {
            match entry {
                Ok(entry) => found.count(&entry, options.json)?,
                Err(wrong) => {
                    found.refused += 1;
                    if found.refused <= TOLD {
                        eprintln!("refused: {source}:{}: {}", wrong.line, wrong.reason);
                    }
                }
            }
        }
        refused += found.refused;
        found.tell(&source, name, bytes_read.so_far(), started.elapsed().as_secs_f64());
        tell_unread(&source, &unread, &[]);
    }
    dumps.check_all_readable()?;
    Ok(options.dumps.exit(refused + dumps.passed_over))
}

impl Found {
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

    /// To standard error, where the papers themselves are asked for.
    fn tell(&self, source: &Source, format: &str, bytes: u64, seconds: f64) {
        eprintln!(
            "{source}: {format}: papers {}, without abstract {}, withdrawn {}, deleted {}, with vectors {}, refused {}, \
             {:.1} MB as packed, {seconds:.2} s, {:.1} MB/s",
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
