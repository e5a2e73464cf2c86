//! Shows the progress of reading a dump: with a progress bar on a terminal, otherwise with a line of text every 10
//! seconds.

use crate::ingest::Counts;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use likewise_papers::dump::{BytesRead, Refused, Source};
use std::time::{Duration, Instant};

/// Interval between two lines of progress. The shown rates are averages since the previous line (on a terminal, over at
/// most about this interval), and not over the whole run, because papers that an interrupted run has already encoded
/// are read much faster than new papers.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Maximum number of refused entries per file that are listed on a terminal. Further refused entries are only counted.
const MAX_LISTED: usize = 20;

/// The progress of one file.
pub struct Progress {
    bar: ProgressBar,
    file: String,
    bytes_read: BytesRead,
    papers_before: u64,
    refused: usize,
    last_report: Snapshot,
}

/// The counts at a point in time, from which rates are computed.
struct Snapshot {
    time: Instant,
    papers: u64,
    tokens: u64,
}

impl Snapshot {
    fn now(counts: &Counts) -> Snapshot {
        Snapshot { time: Instant::now(), papers: counts.read, tokens: counts.tokens }
    }
}

impl Progress {
    /// Starts the progress of a file before the file is read. `counts` are the counts of the files that were read
    /// earlier.
    pub fn new(source: &Source, bytes_read: BytesRead, counts: &Counts) -> Progress {
        // The size of standard input is unknown.
        let (bar, template) = match bytes_read.total {
            0 => (ProgressBar::no_length(), "{spinner} {msg}"),
            total => (ProgressBar::new(total), "{msg} {wide_bar} {percent}%"),
        };
        bar.set_message("reading");
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let (file, last_report) = (source.to_string(), Snapshot::now(counts));
        Progress { bar, file, bytes_read, papers_before: counts.read, refused: 0, last_report }
    }

    /// Counts a refused entry, and prints it if fewer than [`Progress::max_listed`] entries were printed.
    pub fn refuse(&mut self, refused: &Refused) {
        self.refused += 1;
        if self.refused <= self.max_listed() {
            self.print(&format!("refused: {}:{}: {}", self.file, refused.line, refused.reason));
        }
    }

    /// Maximum number of refused entries that are listed: all, unless standard error is a terminal.
    fn max_listed(&self) -> usize {
        if self.bar.is_hidden() { usize::MAX } else { MAX_LISTED }
    }

    /// Prints a line to standard error, above the progress bar if there is one.
    fn print(&self, line: &str) {
        if self.bar.is_hidden() { eprintln!("{line}") } else { self.bar.println(line) }
    }

    /// Shows the current counts, the rates and the time left. If standard error is not a terminal, shows them only
    /// every [`REPORT_INTERVAL`].
    pub fn update(&mut self, counts: &Counts) {
        let Snapshot { time, papers, tokens } = self.last_report;
        let per_second = |count: u64| count as f64 / time.elapsed().as_secs_f64().max(1e-3);
        let (rate, tokens) = (per_second(counts.read - papers), per_second(counts.tokens - tokens));
        let papers = counts.read - self.papers_before;
        let share = self.bytes_read.fraction(papers);
        let left = share
            .and_then(|share| left(papers, share, rate))
            .map_or(String::new(), |left| format!(", {} left", HumanDuration(left)));
        let line = format!(
            "{} papers, {rate:.1}/s, {tokens:.0} tokens/s, {} refused{left}",
            counts.read, counts.refused
        );
        if self.bar.is_hidden() && time.elapsed() >= REPORT_INTERVAL {
            eprintln!("{}: {line}", self.file);
        }
        self.bar.set_position((share.unwrap_or_default() * self.bytes_read.total as f64) as u64);
        self.bar.set_message(line);
        if time.elapsed() >= REPORT_INTERVAL {
            self.last_report = Snapshot::now(counts);
        }
    }

    /// Removes the progress bar, and prints the number of refused entries that were not listed, if there are any.
    pub fn finish(self) {
        if self.refused > self.max_listed() {
            let more = self.refused - self.max_listed();
            self.print(&format!(
                "{}: {more} more entries were refused; a terminal shows only the first, so add 2>refused.txt to the \
                 command to list all",
                self.file
            ));
        }
        self.bar.finish_and_clear();
    }
}

/// Returns the time left for a file. `papers` is the number of papers read so far, which are the fraction `share` of
/// the file; `rate` is the number of papers per second. `None`: the time is unknown.
fn left(papers: u64, share: f64, rate: f64) -> Option<Duration> {
    let rest = papers as f64 * (1.0 - share) / share;
    // If `rate` or `share` is 0, the quotient is infinite or NaN, for which `try_from_secs_f64` returns an error.
    Duration::try_from_secs_f64(rest / rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_none_before_anything_is_read() {
        assert_eq!(left(100, 0.25, 10.0), Some(Duration::from_secs(30)));
        assert_eq!(left(100, 1.0, 10.0), Some(Duration::ZERO));
        assert_eq!(left(0, 0.0, 0.0), None, "nothing read yet");
        assert_eq!(left(100, 0.25, 0.0), None, "no rate yet");
    }

    #[test]
    fn time_left_is_computed_from_rows_if_their_number_is_known() {
        // The share is computed from rows and not from bytes: the reader reads ahead, so the bytes would give too large
        // a share.
        let mut bytes = BytesRead::default();
        (bytes.total, bytes.entries) = (1_000_000, 4000);
        assert_eq!(
            bytes.fraction(1000).and_then(|share| left(1000, share, 10.0)),
            Some(Duration::from_secs(300))
        );
        assert_eq!(BytesRead::default().fraction(1000), None, "standard input");
    }
}
