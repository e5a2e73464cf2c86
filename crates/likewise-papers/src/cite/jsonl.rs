//! Writes papers as JSON Lines, with the same keys as the HTTP API.

use crate::paper::Paper;

/// The line of a paper, with its line end.
pub fn line(paper: &Paper) -> String {
    let mut line = serde_json::json!(paper).to_string();
    line.push('\n');
    line
}
