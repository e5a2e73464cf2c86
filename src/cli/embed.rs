//! `likewise embed`: dumps into a file of vectors, without a data folder.

use super::choices;
use super::dumps::{DumpOptions, Dumps, tell_unread};
use super::progress::Progress;
use super::{ModelOptions, print_line};
use crate::ingest::Counts;
use crate::ingest::embed::{Dtype, Job, Layout, Row, Run, Shard};
use crate::store::text::document_of;
use clap::Args;
use likewise_encoder::{DocumentTexts, Encoder, Side};
use likewise_papers::Paper;
use likewise_papers::dump::{self, Dump, Entry, Source};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Options of `likewise embed`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    dumps: DumpOptions,
    /// Where the vectors go: .parquet (with their papers; `likewise ingest` takes it back), .npy (one row a paper, the
    /// ids beside it in .ids), or .jsonl.
    #[arg(long, short, alias = "output", value_name = "FILE")]
    out: PathBuf,
    /// How a vector's values are written.
    #[arg(long, value_parser = choices::dtypes(), default_value = "f32")]
    dtype: Dtype,
    /// One of N runs that share the work, counted from 0, as of an array job; its number is put into the file's name.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Take papers without an abstract, too, by their titles alone.
    #[arg(long)]
    title_only: bool,
    #[command(flatten)]
    model: ModelOptions,
}

/// Runs it: exit status 0, or 2 if entries were refused.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.dumps.check_named()?;
    let encoder = options.model.load()?;
    let mut dumps = options.dumps.find()?;
    // A file that lacks one of its dumps looks whole, and is not.
    dumps.check_all_readable()?;
    if let Some(source) = dumps.sources.iter().find(|source| is_same_file(&source.path, &options.out)) {
        anyhow::bail!("--out: got {source}, which is a dump that is to be read; give another name");
    }
    let job = Job::open(&options.out, described(options, &encoder, &dumps))?;
    eprintln!("{}", encoder.describe());
    if job.entries_done() > 0 {
        // What comes there now may be another dump.
        anyhow::ensure!(
            !dumps.reads_standard_input(),
            "{}: an interrupted run left parts, and of standard input nobody knows whether it is the same; name the dump as a \
             file, or delete that folder",
            job.folder().display()
        );
        eprintln!("going on after {} entries, which an interrupted run has done", job.entries_done());
    }
    let started = Instant::now();
    let mut embedding = Embedding {
        title_only: options.title_only,
        encoder,
        job,
        papers: Vec::new(),
        rows: Vec::new(),
        counts: Counts::default(),
    };
    for source in std::mem::take(&mut dumps.sources) {
        let dump = dumps.open(&source);
        // The parts that follow would be others than those of the next run.
        dumps.check_all_readable()?;
        if let Some(dump) = dump {
            embedding.add(&source, dump)?;
        }
    }
    let (counts, out) = embedding.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let Counts { read, refused, encoded, without_abstract, deleted, .. } = counts;
    print_line(&format!(
        "{}: read {read}, refused {refused}, without abstract {without_abstract}, encoded {encoded}, {seconds:.1} s, \
         {:.1} papers/s",
        out.display(),
        encoded as f64 / seconds
    ))?;
    if deleted > 0 {
        eprintln!(
            "{deleted} papers are deleted by the dumps; the vectors of those that came before are left in"
        );
    }
    Ok(options.dumps.exit(refused + dumps.passed_over))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let absolute = |path: &Path| path.canonicalize().ok();
    absolute(one).is_some_and(|one| absolute(other) == Some(one))
}

/// What makes this run this run.
fn described(options: &Options, encoder: &Encoder, dumps: &Dumps) -> Run {
    let fingerprint = encoder.model().fingerprint.sha256.clone();
    let DumpOptions { format, columns, .. } = &options.dumps;
    Run {
        layout: Layout { fingerprint, dimension: encoder.dimension(), dtype: options.dtype },
        shard: options.shard.unwrap_or(Shard::WHOLE),
        options: format!("format {format:?}, columns {columns:?}, title only {}", options.title_only),
        dumps: dumps.identity(),
    }
}

/// A file of vectors that is being made.
struct Embedding {
    encoder: Encoder,
    job: Job,
    title_only: bool,
    /// Of the part that is being made: papers that are to be encoded, and those that are.
    papers: Vec<Paper>,
    rows: Vec<Row>,
    counts: Counts,
}

impl Embedding {
    fn add(&mut self, source: &Source, dump: Dump) -> anyhow::Result<()> {
        let mut progress = Progress::new(source, dump.bytes_read, &self.counts);
        for entry in dump::chunks(dump.entries, self.encoder.chunk()).flatten() {
            match entry {
                Ok(Entry::Paper(paper) | Entry::Encoded(paper, _)) => self.take(paper),
                Ok(Entry::Deleted(_)) => self.counts.deleted += 1,
                Err(refused) => {
                    self.counts.refused += 1;
                    progress.refuse(&refused);
                }
            }
            self.counts.read += 1;
            if self.papers.len() == self.encoder.chunk() {
                self.encode()?;
                progress.update(&self.counts);
            }
            if self.counts.read.is_multiple_of(self.job.part_entries())
                && self.counts.read > self.job.entries_done()
            {
                self.publish()?;
                progress.update(&self.counts);
            }
        }
        progress.finish();
        tell_unread(source, &dump.unread, &[]);
        Ok(())
    }

    fn take(&mut self, paper: Paper) {
        let is_without = paper.r#abstract.is_empty() && !self.title_only;
        self.counts.without_abstract += u64::from(is_without);
        if !is_without && self.counts.read >= self.job.entries_done() && self.job.has(&paper.id) {
            self.papers.push(paper);
        }
    }

    fn encode(&mut self) -> anyhow::Result<()> {
        let papers = std::mem::take(&mut self.papers);
        let read = DocumentTexts::of(self.encoder.model(), papers.iter().map(document_of));
        let encoded = read.encode(|texts| self.encoder.encode(texts, Side::Paper))?;
        for (paper, encoded) in papers.into_iter().zip(encoded) {
            match encoded {
                Ok(embedding) => {
                    self.counts.encoded += 1;
                    self.counts.tokens += embedding.tokens as u64;
                    self.rows.push(Row { paper, vector: embedding.vector });
                }
                Err(reason) => {
                    eprintln!("refused: paper {}: {reason}", paper.id);
                    self.counts.refused += 1;
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self) -> anyhow::Result<()> {
        self.encode()?;
        Ok(self.job.publish(&std::mem::take(&mut self.rows))?)
    }

    fn finish(mut self) -> anyhow::Result<(Counts, PathBuf)> {
        let is_begun = !self.counts.read.is_multiple_of(self.job.part_entries());
        if is_begun && self.counts.read > self.job.entries_done() {
            self.publish()?;
        }
        let out = self.job.out().to_path_buf();
        self.job.finish()?;
        Ok((self.counts, out))
    }
}
