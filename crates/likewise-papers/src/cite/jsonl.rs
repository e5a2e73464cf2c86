//! JSON Lines: what an answer has, one paper a line.
//!
//! Its own file, like every format.

use crate::paper::Paper;

/// A paper's line.
pub fn line(paper: &Paper) -> String {
    let mut line = serde_json::json!(paper).to_string();
    line.push('\n');
    line
}
