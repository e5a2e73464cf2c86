//! How far an ingest is: a bar on a terminal, a line now and then elsewhere.
//!
//! Its own file because it only looks on: what it shows is derived from the counts and from how far the
//! file has been read.

use crate::ingest::Counts;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use likewise_papers::dump::{BytesRead, Refused, Source};
use std::time::{Duration, Instant};

/// Between two plain lines; also the span that the rate is of, since after an interrupted run the first
/// papers go by without being encoded.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Refusals of one file that are told in full on a terminal; the rest are counted.
const TOLD: usize = 20;

/// The progress of one file.
pub struct Progress {
    bar: ProgressBar,
    file: String,
    bytes_read: BytesRead,
    papers_before: u64,
    refused: usize,
    /// When the last line was said, and how many papers had been read, and tokens encoded, then.
    said: (Instant, u64, u64),
}

impl Progress {
    /// Of a file that is about to be read, after `counts` in the files before it.
    pub fn new(source: &Source, bytes_read: BytesRead, counts: &Counts) -> Progress {
        // How much comes from standard input is not known.
        let (bar, template) = match bytes_read.total {
            0 => (ProgressBar::no_length(), "{spinner} {msg}"),
            total => (ProgressBar::new(total), "{msg} {wide_bar} {percent}%"),
        };
        bar.set_message("reading");
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let file = source.to_string();
        let said = (Instant::now(), counts.read, counts.tokens);
        Progress { bar, file, bytes_read, papers_before: counts.read, refused: 0, said }
    }

    /// Tells of an entry that is no paper.
    pub fn refuse(&mut self, refused: &Refused) {
        self.refused += 1;
        if self.refused <= self.most_told() {
            self.say(&format!("refused: {}:{}: {}", self.file, refused.line, refused.reason));
        }
    }

    /// Where nobody watches, all are told: a log is searched later.
    fn most_told(&self) -> usize {
        if self.bar.is_hidden() { usize::MAX } else { TOLD }
    }

    /// Prints a line; the bar stays below it.
    fn say(&self, line: &str) {
        if self.bar.is_hidden() { eprintln!("{line}") } else { self.bar.println(line) }
    }

    /// Shows where things stand.
    pub fn update(&mut self, counts: &Counts) {
        let (since, papers, tokens) = self.said;
        let a_second = |count: u64| count as f64 / since.elapsed().as_secs_f64().max(1e-3);
        let (rate, tokens) = (a_second(counts.read - papers), a_second(counts.tokens - tokens));
        let papers = counts.read - self.papers_before;
        let share = self.bytes_read.share(papers);
        let left = share
            .and_then(|share| left(papers, share, rate))
            .map_or(String::new(), |left| format!(", {} left", HumanDuration(left)));
        let line = format!(
            "{} papers, {rate:.1}/s, {tokens:.0} tokens/s, {} refused{left}",
            counts.read, counts.refused
        );
        if self.bar.is_hidden() && since.elapsed() >= SAID_EVERY {
            eprintln!("{}: {line}", self.file);
        }
        self.bar.set_position((share.unwrap_or_default() * self.bytes_read.total as f64) as u64);
        self.bar.set_message(line);
        if since.elapsed() >= SAID_EVERY {
            self.said = (Instant::now(), counts.read, counts.tokens);
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if self.refused > self.most_told() {
            let more = self.refused - self.most_told();
            self.say(&format!("refused: {}: {more} more; 2>refused.txt keeps them all", self.file));
        }
        self.bar.finish_and_clear();
    }
}

/// The time left, if so many papers were a share of the file.
fn left(papers: u64, share: f64, rate: f64) -> Option<Duration> {
    let rest = papers as f64 * (1.0 - share) / share;
    // Neither a rate nor a share of zero leads anywhere.
    Duration::try_from_secs_f64(rest / rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_where_it_can_be_known() {
        assert_eq!(left(100, 0.25, 10.0), Some(Duration::from_secs(30)));
        assert_eq!(left(100, 1.0, 10.0), Some(Duration::ZERO));
        assert_eq!(left(0, 0.0, 0.0), None, "nothing read yet");
        assert_eq!(left(100, 0.25, 0.0), None, "no rate yet");
    }

    #[test]
    fn the_time_left_of_a_file_of_known_rows_goes_by_rows() {
        // The reader is far ahead.
        let mut bytes = BytesRead::default();
        (bytes.total, bytes.entries) = (1_000_000, 4000);
        assert_eq!(
            bytes.share(1000).and_then(|share| left(1000, share, 10.0)),
            Some(Duration::from_secs(300))
        );
        assert_eq!(BytesRead::default().share(1000), None, "standard input");
    }
}
