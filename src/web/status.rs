//! The status page, which shows the size of the library, running ingests and searches, and the use of the disk.

use super::frame::Frame;
use super::list::thousands;
use crate::ingest::{Counts, IngestRun, IngestState};
use crate::search::Stats;
use maud::{Markup, html};
use time::OffsetDateTime;

/// Content of the status page.
pub struct StatusView {
    /// The library's papers, vectors and index.
    pub stats: Stats,
    /// The precision that the model computes in.
    pub precision: String,
    /// Number of tokens waiting to be encoded, in requests with one text and in requests with several.
    pub queued_tokens: usize,
    /// Maximum number of tokens in waiting requests with several texts (`--queue-tokens-bulk`).
    pub max_queued_tokens: usize,
    /// Number of searches that are running or waiting.
    pub searches: usize,
    /// The recall@10 of the graph search when it was last measured. `None`: not measured yet.
    pub recall: Option<f64>,
    /// The disk use of the data folder. `None`: the papers are in an external engine.
    pub disk: Option<DiskUse>,
    /// Whether another process is writing to the data folder.
    pub is_being_written: bool,
    /// Time of the last write to the catalog. `None`: unknown.
    pub last_written: Option<OffsetDateTime>,
    /// The current or last ingest. `None`: unknown.
    pub run: Option<(IngestRun, IngestState)>,
}

/// The disk use of a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// Size of all files in the folder, in bytes.
    pub used: u64,
    /// Free space of the folder's file system, in bytes. `None`: unknown.
    pub free: Option<u64>,
}

/// Renders the status page as HTML. The script of the pages reloads the status page every 2 seconds.
pub fn status_page(status: &StatusView, frame: &Frame) -> String {
    let stats = &status.stats;
    frame.render(html! {
        section.status id="live" data-every="2000" {
            h1 { "Status" }
            (progress(status))
            dl.known {
                (row("Papers", &thousands(stats.papers)))
                (row("Model", &format!("{} in {}, {} values", stats.model, status.precision, stats.dimension)))
                div { dt { "Fingerprint" } dd { code { (stats.fingerprint) } } }
                (row("Vectors", &thousands(stats.vectors)))
                (row("Index", &match &stats.engine {
                    Some(engine) => format!("{} indexed in {engine}, {} stored but not yet indexed", thousands(stats.index.indexed), thousands(stats.index.waiting)),
                    None => format!(
                        "{} in {} segment{}, {} not yet indexed (compared one by one)",
                        thousands(stats.index.indexed),
                        stats.index.segments,
                        if stats.index.segments == 1 { "" } else { "s" },
                        thousands(stats.index.waiting)
                    ),
                }))
                @if let Some(recall) = status.recall { (row("recall@10", &recall_text(recall, stats.engine.is_some()))) }
                (row("Encode queue", &format!("{} of {} tokens", thousands(status.queued_tokens), thousands(status.max_queued_tokens))))
                (row("Searches", &format!("{} running or waiting", status.searches)))
                @if let Some(DiskUse { used, free }) = status.disk {
                    (row("Disk", &match free {
                        Some(free) => format!("{} used, {} free", bytes(used), bytes(free)),
                        None => format!("{} used", bytes(used)),
                    }))
                }
                @if let Some(written) = status.last_written { (row("Last change", &utc(written))) }
                @if let Some((run, IngestState::Done)) = &status.run { (row("Last ingest", &finished(run))) }
                @if let Some(next) = &stats.next { (row("Next model", &format!("{}: {} vectors so far", next.model, thousands(next.vectors)))) }
            }
        }
    })
}

