//! `likewise embed`: encodes the papers of dumps into a file of vectors, without a data folder.

use super::dumps::{DumpOptions, Dumps, report_warnings};
use super::progress::Progress;
use super::value_parsers;
use super::{EncoderOptions, print_line};
use crate::ingest::Counts;
use crate::ingest::embed::{Dtype, EmbedJob, EmbedRun, EmbeddedPaper, PaperVector, Shard, VectorLayout};
use crate::store::text::document_of;
use clap::Args;
use likewise_encoder::{
    DocumentTexts, Embedding, Encoder, InputType, ModelFolder, SparseEncoder, encode_readable,
};
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
    /// File to write. The extension sets the format: .parquet (vectors and papers, which `likewise ingest` can read),
    /// .npy (one row per paper; the ids are in a second file with the extension .ids), or .jsonl.
    #[arg(long, short, alias = "output", value_name = "FILE")]
    out: PathBuf,
    /// Data type of the vectors' values. f16 halves the size of the vectors; the rounding hardly changes similarities.
    #[arg(long, value_parser = value_parsers::dtypes(), default_value = "f32")]
    dtype: Dtype,
    /// Encode only shard I of the N shards of the papers (I from 0 to N-1), so that N runs can share the work. Shard 3
    /// of 16 is written to a file such as vectors-00003-of-00016.parquet. By default, all papers are encoded.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Accept papers without an abstract, and encode their titles alone. By default, such papers are skipped and
    /// counted.
    #[arg(long)]
    title_only: bool,
    /// Write sparse vectors, with a value for each token of the vocabulary that a paper is about. `--model` must name a
    /// sparse encoder (SPLADE), and the file must be .parquet or .jsonl.
    #[arg(long)]
    sparse: bool,
    #[command(flatten)]
    encoder: EncoderOptions,
}

/// The model that encodes the papers.
enum PaperEncoder {
    Dense(Encoder),
    Sparse(SparseEncoder),
}

impl PaperEncoder {
    fn load(options: &Options) -> anyhow::Result<PaperEncoder> {
        match options.sparse {
            true => options.encoder.load_sparse().map(PaperEncoder::Sparse),
            false => options.encoder.load().map(PaperEncoder::Dense),
        }
    }

    fn model(&self) -> &ModelFolder {
        match self {
            PaperEncoder::Dense(encoder) => encoder.model(),
            PaperEncoder::Sparse(encoder) => encoder.model(),
        }
    }

    fn describe(&self) -> String {
        match self {
            PaperEncoder::Dense(encoder) => encoder.describe(),
            PaperEncoder::Sparse(encoder) => format!("{}, sparse vectors", encoder.model().describe()),
        }
    }

    /// Number of papers to encode at a time.
    fn chunk_size(&self) -> usize {
        match self {
            PaperEncoder::Dense(encoder) => encoder.chunk_size(),
            PaperEncoder::Sparse(encoder) => encoder.chunk_size(),
        }
    }

    /// Encodes papers. Returns the vector of each paper and its number of tokens, or the reason why the model cannot read
    /// the paper.
    fn encode(&self, papers: &[Paper]) -> anyhow::Result<Vec<Result<(PaperVector, usize), String>>> {
        match self {
            PaperEncoder::Dense(encoder) => {
                let texts = DocumentTexts::of(encoder.model(), papers.iter().map(document_of));
                let encoded = texts.encode(|texts| encoder.encode(texts, InputType::Document))?;
                let vector = |embedding: Embedding| (PaperVector::Dense(embedding.vector), embedding.tokens);
                Ok(encoded.into_iter().map(|result| result.map(vector)).collect())
            }
            PaperEncoder::Sparse(encoder) => {
                let text = |paper| encoder.model().text_of(document_of(paper));
                let texts: Vec<String> = papers.iter().map(text).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                Ok(encode_readable(&texts, |texts| {
                    let tokenized = encoder.tokenize(texts, InputType::Document)?;
                    let tokens = tokenized.iter().map(|text| text.ids.len());
                    Ok(encoder.embed(&tokenized)?.into_iter().map(PaperVector::Sparse).zip(tokens).collect())
                })?)
            }
        }
    }
}

