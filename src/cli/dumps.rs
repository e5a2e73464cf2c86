//! The dumps that a command reads: which they are, and what to say of those that cannot be read.
//!
//! Its own file because `ingest`, `embed` and `inspect` read the same things in the same way.

use super::choices;
use clap::Args;
use likewise_papers::dump::{self, Columns, Dump, Format, Reader, Source, Unread};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of every command that reads dumps.
#[derive(Args)]
pub struct DumpOptions {
    /// Dumps: files (plain, .gz, .zst, .bz2, .zip), folders, patterns; `-` is standard input.
    #[arg(value_name = "DUMP")]
    pub files: Vec<PathBuf>,
    /// The dumps' format; left out, each is looked into.
    #[arg(long, value_parser = choices::formats())]
    pub format: Option<Format>,
    /// What a table's columns are called, where they are not called as usual: id=arxiv_id,abstract=summary.
    #[arg(long, value_name = "FIELD=COLUMN,…")]
    pub columns: Option<Columns>,
    /// Exit status 0 though entries were refused, and not 2: for schedulers that would run it again and again. They are told
    /// all the same.
    #[arg(long)]
    pub tolerate_refused: bool,
}

/// Exit status: entries were refused.
pub const REFUSED: u8 = 2;

/// Dumps, found.
pub struct Dumps {
    reader: Reader,
    /// What is to be read.
    pub sources: Vec<Source>,
    /// What was named and cannot be read.
    pub unreadable: usize,
    /// What was found in folders and looks like no dump, or is refused within files that others are joined with.
    pub passed_over: u64,
}

impl DumpOptions {
    /// The exit status after so many entries were refused.
    pub fn exit(&self, refused: u64) -> ExitCode {
        if refused == 0 || self.tolerate_refused { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
    }

    /// Refuses to read nothing.
    pub fn check_named(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.files.is_empty(),
            "got no dump; name files, folders, patterns, or - for standard input"
        );
        Ok(())
    }

    /// Finds them; says what is not there.
    pub fn find(&self) -> anyhow::Result<Dumps> {
        self.find_in(&self.files)
    }

    /// The same of other files.
    pub fn find_in(&self, files: &[PathBuf]) -> anyhow::Result<Dumps> {
        let reader = Reader::new(self.format, self.columns.clone().unwrap_or_default());
        let mut dumps = Dumps { reader, sources: Vec::new(), unreadable: 0, passed_over: 0 };
        for source in dump::sources(files) {
            match source {
                Ok(source) => dumps.sources.push(source),
                Err(error) => {
                    eprintln!("refused: {error}");
                    dumps.unreadable += 1;
                }
            }
        }
        for (source, refused) in dumps.reader.gather(&dumps.sources)? {
            eprintln!("{source}: abstracts, to be joined with their papers");
            refused
                .iter()
                .for_each(|refused| eprintln!("refused: {source}:{}: {}", refused.line, refused.reason));
            dumps.passed_over += refused.len() as u64;
        }
        Ok(dumps)
    }
}

impl Dumps {
    /// Opens one; says so if that cannot be.
    pub fn open(&mut self, source: &Source) -> Option<Dump> {
        match self.reader.read(source) {
            Ok(dump) => Some(dump),
            // That it is none of ours is one thing, that the disk fails is another.
            Err(error) if source.found && matches!(error, likewise_papers::Error::Invalid(_)) => {
                eprintln!("passed over: {error}");
                self.passed_over += 1;
                None
            }
            Err(error) => {
                eprintln!("refused: {error}");
                self.unreadable += 1;
                None
            }
        }
    }

    /// Fails if something that was named could not be read.
    pub fn check_all_readable(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.unreadable == 0, "{} dumps could not be read; see above", self.unreadable);
        Ok(())
    }

    /// Whether one of them is what comes from standard input.
    pub fn reads_standard_input(&self) -> bool {
        self.sources.iter().any(|source| source.path == Path::new("-"))
    }

    /// What each is, and how large and from when: what another run must find to go on with this one.
    pub fn identity(&self) -> Vec<String> {
        let state = |source: &Source| format!("{source} ({})", state_of(&source.path).unwrap_or_default());
        self.sources.iter().map(state).collect()
    }
}

/// Says what was not read of a dump, but for what was `told` before.
pub fn tell_unread(source: &Source, unread: &Unread, told: &[String]) {
    let new = unread.lines().into_iter().filter(|line| !told.contains(line));
    new.for_each(|line| eprintln!("not read: {source}: {line}"));
}

/// A file's size and time, which change when it does.
pub fn state_of(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let time = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("{} bytes of {}.{:09}", metadata.len(), time.as_secs(), time.subsec_nanos()))
}
