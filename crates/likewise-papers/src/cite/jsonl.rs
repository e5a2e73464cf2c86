//! Writes papers as JSON Lines, with the same keys as the HTTP API.

use crate::paper::Paper;

/// Returns a paper as one line of JSON, including the line end.
pub fn line(paper: &Paper) -> String {
    let mut line = serde_json::json!(paper).to_string();
    line.push('\n');
    line
}