/// Runs the command. Exit status: 0, or 2 if entries were refused, papers have texts that the model cannot read, or
/// files in a given folder are damaged or not dumps (with `--tolerate-refused`: 0 instead of 2).
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.dumps.check_given()?;
    let encoder = PaperEncoder::load(options)?;
    let mut dumps = options.dumps.find()?;
    // Write nothing if a dump is missing: the incomplete file would look complete.
    dumps.check_all_readable()?;
    if let Some(source) = dumps.sources.iter().find(|source| is_same_file(&source.path, &options.out)) {
        anyhow::bail!("--out must not be one of the dumps to read (got {source}); give another file");
    }
    let job = EmbedJob::open(&options.out, described(options, &encoder, &dumps))?;
    eprintln!("{}", encoder.describe());
    if job.entries_done() > 0 {
        anyhow::ensure!(
            !dumps.reads_standard_input(),
            "{}: this folder has the finished parts of an interrupted run, but a run cannot be continued from standard \
             input, which might be a different dump now; give the dump as a file, or delete the folder",
            job.folder().display()
        );
        eprintln!("continuing an interrupted run after {} entries", job.entries_done());
    }
    let started = Instant::now();
    let mut builder = VectorFileBuilder {
        title_only: options.title_only,
        encoder,
        job,
        papers: Vec::new(),
        rows: Vec::new(),
        counts: Counts::default(),
    };
    for source in std::mem::take(&mut dumps.sources) {
        let dump = dumps.open(&source);
        // Stop at a dump that cannot be read: a later run that can read it would put other papers into the following
        // parts.
        dumps.check_all_readable()?;
        if let Some(dump) = dump {
            builder.add(&source, dump)?;
        }
    }
    let (counts, out) = builder.finish()?;
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
            "the dumps delete {deleted} papers; vectors of these papers that were already written stay in the file"
        );
    }
    Ok(options.dumps.exit_code(refused + dumps.skipped))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let absolute = |path: &Path| path.canonicalize().ok();
    absolute(one).is_some_and(|one| absolute(other) == Some(one))
}

/// Describes the run. A later run can continue this one only if the two descriptions are equal.
fn described(options: &Options, encoder: &PaperEncoder, dumps: &Dumps) -> EmbedRun {
    let fingerprint = encoder.model().fingerprint.sha256.clone();
    let DumpOptions { format, columns, .. } = &options.dumps;
    EmbedRun {
        layout: VectorLayout {
            fingerprint,
            dimension: encoder.model().dimension(),
            dtype: options.dtype,
            is_sparse: options.sparse,
        },
        shard: options.shard.unwrap_or(Shard::WHOLE),
        options: format!("format {format:?}, columns {columns:?}, title only {}", options.title_only),
        dumps: dumps.identity(),
    }
}

/// Encodes papers, and writes their vectors to files, one for each part. At the end, joins them into the output file.
struct VectorFileBuilder {
    encoder: PaperEncoder,
    job: EmbedJob,
    title_only: bool,
    /// Papers of the current part that are not encoded yet.
    papers: Vec<Paper>,
    /// Encoded papers of the current part.
    rows: Vec<EmbeddedPaper>,
    counts: Counts,
}

impl VectorFileBuilder {
    fn add(&mut self, source: &Source, dump: Dump) -> anyhow::Result<()> {
        let mut progress = Progress::new(source, dump.bytes_read, &self.counts);
        for entry in dump::chunks(dump.entries, self.encoder.chunk_size()).flatten() {
            match entry {
                Ok(Entry::Paper(paper) | Entry::Encoded(paper, _)) => self.push(paper),
                Ok(Entry::Deleted(_)) => self.counts.deleted += 1,
                Err(refused) => {
                    self.counts.refused += 1;
                    progress.refuse(&refused);
                }
            }
            self.counts.read += 1;
            if self.papers.len() == self.encoder.chunk_size() {
                self.encode()?;
                progress.update(&self.counts);
            }
            if self.counts.read.is_multiple_of(self.job.entries_per_part())
                && self.counts.read > self.job.entries_done()
            {
                self.publish()?;
                progress.update(&self.counts);
            }
        }
        progress.finish();
        report_warnings(source, &dump.warnings, &[]);
        Ok(())
    }

    /// Adds a paper to the current part, unless the paper has no abstract (without `--title-only`), is in a part that
    /// is already written, or belongs to another shard.
    fn push(&mut self, paper: Paper) {
        let is_skipped = paper.r#abstract.is_empty() && !self.title_only;
        self.counts.without_abstract += u64::from(is_skipped);
        if !is_skipped && self.counts.read >= self.job.entries_done() && self.job.contains(&paper.id) {
            self.papers.push(paper);
        }
    }

    fn encode(&mut self) -> anyhow::Result<()> {
        let papers = std::mem::take(&mut self.papers);
        let encoded = self.encoder.encode(&papers)?;
        for (paper, encoded) in papers.into_iter().zip(encoded) {
            match encoded {
                Ok((vector, tokens)) => {
                    self.counts.encoded += 1;
                    self.counts.tokens += tokens as u64;
                    self.rows.push(EmbeddedPaper { paper, vector });
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
        let is_begun = !self.counts.read.is_multiple_of(self.job.entries_per_part());
        if is_begun && self.counts.read > self.job.entries_done() {
            self.publish()?;
        }
        let out = self.job.out().to_path_buf();
        self.job.finish()?;
        Ok((self.counts, out))
    }
}
