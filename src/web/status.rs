//! How the library is: what is in it, what works on it, what room it takes.

use super::frame::Frame;
use super::list::thousands;
use crate::ingest::{Counts, Run, State};
use crate::search::Stats;
use maud::{Markup, html};
use time::OffsetDateTime;

/// What the status page shows.
pub struct Status {
    /// What is held.
    pub stats: Stats,
    /// The numbers the model computes in.
    pub precision: String,
    /// Tokens that wait to be encoded, and how many may.
    pub queue: (usize, usize),
    /// Searches that run or wait.
    pub searches: usize,
    /// recall@10 when last looked at.
    pub recall: Option<f64>,
    /// Bytes of the data folder, and bytes free beside it; `None` if the papers are elsewhere.
    pub disk: Option<(u64, Option<u64>)>,
    /// Whether another process writes to the folder now.
    pub is_written: bool,
    /// When something was written last.
    pub written: Option<OffsetDateTime>,
    /// The ingest that goes on, or the last one.
    pub run: Option<(Run, State)>,
}

/// The status page. A script reads it again every few seconds; without one, it says what was.
pub fn status_page(status: &Status, frame: &Frame) -> String {
    let stats = &status.stats;
    frame.around(html! {
        section.status id="live" data-every="2000" {
            h1 { "Status" }
            (progress(status))
            dl.known {
                (row("Papers", &thousands(stats.papers)))
                (row("Model", &format!("{} in {}, {} values", stats.model, status.precision, stats.dimension)))
                div { dt { "Fingerprint" } dd { code { (stats.fingerprint) } } }
                (row("Vectors", &thousands(stats.vectors)))
                (row("Index", &match &stats.engine {
                    Some(engine) => format!("{} by {engine}, {} waiting", thousands(stats.index.indexed), thousands(stats.index.waiting)),
                    None => format!(
                        "{} in {} segment{}, {} compared one by one",
                        thousands(stats.index.indexed),
                        stats.index.segments,
                        if stats.index.segments == 1 { "" } else { "s" },
                        thousands(stats.index.waiting)
                    ),
                }))
                @if let Some(recall) = status.recall { (row("recall@10", &format!("{recall:.3}, of walks against the exact scan"))) }
                (row("Encode queue", &format!("{} of {} tokens", thousands(status.queue.0), thousands(status.queue.1))))
                (row("Searches", &format!("{} run or wait", status.searches)))
                @if let Some((used, free)) = status.disk {
                    (row("Disk", &match free {
                        Some(free) => format!("{} used, {} free", bytes(used), bytes(free)),
                        None => format!("{} used", bytes(used)),
                    }))
                }
                @if let Some(written) = status.written { (row("Last change", &moment(written))) }
                @if let Some((run, State::Done)) = &status.run { (row("Last ingest", &ended(run))) }
                @if let Some(next) = &stats.next { (row("Next model", &format!("{}: {} vectors so far", next.model, thousands(next.vectors)))) }
            }
        }
    })
}

fn row(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// What is being taken in, if something is, and what was not to its end.
fn progress(status: &Status) -> Markup {
    let stats = &status.stats;
    let done = stats.papers.saturating_sub(stats.without_vector);
    html! {
        @match &status.run {
            Some((run, State::Running)) => (running(run)),
            _ if status.is_written => p.note { "Another process is writing here." },
            Some((run, State::Interrupted)) => p.note {
                "The last ingest, " (from(run)) ", was cut short"
                @if let Some(share) = run.share { " at " (percent(share)) }
                @if let Some(noted) = when(run) { " on " (moment(noted)) }
                ". Run the same command again: nothing is taken twice."
            },
            _ => {}
        }
        @if stats.without_vector > 0 {
            p {
                label for="encoded" { (thousands(done)) " of " (thousands(stats.papers)) " papers have their vectors " }
                progress id="encoded" max=(stats.papers) value=(done) {}
            }
        }
    }
}

/// An ingest that goes on, as of its last note.
fn running(run: &Run) -> Markup {
    html! {
        div.running {
            p {
                label for="read" { "Papers are being taken in, " (from(run)) }
                @if let Some(share) = run.share {
                    ": " (percent(share))
                    @if let Some(left) = run.seconds_left().filter(|_| run.counts.read > 0) { ", about " (span(left)) " left" }
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

/// An ingest that came to its end.
fn ended(run: &Run) -> String {
    let at = when(run).map_or(String::new(), |noted| format!("{}, ", moment(noted)));
    format!("{at}{}: {} in {}", from(run), counted(&run.counts), span(run.seconds))
}

fn from(run: &Run) -> String {
    match run.source.as_str() {
        "" => "over HTTP".into(),
        "-" => "from standard input".into(),
        file => format!("from {file}"),
    }
}

/// What was counted, of which there was some.
fn counted(counts: &Counts) -> String {
    let named = counts.named();
    let there = named.iter().filter(|(name, count)| *count > 0 || *name == "read");
    there.map(|(name, count)| format!("{} {name}", thousands(*count as usize))).collect::<Vec<_>>().join(", ")
}

fn when(run: &Run) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(run.noted).ok()
}

fn moment(time: OffsetDateTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    time.format(&format).unwrap_or_default()
}

/// 0.342 → 34 %.
fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Seconds, as one says them.
fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} minutes", seconds / 60.0),
        seconds => format!("{:.1} hours", seconds / 3600.0),
    }
}

/// 1536 → 1.5 KB.
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
    fn an_ingest_is_told_in_words() {
        let counts = Counts { read: 1300, added: 1299, refused: 1, ..Counts::default() };
        let run = Run {
            source: "<b>.jsonl".into(),
            share: Some(0.25),
            counts,
            seconds: 12.0,
            source_seconds: 10.0,
            ..Run::default()
        };
        let page = running(&run).into_string();
        for part in
            ["&lt;b&gt;.jsonl", "25 %, about 30 s left", "1,300 read, 1,299 added, 1 refused, 108 a second"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(
            ended(&run),
            "1970-01-01 00:00 UTC, from <b>.jsonl: 1,300 read, 1,299 added, 1 refused in 12 s"
        );
        assert_eq!([89.0, 600.0, 9000.0].map(span), ["89 s", "10 minutes", "2.5 hours"]);
    }

    #[test]
    fn bytes_are_told_in_three_digits() {
        assert_eq!([0, 999, 1500, 341_000_000].map(bytes), ["0 bytes", "999 bytes", "1.5 KB", "341.0 MB"]);
    }
}