fn row(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A notice about a running or interrupted ingest, or about another process that writes. If some papers have no vector,
/// also the number of papers that have a vector.
fn progress(status: &StatusView) -> Markup {
    let stats = &status.stats;
    let done = stats.papers.saturating_sub(stats.without_vector);
    html! {
        @match &status.run {
            Some((run, IngestState::Running)) => (running(run)),
            _ if status.is_being_written => p.note { "Another process is writing to the data folder." },
            Some((run, IngestState::Interrupted)) => p.note {
                "The last ingest, " (from(run)) ", was interrupted"
                @if let Some(share) = run.share { " at " (percent(share)) }
                @if let Some(time) = noted_at(run) { " on " (utc(time)) }
                ". To continue it, run the same command again: papers that were ingested are skipped."
            },
            _ => {}
        }
        @if stats.without_vector > 0 {
            p {
                label for="encoded" { (thousands(done)) " of " (thousands(stats.papers)) " papers have a vector " }
                progress id="encoded" max=(stats.papers) value=(done) {}
            }
        }
    }
}

/// A notice about a running ingest, from the last record of the run.
fn running(run: &IngestRun) -> Markup {
    html! {
        div.running {
            p {
                label for="read" { "Ingesting papers " (from(run)) }
                @if let Some(share) = run.share {
                    ": " (percent(share))
                    @if let Some(left) = run.seconds_left().filter(|_| run.counts.read > 0) { ", about " (duration(left)) " left" }
                    progress id="read" max="1" value=(format!("{share:.4}")) {}
                } @else { progress id="read" {} }
            }
            p.hint {
                (counted(&run.counts))
                @if run.seconds >= 1.0 { ", " (thousands((run.counts.read as f64 / run.seconds) as usize)) " a second" }
            }
        }
    }
}

/// Describes a finished ingest in one line.
fn finished(run: &IngestRun) -> String {
    let at = noted_at(run).map_or(String::new(), |time| format!("{}, ", utc(time)));
    format!("{at}{}: {} in {}", from(run), counted(&run.counts), duration(run.seconds))
}

fn from(run: &IngestRun) -> String {
    match run.source.as_str() {
        "" => "over HTTP".into(),
        "-" => "from standard input".into(),
        file => format!("from {file}"),
    }
}

/// The number of entries read, and the other counts that are not 0.
fn counted(counts: &Counts) -> String {
    let named = counts.named();
    let shown = named.iter().filter(|(name, count)| *count > 0 || *name == "read");
    shown.map(|(name, count)| format!("{} {name}", thousands(*count as usize))).collect::<Vec<_>>().join(", ")
}

/// A measured recall@10. In a collection, it is compared with a search with as many candidates as Milvus accepts. NaN:
/// the measurement failed.
fn recall_text(recall: f64, is_collection: bool) -> String {
    let reference = if is_collection { "a search with the most candidates" } else { "exact search" };
    if recall.is_nan() {
        return "could not be measured".into();
    }
    format!("{recall:.3}, graph search compared with {reference}")
}

/// The time when the run's state was last saved; `None` if the saved number is out of range.
fn noted_at(run: &IngestRun) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(run.noted).ok()
}

fn utc(time: OffsetDateTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    time.format(&format).unwrap_or_default()
}

/// Formats a fraction in per cent: 0.342 as `34 %`.
fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Formats seconds in the largest suitable unit: 600 as `10 minutes`.
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} minutes", seconds / 60.0),
        seconds => format!("{:.1} hours", seconds / 3600.0),
    }
}

/// Formats a number of bytes in decimal units: 1536 as `1.5 KB`.
pub fn bytes(count: u64) -> String {
    const NAMES: [&str; 5] = ["bytes", "KB", "MB", "GB", "TB"];
    let (mut value, mut name) = (count as f64, 0);
    while value >= 1000.0 && name + 1 < NAMES.len() {
        value /= 1000.0;
        name += 1;
    }
    if name == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", NAMES[name]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_described_in_words() {
        let counts = Counts { read: 1300, added: 1299, refused: 1, ..Counts::default() };
        let run = IngestRun {
            source: "<b>.jsonl".into(),
            share: Some(0.25),
            counts,
            seconds: 12.0,
            source_seconds: 10.0,
            ..IngestRun::default()
        };
        let page = running(&run).into_string();
        for part in
            ["&lt;b&gt;.jsonl", "25 %, about 30 s left", "1,300 read, 1,299 added, 1 refused, 108 a second"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(
            finished(&run),
            "1970-01-01 00:00 UTC, from <b>.jsonl: 1,300 read, 1,299 added, 1 refused in 12 s"
        );
        assert_eq!([89.0, 600.0, 9000.0].map(duration), ["89 s", "10 minutes", "2.5 hours"]);
    }

    #[test]
    fn bytes_are_formatted_in_decimal_units() {
        assert_eq!([0, 999, 1500, 341_000_000].map(bytes), ["0 bytes", "999 bytes", "1.5 KB", "341.0 MB"]);
    }
}
