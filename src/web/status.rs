//! How the library is: what is in it, what works on it, what room it takes.

use super::frame::Frame;
use super::list::thousands;
use crate::search::Stats;
use maud::{Markup, html};

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
    /// Bytes of the data folder, and bytes free beside it.
    pub disk: (u64, Option<u64>),
    /// Who writes to the folder now.
    pub writer: Option<String>,
    /// When something was written last, in words.
    pub written: Option<String>,
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
                (row("Fingerprint", &stats.fingerprint))
                (row("Vectors", &thousands(stats.vectors)))
                (row("Index", &format!(
                    "{} in {} segment{}, {} compared one by one",
                    thousands(stats.index.indexed),
                    stats.index.segments,
                    if stats.index.segments == 1 { "" } else { "s" },
                    thousands(stats.index.waiting)
                )))
                @if let Some(recall) = status.recall { (row("recall@10", &format!("{recall:.3}, of walks against the exact scan"))) }
                (row("Encode queue", &format!("{} of {} tokens", thousands(status.queue.0), thousands(status.queue.1))))
                (row("Searches", &format!("{} run or wait", status.searches)))
                (row("Disk", &match status.disk.1 {
                    Some(free) => format!("{} used, {} free", bytes(status.disk.0), bytes(free)),
                    None => format!("{} used", bytes(status.disk.0)),
                }))
                @if let Some(written) = &status.written { (row("Last change", written)) }
                @if let Some(next) = &stats.next { (row("Next model", &format!("{}: {} vectors so far", next.model, thousands(next.vectors)))) }
            }
        }
    })
}

fn row(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// What is being taken in, if something is.
fn progress(status: &Status) -> Markup {
    let stats = &status.stats;
    let done = stats.papers.saturating_sub(stats.without_vector);
    html! {
        @if let Some(writer) = &status.writer { p.note { "Papers are being taken in: " (writer) } }
        @if stats.without_vector > 0 {
            p {
                label for="encoded" { (thousands(done)) " of " (thousands(stats.papers)) " papers have their vectors " }
                progress id="encoded" max=(stats.papers) value=(done) {}
            }
        }
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
    fn bytes_are_told_in_three_digits() {
        assert_eq!([0, 999, 1500, 341_000_000].map(bytes), ["0 bytes", "999 bytes", "1.5 KB", "341.0 MB"]);
    }
}
