//! Finds and opens the dumps that a command reads (`ingest`, `embed`, `inspect`), and prints which dumps cannot be
//! read.

use super::value_parsers;
use clap::Args;
use likewise_papers::dump::{self, Columns, Dump, Format, Reader, Source, Warnings};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of every command that reads dumps.
#[derive(Args)]
pub struct DumpOptions {
    /// Dumps to read: files (plain, .gz, .zst, .bz2 or .zip), folders, or patterns such as `*.xml`; `-` is standard
    /// input.
    #[arg(value_name = "DUMP")]
    pub files: Vec<PathBuf>,
    /// Format of the dumps. By default, the format of each dump is detected from the content. Set it if the detection
    /// is wrong.
    #[arg(long, value_parser = value_parsers::formats())]
    pub format: Option<Format>,
    /// For a table with unusual column names: the column of each field, such as id=arxiv_id,abstract=summary.
    #[arg(long, value_name = "FIELD=COLUMN,…")]
    pub columns: Option<Columns>,
    /// Exit with status 0 instead of 2 if entries were refused, papers got no vector, or files in a given folder are
    /// damaged or not dumps. They are still printed. Use it with schedulers that repeat a command if its exit status is
    /// not 0.
    #[arg(long)]
    pub tolerate_refused: bool,
}

/// The exit status of a command that has refused, skipped or left out some entries or papers.
pub const REFUSED: u8 = 2;

/// The dumps of a command.
pub struct Dumps {
    reader: Reader,
    /// The dumps that are still to be read.
    pub sources: Vec<Source>,
    /// Number of dumps that could not be read, plus the number of dumps with vectors of another model. Files in given
    /// folders that are not dumps are counted in `skipped` instead.
    pub unreadable: usize,
    /// Number of skipped files: files in the given folders that are not dumps or are damaged. Also includes the refused
    /// entries in Semantic Scholar's files of abstracts, but not those in other dumps.
    pub skipped: u64,
}

impl DumpOptions {
    /// The exit status of a command that has refused this many entries.
    pub fn exit_code(&self, refused: u64) -> ExitCode {
        if refused == 0 || self.tolerate_refused { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
    }

    /// Fails if no dump is given.
    pub fn check_given(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.files.is_empty(),
            "no dump is given; give files, folders, patterns, or - for standard input"
        );
        Ok(())
    }

    /// Finds the dumps in the arguments, and prints which arguments do not exist or cannot be opened. Also loads the
    /// abstracts that Semantic Scholar keeps in separate files.
    pub fn find(&self) -> anyhow::Result<Dumps> {
        self.find_in(&self.files)
    }

    /// Like [`DumpOptions::find`], but for the files and folders in `files`.
    pub fn find_in(&self, files: &[PathBuf]) -> anyhow::Result<Dumps> {
        let reader = Reader::new(self.format, self.columns.clone().unwrap_or_default());
        let mut dumps = Dumps { reader, sources: Vec::new(), unreadable: 0, skipped: 0 };
        for source in dump::sources(files) {
            match source {
                Ok(source) => dumps.sources.push(source),
                Err(error) => {
                    eprintln!("refused: {error}");
                    dumps.unreadable += 1;
                }
            }
        }
        for (source, refused) in dumps.reader.load_abstracts(&dumps.sources)? {
            eprintln!("{source}: the file has abstracts, which are joined with their papers");
            refused
                .iter()
                .for_each(|refused| eprintln!("refused: {source}:{}: {}", refused.line, refused.reason));
            dumps.skipped += refused.len() as u64;
        }
        Ok(dumps)
    }
}

impl Dumps {
    /// Opens a dump. If the dump cannot be read, prints the reason, counts the dump as skipped or unreadable, and
    /// returns `None`.
    pub fn open(&mut self, source: &Source) -> Option<Dump> {
        match self.reader.read(source) {
            Ok(dump) => Some(dump),
            // A given folder can contain files that are not dumps, so these are only skipped. A file with an I/O error
            // counts as unreadable, also in a folder.
            Err(error) if source.discovered && matches!(error, likewise_papers::Error::Invalid(_)) => {
                eprintln!("skipped: {error}");
                self.skipped += 1;
                None
            }
            Err(error) => {
                eprintln!("refused: {error}");
                self.unreadable += 1;
                None
            }
        }
    }

    /// Fails if a dump could not be read.
    pub fn check_all_readable(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.unreadable == 0,
            "{} dumps could not be read; see the messages above",
            self.unreadable
        );
        Ok(())
    }

    /// Whether one of the dumps is standard input.
    pub fn reads_standard_input(&self) -> bool {
        self.sources.iter().any(|source| source.path == Path::new("-"))
    }

    /// Returns the path, size and modification time of each dump. A later run can continue an interrupted run only if
    /// these are equal in both runs.
    pub fn identity(&self) -> Vec<String> {
        let state = |source: &Source| format!("{source} ({})", state_of(&source.path).unwrap_or_default());
        self.sources.iter().map(state).collect()
    }
}

/// Prints which parts of a dump were ignored or replaced. Leaves out the lines in `reported`, which were printed
/// earlier.
pub fn report_warnings(source: &Source, warnings: &Warnings, reported: &[String]) {
    let new = warnings.lines().into_iter().filter(|line| !reported.contains(line));
    new.for_each(|line| eprintln!("not read: {source}: {line}"));
}

/// Returns a file's size and modification time as text. If the text is the same later, the file counts as unchanged.
/// `None`: the file's metadata cannot be read.
pub fn state_of(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let time = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("{} bytes of {}.{:09}", metadata.len(), time.as_secs(), time.subsec_nanos()))
}
